"""One list of identifiers out of what several recognisers found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from radrag.corpora.deidentify.places import joined
from radrag.types.identifiers import Identifier


def resolve(text: str, found: Iterable[Identifier]) -> tuple[Identifier, ...]:
    """Unite what overlaps, under the kind and score of its surest part, and places that are written as one.

    What two recognisers found together is masked together: nothing of it may be left because they disagreed.

    Returns:
        Identifiers in order of their start; none overlaps another.
    """
    united: list[Identifier] = []
    for one in sorted(found, key=lambda one: (one.start, -one.end, -one.score, one.kind)):
        if united and one.start < united[-1].end:
            united[-1] = _union(text, united[-1], one)
        elif united and joined(text, united[-1], one):
            united[-1] = _span(text, united[-1], united[-1].start, one.end)
        else:
            united.append(one)
    return tuple(united)


def _union(text: str, left: Identifier, right: Identifier) -> Identifier:
    surest = max((left, right), key=lambda one: (one.score, one.end - one.start))
    return _span(text, surest, min(left.start, right.start), max(left.end, right.end))


def _span(text: str, like: Identifier, start: int, end: int) -> Identifier:
    return replace(like, start=start, end=end, text=text[start:end])


def outside(found: Iterable[Identifier], protected: Sequence[tuple[int, int]]) -> list[Identifier]:
    """Return what touches none of the protected stretches, which are in order and do not overlap."""
    return [one for one in found if not any(start < one.end and one.start < end for start, end in protected)]
