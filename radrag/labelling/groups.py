"""Which notes belong together, and splits that never put notes of one group on both sides."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from radrag.types import LabelledNote

_DIGITS = re.compile(r"\d+")


def normalised(text: str) -> str:
    """Return a note without what copies differ in: case, white space and numbers."""
    return " ".join(_DIGITS.sub("0", text.casefold()).split())


def group_notes(notes: Sequence[LabelledNote]) -> NDArray[np.int64]:
    """Number the groups of notes.

    Notes are in one group if they share a ``group`` or their normalised text, directly or through other notes.

    Returns:
        Group of each note, int64 ``[n]``, from 0.
    """
    keys: dict[tuple[str, str], int] = {}
    rows, columns = [], []
    for row, note in enumerate(notes):
        named = [("text", normalised(note.text)), *([("group", note.group)] if note.group else [])]
        for key in named:
            rows.append(row)
            columns.append(len(notes) + keys.setdefault(key, len(keys)))
    size = len(notes) + len(keys)
    graph = coo_array((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1][: len(notes)], dtype=np.int64)


def grouped_folds(groups: NDArray[np.int64], labels: NDArray[np.int64], k: int = 5, seed: int = 0) -> NDArray[np.int64]:
    """Deal groups to folds so that labels and sizes come out as even as they can.

    Larger groups go first, in an order drawn by the seed among equals; each goes to the fold that holds fewest notes of
    its labels, then to the smallest.

    Args:
        groups: Group of each note ``[n]``, from 0.
        labels: Position of each note's label ``[n]``, from 0.
        k: Number of folds, at least 2.
        seed: Seed of the order.

    Returns:
        Fold of each note, int64 ``[n]``, from 0 to k - 1.

    Raises:
        ValueError: If there are fewer groups than folds.
    """
    if k < 2:
        raise ValueError(f"k must be at least 2, got {k}")
    members = _members(groups)
    if len(members) < k:
        raise ValueError(
            f"{len(members)} groups of notes cannot be split into {k} folds; give notes of {k} groups or more"
        )
    order = np.random.default_rng(seed).permutation(len(members))
    held = np.zeros((k, int(labels.max()) + 1))
    folds = np.zeros(len(groups), dtype=np.int64)
    for group in sorted(order.tolist(), key=lambda group: -len(members[group])):
        rows = members[group]
        same = held[:, labels[rows]].sum(axis=1)
        fold = int(np.lexsort((held.sum(axis=1), same))[0])
        folds[rows] = fold
        np.add.at(held[fold], labels[rows], 1)
    return folds


def _members(groups: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order])) + 1
    return [rows for rows in np.split(order, starts) if len(rows)]
