"""The tables of a Word file: what their cells hold, merged ones repeated, and which rows name the columns."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from radrag.corpora.formatted._docx_text import FALLBACK, Look, Styles, W, Words, is_on, number, style_of, tags_between

_MOST_COLUMNS = 63  # of Word; keeps a damaged span from filling the memory
_PLAIN_STYLES = ("table grid", "normal table")


@dataclass(frozen=True, slots=True)
class _Cell:
    """A cell on the grid.

    Attributes:
        start: The first grid column that it covers.
        end: The column after the last.
        words: What it holds; what the cell above holds where it is merged with it.
        merged: Whether the cell below can be merged with it.
    """

    start: int
    end: int
    words: str
    merged: bool


@dataclass(frozen=True, slots=True)
class _Row:
    """A row, with what tells a row of column names.

    Attributes:
        cells: Its cells.
        marked: Whether Word repeats it as a header on every page.
        filled: How many cells hold words of their own.
        bold: Whether all of those are bold.
        fills: Their shades, ``""`` for none.
        goes_on: Whether one of its cells is merged with the one above.
    """

    cells: tuple[_Cell, ...]
    marked: bool
    filled: int
    bold: bool
    fills: frozenset[str]
    goes_on: bool

    @property
    def shaded(self) -> bool:
        return bool(self.fills) and "" not in self.fills


def said(root: Any, words: Words) -> str:
    """Return all words of a cell or note as one line; the rows of a table in it are parted by semicolons."""
    found = []
    for element in root.iter(f"{W}p", f"{W}tbl"):
        if not {FALLBACK, f"{W}tbl"}.isdisjoint(tags_between(element, root)):
            continue
        if element.tag == f"{W}p":
            found.append(words.of(element))
        else:
            found.append("; ".join(", ".join(filter(None, row)) for row in rows(element, words)[0] if any(row)))
    return " ".join(filter(None, found))


def _held(element: Any, tag: str) -> Iterator[Any]:
    """Yield the children of this tag, those in content controls too."""
    for child in element:
        if child.tag == f"{W}{tag}":
            yield child
        elif child.tag in (f"{W}sdt", f"{W}sdtContent", f"{W}customXml"):
            yield from _held(child, tag)


def _shade(properties: Any) -> str:
    """Return the pattern and colour of a cell; none where it is white."""
    shade = None if properties is None else properties.find(f"{W}shd")
    if shade is None:
        return ""
    pattern, fill = shade.get(f"{W}val", "clear"), shade.get(f"{W}fill", "auto").lower()
    return "" if pattern in ("clear", "nil") and fill in ("auto", "ffffff") else f"{pattern} {fill}"


def _is_bold(cell: Any, styles: Styles) -> bool:
    runs = [run for run in cell.iter(f"{W}r") if "".join(run.itertext(f"{W}t")).strip()]
    return all(Look.of(run, style_of(next(run.iterancestors(f"{W}p"), run)), styles).has("b") for run in runs)


def _row(element: Any, above: Mapping[int, str], words: Words) -> _Row:
    """Read a row.

    Args:
        element: The row.
        above: The words of the cells in the row above that can go on into this one, by their first column.
        words: Reads paragraphs.
    """
    at = min(number(element.find(f"{W}trPr/{W}gridBefore"), 0), _MOST_COLUMNS)
    cells: list[_Cell] = []
    own: list[Any] = []
    goes_on = False
    for cell in _held(element, "tc"):
        span = min(max(number(cell.find(f"{W}tcPr/{W}gridSpan"), 1), 1), _MOST_COLUMNS)
        merge = cell.find(f"{W}tcPr/{W}vMerge")
        text = said(cell, words)
        if merge is not None and merge.get(f"{W}val") != "restart" and at in above:
            text, goes_on = above[at], True
        elif text:
            own.append(cell)
        cells.append(_Cell(at, at + span, text, merge is not None))
        at += span
    return _Row(
        cells=tuple(cells),
        marked=is_on(element.find(f"{W}trPr/{W}tblHeader")),
        filled=len(own),
        bold=bool(own) and all(_is_bold(cell, words.styles) for cell in own),
        fills=frozenset(_shade(cell.find(f"{W}tcPr")) for cell in own),
        goes_on=goes_on,
    )


def _style_names_columns(table: Any, styles: Styles) -> bool:
    """Whether the table's style sets off the first row and is used so here."""
    look = table.find(f"{W}tblPr/{W}tblLook")
    style = table.find(f"{W}tblPr/{W}tblStyle")
    if look is None or style is None or styles.name(style.get(f"{W}val")) in _PLAIN_STYLES:
        return False
    flag = look.get(f"{W}firstRow")
    if flag is None:  # older files keep all flags in one number
        digits = look.get(f"{W}val", "")
        flag = "1" if digits[-2:-1] in tuple("2367abefABEF") else "0"
    if flag not in ("1", "true", "on"):
        return False
    for one in styles.lineage(style.get(f"{W}val")):
        for part in one.iterchildren(f"{W}tblStylePr"):
            if part.get(f"{W}type") == "firstRow":
                return is_on(part.find(f"{W}rPr/{W}b")) or bool(_shade(part.find(f"{W}tcPr")))
    return False


def _goes_down(row: _Row, below: _Row) -> bool:
    """Whether a header goes on in the row below: a merged cell reaches there, or bold cells part one above them."""
    edges = [cell.start for cell in below.cells]
    parted = any(cell.start < edge < cell.end for cell in row.cells for edge in edges)
    return below.goes_on or (parted and row.bold and below.bold)


def _header(table: list[_Row], labels: list[bool], styled: bool) -> tuple[int, int]:
    """Return which rows name the columns, as the first and the one after the last; 0 and 0 where none surely does.

    Args:
        table: All rows.
        labels: Which of them are one cell across the table; those at the top are titles.
        styled: Whether the style of the table sets off its first row.
    """
    first = len(list(takewhile(bool, labels)))
    marked = len(list(takewhile(lambda row: row.marked, table)))
    last = max(marked, first + 1)
    while last < len(table) and _goes_down(table[last - 1], table[last]):
        last += 1
    if last >= len(table):
        return 0, 0
    head = table[first:last]
    body = [row for row, label in zip(table[last:], labels[last:], strict=True) if not label]
    full = [row for row in body if row.filled > 1]
    styled = styled and first == 0
    bold = all(row.bold for row in head)
    sure = (
        marked > first
        or styled
        or (bold and not any(row.bold for row in full))
        or (all(row.shaded for row in head) and not any(row.shaded for row in full))
    )
    # Some rows that look like the header may name the columns anew.
    alike = [((bold or styled) and row.bold) or (row.shaded and row.fills == head[-1].fills) for row in full]
    anew = any(alike) and not all(alike)
    # A cell below parts of two names, or two cells below one name, cannot be told apart by it.
    edges = {edge for cell in head[-1].cells for edge in (cell.start, cell.end)}
    fits = all({cell.start, cell.end} <= edges for row in body for cell in row.cells)
    named = any(cell.words for cell in head[-1].cells[1:])
    return (first, last) if sure and fits and named and not anew else (0, 0)


def rows(table: Any, words: Words) -> tuple[list[list[str]], int]:
    """Read a table.

    Rows name the columns where Word repeats them as a header, where they alone are bold or shaded, or where the style
    of the table sets off the first row (the plain grid does not). Where the columns below do not match, or a later row
    looks the same, none does.

    Args:
        table: The table.
        words: Reads paragraphs.

    Returns:
        The cells of every row, a merged one repeated in each column and row that it covers; a cell across the whole
        table is the only one of its row. And how many rows, put first, name the columns.
    """
    found: list[_Row] = []
    above: dict[int, str] = {}
    for element in _held(table, "tr"):
        found.append(_row(element, above, words))
        above = {cell.start: cell.words for cell in found[-1].cells if cell.merged}
    starts = sorted({cell.start for row in found for cell in row.cells})
    width = max((cell.end for row in found for cell in row.cells), default=0)
    labels = [[(cell.start, cell.end) for cell in row.cells] == [(0, width)] and len(starts) > 1 for row in found]
    texts: list[list[str]] = []
    for row, label in zip(found, labels, strict=True):
        cells = [""] * (1 if label else len(starts))
        for cell in row.cells:
            for at in range(bisect_left(starts, cell.start), 1 if label else bisect_left(starts, cell.end)):
                cells[at] = cell.words
        texts.append(cells)
    first, last = _header(found, labels, _style_names_columns(table, words.styles))
    return [*texts[first:last], *texts[:first], *texts[last:]], last - first
