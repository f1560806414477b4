import json
from dataclasses import FrozenInstanceError, replace

import pytest

from radrag.corpora.retractions import is_evidence
from radrag.types import (
    NOTICE,
    Answer,
    Citation,
    Claim,
    Document,
    Hit,
    LabelResult,
    Passage,
    Span,
    Verdict,
)

CITATION = Citation(1, "PMID:111", 7, 12, 24, "CT\nworks well", "Does CT work?", ("Results",), "https://x.org/1", 2018)
ANSWER = Answer(
    "Does CT work?",
    (Claim("CT works well.", (CITATION, CITATION), True, 1.0), Claim("It is cheap.", (), False, 0.1)),
    Verdict("yes", {"yes": 0.8, "no": 0.1, "maybe": 0.1}),
    evidence=(Hit(Passage("PMID:111", 12, 24, "CT\nworks well", metadata={"year": 2018}), 1.0),),
    confidence=0.7,
)


def test_retracted_document() -> None:
    assert Document("a", "text", metadata={"retracted": True}).retracted
    assert not Document("a", "text").retracted


def test_search_text_leaves_a_repeated_title_out() -> None:
    assert Passage("a", 0, 4, "text", ("Title", "Safety", "Dose"), "Title").search_text == "Title\nSafety > Dose\ntext"
    assert Passage("a", 0, 4, "text").search_text == "text"


def test_records_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        CITATION.key = 2  # type: ignore[misc]


def test_text_marks_citations_once_and_what_is_unsupported() -> None:
    assert ANSWER.text == "CT works well. [1] It is cheap. [unsupported]"
    assert ANSWER.citations == (CITATION, CITATION)


def test_print_is_one_block_with_each_source_once() -> None:
    assert str(ANSWER).splitlines() == [
        "Q: Does CT work?",
        "Yes (probability 0.80)",
        "- CT works well. [1]",
        "- It is cheap. [unsupported]",
        "Sources",
        "  [1] Does CT work? Results. 2018. https://x.org/1 (PMID:111:12-24)",
        "      “CT works well”",
        f"({NOTICE})",
    ]


def test_abstention_prints_its_reason_and_drafts() -> None:
    answer = Answer("Q?", ANSWER.claims[1:], abstained=True, reason="too little", unknown_citations=("[9]",))
    assert answer.text == ""
    assert str(answer).splitlines() == [
        "Q: Q?",
        "No answer: too little",
        "  drafted: It is cheap. [unsupported]",
        "Invented citations, removed: [9]",
        f"({NOTICE})",
    ]


def test_verdict_without_probability_and_warnings() -> None:
    lines = str(Answer("Q?", verdict=Verdict("no", {}), warnings=("cut off",))).splitlines()
    assert lines[1:3] == ["No (probability not stated)", "! cut off"]


def test_long_claims_are_wrapped() -> None:
    lines = str(Answer("Q?", (Claim("word " * 60, (), False, 0.0),))).splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[2].startswith("  word")


def test_to_dict_is_json() -> None:
    stored = json.loads(json.dumps(ANSWER.to_dict()))
    assert stored["text"] == ANSWER.text
    assert stored["claims"][0]["citations"][0]["quote"] == CITATION.quote
    assert stored["verdict"]["probability"]["yes"] == 0.8
    assert stored["evidence"][0]["passage"]["metadata"] == {"year": 2018}


def test_label_result_prints_and_is_json() -> None:
    result = LabelResult(
        "r/o\nPE", "ct-pe", 0.8, (("ct-pe", 0.8), ("ct-chest", 0.2)), evidence=(Span(4, 6, "PE"),),
        citations=(CITATION,), warnings=("old",),
    )  # fmt: skip
    assert str(result).splitlines()[:4] == [
        "ct-pe (uncalibrated score 0.80)",
        "  or: ct-chest 0.20",
        "  note: r/o PE",
        "  because: “PE”",
    ]
    assert str(result).splitlines()[-1] == "  Note: old"
    assert json.loads(json.dumps(result.to_dict()))["ranking"][0] == ["ct-pe", 0.8]


@pytest.mark.parametrize(
    ("said", "retracted"),
    [("False", False), ("no", False), (0, False), ("", False), (None, False), ("yes", True), (1, True), ("2021", True)],
)
def test_a_field_retracted_is_read_not_taken_for_true(said: object, retracted: bool) -> None:
    metadata = {"retracted": said}
    passage = Passage("a", 0, 4, "text", metadata=metadata)
    assert Document("a", "text", metadata=metadata).retracted is (not is_evidence(passage)) is retracted
    assert not is_evidence(replace(passage, flags=("retracted",)))
