"""The words of a paragraph in a Word file: what its styles say, symbols, raised and struck-out text, marks of notes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from radrag.corpora.formatted.blocks import plain, raised

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
MATH = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
UNKNOWN = "\ufffd"

_ALTERNATIVES = "{http://schemas.openxmlformats.org/markup-compatibility/2006}AlternateContent"
_VALUE = f"{W}val"
_HEADING = re.compile(r"heading ([1-6])", re.IGNORECASE)
_CONTENTS = re.compile(r"toc ?([1-9]|heading)|table of figures")
_BLANKS = {f"{W}{name}": " " for name in ("tab", "ptab", "br", "cr")} | {f"{W}noBreakHyphen": "-"}
_ELSEWHERE = {f"{W}p", FALLBACK}
_RAISED_BY = 4  # half points; Word offers 6, less is used to align text

# Fonts whose letters are other signs on the page; what is not listed cannot be told.
_SYMBOL = {
    **{ord(sign): sign for sign in " 0123456789!#%&()+,./:;<=>?[]_{|}"},
    **dict(zip(range(0x41, 0x5B), "ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ", strict=True)),
    **dict(zip(range(0x61, 0x7B), "αβχδεφγηιϕκλµνοπθρστυϖωξψζ", strict=True)),
    **dict(zip(b"-\xa2\xa3\xa5\xab\xac\xad\xae\xaf", "−′≤∞↔←↑→↓", strict=True)),
    **dict(zip(b"\xb0\xb1\xb2\xb3\xb4\xb7\xb8\xb9\xba\xbb\xbc\xd6\xd7\xde", "°±″≥×•÷≠≡≈…√⋅⇒", strict=True)),
}
_WINGDINGS = dict(
    zip(
        b" lnov\xa7\xa8\xd8\xdf\xe0\xe1\xe2\xe8\xf0\xfb\xfc\xfd\xfe",
        " ●■□❖▪◻➢←→↑↓➔⇨✗✓☒☑",
        strict=True,
    )
)
_FONTS: dict[str, dict[int, str]] = {
    "symbol": _SYMBOL,
    "wingdings": _WINGDINGS,
    "wingdings 2": {},
    "wingdings 3": {},
    "webdings": {},
}


def number(element: Any, without: int) -> int:
    """Return the value of an element as a number, another where there is no element or its value is none."""
    value = "" if element is None else element.get(_VALUE, "")
    return int(value) if re.fullmatch(r"[0-9]{1,9}", value) else without


def is_on(element: Any) -> bool:
    """Whether a property that can be on or off is there and on."""
    return element is not None and element.get(_VALUE, "true").lower() not in ("0", "false", "off", "none")


def tags_between(element: Any, root: Any) -> set[Any]:
    """Return the tags of what an element stands in, up to the root and without it."""
    found = set()
    for above in element.iterancestors():
        if above is root:
            break
        found.add(above.tag)
    return found


def _outline(element: Any) -> int:
    level = number(element, 9)
    return level + 1 if level < 6 else 0


def _letter(code: int, font: str) -> str:
    """Return what is shown for a character of a font; fonts of symbols have theirs at U+F000 and below U+0100."""
    signs = _FONTS.get(font.lower())
    if 0xF000 <= code <= 0xF0FF:
        return (signs or {}).get(code - 0xF000, UNKNOWN)
    if signs is None or code > 0xFF or chr(code).isspace():
        return chr(code)
    return signs.get(code, UNKNOWN)


def _symbol(element: Any) -> str:
    code = element.get(f"{W}char", "")
    if not re.fullmatch(r"[0-9A-Fa-f]{1,4}", code) or int(code, 16) < 0x20 or 0xD800 <= int(code, 16) < 0xE000:
        return UNKNOWN
    return _letter(int(code, 16), element.get(f"{W}font", ""))


class Styles:
    """What the styles of a file say, each through the styles that it is based on.

    Args:
        root: The root element of the styles.
    """

    def __init__(self, root: Any) -> None:
        self._styles = {style.get(f"{W}styleId"): style for style in root.iterchildren(f"{W}style")}
        self._found: dict[tuple[str | None, str], Any] = {}
        self._levels: dict[str | None, int] = {}

    def lineage(self, style: str | None) -> Iterator[Any]:
        """Yield a style and those that it is based on, the nearest first."""
        seen: set[str | None] = set()
        while style in self._styles and style not in seen:
            seen.add(style)
            yield self._styles[style]
            based = self._styles[style].find(f"{W}basedOn")
            style = None if based is None else based.get(_VALUE)

    def name(self, style: str | None) -> str:
        """Return the name of a style in lower case, its id if it has none; names of Word's own styles are English."""
        name = self.find(style, f"{W}name")
        return ((style or "") if name is None else str(name.get(_VALUE, ""))).lower()

    def find(self, style: str | None, path: str) -> Any:
        """Return the element that a style has at a path, else that of the nearest style that it is based on."""
        if style is None:
            return None
        if (style, path) not in self._found:
            every = (one.find(path) for one in self.lineage(style))
            self._found[style, path] = next((element for element in every if element is not None), None)
        return self._found[style, path]

    def level(self, paragraph: Any) -> int:
        """Return the level of a paragraph that is a heading, 1 to 6, else 0."""
        outline = paragraph.find(f"{W}pPr/{W}outlineLvl")
        if outline is not None:
            return _outline(outline)
        style = style_of(paragraph)
        if style not in self._levels:
            levels = map(self._own_level, self.lineage(style))
            self._levels[style] = next((level for level in levels if level is not None), 0)
        return self._levels[style]

    @staticmethod
    def _own_level(style: Any) -> int | None:
        name = style.find(f"{W}name")
        called = "" if name is None else name.get(_VALUE, "")
        if found := _HEADING.fullmatch(called):
            return int(found[1])
        outline = style.find(f"{W}pPr/{W}outlineLvl")
        return 1 if called.lower() == "title" else None if outline is None else _outline(outline)

    def is_item(self, paragraph: Any) -> bool:
        """Whether a paragraph is an item of a list; list 0 takes a paragraph out of the list of its style."""
        own = paragraph.find(f"{W}pPr/{W}numPr/{W}numId")
        listed = self.find(style_of(paragraph), f"{W}pPr/{W}numPr/{W}numId") if own is None else own
        return number(listed, 0) > 0


@dataclass(frozen=True, slots=True)
class Look:
    """What a run looks like, by itself, by its own style, and by that of its paragraph.

    Attributes:
        own: Its properties, by tag.
        style: The id of the style of its paragraph.
        styles: The styles of the file.
    """

    own: Mapping[Any, Any]
    style: str | None
    styles: Styles

    @classmethod
    def of(cls, run: Any, style: str | None, styles: Styles) -> Look:
        """Return the look of a run in a paragraph of this style."""
        properties = run.find(f"{W}rPr")
        return cls({} if properties is None else {one.tag: one for one in properties}, style, styles)

    def every(self, name: str) -> tuple[Any, Any, Any]:
        """Return a property as the run, its own style and that of its paragraph have it, None where they do not."""
        own = self.own.get(f"{W}rStyle")
        path = f"{W}rPr/{W}{name}"
        by_style = None if own is None else self.styles.find(own.get(_VALUE), path)
        return self.own.get(W + name), by_style, self.styles.find(self.style, path)

    def nearest(self, name: str) -> Any:
        """Return a property as it counts."""
        return next((element for element in self.every(name) if element is not None), None)

    def has(self, name: str) -> bool:
        """Whether the run is bold, hidden or struck out; where both styles say so, Word takes it back."""
        own, by_style, by_paragraph = self.every(name)
        return is_on(own) if own is not None else is_on(by_style) != is_on(by_paragraph)

    @property
    def is_raised(self) -> bool:
        place, lift = self.nearest("vertAlign"), number(self.nearest("position"), 0)
        return (place is not None and place.get(_VALUE) == "superscript") or lift >= _RAISED_BY

    @property
    def font(self) -> str:
        fonts = [element for element in self.every("rFonts") if element is not None]
        return next(filter(None, (element.get(f"{W}ascii") or element.get(f"{W}hAnsi") for element in fonts)), "")


def style_of(paragraph: Any) -> str | None:
    """Return the id of the style of a paragraph."""
    style = paragraph.find(f"{W}pPr/{W}pStyle")
    return None if style is None else style.get(_VALUE)


@dataclass(frozen=True, slots=True)
class _Piece:
    text: str
    raised: bool = False
    struck: bool = False


def _raised(text: str) -> str:
    words = text.strip()
    return text.replace(words, raised(words), 1) if words else text


def _joined(pieces: list[_Piece]) -> Iterator[str]:
    """Yield what neighbouring pieces of one kind say together, because Word cuts runs even within a number."""
    for struck, alike in groupby(pieces, lambda piece: piece.struck):
        parts = [
            (up, "".join(piece.text for piece in group)) for up, group in groupby(alike, lambda piece: piece.raised)
        ]
        said = "".join(_raised(text) if up else text for up, text in parts)
        yield f" [struck out: {said.strip()}] " if struck and said.strip() else said


def _written(element: Any, look: Look) -> str:
    """Return a text as it is shown in its font."""
    words, font = "".join(element.itertext()), look.font
    if font.lower() not in _FONTS and not re.search("[\uf000-\uf0ff]", words):
        return words
    return "".join(_letter(ord(sign), font) for sign in words)


def _text(run: Any, look: Look) -> Iterator[str]:
    for part in run:
        if part.tag == f"{W}t":
            yield _written(part, look)
        elif part.tag == f"{W}sym":
            yield _symbol(part)
        elif part.tag == _ALTERNATIVES:  # newer symbols, with an older way to write them
            yield from (_written(other, look) for other in part.iterfind(f"{FALLBACK}/{W}t"))
        else:
            yield _BLANKS.get(part.tag, "")


@dataclass(frozen=True, slots=True)
class Words:
    """Reads the words of paragraphs.

    Attributes:
        styles: The styles of the file.
        marks: What stands for a reference to a note, by its kind (``"footnote"`` or ``"endnote"``) and id.
    """

    styles: Styles
    marks: Mapping[tuple[str, str | None], str]

    def of(self, paragraph: Any) -> str:
        """Return the words of a paragraph, without hidden ones and those of text boxes; none of a contents list."""
        style = style_of(paragraph)
        if _CONTENTS.fullmatch(self.styles.name(style)):
            return ""
        pieces: list[_Piece] = []
        for run in paragraph.iter(f"{W}r", f"{MATH}r"):
            if run.getparent() is not paragraph and not _ELSEWHERE.isdisjoint(tags_between(run, paragraph)):
                continue
            if run.tag == f"{MATH}r":
                pieces += [_Piece("".join(part.itertext())) for part in run.iter(f"{MATH}t")]
                continue
            look = Look.of(run, style, self.styles)
            if not look.has("vanish"):
                pieces += self._pieces(run, look)
        return plain("".join(_joined(pieces)))

    def _pieces(self, run: Any, look: Look) -> Iterator[_Piece]:
        struck = look.has("strike") or look.has("dstrike")
        if text := "".join(_text(run, look)):
            yield _Piece(text, look.is_raised, struck)
        for kind in ("footnote", "endnote"):
            for reference in run.iterchildren(f"{W}{kind}Reference"):
                yield _Piece(f" {self.marks.get((kind, reference.get(f'{W}id')), '')} ", struck=struck)
