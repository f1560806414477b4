"""From a score for each term of a note to the phrases that carried it."""

from __future__ import annotations

from collections.abc import Sequence

from radrag.types import Span

MOST_SPANS = 3
# A term joins a phrase, and a phrase is shown, if it has at least this share of the strongest one's score.
_SHARE = 0.2
_PARTED = frozenset(".,;:?!\n|")


def phrases(note: str, terms: Sequence[tuple[str, int, int]], scores: Sequence[float]) -> tuple[Span, ...]:
    """Join neighbouring terms that spoke for a label to phrases.

    Args:
        note: The note.
        terms: Its terms with their offsets, in order, as ``token_spans`` gives them.
        scores: What each term contributed; only terms above 0 count.

    Returns:
        At most 3 spans, strongest first; empty if no term is above 0. Terms join if only function words, spaces and
        marks such as ``/`` and ``-`` stand between them.
    """
    words = _words(terms, scores)
    floor = _SHARE * max((score for _, _, score in words), default=0.0)
    found: list[tuple[float, int, int]] = []
    last = -1  # where the phrase ends that the next term may join
    for start, end, score in words:
        if score <= 0 or score < floor:
            last = -1
            continue
        if last >= 0 and _PARTED.isdisjoint(note[last:start]):
            total, first, _ = found.pop()
            found.append((total + score, first, end))
        else:
            found.append((score, start, end))
        last = end
    found.sort(key=lambda phrase: (-phrase[0], phrase[1]))
    least = _SHARE * found[0][0] if found else 0.0
    kept = [phrase for phrase in found if phrase[0] >= least]
    return tuple(Span(start, end, note[start:end]) for _, start, end in kept[:MOST_SPANS])


def _words(terms: Sequence[tuple[str, int, int]], scores: Sequence[float]) -> list[tuple[int, int, float]]:
    """Add up the terms that share characters: the parts of a compound."""
    words: list[tuple[int, int, float]] = []
    last = 0
    for (_, start, end), score in zip(terms, scores, strict=True):
        if start < last:
            first, before, sofar = words.pop()
            last = max(before, end)
            words.append((first, last, sofar + score))
        else:
            last = end
            words.append((start, end, score))
    return words
