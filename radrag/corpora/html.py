"""Guidelines as HTML pages, read with Beautiful Soup."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from radrag.corpora.blocks import Block, assemble, plain, table_rows
from radrag.corpora.files import file_bytes
from radrag.errors import CorpusError, require
from radrag.types import Document

_LEFT_OUT = frozenset("script style template noscript nav header footer aside form svg iframe object head".split())
_INLINE = frozenset(
    "a abbr b bdi bdo cite code data del dfn em font i ins kbd label mark q rp rt ruby s samp small span strong sub "
    "sup time tt u var wbr".split()
)
_HEADING = re.compile(r"h[1-6]")
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)


def _is_hidden(tag: Any) -> bool:
    hidden = tag.has_attr("hidden") or str(tag.get("aria-hidden", "")).lower() == "true"
    return hidden or _HIDDEN.search(str(tag.get("style", ""))) is not None


def _skip(tag: Any) -> bool:
    """Whether a tag holds no words of the page itself; a header or footer within an article does."""
    if tag.name in ("header", "footer") and tag.find_parent(("article", "main", "section")) is not None:
        return _is_hidden(tag)
    return tag.name in _LEFT_OUT or _is_hidden(tag)


def _words(tag: Any) -> str:
    """Return the visible words of a tag and everything within it."""
    found: list[str] = []
    for child in tag.children:
        if child.name is None:
            found.append(str(child) if type(child).__name__ == "NavigableString" else "")
        elif child.name == "br":
            found.append(" ")
        elif not _skip(child):
            inner = _words(child)
            found.append(inner if child.name in _INLINE else f" {inner} ")
    return "".join(found)


def _rows(table: Any) -> tuple[list[list[str]], bool]:
    """Return the cells of a table, a spanning cell repeated in every place it covers, and whether row one is names."""
    rows: list[list[str]] = []
    waiting: dict[int, tuple[int, str]] = {}
    names = False
    for number, row in enumerate(tag for tag in table.find_all("tr") if not _skip(tag)):
        cells: list[str] = []
        tags = [tag for tag in row.find_all(("td", "th"), recursive=False) if not _skip(tag)]
        if number == 0:
            names = len(tags) > 1 and all(tag.name == "th" for tag in tags)
        below: dict[int, tuple[int, str]] = {}
        for tag in [*tags, None]:
            while len(cells) in waiting:
                left, text = waiting.pop(len(cells))
                if left > 1:
                    below[len(cells)] = (left - 1, text)
                cells.append(text)
            if tag is None:
                break
            text = _words(tag)
            down = _span(tag, "rowspan")
            for _ in range(_span(tag, "colspan")):
                if down > 1:
                    below[len(cells)] = (down - 1, text)
                cells.append(text)
        waiting = {**waiting, **below}
        rows.append(cells)
    return rows, names


def _span(tag: Any, name: str) -> int:
    value = str(tag.get(name, "1")).strip()
    return min(max(int(value), 1), 1000) if value.isdecimal() else 1


def _blocks(tag: Any) -> Iterator[Block]:
    """Yield the blocks of a tag; words between its block-level children are paragraphs."""
    loose: list[str] = []
    for child in tag.children:
        if child.name is None:
            loose.append(str(child) if type(child).__name__ == "NavigableString" else "")
            continue
        if _skip(child):
            continue
        if child.name in _INLINE and child.find(lambda inner: inner.name not in _INLINE and inner.name != "br") is None:
            loose.append(_words(child))
            continue
        if child.name == "br":
            loose.append(" ")
            continue
        yield Block(plain("".join(loose)))
        loose = []
        yield from _block(child)
    yield Block(plain("".join(loose)))


def _block(tag: Any) -> Iterator[Block]:
    if _HEADING.fullmatch(tag.name):
        yield Block(plain(_words(tag)), level=int(tag.name[1]))
    elif tag.name == "li":
        inner = [block for block in _blocks(tag) if block.text]
        for place, block in enumerate(inner):
            yield Block(f"- {block.text}" if place == 0 and not block.level else block.text, block.level)
    elif tag.name == "table" and tag.find(("table", *(f"h{level}" for level in range(1, 7)))) is None:
        if caption := tag.find("caption"):
            yield Block(plain(_words(caption)))
        yield from map(Block, table_rows(*_rows(tag)))
    else:
        yield from _blocks(tag)


def read_html(path: str | Path) -> Document:
    """Read a guideline from an HTML page.

    Headings ``h1`` to ``h6`` become sections and the path of their passages. Every row of a table is a line that says
    its column names (from ``th``). Scripts, forms, hidden elements and what surrounds the content (navigation, header,
    footer, sidebars) are left out; where there is exactly one ``main`` or ``article``, only it is read.

    Args:
        path: The file. Its encoding is the one that it declares, else UTF-8.

    Returns:
        A document of kind ``"guideline"``; its id is the file's name, its title that of the page, else the first
        level-1 heading.

    Raises:
        CorpusError: If there is no such file, it cannot be decoded, or holds no text.
        MissingExtraError: If Beautiful Soup is not installed.
    """
    path = Path(path)
    bs4 = require("bs4", extra="documents")
    try:
        soup = bs4.BeautifulSoup(file_bytes(path), "html.parser")
        if soup.contains_replacement_characters:
            raise CorpusError("some bytes fit no encoding that the page declares; save it as UTF-8", file=path)
        whole = soup.find_all(("main", "article"))
        root = whole[0] if len(whole) == 1 else soup.body or soup
        blocks = list(_blocks(root))
    except RecursionError as error:
        raise CorpusError("its elements are nested too deeply to be read; simplify the page", file=path) from error
    text, sections = assemble(blocks)
    if not text:
        raise CorpusError("holds no text that a reader of the page would see", file=path)
    heading = next((block.text for block in blocks if block.level == 1), "")
    title = plain(soup.title.get_text()) if soup.title else ""
    return Document(id=path.name, text=text, title=title or heading, kind="guideline", sections=sections)
