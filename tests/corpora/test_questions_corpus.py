"""Checks of the question corpus: its form, and its agreement with the documents that answer the questions."""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from radrag.corpora import Fields, read_jsonl, read_markdown, read_questions
from radrag.corpora.reports import read_conflicts
from radrag.types import Document

CORPORA = Path(__file__).resolve().parents[2] / "corpora"
QUESTIONS = CORPORA / "questions" / "questions.jsonl"
KEYS = ["id", "question", "type", "verdict", "answer", "answerable", "gold", "why", "turns_on"]
TURNS = {"two sources", "conflict", "patient fact"}
SPAN_KEYS = ["document_id", "start", "end", "quote"]
TYPES = {"yesno", "factoid", "list", "summary"}
WHY = {
    "near miss: topic present, fact absent",
    "wrong premise",
    "out of scope",
    "only a retracted source",
}
RUN = 8
OVERLAP = 0.4  # of a question's longer words, at most, in its gold quotes


@cache
def load_rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]


@cache
def load_documents() -> dict[str, Document]:
    digests = read_jsonl(CORPORA / "evidence" / "digests.jsonl", Fields(kind="digest"))
    return {document.id: document for document in [*read_markdown(CORPORA / "protocols"), *digests]}


def answerable_rows() -> list[dict[str, Any]]:
    return [row for row in load_rows() if row["answerable"]]


def unanswerable_rows() -> list[dict[str, Any]]:
    return [row for row in load_rows() if not row["answerable"]]


def row_params(rows: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(row, id=row["id"]) for row in rows]


def runs(text: str, length: int) -> set[tuple[str, ...]]:
    """Return every run of `length` words, in lower case and without punctuation."""
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[start : start + length]) for start in range(len(words) - length + 1)}


def is_whole(text: str, start: int, end: int) -> bool:
    """Say whether a span begins where a sentence can begin and ends where one ends."""
    begins = start == 0 or text[start - 1] == "\n" or re.search(r"(?:[.?] |\n- )\Z", text[:start]) is not None
    return begins and text[end - 1] in ".?" and (end == len(text) or text[end].isspace())


def test_the_library_reads_the_file() -> None:
    questions = list(read_questions(QUESTIONS))
    assert [question.id for question in questions] == [row["id"] for row in load_rows()]
    assert [len(question.gold) for question in questions] == [len(row["gold"]) for row in load_rows()]


def test_ids_and_questions_are_unique() -> None:
    rows = load_rows()
    assert [row["id"] for row in rows] == [f"q{number:03d}" for number in range(1, len(rows) + 1)]
    assert len({row["question"].lower() for row in rows}) == len(rows)


def test_there_are_enough_of_every_kind() -> None:
    types = Counter(row["type"] for row in answerable_rows())
    assert len(load_rows()) >= 260
    assert len(answerable_rows()) >= 200
    assert len(unanswerable_rows()) >= 60
    assert types["yesno"] >= 60
    assert types["factoid"] >= 50
    assert types["list"] >= 20
    assert types["summary"] >= 30


def test_some_questions_turn_on_more_than_one_sentence() -> None:
    turns = Counter(what for row in load_rows() for what in row["turns_on"])
    assert set(turns) == TURNS
    assert turns["two sources"] >= 30
    assert turns["conflict"] >= 10
    assert turns["patient fact"] >= 30
    for row in answerable_rows():
        if "two sources" in row["turns_on"]:
            assert len({span["document_id"] for span in row["gold"]}) >= 2, row["id"]


def test_questions_on_a_conflict_cite_both_sides() -> None:
    sets = [set(conflict.documents) for conflict in read_conflicts(CORPORA / "evidence" / "conflicts.yaml")]
    for row in answerable_rows():
        if "conflict" in row["turns_on"]:
            cited = {span["document_id"] for span in row["gold"]}
            assert len(cited) >= 2, row["id"]
            assert row["verdict"] in ("maybe", None), row["id"]
    conflicts = [row for row in answerable_rows() if "conflict" in row["turns_on"]]
    known = [row for row in conflicts if any(len(one & {s["document_id"] for s in row["gold"]}) >= 2 for one in sets)]
    assert len(known) >= 10


def test_no_verdict_prevails() -> None:
    verdicts = Counter(row["verdict"] for row in answerable_rows() if row["type"] == "yesno")
    assert min(verdicts["yes"], verdicts["no"]) >= 25
    assert verdicts["maybe"] >= 15
    assert max(verdicts.values()) <= sum(verdicts.values()) / 2


def test_both_corpora_answer_about_half() -> None:
    evidence = [row for row in answerable_rows() if row["gold"][0]["document_id"].startswith("PMID:")]
    assert 0.4 <= len(evidence) / len(answerable_rows()) <= 0.6


def test_several_questions_need_two_documents() -> None:
    assert sum(len({span["document_id"] for span in row["gold"]}) > 1 for row in answerable_rows()) >= 8


@pytest.mark.parametrize("row", row_params(load_rows()))
def test_form(row: dict[str, Any]) -> None:
    assert list(row) == KEYS
    assert row["type"] in TYPES
    assert isinstance(row["answerable"], bool)
    assert row["question"].strip() == row["question"] != ""
    assert row["question"].endswith(("?", "."))
    wants_verdict = row["answerable"] and row["type"] == "yesno"
    assert (row["verdict"] in {"yes", "no", "maybe"}) if wants_verdict else row["verdict"] is None


@pytest.mark.parametrize("row", row_params(answerable_rows()))
def test_gold_quotes_are_sentences_of_their_documents(row: dict[str, Any]) -> None:
    assert row["gold"]
    for span in row["gold"]:
        assert list(span) == SPAN_KEYS
        document = load_documents()[span["document_id"]]
        assert document.text[span["start"] : span["end"]] == span["quote"]
        assert document.text.count(span["quote"]) == 1
        assert is_whole(document.text, span["start"], span["end"])
        assert not document.metadata.get("retracted")


@pytest.mark.parametrize("row", row_params(answerable_rows()))
def test_answer_is_short_and_agrees_with_the_verdict(row: dict[str, Any]) -> None:
    assert row["why"] is None
    assert 1 <= len(row["answer"].split()) <= 50
    first = re.findall(r"\w+", row["answer"].lower())[0]
    if row["verdict"] in {"yes", "no"}:
        assert first == row["verdict"]
    elif row["verdict"] == "maybe":
        assert first not in {"yes", "no"}


@pytest.mark.parametrize("row", row_params(answerable_rows()))
def test_question_is_not_a_copy_of_its_quotes(row: dict[str, Any]) -> None:
    shared = [runs(row["question"], RUN) & runs(span["quote"], RUN) for span in row["gold"]]
    assert not any(shared)


@pytest.mark.parametrize("row", row_params(answerable_rows()))
def test_question_uses_other_words_than_its_quotes(row: dict[str, Any]) -> None:
    asked = {word for word in re.findall(r"[a-z]{4,}", row["question"].lower())}
    quoted = {word for span in row["gold"] for word in re.findall(r"[a-z]{4,}", span["quote"].lower())}
    assert len(asked & quoted) <= OVERLAP * len(asked)


@pytest.mark.parametrize("row", row_params(unanswerable_rows()))
def test_unanswerable_questions_say_why(row: dict[str, Any]) -> None:
    assert row["why"] in WHY
    assert row["gold"] == []
    assert row["answer"] == ""


def test_every_reason_occurs_and_most_are_near_misses() -> None:
    reasons = Counter(row["why"] for row in unanswerable_rows())
    assert set(reasons) == WHY
    assert reasons["near miss: topic present, fact absent"] > sum(reasons.values()) / 2


def test_run_check_sees_a_copied_run() -> None:
    quote = "One two three, four five six seven eight nine."
    assert runs("Is it so that two three four five six seven eight nine?", RUN) & runs(quote, RUN)
    assert not runs("Is it so that three four five six seven eight nine?", RUN) & runs(quote, RUN)


def test_sentence_check_sees_a_cut_sentence() -> None:
    text = "One is. Two is.\n- Three is."
    assert is_whole(text, 8, 15)
    assert is_whole(text, 18, 27)
    assert not is_whole(text, 9, 15)
    assert not is_whole(text, 8, 14)
