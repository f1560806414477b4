"""The words of a PDF page outside its ruled tables: lines, superscripts, turned text, and notes pinned to the page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from radrag.corpora.formatted.blocks import plain, raised
from radrag.errors import CorpusError

MARGIN = 0.08  # of the page's height, where running heads and page numbers stand
UNKNOWN = "\ufffd"
_UNMAPPED = re.compile(r"\(cid:\d+\)")
_BULLET = re.compile(r"^\(cid:127\)(?=\s)")  # Windows fonts draw a bullet for code 127
_BOLD = re.compile(r"bold|black|heavy|demi|cmbx|sfbx", re.IGNORECASE)
_SMALL = 0.85  # of the type size around it: what is smaller may be a superscript
_MOST_TURNED = 0.05  # of a page's letters; a stamp or watermark has less
_NOT_NOTES = frozenset({"Link", "Popup", "Widget", "PrinterMark", "TrapNet"})
_ALWAYS_NOTES = frozenset({"StrikeOut", "Caret"})  # they change the text even without a word of their own

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in points from the page's upper left corner."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a page: ``pieces`` are (left, right, text) between gaps wider than a letter is high."""

    text: str
    box: Box
    group: int
    size: float
    bold: bool
    margin: bool
    pieces: tuple[tuple[float, float, str], ...]


def known(text: str) -> str:
    """Return a text in single spaces, each letter that its font does not name as U+FFFD."""
    return plain(_UNMAPPED.sub(UNKNOWN, _BULLET.sub("•", text)))


def is_bold(fontname: str) -> bool:
    """Whether a font's name says that it is bold."""
    return _BOLD.search(fontname) is not None


def is_turned(matrix: tuple[float, ...]) -> bool:
    """Whether a letter drawn through this matrix stands on its side, upside down, aslant or mirrored."""
    return matrix[0] <= 0 or matrix[3] <= 0 or abs(matrix[1]) > 0.1 * matrix[0]


class Shadows:
    """Remembers letters, to tell one that is drawn again on itself: how some programs make bold type or shadows."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, float, int, int]] = set()

    def __call__(self, text: str, size: float, x: float, y: float) -> bool:
        """Whether this letter was there before, within a twentieth of its size; narrow double letters are not."""
        step = max(size, 1.0) / 10
        column, row = x / step, y / step
        low, left = int(row - 0.5), int(column - 0.5)
        high, right = int(row + 0.5), int(column + 0.5)
        seen = self._seen
        again = (
            (text, size, left, low) in seen
            or (text, size, right, low) in seen
            or (text, size, left, high) in seen
            or (text, size, right, high) in seen
        )
        seen.add((text, size, int(column), int(row)))
        return again


def refuse_turned(page: int, where: str) -> CorpusError:
    """Return the error for text that would be read backwards."""
    return CorpusError(
        f"page {page} holds text that is turned{where}, expected upright text; turn the page (or retype those words) "
        "and give the result"
    )


def refuse_notes(page: Any, number: int, types: Any) -> None:
    """Refuse a page with filled form fields or notes, which are shown on the page but are no part of its text.

    Args:
        page: The page as pdfplumber gives it.
        number: Its number, from 1.
        types: The module ``pdfminer.pdftypes``.
    """
    for entry in types.resolve1(page.page_obj.annots) or []:
        note = types.resolve1(entry)
        if not isinstance(note, dict):
            continue
        kind = str(getattr(types.resolve1(note.get("Subtype")), "name", ""))
        if kind == "Widget":
            parent = types.resolve1(note.get("Parent"))
            holders = [note, parent] if isinstance(parent, dict) else [note]
            words = next(filter(None, (_said(types.resolve1(one.get("V"))) for one in holders)), "")
            found = f"a form field filled in with {words[:60]!r}" if words not in ("", "Off") else ""
        else:
            words = _said(types.resolve1(note.get("Contents"))) if kind not in _NOT_NOTES else ""
            quoted = f" {words[:60]!r}" if words else ""
            found = f"a note ({kind}){quoted}" if words or kind in _ALWAYS_NOTES else ""
        if found:
            raise CorpusError(
                f"page {number} has {found} pinned on it, expected nothing but the page's own text; print the file to "
                "a new PDF so that it becomes text, or delete it"
            )


def _said(value: object) -> str:
    """Return the words of a field's value or a note's contents; a signature or button without a choice has none."""
    if isinstance(value, bytes):
        utf16 = value[:2] in (b"\xfe\xff", b"\xff\xfe")
        return plain(value.decode("utf-16" if utf16 else "latin-1", errors="replace"))
    if isinstance(value, list):
        return plain(" ".join(map(_said, value)))
    return plain(str(getattr(value, "name", value if isinstance(value, str | int | float) else "")))


def page_lines(page: Any, number: int, layout: Any, in_table: Callable[[float, float], bool]) -> tuple[list[Line], str]:
    """Return the lines of a page, without the letters of its ruled tables, and its turned text.

    Args:
        page: The page as pdfplumber gives it, opened with layout analysis.
        number: Its number, from 1.
        layout: The module ``pdfminer.layout``.
        in_table: Whether a point, in points from the left and from the top, lies in a cell.

    Raises:
        CorpusError: If more of its letters are turned than a stamp or a watermark has.
    """
    dx, dy = page.mediabox[0], page.height + page.mediabox[1]
    shadow = Shadows()
    turned: list[str] = []
    cut = False

    def is_kept(item: Any) -> bool:
        nonlocal cut
        text = item.get_text()
        if not isinstance(item, layout.LTChar) or not text.strip():
            return True
        if in_table((item.x0 + item.x1) / 2 + dx, dy - (item.y0 + item.y1) / 2):
            cut = True
            return False
        if shadow(text, item.size, item.x0, item.y0):
            return False
        if is_turned(item.matrix):
            turned.append(text)
            return False
        return True

    lines: list[Line] = []
    letters = group = 0
    for box in page.layout:
        group += 1
        for line in box if isinstance(box, layout.LTTextBox) else ():
            cut = False
            items = [item for item in line if is_kept(item)]
            chars = [item for item in items if isinstance(item, layout.LTChar) and item.get_text().strip()]
            letters += len(chars)
            if chars:
                lines.append(_line(items, chars, group, page))
            group += cut  # what follows in this box stands below a table
    if len(turned) > _MOST_TURNED * (letters + len(turned)):
        raise refuse_turned(number, "")
    return lines, known("".join(turned))


def _line(items: Iterable[Any], chars: list[Any], group: int, page: Any) -> Line:
    dx, dy = page.mediabox[:2]
    size = Counter(round(char.size, 1) for char in chars).most_common(1)[0][0]
    pieces = tuple((left + dx, right + dx, known(text)) for left, right, text in _pieces(items, chars, size))
    top = page.height - max(char.y1 for char in chars) + dy
    bottom = page.height - min(char.y0 for char in chars) + dy
    return Line(
        text=" ".join(text for _, _, text in pieces),
        box=(min(char.x0 for char in chars) + dx, top, max(char.x1 for char in chars) + dx, bottom),
        group=group,
        size=round(2 * size) / 2,
        bold=2 * sum(is_bold(str(char.fontname)) for char in chars) > len(chars),
        margin=bottom - dy < MARGIN * page.height or top - dy > (1 - MARGIN) * page.height,
        pieces=pieces,
    )


def _pieces(items: Iterable[Any], chars: list[Any], size: float) -> Iterator[tuple[float, float, str]]:
    """Yield the pieces of a line, superscripts written as such."""
    base = min((char.y0 for char in chars if round(char.size, 1) == size), default=0.0)
    shown = set(map(id, chars))
    left = right = 0.0
    text = ""
    for high, run in groupby(
        items, lambda item: id(item) in shown and item.size < _SMALL * size and item.y0 > base + 0.15 * size
    ):
        group = list(run)
        if high:
            left = left if text else group[0].x0
            text = text.rstrip() + raised("".join(item.get_text() for item in group))
            right = group[-1].x1
            continue
        for item in group:
            if id(item) in shown:
                if text.strip() and item.x0 - right > size:
                    yield left, right, text
                    text = ""
                left = left if text.strip() else item.x0
                right = item.x1
            text += item.get_text()
    if text.strip():
        yield left, right, text


def cell_text(chars: list[dict[str, Any]], utils: Any) -> str:
    """Return the words of a cell, superscripts written as such.

    Args:
        chars: The letters in the cell as pdfplumber gives them.
        utils: The module ``pdfplumber.utils``.
    """
    seen = [char for char in chars if char["text"].strip()]
    if not seen:
        return ""
    size = Counter(round(char["size"], 1) for char in seen).most_common(1)[0][0]
    small = sorted((char for char in seen if char["size"] < _SMALL * size), key=lambda char: float(char["x0"]))
    if not small:
        return known(utils.extract_text(chars, x_tolerance_ratio=0.2))
    hosts = [char for char in seen if char["size"] >= _SMALL * size]
    marks: dict[int, dict[str, Any]] = {}  # superscripts, of one letter or more, by the place of their host
    rest: list[dict[str, Any]] = []
    for char in small:
        at = next((at for at, host in enumerate(hosts) if _is_raised(char, marks.get(at, host), host)), None)
        if at is None:
            rest.append(char)
        elif at in marks:
            marks[at].update(text=marks[at]["text"] + char["text"], x1=char["x1"])
        else:
            marks[at] = {**char, **{edge: hosts[at][edge] for edge in ("top", "bottom", "doctop")}}
    written = [{**mark, "text": raised(mark["text"])} for mark in marks.values()]
    spaces = [char for char in chars if not char["text"].strip()]
    return known(utils.extract_text([*hosts, *rest, *written, *spaces], x_tolerance_ratio=0.2))


def _is_raised(char: dict[str, Any], before: dict[str, Any], host: dict[str, Any]) -> bool:
    """Whether a small letter stands right of another, and above the foot of the full-sized one that it belongs to."""
    near = abs(char["x0"] - before["x1"]) < 0.35 * host["size"]
    return bool(
        near
        and host["top"] - 0.5 * host["size"] < char["top"]
        and char["bottom"] < host["bottom"] - 0.15 * host["size"]
    )
