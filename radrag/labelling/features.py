"""Notes as TF-IDF vectors over the library's own terms and pairs of neighbouring terms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from radrag.indexes.tokens import tokenize


def features(terms: Sequence[str]) -> Iterator[str]:
    """Yield the terms of a note, then each pair of neighbours, joined by a space."""
    yield from terms
    for first, second in pairwise(terms):
        yield f"{first} {second}"


def fit_vocabulary(notes: Sequence[str]) -> tuple[dict[str, int], NDArray[np.float32]]:
    """Return the features of notes in alphabetical order, and ``log((1 + n) / (1 + notes with it)) + 1`` of each."""
    holders = Counter(feature for note in notes for feature in set(features(tokenize(note))))
    names = sorted(holders)
    counts = np.asarray([holders[name] for name in names], dtype=np.float64)
    idf = np.log((1 + len(notes)) / (1 + counts)) + 1
    return {name: position for position, name in enumerate(names)}, idf.astype(np.float32)


def vectorise(terms: Sequence[Sequence[str]], vocabulary: dict[str, int], idf: NDArray[np.float32]) -> csr_array:
    """Return rows of ``(1 + log count) idf``, brought to unit length; unknown features are left out.

    Args:
        terms: Terms of each note.
        vocabulary: Feature to column.
        idf: Weight of each column.

    Returns:
        float32 ``[notes, features]``; a note without a known feature has an empty row.
    """
    columns: list[int] = []
    values: list[float] = []
    ends = [0]
    for note in terms:
        counts = Counter(column for name in features(note) if (column := vocabulary.get(name)) is not None)
        columns.extend(counts)
        values.extend(counts.values())
        ends.append(len(columns))
    positions, bounds = np.asarray(columns, dtype=np.int32), np.asarray(ends, dtype=np.int64)
    weights = (1 + np.log(np.asarray(values, dtype=np.float32))) * idf[positions]
    rows = np.repeat(np.arange(len(terms)), np.diff(bounds))
    norms = np.sqrt(np.bincount(rows, weights=weights.astype(np.float64) ** 2, minlength=len(terms)))
    weights = (weights / norms[rows]).astype(np.float32)
    return csr_array((weights, positions, bounds.astype(np.int32)), shape=(len(terms), len(vocabulary)))
