"""Guidelines as HTML pages, read with Beautiful Soup."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from radrag.corpora.files import file_bytes
from radrag.corpora.formatted._html_parts import (
    caption,
    elements,
    is_block,
    is_data,
    is_hidden,
    is_struck,
    level,
    nearest,
    number,
    rows,
    said,
    struck,
    words,
)
from radrag.corpora.formatted.blocks import Block, assemble, plain, shown
from radrag.errors import CorpusError, require
from radrag.types import Document

_ROMAN = "i ii iii iv v vi vii viii ix x xi xii xiii xiv xv xvi xvii xviii xix xx".split()
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_COUNTERS = {"a": _LETTERS, "A": _LETTERS.upper(), "i": _ROMAN, "I": [numeral.upper() for numeral in _ROMAN]}
_READ_AS_WINDOWS = frozenset(("iso-8859-1", "latin1", "latin-1", "us-ascii", "ascii"))  # as every browser does
_MOST_REPEATED = 20


def _markers(root: Any) -> dict[int, str]:
    """Return what stands before each item of a numbered list, such as ``3.``, by the item's identity."""
    found = {}
    for numbered in elements(root, "ol"):
        items = [item for item in elements(numbered, "li") if nearest(item, "ol", "ul", "menu") is numbered]
        items = [item for item in items if not is_hidden(item)]
        step = -1 if numbered.has_attr("reversed") else 1
        count = number(numbered, "start", len(items) if step < 0 else 1)
        names = _COUNTERS.get(str(numbered.get("type", "")))
        for item in items:
            count = number(item, "value", count)
            if names is None:
                found[id(item)] = f"{count}."
            elif 1 <= count <= len(names):
                found[id(item)] = f"{names[count - 1]}."
            count += step
    return found


def _blocks(tag: Any, markers: Mapping[int, str]) -> Iterator[Block]:
    """Yield the blocks of a tag; what stands between those of its children that are blocks is a paragraph."""
    loose: list[Any] = []
    for child in tag.children:
        if child.name is None or (not is_block(child) and not any(map(is_block, elements(child)))):
            loose.append(child)
        elif not is_hidden(child):
            yield Block(plain(said(loose)))
            loose = []
            if is_struck(child):
                yield from (Block(struck(block.text)) for block in _formed(child, markers))
            else:
                yield from _formed(child, markers)
    yield Block(plain(said(loose)))


def _formed(tag: Any, markers: Mapping[int, str]) -> Iterator[Block]:
    """Yield the blocks of a tag as its name asks for."""
    if level(tag):
        yield Block(plain(words(tag)), level(tag))
    elif tag.name == "li":
        inner = [block for block in _blocks(tag, markers) if block.text]
        for place, block in enumerate(inner):
            first = place == 0 and not block.level
            yield Block(f"{markers.get(id(tag), '-')} {block.text}" if first else block.text, block.level)
    elif tag.name == "table" and is_data(tag):
        yield Block(caption(tag))
        yield from map(Block, rows(tag))
    elif tag.name == "pre":
        yield Block(textwrap.dedent(shown(words(tag)).expandtabs()))
    else:
        yield from _blocks(tag, markers)


def _decoded(bs4: Any, data: bytes, path: Path) -> str:
    """Decode a page as its byte order mark or its head declares, else as UTF-8; nothing is guessed."""
    data, marked = bs4.dammit.EncodingDetector.strip_byte_order_mark(data)
    declared = bs4.dammit.EncodingDetector.find_declared_encoding(data, is_html=True)
    named = marked or declared or "utf-8"
    try:
        text = str(data.decode("cp1252" if named.lower() in _READ_AS_WINDOWS else named))
    except (ValueError, LookupError) as error:
        said_by = "its byte order mark" if marked else "its head" if declared else "default, as it declares none"
        raise CorpusError(f"is read as {named} by {said_by}, but is not; save it as UTF-8", file=path) from error
    if "\0" in text:
        raise CorpusError(f"holds NUL characters where it is read as {named}; save it as UTF-8", file=path)
    with suppress(UnicodeDecodeError):  # bytes that are UTF-8 by chance are next to none; an escape may change the code
        if not marked and data.decode("utf-8") != text and b"\x1b" not in data:
            raise CorpusError(f"declares {named}, but its bytes are UTF-8; correct what it declares", file=path)
    return text


def _root(soup: Any, path: Path) -> Any:
    """Return the element that holds the content: its main part, an article with most of the words, else all."""
    body = soup.body or soup
    for name, share in (("main", 0.0), ("article", 0.5)):
        found = [tag for tag in elements(soup, name) if not any(map(is_hidden, (tag, *tag.parents)))]
        if len(found) == 1 and len(plain(words(found[0]))) > share * len(plain(words(body))):
            body = found[0]
        if found:
            break
    for cell in elements(body, "td", "th", "tr"):
        above = nearest(cell, "td", "th", "table")
        if above is None or above.name != "table":
            raise CorpusError(
                "the tags of a table do not match, such as <td> without </td>, so that its rows cannot be told; save "
                "the page as well-formed HTML",
                file=path,
            )
    return body


def _read(bs4: Any, page: str, path: Path) -> tuple[Any, list[Block]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a short page looks like a file's name, or XHTML like XML
        soup = bs4.BeautifulSoup(page, "html.parser")
    root = _root(soup, path)
    blocks = []
    letters = 0
    for block in _blocks(root, _markers(root)):
        blocks.append(block)
        letters += len(block.text)
        if letters > _MOST_REPEATED * len(page) + 1_000_000:
            raise CorpusError(
                f"says more than {_MOST_REPEATED} times what its file holds, as its tables repeat long column names or "
                "labels; shorten these",
                file=path,
            )
    return soup, blocks


def read_html(path: str | Path) -> Document:
    """Read a guideline from an HTML page.

    Headings (``h1`` to ``h6``, ``role="heading"``) become sections and the path of their passages. Every row of a table
    is a line that says its column names: those of ``thead``, of rows of ``th``, and of rows that a name reaches into. A
    spanning cell is said in every place that it covers; a row of one cell across the table is said again in each row
    below it, up to the next. Items of numbered lists keep their number, ``pre`` its lines and spaces, pictures their
    alternative text, superscripts their height (``10⁹``, ``s^a``), and struck-out words are marked
    ``[struck out: 500 mL]``.

    Left out are scripts, navigation, selection and text fields, buttons (but not those in headings or that open
    something), embedded objects, the header and footer of the page, and what is hidden by an element's own attributes
    or ``style``; style sheets are not applied. Where there is one ``main``, or one ``article`` with more than half of
    the words, only it is read.

    Args:
        path: The file. Its encoding is the one that it declares, else UTF-8; none is guessed.

    Returns:
        A document of kind ``"guideline"``; its id is the file's name, its title that of the page, else the first
        level-1 heading.

    Raises:
        CorpusError: If there is no such file, it is not in the encoding that it declares, has table cells that are not
            closed or overlap, formulas that cannot be written in a line, elements nested too deeply, or holds no text.
        MissingExtraError: If Beautiful Soup is not installed.
    """
    path = Path(path)
    bs4 = require("bs4", extra="documents")
    try:
        soup, blocks = _read(bs4, _decoded(bs4, file_bytes(path), path), path)
    except bs4.exceptions.ParserRejectedMarkup as error:
        raise CorpusError("is not HTML that can be parsed; save it as well-formed HTML", file=path) from error
    except RecursionError as error:
        raise CorpusError(
            "its elements are nested too deeply to be read, or are not closed; save the page as well-formed HTML",
            file=path,
        ) from error
    except CorpusError as error:
        raise error if error.file else CorpusError(str(error), file=path) from error
    text, sections = assemble(blocks)
    if not text:
        raise CorpusError("holds no text that a reader of the page would see", file=path)
    titles = [plain(tag.get_text()) for tag in elements(soup, "title") if nearest(tag, "svg") is None]
    heading = next((block.text for block in blocks if block.level == 1), "")
    title = next(filter(None, titles), heading)
    return Document(id=path.name, text=text, title=title, kind="guideline", sections=sections)
