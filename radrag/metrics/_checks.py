"""Checks that every metric makes of its arguments before it counts anything."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sized
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def numbers(name: str, values: ArrayLike, ndim: int = 1) -> NDArray[np.float64]:
    """Return ``values`` as finite float64 of ``ndim`` dimensions, at least one row of them."""
    raw = np.asarray(values)
    if raw.ndim != ndim or raw.size == 0:
        raise ValueError(
            f"{name} must be a non-empty array of {ndim} dimension(s), got shape {raw.shape}; "
            "count what cannot be scored apart, there is nothing to average here"
        )
    if raw.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold numbers, got {raw.dtype}; take missing values out, and count them apart")
    array = raw.astype(np.float64)
    if not np.isfinite(array).all():
        bad = array[~np.isfinite(array)][0]
        raise ValueError(f"{name} must be finite, got {bad}; take missing values out, and count them apart")
    return array


def flags(name: str, values: ArrayLike, ndim: int = 1) -> NDArray[np.bool_]:
    """Return ``values`` as booleans of ``ndim`` dimensions; only 0, 1, False and True are let through."""
    array = numbers(name, values, ndim)
    wrong = array[(array != 0) & (array != 1)]
    if wrong.size:
        raise ValueError(f"{name} must be 0 or 1, got {wrong[0]:g}; threshold or map the values first")
    return array.astype(np.bool_)


def labels_of(name: str, values: Iterable[Hashable]) -> list[Hashable]:
    """Return one label an item as plain Python values, at least one of them."""
    not_a_string(name, values)
    if isinstance(values, np.ndarray) and values.ndim != 1:
        raise ValueError(f"{name} must hold one label an item, got shape {values.shape}; see multilabel_f1 for more")
    items: list[Any] = values.tolist() if isinstance(values, np.ndarray) else list(values)
    if not items:
        raise ValueError(f"{name} must hold at least one label, got none; there is nothing to score")
    # Not a number is the one value that differs from itself: each would silently become a label of its own.
    if any(item != item for item in items):
        raise ValueError(f"{name} must hold labels, got nan; take missing labels out, and count them apart")
    return items


def not_a_string(name: str, value: object) -> None:
    """Raise if ``value`` is one string, which would pass for a sequence of its letters."""
    if isinstance(value, str):
        raise ValueError(f"{name} must be a collection, got the string {value!r}; put it in a list")


def same_length(**columns: Sized) -> int:
    """Return the length that all columns share."""
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) != 1:
        told = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ValueError(f"columns must be of one length, got {told}; align them item by item first")
    return next(iter(lengths.values()))


def at_least(name: str, value: int, least: int) -> None:
    """Raise unless ``value`` is an integer of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ValueError(f"{name} must be an integer, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
