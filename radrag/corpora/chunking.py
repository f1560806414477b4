"""Passages: runs of whole sentences within one section, with exact offsets into the document."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from radrag.corpora.sentences import HEADING, split_sentences
from radrag.corpora.values import whole_number
from radrag.errors import CorpusError
from radrag.types import Document, Passage

__all__ = ["Chunking", "chunk", "split_sentences"]

_Stretch = tuple[tuple[str, ...], int, int]


def _stretches(document: Document) -> Iterator[_Stretch]:
    """Yield every section, and the text before, between and after them, in order."""
    at = 0
    for section in document.sections:
        if not at <= section.start <= section.end <= len(document.text):
            raise CorpusError(
                f"section {section.path} spans {section.start} to {section.end}, expected spans in order, without "
                f"overlap, inside the {len(document.text)} characters of the text; correct the sections",
                record=document.id,
                field="sections",
            )
        yield (), at, section.start
        yield section.path, section.start, section.end
        at = section.end
    yield (), at, len(document.text)


def _sentences(document: Document, stretch: _Stretch) -> list[tuple[int, int]]:
    path, start, end = stretch
    text = document.text[start:end]
    spans = split_sentences(text)
    if document.sections and not path and all(HEADING.match(text, first) for first, _ in spans):
        return []  # the headings of the sections around it, which their passages carry as path
    return [(start + first, start + last) for first, last in spans]


def _windows(words: list[int], max_words: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Yield half-open runs of sentences; each run holds at least one sentence that the runs before it lack."""
    total = [0, *accumulate(words)]
    first, last = 0, 0
    while last < len(words):
        fresh = last
        first = max(fresh - overlap, first)
        while first < fresh and total[fresh + 1] - total[first] > max_words:
            first += 1
        last = fresh + 1
        while last < len(words) and total[last + 1] - total[first] <= max_words:
            last += 1
        yield first, last


def chunk(document: Document, max_words: int = 300, overlap: int = 1) -> Iterator[Passage]:
    """Cut a document into passages.

    A passage is a run of whole sentences of one section; text outside the sections is cut likewise, with no path. Where
    such text holds only Markdown headings it makes no passage, because the passages below carry them as their path.

    Args:
        document: The document; its sections must be in order and must not overlap.
        max_words: Most words (split at white space) of a passage. A longer sentence is a passage of its own.
        overlap: Most sentences that a passage repeats from the one before it, as far as ``max_words`` allows.

    Yields:
        Passages in order, with ``document.text[p.start:p.end] == p.text``.

    Raises:
        ValueError: If ``max_words`` is below 1 or ``overlap`` below 0.
        CorpusError: If the sections are out of order, overlap, or leave the text.
    """
    yield from Chunking(max_words, overlap).passages(document)


@dataclass(frozen=True, slots=True)
class Chunking:
    """How documents are cut into passages; an index keeps it in its manifest.

    Attributes:
        max_words: Most words of a passage, unless one sentence alone has more.
        overlap: Most sentences shared by neighbouring passages of a section.
    """

    max_words: int = 300
    overlap: int = 1

    def __post_init__(self) -> None:
        for name in ("max_words", "overlap"):
            object.__setattr__(self, name, whole_number(name, getattr(self, name)))
        if self.max_words < 1:
            raise ValueError(f"max_words must be at least 1, got {self.max_words}")
        if self.overlap < 0:
            raise ValueError(f"overlap must be at least 0 sentences, got {self.overlap}")

    def passages(self, document: Document) -> Iterator[Passage]:
        """Yield the passages of a document in order; ``chunk`` says how they are cut."""
        for stretch in _stretches(document):
            spans = _sentences(document, stretch)
            words = [len(document.text[start:end].split()) for start, end in spans]
            for first, last in _windows(words, self.max_words, self.overlap):
                start, end = spans[first][0], spans[last - 1][1]
                yield Passage(
                    document_id=document.id,
                    start=start,
                    end=end,
                    text=document.text[start:end],
                    path=stretch[0],
                    title=document.title,
                    metadata=document.metadata,
                )
