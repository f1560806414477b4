"""One spelling for matching: American for British, the right one for slips, and offsets that lead back."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

_WORD = re.compile(r"[^\W\d_]{4,}")
_SHORTEST = 8  # letters; shorter words have too many neighbours that mean something else
_BRITISH = (
    (re.compile(r"oe(?=dem)", re.IGNORECASE), "e"),
    (re.compile(r"(?<=h)ae(?=m|at)", re.IGNORECASE), "e"),
    (re.compile(r"(?<=an)ae(?=m|st)|(?<=isch)ae(?=m)|(?<=leuk)ae(?=m)|(?<=orthop)ae(?=d)", re.IGNORECASE), "e"),
    (re.compile(r"(?<=tum)our", re.IGNORECASE), "or"),
    (re.compile(r"(?<=calib)re$|(?<=cent)re$|(?<=lit)re$", re.IGNORECASE), "er"),
)


@dataclass(frozen=True, slots=True)
class Reading:
    """A text in one spelling.

    Attributes:
        text: The text to match in.
        shifts: Where a word of another length ends: offset in ``text``, and what to add to get the original's.
    """

    text: str
    shifts: tuple[tuple[int, int], ...]

    def original(self, place: int) -> int:
        """Return the offset in the original of a place in ``text`` that is the edge of a word."""
        row = bisect_right(self.shifts, place, key=lambda shift: shift[0]) - 1
        return place + (self.shifts[row][1] if row >= 0 else 0)


class Spelling:
    """Brings a text to one spelling.

    Args:
        vocabulary: Words that a slip (one letter left out or added, or two swapped) is put right to, if they have 8
            letters or more and begin with the same letter. A letter replaced is no slip: "inflated" is not "inflamed".
    """

    def __init__(self, vocabulary: Iterable[str]) -> None:
        self._known = {word.lower() for word in vocabulary if len(word) >= _SHORTEST}
        self._near: dict[str, str] = {}
        for word in sorted(self._known):
            for form in {word, *_without_one(word)}:
                self._near.setdefault(form, word)

    def read(self, text: str) -> Reading:
        """Return the text in one spelling, the case of unchanged words kept."""
        parts, shifts, last, shift = [], [], 0, 0
        for match in _WORD.finditer(text):
            word = self._right(match.group())
            if word == match.group():
                continue
            parts += [text[last : match.start()], word]
            last = match.end()
            change = len(match.group()) - len(word)
            if change:
                shift += change
                shifts.append((match.end() - shift, shift))
        return Reading("".join([*parts, text[last:]]), tuple(shifts))

    def _right(self, word: str) -> str:
        for pattern, put in _BRITISH:
            word = pattern.sub(put, word)
        lower = word.lower()
        if len(word) < _SHORTEST - 1 or lower in self._known:
            return word
        for form in (lower, *_without_one(lower)):
            near = self._near.get(form)
            if near is not None and near[0] == lower[0] and _one_slip(lower, near):
                return near
        return word


def _without_one(word: str) -> list[str]:
    return [word[:place] + word[place + 1 :] for place in range(1, len(word))]


def _one_slip(word: str, known: str) -> bool:
    """Whether one letter left out or added, or two neighbours swapped, makes one the other."""
    if abs(len(word) - len(known)) > 1:
        return False
    start = next(
        (place for place, (a, b) in enumerate(zip(word, known, strict=False)) if a != b), min(len(word), len(known))
    )
    rest, other = word[start:], known[start:]
    swapped = len(rest) > 1 and len(rest) == len(other) and rest[1::-1] == other[:2] and rest[2:] == other[2:]
    return swapped or rest[1:] == other or rest == other[1:]
