"""Isotonic recalibration of probabilities over many labels.

Source: Zhang, Kailkhura and Han, "Mix-n-Match: Ensemble and Compositional Methods for Uncertainty Calibration in Deep
Learning", ICML 2020, section 3.3 (IRM): one strictly rising curve for the probabilities of all labels, so that the
order of the labels, and with it the accuracy, stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Slope that is added so that the curve rises everywhere: equal shares of a flat part keep their order.
_SLOPE = 1e-3


@dataclass(frozen=True, slots=True)
class Curve:
    """A rising curve from given to calibrated probabilities, linear between its knots.

    Attributes:
        given: Knots, rising, ``[knots]``.
        calibrated: Values at them, rising, ``[knots]``.
    """

    given: tuple[float, ...]
    calibrated: tuple[float, ...]

    def __call__(self, probabilities: ArrayLike) -> NDArray[np.float64]:
        """Return calibrated probabilities ``[n, labels]``; rows sum to 1."""
        values = _checked(probabilities)
        found = np.interp(values, self.given, self.calibrated) + _SLOPE * values
        return np.asarray(found / found.sum(axis=1, keepdims=True), dtype=np.float64)


def fit_isotonic(probabilities: ArrayLike, true: ArrayLike) -> Curve:
    """Fit the curve to every label's probability of every note, against whether the label was the true one.

    Args:
        probabilities: Probabilities ``[n, labels]``, made without the notes they are for.
        true: Position of the true label ``[n]``.

    Raises:
        ValueError: If shapes do not fit, or a value is no probability.
    """
    from scipy.optimize import isotonic_regression

    values, truth = _checked(probabilities), np.asarray(true)
    n, labels = values.shape
    if truth.shape != (n,) or not np.issubdtype(truth.dtype, np.integer) or truth.min() < 0 or truth.max() >= labels:
        raise ValueError(f"true must hold a position below {labels} for each of {n} notes, got {true!r:.80}")
    hits = np.zeros_like(values)
    hits[np.arange(n), truth] = 1
    # Equal probabilities are one knot, weighted by how many they are.
    knots, place, times = np.unique(values, return_inverse=True, return_counts=True)
    shares = np.bincount(place.ravel(), weights=hits.ravel()) / times
    levels = isotonic_regression(shares, weights=times.astype(np.float64)).x
    kept = _corners(levels)
    return Curve(tuple(knots[kept].tolist()), tuple(levels[kept].tolist()))


def _corners(levels: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the first and last place of each level: between them the curve is flat."""
    changes = np.flatnonzero(np.diff(levels) > 0)
    return np.unique(np.concatenate([[0], changes, changes + 1, [len(levels) - 1]]))


def _checked(probabilities: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(probabilities, dtype=np.float64)
    if values.ndim != 2 or not values.size or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"probabilities must be [n, labels] between 0 and 1, got shape {values.shape}")
    return values
