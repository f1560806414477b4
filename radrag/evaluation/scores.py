"""How one output is scored against what is known of its item."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radrag.metrics import token_f1
from radrag.types import Answer, LabelledNote, LabelResult, Question


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure that every item has by itself.

    Attributes:
        name: What it is called.
        score: Takes an item and an output; None if the item cannot be scored so (a question without a gold verdict).
        higher_is_better: Whether more is better.
        applies: Takes all outputs of a side; false if they lack what is measured, such as label sets before ``fit``.
        absent: What is said then.
        share: Whether every score is 0 or 1, for wrong or right, so that the figure is a share of items.
    """

    name: str
    score: Callable[[Any, Any], float | None]
    higher_is_better: bool = True
    applies: Callable[[Sequence[Any]], bool] | None = None
    absent: str = ""
    share: bool = False


def verdict_right(question: Question, answer: Answer) -> float | None:
    """Score a yes/no/maybe; an abstention is wrong."""
    if not question.answerable or question.verdict is None:
        return None
    return float(not answer.abstained and answer.verdict is not None and answer.verdict.answer == question.verdict)


def cites_gold(question: Question, answer: Answer) -> float | None:
    """Score whether a document of the gold spans is cited; what an abstention had drafted does not count."""
    wanted = {span.document_id for span in question.gold}
    if not question.answerable or not wanted:
        return None
    return float(not answer.abstained and any(citation.document_id in wanted for citation in answer.citations))


def overlap(question: Question, answer: Answer) -> float | None:
    """Score token F1 with the gold answer; an abstention says nothing, whatever its draft held."""
    if not question.answerable or not question.answer:
        return None
    if answer.abstained:
        return token_f1("", question.answer)
    said = " ".join(claim.text for claim in answer.claims)
    return token_f1(f"{answer.verdict.answer} {said}" if answer.verdict is not None else said, question.answer)


def answers(question: Question, answer: Answer) -> float | None:
    """Score whether what can be answered is answered."""
    return float(not answer.abstained) if question.answerable else None


def abstains(question: Question, answer: Answer) -> float | None:
    """Score whether what cannot be answered is not."""
    return None if question.answerable else float(answer.abstained)


def label_right(note: LabelledNote, result: LabelResult) -> float:
    """Score a label; any acceptable one is right."""
    return float(resolved(note, result.label) == note.label)


def set_holds(note: LabelledNote, result: LabelResult) -> float:
    """Score whether a label set holds an acceptable label; an empty set among fitted ones holds none."""
    return float(bool({note.label, *note.also} & set(result.set)))


def set_size(_: LabelledNote, result: LabelResult) -> float:
    """Count the labels of a set."""
    return float(len(result.set))


def sets_fitted(results: Sequence[LabelResult]) -> bool:
    """Whether any result has a label set."""
    return any(result.set for result in results)


def resolved(note: LabelledNote, label: str) -> str:
    """Count any acceptable label as the right one."""
    return note.label if label in note.also else label


def macro_f1(true: NDArray[np.int64], said: NDArray[np.int64]) -> float:
    """Return the mean F1 of the labels that occur; one that a resample lacks has none.

    It is ``radrag.metrics.f1`` on numbered labels, some ten times as fast, which thousands of resamples need.

    Args:
        true: Number of each item's label [n].
        said: Number of the label given [n].
    """
    size = int(max(true.max(), said.max())) + 1
    both = np.bincount(true[true == said], minlength=size)
    of_true, of_said = np.bincount(true, minlength=size), np.bincount(said, minlength=size)
    occurs = of_true > 0
    return float((2 * both[occurs] / (of_true[occurs] + of_said[occurs])).mean())


QUESTION_MEASURES = (
    Measure("right verdict", verdict_right, share=True),
    Measure("cites a gold source", cites_gold, share=True),
    Measure("answer token F1", overlap),
    Measure("answers what can be answered", answers, share=True),
    Measure("abstains where nothing answers", abstains, share=True),
)
NOTE_MEASURES = (
    Measure("accuracy", label_right, share=True),
    Measure("set holds the label", set_holds, True, sets_fitted, "label sets: not fitted", share=True),
    Measure("size of the set", set_size, False, sets_fitted, "label sets: not fitted"),
)


def right(item: Any, output: Any) -> bool | None:
    """Say whether an output was right as a whole.

    A label: an acceptable one. A question that nothing answers: an abstention. A question with a gold verdict: that
    verdict; else, with gold sources: one of them is cited; else it is not known.
    """
    if isinstance(item, LabelledNote):
        return bool(label_right(item, output))
    if not item.answerable:
        return bool(output.abstained)
    known = verdict_right(item, output)
    known = cites_gold(item, output) if known is None else known
    return None if known is None else bool(known)


def basis(item: Any) -> str:
    """Name what ``right`` goes by: ``"label"``, ``"abstention"``, ``"verdict"``, ``"source"``, or "" for nothing."""
    if isinstance(item, LabelledNote):
        return "label"
    if not item.answerable:
        return "abstention"
    return "verdict" if item.verdict is not None else "source" if item.gold else ""


def confidence(output: Any) -> float | None:
    """Return a label's probability, or the evidence score of an answer that has one; see ``confidence_kind``."""
    if isinstance(output, LabelResult):
        return output.probability
    return output.confidence if output.evidence else None


def confidence_kind(output: Any) -> str:
    """Name what ``confidence`` returns; an answer's is not the probability that its verdict is right."""
    if not isinstance(output, LabelResult):
        return "evidence score"
    return "probability" if output.calibrated else "uncalibrated score"


def score_all(
    measures: Sequence[Measure], items: Sequence[Any], outputs: Sequence[Any]
) -> dict[str, list[float | None]]:
    """Return every figure of every item; None where it does not apply."""
    made: dict[str, list[float | None]] = {}
    for measure in measures:
        if measure.applies is not None and not measure.applies(outputs):
            made[measure.name] = [None] * len(items)
            continue
        values = [measure.score(item, output) for item, output in zip(items, outputs, strict=True)]
        made[measure.name] = [None if value is None else float(value) for value in values]
    return made
