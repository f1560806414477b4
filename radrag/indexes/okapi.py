"""rank-bm25 behind the face of the other lexical engine: selectable for small indexes, and a reference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from radrag.indexes.bm25 import Statistics, best_scored, check_parameters, count_holders, row_offsets
from radrag.indexes.maxscore import Mask, Scored
from radrag.indexes.postings import Postings


class RankBM25:
    """``rank_bm25.BM25Okapi``, which keeps everything in memory and gives frequent terms a floored negative idf.

    Args:
        segments: Postings, as for ``BM25``.
        k1: As for ``BM25``.
        b: As for ``BM25``.
        live: bool ``[n]`` for each segment, the rows that are not deleted; None for all of them.
        usual: Not needed.
    """

    def __init__(
        self, segments: Sequence[Postings], k1: float, b: float, live: Sequence[Mask] = (), usual: Sequence[Mask] = ()
    ) -> None:
        del usual
        check_parameters(k1, b)
        import rank_bm25

        self._segments = list(segments)
        kept = list(zip(segments, live or [None] * len(segments), strict=True))
        corpus = [row for postings, mask in kept for row in postings.documents(mask)]
        self._okapi = rank_bm25.BM25Okapi(corpus, k1=k1, b=b) if any(corpus) else None
        masks = [np.ones(postings.count, dtype=bool) if mask is None else mask for postings, mask in kept]
        self._live = np.concatenate([np.empty(0, dtype=bool), *masks])

    def top(self, terms: Sequence[str], k: int, masks: Sequence[Mask], statistics: Statistics) -> Scored:
        """Find the ``k`` best rows and all that tie with the last of them (``LexicalEngine.top``)."""
        holding = np.zeros(len(self._live), dtype=bool)
        for postings, mask, offset in zip(self._segments, masks, row_offsets(self._segments), strict=True):
            for held in filter(None, map(postings.holders, set(terms))):
                holding[offset + held[0].astype(np.int64)] = True
            if mask is not None:
                holding[offset : offset + postings.count] &= mask
        rows = np.flatnonzero(holding & self._live)
        return best_scored(rows, self._scores(terms)[rows], k)

    def at(self, terms: Sequence[str], rows: NDArray[np.int64], statistics: Statistics) -> NDArray[np.float32]:
        """Return the score of each of some rows; 0 without any of the terms."""
        return self._scores(terms)[rows]

    def holders(self, terms: Sequence[str], statistics: Statistics) -> dict[str, int]:
        """Return how many live rows hold each term."""
        return count_holders(self._segments, terms, statistics)

    def _scores(self, terms: Sequence[str]) -> NDArray[np.float32]:
        scores = np.zeros(len(self._live), dtype=np.float32)
        if self._okapi is not None:
            with np.errstate(invalid="ignore"):  # 0/0 for rows without the term if k1 is 0, or b is 1 and the row empty
                gains = [np.nan_to_num(self._okapi.get_scores([term])) for term in terms]
            scores[self._live] = sum(gains, np.zeros(self._okapi.corpus_size))
        return scores
