"""What the lines of a PDF are: running heads, headings, paragraphs and list items."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from radrag.corpora.formatted._pdf_lines import Box, Line
from radrag.corpora.formatted._pdf_order import Part
from radrag.corpora.formatted._pdf_tables import Table
from radrag.corpora.formatted.blocks import Block

_LARGER = 1.12  # how many times the body's type size a heading has at least
_LONGEST = 200  # characters of a heading
_MOST_LINES = 3  # of a heading
_BULLET = re.compile(r"^[•▪◦‣·●■–-]\s+")
_MARKED = re.compile(r"(?:[•▪◦‣·●■–-]|\(?\d{1,2}[.)]|\(?(?:[a-h]|[ivx]{1,4})\))\s")
_ENDS = (".", "!", "?", ":", ";")
_PAGE_NUMBER = re.compile(
    r"(?P<before>^|\b(?:page|pg\.?|p\.)\s*|(?:^|\s)[|•·–—-]\s+)(?P<number>\d{1,4})(?=$|\s*(?:/|of)\s*\d|\s+[|•·–—-])",
    re.I,
)


def running(texts: Sequence[tuple[str, int]], least: int) -> set[tuple[str, int]]:
    """Return which marginal texts, given with their pages, are running heads or page numbers.

    Such a text stands alike on ``least`` pages; of its digits only a page number may differ, which goes up by one each
    page.
    """
    where: dict[tuple[str, int | None], set[int]] = {}
    keys: list[list[tuple[str, int | None]]] = []
    for text, page in texts:
        found: list[tuple[str, int | None]] = [(text, None)]
        for match in _PAGE_NUMBER.finditer(text):
            numberless = f"{text[: match.start('number')]}#{text[match.end('number') :]}"
            found.append((numberless, int(match["number"]) - page))
        keys.append(found)
        for key in found:
            where.setdefault(key, set()).add(page)
    return {text for text, found in zip(texts, keys, strict=True) if any(len(where[key]) >= least for key in found)}


@dataclass(frozen=True, slots=True)
class _Paragraph:
    """Lines of one type that go on into each other; ``box`` is that of the last line, its top that of the first."""

    text: str
    page: int
    box: Box
    size: float
    bold: bool
    lines: int


def blocks(pages: Sequence[tuple[int, Sequence[Part]]]) -> list[Block]:
    """Join the lines of pages, in reading order, into headings, paragraphs and list items, and write out the tables.

    A paragraph belongs to the page that it begins on.
    """
    words = frozenset(word for _, parts in pages for part in parts if not isinstance(part, Table)
                      for line in part for word in re.findall(r"[a-z]+", line.text.lower()))  # fmt: skip
    found: list[_Paragraph | Block] = []
    for page, parts in pages:
        for part in parts:
            if isinstance(part, Table):
                found += [Block(row, page=page) for row in part.rows]
            else:
                found += _paragraphs(part, page, words)
    body, larger = _sizes([one for one in found if isinstance(one, _Paragraph)])
    done: list[Block] = []
    last: _Paragraph | None = None
    for one in found:
        if isinstance(one, Block):
            done.append(one)
            last = None
            continue
        level = _level(one, body, larger)
        if last is not None and not level and done and not done[-1].level and _goes_on(last, one):
            done[-1] = replace(done[-1], text=_joined(done[-1].text, one.text, words))
        else:
            done.append(Block(one.text if level else _BULLET.sub("- ", one.text, count=1), level, one.page))
        last = one
    return done


def _paragraphs(lines: Sequence[Line], page: int, words: frozenset[str]) -> Iterator[_Paragraph]:
    """Cut the lines of a text box where their type changes, an item begins, or a gap is wide."""
    held: _Paragraph | None = None
    last: Line | None = None
    for line in lines:
        if held is not None and last is not None and _same(held.text, last, line):
            text = _joined(held.text, line.text, words)
            box = line.box[0], held.box[1], line.box[2], line.box[3]
            held = replace(held, text=text, box=box, lines=held.lines + 1, bold=held.bold and line.bold)
        else:
            if held is not None:
                yield held
            held = _Paragraph(line.text, page, line.box, line.size, line.bold, 1)
        last = line
    if held is not None:
        yield held


def _same(text: str, last: Line, line: Line) -> bool:
    """Whether a line of a text box goes on with the text before it."""
    gap = line.box[1] - last.box[3]
    if not _alike(line.size, last.size) or not -0.5 * line.size < gap < 0.9 * line.size or _MARKED.match(line.text):
        return False
    if last.bold and not line.bold:
        return line.text[:1].islower()
    return not (line.bold and not last.bold and text.endswith(_ENDS))


def _alike(one: float, other: float) -> bool:
    """Whether two type sizes may be those of one paragraph, such as words in a typewriter face."""
    return max(one, other) < _LARGER * min(one, other)


def _goes_on(last: _Paragraph, one: _Paragraph) -> bool:
    """Whether a paragraph goes on with the one before it: on a new page or column, or on the line below."""
    if last.text.endswith(_ENDS) or not one.text[:1].islower() or _MARKED.match(one.text):
        return False
    if one.page != last.page or one.box[1] < last.box[1]:
        return True
    below = -0.5 * one.size < one.box[1] - last.box[3] < 0.5 * one.size
    return below and _alike(one.size, last.size) and one.box[0] < last.box[2] and last.box[0] < one.box[2]


def _sizes(paragraphs: Sequence[_Paragraph]) -> tuple[float, list[float]]:
    """Return the type size of the body, and the larger sizes in use, largest first.

    The body's size is that of most letters, or a larger one that sentences are written in: three paragraphs at least,
    with a fifth of the letters. References in small type can hold more letters than the text.
    """
    letters: Counter[float] = Counter()
    sentences: Counter[float] = Counter()
    said: Counter[float] = Counter()
    for one in paragraphs:
        letters[one.size] += len(one.text)
        if one.text.endswith((".", ";")):
            sentences[one.size] += 1
            said[one.size] += len(one.text)
    if not letters:
        return 0.0, []
    body = letters.most_common(1)[0][0]
    body = max([body, *(size for size in said if sentences[size] >= 3 and 5 * said[size] >= letters.total())])
    return body, sorted((size for size in letters if size >= _LARGER * body), reverse=True)


def _level(one: _Paragraph, body: float, larger: Sequence[float]) -> int:
    """Return the heading level of a paragraph: by its size, or below those where it is bold; 0 if it is no heading."""
    if (
        one.lines > _MOST_LINES
        or len(one.text) > _LONGEST
        or _BULLET.match(one.text)
        or not any(map(str.isalpha, one.text))
    ):
        return 0
    if one.size in larger and not one.text.endswith((".", ";")):
        return min(larger.index(one.size) + 1, 6)
    if one.bold and one.size >= body and not one.text.endswith(_ENDS):
        return min(len(larger) + 1, 6)
    return 0


def _joined(first: str, second: str, words: frozenset[str]) -> str:
    """Join a line to the next; a hyphen at its end goes where the word is written without one elsewhere in the file."""
    if not re.search(r"\w-$", first) or second.startswith(("and ", "or ", "to ")):
        return f"{first} {second}"
    head, tail = first[:-1].split()[-1], second.split()[0]
    whole = re.sub(r"\W+", "", head + tail).lower()
    return first[:-1] + second if second[:1].islower() and first[-2].isalpha() and whole in words else first + second
