"""The log-linear opinion pool: several scorers' probabilities multiplied, each raised to its weight.

Source: Genest and Zidek, "Combining Probability Distributions: A Critique and an Annotated Bibliography", Statistical
Science 1986, section 3. With one scorer its weight is an inverse temperature (Guo et al., ICML 2017).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

_MOST = 100.0


def fit_pool(log_scores: ArrayLike, true: ArrayLike) -> NDArray[np.float64]:
    """Fit the weights that make the pool's probabilities of the true labels highest.

    They minimise the mean negative log-likelihood, a convex function, from equal weights, so that the same input gives
    the same weights. Each note counts ``1 / (n + 2)`` for the other labels (Platt, "Probabilistic Outputs for Support
    Vector Machines", 1999): without it a scorer that is right every time would claim certainty after a few notes.

    Args:
        log_scores: Log-scores of each scorer ``[scorers, n, labels]``, finite, made without the notes they are for.
        true: Position of the true label ``[n]``.

    Returns:
        Weights ``[scorers]``, each between 0 and 100.

    Raises:
        ValueError: If shapes do not fit, a score is not finite or a position is out of range.
    """
    scores = _scores(log_scores)
    truth = np.asarray(true)
    scorers, n, labels = scores.shape
    if truth.shape != (n,) or not n or not np.issubdtype(truth.dtype, np.integer):
        raise ValueError(f"true must hold a position for each of {n} notes (at least 1), got shape {truth.shape}")
    if labels < 2 or truth.min() < 0 or truth.max() >= labels:
        raise ValueError(f"true must hold positions among 2 labels or more, got {truth.max()} of {labels} labels")
    other = 1 / (n + 2) / (labels - 1)
    targets = np.full((n, labels), other)
    targets[np.arange(n), truth] = 1 - 1 / (n + 2)
    wanted = np.einsum("snl,nl->s", scores, targets) / n

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        pooled = np.tensordot(weights, scores, axes=1)
        log_p = log_softmax(pooled, axis=1)
        slope = np.einsum("snl,nl->s", scores, np.exp(log_p)) / n - wanted
        return float(-(targets * log_p).sum() / n), slope

    start = np.full(scorers, 1 / scorers)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, _MOST)] * scorers)
    return np.asarray(found.x, dtype=np.float64)


def apply_pool(log_scores: ArrayLike, weights: ArrayLike) -> NDArray[np.float64]:
    """Return the pool's probabilities ``[n, labels]``; rows sum to 1.

    Args:
        log_scores: Log-scores of each scorer ``[scorers, n, labels]``, finite.
        weights: Weight of each scorer, at least 0.

    Raises:
        ValueError: If shapes do not fit, a score is not finite or a weight is negative.
    """
    scores, given = _scores(log_scores), np.asarray(weights, dtype=np.float64)
    if given.shape != scores.shape[:1] or not (given >= 0).all():
        raise ValueError(f"weights must be {len(scores)} numbers of at least 0, got {given.tolist()}")
    return np.asarray(softmax(np.tensordot(given, scores, axes=1), axis=1), dtype=np.float64)


def _scores(log_scores: ArrayLike) -> NDArray[np.float64]:
    scores = np.asarray(log_scores, dtype=np.float64)
    if scores.ndim != 3 or not len(scores):
        raise ValueError(f"log_scores must have the shape [scorers, n, labels], got {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError("log_scores must be finite; smooth a scorer that gives a label the probability 0")
    return scores
