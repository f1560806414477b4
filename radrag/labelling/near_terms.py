"""Terms of a vocabulary that an unknown word of a note may stand for: misspelt or cut short.

Source: Damerau, "A technique for computer detection and correction of spelling errors", Communications of the ACM 1964
(one letter wrong, missing, added, or two neighbours swapped); candidates by shared letter pairs, as in Zobel and Dart,
"Finding approximate matches in large lexicons", Software: Practice and Experience 1995.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_SHORTEST = 4  # letters; shorter words have too many neighbours that mean something else (CT, MT; arm, art)
_TWO_ERRORS = 8  # letters from which two errors are forgiven
_SHORTEST_CUT = 3  # letters of a word cut short, such as abd
_COMPARED = 24  # candidates whose letters are compared
_MOST = 3  # terms that one word may stand for
_KEPT = 1 << 16  # words whose answer is remembered


class NearTerms:
    """Finds terms near an unknown word.

    Args:
        terms: The vocabulary, each term once.
    """

    def __init__(self, terms: Iterable[str]) -> None:
        # A digit is never a slip that may be forgiven: C3 is not C4.
        self._terms = [term for term in terms if len(term) >= _SHORTEST and term.isalpha()]
        self._sizes = np.asarray([len(term) for term in self._terms], dtype=np.int64)
        held: dict[str, list[int]] = {}
        for place, term in enumerate(self._terms):
            for pair in _letter_pairs(term):
                held.setdefault(pair, []).append(place)
        self._held: dict[str, NDArray[np.int64]] = {pair: np.asarray(ids) for pair, ids in held.items()}
        self._known: dict[str, tuple[tuple[str, int], ...]] = {}

    def near(self, word: str) -> tuple[tuple[str, int], ...]:
        """Return terms that a word may stand for, nearest first.

        Args:
            word: A word that is no term, in the form of the terms (lower case, stemmed).

        Returns:
            At most 3 terms, each with its number of errors: 1, from 8 letters on 2; also 2 for a term that the word is
            the beginning of, if nothing is nearer. Empty for a word with a digit or below 3 letters.
        """
        if word not in self._known:
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[word] = self._found(word) if word.isalpha() else ()
        return self._known[word]

    def _found(self, word: str) -> tuple[tuple[str, int], ...]:
        shared = np.zeros(len(self._terms), dtype=np.int64)
        pairs = _letter_pairs(word)
        for pair in pairs:
            if pair in self._held:
                shared[self._held[pair]] += 1
        allowed = 0 if len(word) < _SHORTEST else 2 if len(word) >= _TWO_ERRORS else 1
        # An error changes at most 3 pairs, a swap of neighbours being the worst.
        close = np.flatnonzero((np.abs(self._sizes - len(word)) <= allowed) & (shared >= len(pairs) - 3 * allowed))
        close = close[np.lexsort((close, -shared[close]))][:_COMPARED] if allowed else close[:0]
        errors = [(errors_between(word, self._terms[place], allowed), self._terms[place]) for place in close.tolist()]
        fitting = sorted((count, term) for count, term in errors if count <= allowed)
        if fitting:
            return tuple((term, count) for count, term in fitting if count == fitting[0][0])[:_MOST]
        return tuple((term, 2) for term in self._begun(word, shared))

    def _begun(self, word: str, shared: NDArray[np.int64]) -> list[str]:
        """Return the shortest terms that begin with a word."""
        if len(word) < _SHORTEST_CUT:
            return []
        # All pairs of the word but the last, which holds its end, are in such a term; equal pairs count once.
        holders = np.flatnonzero(shared >= len(_letter_pairs(word)) - 1)
        begun = [term for place in holders.tolist() if (term := self._terms[place]).startswith(word)]
        return sorted(begun, key=lambda term: (len(term), term))[:_MOST]


def errors_between(one: str, other: str, most: int) -> int:
    """Return the fewest letters changed, added, left out or swapped with their neighbour, or ``most + 1`` if more.

    No part of a word is changed twice (optimal string alignment).
    """
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        before, last, row = row, before, [i]
        for j, against in enumerate(other, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != against))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == against:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
        if min(row) > most and (i == 1 or min(before) > most):
            return most + 1
    return min(row[-1], most + 1)


def _letter_pairs(word: str) -> set[str]:
    return {left + right for left, right in pairwise(f"^{word}$")}
