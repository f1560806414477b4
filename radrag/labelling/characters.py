"""The linear model of characters: TF-IDF of pieces of words, which misspelt and shortened words still share.

Source: Cavnar and Trenkle, "N-Gram-Based Text Categorization", SDAIR 1994; hashing as in Weinberger et al., "Feature
Hashing for Large Scale Multitask Learning", ICML 2009.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack
from scipy.special import log_softmax

from radrag.labelling.feature_counts import weighted
from radrag.labelling.linear import fit_linear
from radrag.labelling.stored import read_arrays, write_arrays

# Of (3, 4), (3, 5), (4,) and (5,) the best beside the words on the calibration notes (.783 of 438; the others .765 to
# .776), and the fastest to learn.
SIZES = (5,)
BUCKETS = 1 << 18
# A piece of one note alone tells the solver nothing about others.
_HOLDERS = 2
_BLOCK = 2_000
_BASE, _MIX = np.uint64(0x100000001B3), np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(64 - 18)
_SPACE = 32


class CharacterModel:
    """Scores labels by the pieces of words in a note, 5 characters long. Make one with ``fit`` or ``load``.

    Args:
        columns: Column of each bucket, -1 for none, int32 ``[BUCKETS]``.
        idf: Weight of each column, float32 ``[columns]``.
        weights: float32 ``[labels, columns]``.
        bias: float32 ``[labels]``.
    """

    def __init__(
        self,
        columns: NDArray[np.int32],
        idf: NDArray[np.float32],
        weights: NDArray[np.float32],
        bias: NDArray[np.float32],
    ) -> None:
        self._columns, self._idf, self._bias = columns, idf, bias
        self._weights = np.ascontiguousarray(weights.T)  # a product with sparse rows would copy it otherwise

    @classmethod
    def fit(
        cls,
        notes: Sequence[str],
        true: NDArray[np.int64],
        labels: int,
        *,
        seed: int = 0,
        counted: csr_array | None = None,
    ) -> Self:
        """Learn from labelled notes, as ``TextModel.fit``; ``counted`` is what ``count_pieces`` made of them."""
        counts = count_pieces(notes) if counted is None else counted
        holders = np.bincount(counts.indices, minlength=BUCKETS)
        kept = np.flatnonzero(holders >= min(_HOLDERS, len(notes)))
        columns = np.full(BUCKETS, -1, dtype=np.int32)
        columns[kept] = np.arange(len(kept))
        idf = (np.log((1 + len(notes)) / (1 + holders[kept])) + 1).astype(np.float32)
        weights, bias = fit_linear(_weighted(counts, columns, idf), true, labels, seed)
        return cls(columns, idf, weights, bias)

    def scores(self, notes: Sequence[str]) -> NDArray[np.float64]:
        """Return log-scores ``[n, labels]``: the log-softmax of the margins."""
        margins = [
            _weighted(count_pieces(notes[start : start + _BLOCK]), self._columns, self._idf) @ self._weights
            for start in range(0, len(notes), _BLOCK)
        ]
        return np.asarray(log_softmax(np.concatenate(margins).astype(np.float64) + self._bias, axis=1))

    def save(self, folder: Path) -> None:
        """Write it into an existing folder."""
        weights = np.ascontiguousarray(self._weights.T)
        arrays = {"columns": self._columns, "idf": self._idf, "weights": weights, "bias": self._bias}
        write_arrays(folder / "characters.safetensors", arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote."""
        arrays = read_arrays(folder / "characters.safetensors")
        return cls(*(arrays[name] for name in ("columns", "idf", "weights", "bias")))


def pieces(notes: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pieces of notes, hashed.

    A piece lies within a word with one space at each side: a space can only be its first or last character. Case is
    ignored, and any digit is 0.

    Returns:
        Row of each piece's note and its bucket, int64 ``[pieces]``.
    """
    texts = [f" {' '.join(note.casefold().split())} " for note in notes]
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    codes = np.where((codes >= 48) & (codes <= 57), 48, codes).astype(np.uint64)
    owners = np.repeat(np.arange(len(notes)), [len(text) for text in texts])
    spaces = np.concatenate([[0], np.cumsum(codes == _SPACE)])
    rows, buckets = [], []
    for size in SIZES:
        starts = np.arange(max(0, len(codes) - size + 1))
        inner = spaces[starts + size - 1] - spaces[starts + 1]
        starts = starts[(inner == 0) & (owners[starts] == owners[starts + size - 1])]
        hashes = np.full(len(starts), size, dtype=np.uint64)
        for place in range(size):
            hashes = hashes * _BASE + codes[starts + place]
        rows.append(owners[starts])
        buckets.append(((hashes * _MIX) >> _SHIFT).astype(np.int64))
    return np.concatenate(rows), np.concatenate(buckets)


def count_pieces(notes: Sequence[str]) -> csr_array:
    """Return how often each bucket occurs in each note ``[n, BUCKETS]``."""
    blocks = []
    for start in range(0, len(notes), _BLOCK):
        rows, buckets = pieces(notes[start : start + _BLOCK])
        keys, times = np.unique(rows * BUCKETS + buckets, return_counts=True)
        size = len(notes[start : start + _BLOCK])
        ends = np.searchsorted(keys, np.arange(size + 1) * BUCKETS)
        values = times.astype(np.float32)
        blocks.append(csr_array((values, (keys % BUCKETS).astype(np.int32), ends), shape=(size, BUCKETS)))
    return blocks[0] if len(blocks) == 1 else csr_array(vstack(blocks, format="csr"))


def _weighted(counts: csr_array, columns: NDArray[np.int32], idf: NDArray[np.float32]) -> csr_array:
    """Return weighted rows in the model's columns."""
    places = columns[counts.indices]
    known = places >= 0
    ends = np.concatenate([[0], np.cumsum(known)])[counts.indptr]
    shape = (counts.shape[0], len(idf))
    return weighted(csr_array((counts.data[known], places[known], ends), shape=shape), idf)
