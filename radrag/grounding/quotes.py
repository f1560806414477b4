"""Words in quotation marks: are they in a source, character for character, or did a model alter them?"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_QUOTED = re.compile(r"“([^“”]+)”|\"([^\"]+)\"|«([^«»]+)»|‘([^‘’]{12,})’(?!\w)")
_TOKEN = re.compile(r"\w+(?:[.,]\d+)*|[<>=%]")
_LEAST_WORDS = 3  # below this, quotation marks only set a term apart
_ALIKE = 0.6  # of the tokens of a quote that its altered source must share


@dataclass(frozen=True, slots=True)
class QuoteCheck:
    """Words in quotation marks and where they come from.

    Attributes:
        text: The words as quoted.
        exact: Whether a passage has them, runs of white space taken as equal, and marks at the end left out.
        passage: Position of the passage that has them, or the nearest to them, from 0; -1 for none.
        start: Offset in that passage of the words.
        end: Offset after them.
    """

    text: str
    exact: bool
    passage: int = -1
    start: int = 0
    end: int = 0


def check_quotes(claim: str, texts: Sequence[str]) -> tuple[QuoteCheck, ...]:
    """Check what a claim puts in quotation marks, three words or more, against passages."""
    return tuple(_checked(quoted, texts) for quoted in _quotes(claim))


def _quotes(claim: str) -> Iterator[str]:
    for match in _QUOTED.finditer(claim):
        words = next(group for group in match.groups() if group is not None).strip()
        if len(_TOKEN.findall(words)) >= _LEAST_WORDS:
            yield words


def _checked(quoted: str, texts: Sequence[str]) -> QuoteCheck:
    words = quoted.rstrip(".,;:…").split()
    pattern = re.compile(r"(?<!\w)" + r"\s+".join(map(re.escape, words)) + r"(?!\w|[.,]\d)")
    for n, text in enumerate(texts):
        match = pattern.search(text)
        if match:
            return QuoteCheck(quoted, True, n, *match.span())
    found = max(((*_nearest(quoted, text), n) for n, text in enumerate(texts)), default=None, key=lambda item: item[0])
    if found is None or found[0] < _ALIKE:
        return QuoteCheck(quoted, False)
    _, start, end, n = found
    return QuoteCheck(quoted, False, n, start, end)


def _nearest(quoted: str, text: str) -> tuple[float, int, int]:
    """Return the stretch of a text that shares most tokens with a quote, in order, and what share of both it is."""
    ours = [match[0].lower() for match in _TOKEN.finditer(quoted)]
    spans = [match.span() for match in _TOKEN.finditer(text)]
    theirs = [text[start:end].lower() for start, end in spans]
    blocks = [
        one for one in difflib.SequenceMatcher(None, theirs, ours, autojunk=False).get_matching_blocks() if one.size
    ]
    best = (0.0, 0, 0)
    for n, first in enumerate(blocks):
        shared = 0
        for last in blocks[n:]:
            shared += last.size
            low = max(0, first.a - first.b)  # the quote's own words before its first shared one have a place too
            high = min(len(theirs), last.a + last.size + len(ours) - last.b - last.size)
            share = 2 * shared / (len(ours) + high - low)
            if share > best[0]:
                best = share, spans[low][0], spans[high - 1][1]
    return best
