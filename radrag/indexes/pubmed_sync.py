"""Keeping an index in step with PubMed's baseline and update files: in order, each once, safe to interrupt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from radrag.corpora.pubmed import read_pubmed
from radrag.corpora.pubmed_selection import Selection
from radrag.corpora.pubmed_server import Fetched, PubmedFile, Source
from radrag.corpora.retractions import notices_of
from radrag.errors import IndexStateError
from radrag.types import Document, Notice

_NOTE, _OUTSIDE = "pubmed", "pubmed notices"


class Noted(Protocol):
    """What remembers what was applied."""

    def get_note(self, key: str, /) -> Any:
        """Return a JSON value kept under a key, or None."""


class SyncedIndex(Noted, Protocol):
    """What a sync needs of an index; ``HybridIndex`` offers it."""

    def update(self, documents: Iterable[Document], /) -> dict[str, int]:
        """Add documents, in the place of those with the same id."""

    def delete(self, ids: Iterable[str], /) -> dict[str, int]:
        """Delete documents."""

    def set_notices(self, origin: str, notices: Iterable[Notice], /) -> Any:
        """Put notices in the place of those of the same origin."""

    def set_note(self, key: str, value: Any, /) -> None:
        """Keep a JSON value under a key."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a sync would do.

    Attributes:
        pending: Files to apply, in order.
        applied: How many of the source's files were applied before.
        late: Files that were not applied and come before one that was; applying them would undo later revisions.
        selection: Which articles are kept.
        new_baseline: Whether ``pending`` begins another year than the one applied before.
    """

    pending: tuple[PubmedFile, ...]
    applied: int
    late: tuple[PubmedFile, ...]
    selection: Selection
    new_baseline: bool


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a sync did.

    Attributes:
        files: Names of the files applied.
        unchecked: Those of them without a published digest.
        late: Names of files left out, because a later one was applied before.
        left: How many files are still to be applied.
        counts: Documents ``added``, ``updated``, ``skipped`` (as stored already), ``empty``, ``deleted`` (withdrawn by
            PubMed), ``unselected`` (records that are not kept) and ``dropped`` (stored, and no longer selected after a
            revision); and ``passages`` and ``notices`` (about other articles, from records that are not kept).
    """

    files: tuple[str, ...]
    unchecked: tuple[str, ...]
    late: tuple[str, ...]
    left: int
    counts: dict[str, int] = field(default_factory=dict)


def _applied(index: Noted) -> tuple[dict[str, str], dict[str, Any] | None]:
    """Return the digest of each file applied, and the selection that they were applied with; None before the first."""
    note = index.get_note(_NOTE)
    return (dict(note["files"]), dict(note["selection"])) if note else ({}, None)


def _selection(kept: dict[str, Any] | None, wanted: Selection | None, changed: bool) -> Selection:
    if kept is None:
        return wanted or Selection()
    stored = Selection.from_json(kept)
    if wanted is None or wanted == stored:
        return stored
    if not changed:
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

    Args:
        index: The index.
        source: Where the files come from.
        selection: Which articles are kept; by default those that were before, at first all.
        updates_only: Leave out the baseline.
        new_baseline: Allow the baseline of another year on top of what is there: revised articles are replaced, equal
            ones skipped; those that the new baseline no longer has stay until PubMed deletes them in an update file.
        selection_changed: Allow another selection than before, from now on.
        gaps: Allow that files are missing between those applied and to be applied.

    Raises:
        IndexStateError: If there is a new baseline, another selection or a gap, and that was not allowed.
        CorpusError: If the source cannot be reached or holds no file of PubMed.
    """
    done, kept = _applied(index)
    chosen = _selection(kept, selection, selection_changed)
    files = [file for file in source.files() if not (updates_only and file.update is False)]
    last = max(map(PubmedFile.named, done), default=None)
    open_files = [file for file in files if file.name not in done]
    pending = [file for file in open_files if last is None or _place(file) > _place(last)]
    begins = last is not None and any(file.year != last.year for file in pending)
    if last is not None and begins and not new_baseline:
        raise IndexStateError(
            f"the index follows the baseline of 20{last.year:02d}, the source has files of 20{pending[-1].year:02d}. "
            "Make a new index, or allow the new baseline (new_baseline, --new-baseline): then revised articles are "
            "replaced and equal ones skipped, but articles that the new baseline no longer has stay"
        )
    if not gaps:
        _refuse_gaps(pending, last, updates_only)
    late = tuple(file for file in open_files if last is not None and _place(file) < _place(last))
    return Plan(tuple(pending), len(files) - len(open_files), late, chosen, begins)


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
    progress: bool = False,
) -> SyncReport:
    """Apply files to an index, in order; what was applied is remembered file by file.

    Interrupted in the middle of a file, the next sync applies that file again, which changes nothing twice.

    Args:
        index: The index.
        source: Where the files come from.
        plan: What to apply, from ``make_plan``.
        downloads: Folder for downloads; a download is removed once it was applied.
        max_files: Most files to apply.
        keep: Keep the downloads.
        progress: Whether to show a bar.

    Raises:
        CorpusError: If a file cannot be fetched whole or read; the files before it stay applied.
    """
    if max_files is not None and max_files < 1:
        raise ValueError(f"max_files must be at least 1, got {max_files}")
    todo = plan.pending if max_files is None else plan.pending[:max_files]
    done, _ = _applied(index)
    applier = _Applier(index, plan.selection)
    unchecked: list[str] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, disable=not progress) as bar:
        task = bar.add_task("", total=len(todo))
        for file in todo:
            bar.update(task, description=file.name)
            fetched = source.fetch(file, Path(downloads))
            applier.apply(fetched.path)
            done[file.name] = fetched.md5
            index.set_note(_NOTE, {"files": done, "selection": plan.selection.to_json()})
            unchecked += [] if fetched.checked else [file.name]
            _clear(fetched, keep)
            bar.advance(task)
    late = tuple(file.name for file in plan.late)
    left = len(plan.pending) - len(todo)
    return SyncReport(tuple(f.name for f in todo), tuple(unchecked), late, left, applier.counts)


def _clear(fetched: Fetched, keep: bool) -> None:
    if fetched.temporary and not keep:
        fetched.path.unlink()


class _Applier:
    """Applies the records of files to an index."""

    def __init__(self, index: SyncedIndex, selection: Selection) -> None:
        self._index, self._selection = index, selection
        self._outside: set[int] = set(index.get_note(_OUTSIDE) or ())
        names = ("added", "updated", "skipped", "empty", "passages", "deleted", "unselected", "dropped", "notices")
        self.counts = dict.fromkeys(names, 0)

    def apply(self, path: Path) -> None:
        changes = _Changes(self._selection, frozenset(self._outside))
        self._count(self._index.update(changes.kept(read_pubmed(path, deletions=True))))
        dropped, deleted = self._index.delete(changes.dropped), self._index.delete(changes.deleted)
        self._count({"dropped": dropped["deleted"], "deleted": deleted["deleted"], "unselected": changes.unselected})
        for number, notices in changes.notices.items():
            self._index.set_notices(f"outside:PMID:{number}", notices)
            self._count({"notices": len(notices)})
            (self._outside.add if notices else self._outside.discard)(number)
        if changes.notices:
            self._index.set_note(_OUTSIDE, sorted(self._outside))

    def _count(self, counts: dict[str, int]) -> None:
        for name in self.counts.keys() & counts.keys():
            self.counts[name] += counts[name]


class _Changes:
    """What the records of one file change; the last record of an article counts, unless its version is lower.

    Deletions are applied after the file's records, since the DTD puts them there.

    Attributes:
        dropped: Articles that are not kept; they are deleted if a record before was.
        deleted: Articles that PubMed withdrew.
        notices: What each record that is not kept says of others, by its PMID; nothing for those that said something
            before and no longer do. The index itself reads the records that it keeps.
        unselected: How many records are not kept.
    """

    def __init__(self, selection: Selection, outside: frozenset[int]) -> None:
        self._selection, self._known = selection, outside
        self._versions: dict[str, int] = {}
        self.dropped: dict[str, None] = {}
        self.deleted: dict[str, None] = {}
        self.notices: dict[int, tuple[Notice, ...]] = {}
        self.unselected = 0

    def kept(self, documents: Iterable[Document]) -> Iterator[Document]:
        """Yield the documents to store, and take note of the others."""
        for document in documents:
            self.deleted.pop(document.id, None)
            if document.kind == "deletion":
                self._versions.pop(document.id, None)
                self.dropped.pop(document.id, None)
                self.deleted[document.id] = None
                self._say(document, ())
            elif self._is_current(document):
                yield from self._sorted(document)

    def _is_current(self, document: Document) -> bool:
        version = document.metadata["pmid_version"]
        if version < self._versions.get(document.id, 1):
            return False
        if version > 1:
            self._versions[document.id] = version
        return True

    def _sorted(self, document: Document) -> Iterator[Document]:
        if self._selection.matches(document):
            self.dropped.pop(document.id, None)
            self._say(document, ())
            yield document
        else:
            self.unselected += 1
            self.dropped[document.id] = None
            self._say(document, notices_of(document))

    def _say(self, document: Document, notices: tuple[Notice, ...]) -> None:
        number = int(document.metadata["pmid"])
        if notices or number in self._known or number in self.notices:
            self.notices[number] = notices
