"""BM25 over postings, and rank-bm25 behind the same face as a selectable engine and reference.

Source: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), eq. 3.15, with Lucene's
idf, ``log(1 + (N - n + .5) / (n + .5))``, which is never negative. The best rows are found with MaxScore: Turtle and
Flood, "Query evaluation: strategies and optimizations" (1995), section 4.3. A row that only frequent terms could bring
in is not looked at once they cannot lift it among the best; nothing is approximate.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from radrag.indexes.postings import Held, Postings
from radrag.indexes.scattered import Ahead

_Impacts = tuple[NDArray[np.float32], NDArray[np.float32]]
Mask = NDArray[np.bool_] | None
Scored = tuple[NDArray[np.int64], NDArray[np.float32]]
_ROUNDING = 2.0**-23  # relative, of one float32 operation, with room to spare
_BLOCK = 1 << 15  # postings at a time, so that what they are turned into stays in the processor's cache
_LOOKUP = 8  # finding one row in a list costs about as much as adding so many postings
_RAISE = 3  # adding one posting costs about as much as the k-th best of so many rows


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
            Row numbers, int64, and their scores, float32, none of them 0; in no promised order.
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
    """

    def __init__(self, segments: Sequence[Postings], k1: float, b: float, live: Sequence[Mask] = ()) -> None:
        check_parameters(k1, b)
        self._k1, self._b = k1, b
        self._segments, self._offsets = list(segments), _offsets(segments)
        self._kept = threading.local()
        self._impacts: tuple[tuple[int, int], list[_Impacts]] = ((-1, -1), [])

    def top(self, terms: Sequence[str], k: int, masks: Sequence[Mask], statistics: Statistics) -> Scored:
        """Find the ``k`` best rows and all that tie with the last of them (``LexicalEngine.top``)."""
        weights = self._weights(terms, statistics)
        best_rows, best = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        searched = zip(self._segments, self._offsets, masks, self._tables(statistics), self._totals(), strict=True)
        for postings, offset, mask, impacts, total in searched:
            rows, scores = _Search(_lists(postings, weights, impacts), k, mask, best).run(total)
            if len(rows):
                best_rows, best = _best(np.concatenate([best_rows, rows + offset]), np.concatenate([best, scores]), k)
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
                for posted in _lists(postings, weights, impacts):
                    posted.add_to(scores[low:high], wanted)
        return scores

    def holders(self, terms: Sequence[str], statistics: Statistics) -> dict[str, int]:
        """Return how many live rows hold each term."""
        return _holders(self._segments, terms, statistics)

    def _weights(self, terms: Sequence[str], statistics: Statistics) -> list[tuple[str, float]]:
        """Return what each term weighs, heaviest first: the one order in which every row adds up its score."""
        times = Counter(terms)
        held = self.holders(list(times), statistics)
        weights = [
            (term, float(np.float32(times[term] * np.log1p((statistics.rows - n + 0.5) / (n + 0.5)))))
            for term, n in held.items()
            if n > 0
        ]
        return sorted(weights, key=lambda item: (-item[1], item[0]))

    def _tables(self, statistics: Statistics) -> list[_Impacts]:
        known = (statistics.rows, statistics.terms)
        made, impacts = self._impacts
        if made != known:
            mean = statistics.terms / statistics.rows if statistics.terms else 1.0
            impacts = [_impacts(postings, self._k1, self._b, mean) for postings in self._segments]
            self._impacts = (known, impacts)  # in one go, for other threads
        return impacts

    def _totals(self) -> list[NDArray[np.float32]]:
        """Return this thread's accumulators, float32 ``[n]`` for each segment: zeros, and to be left so."""
        if not hasattr(self._kept, "totals"):
            self._kept.totals = [np.zeros(postings.count, dtype=np.float32) for postings in self._segments]
        totals: list[NDArray[np.float32]] = self._kept.totals
        return totals


class _List:
    """A term's postings in one segment, with its weight and the most that it can add."""

    __slots__ = ("_ahead", "_table", "_weight", "bound", "codes", "rows")

    def __init__(self, held: Held, weight: float, impacts: _Impacts, ahead: Ahead) -> None:
        (self.rows, self.codes, highest), self._ahead = held, ahead
        self._weight, (self._table, ceiling) = np.float32(weight), impacts
        self.bound = weight * float(ceiling[highest])

    def __len__(self) -> int:
        return len(self.rows)

    def gains(self, codes: NDArray[Any]) -> NDArray[np.float32]:
        """Return what the term adds to rows with these codes."""
        gains = self._table.take(codes)
        gains *= self._weight
        return gains

    def blocks(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield rows with what the term adds to each."""
        self._ahead.fetch(self.rows, self.codes)
        for start in range(0, len(self.rows), _BLOCK):
            yield self.rows[start : start + _BLOCK].astype(np.int64), self.gains(self.codes[start : start + _BLOCK])

    def add_to(self, scores: NDArray[np.float32], rows: NDArray[np.int32]) -> None:
        """Add what the term gives to some rows, in place."""
        self._ahead.fetch(self.rows, self.codes, finding=len(rows))
        places = self.rows.searchsorted(rows)
        np.minimum(places, len(self.rows) - 1, out=places)
        holds = (self.rows.take(places) == rows).nonzero()[0]
        scores[holds] += self.gains(self.codes.take(places.take(holds)))


def _lists(postings: Postings, weights: Sequence[tuple[str, float]], impacts: _Impacts) -> list[_List]:
    """Return the postings of those terms that occur, in the order given."""
    found = ((postings.holders(term), weight) for term, weight in weights)
    return [_List(held, weight, impacts, postings.ahead) for held, weight in found if held is not None]


class _Search:
    """One query in one segment.

    Args:
        lists: The query's postings, heaviest term first.
        k: Rows wanted.
        mask: bool ``[n]``, the rows that may be returned; None for all.
        best: The best scores of the segments before.
    """

    def __init__(self, lists: Sequence[_List], k: int, mask: Mask, best: NDArray[np.float32]) -> None:
        self._lists, self._k, self._mask, self._best = lists, k, mask, best
        # What the lists from each on can add at most; a sum of float32 may exceed the sum of its bounds by rounding.
        slack = sum(posted.bound for posted in lists) * (len(lists) + 2) * _ROUNDING
        self._rest = [*accumulate((posted.bound for posted in reversed(lists)), initial=slack)][::-1]
        self._threshold = 0.0
        self._raise(np.empty(0, dtype=np.float32))
        self._done = 0

    def run(self, total: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the rows that may be among the best ``k``, exactly scored.

        Args:
            total: float32 ``[n]``, zeros; left so.
        """
        try:
            rows, scores = self._gather(total)
            while self._done < len(self._lists) and len(rows) * _LOOKUP > len(self._lists[self._done]):
                rows = rows.take(self._promising(scores))
                for held, gains in self._lists[self._done].blocks():
                    np.add.at(total, held, gains)
                scores = total.take(rows)
                self._done += 1
        finally:
            self._clear(total)
        narrow = rows.astype(np.int32)  # as in the lists, which are not to be converted to be searched
        for posted in self._lists[self._done :]:
            still = self._promising(scores)
            narrow, scores = narrow.take(still), scores.take(still)
            posted.add_to(scores, narrow)
            self._done += 1
        return narrow, scores

    def _gather(self, total: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Add up lists until the rest cannot bring in a row; return the admitted rows they hold, and their sums."""
        found = np.empty(0, dtype=np.int64)
        for place, posted in enumerate(self._lists):
            if self._rest[0] > 2 * self._rest[place] and len(posted) * _RAISE > len(found):
                scores = total.take(found)
                self._raise(scores)
                if self._rest[place] < self._threshold:
                    return found, scores
            elif self._rest[place] < self._threshold:
                break
            fresh = [found]
            for rows, gains in posted.blocks():
                before = total.take(rows)
                new = rows.compress(before == 0)
                gains += before
                total[rows] = gains
                fresh.append(new if self._mask is None else new.compress(self._mask.take(new)))
            found = np.concatenate(fresh)
            self._done = place + 1
        return found, total.take(found)

    def _raise(self, scores: NDArray[np.float32]) -> None:
        """Raise the score that the ``k``-th best row is known to reach."""
        scores = np.concatenate([self._best, scores])
        if len(scores) >= self._k:
            scores.partition(len(scores) - self._k)
            self._threshold = max(self._threshold, float(scores[len(scores) - self._k]))

    def _promising(self, scores: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the places of the scores that may still reach the threshold."""
        self._raise(scores)
        return (scores >= self._threshold - self._rest[self._done]).nonzero()[0]

    def _clear(self, total: NDArray[np.float32]) -> None:
        added = self._lists[: self._done + 1]  # an interrupt may come between the addition and the count
        if sum(map(len, added)) * 8 > len(total):
            total.fill(0)
        else:
            for posted in added:
                total[posted.rows] = 0


def _best(rows: NDArray[np.int64], scores: NDArray[np.float32], k: int) -> Scored:
    """Return the ``k`` rows of highest score and all that tie with the last of them."""
    if len(scores) > k:
        kept = scores >= np.partition(scores, len(scores) - k)[len(scores) - k]
        rows, scores = rows[kept], scores[kept]
    return rows, scores


def _impacts(postings: Postings, k1: float, b: float, mean: float) -> _Impacts:
    """Return what each pair adds before the weight of the term, float32 ``[p]``, and the most up to each code."""
    tf, length = postings.pairs[:, 0].astype(np.float64), postings.pairs[:, 1].astype(np.float64)
    table = (tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / mean))).astype(np.float32)
    return table, np.maximum.accumulate(table)


def _offsets(segments: Sequence[Postings]) -> list[int]:
    return [sum(postings.count for postings in segments[:i]) for i in range(len(segments))]


def _holders(segments: Sequence[Postings], terms: Sequence[str], statistics: Statistics) -> dict[str, int]:
    dead = statistics.dead(terms)
    found = {term: [postings.holders(term) for postings in segments] for term in terms}
    return {term: sum(len(h[0]) for h in held if h is not None) - dead.get(term, 0) for term, held in found.items()}


class RankBM25:
    """``rank_bm25.BM25Okapi``, which keeps everything in memory and gives frequent terms a floored negative idf.

    Args:
        segments: Postings, as for ``BM25``.
        k1: As for ``BM25``.
        b: As for ``BM25``.
        live: bool ``[n]`` for each segment, the rows that are not deleted; None for all of them.
    """

    def __init__(self, segments: Sequence[Postings], k1: float, b: float, live: Sequence[Mask] = ()) -> None:
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
        scores = self._scores(terms)
        for postings, mask, offset in zip(self._segments, masks, _offsets(self._segments), strict=True):
            if mask is not None:
                scores[offset : offset + postings.count][~mask] = 0
        rows = np.flatnonzero(scores)
        return _best(rows, scores[rows], k)

    def at(self, terms: Sequence[str], rows: NDArray[np.int64], statistics: Statistics) -> NDArray[np.float32]:
        """Return the score of each of some rows; 0 without any of the terms."""
        return self._scores(terms)[rows]

    def holders(self, terms: Sequence[str], statistics: Statistics) -> dict[str, int]:
        """Return how many live rows hold each term."""
        return _holders(self._segments, terms, statistics)

    def _scores(self, terms: Sequence[str]) -> NDArray[np.float32]:
        scores = np.zeros(len(self._live), dtype=np.float32)
        if self._okapi is not None:
            scores[self._live] = self._okapi.get_scores(list(terms))
        return scores


ENGINES: dict[str, type[BM25] | type[RankBM25]] = {"bm25": BM25, "rank-bm25": RankBM25}


def check_parameters(k1: float, b: float) -> None:
    """Refuse a k1 below 0 and a b outside 0 to 1."""
    if k1 < 0:
        raise ValueError(f"k1 must be at least 0, got {k1}")
    if not 0 <= b <= 1:
        raise ValueError(f"b must be between 0 and 1, got {b}")
