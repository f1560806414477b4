"""Joining the rankings of several searches of one query."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Fusion(StrEnum):
    """How lexical and dense results are joined."""

    ZSCORE = "zscore"
    MINMAX = "minmax"
    RRF = "rrf"


def reciprocal_rank_fusion(
    rankings: Sequence[Sequence[int]], weights: Sequence[float] | None = None, k: int = 60
) -> dict[int, float]:
    """Fuse rankings by the weighted sum of ``1 / (k + rank)``.

    Source: Cormack, Clarke and Buettcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning
    Methods", SIGIR 2009.

    Args:
        rankings: Ids of each ranking, best first.
        weights: One weight for each ranking; equal if left out.
        k: Damping constant; ranks count from 1.

    Returns:
        Id to fused score. An id missing from a ranking gets nothing from it.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    weights = _weights(weights, len(rankings))
    fused: dict[int, float] = {}
    for ranking, weight in zip(rankings, weights, strict=True):
        for rank, item in enumerate(ranking, start=1):
            fused[item] = fused.get(item, 0.0) + weight / (k + rank)
    return fused


def rank_fusion(
    scores: NDArray[np.floating], took_part: NDArray[np.bool_], weights: Sequence[float] | None = None, k: int = 60
) -> NDArray[np.float64]:
    """Fuse scores by ``reciprocal_rank_fusion`` of their ranks; equal scores share the better rank.

    Args:
        scores: ``[searches, candidates]``.
        took_part: bool ``[searches, candidates]``, which candidates each search returned.
        weights: One weight for each search; equal if left out.
        k: Damping constant; ranks count from 1.

    Returns:
        float64 ``[candidates]``. A candidate gets nothing from a search that did not return it.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    fused = np.zeros(scores.shape[1])
    for values, present, weight in zip(scores, took_part, _weights(weights, len(scores)), strict=True):
        descending = np.sort(-values[present])
        fused[present] += weight / (k + 1 + np.searchsorted(descending, -values[present], side="left"))
    return fused


def score_fusion(
    scores: NDArray[np.floating], weights: Sequence[float] | None = None, method: Fusion = Fusion.ZSCORE,
    first: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:  # fmt: skip
    """Fuse scores of the same candidates after bringing each search's scores to one scale.

    Args:
        scores: ``[searches, candidates]``, every candidate scored by every search.
        weights: One weight for each search; equal if left out.
        method: ``zscore`` (mean 0, standard deviation 1) or ``minmax`` (0 to 1) over the candidates.
        first: bool ``[candidates]``, those that set the scale; all if left out.

    Returns:
        float64 ``[candidates]``. A search that gives all candidates one score adds nothing.
    """
    method = Fusion(method)
    if method is Fusion.RRF:
        raise ValueError(f"method must be zscore or minmax, got {method}")
    values = np.asarray(scores, dtype=np.float64)
    weights = _weights(weights, len(values))
    if values.shape[1] == 0:
        return np.zeros(0)
    scale = values if first is None else values[:, first]
    if method is Fusion.ZSCORE:
        centre = scale.sum(axis=1, keepdims=True) / scale.shape[1]  # mean() and std() take 20 us more
        spread = np.sqrt(np.square(scale - centre).sum(axis=1, keepdims=True) / scale.shape[1])
    else:
        centre, spread = scale.min(axis=1, keepdims=True), np.ptp(scale, axis=1, keepdims=True)
    flat = spread <= 1e-12 * np.maximum(1.0, np.abs(scale).max(axis=1, keepdims=True))
    scaled = np.where(flat, 0.0, (values - centre) / np.where(flat, 1.0, spread))
    # Not a matrix product: equal candidates must come out equal to the last bit, wherever they stand.
    return np.asarray((np.asarray(weights)[:, None] * scaled).sum(axis=0), dtype=np.float64)


def _weights(weights: Sequence[float] | None, count: int) -> Sequence[float]:
    if weights is None:
        return [1.0] * count
    if len(weights) != count or any(weight < 0 for weight in weights):
        raise ValueError(f"weights must be {count} numbers of at least 0, got {list(weights)}")
    return weights
