"""What the readers of formatted files share: headings, paragraphs and table rows become one text with sections."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from radrag.types import Section, page_heading


@dataclass(frozen=True, slots=True)
class Block:
    """One heading, paragraph, list item or table row of a formatted file.

    Attributes:
        text: Its words.
        level: 1 to 6 for a heading, 0 for everything else.
        page: Page it begins on, from 1; None where the format has no pages.
    """

    text: str
    level: int = 0
    page: int | None = None


_RAISED = str.maketrans("0123456789+-\u2212", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻")
_ALL_RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻, ]+")
_UNSEEN = (0x00AD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), 0x2060, *range(0x2066, 0x206A), 0xFEFF)
_UNSEEN_OPERATORS = range(0x2061, 0x2065)  # such as the times between 2 and 10, which must not become 210
_LIGATURES = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xFB05: "st", 0xFB06: "st"}
_HYPHENS = {0x2010: "-", 0x2011: "-"}
_SHOWN = {**dict.fromkeys(_UNSEEN, ""), **dict.fromkeys(_UNSEEN_OPERATORS, " "), **_LIGATURES, **_HYPHENS}


def shown(text: str) -> str:
    """Return a text as it is searched for: without unseen characters, ligatures spelt out, hyphens as ``-``."""
    return text.translate(_SHOWN)


def plain(text: str) -> str:
    """Return a text as ``shown`` does, with every run of white space as one space."""
    return " ".join(shown(text).split())


def raised(text: str) -> str:
    """Return superscript text so that it is not read as part of the number or word before it: ``10⁹``, ``s^a``."""
    words = plain(text)
    written = words.translate(_RAISED)
    if not _ALL_RAISED.fullmatch(written):
        if not any(map(str.isalnum, words)) or words.lower() in ("st", "nd", "rd", "th"):
            return text
        written = f"^{words}"
    return f"{' ' * text[0].isspace()}{written}{' ' * text[-1].isspace()}"


def _names(heads: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return the name of each column: its different words in the header rows, from the top."""
    columns = ((row[at] for row in heads if at < len(row)) for at in range(width))
    return [", ".join(dict.fromkeys(filter(None, column))) for column in columns]


def table_rows(cells: Sequence[Sequence[str]], header: int) -> Iterator[str]:
    """Write a table, a line each row, so that a row can be read alone: ``| Phase: arterial | Delay: 35 s |``.

    A row of a single cell in a wider table is a label: it is written alone, and again in every row below it, up to the
    next label. Labels that follow each other stand together.

    Args:
        cells: Rows of cells; rows may differ in length.
        header: How many of the first rows name the columns. They are then said in every row instead of on their own,
            unless there is no other row. Labels among them are counted, but name nothing.

    Yields:
        Rows that hold anything. Cells that are empty are left out where the columns are named, kept otherwise.
    """
    rows = [[plain(cell) for cell in row] for row in cells]
    width = max(map(len, rows), default=0)
    heads = int(header) if len(rows) > header else 0
    names = _names([row for row in rows[:heads] if len(row) > 1 or width == 1], width if heads else 0)
    labels: list[str] = []
    joined = False  # whether the row before was a label
    for place, row in enumerate(rows):
        if not any(row):
            continue
        if len(row) == 1 < width:
            labels = [*labels, row[0]] if joined else [row[0]]
            joined = True
            yield f"| {row[0]} |"
            continue
        joined = False
        if place < heads:
            continue
        named = [*names, *[""] * (len(row) - len(names))]
        said = [
            f"{name}: {cell}" if name else cell for name, cell in zip(named, row, strict=False) if cell or not heads
        ]
        yield f"| {' | '.join([*labels, *said])} |"


def assemble(blocks: Iterable[Block]) -> tuple[str, tuple[Section, ...]]:
    """Join blocks into a text with Markdown headings, a blank line between blocks, and say where its sections are.

    A section is what stands between two headings, or two page ends; its path holds all headings above it and, where
    there are pages, ``page N`` last. A heading with nothing below it, not even a lower heading, is a section by itself,
    so that it can be found. Blocks without a letter or digit are left out.

    Args:
        blocks: The blocks in reading order.

    Returns:
        The text, and its sections in order.
    """
    pieces: list[str] = []
    sections: list[Section] = []
    above: list[tuple[int, str]] = []
    at = 0
    bare: Section | None = None  # a heading with nothing below it yet
    for block in blocks:
        words = block.text.strip("\n").rstrip()
        if not any(map(str.isalnum, words)):
            continue
        if block.level and bare is not None and block.level <= above[-1][0]:
            sections.append(bare)
        bare = None
        if block.level:
            above = [*((level, name) for level, name in above if level < block.level), (block.level, words)]
            words = f"{'#' * block.level} {words}"
        start = at + (2 if pieces else 0)
        at = start + len(words)
        pieces.append(words)
        path = tuple(name for _, name in above) + (() if block.page is None else (page_heading(block.page),))
        if block.level:
            bare = Section(path, start, at)
            continue
        last = sections[-1] if sections else None
        if last is not None and last.path == path and last.end == start - 2:
            sections[-1] = Section(path, last.start, at)
        elif path:
            sections.append(Section(path, start, at))
    if bare is not None:
        sections.append(bare)
    return "\n\n".join(pieces), tuple(sections)
