"""How far two raters, or a system and the truth, agree beyond chance: Cohen's kappa."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

import numpy as np
from numpy.typing import NDArray

from radrag.metrics.classification import confusion

Weights = Callable[[NDArray[np.float64]], NDArray[np.float64]]

# Cost of a distance, in steps between labels.
_COSTS: dict[str, Weights] = {
    "none": lambda steps: (steps != 0).astype(np.float64),
    "linear": lambda steps: steps,
    "quadratic": np.square,
}


def kappa(
    first: Iterable[Hashable],
    second: Iterable[Hashable],
    labels: Iterable[Hashable] | None = None,
    *,
    weights: str = "none",
) -> float:
    """Return Cohen's kappa: 1 less the cost of disagreements over what chance would cost.

    Source: Cohen, Educational and Psychological Measurement 20(1), 1960; weighted: Psychological Bulletin 70(4), 1968.

    Args:
        first: Label of each item by one rater [n].
        second: Label of the same items by the other [n].
        labels: All labels, in their order where ``weights`` needs one; must hold every label that occurs. None sorts
            those that occur, which is seldom the order of a scale: name the labels for weighted kappa.
        weights: ``"none"`` (every disagreement costs 1), ``"linear"`` or ``"quadratic"`` in steps between labels.

    Returns:
        At most 1; 0 is chance.

    Raises:
        ValueError: If there are no items, the lengths differ, a label is not in ``labels``, ``weights`` is not known,
            or both raters gave one and the same label throughout, which leaves nothing to agree on beyond chance.
    """
    if weights not in _COSTS:
        raise ValueError(f"weights must be one of {sorted(_COSTS)}, got {weights!r}")
    table = np.asarray(confusion(first, second, labels).counts, dtype=np.float64)
    size = len(table)
    cost = _COSTS[weights](np.abs(np.subtract.outer(np.arange(size), np.arange(size))).astype(np.float64))
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    by_chance = float((cost * expected).sum())
    if by_chance == 0:
        raise ValueError("kappa is undefined, as both raters gave one label throughout; report that instead")
    return float(1 - (cost * table).sum() / by_chance)
