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

from radrag.corpora.values import whole_number
from radrag.indexes.bm25 import BM25, Statistics, check_parameters
from radrag.indexes.embedding_cache import checked_vectors
from radrag.indexes.fusion import Fusion, rank_fusion, score_fusion
from radrag.indexes.okapi import RankBM25
from radrag.indexes.segments import Segment, damage_told
from radrag.indexes.tokens import query_terms
from radrag.protocols import Encoder

Found = tuple[int, float, float | None, float | None]
Masks = Sequence[NDArray[np.bool_] | None]


ENGINES: dict[str, type[BM25] | type[RankBM25]] = {"bm25": BM25, "rank-bm25": RankBM25}
_TWO_THREADS = 500_000  # passages from which a second thread gains more than it costs


class Mode(StrEnum):
    """Which searches take part."""

    HYBRID = "hybrid"
    LEXICAL = "lexical"
    DENSE = "dense"

    @classmethod
    def _missing_(cls, value: object) -> None:
        raise ValueError(f"mode must be one of {', '.join(cls)}, got {value!r}")


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How an index searches.

    Attributes:
        lexical: Engine of ``radrag.indexes.bm25.ENGINES``.
        k1: BM25 saturation.
        b: BM25 length normalisation.
        fusion: How the two searches are joined.
        dense_weight: Weight of the vectors, 0 to 1; the words have the rest.
        depth: Candidates that each search contributes, and that set the scale on which scores are fused. If more hits
            are asked for, further candidates are ranked on the same scale, so that the first hits stay what they were
            (all but always: a further one may come in between where the two searches hardly agree).
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
        object.__setattr__(self, "depth", whole_number("depth", self.depth))
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
        usual: The masks that most searches will have.
    """

    def __init__(
        self, segments: Sequence[Segment], live: Masks, statistics: Statistics, encoder: Encoder,
        settings: SearchSettings, usual: Masks = (),
    ) -> None:  # fmt: skip
        self._segments, self._live, self.statistics = segments, live, statistics
        self._encoder, self._settings = encoder, settings
        postings = [segment.postings for segment in segments]
        self._lexical = ENGINES[settings.lexical](postings, settings.k1, settings.b, live, usual)
        self._offsets = np.cumsum([0, *(segment.rows for segment in segments)])

    def __len__(self) -> int:
        return self.statistics.rows

    def search(
        self, queries: Sequence[str], k: int, masks: Masks | None = None, mode: Mode = Mode.HYBRID, *,
        exact: bool = False, settings: SearchSettings | None = None, heard: bool = False,
    ) -> list[list[Found]]:  # fmt: skip
        """Find the best ``k`` rows, and all that tie with the last of them.

        Args:
            queries: Texts.
            k: Hits wanted.
            masks: For each segment bool ``[n]``, which rows may be returned; None for all that exist.
            mode: Which searches take part.
            exact: Compare with every vector, however many there are.
            settings: Fusion, weight and depth for this search; k1, b and engine stay as they are.
            heard: Find nothing by vectors for a query of which the encoder knows no word (a vector of zeros);
                otherwise every row is equally near to it.

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
            ahead = None if other is None else other.submit(self._dense, queries, depth, admitted, exact, heard)
            if mode is not Mode.DENSE:
                with damage_told():
                    lexical = [self._lexical.top(one, depth, admitted, self.statistics) for one in terms]
            if mode is not Mode.LEXICAL:
                dense = self._dense(queries, depth, admitted, exact, heard) if ahead is None else ahead.result()
        with damage_told():
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
        return self._fuse(terms, lexical, dense, k, settings)

    def _fuse(self, terms: list[str], lexical: Any, dense: Any, k: int, settings: SearchSettings) -> list[Found]:
        (lexical_rows, lexical_scores), (dense_rows, dense_cosines, vector) = lexical, dense
        rows = _union(lexical_rows, dense_rows)
        table, found = np.empty((2, len(rows))), np.zeros((2, len(rows)), dtype=np.bool_)
        near = np.zeros_like(found)
        for place, (own, values) in enumerate(((lexical_rows, lexical_scores), (dense_rows, dense_cosines))):
            at = rows.searchsorted(own)
            table[place, at], found[place, at] = values, True
            near[place, at] = True if len(own) <= settings.depth else values >= _nth(values, settings.depth)
        first = near[0] | near[1]
        missing = ~found
        table[0, missing[0]] = self._lexical.at(terms, rows[missing[0]], self.statistics)
        table[1, missing[1]] = self._cosines(vector, rows[missing[1]])
        weights = (1 - settings.dense_weight, settings.dense_weight)
        if settings.fusion is Fusion.RRF:
            fused = rank_fusion(table, near | (found & ~first), weights)
        else:
            fused = score_fusion(table, weights, settings.fusion, None if first.all() else first)
        best, values = best_with_ties(np.arange(len(rows)), fused, k)
        scores, cosines = table[:, best].tolist()
        return [
            (number, value, score if by_words else None, cosine)
            for number, value, by_words, score, cosine in zip(
                self._ids(rows[best]), values.tolist(), found[0, best].tolist(), scores, cosines, strict=True
            )
        ]

    def _dense(self, queries: Sequence[str], depth: int, masks: Masks, exact: bool, heard: bool) -> list[Any]:
        vectors = checked_vectors(self._encoder, queries, "query")
        with damage_told():
            return self._near(vectors, depth, masks, exact, heard)

    def _near(self, vectors: NDArray[np.float32], depth: int, masks: Masks, exact: bool, heard: bool) -> list[Any]:
        asked = np.flatnonzero(vectors.any(axis=1)) if heard else np.arange(len(vectors))
        rows: list[list[Any]] = [[] for _ in vectors]
        cosines: list[list[Any]] = [[] for _ in vectors]
        for segment, offset, mask in zip(self._segments, self._offsets, masks, strict=False):
            found = segment.dense.top(vectors[asked], depth, mask, exact)
            for place, (local, values) in zip(asked.tolist(), found, strict=True):
                rows[place].append(local + offset)
                cosines[place].append(values)
        return [
            (*best_with_ties(_joined(one, np.int64), _joined(values, np.float64), depth), vector)
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


def _joined(parts: Sequence[NDArray[Any]], kind: Any) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=kind)


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
        kept = scores >= _nth(scores, k)
        rows, scores = rows[kept], scores[kept]
    return rows, scores


def _nth(scores: NDArray[np.floating], n: int) -> Any:
    """Return the ``n``-th highest score."""
    return np.partition(scores, len(scores) - n)[len(scores) - n]
