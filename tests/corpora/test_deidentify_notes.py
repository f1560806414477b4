"""The shipped notes with planted identifiers: their form, and that the rules keep finding what they found."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from radrag.corpora import load_phi_notes, verify
from radrag.corpora.deidentify import IdentifierKind, deidentify
from radrag.corpora.phi_notes import read_phi_notes
from radrag.errors import CorpusError

FOLDER = Path(__file__).resolve().parents[2] / "corpora" / "phi-notes"


def test_the_notes_are_what_their_card_says() -> None:
    assert verify(FOLDER) == []
    notes = load_phi_notes()
    assert len(notes) == len({note.text for note in notes}) == 66
    counts = Counter(span.kind for note in notes for span in note.spans)
    assert set(counts) == set(IdentifierKind)
    assert sum(counts.values()) == 459
    assert sum(not note.spans for note in notes) == 6


def test_most_of_what_was_planted_is_masked_and_little_else() -> None:
    planted = found = marked = right = 0
    for note in load_phi_notes():
        masked = {at for span in deidentify(note.text).spans for at in range(span.start, span.end)}
        truth = {at for span in note.spans for at in range(span.start, span.end)}
        planted += len(note.spans)
        found += sum(
            all(at in masked or not note.text[at].isalnum() for at in range(s.start, s.end)) for s in note.spans
        )
        marked += sum(note.text[at].isalnum() for at in masked)
        right += sum(note.text[at].isalnum() for at in masked & truth)
    assert found / planted >= 0.95
    assert right / marked >= 0.90


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": 4}, "is not what stands at 4 to 7"),
        ({"end": 99}, "expected offsets after 0 and within 12, got 3 and 99"),
        ({"kind": "shoe"}, "expected one of name, location"),
    ],
)
def test_a_wrong_span_is_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    span = {"start": 3, "end": 7, "text": "Anna", "kind": "name", **change}
    path = tmp_path / "notes.jsonl"
    path.write_text(json.dumps({"id": "a", "type": "t", "text": "Pt Anna fell", "spans": [span]}) + "\n", "utf-8")
    with pytest.raises(CorpusError, match=message):
        list(read_phi_notes(path))
