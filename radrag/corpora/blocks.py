"""What the readers of formatted files share: headings, paragraphs and table rows become one text with sections."""

from __future__ import annotations

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


def plain(text: str) -> str:
    """Return a text with every run of white space as one space."""
    return " ".join(text.split())


def table_rows(cells: Sequence[Sequence[str]], header: bool) -> Iterator[str]:
    """Write a table, a line each row, so that a row can be read alone: ``| Phase: arterial | Delay: 35 s |``.

    Args:
        cells: Rows of cells; rows may differ in length.
        header: Whether the first row names the columns. It is then said in every row instead of on its own, unless it
            is the only row.

    Yields:
        Rows that hold anything. Cells that are empty are left out where the columns are named, kept otherwise.
    """
    rows = [[plain(cell) for cell in row] for row in cells]
    names = rows.pop(0) if header and len(rows) > 1 else []
    for row in rows:
        if not any(row):
            continue
        named = [*names, *[""] * (len(row) - len(names))]
        parts = [
            f"{name}: {cell}" if name else cell for name, cell in zip(named, row, strict=False) if cell or not names
        ]
        yield f"| {' | '.join(parts)} |"


def assemble(blocks: Iterable[Block]) -> tuple[str, tuple[Section, ...]]:
    """Join blocks into a text with Markdown headings, a blank line between blocks, and say where its sections are.

    A section is what stands between two headings, or two page ends; its path holds all headings above it and, where
    there are pages, ``page N`` last. Blocks without a letter or digit are left out.

    Args:
        blocks: The blocks in reading order.

    Returns:
        The text, and its sections in order.
    """
    pieces: list[str] = []
    sections: list[Section] = []
    above: list[tuple[int, str]] = []
    at = 0
    for block in blocks:
        words = block.text.strip()
        if not any(map(str.isalnum, words)):
            continue
        if block.level:
            above = [*((level, name) for level, name in above if level < block.level), (block.level, words)]
            words = f"{'#' * block.level} {words}"
        start = at + (2 if pieces else 0)
        at = start + len(words)
        pieces.append(words)
        if block.level:
            continue
        path = tuple(name for _, name in above) + (() if block.page is None else (page_heading(block.page),))
        last = sections[-1] if sections else None
        if last is not None and last.path == path and last.end == start - 2:
            sections[-1] = Section(path, last.start, at)
        elif path:
            sections.append(Section(path, start, at))
    return "\n\n".join(pieces), tuple(sections)
