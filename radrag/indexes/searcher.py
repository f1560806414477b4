"""Searching what an index has loaded: candidates from words and vectors, each scored by both, then fused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radrag.indexes.bm25 import ENGINES, check_parameters
from radrag.indexes.fusion import Fusion, reciprocal_rank_fusion, score_fusion
from radrag.indexes.segments import Segment
from radrag.indexes.tokens import tokenize
from radrag.protocols import Encoder

Found = tuple[int, float, float | None, float | None]


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
    """One state of an index, in memory.

    Args:
        segments: Its segments, in row order.
        ids: int64 ``[n]`` passage id of each row, ascending.
        owners: int64 ``[n]`` document number of each row.
        encoder: Encoder of queries.
        settings: How to search.
    """

    def __init__(
        self,
        segments: Sequence[Segment],
        ids: NDArray[np.int64],
        owners: NDArray[np.int64],
        encoder: Encoder,
        settings: SearchSettings,
    ) -> None:
        self._ids, self.owners, self._encoder, self._settings = ids, owners, encoder, settings
        postings = [segment.postings for segment in segments]
        self._lexical = ENGINES[settings.lexical](postings, settings.k1, settings.b)
        self._segments = segments
        self._flat: Any = None

    def __len__(self) -> int:
        return len(self._ids)

    def search(self, queries: Sequence[str], k: int, mask: NDArray[np.bool_] | None, mode: Mode) -> list[list[Found]]:
        """Find the best ``k`` rows, and all that tie with the last of them.

        Args:
            queries: Texts.
            k: Hits wanted.
            mask: bool ``[n]``, the rows that may be returned; None for all.
            mode: Which searches take part.

        Returns:
            For each query (passage id, score, BM25 or None, cosine or None), in no promised order.
        """
        admitted = len(self) if mask is None else int(mask.sum())
        if not admitted or not queries:
            return [[] for _ in queries]
        depth = min(admitted, max(self._settings.depth, k))
        dense = self._dense(queries, depth, mask) if mode is not Mode.LEXICAL else [None] * len(queries)
        return [
            self._one(query, k, depth, mask, found, mode) for query, found in zip(queries, dense, strict=True)
        ]  # fmt: skip

    def rarity(self, terms: Sequence[str]) -> dict[str, float]:
        """Return each term's inverse document frequency, ``log(1 + (N - n + .5) / (n + .5))``."""
        weights = {}
        for term in terms:
            holders = sum(len(segment.postings.of(term)[0]) for segment in self._segments)
            weights[term] = float(np.log1p((len(self) - holders + 0.5) / (holders + 0.5)))
        return weights

    def _one(self, query: str, k: int, depth: int, mask: Any, dense: Any, mode: Mode) -> list[Found]:
        if mode is Mode.DENSE:
            rows, cosines, _ = dense
            return [
                (int(self._ids[r]), float(c), None, float(c)) for r, c in zip(*_best(rows, cosines, k), strict=True)
            ]
        scores = self._lexical.scores(tokenize(query))
        if mask is not None:
            scores = np.where(mask, scores, 0)
        matched = np.flatnonzero(scores)
        if mode is Mode.LEXICAL:
            rows, values = _best(matched, scores[matched], k)
            return [(int(self._ids[r]), float(v), float(v), None) for r, v in zip(rows, values, strict=True)]
        lexical_rows, lexical_scores = _best(matched, scores[matched], depth)
        return self._fuse(scores, lexical_rows, lexical_scores, dense, k)

    def _fuse(self, scores: Any, lexical_rows: Any, lexical_scores: Any, dense: Any, k: int) -> list[Found]:
        dense_rows, cosines, vector = dense
        weights = (1 - self._settings.dense_weight, self._settings.dense_weight)
        rows = np.union1d(lexical_rows, dense_rows)
        cosine = np.zeros(len(rows), dtype=np.float32)
        if len(rows):
            cosine = self._index().reconstruct_batch(rows) @ vector
        if self._settings.fusion is Fusion.RRF:
            by_words = lexical_rows[np.lexsort((lexical_rows, -lexical_scores))]
            by_vectors = dense_rows[np.lexsort((dense_rows, -cosines))]
            ranks = reciprocal_rank_fusion([by_words.tolist(), by_vectors.tolist()], weights)
            fused = np.asarray([ranks[row] for row in rows.tolist()])
        else:
            fused = score_fusion(np.stack([scores[rows], cosine]), weights, self._settings.fusion)
        best, values = _best(np.arange(len(rows)), fused, k)
        lexical = set(lexical_rows.tolist())
        return [
            (
                int(self._ids[rows[i]]),
                float(value),
                float(scores[rows[i]]) if rows[i] in lexical else None,
                float(cosine[i]),
            )
            for i, value in zip(best, values, strict=True)
        ]

    def _dense(self, queries: Sequence[str], depth: int, mask: Any) -> list[Any]:
        import faiss

        vectors = self._encoder.encode(queries, "query")
        parameters = None
        if mask is not None:
            library: Any = faiss  # its stubs know only the C++ signatures
            selector = library.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
            parameters = library.SearchParameters(sel=selector)
        cosines, rows = self._index().search(vectors, depth, params=parameters)
        found = []
        for vector, row, cosine in zip(vectors, rows, cosines, strict=True):
            kept = row >= 0
            found.append((row[kept], cosine[kept], vector))
        return found

    def _index(self) -> Any:
        if self._flat is None:
            import faiss

            self._flat = faiss.IndexFlatIP(self._encoder.dim)
            for segment in self._segments:
                self._flat.add(np.ascontiguousarray(segment.vectors))
        return self._flat


def _best(rows: Any, scores: Any, k: int) -> tuple[Any, Any]:
    """Return the ``k`` rows of highest score and all that tie with the last of them."""
    if len(scores) > k:
        threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
        kept = scores >= threshold
        rows, scores = rows[kept], scores[kept]
    return rows, scores
