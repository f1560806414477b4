"""The shipped questions about single documents: balance, splits, and what the reader refuses."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from radrag.corpora import load_evidence, load_near_misses, load_protocols, load_questions, read_document_questions
from radrag.errors import CorpusError

SPLITS = {split: load_near_misses(split) for split in ("development", "test")}
TEXTS = {document.id: document.text for document in (*load_protocols(), *load_evidence())}


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def test_each_document_has_two_of_each_and_the_splits_share_none() -> None:
    development, test = SPLITS.values()
    for questions in (development, test):
        counts = Counter((one.document_id, one.answered) for one in questions)
        assert set(counts.values()) == {2}
        assert len(counts) == 2 * len({one.document_id for one in questions})
        assert len({one.text for one in questions}) == len(questions)
        assert all(one.text.endswith("?") for one in questions)
    assert not {one.document_id for one in development} & {one.document_id for one in test}
    assert {one.document_id for one in test} <= set(TEXTS)


def test_none_is_among_the_shipped_questions() -> None:
    known = {question.text.lower() for question in load_questions()}
    assert not [one.id for questions in SPLITS.values() for one in questions if one.text.lower() in known]


@pytest.mark.parametrize("split", SPLITS)
def test_the_question_alone_does_not_tell(split: str) -> None:
    figures = {}
    for answered in (True, False):
        chosen = [one for one in SPLITS[split] if one.answered is answered]
        known = [one for one in chosen if one.document_id in TEXTS]
        shared = [sum(w in words(TEXTS[o.document_id]) for w in words(o.text)) / len(words(o.text)) for o in known]
        polar = [
            words(one.text)[0] in {"is", "are", "does", "do", "did", "can", "should", "was", "were"} for one in chosen
        ]
        rows = ([len(words(one.text)) for one in chosen], shared, polar)
        figures[answered] = [sum(map(float, row)) / len(row) for row in rows]
    length, share, form = (abs(a - b) for a, b in zip(figures[True], figures[False], strict=True))
    assert length < 0.5
    assert share < 0.03
    assert form < 0.06


def test_a_wrong_record_and_an_unknown_split_are_named(tmp_path: Path) -> None:
    path = tmp_path / "near.jsonl"
    record = {"id": "a", "document_id": "b", "question": "When?", "answered": "no", "kind": "other"}
    path.write_text(json.dumps(record) + "\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="true or false, got 'no'"):
        list(read_document_questions(path))
    with pytest.raises(ValueError, match="'development' or 'test', got 'all'"):
        load_near_misses("all")  # type: ignore[arg-type]
