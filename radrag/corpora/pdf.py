"""Guidelines as PDF files, read with pdfplumber (pdfminer.six): words, tables, headings by type size, page numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from radrag.corpora.blocks import Block, assemble, plain, table_rows
from radrag.corpora.files import file_bytes
from radrag.errors import CorpusError, require
from radrag.types import Document

_MARGIN = 0.08  # of the page's height, where running heads and page numbers stand
_LARGER = 1.12  # how many times the body's type size a heading has at least
_LONGEST = 200  # characters of a heading
_UNMAPPED = re.compile(r"\(cid:\d+\)")
_UNKNOWN = "\ufffd"
_MOST_UNKNOWN = 0.01  # of all characters
_BULLET = re.compile(r"[•▪◦‣·●■–-]\s+")
_DIGITS = re.compile(r"\d+")
_ENDS = (".", "!", "?", ":", ";")


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of a page: ``top`` and ``bottom`` are points from the page's upper edge, ``size`` its type size."""

    text: str
    page: int
    top: float
    bottom: float
    left: float
    size: float
    bold: bool
    box: int
    margin: bool
    rows: tuple[str, ...] = ()


def _known(text: str) -> str:
    """Return a text in single spaces, each letter that its font does not name as U+FFFD."""
    return plain(_UNMAPPED.sub(_UNKNOWN, text))


def _inside(line: _Line, right: float, boxes: Sequence[tuple[float, float, float, float]]) -> bool:
    """Whether the middle of a line lies in one of the boxes (left, top, right, bottom)."""
    x, y = (line.left + right) / 2, (line.top + line.bottom) / 2
    return any(left <= x <= end and top <= y <= bottom for left, top, end, bottom in boxes)


def _text_lines(page: Any, number: int, layout: Any) -> Iterator[tuple[_Line, float]]:
    """Yield the lines of a page in reading order, each with its right edge."""
    for place, box in enumerate(part for part in page.layout if isinstance(part, layout.LTTextBox)):
        for line in box:
            chars = [char for char in line if isinstance(char, layout.LTChar) and char.get_text().strip()]
            if not chars:
                continue
            top, bottom = page.height - line.y1, page.height - line.y0
            sizes = Counter(round(char.size, 1) for char in chars)
            bold = sum("bold" in char.fontname.lower() or "black" in char.fontname.lower() for char in chars)
            yield (
                _Line(
                    text=_known(line.get_text()),
                    page=number,
                    top=top,
                    bottom=bottom,
                    left=line.x0,
                    size=sizes.most_common(1)[0][0],
                    bold=2 * bold > len(chars),
                    box=place,
                    margin=bottom < _MARGIN * page.height or top > (1 - _MARGIN) * page.height,
                ),
                line.x1,
            )


def _has_header(rows: Sequence[Sequence[str | None]]) -> bool:
    """Whether row one names the columns: all filled, no number in it, and a number below it."""
    if len(rows) < 2 or len(rows[0]) < 2 or not all(plain(cell or "") for cell in rows[0]):
        return False
    first, others = " ".join(cell or "" for cell in rows[0]), " ".join(cell or "" for row in rows[1:] for cell in row)
    return not _DIGITS.search(first) and _DIGITS.search(others) is not None


def _page_lines(page: Any, number: int, layout: Any) -> list[_Line]:
    """Return the lines of a page, and each table in one line at its place."""
    tables = [table for table in page.find_tables() if len(table.rows) > 1 and len(table.rows[0].cells) > 1]
    boxes = [table.bbox for table in tables]
    lines = [line for line, right in _text_lines(page, number, layout) if not _inside(line, right, boxes)]
    for table in tables:
        rows = table.extract()
        cells = [[_known(cell or "") for cell in row] for row in rows]
        left, top, _, bottom = table.bbox
        entry = _Line(
            "", number, top, bottom, left, 0.0, False, -1, False, rows=tuple(table_rows(cells, _has_header(rows)))
        )
        place = next((at for at, line in enumerate(lines) if line.top >= top and line.left >= left - 50), len(lines))
        lines.insert(place, entry)
    return lines


def _is_scanned(page: Any, lines: Sequence[_Line]) -> bool:
    """Whether a page holds pictures over a third of its area, and next to no words."""
    if sum(len(line.text) for line in lines if not line.margin) >= 20 or any(line.rows for line in lines):
        return False
    area = sum(abs(image["x1"] - image["x0"]) * abs(image["bottom"] - image["top"]) for image in page.images)
    return bool(3 * area > page.width * page.height)


def _running(lines: Sequence[_Line]) -> set[str]:
    """Return the marginal lines, digits aside, that stand on at least three pages."""
    on: dict[str, set[int]] = {}
    for line in lines:
        if line.margin:
            on.setdefault(_DIGITS.sub("#", line.text), set()).add(line.page)
    return {text for text, where in on.items() if len(where) >= 3}


def _levels(lines: Sequence[_Line]) -> tuple[float, list[float]]:
    """Return the type size of the body, and the larger sizes in use, largest first."""
    sizes: Counter[float] = Counter()
    for line in lines:
        sizes[line.size] += len(line.text) if not line.rows else 0
    body = sizes.most_common(1)[0][0] if sizes else 0.0
    return body, sorted((size for size in sizes if size >= _LARGER * body), reverse=True)


def _level(line: _Line, body: float, larger: Sequence[float], alone: bool) -> int:
    """Return the heading level of a line: by its size, or below those where it is bold and stands alone."""
    if line.rows or len(line.text) > _LONGEST or not any(map(str.isalpha, line.text)) or _BULLET.match(line.text):
        return 0
    if line.size in larger:
        return min(larger.index(line.size) + 1, 6)
    if line.bold and alone and line.size >= body and not line.text.endswith(_ENDS):
        return min(len(larger) + 1, 6)
    return 0


def _joined(first: str, second: str, words: frozenset[str]) -> str:
    """Join a line to the next; a hyphen at its end goes where the word is written without one elsewhere in the file."""
    if first.endswith("-") and len(first) > 1 and first[-2].isalpha() and second[:1].islower():
        head, tail = first[:-1].split()[-1], second.split()[0]
        whole = re.sub(r"\W+", "", head + tail).lower()
        return first[:-1] + second if whole in words else first + second
    return f"{first} {second}"


def _blocks(lines: Sequence[_Line]) -> Iterator[Block]:
    """Join lines into headings, paragraphs and list items; a paragraph belongs to the page that it begins on."""
    body, larger = _levels(lines)
    words = frozenset(word for line in lines for word in re.findall(r"[a-z]+", line.text.lower()))
    held: Block | None = None
    last: _Line | None = None
    for place, line in enumerate(lines):
        following = lines[place + 1] if place + 1 < len(lines) else None
        alone = (last is None or last.box != line.box or last.page != line.page or _level(last, body, larger, True) > 0
                 or last.text.endswith(_ENDS)) and (
            following is None or following.bold != line.bold or following.box != line.box)  # fmt: skip
        level = _level(line, body, larger, alone)
        if held is not None and last is not None and not line.rows and _continues(held, last, line, level):
            held = replace(held, text=_joined(held.text, line.text, words))
        else:
            if held is not None:
                yield held
            held = None
            if line.rows:
                yield from (Block(row, page=line.page) for row in line.rows)
            else:
                held = Block(_BULLET.sub("- ", line.text, count=1) if not level else line.text, level, line.page)
        last = line
    if held is not None:
        yield held


def _continues(held: Block, last: _Line, line: _Line, level: int) -> bool:
    """Whether a line goes on with the block before it."""
    if held.level or level:
        near = line.page == last.page and line.top - last.bottom < last.size
        return held.level == level and near and line.size == last.size and line.bold == last.bold
    if _BULLET.match(line.text) or re.match(r"\d{1,2}[.)]\s", line.text):
        return False
    if line.page == last.page and line.box == last.box:
        return line.top - last.bottom < 0.9 * line.size
    return not held.text.endswith(_ENDS) and line.text[:1].islower()


def read_pdf(path: str | Path) -> Document:
    """Read a guideline from a PDF file.

    Lines in larger type, and bold lines that stand alone, become headings; ruled tables become a line each row that
    says its column names; every section's path ends with its page, such as ``page 3``. Words divided at a line's end
    are joined where the whole word occurs elsewhere in the file, else keep their hyphen. Running heads and page numbers
    (marginal lines that repeat on three or more pages) are left out of the text and listed in the
    metadata as ``left_out``. Letters that a font does not name become U+FFFD, counted in ``unknown_characters``; a file
    with more than 1 % of them is refused.

    Args:
        path: The file.

    Returns:
        A document of kind ``"guideline"``; its id is the file's name, its title the first heading of the largest type,
        else that of the file's properties; ``metadata["pages"]`` is the number of pages.

    Raises:
        CorpusError: If there is no such file, it is not a PDF, is protected by a password, holds scanned pages, text
            whose letters cannot be told, or no text.
        MissingExtraError: If pdfplumber is not installed.
    """
    path = Path(path)
    pdfplumber = require("pdfplumber", extra="documents")
    layout = require("pdfminer.layout", extra="documents")
    file_bytes(path)
    lines: list[_Line] = []
    scanned: list[int] = []
    try:
        with pdfplumber.open(path, laparams={"boxes_flow": 0.5}) as pdf:
            pages = len(pdf.pages)
            properties = plain(str((pdf.metadata or {}).get("Title") or ""))
            for number, page in enumerate(pdf.pages, start=1):
                found = _page_lines(page, number, layout)
                lines += found
                scanned += [number] if _is_scanned(page, found) else []
                page.close()
    except Exception as error:  # pdfminer raises many kinds, and pdfplumber wraps some of them
        locked = "password" in f"{type(error).__name__} {error!r}".lower()
        remedy = "is protected by a password; save it without one" if locked else "is not a PDF that can be opened"
        raise CorpusError(remedy, file=path) from error
    if scanned:
        raise CorpusError(
            f"page {', '.join(map(str, scanned))} of {pages} is a picture without text, a scan; recognise its text "
            "first (OCR, for example with ocrmypdf) and give the result",
            file=path,
        )
    unknown = sum(line.text.count(_UNKNOWN) + "".join(line.rows).count(_UNKNOWN) for line in lines)
    if unknown > _MOST_UNKNOWN * sum(len(line.text) + len("".join(line.rows)) for line in lines):
        raise CorpusError(
            f"{unknown} characters are drawn in fonts that do not say which letters they are; recognise the text (OCR) "
            "or give another form of the document",
            file=path,
        )
    running = _running(lines)
    left_out = [line for line in lines if line.margin and _DIGITS.sub("#", line.text) in running]
    blocks = list(_blocks([line for line in lines if line not in left_out]))
    text, sections = assemble(blocks)
    if not text:
        raise CorpusError("holds no text", file=path)
    top = min((block.level for block in blocks if block.level), default=0)
    heading = next((block.text for block in blocks if block.level == top and top), "")
    metadata: dict[str, Any] = {"pages": pages}
    if unknown:
        metadata["unknown_characters"] = unknown
    if left_out:
        metadata["left_out"] = sorted({line.text for line in left_out})
    return Document(
        id=path.name, text=text, title=heading or properties, kind="guideline", sections=sections, metadata=metadata
    )
