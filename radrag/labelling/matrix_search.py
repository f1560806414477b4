"""The hybrid search of ``memory_searcher`` for many notes at once: the same scores, by matrix products.

BM25 is a product of sparse matrices, cosines one of dense ones, and the joining is done for a whole batch. Sources as
for ``radrag.indexes.bm25`` and ``radrag.indexes.fusion``. Vectors are compared as they are given, where an index keeps
them in half precision.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from radrag.indexes.searcher import SearchSettings
from radrag.indexes.tokens import passage_terms, query_terms
from radrag.protocols import Encoder

_CELLS = 4_000_000  # scores held at once, so that memory does not grow with the notes
_FLAT = 1e-12


class MatrixSearch:
    """Searches texts in memory with batches of notes.

    Args:
        texts: The texts, at least one.
        vectors: Their vectors, float32 ``[texts, dim]``.
        encoder: Encoder of notes.
        dense_weight: Weight of the vectors against the words.
    """

    def __init__(
        self, texts: Sequence[str], vectors: NDArray[np.float32], encoder: Encoder, dense_weight: float
    ) -> None:
        settings = SearchSettings(dense_weight=dense_weight)
        self._encoder, self._vectors = encoder, np.ascontiguousarray(vectors.T)
        self._weights, self._depth, self._size = (1 - dense_weight, dense_weight), settings.depth, len(texts)
        self._vocabulary: dict[str, int] = {}
        self._impacts = self._counted(texts, settings.k1, settings.b)

    def all(self, notes: Sequence[str]) -> NDArray[np.float64]:
        """Return the joined score of each text ``[notes, texts]``; 0, the mean, for one that no search brought in."""
        found = np.zeros((len(notes), self._size))
        for start, columns, joined in self._joined(notes, self._size):
            rows, places = np.nonzero(np.isfinite(joined))
            found[start + rows, columns[rows, places]] = joined[rows, places]
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

    def _counted(self, texts: Sequence[str], k1: float, b: float) -> csr_array:
        """Return what each term adds to each text ``[terms, texts]``, weighed by its rarity."""
        counts = [Counter(passage_terms(text)) for text in texts]
        lengths = np.array([count.total() for count in counts], dtype=np.float64)
        mean = lengths.mean() if lengths.sum() else 1.0
        columns = [self._vocabulary.setdefault(term, len(self._vocabulary)) for count in counts for term in count]
        owners = np.repeat(np.arange(len(texts)), [len(count) for count in counts])
        tf = np.array([times for count in counts for times in count.values()], dtype=np.float64)
        impacts = (tf * (k1 + 1) / (tf + k1 * (1 - b + b * lengths[owners] / mean))).astype(np.float32)
        held = np.bincount(columns, minlength=len(self._vocabulary)) if columns else np.zeros(0)
        rarity = np.log1p((len(texts) - held + 0.5) / (held + 0.5)).astype(np.float32)
        values = impacts * rarity[columns] if columns else impacts
        return csr_array((values, (columns, owners)), shape=(len(self._vocabulary), len(texts)), dtype=np.float32)

    def _joined(self, notes: Sequence[str], k: int) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.float64]]]:
        """Yield the first note of some, and for each the texts found, ascending, with joined scores; -inf fills up."""
        if not len(notes):
            return
        asked, vectors = self._asked(notes), self._encoder.encode(list(notes), "query")
        depth = max(self._depth, k)
        size = max(1, _CELLS // self._size)
        for start in range(0, len(notes), size):
            words = (asked[start : start + size] @ self._impacts).toarray()
            cosines = vectors[start : start + size] @ self._vectors
            taken = (words > 0) & _best(words, depth) | _best(cosines, depth)
            counts = taken.sum(axis=1)
            rows, found = np.nonzero(taken)
            places = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
            columns = np.zeros((len(words), int(counts.max())), dtype=np.int64)
            present = np.arange(columns.shape[1]) < counts[:, None]
            columns[rows, places] = found
            parts = (np.take_along_axis(values, columns, axis=1) for values in (words, cosines))
            scaled = [weight * _scaled(part, present) for weight, part in zip(self._weights, parts, strict=True)]
            yield start, columns, np.where(present, scaled[0] + scaled[1], -np.inf)

    def _asked(self, notes: Sequence[str]) -> csr_array:
        rows, columns, values = [], [], []
        for row, terms in enumerate(_terms(tuple(notes))):
            for term, times in terms.items():
                column = self._vocabulary.get(term)
                if column is not None:
                    rows.append(row)
                    columns.append(column)
                    values.append(times)
        shape = (len(notes), len(self._vocabulary))
        return csr_array((np.asarray(values, dtype=np.float32), (rows, columns)), shape=shape)


@lru_cache(maxsize=1)
def _terms(notes: tuple[str, ...]) -> list[Counter[str]]:
    """Return the terms of the last batch: several searches ask for the same notes one after the other."""
    return [Counter(query_terms(note)) for note in notes]


def _best(scores: NDArray[np.float32], depth: int) -> NDArray[np.bool_]:
    """Return whether each score is among the best of its row, ties with the last of them included."""
    if scores.shape[1] <= depth:
        return np.ones(scores.shape, dtype=np.bool_)
    place = scores.shape[1] - depth
    least = np.partition(scores, place, axis=1)[:, place]
    return np.asarray(scores >= least[:, None])


def _scaled(scores: NDArray[np.float32], taken: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Bring the scores that take part to mean 0 and standard deviation 1 in each row; all 0 if they are all equal."""
    values = scores.astype(np.float64)
    counts = taken.sum(axis=1, keepdims=True)
    centred = values - values.sum(axis=1, keepdims=True, where=taken) / counts
    spread = np.sqrt((centred**2).sum(axis=1, keepdims=True, where=taken) / counts)
    highest = np.abs(values).max(axis=1, keepdims=True, where=taken, initial=0.0)
    flat = spread <= _FLAT * np.maximum(1.0, highest)
    return np.where(flat, 0.0, centred / np.where(flat, 1.0, spread))
