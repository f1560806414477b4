"""How scores become probabilities, sets and abstention, by what was found on notes that the scorers had not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radrag.calibration import (
    Curve,
    LabelThresholds,
    RiskThreshold,
    apply_pool,
    conformal_threshold,
    fit_isotonic,
    fit_pool,
    label_thresholds,
    risk_threshold,
)

Scores = Mapping[str, NDArray[np.float64]]
_ARRAYS = ("true", "given", "top", "right")


@dataclass(frozen=True, slots=True)
class Calibration:
    """Weights of the scorers, and the held-out probabilities that promises rest on.

    Attributes:
        weights: Weight of each scorer in the pool, by its name; their sum is an inverse temperature.
        curve: Recalibration after the pool, if it was better on held-out groups than the weights alone.
        true: Position of each calibration note's label ``[n]``.
        given: Probability given to it by a pool that had not seen the note ``[n]``.
        top: Probability of the most probable label ``[n]``.
        right: Whether that one is right ``[n]``.
    """

    weights: Mapping[str, float]
    curve: Curve | None
    true: NDArray[np.int64]
    given: NDArray[np.float64]
    top: NDArray[np.float64]
    right: NDArray[np.bool_]

    def probabilities(self, scores: Scores) -> NDArray[np.float64]:
        """Return calibrated probabilities ``[n, labels]``."""
        pooled = apply_pool(np.stack([scores[name] for name in self.weights]), list(self.weights.values()))
        return pooled if self.curve is None else self.curve(pooled)

    def threshold(self, coverage: float) -> float:
        """Return the probability that a label of a conformal set reaches."""
        return conformal_threshold(self.given, 1 - coverage)

    def thresholds(self, coverage: float, labels: int, *, per_label: bool) -> LabelThresholds:
        """Return the threshold of each label: the same for all, or its own where it has enough notes."""
        if per_label:
            return label_thresholds(self.given, self.true, labels, 1 - coverage)
        return LabelThresholds(np.full(labels, self.threshold(coverage)), np.zeros(labels, dtype=np.bool_))

    def at_risk(self, risk: float, delta: float) -> RiskThreshold:
        """Return how sure a label must be, so that those given are wrong at most that often."""
        return risk_threshold(self.top, self.right, risk, delta)

    def values(self) -> dict[str, Any]:
        """Return what is no array, as JSON values."""
        curve = None if self.curve is None else {"given": self.curve.given, "calibrated": self.curve.calibrated}
        return {"weights": dict(self.weights), "curve": curve}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name."""
        return {name: getattr(self, name) for name in _ARRAYS}


def stored_calibration(values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Calibration:
    """Return what ``values`` and ``arrays`` gave."""
    curve = values["curve"]
    made = None if curve is None else Curve(tuple(curve["given"]), tuple(curve["calibrated"]))
    true, given, top, right = (arrays[name] for name in _ARRAYS)
    return Calibration(values["weights"], made, true, given, top, right.astype(np.bool_))


def calibrated(
    scores: Scores, true: NDArray[np.int64], also: NDArray[np.bool_], folds: NDArray[np.int64]
) -> Calibration:
    """Fit the pool and choose how to calibrate it, each note judged by a pool that did not see its fold.

    The pool's weights hold a temperature. An isotonic curve follows it where, over the folds, that makes the
    log-likelihood higher by more than one standard error.

    Args:
        scores: Log-scores of each scorer ``[n, labels]``, made without the notes they are for.
        true: Position of each note's label ``[n]``.
        also: Which labels are right ``[n, labels]``, the true one among them.
        folds: Fold of each note ``[n]``.
    """
    stacked = np.stack(list(scores.values()))
    plain, curved = (np.zeros(stacked.shape[1:]) for _ in range(2))
    for fold in np.unique(folds):
        wanted, known = folds == fold, folds != fold
        weights = fit_pool(stacked[:, known], true[known])
        plain[wanted] = apply_pool(stacked[:, wanted], weights)
        curve = fit_isotonic(apply_pool(stacked[:, known], weights), true[known])
        curved[wanted] = curve(plain[wanted])
    rows = np.arange(len(true))
    floor = 1 / (len(true) + 2) / stacked.shape[2]  # one note that a flat end of the curve calls impossible
    gain = np.log(curved[rows, true] + floor) - np.log(plain[rows, true] + floor)
    better = len(gain) > 1 and gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain))
    held = curved if better else plain
    weights = fit_pool(stacked, true)
    best = held.argmax(axis=1)
    return Calibration(
        weights={name: float(weight) for name, weight in zip(scores, weights, strict=True)},
        curve=fit_isotonic(apply_pool(stacked, weights), true) if better else None,
        true=true,
        given=held[rows, true],
        top=held[rows, best],
        right=also[rows, best],
    )
