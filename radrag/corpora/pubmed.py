"""PubMed XML as the National Library of Medicine publishes it: baseline files, update files and E-utilities output.

Files are read article by article, in memory that does not grow with the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from radrag.corpora.files import GZIP_ERRORS, open_bytes
from radrag.corpora.pubmed_article import DamagedRecordError, article_document, book_document, pmid_of, version_of
from radrag.errors import CorpusError
from radrag.types import Document

_ROOTS = ("PubmedArticleSet", "PubmedBookArticleSet")
_RECORDS: dict[str, Callable[[Element], Document]] = {
    "PubmedArticle": article_document,
    "PubmedBookArticle": book_document,
}


def _checked_root(root: Element, path: Path) -> Element:
    if root.tag not in _ROOTS:
        raise CorpusError(f"the root is <{root.tag}>, expected <{_ROOTS[0]}>; is this PubMed XML?", file=path)
    return root


def _elements(path: Path) -> Iterator[tuple[int, Element]]:
    """Yield the children of the root with their 1-based number; each is freed when the next is asked for."""
    number, depth = 0, 0
    root: Element | None = None
    with open_bytes(path) as file:
        try:
            for event, element in iterparse(file, events=("start", "end"), forbid_entities=True):
                depth += 1 if event == "start" else -1
                if root is None:
                    root = _checked_root(element, path)
                elif event == "end" and depth == 1:
                    number += 1
                    yield number, element
                    root.clear()
        except GZIP_ERRORS as error:
            message = f"the gzip data is cut off or damaged at this record ({error}); fetch the file again"
            raise CorpusError(message, file=path, record=number + 1) from error
        except DefusedXmlException as error:
            message = f"declares XML entities, which PubMed files never do ({error}); do not trust this file"
            raise CorpusError(message, file=path) from error
        except CorpusError:
            raise
        except (ParseError, LookupError, ValueError) as error:
            message = f"not well-formed XML at this record: {error}; fetch the file again"
            raise CorpusError(message, file=path, record=number + 1) from error


def _deletion(element: Element) -> Document:
    pmid = pmid_of(element)
    version = {"pmid_version": version_of(element)} if element.get("Version") is not None else {}
    return Document(id=f"PMID:{pmid}", text="", kind="deletion", metadata={"pmid": pmid, "deleted": True, **version})


def _record(element: Element) -> Document:
    if element.tag in _RECORDS:
        return _RECORDS[element.tag](element)
    raise DamagedRecordError(f"expected {', '.join(_RECORDS)} or DeleteCitation, got <{element.tag}>", element.tag)


def _readings(element: Element) -> Iterator[Callable[[], Document]]:
    """Yield what reads each document of an element, so that one that is damaged is refused by itself."""
    if element.tag == "DeleteCitation":
        yield from (partial(_deletion, pmid) for pmid in element.iterfind("PMID"))
    else:
        yield partial(_record, element)


def read_pubmed(
    path: str | Path, deletions: bool = False, damaged: list[CorpusError] | None = None
) -> Iterator[Document]:
    """Read the articles of a PubMed XML file, gzipped or not.

    A document's text is the abstract, a paragraph for each part; the labels of a structured abstract are the paths of
    its sections. An article without an abstract of its own has the first other abstract in English; without that its
    text is the title and ``metadata["has_abstract"]`` is false. Abstracts in other languages are in the metadata. An
    article that the file holds in several versions comes several times, in the order of the file.

    Args:
        path: A file whose root is ``PubmedArticleSet``.
        deletions: Whether to yield, in place, a document of kind ``"deletion"`` with no text for every PMID that an
            update file deletes, with the ``pmid_version`` if only that version goes. ``read_deletions`` gives the PMIDs
            alone.
        damaged: Takes the error of each record that lacks what every record has, and of each PMID to delete that is
            no number, and reading goes on; without it, the first such error is raised.

    Yields:
        Documents with ids like ``"PMID:29355075"``. Their metadata leaves out what the record does not have.

    Raises:
        CorpusError: If the file is cut off, is not well-formed, declares entities, or a record has no PMID.
    """
    path = Path(path)
    for number, element in _elements(path):
        for read in _readings(element):
            try:
                document = read()
            except DamagedRecordError as error:
                _refuse(CorpusError(str(error), file=path, record=number, field=error.field), damaged)
            except RecursionError:
                message = "elements are nested deeper than any text needs; do not trust this record"
                _refuse(CorpusError(message, file=path, record=number), damaged)
            else:
                if deletions or document.kind != "deletion":
                    yield document


def _refuse(error: CorpusError, damaged: list[CorpusError] | None) -> None:
    if damaged is None:
        raise error
    damaged.append(error)


def read_deletions(path: str | Path) -> Iterator[str]:
    """Read the PMIDs that a PubMed update file deletes.

    Args:
        path: A file whose root is ``PubmedArticleSet``, gzipped or not.

    Yields:
        PMIDs such as ``"29355075"``, in the order of the file.

    Raises:
        CorpusError: If the file cannot be read, or a PMID is not a number.
    """
    for document in read_pubmed(path, deletions=True):
        if document.kind == "deletion":
            yield document.metadata["pmid"]
