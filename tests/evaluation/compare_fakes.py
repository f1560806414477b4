"""Made-up questions, notes and outputs that the tests of comparisons and reports share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from radrag.types import Answer, Citation, Claim, GoldSpan, LabelResult, Question, Verdict


class Fake:
    """Gives outputs in order."""

    def __init__(self, outputs: Sequence[Any]) -> None:
        self.outputs = list(outputs)

    def batch(self, texts: Sequence[str]) -> list[Any]:
        assert len(texts) == len(self.outputs)
        return self.outputs


def question(
    number: int, verdict: str | None = "yes", *, answerable: bool = True, documents: Sequence[str] = ()
) -> Question:
    sources = documents or (f"d{number}",)
    gold = tuple(GoldSpan(name, 0, 4, "salt") for name in sources) if answerable else ()
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
