"""The order of review and the file of the queue."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radrag.errors import CorpusError
from radrag.labelling import LabelSet
from radrag.labelling.loop import Issue, IssueKind, Queue, known_labels, read_queue, review_queue, write_queue
from radrag.types import Citation, Label, LabelledNote, LabelResult, Span

LABELS = LabelSet([Label("a", "A"), Label("b", "B", "The second.", ("bee",))])


def said(note: LabelledNote, a: float) -> LabelResult:
    ranking = tuple(sorted({"a": a, "b": 1 - a}.items(), key=lambda pair: -pair[1]))
    return LabelResult(note.text, ranking[0][0], ranking[0][1], ranking, calibrated=True)


def words(number: int) -> str:
    """Return a note that shares no word triple with another."""
    return " ".join(f"{chr(97 + number % 26)}{chr(97 + number // 26)}{place * 'z'}" for place in range(5))


def doubt(note_id: str, score: float, suggested: str = "b", kind: IssueKind = IssueKind.CONFLICT) -> Issue:
    return Issue(note_id, kind, "a", suggested, score, f"{kind} {score}")


def test_value_by_hand() -> None:
    notes = [LabelledNote(words(number), "a", f"n{number}") for number in range(4)]
    results = [said(notes[0], 0.9), said(notes[1], 0.2), said(notes[2], 0.55), said(notes[3], 0.9)]
    issues = [doubt("n3", 0.5), doubt("n3", 0.4, kind=IssueKind.SIBLING), doubt("n1", 0.8)]
    rows = review_queue(notes, results, issues)
    value = {row.note_id: row.value for row in rows}
    assert value["n0"] == pytest.approx(0.1)
    assert value["n1"] == pytest.approx(1 / (1 + 0.2 / 0.8 * math.exp(-4 * 0.8)))  # odds of 4, and a copy
    assert value["n2"] == pytest.approx(0.45)
    assert value["n3"] == pytest.approx(1 / (1 + 9 * math.exp(-4 * 0.5)))  # a pair of siblings adds nothing
    assert [row.note_id for row in rows] == ["n1", "n3", "n2", "n0"]
    assert rows[1].reasons == ("conflict 0.5", "sibling 0.4")
    assert "wavers between 'a' and 'b'" in rows[2].reasons[0]
    also = LabelledNote(words(1), "a", "n1", also=("b",))
    assert review_queue([also], [results[1]])[0].value == pytest.approx(0, abs=1e-6)
    assert [row.note_id for row in review_queue(notes, results, issues, reviewed={"n1"}, limit=2)] == ["n3", "n2"]


def test_the_suggestion_is_what_most_speaks_for() -> None:
    note = LabelledNote(words(0), "a", "n0")
    alone = review_queue([note], [said(note, 0.7)])[0]
    assert (alone.suggested, alone.given) == ("a", "a")
    issues = [doubt("n0", 0.9), doubt("n0", 0.6, kind=IssueKind.NEAR_DUPLICATE)]
    assert review_queue([note], [said(note, 0.7)], issues)[0].suggested == "b"
    assert review_queue([note], [said(note, 0.7)], issues[:1])[0].suggested == "a"


def test_notes_that_are_alike_take_turns() -> None:
    same = "worst headache of her life since this morning with a stiff neck"
    notes = [
        LabelledNote(f"{same} {tail}", "a", f"c{place}") for place, tail in enumerate(("today", "now", "8 am", "9 am"))
    ]
    notes += [
        LabelledNote(words(number), "a", f"n{number}", group="patient" if number < 2 else "") for number in range(3)
    ]
    issues = [doubt(note.id, 1 - place / 100) for place, note in enumerate(notes)]
    order = [row.note_id for row in review_queue(notes, [said(note, 0.9) for note in notes], issues)]
    # Without the turns it would be c0 to c3, then n0 to n2.
    assert order[:3] == ["c0", "n0", "n2"]
    assert sorted(order) == sorted(note.id for note in notes)
    assert order.index("c2") > order.index("n1")


def test_raw_notes_without_labels_can_be_queued() -> None:
    notes = [LabelledNote(words(0), "", "n0"), LabelledNote(words(1), "", "n1")]
    rows = review_queue(notes, [said(notes[0], 0.9), said(notes[1], 0.5)])
    assert [(row.note_id, row.given) for row in rows] == [("n1", ""), ("n0", "")]


@given(
    st.lists(st.tuples(st.integers(0, 5), st.floats(0, 1), st.booleans()), min_size=1, max_size=12), st.integers(1, 14)
)
def test_every_note_once_and_the_best_first(rows: list[tuple[int, float, bool]], limit: int) -> None:
    notes = [LabelledNote(f"{words(kind)} {place * 'y'}", "a", f"n{place}") for place, (kind, *_) in enumerate(rows)]
    results = [said(note, share) for note, (_, share, _) in zip(notes, rows, strict=True)]
    issues = [doubt(note.id, 0.5) for note, (*_, doubted) in zip(notes, rows, strict=True) if doubted]
    whole = review_queue(notes, results, issues)
    assert sorted(row.note_id for row in whole) == sorted(note.id for note in notes)
    assert whole[0].value == max(row.value for row in whole)
    assert all(0 <= row.value <= 1 for row in whole)
    assert len(review_queue(notes, results, issues, limit=limit)) == min(limit, len(notes))


def test_what_cannot_be_queued_is_refused() -> None:
    note = LabelledNote("x", "a", "n0")
    with pytest.raises(ValueError, match="limit must be at least 1"):
        review_queue([note], [said(note, 0.5)], limit=0)
    with pytest.raises(ValueError, match="note 'n9'"):
        review_queue([note], [said(note, 0.5)], [doubt("n9", 1)])


def made(tmp_path: Path) -> tuple[Queue, Path]:
    note = LabelledNote("😀 headache, sudden", "a", "n0", "p1")
    cited = Citation(1, "b", 3, 0, 4, "Scan", "B", ("B", "Indications"), "https://example.org/b")
    plain = said(note, 0.4)
    result = LabelResult(note.text, "b", 0.6, plain.ranking, ("b",), (Span(2, 10, "headache"),), (cited,), True)
    queue = Queue(review_queue([note], [result]), known_labels(LABELS), "made")
    path = tmp_path / "queue.jsonl"
    write_queue(path, queue)
    return queue, path


def test_the_file_round_trips(tmp_path: Path) -> None:
    queue, path = made(tmp_path)
    assert read_queue(path) == queue
    row = queue.rows[0]
    assert [row.text[start:end] for start, end in row.evidence] == ["headache"]
    assert row.guideline == {
        **{"label": "b", "document": "b", "title": "B", "heading": "Indications"},
        **{"quote": "Scan", "url": "https://example.org/b"},
    }
    assert queue.labels[1] == {"id": "b", "name": "B", "definition": "The second.", "synonyms": ["bee"]}
    assert path.stat().st_mode & 0o077 == 0
    assert [file.name for file in tmp_path.iterdir()] == ["queue.jsonl"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"text": "altered"}, "not the one that was hashed"),
        ({"suggested": "c"}, "'c' is not among the labels"),
        ({"text": None}, "expected a string"),
    ],
)
def test_a_row_that_was_altered_is_refused(tmp_path: Path, change: dict[str, object], told: str) -> None:
    _, path = made(tmp_path)
    head, row = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    path.write_text(json.dumps(head) + "\n" + json.dumps({**row, **change}) + "\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=told):
        read_queue(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    _, path = made(tmp_path)
    head, row = path.read_text(encoding="utf-8").splitlines()
    for text, told in [("", "no review queue"), (row, "no review queue"), (f"{head}\n{row}\n{row}", "occurs twice"),
                       (f"{head}\n{{}}", "lacks")]:  # fmt: skip
        path.write_text(text + "\n", encoding="utf-8")
        with pytest.raises(CorpusError, match=told):
            read_queue(path)
