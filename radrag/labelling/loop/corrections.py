"""What reviewers decided, in a file that only grows, and notes with their decisions applied."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from radrag.corpora.rows import Row, json_rows
from radrag.errors import CorpusError
from radrag.labelling.loop.files import PRIVATE, note_ids, text_hash
from radrag.types import LabelledNote


class Action(StrEnum):
    """What a reviewer did with a note."""

    ACCEPT = "accept"
    CORRECT = "correct"
    UNSURE = "unsure"
    SKIP = "skip"
    UNDO = "undo"


_LABELLING = frozenset({Action.ACCEPT, Action.CORRECT})


@dataclass(frozen=True, slots=True)
class Decision:
    """What a reviewer decided about a note, once.

    Attributes:
        note_id: Name of the note.
        sha256: SHA-256 of the text that was shown.
        note: The text.
        given: Id of the label that the note had, "" if none.
        suggested: Id of the label that was suggested.
        right: Id of the label that the reviewer chose; "" unless the action is accept (the suggested label is right) or
            correct (another is).
        action: What the reviewer did; undo takes back the reviewer's last decision about the note.
        reviewer: Name of the reviewer.
        time: When, ISO 8601 in UTC.
        reason: Why, in the reviewer's words.
        group: Group of the note, such as the patient.

    Raises:
        ValueError: If reviewer or note have no name, or ``right`` does not go with the action.
    """

    note_id: str
    sha256: str
    note: str
    given: str
    suggested: str
    right: str
    action: Action
    reviewer: str
    time: str
    reason: str = ""
    group: str = ""

    def __post_init__(self) -> None:
        for name in ("note_id", "reviewer"):
            if not getattr(self, name).strip():
                raise ValueError(f"{name} must not be blank, got {getattr(self, name)!r}")
        labelled = self.action in _LABELLING
        if labelled != bool(self.right) or (labelled and (self.right == self.suggested) != (self.action == "accept")):
            raise ValueError(
                f"the action {self.action.value!r} does not go with right {self.right!r} where {self.suggested!r} was "
                "suggested: accept repeats the suggestion, correct names another label, the others name none"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self)


def now() -> str:
    """Return the time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def append_decision(path: str | Path, decision: Decision) -> None:
    """Add a line to the file of decisions and wait until the disk has it; the file is made if need be.

    A last line without its end, from a machine that stopped while it wrote, is moved to ``<file>.torn`` first.
    """
    file = Path(path)
    _set_torn_line_aside(file)
    line = (json.dumps(decision.to_dict(), ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE)
    try:
        written = os.write(handle, line)
        if written != len(line):
            raise OSError(f"only {written} of {len(line)} bytes went to {file}; make room on the disk and decide again")
        os.fsync(handle)
    finally:
        os.close(handle)


def _set_torn_line_aside(file: Path) -> None:
    if not file.is_file() or not file.stat().st_size:
        return
    with file.open("rb+") as stream:
        stream.seek(-1, os.SEEK_END)
        if stream.read(1) == b"\n":
            return
        stream.seek(0)
        content = stream.read()
        whole = content.rfind(b"\n") + 1
        with file.with_name(file.name + ".torn").open("ab") as torn:
            torn.write(content[whole:] + b"\n")
        stream.truncate(whole)


def read_decisions(path: str | Path) -> tuple[Decision, ...]:
    """Read every decision that was ever made, undone ones too, in order.

    Raises:
        CorpusError: If the file is missing or a line is no decision.
    """
    return tuple(_decision(record) for record in json_rows(Path(path)))


def _decision(record: Row) -> Decision:
    names = {field.name for field in fields(Decision)}
    values: dict[str, Any] = {name: record.string(name) for name in names}
    try:
        return Decision(**{**values, "action": Action(values["action"])})
    except ValueError as error:
        raise CorpusError(str(error), file=record.file, record=record.line) from error


def standing(decisions: Iterable[Decision]) -> dict[tuple[str, str], Decision]:
    """Return what stands after all undoing: the last decision of each reviewer about each note, by note and reviewer.

    Raises:
        ValueError: If there is nothing that an undo could take back.
    """
    made: dict[tuple[str, str], list[Decision]] = defaultdict(list)
    for decision in decisions:
        key = decision.note_id, decision.reviewer
        if decision.action is not Action.UNDO:
            made[key].append(decision)
        elif made[key]:
            made[key].pop()
        else:
            raise ValueError(f"{decision.reviewer!r} undid nothing of note {decision.note_id!r}; is a line missing?")
    return {key: stack[-1] for key, stack in made.items() if stack}


@dataclass(frozen=True, slots=True)
class Change:
    """A label that was changed or confirmed.

    Attributes:
        note_id: Name of the note.
        before: Id of the label that it had.
        after: Id of the label that it has now; the same if it was confirmed.
        reviewers: Who decided so.
        time: When the last of them did.
        reasons: Why, where they said so.
    """

    note_id: str
    before: str
    after: str
    reviewers: tuple[str, ...]
    time: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Conflict:
    """A note whose reviewers chose different labels; it keeps the label that it had.

    Attributes:
        note_id: Name of the note.
        given: Id of its label.
        choices: Reviewer and chosen label.
    """

    note_id: str
    given: str
    choices: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Corrected:
    """Notes after review.

    Attributes:
        notes: The notes, in order, with new labels where reviewers agree on one.
        changes: The decisions that were applied, confirmations too, in the order of the notes.
        conflicts: Notes left as they were because reviewers disagree.
        unsure: Names of notes that a reviewer was unsure of and nobody labelled.
        stale: Names of notes of which the text or the label is no longer what was reviewed; nothing was applied.
        unmatched: Names in the decisions that are not among the notes.
    """

    notes: tuple[LabelledNote, ...]
    changes: tuple[Change, ...]
    conflicts: tuple[Conflict, ...]
    unsure: tuple[str, ...]
    stale: tuple[str, ...]
    unmatched: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all but the notes as plain JSON values."""
        return {name: value for name, value in asdict(self).items() if name != "notes"}

    def __str__(self) -> str:
        changed = sum(change.before != change.after for change in self.changes)
        parts = [f"{changed} labels changed, {len(self.changes) - changed} confirmed"]
        for name in ("conflicts", "unsure", "stale", "unmatched"):
            if count := len(getattr(self, name)):
                parts.append(f"{count} {name}")
        return ", ".join(parts)


def apply_corrections(
    notes: Sequence[LabelledNote], decisions: Iterable[Decision], *, labels: Collection[str] | None = None
) -> Corrected:
    """Give notes the labels that their reviewers chose.

    Args:
        notes: The notes as they were reviewed; they are not changed.
        decisions: What reviewers decided, in the order in which they did, from one file or several.
        labels: Ids that a label must be among; a ``LabelSet`` serves too.

    Returns:
        The notes with what was applied and what was not. Where reviewers disagree nothing is applied.

    Raises:
        ValueError: If a chosen label is not among ``labels``, or two notes share an id.
    """
    by_note: dict[str, list[Decision]] = defaultdict(list)
    for decision in standing(decisions).values():
        if labels is not None and decision.right and decision.right not in labels:
            raise ValueError(
                f"{decision.reviewer!r} gave note {decision.note_id!r} the label {decision.right!r}, which is not in "
                "the label set; add it, or undo that decision"
            )
        by_note[decision.note_id].append(decision)
    ids = note_ids(notes)
    kept, changes, conflicts, unsure, stale = list(notes), [], [], [], []
    for place, (name, note) in enumerate(zip(ids, notes, strict=True)):
        made = by_note.pop(name, [])
        votes = [decision for decision in made if decision.right]
        if not _fit(made, note):
            stale.append(name)
        elif len({decision.right for decision in votes}) > 1:
            conflicts.append(Conflict(name, note.label, tuple(sorted((one.reviewer, one.right) for one in votes))))
        elif votes:
            kept[place] = replace(note, label=votes[0].right)
            changes.append(_change(name, note.label, votes))
        elif any(decision.action is Action.UNSURE for decision in made):
            unsure.append(name)
    return Corrected(tuple(kept), tuple(changes), tuple(conflicts), tuple(unsure), tuple(stale), tuple(sorted(by_note)))


def _fit(made: Sequence[Decision], note: LabelledNote) -> bool:
    """Whether the note is what was reviewed, or what these decisions made of it."""
    known = {label for decision in made for label in (decision.given, decision.right)}
    return all(decision.sha256 == text_hash(note.text) for decision in made) and (not made or note.label in known)


def _change(name: str, before: str, votes: Sequence[Decision]) -> Change:
    ordered = sorted(votes, key=lambda one: (one.time, one.reviewer))
    return Change(
        note_id=name,
        before=before,
        after=ordered[-1].right,
        reviewers=tuple(one.reviewer for one in ordered),
        time=ordered[-1].time,
        reasons=tuple(one.reason for one in ordered if one.reason),
    )


def preference_rows(decisions: Iterable[Decision]) -> Iterator[dict[str, str]]:
    """Yield what ``radrag.training.Correction`` takes of every decision that stands against its suggestion.

    Notes on which reviewers disagree are left out.
    """
    by_note: dict[str, list[Decision]] = defaultdict(list)
    for decision in standing(decisions).values():
        if decision.right:
            by_note[decision.note_id].append(decision)
    for votes in by_note.values():
        last = votes[-1]
        if len({vote.right for vote in votes}) == 1 and last.right != last.suggested:
            names = ("note", "suggested", "right", "group")
            yield {**{name: getattr(last, name) for name in names}, "id": last.note_id}
