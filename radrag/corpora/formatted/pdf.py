"""Guidelines as PDF files, read with pdfplumber (pdfminer.six): words, tables, headings by type size, page numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from radrag.corpora.files import file_bytes
from radrag.corpora.formatted._pdf_lines import MARGIN, UNKNOWN, Line, page_lines, refuse_notes
from radrag.corpora.formatted._pdf_order import Part, ordered
from radrag.corpora.formatted._pdf_tables import Grid, Table, carried, read_table, ruled, unruled
from radrag.corpora.formatted._pdf_text import blocks, running
from radrag.corpora.formatted.blocks import assemble, plain
from radrag.errors import CorpusError, require
from radrag.types import Document

_MOST_UNKNOWN = 0.01  # of all characters
_SCAN = 20  # characters: a page that is mostly a picture and has fewer is a scan
_WIDEST = 14_400  # points, the format's own limit; layout analysis goes through a page in steps of 50 points
_UNTITLED = frozenset({"untitled", "(anonymous)"})  # what programs put where nobody gave a title


@dataclass(frozen=True, slots=True)
class _Page:
    """What a page holds, in points from its upper left corner."""

    number: int
    width: float
    height: float
    lines: tuple[Line, ...]
    tables: tuple[Table, ...]
    turned: str
    scan: bool


def _read_page(page: Any, number: int, modules: SimpleNamespace) -> _Page:
    if max(page.width, page.height) > _WIDEST:
        raise CorpusError(
            f"page {number} is {page.width:.0f} by {page.height:.0f} points large, expected {_WIDEST} at most; the "
            "file is damaged, print it to a new PDF"
        )
    refuse_notes(page, number, modules.types)
    grids: list[Grid] = ruled(page)
    lines, turned = page_lines(page, number, modules.layout, lambda x, y: any(grid.at(x, y) for grid in grids))
    tables = tuple(read_table(grid, page, number, modules.utils) for grid in grids)
    said = sum(len(line.text) for line in lines if not line.margin)
    area = sum(abs(image["x1"] - image["x0"]) * abs(image["bottom"] - image["top"]) for image in page.images)
    scan = said < _SCAN and not tables and 3 * area > page.width * page.height
    return _Page(number, page.width, page.height, tuple(lines), tables, turned, scan)


def _read_pages(path: Path) -> tuple[list[_Page], str]:
    """Return the pages of a PDF file and the title in its properties."""
    pdfplumber = require("pdfplumber", extra="documents")
    modules = SimpleNamespace(
        layout=require("pdfminer.layout", extra="documents"),
        types=require("pdfminer.pdftypes", extra="documents"),
        utils=require("pdfplumber.utils", extra="documents"),
    )
    try:
        with pdfplumber.open(BytesIO(file_bytes(path)), laparams={}) as pdf:
            title = plain(str((pdf.metadata or {}).get("Title") or ""))
            pages = []
            for number, page in enumerate(pdf.pages, start=1):
                pages.append(_read_page(page, number, modules))
                page.close()
    except CorpusError:
        raise
    except Exception as error:  # pdfminer raises many kinds, and pdfplumber wraps some of them
        locked = "password" in f"{type(error).__name__} {error!r}".lower()
        remedy = "is protected by a password; save it without one" if locked else "is not a PDF that can be opened"
        raise CorpusError(remedy) from error
    return pages, "" if title.lower() in _UNTITLED else title


def _check(pages: Sequence[_Page]) -> int:
    """Refuse scans and fonts that cannot be read; return how many letters are unknown."""
    scanned = [page.number for page in pages if page.scan]
    if scanned:
        raise CorpusError(
            f"page {', '.join(map(str, scanned))} of {len(pages)} is a picture without text, a scan; recognise its "
            "text first (OCR, for example with ocrmypdf) and give the result"
        )
    texts = [line.text for page in pages for line in page.lines]
    texts += [cell for page in pages for table in page.tables for row in table.cells for cell in row]
    unknown = sum(text.count(UNKNOWN) for text in texts)
    if unknown > _MOST_UNKNOWN * sum(map(len, texts)):
        raise CorpusError(
            f"{unknown} characters are drawn in fonts that do not say which letters they are; recognise the text (OCR) "
            "or give another form of the document"
        )
    return unknown


def _without_running(pages: Sequence[_Page]) -> tuple[list[_Page], set[str]]:
    """Return pages without their running heads, page numbers and control tables, and the words of those."""
    least = min(3, max(2, sum(bool(page.lines or page.tables) for page in pages)))
    heads = running([(line.text, page.number) for page in pages for line in page.lines if line.margin], least)
    edge = [(" ".join(table.rows), page.number) for page in pages for table in page.tables if _at_edge(table, page)]
    repeated = running(edge, 3)
    kept: list[_Page] = []
    for page in pages:
        lines = tuple(line for line in page.lines if not (line.margin and (line.text, page.number) in heads))
        tables = tuple(
            table for table in page.tables
            if not (_at_edge(table, page) and (" ".join(table.rows), page.number) in repeated)
        )  # fmt: skip
        kept.append(replace(page, lines=lines, tables=tables))
    return kept, {text for text, _ in heads | repeated}


def _at_edge(table: Table, page: _Page) -> bool:
    """Whether a table lies in the page's upper or lower margin, or twice its width."""
    return table.box[3] < 2 * MARGIN * page.height or table.box[1] > (1 - 2 * MARGIN) * page.height


def _parts(page: _Page) -> list[Part]:
    """Return the text boxes and tables of a page in reading order."""
    tables, used = unruled(page.lines, page.width)
    groups: list[list[Line]] = []
    last: Line | None = None
    for line in page.lines:
        if id(line) not in used:
            if last is None or last.group != line.group:
                groups.append([])
            groups[-1].append(line)
        last = line if id(line) not in used else None
    return ordered([*page.tables, *tables, *map(tuple, groups)])


def _arranged(pages: Sequence[_Page]) -> list[tuple[int, list[Part]]]:
    """Return the parts of every page; its first table may go on from the last one of the page before."""
    done: list[tuple[int, list[Part]]] = []
    for page in pages:
        parts = _parts(page)
        above = done[-1][1] if done else []
        before = next((part for part in reversed(above) if isinstance(part, Table)), None)
        first = next(((at, part) for at, part in enumerate(parts) if isinstance(part, Table)), None)
        if before is not None and first is not None:
            at, table = first
            parts[at] = carried(table, before, at == 0 and before is above[-1])
        done.append((page.number, parts))
    return done


def read_pdf(path: str | Path) -> Document:
    """Read a guideline from a PDF file.

    Lines in larger type, and bold lines that stand alone, become headings (a number before a line does not make it
    one); every section's path ends with its page, such as ``page 3``. Columns are read one after the other.
    Superscripts are written as such (``10⁹``). Words divided at a line's end are joined where the whole word occurs
    elsewhere in the file, else keep their hyphen.

    A ruled table becomes a line each row, merged cells repeated in every row that they reach. Rows say their column
    names where the first rows alone are bold, or where row one of three columns or more holds no number and others do;
    a table that goes on over a page keeps its names. A row that is one cell wide is said before the rows below it. A
    table without rules is read by rows where at least two rows have the same three columns or more. Two columns without
    rules look like two columns of text and are read one after the other.

    Left out, and listed in the metadata as ``left_out``: lines at a page's edge and small tables there that stand alike
    on three pages or more (all of two), apart from a page number, and turned text such as a watermark. Pages without a
    word, blank or drawn in outlines, are listed as ``pages_without_text``. Letters that a font does not name become
    U+FFFD, counted in ``unknown_characters``. Not noticed: white text, text outside the part of the page that is shown,
    and lines drawn through words.

    Args:
        path: The file.

    Returns:
        A document of kind ``"guideline"``; its id is the file's name, its title the first heading of the largest type,
        else that of the file's properties; ``metadata["pages"]`` is the number of pages.

    Raises:
        CorpusError: If there is no such file, it is not a PDF, is protected by a password, has no text, or a page is a
            scan, has form fields filled in or notes pinned on it, or turned text in a table or in more than 5 % of its
            letters, or is larger than 14,400 points; or if more than 1 % of the letters cannot be told.
        MissingExtraError: If pdfplumber is not installed.
    """
    path = Path(path)
    try:
        found, properties = _read_pages(path)
        unknown = _check(found)
        pages, left_out = _without_running(found)
        parts = _arranged(pages)
        text, sections = assemble(written := blocks(parts))
        if not text:
            raise CorpusError("holds no text, expected words; recognise its text (OCR) and give the result")
    except CorpusError as error:
        raise error if error.file else CorpusError(str(error), file=path) from error.__cause__
    top = min((block.level for block in written if block.level), default=0)
    heading = next((block.text for block in written if block.level == top and top), "")
    left_out |= {page.turned for page in pages if page.turned}
    wordless = [page.number for page in found if not page.lines and not page.tables]
    metadata: dict[str, Any] = {"pages": len(pages)}
    metadata |= {"unknown_characters": unknown} if unknown else {}
    metadata |= {"left_out": sorted(left_out)} if left_out else {}
    metadata |= {"pages_without_text": wordless} if wordless else {}
    return Document(
        id=path.name, text=text, title=heading or properties, kind="guideline", sections=sections, metadata=metadata
    )
