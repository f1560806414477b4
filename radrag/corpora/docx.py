"""Guidelines as Word files, read with python-docx."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from radrag.corpora.blocks import Block, assemble, plain, table_rows
from radrag.corpora.files import file_bytes
from radrag.errors import CorpusError, require
from radrag.types import Document

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_NOTES = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/{}"
_HEADING = re.compile(r"heading ([1-6])", re.IGNORECASE)


class _Styles:
    """The heading level that each paragraph style gives, through the styles that it is based on."""

    def __init__(self, file: Any) -> None:
        self._levels = {style.style_id: self._level(style) for style in file.styles if hasattr(style, "base_style")}

    @staticmethod
    def _level(style: Any) -> int:
        seen: set[str] = set()
        while style is not None and style.style_id not in seen:
            seen.add(style.style_id)
            if found := _HEADING.fullmatch(style.name or ""):
                return int(found[1])
            if (style.name or "").lower() == "title":
                return 1
            outline = style.element.find(f"{_W}pPr/{_W}outlineLvl")
            if outline is not None:
                return _outline(outline)
            style = style.base_style
        return 0

    def level(self, paragraph: Any) -> int:
        outline = paragraph.find(f"{_W}pPr/{_W}outlineLvl")
        if outline is not None:
            return _outline(outline)
        style = paragraph.find(f"{_W}pPr/{_W}pStyle")
        return 0 if style is None else self._levels.get(style.get(f"{_W}val"), 0)


def _outline(element: Any) -> int:
    level = int(element.get(f"{_W}val", "9"))
    return level + 1 if level < 6 else 0


def _on(element: Any) -> bool:
    return element is not None and element.get(f"{_W}val", "true").lower() not in ("0", "false", "off", "none")


def _words(paragraph: Any) -> str:
    """Return the words of a paragraph, hidden ones and those of text boxes left out."""
    found: list[str] = []
    for run in paragraph.iter(f"{_W}r"):
        nearest = next(run.iterancestors(f"{_W}p"), None)
        if nearest is not paragraph or _on(run.find(f"{_W}rPr/{_W}vanish")):
            continue
        for part in run:
            if part.tag == f"{_W}t":
                found.append(part.text or "")
            elif part.tag in (f"{_W}tab", f"{_W}br", f"{_W}cr"):
                found.append(" ")
            elif part.tag == f"{_W}noBreakHyphen":
                found.append("-")
    return plain("".join(found))


def _inside(element: Any, root: Any, *tags: str) -> bool:
    """Whether an element stands within one of these tags, below the root."""
    for above in element.iterancestors():
        if above is root:
            return False
        if above.tag in tags:
            return True
    return False


def _rows(table: Any) -> tuple[list[list[str]], bool]:
    """Return the cells of a table, a merged cell repeated where it reaches, and whether row one names the columns."""
    rows: list[list[str]] = []
    for row in table.findall(f"{_W}tr"):
        cells: list[str] = []
        for cell in row.iterchildren(f"{_W}tc", f"{_W}sdt"):
            words = " ".join(filter(None, (_words(paragraph) for paragraph in cell.iter(f"{_W}p"))))
            merge = cell.find(f"{_W}tcPr/{_W}vMerge")
            if merge is not None and merge.get(f"{_W}val") != "restart" and rows and len(cells) < len(rows[-1]):
                words = rows[-1][len(cells)]
            span = cell.find(f"{_W}tcPr/{_W}gridSpan")
            cells += [words] * (1 if span is None else int(span.get(f"{_W}val", "1")))
        rows.append(cells)
    look = table.find(f"{_W}tblPr/{_W}tblLook")
    first = look is None or look.get(f"{_W}firstRow", "1" if int(look.get(f"{_W}val", "20"), 16) & 0x20 else "0") != "0"
    marked = _on(table.find(f"{_W}tr/{_W}trPr/{_W}tblHeader"))
    return rows, marked or (first and bool(rows) and len(rows[0]) > 1 and all(rows[0]))


def _blocks(body: Any, styles: _Styles) -> Iterator[Block]:
    for element in body.iter(f"{_W}p", f"{_W}tbl"):
        if _inside(element, body, _FALLBACK, f"{_W}tbl"):
            continue
        if element.tag == f"{_W}tbl":
            yield from map(Block, table_rows(*_rows(element)))
            continue
        words = _words(element)
        level = styles.level(element)
        item = element.find(f"{_W}pPr/{_W}numPr") is not None and not level
        yield Block(f"- {words}" if item and words else words, level)


def _notes(file: Any, kind: str) -> Iterator[Block]:
    """Yield the footnotes or endnotes under a heading of their own."""
    docx_oxml = require("docx.oxml", extra="documents")
    parts = [link.target_part for link in file.part.rels.values() if link.reltype == _NOTES.format(kind)]
    for part in parts:
        root = docx_oxml.parse_xml(part.blob)  # entities are off in its parser
        notes = [note for note in root if note.get(f"{_W}type") in (None, "normal")]
        words = [" ".join(filter(None, map(_words, note.iter(f"{_W}p")))) for note in notes]
        if any(words):
            yield Block(kind.capitalize(), level=1)
        for number, note in zip(notes, words, strict=True):
            yield Block(f"[{number.get(f'{_W}id')}] {note}" if note else "")


def read_docx(path: str | Path) -> Document:
    """Read a guideline from a Word file (``.docx``).

    Paragraphs with a heading style or an outline level become sections and the path of their passages. Every row of a
    table is a line that says its column names. Text boxes are read where they stand, footnotes and endnotes at the end;
    page headers and footers are not read, nor is hidden text. A Word file has no fixed pages, so passages name none.

    Args:
        path: The file.

    Returns:
        A document of kind ``"guideline"``; its id is the file's name, its title that of the file's properties, else the
        first level-1 heading.

    Raises:
        CorpusError: If there is no such file, it is not a Word file, holds tracked changes (what it says would depend
            on whether they are accepted), or holds no text.
        MissingExtraError: If python-docx is not installed.
    """
    path = Path(path)
    docx = require("docx", extra="documents")
    file_bytes(path)
    try:
        file = docx.Document(str(path))
        body = file.element.body
    except Exception as error:  # python-docx passes on whatever zipfile, lxml and its own checks raise
        raise CorpusError(
            "is not a Word file (.docx) that can be opened; save it as .docx, without a password", file=path
        ) from error
    changed = sum(1 for _ in body.iter(*(f"{_W}{name}" for name in ("ins", "del", "moveFrom", "moveTo"))))
    if changed:
        raise CorpusError(
            f"holds {changed} tracked changes; accept or reject them, so that it says one thing", file=path
        )
    blocks = [*_blocks(body, _Styles(file)), *_notes(file, "footnotes"), *_notes(file, "endnotes")]
    text, sections = assemble(blocks)
    if not text:
        raise CorpusError("holds no text; if its pages are pictures, recognise the text first", file=path)
    heading = next((block.text for block in blocks if block.level == 1), "")
    title = plain(file.core_properties.title or "")
    return Document(id=path.name, text=text, title=title or heading, kind="guideline", sections=sections)
