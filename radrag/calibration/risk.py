"""Abstention at a chosen risk: how sure a label must be so that those given are wrong no more often than that.

Source: Geifman and El-Yaniv, "Selective Classification for Deep Neural Networks", NeurIPS 2017 (SGR), with the exact
bound of Clopper and Pearson (Biometrika 1934) in a fixed number of tests, Bonferroni-corrected.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

_TESTS = 10


@dataclass(frozen=True, slots=True)
class RiskThreshold:
    """What a confidence must exceed so that few of the labels given are wrong.

    Attributes:
        threshold: Confidence that must be exceeded; 1 if none is safe, and then nothing is labelled.
        risk: Risk that was asked for.
        bound: Upper bound of the risk at the threshold, at the given confidence; 1 where nothing is labelled.
        delta: Chance, over the calibration notes, that the bound fails.
        coverage: Share of the calibration notes above the threshold.
        n: Calibration notes.
    """

    threshold: float
    risk: float
    bound: float
    delta: float
    coverage: float
    n: int


def risk_threshold(confidence: ArrayLike, correct: ArrayLike, risk: float, delta: float = 0.1) -> RiskThreshold:
    """Choose the lowest threshold whose bound on the share of wrong labels is at most ``risk``.

    Of notes that are exchangeable with the calibration notes and more confident than the threshold, at most ``risk``
    are wrong, except with a chance of ``delta`` over the draw of the calibration notes. Ten thresholds are tested, at
    fixed ranks of the confidences: above the k-th highest lie k - 1 notes whose errors are binomial.

    Args:
        confidence: Confidence in each calibration note's label ``[n]``, from a model that had not seen the note.
        correct: Whether that label is right, 0 or 1, ``[n]``.
        risk: Share of wrong labels that may be among those given, between 0 and 1.
        delta: Chance that the promise fails.

    Raises:
        ValueError: If a value is out of range or the lengths differ.
    """
    given, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if given.ndim != 1 or given.shape != right.shape or not given.size:
        raise ValueError(
            f"confidence and correct must be lists of one length of at least 1, got {given.shape} and {right.shape}"
        )
    if not ((given >= 0) & (given <= 1)).all():
        raise ValueError(f"confidence must lie between 0 and 1, got {given[~((given >= 0) & (given <= 1))][0]}")
    if not np.isin(right, (0, 1)).all():
        raise ValueError(f"correct must hold 0 or 1, got {right[~np.isin(right, (0, 1))][0]}")
    for name, value in (("risk", risk), ("delta", delta)):
        if not 0 < value < 1:
            raise ValueError(f"{name} must lie between 0 and 1, got {value}; 0.05 and 0.1 are usual")
    order = np.sort(given)[::-1]
    for above in _ranks(len(given)):  # from all notes down to few
        threshold = float(order[above]) if above < len(given) else 0.0
        chosen = given > threshold
        # With ties fewer than ``above`` notes exceed the threshold; a bound on fewer notes is none the less exact.
        bound = upper_bound(int((1 - right[chosen]).sum()), int(chosen.sum()), delta / _TESTS)
        if bound <= risk:
            return RiskThreshold(threshold, risk, bound, delta, float(chosen.mean()), len(given))
    return RiskThreshold(1.0, risk, 1.0, delta, 0.0, len(given))


def upper_bound(wrong: int, n: int, delta: float) -> float:
    """Return the one-sided bound of Clopper and Pearson: the share of wrong ones is below it with chance 1 - delta."""
    from scipy.stats import beta

    return 1.0 if wrong >= n else float(beta.ppf(1 - delta, wrong + 1, n - wrong))


def _ranks(n: int) -> list[int]:
    """Return how many notes lie above each threshold that is tested: all, then nine tenths, and so on."""
    return sorted({math.ceil(n * part / _TESTS) for part in range(1, _TESTS + 1)}, reverse=True)
