"""One PubMed record as a document: ``PubmedArticle`` and ``PubmedBookArticle``.

Elements and attributes as in the PubMed DTD, https://dtd.nlm.nih.gov/ncbi/pubmed/doc/out/250101/index.html.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from radrag.corpora.pubmed_dates import stated_date
from radrag.corpora.pubmed_text import flat
from radrag.corpora.retractions import RETRACTED, own_flags
from radrag.types import Document, Section

_HISTORY = ("epublish", "ppublish", "pubmed", "medline", "entrez")
_NO_TITLE = frozenset({"", "[Not Available].", "[Not Available]", "[In Process Citation]"})
_NO_LABEL = frozenset({"", "NONE", "UNASSIGNED", "UNLABELLED", "UNLABELED"})
_LINKS = {
    "RetractionOf": "retraction_of",
    "RetractionIn": "retraction_in",
    "PartialRetractionIn": "partial_retraction_in",
    "PartialRetractionOf": "partial_retraction_of",
    "RetractedandRepublishedIn": "retracted_and_republished_in",
    "RetractedandRepublishedFrom": "retracted_and_republished_from",
    "ExpressionOfConcernIn": "expression_of_concern_in",
    "ExpressionOfConcernFor": "expression_of_concern_for",
    "ErratumIn": "erratum_in",
    "ErratumFor": "erratum_for",
    "CorrectedandRepublishedIn": "corrected_and_republished_in",
    "CorrectedandRepublishedFrom": "corrected_and_republished_from",
    "RepublishedIn": "republished_in",
    "RepublishedFrom": "republished_from",
    "UpdateIn": "update_in",
    "UpdateOf": "update_of",
}


class DamagedRecordError(Exception):
    """A record lacks what every PubMed record has; the reader adds the file and the record."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(f"{message}; the record is damaged")
        self.field = field


def _texts(element: Element, path: str) -> list[str]:
    return [text for text in map(flat, element.iterfind(path)) if text]


def pmid_of(element: Element | None) -> str:
    """Return the number in a PMID element.

    Raises:
        DamagedRecordError: If there is no such element, or it holds no number.
    """
    text = flat(element)
    if not (text.isascii() and text.isdigit()):
        raise DamagedRecordError(f"expected a PMID, a number, got {text!r}", "PMID")
    return text


def _first_text(elements: Iterable[Element]) -> str:
    return next(filter(None, map(flat, elements)), "")


def _history(record: Element) -> Iterator[Element]:
    """Yield the dates on which PubMed received a record: what is left where the journal states none."""
    for status in _HISTORY:
        yield from record.iterfind(f"PubmedData/History/PubMedPubDate[@PubStatus='{status}']")


def _doi(record: Element, article: Element) -> str:
    """Return the DOI of the record itself, never one of its references."""
    located = [e for e in article.iterfind("ELocationID[@EIdType='doi']") if e.get("ValidYN", "Y") == "Y"]
    listed = record.iterfind("PubmedData/ArticleIdList/ArticleId[@IdType='doi']")
    return _first_text([*located, *listed])


def _links(citation: Element) -> dict[str, list[str]]:
    """Return PMIDs, or where there is none the source in words, by kind of link."""
    links: dict[str, list[str]] = {}
    for link in citation.iterfind("CommentsCorrectionsList/CommentsCorrections"):
        name = _LINKS.get(link.get("RefType", ""))
        target = flat(link.find("PMID")) or flat(link.find("RefSource"))
        if name is not None:
            links.setdefault(name, []).append(target)
    return links


def _abstract(abstract: Element | None) -> tuple[str, tuple[Section, ...]]:
    """Return the parts of an abstract as paragraphs, and a section for each that has a label."""
    paragraphs: list[str] = []
    sections: list[Section] = []
    at = 0
    for part in [] if abstract is None else abstract.iterfind("AbstractText"):
        text = flat(part)
        if not text:
            continue
        label = " ".join(part.get("Label", "").split())
        if label.upper() not in _NO_LABEL:
            sections.append(Section((label,), at, at + len(text)))
        paragraphs.append(text)
        at += len(text) + 2
    return "\n\n".join(paragraphs), tuple(sections)


def _main_abstract(own: Element | None, others: Sequence[Element]) -> Element | None:
    """Return the abstract of the record; if it has none, the first other abstract in English."""
    if own is not None and _abstract(own)[0]:
        return own
    english = (other for other in others if other.get("Language", "eng") == "eng" and _abstract(other)[0])
    return next(english, None)


def _other_abstracts(others: Iterable[Element], main: Element | None) -> dict[str, list[str]]:
    """Return the abstracts that are not the text, and the language of each, in the same order."""
    kept = [(other.get("Language", "eng"), _abstract(other)[0]) for other in others if other is not main]
    kept = [(language, text) for language, text in kept if text]
    return {
        "other_abstracts": [text for _, text in kept],
        "other_abstract_languages": [language for language, _ in kept],
    }


def _document(pmid: str, title: str, abstract: Element | None, date: str, metadata: dict[str, Any]) -> Document:
    """Put a record together; values that are empty are left out of the metadata."""
    text, sections = _abstract(abstract)
    vernacular = metadata.get("vernacular_title", "")
    title = vernacular or title if title in _NO_TITLE else title
    always = {"pmid": pmid, "retracted": RETRACTED in own_flags(metadata), "has_abstract": bool(text)}
    dated = {"year": int(date[:4]), "date": date} if date else {}
    known = {name: value for name, value in metadata.items() if value not in (None, "", 0, [])}
    return Document(
        id=f"PMID:{pmid}",
        text=text or title,
        title=title,
        kind="abstract",
        sections=sections,
        metadata={**always, **dated, **known, "url": f"https://pubmed.ncbi.nlm.nih.gov/{pmid}/"},
    )


def version_of(pmid: Element | None) -> int:
    """Return the version that a PMID element states, 1 if it states none.

    Raises:
        DamagedRecordError: If it is no number.
    """
    version = "1" if pmid is None else pmid.get("Version", "1")
    if not (version.isascii() and version.isdigit()):
        raise DamagedRecordError(f"expected a whole number, got {version!r}", "PMID Version")
    return int(version)


def _day(date: Element | None) -> str:
    """Return a date as YYYY-MM-DD; "" if it does not state a day."""
    stated = stated_date([date])
    return stated if len(stated) == len("YYYY-MM-DD") else ""


def _need(element: Element, path: str) -> Element:
    child = element.find(path)
    if child is None:
        raise DamagedRecordError(f"<{element.tag}> has no <{path}>", path)
    return child


def article_document(record: Element) -> Document:
    """Return the document of a ``PubmedArticle``.

    Raises:
        DamagedRecordError: If it has no PMID or no article.
    """
    citation = _need(record, "MedlineCitation")
    pmid = pmid_of(citation.find("PMID"))
    article = _need(citation, "Article")
    others = citation.findall("OtherAbstract")
    abstract = _main_abstract(article.find("Abstract"), others)
    dates = (article.find("Journal/JournalIssue/PubDate"), article.find("ArticleDate"), *_history(record))
    metadata = {
        "pmid_version": version_of(citation.find("PMID")),
        "revised": _day(citation.find("DateRevised")),
        "journal": flat(article.find("Journal/Title")) or flat(article.find("Journal/ISOAbbreviation")),
        "journal_abbreviation": flat(article.find("Journal/ISOAbbreviation")),
        "doi": _doi(record, article),
        "pmcid": _first_text(record.iterfind("PubmedData/ArticleIdList/ArticleId[@IdType='pmc']")),
        "language": _texts(article, "Language"),
        "vernacular_title": flat(article.find("VernacularTitle")),
        "publication_types": _texts(article, "PublicationTypeList/PublicationType"),
        "mesh": _texts(citation, "MeshHeadingList/MeshHeading/DescriptorName"),
        "copyright": "" if abstract is None else flat(abstract.find("CopyrightInformation")),
        **_other_abstracts(others, abstract),
        **_links(citation),
    }
    return _document(pmid, flat(article.find("ArticleTitle")), abstract, stated_date(dates), metadata)


def book_document(record: Element) -> Document:
    """Return the document of a ``PubmedBookArticle``: a chapter of the NCBI Bookshelf, or a whole book.

    Raises:
        DamagedRecordError: If it has no PMID.
    """
    book = _need(record, "BookDocument")
    pmid = pmid_of(book.find("PMID"))
    metadata = {
        "pmid_version": version_of(book.find("PMID")),
        "revised": _day(book.find("DateRevised")),
        "book": flat(book.find("Book/BookTitle")),
        "doi": _first_text(book.iterfind("ArticleIdList/ArticleId[@IdType='doi']")),
        "language": _texts(book, "Language"),
        "vernacular_title": flat(book.find("VernacularTitle")),
        "publication_types": _texts(book, "PublicationType"),
        "copyright": flat(book.find("Abstract/CopyrightInformation")),
    }
    title = flat(book.find("ArticleTitle")) or flat(book.find("Book/BookTitle"))
    date = stated_date((book.find("Book/PubDate"), book.find("ContributionDate")))
    return _document(pmid, title, book.find("Abstract"), date, metadata)
