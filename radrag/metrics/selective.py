"""Labels given only where the model is sure: risk against coverage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from radrag.metrics._checks import flags, numbers, same_length


@dataclass(frozen=True, slots=True)
class RiskCoverage:
    """How often the most confident items are wrong.

    Attributes:
        coverage: Share of items that were wanted.
        n: Items that are kept.
        threshold: Lowest confidence among them.
        risk: Share of them that is wrong.
        low: Lower end of its exact interval.
        high: Upper end of its exact interval.
    """

    coverage: float
    n: int
    threshold: float
    risk: float
    low: float
    high: float


def risk_coverage(
    confidence: ArrayLike,
    correct: ArrayLike,
    coverages: Sequence[float] = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1),
    *,
    level: float = 0.95,
) -> tuple[RiskCoverage, ...]:
    """Return the risk of the most confident items, at several shares of all items.

    Source: El-Yaniv and Wiener, "On the Foundations of Noise-free Selective Classification", JMLR 2010; intervals by
    Clopper and Pearson, Biometrika 1934, so they assume items that are independent.

    Args:
        confidence: Confidences [n].
        correct: 0 or 1 [n]: whether the item was right.
        coverages: Shares of items to keep, above 0 and at most 1. Items as confident as the last one kept are kept too.
        level: Coverage of the intervals.

    Returns:
        A row for each share, in the order given.

    Raises:
        ValueError: If the lengths differ, a value is not finite, or a share or the level is out of range.
    """
    from scipy.stats import binomtest

    sure, right = numbers("confidence", confidence), flags("correct", correct)
    n = same_length(confidence=sure, correct=right)
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}; 0.95 is usual")
    order = np.argsort(-sure, kind="stable")
    rows = []
    for share in coverages:
        if not 0 < share <= 1:
            raise ValueError(f"coverages must lie above 0 and be at most 1, got {share}")
        threshold = float(sure[order[max(1, round(share * n)) - 1]])
        kept = sure >= threshold
        wrong = int((~right[kept]).sum())
        interval = binomtest(wrong, int(kept.sum())).proportion_ci(level, method="exact")
        rows.append(
            RiskCoverage(share, int(kept.sum()), threshold, wrong / int(kept.sum()), interval.low, interval.high)
        )
    return tuple(rows)


def aurc(confidence: ArrayLike, correct: ArrayLike) -> float:
    """Return the area under the risk-coverage curve: the mean risk over the coverages 1/n, 2/n, ..., 1.

    Source: Geifman, Uziel and El-Yaniv, "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers", ICLR 2019.
    Among equal confidences the mean over their orders counts, so that the order of the items does not.

    Args:
        confidence: Confidences [n].
        correct: 0 or 1 [n]: whether the item was right.

    Returns:
        Between 0 and 1; low where errors are the least confident items. Without skill it is the share of errors.

    Raises:
        ValueError: If the lengths differ or a value is not finite.
    """
    sure, right = numbers("confidence", confidence), flags("correct", correct)
    n = same_length(confidence=sure, correct=right)
    levels, place, sizes = np.unique(-sure, return_inverse=True, return_counts=True)
    shares = np.bincount(place.ravel(), weights=(~right).astype(np.float64), minlength=len(levels)) / sizes
    expected = np.cumsum(np.repeat(shares, sizes))
    return float((expected / np.arange(1, n + 1)).mean())
