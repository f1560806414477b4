"""Curves of a comparison: calibration, risk against coverage, and how early a gold source is found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from radrag.evaluation.figures import Groups, estimate
from radrag.evaluation.records import Found, Reliability, Risk
from radrag.evaluation.scores import confidence, confidence_kind, right
from radrag.metrics import bootstrap_statistic, expected_calibration_error, reliability_table
from radrag.metrics.selective import aurc, risk_coverage
from radrag.types import LabelledNote, LabelResult

BINS = 15  # as the figure of the same name among the others has it
DEPTHS = (1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50)
_FEWEST = 10


def reliability(
    side: str, items: Sequence[Any], outputs: Sequence[Any], groups: Groups, seed: int
) -> Reliability | None:
    """Compare stated probabilities (of labels, or of yes/no/maybe) with how often they were right.

    Returns:
        None if fewer than 10 outputs state a probability that can be checked.
    """
    rows = [(i, *pair) for i, pair in enumerate(map(_stated, items, outputs)) if pair is not None]
    units = None if groups is None else [groups[i] for i, *_ in rows]
    if len(rows) < _FEWEST or (units is not None and len(set(units)) < _FEWEST):
        return None
    sure, correct = np.asarray([row[1] for row in rows]), np.asarray([row[2] for row in rows])

    def error(a: Any, b: Any) -> float:
        return expected_calibration_error(a, b, BINS)

    return Reliability(
        side,
        reliability_table(sure, correct, BINS),
        bootstrap_statistic((sure, correct), error, seed=seed, groups=units),
    )


def _stated(item: Any, output: Any) -> tuple[float, bool] | None:
    if isinstance(item, LabelledNote):
        return output.probability, bool(right(item, output))
    if output.abstained or output.verdict is None or item.verdict is None:
        return None
    share = output.verdict.probability.get(output.verdict.answer)
    return None if share is None else (float(share), output.verdict.answer == item.verdict)


def risk(side: str, items: Sequence[Any], outputs: Sequence[Any]) -> Risk | None:
    """Return how often a side is wrong where its score is highest, among what it answered.

    Returns:
        None if fewer than 10 outputs can be judged, or all have the same score.
    """
    rows = []
    kinds: dict[str, None] = {}
    for item, output in zip(items, outputs, strict=True):
        sure, correct = confidence(output), right(item, output)
        withheld = output.abstained and not isinstance(output, LabelResult)
        if sure is not None and correct is not None and not withheld:
            rows.append((sure, correct))
            kinds[confidence_kind(output)] = None
    if len(rows) < _FEWEST or len({sure for sure, _ in rows}) < 2:
        return None
    values, flags = zip(*rows, strict=True)
    return Risk(side, risk_coverage(values, flags), aurc(values, flags), len(rows), " or ".join(kinds))


def retrieval(items: Sequence[Any], outputs: Sequence[Any], groups: Groups, seed: int) -> tuple[Found, ...]:
    """Return the share of questions with a gold source that have it among their first k passages, for several k."""
    if isinstance(items[0], LabelledNote):
        return ()
    chosen = [i for i, question in enumerate(items) if question.answerable and question.gold]
    units = None if groups is None else [groups[i] for i in chosen]
    deepest = max((len(outputs[i].evidence) for i in chosen), default=0)
    if len(chosen if units is None else set(units)) < 2 or deepest == 0:
        return ()
    ranks = np.asarray([_rank(items[i], outputs[i]) for i in chosen], dtype=np.float64)
    return tuple(
        Found(k, estimate((ranks <= k).astype(np.float64), units, seed, share=True))
        for k in sorted({*(k for k in DEPTHS if k < deepest), deepest})
    )


def _rank(question: Any, answer: Any) -> float:
    wanted = {span.document_id for span in question.gold}
    places = (place for place, hit in enumerate(answer.evidence, 1) if hit.passage.document_id in wanted)
    return next(places, np.inf)
