"""The measures of BioASQ task B, as its own program computes them.

Source: Malakasiotis et al., "Evaluation measures for task B", BioASQ, and the program ``EvaluatorTask1b`` with ``-e 8``
(BioASQ 8 and later; repository BioASQ/Evaluation-Measures, commit 8c8e689). Where text and program differ, the program
is followed, as published tables come from it, and the docstring says so. A question is scored by one function; means
over questions, and ``geometric_map``, are the caller's. What a system leaves empty scores 0, as in the program; a
question without gold raises ValueError, as the program of BioASQ 9 leaves it out. Ideal answers are scored by
``rouge_n(..., 2)`` and ``rouge_su(..., 4)`` of ``radrag.metrics.rouge``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from radrag.metrics._checks import not_a_string, numbers, same_length
from radrag.metrics.classification import accuracy, f1
from radrag.metrics.prf import PrecisionRecallF1, harmonic, of_counts
from radrag.metrics.ranking import average_precision

MOST_RETRIEVED = 10
MOST_FACTOIDS = 5
_EPSILON = 1e-5
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Snippet:
    """Characters of a section of a document, counted as BioASQ counts them.

    Attributes:
        document: Id of the document, written alike on both sides.
        begin: ``offsetInBeginSection``.
        end: ``offsetInEndSection``; the program counts this character as part of the snippet.
        section: Where the offsets count from; snippets of different sections share nothing.
    """

    document: str
    begin: int
    end: int
    section: str = "abstract"

    def __post_init__(self) -> None:
        if not 0 <= self.begin <= self.end:
            raise ValueError(f"a snippet must have 0 <= begin <= end, got {self.begin}, {self.end}; check its offsets")

    @property
    def size(self) -> int:
        """Characters in it."""
        return self.end - self.begin + 1

    def overlap(self, other: Snippet) -> int:
        """Return the number of characters that both hold."""
        if (self.document, self.section) != (other.document, other.section):
            return 0
        return max(0, min(self.end, other.end) - max(self.begin, other.begin) + 1)


@dataclass(frozen=True, slots=True)
class RetrievalScore:
    """One question of phase A.

    Attributes:
        precision: Share of what was found that is gold.
        recall: Share of gold that was found.
        f1: Their harmonic mean.
        average_precision: For MAP and GMAP.
    """

    precision: float
    recall: float
    f1: float
    average_precision: float


@dataclass(frozen=True, slots=True)
class FactoidScore:
    """One factoid question of phase B.

    Attributes:
        strict: 1.0 if the first answer is right.
        lenient: 1.0 if any of the five is.
        reciprocal_rank: 1 / rank of the first right one, or 0.
    """

    strict: float
    lenient: float
    reciprocal_rank: float


@dataclass(frozen=True, slots=True)
class YesNoScore:
    """All yes/no questions of a test set.

    Attributes:
        accuracy: Share of right ones.
        f1_yes: F1 of ``yes``.
        f1_no: F1 of ``no``.
        macro_f1: Mean of the two, the official measure since BioASQ 6.
    """

    accuracy: float
    f1_yes: float
    f1_no: float
    macro_f1: float


def _at_most(name: str, items: Sequence[T], most: int) -> Sequence[T]:
    not_a_string(name, items)
    if len(items) > most:
        raise ValueError(f"{name} must hold at most {most}, as BioASQ allows, got {len(items)}; pass the best {most}")
    return items


def _some_gold(gold: Sequence[object]) -> None:
    not_a_string("gold", gold)
    if not gold:
        raise ValueError("gold must not be empty; the question cannot be scored, count it apart")


def bioasq_documents(found: Sequence[str], gold: Iterable[str]) -> RetrievalScore:
    """Score the documents of a question: precision, recall, F1, and average precision over min(gold, 10).

    Args:
        found: Ids, best first, at most 10.
        gold: Ids of the gold documents.

    Returns:
        The scores; all 0 if nothing was found.

    Raises:
        ValueError: If there is no gold, an id is found twice, or more than 10 are.
    """
    _at_most("found", found, MOST_RETRIEVED)
    not_a_string("gold", gold)
    wanted = frozenset(gold)
    mean = average_precision(found, wanted, MOST_RETRIEVED, reachable=True)
    made = of_counts(len(wanted.intersection(found)), len(found), len(wanted))
    return RetrievalScore(made.precision, made.recall, made.f1, mean)


def merge_snippets(snippets: Iterable[Snippet]) -> list[Snippet]:
    """Join snippets that share characters, each at the place of its first part; touching ones stay apart."""
    merged: list[Snippet] = []
    for snippet in snippets:
        joined = [i for i, other in enumerate(merged) if other.overlap(snippet)]
        parts = [snippet, *(merged[i] for i in joined)]
        whole = replace(snippet, begin=min(s.begin for s in parts), end=max(s.end for s in parts))
        if joined:
            merged[joined[0]] = whole
            merged = [other for i, other in enumerate(merged) if i not in joined[1:]]
        else:
            merged.append(whole)
    return merged


def bioasq_snippets(found: Sequence[Snippet], gold: Iterable[Snippet], *, by_overlap: bool = False) -> RetrievalScore:
    """Score the snippets of a question by the characters they share with the gold ones.

    Snippets of a side that overlap are merged first. Precision and recall count characters. Average precision is the
    sum, over relevant snippets, of the share of gold characters up to their rank, divided by min(gold snippets, 10). It
    can exceed 1 where several of the snippets found lie in one gold snippet: do not read it without the F1.

    Args:
        found: Snippets, best first, at most 10.
        gold: Gold snippets.
        by_overlap: Call a snippet relevant if it shares a character with a gold one, as the text of the measures says.
            The program calls it relevant if it is of a document that has a gold snippet, and so do published figures.

    Returns:
        The scores; all 0 if nothing was found.

    Raises:
        ValueError: If there is no gold, or more than 10 snippets are found.
    """
    _at_most("found", found, MOST_RETRIEVED)
    wanted, ranked = merge_snippets(gold), merge_snippets(found)
    _some_gold(wanted)
    if not ranked:
        return RetrievalScore(0.0, 0.0, 0.0, 0.0)
    shared = np.cumsum([sum(snippet.overlap(other) for other in wanted) for snippet in ranked])
    sizes = np.cumsum([snippet.size for snippet in ranked])
    if by_overlap:
        relevant = [any(snippet.overlap(other) for other in wanted) for snippet in ranked]
    else:
        relevant = [any(snippet.document == other.document for other in wanted) for snippet in ranked]
    total = math.fsum((shared / sizes)[relevant])
    made = of_counts(float(shared[-1]), float(sizes[-1]), sum(other.size for other in wanted))
    return RetrievalScore(made.precision, made.recall, made.f1, total / min(MOST_RETRIEVED, len(wanted)))


def geometric_map(average_precisions: ArrayLike) -> float:
    """Return GMAP: the geometric mean over questions of average precision plus 1e-5.

    Args:
        average_precisions: One value a question [n], at least 0.

    Raises:
        ValueError: If there are none, or one is negative or not finite.
    """
    values = numbers("average_precisions", average_precisions)
    if (values < 0).any():
        raise ValueError(f"average precisions must be at least 0, got {values.min()}")
    return float(np.exp(np.log(values + _EPSILON).mean()))


def _entities(gold: Iterable[Iterable[str]]) -> list[frozenset[str]]:
    not_a_string("gold", gold)
    entities = []
    for synonyms in gold:
        not_a_string("each gold entity (its synonyms)", synonyms)
        entities.append(frozenset(name.lower() for name in synonyms))
    _some_gold(entities)
    if not all(entities):
        raise ValueError("each gold entity must hold at least one name, got one without; take it out, and count it")
    return entities


def bioasq_factoid(predicted: Sequence[str], gold: Iterable[Iterable[str]]) -> FactoidScore:
    """Score a factoid question: an answer is right if it is a gold name or synonym, letter by letter save for case.

    Args:
        predicted: Answers, best first, at most 5.
        gold: Entities, each a list of synonyms; any of them is right.

    Returns:
        The scores; all 0 if there is no answer.

    Raises:
        ValueError: If there is no gold, or more than 5 answers are given.
    """
    names = frozenset().union(*_entities(gold))
    answers = _at_most("predicted", predicted, MOST_FACTOIDS)
    first = next((rank for rank, name in enumerate(answers, start=1) if name.lower() in names), 0)
    return FactoidScore(float(first == 1), float(first > 0), 1 / first if first else 0.0)


def bioasq_list(predicted: Sequence[str], gold: Iterable[Iterable[str]]) -> PrecisionRecallF1:
    """Score a list question: each answer takes the first gold entity left that has it as a name, save for case.

    An entity that no answer took is missed, unless it has a name that an answer gave (two entities of one synonym).

    Args:
        predicted: Names; the same one twice counts once as right and once as wrong.
        gold: Entities, each a list of synonyms.

    Returns:
        Precision, recall and F1; all 0 if there is no answer.

    Raises:
        ValueError: If there is no gold.
    """
    not_a_string("predicted", predicted)
    left = _entities(gold)
    names = [name.lower() for name in predicted]
    if not names:
        return PrecisionRecallF1(0.0, 0.0, 0.0)
    right = 0
    for name in names:
        taken = next((i for i, entity in enumerate(left) if name in entity), None)
        if taken is not None:
            del left[taken]
            right += 1
    unused, missed = list(names), 0
    for entity in left:
        shared = next((i for i, name in enumerate(unused) if name in entity), None)
        if shared is None:
            missed += 1
        else:
            del unused[shared]
    return harmonic(right / len(names), right / (right + missed))


def bioasq_yes_no(true: Sequence[str], predicted: Sequence[str | None]) -> YesNoScore:
    """Score all yes/no questions of a set.

    An answer that is neither (None, say) counts as the wrong one of the two, as in the program: a miss of the true
    label and a false alarm of the other. A label that is neither true nor given has F1 0, as in the program.

    Args:
        true: ``"yes"`` or ``"no"`` [n].
        predicted: The same, or anything else for no answer [n].

    Raises:
        ValueError: If there are no questions, the lengths differ, or a true label is neither yes nor no.
    """
    same_length(true=true, predicted=predicted)
    other = {"yes": "no", "no": "yes"}
    strange = next((label for label in true if label not in other), None)
    if strange is not None:
        raise ValueError(f"true must hold 'yes' and 'no' only, got {strange!r}; score other questions apart")
    given = [label if label in other else other[gold] for gold, label in zip(true, predicted, strict=True)]
    scores = f1(true, given, ["yes", "no"], average=None, zero_division=0.0)
    return YesNoScore(accuracy(true, given), scores["yes"], scores["no"], (scores["yes"] + scores["no"]) / 2)
