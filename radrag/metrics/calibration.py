"""Whether a confidence is the share of times it is right: reliability table, calibration error, Brier score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from radrag.metrics._checks import at_least, flags, numbers, same_length

# A float32 softmax over some thousand classes sums to 1 within about this.
_SUM_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Items whose confidence lies in ``(low, high]``; the first bin holds 0 too.

    Attributes:
        low: Lower edge, excluded (save 0).
        high: Upper edge, included.
        n: Items in it.
        confidence: Their mean confidence; None if there are none.
        accuracy: Their share of right ones; None if there are none.
    """

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None


def _probabilities(name: str, values: ArrayLike, ndim: int) -> NDArray[np.float64]:
    array = numbers(name, values, ndim)
    outside = array[(array < 0) | (array > 1)]
    if outside.size:
        raise ValueError(
            f"{name} must lie between 0 and 1, got {outside[0]}; pass probabilities, not logits or percent"
        )
    return array


def reliability_table(confidence: ArrayLike, correct: ArrayLike, bins: int = 15) -> tuple[ReliabilityBin, ...]:
    """Compare mean confidence with accuracy in bins of equal width.

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 2. Bin m of M holds confidences
    in ((m - 1) / M, m / M]: a confidence on an edge belongs to the bin below it, and 0 to the first bin.

    Args:
        confidence: Confidences between 0 and 1 [n].
        correct: 0 or 1 [n]: whether the item was right.
        bins: Number of bins, M.

    Returns:
        All M bins from low to high, the empty ones too.

    Raises:
        ValueError: If a confidence lies outside 0 to 1, the lengths differ, or bins is below 1.
    """
    shares, right = _probabilities("confidence", confidence, ndim=1), flags("correct", correct)
    same_length(confidence=shares, correct=right)
    at_least("bins", bins, 1)
    # m / M is rounded once, so a confidence written as a decimal edge (0.2 of 15 bins) compares equal to it.
    edges = np.arange(bins + 1) / bins
    which = np.maximum(np.searchsorted(edges, shares, side="left") - 1, 0)
    sizes = np.bincount(which, minlength=bins)
    sums = np.bincount(which, weights=shares, minlength=bins), np.bincount(which, weights=right, minlength=bins)
    return tuple(
        ReliabilityBin(
            low=float(edges[i]),
            high=float(edges[i + 1]),
            n=int(sizes[i]),
            confidence=float(sums[0][i] / sizes[i]) if sizes[i] else None,
            accuracy=float(sums[1][i] / sizes[i]) if sizes[i] else None,
        )
        for i in range(bins)
    )


def expected_calibration_error(confidence: ArrayLike, correct: ArrayLike, bins: int = 15) -> float:
    """Return the mean over items of |accuracy - mean confidence| of their bin.

    Source: Guo et al., ICML 2017, equation 3, with the bins of ``reliability_table``. It is biased upwards when bins
    hold few items, so compare figures of equal n and equal ``bins`` only.

    Args:
        confidence: Confidences between 0 and 1 [n].
        correct: 0 or 1 [n]: whether the item was right.
        bins: Number of bins.

    Returns:
        Between 0 and 1; 0 is calibrated.

    Raises:
        ValueError: If a confidence lies outside 0 to 1, the lengths differ, or bins is below 1.
    """
    rows = reliability_table(confidence, correct, bins)
    gaps = [
        row.n * abs(row.accuracy - row.confidence)
        for row in rows
        if row.accuracy is not None and row.confidence is not None
    ]
    return float(np.sum(gaps) / sum(row.n for row in rows))


def brier(probabilities: ArrayLike, true: ArrayLike) -> float:
    """Return the Brier score: the mean over items of the squared distance of the probabilities from the truth.

    Source: Brier, Monthly Weather Review 78(1), 1950: summed over classes. With two classes this is
    twice the score that counts one class only.

    Args:
        probabilities: Probability of each class [n, c]; rows sum to 1.
        true: Index of the true class [n], from 0 to c - 1.

    Returns:
        Between 0 and 2; 0 is certain and right.

    Raises:
        ValueError: If a row does not sum to 1 (within 1e-4), an index is out of range, or the lengths differ.
    """
    given = _probabilities("probabilities", probabilities, ndim=2)
    index = numbers("true", true)
    n, classes = same_length(probabilities=given, true=index), given.shape[1]
    sums = given.sum(axis=1)
    if np.abs(sums - 1).max() > _SUM_TOLERANCE:
        row = int(np.abs(sums - 1).argmax())
        raise ValueError(f"rows of probabilities must sum to 1, got {sums[row]:g} in row {row}; normalise them first")
    wrong = index[(index != np.floor(index)) | (index < 0) | (index >= classes)]
    if wrong.size:
        raise ValueError(f"true must hold class indices from 0 to {classes - 1}, got {wrong[0]:g}")
    truth = np.zeros_like(given)
    truth[np.arange(n), index.astype(np.int64)] = 1
    return float(((given - truth) ** 2).sum(axis=1).mean())
