"""A row for each label: how often it is true, how often it was given, and how often both."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from radrag.metrics._checks import flags, same_length
from radrag.metrics.classification import confusion


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One label. A share of nothing is None, never 0.

    Attributes:
        label: The label.
        n: Items.
        true: Items that truly have it.
        predicted: Items that were given it.
        both: Items that were given it rightly.
    """

    label: Hashable
    n: int
    true: int
    predicted: int
    both: int

    @property
    def precision(self) -> float | None:
        """Share of items given it that have it; None if it was never given."""
        return self.both / self.predicted if self.predicted else None

    @property
    def recall(self) -> float | None:
        """Share of items that have it that were given it (sensitivity); None if none has it."""
        return self.both / self.true if self.true else None

    @property
    def specificity(self) -> float | None:
        """Share of items without it that were not given it; None if all have it."""
        without = self.n - self.true
        return 1 - (self.predicted - self.both) / without if without else None

    @property
    def f1(self) -> float | None:
        """2 both / (true + predicted); None if it is neither true nor predicted."""
        size = self.true + self.predicted
        return 2 * self.both / size if size else None


def per_label(
    true: Iterable[Hashable], predicted: Iterable[Hashable], labels: Iterable[Hashable] | None = None
) -> tuple[LabelRow, ...]:
    """Count each label where every item has one.

    Args:
        true: True labels [n].
        predicted: Predicted labels [n].
        labels: Order of the rows; must hold every label that occurs. None sorts those that occur.

    Returns:
        A row for each label.

    Raises:
        ValueError: If there are no items, the lengths differ, or a label that occurs is not in ``labels``.
    """
    made = confusion(true, predicted, labels)
    counts = np.asarray(made.counts)
    columns = counts.sum(axis=1).tolist(), counts.sum(axis=0).tolist(), counts.diagonal().tolist()
    return tuple(LabelRow(label, int(counts.sum()), *row) for label, *row in zip(made.labels, *columns, strict=True))


def multilabel_table(true: ArrayLike, predicted: ArrayLike, labels: Sequence[Hashable]) -> tuple[LabelRow, ...]:
    """Count each label where an item may have any number.

    Args:
        true: 0 or 1 [n, m].
        predicted: 0 or 1 [n, m].
        labels: Name of each column [m].

    Returns:
        A row for each column.

    Raises:
        ValueError: If the shapes differ, a cell is not 0 or 1, or the names are not m.
    """
    left, right = flags("true", true, ndim=2), flags("predicted", predicted, ndim=2)
    if left.shape != right.shape:
        raise ValueError(f"true and predicted must have one shape [n, m], got {left.shape} and {right.shape}")
    same_length(columns=left.T, labels=labels)
    columns = (part.sum(axis=0).tolist() for part in (left, right, left & right))
    return tuple(LabelRow(label, len(left), *row) for label, *row in zip(labels, *columns, strict=True))


def multilabel_exact_match(true: ArrayLike, predicted: ArrayLike) -> float:
    """Return the share of items whose labels are all right.

    Args:
        true: 0 or 1 [n, m].
        predicted: 0 or 1 [n, m].

    Raises:
        ValueError: If the shapes differ, or a cell is not 0 or 1.
    """
    left, right = flags("true", true, ndim=2), flags("predicted", predicted, ndim=2)
    if left.shape != right.shape:
        raise ValueError(f"true and predicted must have one shape [n, m], got {left.shape} and {right.shape}")
    return float((left == right).all(axis=1).mean())
