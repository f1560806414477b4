"""Split conformal label sets of least ambiguity: over all labels (marginal), or label by label (Mondrian).

Source: Sadinle, Lei and Wasserman, "Least Ambiguous Set-Valued Classifiers with Bounded Error Levels", JASA 2019, with
the finite-sample quantile of Vovk et al., "Algorithmic Learning in a Random World" (2005); section 4.5 for Mondrian.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

# What (n + 1) * alpha may fall short of a whole number through rounding, as in 10 * 0.3.
_ROUNDING = 1e-9


def conformal_threshold(true_class_probabilities: ArrayLike, alpha: float) -> float:
    """Return the probability that a label must reach to be in the set.

    The set of a further note then misses its true label with probability of at most ``alpha``, if the note is
    exchangeable with the calibration notes and none of them was used to fit the probabilities.

    Args:
        true_class_probabilities: Probability given to the true label of each calibration note, ``[n]``.
        alpha: Share of notes whose set may miss the true label, between 0 and 1, both excluded.

    Returns:
        The ``floor((n + 1) alpha)``-th smallest of the probabilities; 0, which admits every label, if that rank is 0.

    Raises:
        ValueError: If there are no probabilities, one lies outside 0 to 1, or alpha does.
    """
    given = np.asarray(true_class_probabilities, dtype=np.float64)
    if given.ndim != 1 or not given.size:
        raise ValueError(f"true_class_probabilities must be a list of at least 1 number, got shape {given.shape}")
    outside = given[~((given >= 0) & (given <= 1))]
    if outside.size:
        raise ValueError(f"true_class_probabilities must lie between 0 and 1, got {outside[0]}")
    if not 0 < alpha < 1:
        raise ValueError(
            f"alpha must lie between 0 and 1, got {alpha}; 0.1 gives sets that hold the truth 9 times in 10"
        )
    rank = math.floor((given.size + 1) * alpha + _ROUNDING)
    return float(np.partition(given, rank - 1)[rank - 1]) if rank else 0.0


@dataclass(frozen=True, slots=True)
class LabelThresholds:
    """A threshold for each label.

    Attributes:
        thresholds: Probability that each label must reach to be in a set, ``[labels]``.
        own: Whether the threshold is the label's own; otherwise it is the one of all notes, ``[labels]``.
    """

    thresholds: NDArray[np.float64]
    own: NDArray[np.bool_]


def label_thresholds(
    true_class_probabilities: ArrayLike, true: ArrayLike, labels: int, alpha: float
) -> LabelThresholds:
    """Return a threshold for each label, so that notes of every label are covered alike.

    A label has a threshold of its own from ``ceil(1 / alpha) - 1`` calibration notes on, 19 for an alpha of .05: with
    fewer its set would have to hold it always. It then takes the threshold of all notes, which promises nothing for
    that label alone.

    Args:
        true_class_probabilities: Probability given to the true label of each calibration note, ``[n]``.
        true: Position of that label, ``[n]``.
        labels: How many labels there are.
        alpha: Share of the notes of a label whose set may miss it.

    Raises:
        ValueError: As ``conformal_threshold``, and if the positions do not fit.
    """
    shared = conformal_threshold(true_class_probabilities, alpha)
    given, truth = np.asarray(true_class_probabilities, dtype=np.float64), np.asarray(true)
    if truth.shape != given.shape or not np.issubdtype(truth.dtype, np.integer):
        raise ValueError(f"true must hold a position for each of {len(given)} notes, got shape {truth.shape}")
    if truth.min() < 0 or truth.max() >= labels:
        raise ValueError(f"true must hold positions below {labels}, got {truth.min()} to {truth.max()}")
    thresholds, own = np.full(labels, shared), np.zeros(labels, dtype=np.bool_)
    for label in np.unique(truth):
        rows = truth == label
        if math.floor((rows.sum() + 1) * alpha + _ROUNDING) >= 1:
            thresholds[label], own[label] = conformal_threshold(given[rows], alpha), True
    return LabelThresholds(thresholds, own)


def conformal_set(probabilities: ArrayLike, threshold: ArrayLike) -> tuple[int, ...]:
    """Return the labels whose probability reaches the threshold, most probable first.

    Args:
        probabilities: Probability of each label, ``[labels]``.
        threshold: What ``conformal_threshold`` gave, or one for each label, ``[labels]``.

    Returns:
        Positions of the labels, ties in order of position. If none reaches the threshold, the most probable one, which
        can only raise the coverage.

    Raises:
        ValueError: If there are no probabilities, one is not finite, or the thresholds are not as many.
    """
    given, least = np.asarray(probabilities, dtype=np.float64), np.asarray(threshold, dtype=np.float64)
    if given.ndim != 1 or not given.size or not np.isfinite(given).all():
        raise ValueError(f"probabilities must be a list of at least 1 finite number, got {probabilities!r:.80}")
    if least.shape not in ((), given.shape) or np.isnan(least).any():
        raise ValueError(f"threshold must be one number or {given.size}, one for each label, got shape {least.shape}")
    order = np.argsort(-given, kind="stable")
    reached = (given >= least)[order]
    chosen = order[reached] if reached.any() else order[:1]
    return tuple(int(position) for position in chosen)
