"""Split conformal label sets of least ambiguity.

Source: Sadinle, Lei and Wasserman, "Least Ambiguous Set-Valued Classifiers with Bounded Error Levels", JASA 2019, with
the finite-sample quantile of Vovk et al., "Algorithmic Learning in a Random World" (2005).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

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


def conformal_set(probabilities: ArrayLike, threshold: float) -> tuple[int, ...]:
    """Return the labels whose probability reaches the threshold, most probable first.

    Args:
        probabilities: Probability of each label, ``[labels]``.
        threshold: What ``conformal_threshold`` gave.

    Returns:
        Positions of the labels, ties in order of position. If none reaches the threshold, the most probable one, which
        can only raise the coverage.

    Raises:
        ValueError: If there are no probabilities or one is not finite.
    """
    given = np.asarray(probabilities, dtype=np.float64)
    if given.ndim != 1 or not given.size or not np.isfinite(given).all():
        raise ValueError(f"probabilities must be a list of at least 1 finite number, got {probabilities!r:.80}")
    order = np.argsort(-given, kind="stable")
    size = max(1, int((given >= threshold).sum()))
    return tuple(int(position) for position in order[:size])
