"""The best rows of one segment, found without looking at those that cannot be among them.

Source: Turtle and Flood, "Query evaluation: strategies and optimizations" (1995), section 4.3, MaxScore. A row that
only frequent terms could bring in is not looked at once they cannot lift it among the best; nothing is approximate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radrag.indexes.postings import Held, Postings
from radrag.indexes.scattered import Ahead

Impacts = tuple[NDArray[np.float32], NDArray[np.float32]]
Mask = NDArray[np.bool_] | None
Scored = tuple[NDArray[np.int64], NDArray[np.float32]]
_ROUNDING = 2.0**-23  # relative, of one float32 operation, with room to spare
_BLOCK = 1 << 15  # postings at a time, so that what they are turned into stays in the processor's cache
_LOOKUP = 8  # finding one row in a list costs about as much as adding so many postings
_FILLED = 32  # making the sum of one row 0 costs about as much as filling so many in a row
_RAISE = 3  # adding one posting costs about as much as the k-th best of so many rows


class TermList:
    """A term's postings in one segment, with its weight and the most that it can add."""

    __slots__ = ("_ahead", "_table", "_weight", "bound", "codes", "rows")

    def __init__(self, held: Held, weight: float, impacts: Impacts, ahead: Ahead) -> None:
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


def term_lists(postings: Postings, weights: Sequence[tuple[str, float]], impacts: Impacts) -> list[TermList]:
    """Return the postings of those terms that occur, in the order given."""
    found = ((postings.holders(term), weight) for term, weight in weights)
    return [TermList(held, weight, impacts, postings.ahead) for held, weight in found if held is not None]


class Sums:
    """The sums of a segment's rows, used again by each search of a thread.

    Args:
        rows: How many rows there are.
        hidden: int64, the rows that are not to be returned: their sums stay minus infinity, whatever is added.

    Attributes:
        total: float32 ``[n]``, 0 before a search.
    """

    __slots__ = ("_hidden", "total")

    def __init__(self, rows: int, hidden: NDArray[np.int64]) -> None:
        self.total, self._hidden = np.zeros(rows, dtype=np.float32), hidden
        self.total[hidden] = -np.inf

    def clear(self, added: Sequence[TermList]) -> None:
        """Make the sums what they were before these lists were added."""
        if sum(map(len, added)) * _FILLED > len(self.total):
            self.total.fill(0)
        else:
            for posted in added:
                self.total[posted.rows] = 0
        if len(self._hidden):
            self.total[self._hidden] = -np.inf


def add_up(lists: Sequence[TermList], sums: Sums, mask: Mask, threshold: float) -> Scored:
    """Return the admitted rows that reach a score, by adding up all lists; see ``MaxScore`` for the arguments."""
    total = sums.total
    for posted in lists:
        for rows, gains in posted.blocks():
            gains += total.take(rows)
            total[rows] = gains
    found = (total >= threshold).nonzero()[0]
    if mask is not None:
        found = found.compress(mask.take(found))
    scores = total.take(found)
    sums.clear(lists)
    return found, scores


class MaxScore:
    """One query in one segment.

    Args:
        lists: The query's postings, heaviest term first.
        k: Rows wanted.
        mask: bool ``[n]``, the rows that may be returned; None for all.
        best: The best scores of the segments before.
    """

    def __init__(self, lists: Sequence[TermList], k: int, mask: Mask, best: NDArray[np.float32]) -> None:
        self._lists, self._k, self._mask, self._best = lists, k, mask, best
        # What the lists from each on can add at most; a sum of float32 may exceed the sum of its bounds by rounding.
        slack = sum(posted.bound for posted in lists) * (len(lists) + 2) * _ROUNDING
        self._rest = [*accumulate((posted.bound for posted in reversed(lists)), initial=slack)][::-1]
        self._threshold = 0.0
        self._raise(np.empty(0, dtype=np.float32))
        self._done = 0

    def run(self, sums: Sums) -> Scored:
        """Return the rows that may be among the best ``k``, exactly scored; an exception leaves the sums unclear."""
        total = sums.total
        rows, scores = self._gather(total)
        while self._done < len(self._lists) and len(rows) * _LOOKUP > len(self._lists[self._done]):
            rows = rows.take(self._promising(scores))
            for held, gains in self._lists[self._done].blocks():
                np.add.at(total, held, gains)
            scores = total.take(rows)
            self._done += 1
        sums.clear(self._lists[: self._done])
        narrow = rows.astype(np.int32)  # as in the lists, which are not to be converted to be searched
        for posted in self._lists[self._done :]:
            still = self._promising(scores)
            narrow, scores = narrow.take(still), scores.take(still)
            posted.add_to(scores, narrow)
            self._done += 1
        return narrow.astype(np.int64), scores

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
        scores = np.concatenate([self._best, scores]) if len(self._best) else scores.copy()
        if len(scores) >= self._k:
            scores.partition(len(scores) - self._k)
            self._threshold = max(self._threshold, float(scores[len(scores) - self._k]))

    def _promising(self, scores: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the places of the scores that may still reach the threshold."""
        self._raise(scores)
        return (scores >= self._threshold - self._rest[self._done]).nonzero()[0]
