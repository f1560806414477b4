"""Tables of a PDF page: those with rules, from their cells; those without, from words that stand under each other."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from radrag.corpora.formatted._pdf_lines import Box, Line, Shadows, cell_text, is_bold, is_turned, refuse_turned
from radrag.corpora.formatted.blocks import table_rows

_DIGIT = re.compile(r"\d")
_WIDEST = 0.35  # of the page's width: the widest cell of a table without rules
_PROSE = 25  # characters: longer pieces side by side are columns of text
_FRAME = 45.0  # points: three lines
_SNAP = 2.0  # points by which edges that are meant to meet may differ
# Of a rule along or down a page: the side of a box that it starts at, its start, end and place, the sides to lie on.
_ALONG = 0, "x0", "x1", "top", 1, 3
_DOWN = 1, "top", "bottom", "x0", 0, 2
_BEYOND = 5.0  # points that a rule goes on beyond a table's last crossing where that side is open


@dataclass(frozen=True, slots=True)
class Table:
    """A table; ``header`` rows of ``cells`` name the columns, ``edges`` are their left ends and the right end."""

    box: Box
    cells: tuple[tuple[str, ...], ...]
    header: int
    edges: tuple[float, ...]
    bold_header: bool = False

    @property
    def rows(self) -> tuple[str, ...]:
        """The table's rows as text."""
        return tuple(table_rows(self.cells, self.header))


class Grid:
    """The cells of a ruled table in rows and columns, a merged one in every place that it covers."""

    def __init__(self, cells: Sequence[Box]) -> None:
        self.lefts = sorted({cell[0] for cell in cells})
        self.tops = sorted({cell[1] for cell in cells})
        self.box = min(self.lefts), min(self.tops), max(cell[2] for cell in cells), max(cell[3] for cell in cells)
        self.owner: dict[tuple[int, int], Box] = {}
        for cell in cells:
            for row in range(bisect_left(self.tops, cell[1]), bisect_left(self.tops, cell[3] - 0.1)):
                for column in range(bisect_left(self.lefts, cell[0]), bisect_left(self.lefts, cell[2] - 0.1)):
                    self.owner[row, column] = cell

    def at(self, x: float, y: float) -> Box | None:
        """Return the cell around a point, if any."""
        cell = self.owner.get((bisect_right(self.tops, y) - 1, bisect_right(self.lefts, x) - 1))
        return cell if cell is not None and x < cell[2] and y < cell[3] else None


def ruled(page: Any) -> list[Grid]:
    """Return the grids of a page's ruled tables of two columns or more; a high single row is a frame around text."""
    grids = [Grid(cells) for table in page.find_tables() for cells in _apart(_closed(page, table).cells)]
    return [
        grid for grid in grids if len(grid.lefts) > 1 and (len(grid.tops) > 1 or grid.box[3] - grid.box[1] < _FRAME)
    ]


def _apart(cells: Sequence[Box]) -> list[list[Box]]:
    """Part tables that touch: where a row begins and ends elsewhere than the one above, and no cell is in both."""
    parts: list[list[Box]] = []
    ends, low = (0.0, 0.0), 0.0
    for _, group in groupby(sorted(cells, key=lambda cell: (cell[1], cell[0])), key=lambda cell: cell[1]):
        row = list(group)
        here = row[0][0], max(cell[2] for cell in row)
        other = all(abs(one - end) > _SNAP for one, end in zip(here, ends, strict=True))
        if not parts or (other and row[0][1] >= low - _SNAP):
            parts.append([])
        parts[-1] += row
        ends, low = here, max(cell[3] for cell in parts[-1])
    return parts


def _closed(page: Any, table: Any) -> Any:
    """Return a table with its open sides closed where its two outer rules go on beyond the last crossing."""
    box = table.bbox
    beyond: list[dict[bool, float]] = [{}, {}, {}, {}]  # by side, where each of the two outer rules ends
    for edge in page.edges:
        side, start, stop, at, low, high = _ALONG if edge["orientation"] == "h" else _DOWN
        last = abs(edge[at] - box[high]) <= _SNAP
        if not last and abs(edge[at] - box[low]) > _SNAP:
            continue
        if edge[start] < box[side] - _BEYOND and edge[stop] > box[side] - _SNAP:
            beyond[side][last] = edge[start]
        if edge[stop] > box[side + 2] + _BEYOND and edge[start] < box[side + 2] + _SNAP:
            beyond[side + 2][last] = edge[stop]
    ends = [sum(found.values()) / 2 if len(found) == 2 else old for found, old in zip(beyond, box, strict=True)]
    if ends == list(box):
        return table
    region = page.crop((max(ends[0] - 1, page.bbox[0]), max(ends[1] - 1, page.bbox[1]),
                        min(ends[2] + 1, page.bbox[2]), min(ends[3] + 1, page.bbox[3])))  # fmt: skip
    found = region.find_tables({"explicit_vertical_lines": ends[::2], "explicit_horizontal_lines": ends[1::2]})
    return max(found, key=lambda one: len(one.cells), default=table)


def read_table(grid: Grid, page: Any, number: int, utils: Any) -> Table:
    """Return a ruled table with its words.

    Args:
        grid: Its cells.
        page: The page as pdfplumber gives it.
        number: The page's number, from 1.
        utils: The module ``pdfplumber.utils``.

    Raises:
        CorpusError: If a word in it is turned.
    """
    chars: dict[Box, list[dict[str, Any]]] = {}
    shadow = Shadows()
    for char in page.chars:
        cell = grid.at((char["x0"] + char["x1"]) / 2, (char["top"] + char["bottom"]) / 2)
        seen = bool(char["text"].strip())
        if cell is None or (seen and shadow(char["text"], char["size"], char["x0"], char["top"])):
            continue
        if seen and is_turned(char["matrix"]):
            raise refuse_turned(number, " in a table")
        chars.setdefault(cell, []).append(char)
    words = {cell: cell_text(found, utils) for cell, found in chars.items()}
    bold = {cell: all(is_bold(char["fontname"]) for char in found if char["text"].strip())
            for cell, found in chars.items() if words[cell]}  # fmt: skip
    rows = [[grid.owner.get((row, column)) for column in range(len(grid.lefts))] for row in range(len(grid.tops))]
    filled = [[cell for cell in dict.fromkeys(row) if cell in bold] for row in rows]
    all_bold = [bool(row) and all(bold[cell] for cell in row) for row in filled]
    names_first = any(  # the first column is in bold type: then a bold cell alone in its row says nothing of later rows
        len(row) > 1 and not every and row[0] == cells[0] and bold[row[0]]
        for row, every, cells in zip(filled, all_bold, rows, strict=True)
    )
    cells: list[tuple[str, ...]] = []
    for row, found, every in zip(rows, filled, all_bold, strict=True):
        across = row[0] is not None and len(set(row)) == 1
        label = across or (every and found == row[:1] and not names_first)
        cells.append(tuple(words.get(cell, "") if cell is not None else "" for cell in (row[:1] if label else row)))
    merged = len(set(rows[0])) < len(rows[0])
    heads = [every and len(found) > 1 for every, found in zip(all_bold, filled, strict=True)]
    return _named(Table(grid.box, tuple(cells), 0, (*grid.lefts, grid.box[2])), heads, merged)


def _named(table: Table, bold: Sequence[bool], merged: bool) -> Table:
    """Say which rows name the columns: the first that are bold, or else row one without a number above numbers."""
    titles = next((at for at, row in enumerate(table.cells) if len(row) > 1), len(table.cells))
    body = table.cells[titles:]
    header = next((at for at, row in enumerate(body) if len(row) < 2 or not bold[titles + at]), len(body))
    if header == len(body):
        header = 0
    if header:
        return replace(
            table, cells=(*body[:header], *table.cells[:titles], *body[header:]), header=header, bold_header=True
        )
    above, below = " ".join(body[0]) if body else "", " ".join(cell for row in body[1:] for cell in row)
    told = len(body) > 1 and len(body[0]) > 2 and all(body[0]) and not merged and not titles
    return replace(table, header=int(told and not _DIGIT.search(above) and _DIGIT.search(below) is not None))


def carried(table: Table, before: Table, adjoining: bool) -> Table:
    """Return the first table of a page with the column names of the last one on the page before, if it goes on.

    It goes on where its columns are the same and nothing stands between the two (``adjoining``). Where that cannot be
    told, or its own first row could be names, none are said.
    """
    same = len(table.edges) == len(before.edges) and all(
        abs(one - other) <= _SNAP for one, other in zip(table.edges, before.edges, strict=True)
    )
    if not same or (table.bold_header and table.cells[: table.header] != before.cells[: before.header]):
        return table
    names = before.cells[: before.header]
    repeated = bool(names) and table.cells[: len(names)] == names
    if not repeated and (not names or table.header or not adjoining):
        return replace(table, header=0)
    labels = [row for row in before.cells[before.header :] if len(row) == 1]
    body = table.cells[len(names) if repeated else 0 :]
    again = labels[-1:] if adjoining and body and len(body[0]) > 1 else []
    return replace(table, cells=(*names, *again, *body), header=len(names))


@dataclass(frozen=True, slots=True)
class _Level:
    """The pieces that stand at one height."""

    lines: tuple[Line, ...]
    pieces: tuple[tuple[float, float, str], ...]
    top: float
    bottom: float

    @property
    def size(self) -> float:
        return self.lines[0].size


def unruled(lines: Sequence[Line], width: float) -> tuple[list[Table], set[int]]:
    """Find the tables without rules: two rows or more of the same three pieces or more, each under its like.

    Returns:
        The tables, and the ids of the lines that they are made of.
    """
    levels = _levels(lines)
    tables: list[Table] = []
    used: set[int] = set()
    at = 0
    while at < len(levels):
        end, cells, spans = _run(levels, at, width)
        if end == at + 1 or not cells:
            at += 1
            continue
        first = at
        above = levels[at - 1] if at else None  # names, with an empty corner
        if above is not None and levels[at].top - above.bottom < above.size and not used & set(map(id, above.lines)):
            names = _fit(above, spans, 2)
            cells[:0] = [names] if names else []
            first -= 1 if names else 0
        held = [line for level in levels[first:end] for line in level.lines]
        bold = [all(line.bold for line in level.lines) for level in levels[first:end]]
        box = (
            min(line.box[0] for line in held),
            levels[first].top,
            max(line.box[2] for line in held),
            levels[end - 1].bottom,
        )
        header = int(bold[0] and not all(bold))
        tables.append(
            Table(box, tuple(map(tuple, cells)), header, (*(left for left, _ in spans), box[2]), bool(header))
        )
        used.update(map(id, held))
        at = end
    return tables, used


def _levels(lines: Sequence[Line]) -> list[_Level]:
    """Return the lines of a page from its top to its bottom, those at one height together."""
    level: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: line.box[1] + line.box[3]):
        if level and level[-1][0].box[1] < (line.box[1] + line.box[3]) / 2 < level[-1][0].box[3]:
            level[-1].append(line)
        else:
            level.append([line])
    return [
        _Level(
            tuple(found),
            tuple(sorted(piece for line in found for piece in line.pieces)),
            min(line.box[1] for line in found),
            max(line.box[3] for line in found),
        )
        for found in level
    ]


def _fit(level: _Level, spans: Sequence[tuple[float, float]], least: int) -> list[str] | None:
    """Return the cells of a level under columns, or None if it has too few or they do not stand under one each."""
    cells = [""] * len(spans)
    for left, right, text in level.pieces:
        under = [at for at, (start, end) in enumerate(spans) if left < end and start < right]
        if len(under) != 1 or cells[under[0]]:
            return None
        cells[under[0]] = text
    return cells if len(level.pieces) >= least else None


def _run(levels: Sequence[_Level], at: int, width: float) -> tuple[int, list[list[str]], list[tuple[float, float]]]:
    """Return where a table that begins at a level ends, its cells and the extents of its columns."""
    first = levels[at]
    spans = [(left, right) for left, right, _ in first.pieces]
    if len(spans) < 3 or any(right - left > _WIDEST * width for left, right in spans):
        return at + 1, [], []
    cells = [[text for _, _, text in first.pieces]]
    full = 1
    end = at + 1
    while end < len(levels) and levels[end].top - levels[end - 1].bottom < 3 * first.size:
        tight = levels[end].top - levels[end - 1].bottom < 0.5 * first.size
        row = _fit(levels[end], spans, 1 if tight else 2)
        if row is None or any(right - left > _WIDEST * width for left, right, _ in levels[end].pieces):
            break
        if all(row):
            full += 1
            spans = [
                (min(left, start), max(right, stop))
                for (left, right), (start, stop, _) in zip(spans, levels[end].pieces, strict=True)
            ]
        cells.append(row)
        end += 1
    while sum(map(bool, cells[-1])) < 2:  # a line below the table
        del cells[-1]
        end -= 1
    prose = sum(sum(len(cell) > _PROSE for cell in row) > 1 for row in cells)
    return (end, cells, spans) if full > 1 and 2 * prose <= len(cells) else (at + 1, [], [])
