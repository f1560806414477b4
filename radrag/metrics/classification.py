"""How well predicted labels agree with true ones: accuracy, F1, AUROC, AUPRC, confusion.

A label that is neither true nor predicted anywhere has no F1 (0 / 0). It raises ValueError, unless ``zero_division``
says what to count it as; nothing is averaged in silently.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from radrag.metrics._checks import flags, labels_of, numbers, same_length

L = TypeVar("L", bound=Hashable)
Average = Literal["macro", "micro"]


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often each true label was given each predicted label.

    Attributes:
        labels: The labels, in the order of rows and columns.
        counts: ``counts[i][j]`` items are truly ``labels[i]`` and were predicted ``labels[j]``.
    """

    labels: tuple[Hashable, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class _Counts:
    """Per label, arrays of one length: items both true and predicted, items true, items predicted."""

    names: Sequence[object]
    both: NDArray[np.int64]
    true: NDArray[np.int64]
    predicted: NDArray[np.int64]


def _label_order(true: Iterable[Hashable], predicted: Iterable[Hashable], labels: Iterable[L] | None) -> list[Any]:
    """Return ``labels`` after a check for duplicates, or all that occur in sorted order for None."""
    if labels is None:
        try:
            return sorted({*true, *predicted})
        except TypeError as error:
            raise ValueError(f"labels cannot be put in order ({error}); give them as labels=[...]") from error
    order = labels_of("labels", labels)
    if len(set(order)) != len(order):
        twice = next(label for label in order if order.count(label) > 1)
        raise ValueError(f"labels must hold each label once, got {twice!r} more than once")
    return order


def _codes(items: Iterable[Hashable], order: Sequence[Hashable]) -> NDArray[np.int64]:
    """Return the position of each item in ``order``, ``len(order)`` for one that is not in it."""
    position = {label: code for code, label in enumerate(order)}
    return np.fromiter((position.get(item, len(order)) for item in items), dtype=np.int64)


def _count(true: Iterable[Hashable], predicted: Iterable[Hashable], labels: Iterable[Hashable] | None) -> _Counts:
    true, predicted = labels_of("true", true), labels_of("predicted", predicted)
    same_length(true=true, predicted=predicted)
    order = _label_order(true, predicted, labels)
    n = len(order)
    left, right = _codes(true, order), _codes(predicted, order)
    tally = [np.bincount(codes, minlength=n + 1)[:n] for codes in (left[left == right], left, right)]
    return _Counts(order, *tally)


def _ratio(counts: _Counts, zero_division: float | None) -> NDArray[np.float64]:
    """Return F1 of each label: 2 both / (true + predicted)."""
    if zero_division is not None and not 0 <= zero_division <= 1:
        raise ValueError(f"zero_division must be between 0 and 1, or None to raise, got {zero_division}")
    size = counts.true + counts.predicted
    empty = size == 0
    if zero_division is None and empty.any():
        name = counts.names[int(np.flatnonzero(empty)[0])]
        raise ValueError(
            f"F1 of {name!r} is undefined, as it is neither true nor predicted anywhere ({int(empty.sum())} such "
            "labels); leave it out, or say what it counts as with zero_division=0.0 or 1.0"
        )
    fallback = 0.0 if zero_division is None else zero_division
    return np.where(empty, fallback, 2 * counts.both / np.where(empty, 1, size))


def _macro(counts: _Counts, zero_division: float | None) -> float:
    return float(_ratio(counts, zero_division).mean())


def _micro(counts: _Counts, zero_division: float | None) -> float:
    both, true, predicted = (np.array([column.sum()]) for column in (counts.both, counts.true, counts.predicted))
    return float(_ratio(_Counts(["all labels together"], both, true, predicted), zero_division)[0])


_AVERAGES: dict[str, Callable[[_Counts, float | None], float]] = {"macro": _macro, "micro": _micro}


def _averaged(counts: _Counts, average: str, zero_division: float | None) -> float:
    if average not in _AVERAGES:
        raise ValueError(f"average must be one of {sorted(_AVERAGES)} or None, got {average!r}")
    return _AVERAGES[average](counts, zero_division)


def accuracy(true: Iterable[Hashable], predicted: Iterable[Hashable]) -> float:
    """Return the share of items whose predicted label is the true one.

    Args:
        true: True labels [n].
        predicted: Predicted labels [n].

    Returns:
        Between 0 and 1.

    Raises:
        ValueError: If there are no items, or the lengths differ.
    """
    left, right = labels_of("true", true), labels_of("predicted", predicted)
    n = same_length(true=left, predicted=right)
    return sum(a == b for a, b in zip(left, right, strict=True)) / n


@overload
def f1(
    true: Iterable[L],
    predicted: Iterable[Hashable],
    labels: Iterable[L] | None = ...,
    average: Average = ...,
    *,
    zero_division: float | None = ...,
) -> float: ...
@overload
def f1(
    true: Iterable[L],
    predicted: Iterable[Hashable],
    labels: Iterable[L] | None = ...,
    *,
    average: None,
    zero_division: float | None = ...,
) -> dict[L, float]: ...
def f1(
    true: Iterable[L],
    predicted: Iterable[Hashable],
    labels: Iterable[L] | None = None,
    average: Average | None = "macro",
    *,
    zero_division: float | None = None,
) -> float | dict[L, float]:
    """Return F1 where every item has one label: 2 TP / (2 TP + FP + FN).

    Macro is the mean of the labels' F1 (not the F1 of mean precision and mean recall: Opitz and Burst, arXiv
    1911.03347). Micro counts all labels together; over all labels it equals the accuracy.

    Args:
        true: True labels [n].
        predicted: Predicted labels [n]. One outside ``labels`` (None for an abstention, say) is a miss of the true one.
        labels: Labels to score; None for all that are true or predicted. Name them when scores are compared:
            otherwise a system that predicts a label too many is averaged over more labels.
        average: ``"macro"``, ``"micro"``, or None for a dict from label to F1.
        zero_division: F1 of a label that is neither true nor predicted; None raises.

    Returns:
        Between 0 and 1, or a dict of such in the order of ``labels``.

    Raises:
        ValueError: If there are no items, the lengths differ, or an F1 is undefined and ``zero_division`` is None.
    """
    counts = _count(true, predicted, labels)
    if average is None:
        return dict(zip(counts.names, _ratio(counts, zero_division).tolist(), strict=True))  # type: ignore[arg-type]
    return _averaged(counts, average, zero_division)


@overload
def multilabel_f1(
    true: ArrayLike, predicted: ArrayLike, average: Average = ..., *, zero_division: float | None = ...
) -> float: ...
@overload
def multilabel_f1(
    true: ArrayLike, predicted: ArrayLike, average: None, *, zero_division: float | None = ...
) -> NDArray[np.float64]: ...
def multilabel_f1(
    true: ArrayLike, predicted: ArrayLike, average: Average | None = "macro", *, zero_division: float | None = None
) -> float | NDArray[np.float64]:
    """Return F1 where an item may have any number of labels.

    Args:
        true: 0 or 1 [n, m]: whether item i truly has label j.
        predicted: 0 or 1 [n, m]: whether it was given label j.
        average: ``"macro"`` for the mean over labels, ``"micro"`` for all cells together, None for each label.
        zero_division: F1 of a label that is neither true nor predicted; None raises.

    Returns:
        Between 0 and 1; float64 [m] if ``average`` is None.

    Raises:
        ValueError: If the shapes differ, a cell is not 0 or 1, or an F1 is undefined and ``zero_division`` is None.
    """
    left, right = flags("true", true, ndim=2), flags("predicted", predicted, ndim=2)
    if left.shape != right.shape:
        raise ValueError(f"true and predicted must have one shape [n, m], got {left.shape} and {right.shape}")
    names = [f"column {column}" for column in range(left.shape[1])]
    counts = _Counts(names, (left & right).sum(axis=0), left.sum(axis=0), right.sum(axis=0))
    return _ratio(counts, zero_division) if average is None else _averaged(counts, average, zero_division)


def _both_classes(name: str, true: ArrayLike, score: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    positive, values = flags("true", true), numbers("score", score)
    n = same_length(true=positive, score=values)
    n_positive = int(positive.sum())
    if n_positive in (0, n):
        raise ValueError(
            f"true must hold both classes, got {n_positive} of 1 and {n - n_positive} of 0; "
            f"{name} is undefined here, count it apart"
        )
    return positive, values


def auroc(true: ArrayLike, score: ArrayLike) -> float:
    """Return the area under the ROC curve: how often a positive scores above a negative, a tie counting half.

    Source: Hanley and McNeil, Radiology 143(1), 1982: the Mann-Whitney statistic, tied scores at their mean rank.

    Args:
        true: 0 or 1 [n].
        score: Finite scores [n], higher for more likely positive.

    Returns:
        Between 0 and 1; 0.5 for scores that say nothing.

    Raises:
        ValueError: If only one class occurs, a score is not finite, or the lengths differ.
    """
    positive, values = _both_classes("AUROC", true, score)
    n, n_positive = len(positive), int(positive.sum())
    _, which, ties = np.unique(values, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(ties) - (ties - 1) / 2
    above = mean_rank[which][positive].sum() - n_positive * (n_positive + 1) / 2
    return float(above / (n_positive * (n - n_positive)))


def auprc(true: ArrayLike, score: ArrayLike) -> float:
    """Return the area under the precision-recall curve as average precision: precision at each rise of recall.

    Source: scikit-learn's ``average_precision_score``. Steps are not joined by straight lines, which would be too kind
    (Davis and Goadrich, ICML 2006). Equal scores are cut together. A score that says nothing gives the share of
    positives, so compare figures of equal shares only.

    Args:
        true: 0 or 1 [n].
        score: Finite scores [n], higher for more likely positive.

    Returns:
        Between 0 and 1.

    Raises:
        ValueError: If only one class occurs, a score is not finite, or the lengths differ.
    """
    positive, values = _both_classes("AUPRC", true, score)
    _, which = np.unique(-values, return_inverse=True)
    hits, given = np.bincount(which, weights=positive), np.bincount(which)
    precision = np.cumsum(hits) / np.cumsum(given)
    return float((precision * hits).sum() / positive.sum())


def confusion(
    true: Iterable[Hashable], predicted: Iterable[Hashable], labels: Iterable[Hashable] | None = None
) -> Confusion:
    """Count every pair of true and predicted label.

    Args:
        true: True labels [n].
        predicted: Predicted labels [n].
        labels: Order of rows and columns; must hold every label that occurs. None sorts those that occur.

    Returns:
        The counts, true labels in rows; they sum to n.

    Raises:
        ValueError: If a label that occurs is not in ``labels``, there are no items, or the lengths differ.
    """
    left, right = labels_of("true", true), labels_of("predicted", predicted)
    same_length(true=left, predicted=right)
    order = _label_order(left, right, labels)
    n, rows, columns = len(order), _codes(left, order), _codes(right, order)
    outside = [item for item, code in zip([*left, *right], [*rows, *columns], strict=True) if code == n]
    if outside:
        raise ValueError(f"labels must hold every label that occurs, got {outside[0]!r} too; add it to labels")
    counts = np.bincount(rows * n + columns, minlength=n * n).reshape(n, n)
    return Confusion(tuple(order), tuple(map(tuple, counts.tolist())))
