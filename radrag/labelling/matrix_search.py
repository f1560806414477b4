"""The hybrid search of ``memory_searcher`` for many notes at once: the same scores, by matrix products.

BM25 is a product of sparse matrices, cosines one of dense ones, and the joining is done for a whole batch. Sources as
for ``radrag.indexes.bm25`` and ``radrag.indexes.fusion``. Vectors are compared as they are given, where an index keeps
them in half precision.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from radrag.indexes.searcher import SearchSettings
from radrag.indexes.tokens import passage_terms
from radrag.labelling.term_counts import TermCounts, asked_terms, count_terms, impacts
from radrag.protocols import Encoder

_CELLS = 4_000_000  # scores held at once, so that memory does not grow with the notes
_FLAT = 1e-12


class MatrixSearch:
    """Searches texts in memory with batches of notes.

    Args:
        texts: The texts, at least one, or their counted terms.
        vectors: Their vectors, float32 ``[texts, dim]``.
        encoder: Encoder of notes.
        dense_weight: Weight of the vectors against the words.
    """

    def __init__(
        self, texts: Sequence[str] | TermCounts, vectors: NDArray[np.float32], encoder: Encoder, dense_weight: float
    ) -> None:
        settings = SearchSettings(dense_weight=dense_weight)
        counted = texts if isinstance(texts, TermCounts) else count_terms([passage_terms(text) for text in texts])
        self._encoder, self._vectors = encoder, np.ascontiguousarray(vectors.T)
        self._weights, self._depth, self._size = (1 - dense_weight, dense_weight), settings.depth, len(counted)
        self._vocabulary, self._impacts = counted.vocabulary, impacts(counted, settings)

    def all(self, notes: Sequence[str]) -> NDArray[np.float64]:
        """Return the joined score of each text ``[notes, texts]``; the mean is 0."""
        found = np.zeros((len(notes), self._size))
        every = np.ones((1, self._size), dtype=np.bool_)
        for start, *products in self._products(notes):
            parts = [weight * scaled(part, every) for weight, part in zip(self._weights, products, strict=True)]
            found[start : start + len(parts[0])] = parts[0] + parts[1]
        return found

    def nearest(self, notes: Sequence[str], k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return rows and joined scores of the best ``k`` texts of each note, best first, the first of equals.

        Returns:
            Both ``[notes, min(k, texts)]``; a score of -inf marks a place for which no search brought in a text.
        """
        k = min(k, self._size)
        rows, scores = np.zeros((len(notes), k), dtype=np.int64), np.full((len(notes), k), -np.inf)
        for start, columns, joined in self._joined(notes, k):
            # Columns ascend, so that a stable sort leaves the first of equals in front.
            order = np.argsort(-joined, axis=1, kind="stable")[:, :k]
            part = slice(start, start + len(joined)), slice(0, order.shape[1])
            rows[part] = np.take_along_axis(columns, order, axis=1)
            scores[part] = np.take_along_axis(joined, order, axis=1)
        return rows, scores

    def _joined(self, notes: Sequence[str], k: int) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.float64]]]:
        """Yield the first note of some, and for each the texts found, ascending, with joined scores; -inf fills up."""
        depth = max(self._depth, k)
        for start, words, cosines in self._products(notes):
            taken = (words > 0) & _best(words, depth) | _best(cosines, depth)
            counts = taken.sum(axis=1)
            rows, found = np.nonzero(taken)
            places = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
            columns = np.zeros((len(words), int(counts.max())), dtype=np.int64)
            present = np.arange(columns.shape[1]) < counts[:, None]
            columns[rows, places] = found
            parts = (np.take_along_axis(values, columns, axis=1) for values in (words, cosines))
            joined = [weight * scaled(part, present) for weight, part in zip(self._weights, parts, strict=True)]
            yield start, columns, np.where(present, joined[0] + joined[1], -np.inf)

    def _products(self, notes: Sequence[str]) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.float32]]]:
        """Yield the first note of some, and their BM25 scores and cosines with all texts."""
        if not len(notes):
            return
        asked = asked_terms(tuple(notes)).columns(self._vocabulary)
        vectors = self._encoder.encode(notes, "query")
        size = max(1, _CELLS // self._size)
        for start in range(0, len(notes), size):
            words = (asked[start : start + size] @ self._impacts).toarray()
            yield start, words, vectors[start : start + size] @ self._vectors


def _best(scores: NDArray[np.float32], depth: int) -> NDArray[np.bool_]:
    """Return whether each score is among the best of its row, ties with the last of them included."""
    if scores.shape[1] <= depth:
        return np.ones(scores.shape, dtype=np.bool_)
    place = scores.shape[1] - depth
    least = np.partition(scores, place, axis=1)[:, place]
    return np.asarray(scores >= least[:, None])


def scaled(scores: NDArray[np.float32], taken: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Bring the scores that take part to mean 0 and standard deviation 1 in each row; all 0 if they are all equal."""
    values = scores.astype(np.float64)
    counts = taken.sum(axis=1, keepdims=True)
    centred = values - values.sum(axis=1, keepdims=True, where=taken) / counts
    spread = np.sqrt((centred**2).sum(axis=1, keepdims=True, where=taken) / counts)
    highest = np.abs(values).max(axis=1, keepdims=True, where=taken, initial=0.0)
    flat = spread <= _FLAT * np.maximum(1.0, highest)
    return np.where(flat, 0.0, centred / np.where(flat, 1.0, spread))
