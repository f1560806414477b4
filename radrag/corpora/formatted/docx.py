"""Guidelines as Word files, read with python-docx."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from radrag.corpora.files import GZIP_ERRORS, file_bytes
from radrag.corpora.formatted._docx_tables import rows, said
from radrag.corpora.formatted._docx_text import FALLBACK, MATH, UNKNOWN, Styles, W, Words, tags_between
from radrag.corpora.formatted.blocks import Block, assemble, plain, table_rows
from radrag.errors import CorpusError, require
from radrag.types import Document

_RELATED = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/{}"
_TITLED = "http://schemas.openxmlformats.org/package/2006/relationships/metadata/core-properties"
_OBJECT = "{urn:schemas-microsoft-com:office:office}OLEObject"
_NOTES = ("footnote", "endnote")
_NOT_WORD = "is not a Word file (.docx) that can be opened; save it as .docx, without a password"

_CHANGES = ("ins", "del", "moveFrom", "moveTo", "cellIns", "cellDel", "cellMerge")
_EQUATIONS = (
    *("acc", "bar", "borderBox", "box", "d", "eqArr", "f", "func", "groupChr", "limLow", "limUpp", "m", "nary"),
    *("phant", "rad", "sPre", "sSub", "sSubSup", "sSup"),
)  # what is not simply written from left to right
_REFUSED = {
    "equations, which cannot be read; write them as text": [f"{MATH}{name}" for name in _EQUATIONS],
    "another file inside it; open it in Word, save it again and give the result": [f"{W}altChunk", f"{W}subDoc"],
    "check boxes or lists of an old form, whose choice is no text; write the choice as text": [
        f"{W}checkBox",
        f"{W}ddList",
    ],
}


@dataclass(frozen=True, slots=True)
class _File:
    body: Any
    styles: Any
    notes: dict[str, list[Any]]
    title: str

    @property
    def roots(self) -> list[Any]:
        return [self.body, *(root for kind in _NOTES for root in self.notes[kind])]


def _opened(path: Path) -> _File:
    """Open a file; all that python-docx can raise is raised here."""
    docx = require("docx", extra="documents")
    oxml = require("docx.oxml", extra="documents")
    try:
        data = file_bytes(path)
    except GZIP_ERRORS as error:
        raise CorpusError(_NOT_WORD, file=path) from error
    try:
        file = docx.Document(BytesIO(data))
        links = [link for link in file.part.rels.values() if not link.is_external]
        blobs = {
            kind: [link.target_part.blob for link in links if link.reltype == _RELATED.format(f"{kind}s")]
            for kind in _NOTES
        }
        # Without properties python-docx makes some up, titled "Word Document".
        titled = any(link.reltype == _TITLED for link in file.part.package.rels.values())
        title = plain(file.core_properties.title or "") if titled else ""
        body, styles = file.element.find(f"{W}body"), file.styles.element
    except Exception as error:  # python-docx passes on whatever zipfile, lxml and its own checks raise
        raise CorpusError(_NOT_WORD, file=path) from error
    if body is None:
        raise CorpusError(_NOT_WORD, file=path)
    try:  # the parser of python-docx leaves entities alone
        notes = {kind: [oxml.parse_xml(blob) for blob in blobs[kind]] for kind in _NOTES}
    except Exception as error:  # whatever lxml raises
        raise CorpusError("its footnotes or endnotes are damaged; save it again in Word", file=path) from error
    return _File(body, styles, notes, title)


def _check(file: _File, path: Path) -> None:
    """Refuse what cannot be read for sure."""
    changed = sum(1 for root in file.roots for _ in root.iter(*(f"{W}{name}" for name in _CHANGES)))
    if changed:
        raise CorpusError(
            f"holds {changed} tracked changes; accept or reject them, so that it says one thing", file=path
        )
    for root in file.roots:
        for what, tags in _REFUSED.items():
            if next(root.iter(*tags), None) is not None:
                raise CorpusError(f"holds {what}", file=path)
        objects = any(part.get("ProgID", "").lower().startswith("equation") for part in root.iter(_OBJECT))
        if objects or any(next(part.iterancestors(f"{W}p"), None) is None for part in root.iter(f"{MATH}oMath")):
            raise CorpusError("holds equations, which cannot be read; write them as text", file=path)


def _marks(body: Any) -> dict[tuple[str, str | None], str]:
    """Return how references to notes are written: numbered as they come, because Word keeps no number."""
    marks: dict[tuple[str, str | None], str] = {}
    for kind in _NOTES:
        references = dict.fromkeys(part.get(f"{W}id") for part in body.iter(f"{W}{kind}Reference"))
        marks |= {(kind, key): f"[{kind} {place}]" for place, key in enumerate(references, start=1)}
    return marks


def _blocks(body: Any, words: Words) -> Iterator[Block]:
    for element in body.iter(f"{W}p", f"{W}tbl"):
        above = tags_between(element, body)
        if not {FALLBACK, f"{W}tbl"}.isdisjoint(above):
            continue
        if element.tag == f"{W}tbl":
            yield from map(Block, table_rows(*rows(element, words)))
            continue
        text = words.of(element)
        # What stands after a text box is not below the headings in it.
        level = 0 if f"{W}txbxContent" in above else words.styles.level(element)
        item = text and not level and words.styles.is_item(element)
        yield Block(f"- {text}" if item else text, level)


def _notes(file: _File, words: Words) -> Iterator[Block]:
    """Yield footnotes and endnotes, each kind under a heading of its own, those that nothing refers to left out."""
    for kind in _NOTES:
        texts = {
            note.get(f"{W}id"): said(note, words) for root in file.notes[kind] for note in root.iterchildren(W + kind)
        }
        shown = [f"{mark} {texts[key]}" for (of, key), mark in words.marks.items() if of == kind and texts.get(key)]
        if shown:
            yield Block(f"{kind.capitalize()}s", level=1)
        yield from map(Block, shown)


def read_docx(path: str | Path) -> Document:
    """Read a guideline from a Word file (``.docx``).

    Read are paragraphs, items of lists, tables and text boxes, in the order of the file, and at the end the footnotes
    and endnotes, which ``[footnote 1]`` refers to. Paragraphs with a heading style or an outline level of 1 to 6, text
    boxes apart, become sections and the path of their passages. Every row of a table is a line. It says its column
    names where rows are marked as header, alone are bold or shaded, or are set off by the table's style; where this
    cannot be told, cells stay without names. A row that is one cell across the table is said again in the rows below.
    Superscripts stay apart from the number before them (``10⁹``), text that is struck out is marked as such.

    Left out are page headers and footers, tables of contents, comments, pictures, charts, diagrams and embedded
    objects, text hidden by itself or by a style, and the automatic numbers of lists and headings, so which one "see
    step 3" means is not in the text. A Word file has no fixed pages, so passages name none.

    Args:
        path: The file.

    Returns:
        A document of kind ``"guideline"``; its id is the file's name, its title that of the file's properties, else the
        first level-1 heading.

    Raises:
        CorpusError: If there is no such file, it is not a Word file, or holds no text; if it holds tracked changes
            (what it says would depend on whether they are accepted), equations with fractions, roots, brackets or
            indices, or made with an equation editor, another file in place of text, check boxes or lists of an old
            form, or symbols of a font that is not known.
        MissingExtraError: If python-docx is not installed.
    """
    path = Path(path)
    file = _opened(path)
    _check(file, path)
    words = Words(Styles(file.styles), _marks(file.body))
    blocks = [*_blocks(file.body, words), *_notes(file, words)]
    text, sections = assemble(blocks)
    if unknown := re.search(f".{{0,30}}{UNKNOWN}", text):
        raise CorpusError(
            f"holds a symbol of a font that does not say what it is, in {unknown[0]!r}; retype it", file=path
        )
    if not text:
        raise CorpusError("holds no text; if its pages are pictures, recognise the text first", file=path)
    heading = next((block.text for block in blocks if block.level == 1), "")
    return Document(id=path.name, text=text, title=file.title or heading, kind="guideline", sections=sections)
