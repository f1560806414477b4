"""Keeping an index in step with PubMed's baseline and update files: in order, each once, safe to interrupt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from radrag.corpora.pubmed_selection import Selection
from radrag.corpora.pubmed_server import Fetched, PubmedFile, Source
from radrag.errors import CorpusError, IndexStateError
from radrag.indexes.pubmed_apply import Applier, Noted, SyncedIndex
from radrag.indexes.writer_lock import only_writer

_NOTE = "pubmed"
_LOOKED_AT = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """What a sync would do.

    Attributes:
        pending: Files to apply, in order.
        applied: How many of the source's files were applied before.
        late: Files that were not applied and come before one that was; applying them would undo later revisions.
        selection: Which articles are kept.
        new_baseline: Whether ``pending`` begins another year than the one applied before.
        reissued: Name of the first file that was applied and has other content now; it and all after it are pending.
        replayed: How many of the first files pending go together: the one published anew, to the last applied before.
        waiting: How many files of another year's baseline wait for a word (``new_baseline``), behind those pending.
        before: Digest of each file that was applied when the plan was made.
    """

    pending: tuple[PubmedFile, ...]
    applied: int
    late: tuple[PubmedFile, ...]
    selection: Selection
    new_baseline: bool
    reissued: str | None = None
    waiting: int = 0
    before: Mapping[str, str] = field(default_factory=dict)
    replayed: int = 0

    def now(self, max_files: int | None = None) -> tuple[PubmedFile, ...]:
        """Return the files that a sync of at most so many applies; those that go together are never parted."""
        return self.pending if max_files is None else self.pending[: max(max_files, self.replayed)]


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a sync did.

    Attributes:
        files: Names of the files applied.
        unchecked: Those of them without a published digest.
        late: Names of files left out, because a later one was applied before.
        left: How many files are still to be applied.
        counts: Documents ``added``, ``updated``, ``skipped`` (as stored already, or older; also the deletion of a lower
            version), ``empty``, ``deleted`` (withdrawn by PubMed), ``unselected`` (records that are not kept) and
            ``dropped`` (stored, and no longer selected after a revision); and ``passages`` and ``notices`` (about other
            articles, from records that are not kept).
        damaged: What is wrong with each record left out as damaged.
    """

    files: tuple[str, ...]
    unchecked: tuple[str, ...]
    late: tuple[str, ...]
    left: int
    counts: dict[str, int] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()


def _applied(index: Noted) -> tuple[dict[str, str], dict[str, Any] | None]:
    """Return the digest of each file applied, and the selection; None before a sync was tried."""
    note = index.get_note(_NOTE)
    return (dict(note["files"]), dict(note["selection"])) if note else ({}, None)


def _selection(kept: dict[str, Any] | None, wanted: Selection | None, free: bool) -> Selection:
    if kept is None:
        return wanted or Selection()
    stored = Selection.from_json(kept)
    if wanted is None or wanted.selects_as(stored):
        return stored
    if not free:
        raise IndexStateError(
            f"the index selects {stored.to_json() or 'everything'}, got {wanted.to_json() or 'everything'}; "
            "name no selection to go on with the one it has, make a new index, or say that the selection changed "
            "(selection_changed, --selection-changed): then only files applied from now on follow the new one"
        )
    return wanted


def make_plan(
    index: Noted,
    source: Source,
    selection: Selection | None = None,
    *,
    updates_only: bool = False,
    new_baseline: bool = False,
    selection_changed: bool = False,
    gaps: bool = False,
) -> Plan:
    """Compare what a source has with what was applied to an index.

    The digests of the files applied last are looked at again: a file that was published anew is applied again, together
    with all after it.

    Args:
        index: The index.
        source: Where the files come from.
        selection: Which articles are kept; by default those that were before, at first all. While no file was applied,
            another may be given freely.
        updates_only: Leave out the baseline.
        new_baseline: Allow the baseline of another year on top of what is there, after what is left of this year's:
            revised articles are replaced, equal ones skipped; those that the new baseline no longer has stay until
            PubMed deletes them in an update file.
        selection_changed: Allow another selection than before, from now on.
        gaps: Allow that files are missing between those applied and to be applied.

    Raises:
        IndexStateError: If there is nothing left but a new baseline, another selection or a gap, and that was not
            allowed; or if a file was published anew and one applied after it is gone.
        CorpusError: If the source cannot be reached or holds no file of PubMed, or does not tell the updates apart
            though only they are wanted.
    """
    done, kept = _applied(index)
    chosen = _selection(kept, selection, selection_changed or not done)
    files = [file for file in source.files() if file.name in done or not (updates_only and file.update is False)]
    before, reissued = dict(done), _reissued(source, files, done)
    newest = max(map(PubmedFile.named, done), key=_place, default=None)
    if reissued is not None:
        done = _before(done, reissued)
    last = max(map(PubmedFile.named, done), key=_place, default=None)
    open_files = [file for file in files if file.name not in done]
    pending = [file for file in open_files if last is None or _place(file) > _place(last)]
    allowed = [file for file in pending if new_baseline or newest is None or file.year <= newest.year]
    if newest is not None and pending and not allowed:
        raise IndexStateError(
            f"the index follows the baseline of 20{newest.year:02d}, the source has files of 20{pending[-1].year:02d}. "
            "Make a new index, or allow the new baseline (new_baseline, --new-baseline): then revised articles are "
            "replaced and equal ones skipped, but articles that the new baseline no longer has stay"
        )
    waiting, pending = len(pending) - len(allowed), allowed
    begins = newest is not None and any(file.year > newest.year for file in pending)
    if updates_only:
        _refuse_untold(pending)
    if not gaps:
        _refuse_gaps(pending, last, updates_only)
    replayed = 0 if reissued is None else _replayed(pending, before, reissued)
    late = tuple(file for file in open_files if last is not None and _place(file) < _place(last))
    name = None if reissued is None else reissued.name
    return Plan(tuple(pending), len(files) - len(open_files), late, chosen, begins, name, waiting, before, replayed)


def _reissued(source: Source, files: Sequence[PubmedFile], done: Mapping[str, str]) -> PubmedFile | None:
    """Return the first of the files applied last whose digest is another now."""
    looked_at = [file for file in files if file.name in done][-_LOOKED_AT:]
    return next((file for file in looked_at if source.digest(file) != done[file.name]), None)


def _replayed(pending: Sequence[PubmedFile], before: Mapping[str, str], reissued: PubmedFile) -> int:
    """Return how many files reach from the one published anew to the last applied before.

    Raises:
        IndexStateError: If one of those applied before is not there to be applied again.
    """
    names = [file.name for file in pending]
    again = before.keys() - _before(before, reissued).keys()
    if lost := sorted(again.difference(names)):
        raise IndexStateError(
            f"{reissued.name} was published anew, but {lost[0]}, which was applied after it, is not in the source any "
            f"more, and what it says would be undone; put {lost[0]} there, or make a new index"
        )
    return 1 + max(names.index(name) for name in again)


def _before(done: Mapping[str, str], file: PubmedFile) -> dict[str, str]:
    return {name: md5 for name, md5 in done.items() if _place(PubmedFile.named(name)) < _place(file)}


def _refuse_gaps(pending: Sequence[PubmedFile], last: PubmedFile | None, updates_only: bool) -> None:
    """Raise if a number is missing before a file: the files of a year count from 1, those of its baseline first."""
    before = None if last is None else _place(last)
    for file in pending:
        started = before is not None and before[0] == file.year
        expected = before[1] + 1 if before is not None and started else 1
        if file.number != expected and (started or not updates_only):
            raise IndexStateError(
                f"the source has {file.name}, but not number {expected:04d}, which comes before it and could not be "
                "applied after it. It may be on its way: try again later, or allow the gap (gaps, --allow-gaps)"
            )
        before = _place(file)


def _refuse_untold(pending: Sequence[PubmedFile]) -> None:
    """Raise if a file may be one of the baseline: its name does not say."""
    if untold := [file.name for file in pending if file.update is None]:
        raise CorpusError(
            f"{untold[0]} may be a file of the baseline or an update, and only updates are wanted; put the files into "
            "subfolders baseline/ and updatefiles/, as PubMed does"
        )


def _place(file: PubmedFile) -> tuple[int, int]:
    return file.year, file.number


def sync(
    index: SyncedIndex,
    source: Source,
    plan: Plan,
    downloads: str | Path,
    *,
    max_files: int | None = None,
    keep: bool = False,
    skip_damaged: bool = False,
    progress: bool = False,
) -> SyncReport:
    """Apply files to an index, in order; what was applied is remembered file by file.

    Interrupted in the middle of a file, the next sync applies that file again, which changes nothing twice. A file
    published anew goes together with those applied after it, once all of them are there: no article ever goes back to
    what an earlier file says of it. What only its first issue said stays until a later file says otherwise: the records
    it held, deletions, and notices about other articles. Run one sync of an index at a time (``only_sync``).

    The selection is remembered before the first file is fetched.

    Args:
        index: The index.
        source: Where the files come from.
        plan: What to apply, from ``make_plan``.
        downloads: Folder for downloads; a download is removed once it was applied.
        max_files: Most files to apply; those that go together count as one step and are not parted.
        keep: Keep the downloads.
        skip_damaged: Leave out records that lack what every record has, such as a PMID, and go on; they are in the
            report. Without it such a record stops the sync.
        progress: Whether to show a bar.

    Raises:
        CorpusError: If a file cannot be fetched whole or read; the files before it stay applied.
        IndexStateError: If files were applied since the plan was made.
    """
    if max_files is not None and max_files < 1:
        raise ValueError(f"max_files must be at least 1, got {max_files}")
    todo = plan.now(max_files)
    steps = [todo[: plan.replayed]] * bool(plan.replayed) + [(file,) for file in todo[plan.replayed :]]
    _refuse_stale(index, plan.before)
    done, chosen = dict(plan.before), plan.selection.to_json()
    remember(index, plan)
    applier = Applier(index, plan.selection, skip_damaged)
    unchecked: list[str] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, disable=not (progress and todo)) as bar:
        task = bar.add_task("", total=len(todo))
        for files in steps:
            bar.update(task, description=files[0].name)
            fetched = {file.name: source.fetch(file, Path(downloads)) for file in files}
            _refuse_stale(index, done)
            if plan.reissued is not None and plan.reissued in fetched:
                # No digest: until the step has ended, every sync finds the file published anew, and takes the step.
                done[plan.reissued] = ""
                index.set_note(_NOTE, {"files": done, "selection": chosen})
            applier.apply(*(one.path for one in fetched.values()))
            done |= {name: one.md5 for name, one in fetched.items()}
            index.set_note(_NOTE, {"files": done, "selection": chosen})
            unchecked += [name for name, one in fetched.items() if not one.checked]
            _clear(fetched.values(), keep)
            bar.advance(task, len(files))
    late = tuple(file.name for file in plan.late)
    left = len(plan.pending) - len(todo)
    damaged = tuple(map(str, applier.damaged))
    return SyncReport(tuple(f.name for f in todo), tuple(unchecked), late, left, applier.counts, damaged)


def remember(index: SyncedIndex, plan: Plan) -> None:
    """Note the selection of a plan: a sync that ends before its first file is whole must not forget it."""
    _, kept = _applied(index)
    if kept is None or Selection.from_json(kept) != plan.selection:
        index.set_note(_NOTE, {"files": dict(plan.before), "selection": plan.selection.to_json()})


def _clear(fetched: Iterable[Fetched], keep: bool) -> None:
    for one in fetched:
        if one.temporary and not keep:
            one.path.unlink()


def _refuse_stale(index: Noted, expected: Mapping[str, str]) -> None:
    found, _ = _applied(index)
    if found != expected:
        names = sorted(found.items() ^ expected.items())
        raise IndexStateError(
            f"{names[0][0]} was applied by another sync meanwhile; wait until that one ends, and run this one again"
        )


def only_sync(folder: str | Path) -> AbstractContextManager[None]:
    """Hold the right to sync the index in a folder; it ends with the process, however that ends.

    Raises:
        IndexStateError: If another process has it, or the folder cannot be written.
    """
    busy = f"another sync of {folder} is running; wait until it ends"
    return only_writer(Path(folder), name="sync.lock", seconds=0, busy=busy)
