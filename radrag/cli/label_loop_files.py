"""What the verbs of the loop read and write."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radrag.cli.app import fail
from radrag.errors import CorpusError

if TYPE_CHECKING:
    from radrag.corpora.rows import Row
    from radrag.labelling import LabelSet
    from radrag.labelling.loop import LabelIssues
    from radrag.types import LabelledNote, LabelResult


def need_cleanlab() -> None:
    """Fail before the folds are labelled, not after."""
    from radrag.errors import require

    require("cleanlab", extra="review")


def label_set(index: Any, labels: Path | None) -> LabelSet:
    """Read the labels from a file or folder, or take every guideline of the index."""
    from radrag.labelling import LabelSet

    if labels is not None:
        return LabelSet.read(labels)
    return LabelSet.from_protocols([document for document in index.documents() if document.kind == "guideline"])


def named(values: Mapping[str, Any], column: str | None, usual: str) -> str:
    """Return the name or group of a record, from the column given or the usual one."""
    value = values.get(column or usual)
    if column is not None and value in (None, ""):
        fail(f"there is no {column!r} in a record that has {', '.join(values)}; fill it in or name another column")
    return "" if value is None else str(value)


def reviewed(files: Sequence[Path]) -> set[str]:
    """Return the notes that somebody has decided about; a skipped one comes again."""
    from radrag.labelling.loop import read_decisions
    from radrag.labelling.loop.corrections import standing

    return {name for path in files for (name, _), one in standing(read_decisions(path)).items() if one.action != "skip"}


def bar(title: str) -> AbstractContextManager[Any]:
    """Return a progress bar as a context that gives its update function; nothing where nobody watches."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_terminal:
        return nullcontext(None)

    class Bar(Progress):
        def __enter__(self) -> Any:
            super().__enter__()
            task = self.add_task(title)
            return lambda done, total: self.update(task, completed=done, total=total)

    return Bar(console=console)


def write_results(path: Path, results: Sequence[LabelResult]) -> None:
    """Write results, a line each."""
    from radrag.labelling.loop.files import write_jsonl

    write_jsonl(path, (result.to_dict() for result in results))


def write_issues(folder: Path, found: LabelIssues) -> None:
    """Write doubts and confused pairs."""
    from radrag.labelling.loop.files import write_jsonl

    values = found.to_dict()
    write_jsonl(folder / "issues.jsonl", values["issues"])
    write_jsonl(folder / "siblings.jsonl", values["siblings"])


def write_queue(folder: Path, queued: Any, labels: LabelSet) -> None:
    """Write the queue beside what it was made from."""
    from radrag.labelling.loop import Queue, known_labels, write_queue

    write_queue(folder / "queue.jsonl", Queue(queued, known_labels(labels), labels.fingerprint))


def keep_history(
    records: list[dict[str, Any]], notes: Sequence[LabelledNote], changes: Sequence[Any], label: str, own: Sequence[str]
) -> None:
    """Put new labels in the records, with what they were and who changed them."""
    from dataclasses import asdict

    from radrag.labelling.loop import note_ids

    clash = [name for name in ("original_label", "label_history") if name in own or name == label]
    if clash:
        fail(f"the column {clash[0]!r} is kept for the history of labels; rename it")
    by_note = {change.note_id: change for change in changes}
    for record, note, name in zip(records, notes, note_ids(notes), strict=True):
        if name in by_note:
            change = asdict(by_note[name])
            record.setdefault("original_label", change["before"])
            earlier = record.get("label_history") or []
            if not isinstance(earlier, list):
                fail(f"label_history of {name!r} is no list, got {earlier!r:.40}; give the .jsonl that correct wrote")
            record["label_history"] = [*earlier, change]
            record[label] = note.label


def read_results(path: Path, notes: Sequence[LabelledNote], source: Path) -> list[LabelResult]:
    """Read results, refusing those that cannot be told to be of these notes."""
    from radrag.corpora.rows import rows

    whole = _made_from(path, source)
    found = []
    for place, row in enumerate(rows(path)):
        if place >= len(notes):
            row.fail(f"there are more results than the {len(notes)} notes; give the results of these notes")
        if row.values.get("error"):
            row.fail(f"the note has no result ({row.values['error']}); leave the note out of both files", "error")
        same_name = bool(notes[place].id) and row.values.get("id") == notes[place].id
        if not (whole or same_name or "note" in row.values):
            row.fail(f"it cannot be told whether this is of note {place + 1}; give the file that {path} was made from")
        found.append(_result(row, notes[place].text))
    return found


def _made_from(path: Path, source: Path) -> bool:
    """Whether the file beside the results says that they were made from this file of notes."""
    from radrag.labelling.batch_draft import manifest_path
    from radrag.labelling.loop.files import file_hash

    beside = manifest_path(path)
    if not beside.is_file():
        return False
    known = json.loads(beside.read_text(encoding="utf-8"))
    return bool(known["source"]["sha256"] == file_hash(source))


def _result(row: Row, text: str) -> LabelResult:
    from radrag.types import LabelResult, Span

    values = row.values
    try:
        evidence = values.get("evidence") or []
        spans = json.loads(evidence) if isinstance(evidence, str) else evidence
        return LabelResult(
            note=values.get("note", text),
            label=row.name("label"),
            probability=float(values["probability"]),
            ranking=tuple((name, float(share)) for name, share in values.get("ranking") or ()),
            evidence=tuple(Span(span["start"], span["end"], span["text"]) for span in spans),
        )
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, CorpusError):
            raise
        row.fail(f"is no result of predict, issues or pseudo ({error!r}); make the file again")
