"""Which notes a person should look at first, and the file that the review screen reads."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from radrag.corpora.rows import Row, json_rows
from radrag.errors import CorpusError
from radrag.labelling.groups import normalised
from radrag.labelling.label_set import LabelSet
from radrag.labelling.loop.files import check_same_notes, note_ids, text_hash, write_jsonl
from radrag.labelling.loop.issues import Issue, IssueKind
from radrag.labelling.near import near_pairs
from radrag.types import LabelledNote, LabelResult

FORMAT = 1
RIVALS = 5
_ALIKE = 0.5  # notes as alike as this take turns
_DEEP = 10  # rows looked at for likeness, for each row wanted
_COPIES = {IssueKind.CONFLICT: 4.0, IssueKind.NEAR_DUPLICATE: 2.0}  # what a doubt of score 1 adds to the log-odds
_LEAST = 1e-9


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A note to review, with all that the screen shows of it.

    Attributes:
        note_id: Name of the note.
        sha256: SHA-256 of its text.
        text: The note.
        given: Id of the label that it has, "" if none.
        suggested: Id of the label that is suggested.
        rivals: Ids of the most probable labels, and of the given one, with their probabilities, most probable first.
        value: How probable it is that its label is wrong, from 0 to 1.
        reasons: Why it is here, for a reader, the strongest first.
        evidence: Start and end of what in the note spoke for the labeller's label, the strongest first.
        guideline: Label, title, heading, quote and url of the guideline passage that backs it; empty if there is none.
        calibrated: Whether the probabilities are calibrated.
        group: Group of the note, such as the patient, "" if it has none.
    """

    note_id: str
    sha256: str
    text: str
    given: str
    suggested: str
    rivals: tuple[tuple[str, float], ...]
    value: float
    reasons: tuple[str, ...]
    evidence: tuple[tuple[int, int], ...]
    guideline: Mapping[str, str]
    calibrated: bool
    group: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Queue:
    """Notes to review, and the labels to choose from.

    Attributes:
        rows: The notes, the most valuable first, each once.
        labels: Id, name, definition and synonyms of every label.
        made_with: Hash of what made it: the file's place in the history of the loop.
    """

    rows: tuple[QueueRow, ...]
    labels: tuple[Mapping[str, Any], ...]
    made_with: str = ""


def review_queue(
    notes: Sequence[LabelledNote],
    results: Sequence[LabelResult],
    issues: Iterable[Issue] = (),
    *,
    reviewed: Collection[str] = (),
    limit: int | None = None,
) -> tuple[QueueRow, ...]:
    """Order notes by what a look at them is worth.

    The value is the probability that the label is wrong: what the labeller gives to all other labels, which holds both
    how far it disagrees and how unsure it is, with odds raised by copies and near copies of another label. A note
    without a label counts by its most probable one. Confident learning rests on the same probabilities, and labels that
    are easily confused are no sign of a mistake; both say why a note is here, and do not move it. Of notes that are
    alike (a shared ``group``, copies, or half of their word triples) the second counts half, the third a third, so that
    copies of one mistake do not fill the top.

    Args:
        notes: The notes; a label of "" is none.
        results: What a labeller says of them that has not seen their labels.
        issues: Doubts, from ``find_label_issues``.
        reviewed: Names of notes to leave out.
        limit: Most rows.

    Raises:
        ValueError: If results are not of these notes, an issue is of another note, or ``limit`` is below 1.
    """
    check_same_notes(notes, results)
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}; leave it out for no limit")
    ids = note_ids(notes)
    doubts = _by_note(issues, ids)
    done = set(reviewed)
    rows = [
        _row(name, note, result, doubts.get(name, []))
        for name, note, result in zip(ids, notes, results, strict=True)
        if name not in done
    ]
    rows.sort(key=lambda row: (-row.value, row.note_id))
    if limit is not None:
        rows = rows[: limit * _DEEP]
    return tuple(_spread(rows)[:limit])


def _by_note(issues: Iterable[Issue], ids: Sequence[str]) -> dict[str, list[Issue]]:
    known, found = set(ids), defaultdict(list)
    for issue in issues:
        if issue.note_id not in known:
            raise ValueError(f"an issue is of note {issue.note_id!r}, which is not among the notes; find issues anew")
        found[issue.note_id].append(issue)
    return found


def _row(name: str, note: LabelledNote, result: LabelResult, doubts: list[Issue]) -> QueueRow:
    doubts = sorted(doubts, key=lambda issue: (-issue.score, issue.kind))
    margin = result.ranking[0][1] - (result.ranking[1][1] if len(result.ranking) > 1 else 0.0)
    reasons = [issue.why for issue in doubts]
    if margin < 0.5 and len(result.ranking) > 1:
        reasons.append(f"the labeller wavers between {result.ranking[0][0]!r} and {result.ranking[1][0]!r}")
    return QueueRow(
        note_id=name,
        sha256=text_hash(note.text),
        text=note.text,
        given=note.label,
        suggested=_suggested(result, doubts),
        rivals=tuple(pair for place, pair in enumerate(result.ranking) if place < RIVALS or pair[0] == note.label),
        value=_value(note, result, doubts),
        reasons=tuple(dict.fromkeys(reasons)),
        evidence=tuple((span.start, span.end) for span in result.evidence),
        guideline=_guideline(result),
        calibrated=result.calibrated,
        group=note.group,
    )


def _value(note: LabelledNote, result: LabelResult, doubts: Sequence[Issue]) -> float:
    probability = dict(result.ranking)
    labels = {note.label or result.label, *note.also}
    right = min(max(sum(probability.get(label, 0.0) for label in labels), _LEAST), 1 - _LEAST)
    odds = math.log((1 - right) / right) + sum(_COPIES.get(issue.kind, 0.0) * issue.score for issue in doubts)
    return 1 / (1 + math.exp(-odds))


def _suggested(result: LabelResult, doubts: Sequence[Issue]) -> str:
    """Return the label with most behind it: the labeller's vote, and the doubts'."""
    votes = {result.label: 1.0}
    for issue in doubts:
        votes[issue.suggested] = votes.get(issue.suggested, 0.0) + issue.score
    probability = dict(result.ranking)
    return min(votes, key=lambda label: (-votes[label], -probability.get(label, 0.0), label))


def _guideline(result: LabelResult) -> dict[str, str]:
    if not result.citations:
        return {}
    citation = result.citations[0]
    heading = " > ".join(part for part in citation.path if part != citation.title)
    parts = {"title": citation.title, "heading": heading, "quote": citation.quote, "url": citation.url}
    return {"label": result.label, "document": citation.document_id, **parts}


def _spread(rows: Sequence[QueueRow]) -> list[QueueRow]:
    """Let notes that are alike take turns with the others."""
    placed: Counter[int] = Counter()
    worth = []
    for cluster, row in zip(_alike(rows), rows, strict=True):
        placed[cluster] += 1
        worth.append((row.value / placed[cluster], row))
    return [row for _, row in sorted(worth, key=lambda entry: (-entry[0], -entry[1].value, entry[1].note_id))]


def _alike(rows: Sequence[QueueRow]) -> list[int]:
    texts: dict[str, int] = {}
    groups: dict[str, int] = {}
    links = []
    for place, row in enumerate(rows):
        links.append((place, texts.setdefault(normalised(row.text), place)))
        if row.group:
            links.append((place, groups.setdefault(row.group, place)))
    firsts = list(texts.values())
    pairs = near_pairs(list(texts), _ALIKE, lambda one, other: False)
    links.extend((firsts[one], firsts[other]) for one, other, _ in pairs)
    if not links:
        return []
    left, right = np.asarray(links).T
    graph = coo_array((np.ones(len(links), dtype=np.int8), (left, right)), shape=(len(rows), len(rows)))
    return [int(cluster) for cluster in connected_components(graph, directed=False)[1]]


def known_labels(labels: LabelSet) -> tuple[dict[str, Any], ...]:
    """Return of each label what the review screen shows and searches."""
    return tuple(
        {"id": one.id, "name": one.name, "definition": one.definition, "synonyms": list(one.synonyms)} for one in labels
    )


def write_queue(path: str | Path, queue: Queue) -> None:
    """Write a queue as JSON Lines that only their owner can read: a head with the labels, then the rows."""
    head = {"review_queue": FORMAT, "labels": list(queue.labels), "made_with": queue.made_with}
    write_jsonl(Path(path), [head, *(row.to_dict() for row in queue.rows)])


def read_queue(path: str | Path) -> Queue:
    """Read what ``write_queue`` wrote.

    Raises:
        CorpusError: If the file is no queue, or a row of it cannot be read.
    """
    file = Path(path)
    records = json_rows(file)
    head = next(records, None)
    if head is None or head.values.get("review_queue") != FORMAT:
        raise CorpusError(
            f"is no review queue of format {FORMAT}; make one with: radrag label issues", file=file, record=1
        )
    labels = head.values.get("labels")
    if not isinstance(labels, list) or not labels:
        raise CorpusError("holds no labels; make the queue again", file=file, record=1)
    rows = tuple(_read(record, {label["id"] for label in labels}) for record in records)
    names = Counter(row.note_id for row in rows)
    if twice := [name for name, count in names.items() if count > 1]:
        raise CorpusError(f"the note {twice[0]!r} occurs twice; make the queue again", file=file)
    return Queue(rows, tuple(labels), str(head.values.get("made_with", "")))


def _read(record: Row, labels: Collection[str]) -> QueueRow:
    names = {field.name for field in fields(QueueRow)}
    if lacking := names - record.values.keys():
        record.fail(f"lacks {', '.join(sorted(lacking))}; make the queue again")
    values = {name: record.values[name] for name in names}
    if text_hash(record.filled("text")) != values["sha256"]:
        record.fail("the text is not the one that was hashed; make the queue again", "text")
    if values["suggested"] not in labels:
        record.fail(f"{values['suggested']!r} is not among the labels of the queue; make it again", "suggested")
    values["rivals"] = tuple((name, float(probability)) for name, probability in values["rivals"])
    values["evidence"] = tuple((int(start), int(end)) for start, end in values["evidence"])
    values["reasons"] = tuple(values["reasons"])
    return QueueRow(**values)
