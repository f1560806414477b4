"""Searching one state of an index: candidates from words and vectors, each scored by both, then fused."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radrag.indexes.bm25 import ENGINES, Statistics, check_parameters
from radrag.indexes.fusion import Fusion, rank_fusion, score_fusion
from radrag.indexes.segments import Segment
from radrag.indexes.tokens import query_terms
from radrag.protocols import Encoder

Found = tuple[int, float, float | None, float | None]
Masks = Sequence[NDArray[np.bool_] | None]


_TWO_THREADS = 500_000  # passages from which a second thread gains more than it costs


class Mode(StrEnum):
    """Which searches take part."""

    HYBRID = "hybrid"
    LEXICAL = "lexical"
    DENSE = "dense"


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How an index searches.

    Attributes:
        lexical: Engine of ``radrag.indexes.bm25.ENGINES``.
        k1: BM25 saturation.
        b: BM25 length normalisation.
        fusion: How the two searches are joined.
        dense_weight: Weight of the vectors, 0 to 1; the words have the rest.
        depth: Candidates that each search contributes at least.
    """

    lexical: str = "bm25"
    k1: float = 0.6
    b: float = 0.5
    fusion: Fusion = Fusion.ZSCORE
    dense_weight: float = 0.4
    depth: int = 100

    def __post_init__(self) -> None:
        object.__setattr__(self, "fusion", Fusion(self.fusion))  # a stored index gives its name
        if self.lexical not in ENGINES:
            raise ValueError(f"lexical must be one of {sorted(ENGINES)}, got {self.lexical!r}")
        check_parameters(self.k1, self.b)
        if not 0 <= self.dense_weight <= 1:
            raise ValueError(f"dense_weight must be between 0 and 1, got {self.dense_weight}")
        if self.depth < 1:
            raise ValueError(f"depth must be at least 1, got {self.depth}")


class Searcher:
    """Finds rows of segments. Rows are numbered through all segments in order.

    Args:
        segments: The segments.
        live: For each segment bool ``[n]``, which rows still exist; None for all.
        statistics: What BM25 needs to know of all that lives.
        encoder: Encoder of queries.
        settings: How to search.
    """

    def __init__(
        self, segments: Sequence[Segment], live: Masks, statistics: Statistics, encoder: Encoder,
        settings: SearchSettings,
    ) -> None:  # fmt: skip
        self._segments, self._live, self.statistics = segments, live, statistics
        self._encoder, self._settings = encoder, settings
        postings = [segment.postings for segment in segments]
        self._lexical = ENGINES[settings.lexical](postings, settings.k1, settings.b, live)
        self._offsets = np.cumsum([0, *(segment.rows for segment in segments)])

    def __len__(self) -> int:
        return self.statistics.rows

    def search(
        self, queries: Sequence[str], k: int, masks: Masks | None = None, mode: Mode = Mode.HYBRID, *,
        exact: bool = False, settings: SearchSettings | None = None,
    ) -> list[list[Found]]:  # fmt: skip
        """Find the best ``k`` rows, and all that tie with the last of them.

        Args:
            queries: Texts.
            k: Hits wanted.
            masks: For each segment bool ``[n]``, which rows may be returned; None for all that exist.
            mode: Which searches take part.
            exact: Compare with every vector, however many there are.
            settings: Fusion, weight and depth for this search; k1, b and engine stay as they are.

        Returns:
            For each query (passage id, score, BM25 or None, cosine or None), in no promised order.
        """
        chosen, admitted = settings or self._settings, self._live if masks is None else masks
        if not queries or not self._segments:
            return [[] for _ in queries]
        depth = max(chosen.depth, k) if mode is Mode.HYBRID else k
        terms = [query_terms(query) for query in queries]
        lexical: list[Any] = [None] * len(queries)
        dense: list[Any] = [None] * len(queries)
        with ThreadPoolExecutor(1) if mode is Mode.HYBRID and len(self) >= _TWO_THREADS else nullcontext() as other:
            ahead = None if other is None else other.submit(self._dense, queries, depth, admitted, exact)
            if mode is not Mode.DENSE:
                lexical = [self._lexical.top(one, depth, admitted, self.statistics) for one in terms]
            if mode is not Mode.LEXICAL:
                dense = self._dense(queries, depth, admitted, exact) if ahead is None else ahead.result()
        return [self._join(*one, k, mode, chosen) for one in zip(terms, lexical, dense, strict=True)]

    def rarity(self, terms: Sequence[str]) -> dict[str, float]:
        """Return each term's inverse document frequency, ``log(1 + (N - n + .5) / (n + .5))``."""
        holders = self._lexical.holders(terms, self.statistics)
        return {term: float(np.log1p((len(self) - holders[term] + 0.5) / (holders[term] + 0.5))) for term in terms}

    def _join(
        self, terms: list[str], lexical: Any, dense: Any, k: int, mode: Mode, settings: SearchSettings
    ) -> list[Found]:
        if mode is Mode.DENSE:
            numbers, values = self._ids(dense[0]), dense[1].tolist()
            return [(number, value, None, value) for number, value in zip(numbers, values, strict=True)]
        if mode is Mode.LEXICAL:
            numbers, values = self._ids(lexical[0]), lexical[1].tolist()
            return [(number, value, value, None) for number, value in zip(numbers, values, strict=True)]
        return self._fuse(terms, lexical[0], dense, k, settings)

    def _fuse(
        self, terms: list[str], lexical_rows: NDArray[np.int64], dense: Any, k: int, settings: SearchSettings
    ) -> list[Found]:
        dense_rows, dense_cosines, vector = dense
        rows = _union(lexical_rows, dense_rows)
        by_words, by_vectors = np.zeros(len(rows), dtype=np.bool_), np.zeros(len(rows), dtype=np.bool_)
        by_words[np.searchsorted(rows, lexical_rows)] = True
        places = np.searchsorted(rows, dense_rows)
        by_vectors[places] = True
        scores, cosines = self._lexical.at(terms, rows, self.statistics), np.empty(len(rows))
        cosines[places] = dense_cosines
        cosines[~by_vectors] = self._cosines(vector, rows[~by_vectors])
        weights = (1 - settings.dense_weight, settings.dense_weight)
        if settings.fusion is Fusion.RRF:
            fused = rank_fusion(np.stack([scores, cosines]), np.stack([by_words, by_vectors]), weights)
        else:
            fused = score_fusion(np.stack([scores, cosines]), weights, settings.fusion)
        best, values = best_with_ties(np.arange(len(rows)), fused, k)
        return [
            (number, value, float(scores[i]) if by_words[i] else None, float(cosines[i]))
            for number, i, value in zip(self._ids(rows[best]), best.tolist(), values.tolist(), strict=True)
        ]

    def _dense(self, queries: Sequence[str], depth: int, masks: Masks, exact: bool) -> list[Any]:
        vectors = self._encoder.encode(queries, "query")
        rows: list[list[Any]] = [[] for _ in queries]
        cosines: list[list[Any]] = [[] for _ in queries]
        for segment, offset, mask in zip(self._segments, self._offsets, masks, strict=False):
            found = segment.dense.top(vectors, depth, mask, exact)
            for place, (local, values) in enumerate(found):
                rows[place].append(local + offset)
                cosines[place].append(values)
        return [
            (*best_with_ties(np.concatenate(one), np.concatenate(values), depth), vector)
            for one, values, vector in zip(rows, cosines, vectors, strict=True)
        ]

    def _cosines(self, vector: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the cosine of each of these rows, ascending, with a query."""
        cuts = np.searchsorted(rows, self._offsets)
        parts = [
            segment.dense.at(vector, rows[low:high] - offset)
            for segment, offset, low, high in zip(self._segments, self._offsets, cuts, cuts[1:], strict=False)
            if low < high
        ]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _ids(self, rows: NDArray[np.int64]) -> list[int]:
        """Return the passage id of each row."""
        ids = np.empty(len(rows), dtype=np.int64)
        owner = np.searchsorted(self._offsets, rows, side="right") - 1
        for number, segment in enumerate(self._segments):
            chosen = owner == number
            if chosen.any():
                ids[chosen] = segment.ids[rows[chosen] - self._offsets[number]]
        found: list[int] = ids.tolist()
        return found


def _union(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows of both, ascending, each once; much faster for a few hundred than ``np.union1d``."""
    both = np.concatenate([one, other])
    both.sort()
    first = np.ones(len(both), dtype=np.bool_)
    np.not_equal(both[1:], both[:-1], out=first[1:])
    return both[first]


def best_with_ties(
    rows: NDArray[np.int64], scores: NDArray[np.floating], k: int
) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
    """Return the ``k`` rows of highest score and all that tie with the last of them."""
    if len(scores) > k:
        threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
        kept = scores >= threshold
        rows, scores = rows[kept], scores[kept]
    return rows, scores
