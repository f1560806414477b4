"""BM25 over postings.

Source: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), eq. 3.15, with Lucene's
idf, ``log(1 + (N - n + .5) / (n + .5))``, which is never negative. ``radrag.indexes.maxscore`` finds the best rows.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from radrag.indexes.maxscore import Impacts, Mask, MaxScore, Scored, Sums, add_up, term_lists
from radrag.indexes.postings import Postings

_LEAST = float(np.finfo(np.float32).tiny)  # no term adds less
_SMALL = 4_096  # rows of a segment that are all added up: less work than to find out which can be left out


@dataclass(frozen=True, slots=True)
class Statistics:
    """What BM25 must know of the collection besides the postings, which still hold deleted rows.

    Attributes:
        rows: Rows that are live.
        terms: Sum of their lengths.
        dead: Returns how many rows that are not live hold each of some terms.
    """

    rows: int
    terms: int
    dead: Callable[[Sequence[str]], Mapping[str, int]]


class LexicalEngine(Protocol):
    """Finds and scores rows, numbered through the segments in order."""

    def top(self, terms: Sequence[str], k: int, masks: Sequence[Mask], statistics: Statistics) -> Scored:
        """Find the ``k`` best rows and all that tie with the last of them.

        Args:
            terms: The query; a term asked twice counts twice.
            k: Rows wanted, at least 1.
            masks: bool ``[n]`` for each segment, the rows that may be returned; None for all.
            statistics: Of the live rows.

        Returns:
            Numbers of rows that hold a term, int64, and their scores, float32; in no promised order.
        """

    def at(self, terms: Sequence[str], rows: NDArray[np.int64], statistics: Statistics) -> NDArray[np.float32]:
        """Return the score of each of some rows, which must be ascending; 0 without any of the terms."""

    def holders(self, terms: Sequence[str], statistics: Statistics) -> dict[str, int]:
        """Return how many live rows hold each term."""


class BM25:
    """BM25 whose idf and length norm are computed when asked, so that adding and deleting rows needs no rebuild.

    A row's score does not depend on the segment it is in: all segments add the same float32 impacts in the same order.

    Args:
        segments: Postings; rows are numbered through them in order.
        k1: Saturation of term frequency, at least 0.
        b: Strength of length normalisation, 0 to 1.
        live: Not needed: what is not live is told by masks and statistics.
        usual: The masks that most searches will have; rows outside them then cost nothing in each search.
    """

    def __init__(
        self, segments: Sequence[Postings], k1: float, b: float, live: Sequence[Mask] = (), usual: Sequence[Mask] = ()
    ) -> None:
        check_parameters(k1, b)
        del live
        self._k1, self._b = k1, b
        self._segments, self._offsets = list(segments), row_offsets(segments)
        self._usual = list(usual) or [None] * len(self._segments)
        self._kept = threading.local()
        self._impacts: tuple[tuple[int, int], list[Impacts]] = ((-1, -1), [])
        self._asked: tuple[Any, list[tuple[str, float]]] = (None, [])

    def top(self, terms: Sequence[str], k: int, masks: Sequence[Mask], statistics: Statistics) -> Scored:
        """Find the ``k`` best rows and all that tie with the last of them (``LexicalEngine.top``)."""
        weights, tables = self._weights(terms, statistics), self._tables(statistics)
        best_rows, best = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        for place, (postings, mask, impacts) in enumerate(zip(self._segments, masks, tables, strict=True)):
            key = (place, mask is not None and mask is self._usual[place])
            sums, left = self._sums(*key), None if key[1] else mask
            lists = term_lists(postings, weights, impacts)
            if len(sums.total) <= _SMALL:
                rows, scores = add_up(lists, sums, left, float(best.min()) if len(best) >= k else _LEAST)
            else:
                rows, scores = MaxScore(lists, k, left, best).run(sums)
            self._kept.sums[key] = sums  # taken out meanwhile: an interrupted search leaves no sums behind
            if len(rows):
                rows += self._offsets[place]
                if len(best_rows):
                    rows, scores = np.concatenate([best_rows, rows]), np.concatenate([best, scores])
                best_rows, best = best_scored(rows, scores, k)
        return best_rows, best

    def at(self, terms: Sequence[str], rows: NDArray[np.int64], statistics: Statistics) -> NDArray[np.float32]:
        """Return the score of each of some rows, which must be ascending; 0 without any of the terms."""
        weights = self._weights(terms, statistics)
        scores = np.zeros(len(rows), dtype=np.float32)
        ends = np.searchsorted(rows, [*self._offsets, np.iinfo(np.int64).max])
        searched = zip(self._segments, self._offsets, ends, ends[1:], self._tables(statistics), strict=False)
        for postings, offset, low, high, impacts in searched:
            if low < high:
                wanted = (rows[low:high] - offset).astype(np.int32)
                for posted in term_lists(postings, weights, impacts):
                    posted.add_to(scores[low:high], wanted)
        return scores

    def holders(self, terms: Sequence[str], statistics: Statistics) -> dict[str, int]:
        """Return how many live rows hold each term."""
        return count_holders(self._segments, terms, statistics)

    def _weights(self, terms: Sequence[str], statistics: Statistics) -> list[tuple[str, float]]:
        """Return what each term weighs, heaviest first: the one order in which every row adds up its score."""
        key = (tuple(terms), statistics)
        asked, weights = self._asked
        if asked != key:  # a hybrid search asks twice
            times = Counter(terms)
            held = self.holders(list(times), statistics)
            weights = [
                (term, float(np.float32(times[term] * math.log1p((statistics.rows - n + 0.5) / (n + 0.5)))))
                for term, n in held.items()
                if n > 0
            ]
            weights.sort(key=lambda item: (-item[1], item[0]))
            self._asked = (key, weights)  # in one go, for other threads
        return weights

    def _tables(self, statistics: Statistics) -> list[Impacts]:
        known = (statistics.rows, statistics.terms)
        made, impacts = self._impacts
        if made != known:
            mean = statistics.terms / statistics.rows if statistics.terms else 1.0
            impacts = [_impacts(postings, self._k1, self._b, mean) for postings in self._segments]
            self._impacts = (known, impacts)  # in one go, for other threads
        return impacts

    def _sums(self, place: int, usual: bool) -> Sums:
        """Take this thread's sums of a segment, for the usual mask or for none, to be put back as they are."""
        if not hasattr(self._kept, "sums"):
            self._kept.sums = {}
        found: Sums | None = self._kept.sums.pop((place, usual), None)
        if found is None:
            hidden = np.flatnonzero(~np.asarray(self._usual[place])) if usual else np.empty(0, dtype=np.int64)
            found = Sums(self._segments[place].count, hidden)
        return found


def best_scored(rows: NDArray[np.int64], scores: NDArray[np.float32], k: int) -> Scored:
    """Return the ``k`` rows of highest score and all that tie with the last of them."""
    if len(scores) > k:
        kept = scores >= np.partition(scores, len(scores) - k)[len(scores) - k]
        rows, scores = rows[kept], scores[kept]
    return rows, scores


def _impacts(postings: Postings, k1: float, b: float, mean: float) -> Impacts:
    """Return what each pair adds before the weight of the term, float32 ``[p]``, and the most up to each code."""
    tf, length = postings.pairs[:, 0].astype(np.float64), postings.pairs[:, 1].astype(np.float64)
    table = (tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / mean))).astype(np.float32)
    return table, np.maximum.accumulate(table)


def row_offsets(segments: Sequence[Postings]) -> list[int]:
    """Return the number of the first row of each segment."""
    return [sum(postings.count for postings in segments[:i]) for i in range(len(segments))]


def count_holders(segments: Sequence[Postings], terms: Sequence[str], statistics: Statistics) -> dict[str, int]:
    """Return how many live rows hold each term."""
    dead = statistics.dead(terms)
    found = {term: [postings.holders(term) for postings in segments] for term in terms}
    return {term: sum(len(h[0]) for h in held if h is not None) - dead.get(term, 0) for term, held in found.items()}


def check_parameters(k1: float, b: float) -> None:
    """Refuse a k1 below 0 or without end, a b outside 0 to 1, and what is no number."""
    if not 0 <= k1 < math.inf:
        raise ValueError(f"k1 must be at least 0, got {k1}")
    if not 0 <= b <= 1:
        raise ValueError(f"b must be between 0 and 1, got {b}")
