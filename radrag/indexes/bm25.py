"""BM25 over postings, and rank-bm25 behind the same face as a selectable engine and reference.

Source: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), eq. 3.15, with Lucene's
idf, ``log(1 + (N - n + .5) / (n + .5))``, which is never negative.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from radrag.indexes.postings import Postings


class LexicalEngine(Protocol):
    """Scores every row for a query."""

    def scores(self, terms: Sequence[str]) -> NDArray[np.float32]:
        """Return a score for each row, float32 ``[n]``; 0 for rows without any of the terms."""


class BM25:
    """BM25 whose idf and length norm are computed when asked, so that adding rows needs no rebuild.

    Args:
        segments: Postings; rows are numbered through them in order.
        k1: Saturation of term frequency, at least 0.
        b: Strength of length normalisation, 0 to 1.
    """

    def __init__(self, segments: Sequence[Postings], k1: float, b: float) -> None:
        check_parameters(k1, b)
        self._segments = list(segments)
        self._k1 = k1
        lengths = [np.asarray(segment.lengths, dtype=np.float32) for segment in self._segments]
        self._count = sum(len(part) for part in lengths)
        total = sum(float(part.sum(dtype=np.float64)) for part in lengths)
        mean = total / self._count if total else 1.0
        self._norms = [np.float32(k1) * (np.float32(1 - b) + np.float32(b / mean) * part) for part in lengths]

    def scores(self, terms: Sequence[str]) -> NDArray[np.float32]:
        """Return BM25 of each row, float32 ``[n]``; a term asked twice counts twice."""
        result = np.zeros(self._count, dtype=np.float32)
        for term, times in Counter(terms).items():
            found = [segment.of(term) for segment in self._segments]
            holders = sum(len(rows) for rows, _ in found)
            if not holders:
                continue
            idf = np.log1p((self._count - holders + 0.5) / (holders + 0.5))
            weight = np.float32(times * idf * (self._k1 + 1))
            start = 0
            for (rows, frequencies), norms in zip(found, self._norms, strict=True):
                result[start : start + len(norms)][rows] += weight * frequencies / (frequencies + norms[rows])
                start += len(norms)
        return result


class RankBM25:
    """``rank_bm25.BM25Okapi``, which keeps everything in memory and gives frequent terms a floored negative idf.

    Args:
        segments: Postings; rows are numbered through them in order.
        k1: Saturation of term frequency, at least 0.
        b: Strength of length normalisation, 0 to 1.
    """

    def __init__(self, segments: Sequence[Postings], k1: float, b: float) -> None:
        check_parameters(k1, b)
        import rank_bm25

        corpus = [tokens for segment in segments for tokens in segment.documents()]
        self._okapi = rank_bm25.BM25Okapi(corpus, k1=k1, b=b) if any(corpus) else None
        self._count = len(corpus)

    def scores(self, terms: Sequence[str]) -> NDArray[np.float32]:
        """Return ``BM25Okapi.get_scores``, float32 ``[n]``."""
        if self._okapi is None:
            return np.zeros(self._count, dtype=np.float32)
        return np.asarray(self._okapi.get_scores(list(terms)), dtype=np.float32)


ENGINES: dict[str, type[BM25] | type[RankBM25]] = {"bm25": BM25, "rank-bm25": RankBM25}


def check_parameters(k1: float, b: float) -> None:
    """Refuse a k1 below 0 and a b outside 0 to 1."""
    if k1 < 0:
        raise ValueError(f"k1 must be at least 0, got {k1}")
    if not 0 <= b <= 1:
        raise ValueError(f"b must be between 0 and 1, got {b}")
