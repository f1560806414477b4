"""Documents, the passages cut from them, and what a search finds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NAMES = ("synonyms", "order_abbreviations")
_PAGE = re.compile(r"page \d+")
_SAID = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False, "": False}


def page_heading(number: int) -> str:
    """Return the last part of the path of what stands on a page, from 1, of a file that has pages."""
    return f"page {number}"


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of a document under one heading.

    Attributes:
        path: Headings from the outermost to this one, such as ``("CT urography", "Safety")``; where the file has pages,
            the page last, such as ``"page 3"``.
        start: Offset of its first character, the heading itself left out.
        end: Offset after its last character.
    """

    path: tuple[str, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Document:
    """A text that can be cited.

    Attributes:
        id: Unique name within an index, such as ``"PMID:29355075"`` or ``"ct-urography"``.
        text: The whole text; everything cited is a slice of it.
        title: Title, which is not part of ``text``.
        kind: What it is: ``"abstract"``, ``"guideline"``, ``"digest"``, ``"note"`` or ``"text"``.
        sections: Headed stretches in order; text outside them belongs to no heading.
        metadata: JSON values. Known keys: ``year`` (int), ``date`` (ISO 8601, as far as known), ``doi``, ``journal``,
            ``url``, ``source``, ``design``, ``language``, ``publication_types``, ``mesh``, ``retracted`` (bool),
            ``pmid``, ``pmid_version``, ``revised``, ``pmcid``, ``other_abstracts`` (texts), links of PubMed to PMIDs
            such as ``retraction_in`` or ``erratum_for``, and lists of other names that are searched too, or one name
            alone: ``synonyms``, ``order_abbreviations``.
    """

    id: str
    text: str
    title: str = ""
    kind: str = "text"
    sections: tuple[Section, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def retracted(self) -> bool:
        """Whether its field ``retracted`` says so; what cannot be read counts as retracted."""
        return read_retracted(self.metadata.get("retracted")) is not False


def _listed(names: Any) -> Any:
    return (names,) if isinstance(names, str) else names


def read_retracted(value: object) -> bool | None:
    """Return what a field ``retracted`` says: true, yes or 1; or false, no, 0 or nothing; None for all else."""
    return _SAID.get("" if value is None else str(value).strip().lower())


@dataclass(frozen=True, slots=True)
class Passage:
    """A slice of a document, the unit that is searched: ``document.text[start:end] == text``.

    Attributes:
        document_id: The document it is cut from.
        start: Offset of its first character in the document.
        end: Offset after its last character.
        text: The characters themselves.
        path: Headings above it.
        title: Title of the document.
        id: Number given by the index, never reused; -1 before it is in one.
        metadata: The document's metadata; where ``"retracted"`` is among the flags, ``retracted`` is True.
        flags: What was published against the document, or that it is such a notice itself, the gravest first:
            ``"retracted"``, ``"retraction notice"``, ...; see ``Notice``.
    """

    document_id: str
    start: int
    end: int
    text: str
    path: tuple[str, ...] = ()
    title: str = ""
    id: int = -1
    metadata: Mapping[str, Any] = field(default_factory=dict)
    flags: tuple[str, ...] = ()

    @property
    def search_text(self) -> str:
        """What is indexed, a line each: title, other names, headings without title and page, and text."""
        headings = " > ".join(part for part in self.path if part != self.title and not _PAGE.fullmatch(part))
        names = ", ".join(str(name) for key in NAMES for name in _listed(self.metadata.get(key) or ()))
        return "\n".join(part for part in (self.title, names, headings, self.text) if part)


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that a search found.

    Attributes:
        passage: The passage.
        score: Fused score; higher is better, comparable within one query only.
        lexical: BM25 score, or None if BM25 did not return it.
        dense: Cosine similarity, or None if the vectors did not return it.
    """

    passage: Passage
    score: float
    lexical: float | None = None
    dense: float | None = None


@dataclass(frozen=True, slots=True)
class Citation:
    """Characters of a source that back a claim or a label.

    Attributes:
        key: Number shown to the reader, ``[1]``; the same document has the same key within one output.
        document_id: The document cited.
        passage_id: The passage it was found in.
        start: Offset of the quote in the document.
        end: Offset after the quote.
        quote: The exact characters ``document.text[start:end]``, checked against the store.
        title: Title of the document.
        path: Headings above the quote.
        url: Where a reader can open the document, or "".
        year: Year of publication, if known.
        flags: What was published against the document, the gravest first, such as ``"expression of concern"``.
        level: What kind of study it is, such as ``"randomised trial"`` or ``"cohort, inferred"``; "" if not told.
        sample_size: How many it enrolled, as far as its text says; None if it does not.
    """

    key: int
    document_id: str
    passage_id: int
    start: int
    end: int
    quote: str
    title: str = ""
    path: tuple[str, ...] = ()
    url: str = ""
    year: int | None = None
    flags: tuple[str, ...] = ()
    level: str = ""
    sample_size: int | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """What was published about a document after it: a retraction, an expression of concern, a correction.

    Attributes:
        target: The document it concerns: an id such as ``"PMID:29355075"``, or ``"doi:10.1000/x"``; an index
            takes DOIs and PMIDs however they are written, and keeps them so.
        kind: What it does, as it is shown with a citation: ``"retracted"``, ``"partially retracted"``, ``"expression of
            concern"``, ``"corrected"``, ...; an index takes those of ``radrag.corpora.retractions.Flag``, in capitals
            or not.
        source: Where it is published: an id, a DOI or "".
        date: When, as ISO 8601 or "".
    """

    target: str
    kind: str
    source: str = ""
    date: str = ""
