"""Retractions, expressions of concern and corrections: what a record says of itself, and what it says of others.

Links as in PubMed's CommentsCorrections, https://www.nlm.nih.gov/bsd/policy/errata.html; a user's file as Retraction
Watch and Crossref publish it, https://www.crossref.org/documentation/retrieve-metadata/retraction-watch/.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from radrag.corpora.files import file_bytes
from radrag.errors import CorpusError
from radrag.types import Document, Notice, Passage
from radrag.types.documents import read_retracted


class Flag(StrEnum):
    """What became of an article, the most severe first."""

    RETRACTED = "retracted"
    PARTIALLY_RETRACTED = "partially retracted"
    CONCERN = "expression of concern"
    REPUBLISHED = "corrected and republished"
    CORRECTED = "corrected"
    UPDATED = "updated"


RETRACTED = Flag.RETRACTED.value
_SEVERITY = {flag.value: place for place, flag in enumerate(Flag)}

# The publication types "Retraction of Publication", "Expression of Concern", "Published Erratum" and "Corrected and
# Republished Article" mark the notice or the new version, never the article concerned.
_OWN_TYPE = "Retracted Publication"
_OWN_LINKS = {
    "retraction_in": Flag.RETRACTED,
    "retracted_and_republished_in": Flag.RETRACTED,
    "partial_retraction_in": Flag.PARTIALLY_RETRACTED,
    "expression_of_concern_in": Flag.CONCERN,
    "corrected_and_republished_in": Flag.REPUBLISHED,
    "erratum_in": Flag.CORRECTED,
    "update_in": Flag.UPDATED,
}
_LINKS_TO_OTHERS = {
    "retraction_of": Flag.RETRACTED,
    "retracted_and_republished_from": Flag.RETRACTED,
    "partial_retraction_of": Flag.PARTIALLY_RETRACTED,
    "expression_of_concern_for": Flag.CONCERN,
    "corrected_and_republished_from": Flag.REPUBLISHED,
    "erratum_for": Flag.CORRECTED,
    "update_of": Flag.UPDATED,
}
_NATURES = {
    "retraction": Flag.RETRACTED,
    "expression of concern": Flag.CONCERN,
    "correction": Flag.CORRECTED,
    "reinstatement": None,
}
_COLUMNS = (
    *("Record ID", "RetractionDate", "RetractionDOI", "RetractionPubMedID"),
    *("OriginalPaperDOI", "OriginalPaperPubMedID", "RetractionNature"),
)
_PUBMED_ID = re.compile(r"0*(\d*?)(?:\.0)?")
_DOI_PREFIX = r"(?:(?:https?://)?(?:[a-z\d-]+\.)*doi\.org/|doi(?::|\s)\s*)"
_DOI_PREFIXES = re.compile(rf"{_DOI_PREFIX}+", re.IGNORECASE)
_DOI = re.compile(r"10\.\d[\d.]*/\S+")
# A DOI may hold semicolons and commas itself; what separates two is followed by another DOI.
_BETWEEN_DOIS = re.compile(rf"[;,|&\s]+(?:and\s+)?(?={_DOI_PREFIX}*10\.\d[\d.]*(?:/|%2F))", re.IGNORECASE)
_NO_NAME = ("", "unavailable")
_BETWEEN_PMIDS = re.compile(r"[;,|\s]+")
_DATE = re.compile(r"(?:(\d{4})-(\d\d)-(\d\d)|(\d{1,2})/(\d{1,2})/(\d{4}))(?:[ T].*)?")


def by_severity(flags: Iterable[str]) -> tuple[str, ...]:
    """Return each flag once, the most severe first; unknown ones last, by name."""
    return tuple(sorted(set(flags), key=lambda flag: (_SEVERITY.get(flag, len(_SEVERITY)), flag)))


def bare_doi(text: str) -> str:
    """Return a DOI as all are compared, in lower case; a link or what begins with ``doi:`` is read as the DOI in it."""
    text = text.strip()
    found = _DOI_PREFIXES.match(text)
    return (unquote(text[found.end() :]) if found else text).strip().lower()


def _listed(value: object) -> list[str]:
    return (
        [str(item) for item in value] if isinstance(value, list | tuple) else [value] if isinstance(value, str) else []
    )


def own_flags(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a document's own record says became of it, the most severe first.

    Args:
        metadata: Its metadata: ``retracted`` (what cannot be read counts as retracted), ``publication_types``, and
            links such as ``retraction_in``.
    """
    flags = {flag.value for name, flag in _OWN_LINKS.items() if metadata.get(name)}
    said = read_retracted(metadata.get("retracted"))
    if said or said is None or _OWN_TYPE in _listed(metadata.get("publication_types")):
        flags.add(RETRACTED)
    return by_severity(flags)


def is_retracted(passage: Passage) -> bool:
    """Return whether a passage's document is retracted: by what was published against it, or by its own record."""
    return RETRACTED in passage.flags or RETRACTED in own_flags(passage.metadata)


def notices_of(document: Document) -> tuple[Notice, ...]:
    """Return what a document says about others, such as a retraction notice about the article it retracts.

    Links without a PMID name nothing that could be found, and are left out.
    """
    metadata = document.metadata
    when = str(metadata.get("date") or metadata.get("year") or "")
    found = {
        Notice(f"PMID:{target}", flag.value, document.id, when): None
        for name, flag in _LINKS_TO_OTHERS.items()
        for target in _listed(metadata.get(name))
        if target.isascii() and target.isdigit() and f"PMID:{target}" != document.id
    }
    return tuple(found)


def _rows(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the rows of a CSV file with the name of each; UTF-8 or, where it is not that, Latin-1."""
    data = file_bytes(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    reader = csv.DictReader(io.StringIO(text, newline=""), restval="")
    try:
        names = [(name or "").strip() for name in reader.fieldnames or ()]
        reader.fieldnames = names
        missing = [name for name in _COLUMNS if name not in names]
        if missing:
            message = f"the columns {', '.join(missing)} are missing, got {names}; expected Retraction Watch's CSV"
            raise CorpusError(message, file=path)
        for row in reader:
            yield f"{reader.line_num} (Record ID {row['Record ID']})", row
    except csv.Error as error:
        raise CorpusError(f"not a CSV file: {error}; export it again", file=path, record=reader.line_num) from error


def _iso(text: str) -> str:
    """Return a date as ISO; "" for no date.

    Raises:
        ValueError: If it is neither like 2016-08-09 nor like 8/9/2016 (month first), with or without a time.
    """
    if not text:
        return ""
    found = _DATE.fullmatch(text)
    if found is None:
        raise ValueError(f"expected a date like 2016-08-09 or 8/9/2016 (month/day/year), got {text!r}")
    parts = [found[1], found[2], found[3]] if found[1] else [found[6], found[4], found[5]]
    return date(*map(int, parts)).isoformat()


def _pmid(text: str) -> str:
    """Return the digits of a PubMed id; "" for none, which the file writes as 0 or "unavailable".

    Raises:
        ValueError: If it is not a number.
    """
    if text.lower() in _NO_NAME:
        return ""
    found = _PUBMED_ID.fullmatch(text)
    if found is None:
        raise ValueError(f"expected a PubMed id, a number, got {text!r}")
    return found[1]


def _doi(text: str) -> str:
    """Return a DOI as ``bare_doi`` does; "" for none, which the file leaves empty or writes as "unavailable".

    Raises:
        ValueError: If it is not one.
    """
    text = text.strip(" ;,|")
    if text.lower() in _NO_NAME:
        return ""
    doi = bare_doi(text)
    if _DOI.fullmatch(doi) is None:
        raise ValueError(f"expected a DOI like 10.1000/182, a link to one, or 'unavailable', got {text!r}")
    return doi


def _pmid_names(field: str) -> list[str]:
    """Return the ids of articles by PMID; a field may hold several."""
    pmids = map(_pmid, _BETWEEN_PMIDS.split(re.sub(r"(?i)PMID:?\s*", "", field.strip())))
    return list(dict.fromkeys(f"PMID:{pmid}" for pmid in pmids if pmid))


def _doi_names(field: str) -> list[str]:
    """Return the ids of articles by DOI; a field may hold several."""
    dois = map(_doi, _BETWEEN_DOIS.split(re.sub(r"(?i)\bdoi(?::|\s)\s*", "doi:", field)))
    return list(dict.fromkeys(f"doi:{doi}" for doi in dois if doi))


def _same(target: str, targets: Sequence[str]) -> Sequence[str]:
    """Return the names of one article; in a row of several articles nothing tells which PMID has which DOI."""
    kinds = [name.partition(":")[0] for name in targets]
    return targets if len(set(kinds)) == len(kinds) else [target]


def read_retraction_watch(path: str | Path) -> Iterator[Notice]:
    """Read the notices of a CSV file in Retraction Watch's format, gzipped or not.

    An article with a PubMed id and a DOI comes twice, as ``"PMID:..."`` and as ``"doi:..."`` in lower case, so that it
    is found however it is stored; a row may name several articles. A name may be missing or "unavailable", and a DOI
    written as a link. A reinstatement lifts the retractions of that article that are not later than it; it lifts
    nothing where either date is unknown, and never a correction or an expression of concern.

    Args:
        path: A file with the columns that Crossref distributes, in UTF-8 or Latin-1.

    Yields:
        Notices in the order of the file, each once.

    Raises:
        CorpusError: If a column is missing, or a nature, a date, a PubMed id or a DOI cannot be read.
    """
    path = Path(path)
    notices: dict[Notice, Sequence[str]] = {}
    reinstated: dict[str, str] = {}
    for record, row in _rows(path):
        field = "RetractionNature"
        try:
            nature = row[field].strip().lower()
            if nature not in _NATURES:
                raise ValueError(f"expected one of {', '.join(_NATURES)}, got {row[field]!r}")
            field = "RetractionDate"
            when = _iso(row[field].strip())
            field = "OriginalPaperPubMedID"
            targets = _pmid_names(row[field])
            field = "OriginalPaperDOI"
            targets += _doi_names(row[field])
            field = "RetractionPubMedID"
            names = [f"Retraction Watch record {row['Record ID'].strip()}", *_pmid_names(row[field])]
            field = "RetractionDOI"
            names += _doi_names(row[field])
        except ValueError as error:
            raise CorpusError(f"{error}; correct or remove the row", file=path, record=record, field=field) from error
        flag = _NATURES[nature]
        for target in targets:
            if flag is None:
                reinstated[target] = max(when, reinstated.get(target, ""))
            else:
                notices[Notice(target, flag.value, names[-1], when)] = _same(target, targets)
    for notice, same in notices.items():
        later = max(reinstated.get(name, "") for name in same)
        if not (notice.kind == RETRACTED and notice.date and notice.date <= later):
            yield notice
