"""The order in which the parts of a PDF page are read: columns one after the other, between what crosses them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from radrag.corpora.formatted._pdf_lines import Box, Line
from radrag.corpora.formatted._pdf_tables import Table

Part = tuple[Line, ...] | Table
"""What is read as one: the lines of a text box, or a table."""

_Boxed = tuple[Box, Part]

_GUTTER = 6.0  # points between columns at least
_LEAST = 0.15  # of the letters in a column at least
_TOUCH = 3.0  # points by which parts may overlap that stand above each other


def part_box(part: Part) -> Box:
    """Return the box around a part."""
    if isinstance(part, Table):
        return part.box
    lefts, tops, rights, bottoms = zip(*(line.box for line in part), strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def ordered(parts: Sequence[Part]) -> list[Part]:
    """Return parts in reading order: a recursive cut along white gaps (Nagy and Seth 1984), gaps between columns first.

    Bands of the page that a common gap divides are read column by column, the others from the top to the bottom.
    """
    return [part for _, part in _cut([(part_box(part), part) for part in parts])]


def _cut(parts: Sequence[_Boxed]) -> list[_Boxed]:
    bands = _bands(parts)
    found: list[_Boxed] = []
    at = 0
    while at < len(bands):
        stop, gap = _columns(bands, at)
        inside = [one for band in bands[at:stop] for one in band]
        if gap is None:
            found += sorted(inside, key=lambda one: (one[0][1], one[0][0]))
        else:
            for side in ([one for one in inside if one[0][0] < gap], [one for one in inside if one[0][0] >= gap]):
                found += _cut(side)
        at = stop
    return found


def _columns(bands: Sequence[Sequence[_Boxed]], at: int) -> tuple[int, float | None]:
    """Return where a run of bands with a common gap ends, and the gap; the next band and None if there is none."""
    held: list[tuple[float, float]] = []  # what the run covers from left to right
    stop = at
    while stop < len(bands):
        covered: list[tuple[float, float]] = []
        for left, right in sorted([*held, *((box[0], box[2]) for box, _ in bands[stop])]):
            if covered and left - covered[-1][1] < _GUTTER:
                covered[-1] = covered[-1][0], max(covered[-1][1], right)
            else:
                covered.append((left, right))
        if len(covered) < 2:
            break
        held = covered
        stop += 1
    inside = [one for band in bands[at:stop] for one in band]
    letters = sum(_letters(part) for _, part in inside)
    for gap, _ in held[1:]:
        share = sum(_letters(part) for box, part in inside if box[0] < gap) / max(letters, 1)
        if _LEAST <= share <= 1 - _LEAST:
            while stop < len(bands) and stop > at + 1 and _is_heading(bands[stop - 1], gap, inside):
                stop -= 1  # it stands above what crosses both columns
            return stop, gap
    return at + 1, None


def _is_heading(band: Sequence[_Boxed], gap: float, inside: Sequence[_Boxed]) -> bool:
    """Whether a band is only a line left of a gap, in bolder or larger type than most around it."""
    (box, part), *others = band
    if others or isinstance(part, Table) or len(part) > 1 or box[0] >= gap:
        return False
    sizes = Counter[float]()
    for _, one in inside:
        if not isinstance(one, Table):
            for line in one:
                sizes[line.size] += len(line.text)
    return part[0].bold or part[0].size > sizes.most_common(1)[0][0]


def _bands(parts: Sequence[_Boxed]) -> list[list[_Boxed]]:
    """Cut parts along the horizontal gaps that no part crosses."""
    bands: list[list[_Boxed]] = []
    low = float("-inf")
    for one in sorted(parts, key=lambda one: one[0][1]):
        if not bands or one[0][1] >= low - _TOUCH:
            bands.append([])
        bands[-1].append(one)
        low = max(low, one[0][3])
    return bands


def _letters(part: Part) -> int:
    if isinstance(part, Table):
        return sum(len(cell) for row in part.cells for cell in row)
    return sum(len(line.text) for line in part)
