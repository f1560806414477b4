"""What an HTML page shows: the words of its elements, and the rows of its tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile
from typing import Any

from radrag.corpora.formatted.blocks import plain, raised, table_rows
from radrag.errors import CorpusError

BLOCKS = frozenset(
    "address article aside blockquote body caption center dd details dialog dir div dl dt fieldset figcaption figure "
    "footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main menu nav ol p pre search section summary table "
    "tbody td tfoot th thead tr ul".split()
)
_LEFT_OUT = frozenset(
    "script style template noscript nav header footer select textarea button svg iframe object head title annotation "
    "annotation-xml".split()
)
_LEVELS = {f"h{level}": level for level in range(1, 7)}
_NOT_SHOWN = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_NOT_VISIBLE = re.compile(r"visibility\s*:\s*hidden", re.IGNORECASE)
_STRUCK = re.compile(r"\bline-through\b", re.IGNORECASE)
_NUMBER = re.compile(r"\s*(-?[0-9]{1,6})")
_DIGIT = re.compile(r"\d")
_MOST_CELLS = 2_000_000
_MOST_LETTERS = 20_000_000
_WITH_FORM = frozenset(("mfrac", "msup", "msubsup", "msqrt", "mroot"))


def number(tag: Any, name: str, default: int) -> int:
    """Return the whole number at the beginning of an attribute."""
    found = _NUMBER.match(str(tag.get(name, "")))
    return int(found[1]) if found else default


def elements(tag: Any, *names: str) -> list[Any]:
    """Return the elements within an element, those of some names or all; many times faster than ``find_all``."""
    return [one for one in tag.descendants if one.name is not None and (not names or one.name in names)]


def nearest(tag: Any, *names: str) -> Any:
    """Return the nearest element of these names that an element stands in, None where there is none."""
    return next((up for up in tag.parents if up.name in names), None)


def level(tag: Any) -> int:
    """Return the level of a heading, 1 to 6; 0 for every other element."""
    if tag.name in _LEVELS:
        return _LEVELS[tag.name]
    return min(max(number(tag, "aria-level", 2), 1), 6) if tag.get("role") == "heading" else 0


def is_block(tag: Any) -> bool:
    """Whether an element begins a new line, as against one that stands within a line of words."""
    return tag.name in BLOCKS or level(tag) > 0


def _is_absent(tag: Any) -> bool:
    """Whether an element takes no place on the page."""
    return tag.has_attr("hidden") or _NOT_SHOWN.search(str(tag.get("style", ""))) is not None


def is_hidden(tag: Any) -> bool:
    """Whether an element shows no words of the page itself.

    A header or footer is left out unless it is that of an article, of the main part or of a section; a button unless
    it names what it opens.
    """
    if _is_absent(tag) or tag.get("aria-hidden") == "true" or _NOT_VISIBLE.search(str(tag.get("style", ""))):
        return True
    if tag.name in ("header", "footer"):
        return nearest(tag, "article", "main", "section") is None
    if tag.name == "button":
        opens = tag.has_attr("aria-expanded") or tag.has_attr("aria-controls")
        return not opens and not any(map(level, (*tag.parents, *elements(tag))))
    return tag.name in _LEFT_OUT


def is_struck(tag: Any) -> bool:
    """Whether an element is struck out."""
    return tag.name in ("del", "s", "strike") or _STRUCK.search(str(tag.get("style", ""))) is not None


def struck(text: str) -> str:
    """Return words that are struck out so that they are not taken as valid."""
    return f"[struck out: {text.strip()}]" if text.strip() else text


def words(tag: Any) -> str:
    """Return the visible words within an element."""
    return said(tag.children)


def said(nodes: Iterable[Any]) -> str:
    """Return the visible words of elements and strings that stand in a line."""
    found: list[str] = []
    for child in nodes:
        if child.name is None:
            found.append(str(child) if type(child).__name__ == "NavigableString" else "")
        elif is_hidden(child):
            continue
        elif child.name == "img" and plain(str(child.get("alt", ""))):
            found.append(f"[picture: {plain(str(child['alt']))}]")
        elif child.name in _WITH_FORM:
            found.append(_formula(child))
        elif child.name == "table" and is_data(child):
            found.append(f" {caption(child)} ")
            found += [f" ({row.strip('| ').replace(' | ', ', ')}) " for row in rows(child)]
        else:
            found.append(_formed(child, said(child.children)))
    return "".join(found)


def _formed(tag: Any, inner: str) -> str:
    """Return the words within an element as its form gives them a meaning."""
    if tag.name == "sup":
        inner = raised(inner)
    if is_struck(tag):
        inner = struck(inner)
    if tag.name == "br":
        return "\n"
    return f" {inner} " if is_block(tag) else inner


def _formula(tag: Any) -> str:
    """Return a part of a MathML formula, written in a line."""
    inner = [child for child in tag.children if child.name is not None]
    parts = [_formula(part) if part.name in _WITH_FORM else plain(words(part)) for part in inner]
    match tag.name, parts:
        case "mfrac", [above, below]:
            return f"({above})/({below})"
        case "msup", [base, power]:
            return base + raised(power)
        case "msubsup", [base, index, power]:
            return base + index + raised(power)
        case "mroot", [base, degree]:
            return f"({base})^(1/({degree}))"
        case "msqrt", _:
            return f"√({''.join(parts)})"
    raise CorpusError(f"holds a formula whose <{tag.name}> has {len(parts)} parts; write the formula as text")


def _own(table: Any, *names: str) -> list[Any]:
    """Return the elements of a table that take a place on the page, without those of tables within it."""
    found = [tag for tag in elements(table, *names) if nearest(tag, "table") is table]
    return [
        tag for tag in found if not any(map(_is_absent, (tag, *takewhile(lambda up: up is not table, tag.parents))))
    ]


def is_data(table: Any) -> bool:
    """Whether a table holds data, as against a page laid out in cells.

    Data has header cells or no table within it, and no cell with a heading and more.
    """
    if table.get("role") in ("presentation", "none"):
        return False
    for heading in filter(level, elements(table)):
        cell = nearest(heading, "td", "th", "caption")
        if cell is None or (cell.name != "caption" and plain(words(cell)) != plain(words(heading))):
            return False
    return not elements(table, "table") or bool(_own(table, "th"))


def caption(table: Any) -> str:
    """Return the visible caption of a table."""
    return plain(" ".join(words(tag) for tag in _own(table, "caption") if not is_hidden(tag)))


@dataclass(frozen=True, slots=True)
class _Cell:
    """A cell of a table.

    Attributes:
        text: Its words.
        below: How many rows it still covers below.
        names: Whether it began in a row that names the columns.
    """

    text: str
    below: int
    names: bool


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of a table.

    Attributes:
        cells: The words in each column.
        names: Whether it names the columns.
        label: Whether it is a header cell that stands alone, or one cell in every column that it has.
        foot: Whether it stands in the table's foot.
    """

    cells: list[str]
    names: bool = False
    label: bool = False
    foot: bool = False


class _Grid:
    """Places the cells of a table row by row; a spanning cell stands in every place that it covers.

    Attributes:
        begun: The columns in which a cell begins; the others only widen those before them.
    """

    def __init__(self) -> None:
        self.begun: set[int] = set()
        self._waiting: dict[int, _Cell] = {}  # what covers the next row from above
        self._group: Any = None
        self._cells = self._letters = 0

    def place(self, row: Any) -> _Row:
        """Return the next row."""
        if (group := _group(row)) is not self._group:
            self._group, self._waiting = group, {}  # no cell reaches into another group of rows
        tags = [tag for tag in row.children if tag.name in ("td", "th") and not _is_absent(tag)]
        texts = _texts(row, tags)
        alone = len(tags) == 1 and not self._waiting
        names = self._is_naming(tags, texts)
        cells = dict(self._waiting)
        at = 0
        for tag, text in zip(tags, texts, strict=True):
            while at in self._waiting:
                at += 1
            self.begun.add(at)
            down = number(tag, "rowspan", 1)
            cell = _Cell(text, down - 1 if down > 0 else 65_534, names and not alone)
            for _ in range(min(max(number(tag, "colspan", 1), 1), 1000)):
                if at in self._waiting:
                    raise CorpusError(f"merged cells of a table overlap at {text!r}; correct their rowspan or colspan")
                cells[at] = cell
                at += 1
        self._waiting = {at: replace(cell, below=cell.below - 1) for at, cell in cells.items() if cell.below > 0}
        full = [cells[at].text if at in cells else "" for at in range(max(cells, default=-1) + 1)]
        self._count(full)
        label = alone and number(tags[0], "rowspan", 1) == 1 and (tags[0].name == "th" or len(full) > 1)
        return _Row(full, names, label)

    def _is_naming(self, tags: Sequence[Any], texts: Sequence[str]) -> bool:
        """Whether a row names the columns: it is marked so, or a name above reaches into it."""
        if self._waiting:
            return any(cell.names for cell in self._waiting.values())
        if not tags or self._group.name == "thead":
            return bool(tags)
        corner = not texts[0] and sum(number(tag, "colspan", 1) for tag in tags) > 2
        return len(tags) > corner and all(tag.name == "th" for tag in tags[corner:])

    def _count(self, cells: Sequence[str]) -> None:
        self._cells += len(cells)
        self._letters += sum(map(len, cells))
        if self._cells > _MOST_CELLS or self._letters > _MOST_LETTERS:
            raise CorpusError(
                f"a table has more than {_MOST_CELLS} cells or {_MOST_LETTERS} characters where its merged cells are "
                "repeated; correct their rowspan and colspan, or divide the table"
            )


def _group(row: Any) -> Any:
    """Return the head, body or foot of a table that a row stands in, else the table."""
    return nearest(row, "thead", "tbody", "tfoot", "table")


def _texts(row: Any, tags: Sequence[Any]) -> list[str]:
    """Return the words of a row's cells; a cell that is hidden but takes its place is empty."""
    above = (row, *takewhile(lambda up: up.name != "table", row.parents))
    hidden, out = any(map(is_hidden, above)), any(map(is_struck, above))
    texts = ["" if hidden or is_hidden(tag) else plain(words(tag)) for tag in tags]
    return [struck(text) if out or is_struck(tag) else text for tag, text in zip(tags, texts, strict=True)]


def _grid(table: Any) -> list[_Row]:
    """Return the rows of a table as they are shown: those of its foot last, each with all columns or one label."""
    grid = _Grid()
    found = _own(table, "tr")
    feet = {id(_group(row)) for row in found if _group(row).name == "tfoot"}
    in_foot = [len(feet) == 1 and id(_group(row)) in feet for row in found]
    order = sorted(range(len(found)), key=in_foot.__getitem__)
    placed = [grid.place(found[at]) for at in order]
    columns = sorted(grid.begun)
    shown = []
    for at, row in zip(order, placed, strict=True):
        cells = [row.cells[column] for column in columns if column < len(row.cells)]
        if row.label and len(columns) > 1 and (len(row.cells) == 1 or len(cells) == len(columns)):
            shown.append(_Row([row.cells[0]], label=True, foot=in_foot[at]))
        else:
            shown.append(_Row([*cells, *[""] * (len(columns) - len(cells))], row.names, foot=in_foot[at]))
    return shown


def rows(table: Any) -> Iterator[str]:
    """Yield the rows of a data table, a line each; rows of names further down name what is below them.

    Such a row with a digit may as well be a row of totals: the rows below it then name no columns.
    """
    found = _grid(table)
    starts = [0]
    for at in range(1, len(found)):
        if found[at].names and not found[at - 1].names:
            first = at
            while first and found[first - 1].label:
                first -= 1
            starts += [first] if first else []
    for start, end in pairwise([*starts, len(found)]):
        part = found[start:end]
        heads = [row.cells for row in takewhile(lambda row: row.names or row.label, part)]
        if not any(row.names for row in part) or (start and _DIGIT.search(str(heads))):
            heads = []
        yield from table_rows([row.cells for row in part if not row.foot], len(heads))
        foot = [row.cells for row in part if row.foot]  # of the whole table: the labels are not its own
        if foot:
            named = [cells for cells in heads if len(cells) > 1] if not part[0].foot else []
            yield from table_rows([*named, *foot], len(named))
