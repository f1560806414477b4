"""Comparisons of made-up outputs, with figures worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from radrag.evaluation import compare
from radrag.evaluation.compare import Comparison, Row
from radrag.metrics import Estimate, McNemar
from radrag.types import Answer, Citation, Claim, GoldSpan, LabelledNote, LabelResult, Question, Verdict


class Fake:
    """Gives outputs in order."""

    def __init__(self, outputs: Sequence[Any]) -> None:
        self.outputs = list(outputs)

    def batch(self, texts: Sequence[str]) -> list[Any]:
        assert len(texts) == len(self.outputs)
        return self.outputs


def question(number: int, verdict: str | None = "yes", *, answerable: bool = True) -> Question:
    gold = (GoldSpan("d", 0, 4, "salt"),) if answerable else ()
    return Question(
        f"q{number}", f"Is it {number}?", "yesno", verdict, "yes salt" if answerable else "", gold, answerable
    )


def answer(verdict: str | None = None, *, cites: str = "", abstained: bool = False) -> Answer:
    citations = (Citation(1, cites, 0, 0, 4, "salt"),) if cites else ()
    claims = (Claim("salt", citations, bool(cites), 1.0),)
    made = None if verdict is None else Verdict(verdict, {})
    return Answer("q", claims, made, abstained, manifest={"reader": "fake", "question_sha256": "x"})


def label(name: str, probability: float = 1.0, held: tuple[str, ...] = ()) -> LabelResult:
    return LabelResult("n", name, probability, ((name, probability),), held)


QUESTIONS = [question(1), question(2), question(3, answerable=False), question(4, answerable=False)]
OURS = [answer("yes", cites="d"), answer("no", cites="other"), answer(abstained=True), answer("yes")]
THEIRS = [answer(abstained=True), answer(), answer(abstained=True), answer(abstained=True)]


def figures(made: Comparison) -> dict[str, tuple[float, float, int]]:
    return {row.metric: (row.system.value, row.baseline.value, row.system.n) for row in made.rows}


def test_questions_by_hand() -> None:
    # Token F1 with "yes salt": "yes salt" 1, "no salt" 1/2; an abstention says nothing: 0; "salt" alone 2/3.
    found = figures(compare(Fake(OURS), Fake(THEIRS), QUESTIONS))
    assert found.pop("answer token F1") == pytest.approx((0.75, 1 / 3, 2))
    assert found == {
        "right verdict": (0.5, 0.0, 2),
        "cites a gold source": (0.5, 0.0, 2),
        "answers what can be answered": (1.0, 0.5, 2),
        "abstains where nothing answers": (0.5, 1.0, 2),
    }


def test_an_abstention_with_the_right_verdict_is_wrong() -> None:
    sides = [answer("yes", abstained=True)] * 2
    assert figures(compare(Fake(sides), Fake(OURS[:2]), QUESTIONS[:2]))["right verdict"] == (0.0, 0.5, 2)


def test_what_cannot_be_scored_is_counted() -> None:
    made = compare(Fake(OURS[:3]), Fake(THEIRS[:3]), QUESTIONS[:3])
    assert made.unscored == {"abstains where nothing answers: fewer than 2 items": 1}
    assert made.items == 3
    assert "not scored: 1 (abstains where nothing answers" in str(made)


def test_differences_and_mcnemar_are_paired() -> None:
    made = compare(Fake(OURS), Fake(THEIRS), QUESTIONS)
    row = next(row for row in made.rows if row.metric == "answers what can be answered")
    assert row.difference.value == 0.5
    assert row.test == McNemar(1, 1, 0, 0, 1.0)


def test_notes_by_hand() -> None:
    # Labels a a b b; ours a a b a: F1 of a 4/5, of b 2/3. Theirs a b a b: 1/2 each.
    notes = [LabelledNote(str(n), name) for n, name in enumerate("aabb")]
    ours = [label(name, 0.75, ("a",)) for name in "aaba"]
    theirs = [label(name, 1.0, ("a", "b")) for name in "abab"]
    made = compare(Fake(ours), Fake(theirs), notes)
    found = figures(made)
    assert found["accuracy"] == (0.75, 0.5, 4)
    assert found["macro-F1"] == pytest.approx(((4 / 5 + 2 / 3) / 2, 0.5, 4))
    assert found["calibration error (ECE)"] == pytest.approx((0.0, 0.5, 4))
    assert found["set holds the label"] == (0.5, 1.0, 4)
    assert found["size of the set"] == (1.0, 2.0, 4)
    assert [row.metric for row in made.rows if not row.higher_is_better] == [
        "calibration error (ECE)",
        "size of the set",
    ]


def test_any_acceptable_label_is_right() -> None:
    notes = [LabelledNote("1", "a", also=("c",)), LabelledNote("2", "b")]
    made = compare(Fake([label("c"), label("b")]), Fake([label("b"), label("b")]), notes)
    assert figures(made)["accuracy"] == (1.0, 0.5, 2)
    assert made.unscored == {"label sets: not fitted": 2}


@pytest.mark.parametrize("items", [[], [question(1)], [question(1), LabelledNote("n", "a")], ["a", "b"]])
def test_too_few_or_mixed_items(items: list[Any]) -> None:
    with pytest.raises(ValueError, match="at least 2 Questions or 2 LabelledNotes, got"):
        compare(Fake([]), Fake([]), items)


def test_to_dict_is_json_and_keeps_the_manifest() -> None:
    made = compare(Fake(OURS), Fake(THEIRS), QUESTIONS, seed=3, names=("new", "old"))
    kept = json.loads(json.dumps(made.to_dict()))
    assert kept["manifest"] == {"seed": 3, "new": {"reader": "fake"}, "old": {"reader": "fake"}}
    assert len(kept["rows"]) == len(made.rows)
    assert kept == compare(Fake(OURS), Fake(THEIRS), QUESTIONS, seed=3, names=("new", "old")).to_dict()


def test_markdown_is_as_expected() -> None:
    row = Row("m", Estimate(0.5, 0.25, 0.75, 8), Estimate(0.25, 0, 0.5, 8), Estimate(0.25, -0.1, 0.6, 8),
              McNemar(1, 3, 1, 3, 0.625))  # fmt: skip
    assert Comparison((row,), 8).to_markdown() == (
        "| | system | baseline | difference | p |\n"
        "| --- | --- | --- | --- | --- |\n"
        "| m | 0.500 [0.250, 0.750] (n=8) | 0.250 [0.000, 0.500] (n=8) | +0.250 [-0.100, +0.600] | 0.625 |\n"
    )
