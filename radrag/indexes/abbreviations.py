"""Abbreviations that a text defines itself, ``pulmonary embolism (PE)`` or ``PE (pulmonary embolism)``.

Source: Schwartz and Hearst, "A simple algorithm for identifying abbreviation definitions in biomedical text", Pacific
Symposium on Biocomputing 2003, pages 451-462.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_PARENTHESIS = re.compile(r"\(([^()]{2,200})\)|\[([^\[\]]{2,200})\]")
_SENTENCE_END = re.compile(r"[.!?;:](?=\s)|\n|[()\[\]]")
_WORD = re.compile(r"\S+")
_ALNUM = re.compile(r"[^\W_]+")
_ASIDE = re.compile(r"[;,]\s|\s(?:or|and|also|abbreviated as|hereafter)\s", re.IGNORECASE)
_SHORT_MOST = 10  # characters; section 3.1 of the paper


class Abbreviation(NamedTuple):
    """A short form, the long form that a text gives for it, and where both stand (offsets in characters)."""

    short: str
    long: str
    short_start: int
    short_end: int
    long_start: int
    long_end: int


def find_abbreviations(text: str) -> list[Abbreviation]:
    """Find the pairs of short and long form that a text defines.

    Args:
        text: Any text.

    Returns:
        Pairs in order of the parenthesis, with ``text[short_start:short_end] == short`` and the same for ``long``. A
        short form has 2 to 10 characters in at most two words, a letter, and begins with a letter or digit; every
        letter and digit of it occurs in the long form in order, the first one at the start of a word.
    """
    found = []
    for match in _PARENTHESIS.finditer(text):
        group = 1 if match[1] is not None else 2
        pair = _inside_is_short(text, match.start(), *match.span(group)) or _inside_is_long(text, match, group)
        if pair:
            found.append(pair)
    return found


def _inside_is_short(text: str, opening: int, start: int, end: int) -> Abbreviation | None:
    """Read ``long form (SHORT ...)``; what follows a comma or semicolon inside is an aside."""
    aside = _ASIDE.search(text, start, end)
    start, end = _trim(text, start, aside.start() if aside else end)
    short = text[start:end]
    if not _is_short(short):
        return None
    words = list(_WORD.finditer(text, _sentence_start(text, opening), opening))
    # The paper's bound on the long form in words: min(|A| + 5, 2 |A|), |A| the characters of the short form.
    words = words[-min(len(short) + 5, 2 * len(short)) :]
    if not words:
        return None
    return _pair(text, start, end, words[0].start(), words[-1].end())


def _inside_is_long(text: str, match: re.Match[str], group: int) -> Abbreviation | None:
    """Read ``SHORT (long form)``; the short form is the word before the parenthesis."""
    start, end = _trim(text, *match.span(group))
    near = max(_sentence_start(text, match.start()), match.start() - 40)
    words = list(_WORD.finditer(text, near, match.start()))
    if not words or " " not in text[start:end]:
        return None
    low, high = words[-1].span()
    while low < high and not text[low].isalnum():
        low += 1
    short = text[low:high]
    # A word before a parenthesis is rarely an abbreviation, so that only one with two capitals is taken for one.
    if not _is_short(short) or sum(char.isupper() for char in short) < 2:
        return None
    pair = _pair(text, low, high, start, end)
    return pair if pair and pair.long_start == start else None


def _pair(text: str, start: int, end: int, low: int, high: int) -> Abbreviation | None:
    short = text[start:end]
    begin = _initials_start(short, text[low:high])
    begin = _long_start(short, text[low:high]) if begin is None else begin
    if begin is None:
        return None
    long = text[low + begin : high]
    letters = sum(char.isalnum() for char in short)
    words = len(_WORD.findall(long))
    if (
        len(long) <= len(short)
        or words > min(letters + 5, letters * 2)
        or short.lower() in _ALNUM.findall(long.lower())
    ):
        return None
    return Abbreviation(short, long, start, end, low + begin, high)


def _initials_start(short: str, long: str) -> int | None:
    """Return where as many words as the short form has letters begin, if it is made of their first letters.

    Asked first, since the paper's search takes letters from within words: ``progressive aphasia`` for ``PPA``.
    """
    letters = [char for char in short.removesuffix("s").lower() if char.isalnum()]
    words = list(_ALNUM.finditer(long))[-len(letters) :]
    return words[0].start() if letters == [word[0][0].lower() for word in words] else None


def _long_start(short: str, long: str) -> int | None:
    """Return where the long form begins in ``long``: figure 1 of the paper, read from the right."""
    at = len(long)
    for place in range(len(short) - 1, -1, -1):
        char = short[place].lower()
        if not char.isalnum():
            continue
        first = not any(one.isalnum() for one in short[:place])
        at -= 1
        while at >= 0 and (long[at].lower() != char or (first and at > 0 and long[at - 1].isalnum())):
            at -= 1
        if at < 0:
            return None
    return at


def _is_short(form: str) -> bool:
    return (
        2 <= len(form) <= _SHORT_MOST
        and form[0].isalnum()
        and form.count(" ") <= 1
        and any(char.isalpha() for char in form)
        and any(char.isupper() or char.isdigit() for char in form)
    )


def _sentence_start(text: str, end: int) -> int:
    """Return where the clause before ``end`` begins; at most 400 characters back."""
    low = max(0, end - 400)
    start = low
    for match in _SENTENCE_END.finditer(text, low, end):
        start = match.end()
    return start


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip(" \t\"'")), start + len(piece.rstrip(" \t\"'"))
