"""Retractions, expressions of concern and corrections: what a record says of itself, and what it says of others.

Links as in PubMed's CommentsCorrections, https://www.nlm.nih.gov/bsd/policy/errata.html; a user's file as Retraction
Watch and Crossref publish it, https://www.crossref.org/documentation/retrieve-metadata/retraction-watch/.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any

from radrag.corpora.article_names import bare_doi, is_doi, split_dois, visible
from radrag.corpora.files import file_bytes
from radrag.corpora.rows import Row, csv_table
from radrag.errors import CorpusError
from radrag.types import Document, Notice, Passage
from radrag.types.documents import read_retracted


class Flag(StrEnum):
    """What became of an article, or that it is itself a notice about others; the most severe first."""

    RETRACTED = "retracted"
    RETRACTION_NOTICE = "retraction notice"
    CONCERN_NOTICE = "notice of concern"
    PARTIALLY_RETRACTED = "partially retracted"
    CONCERN = "expression of concern"
    REPUBLISHED = "corrected and republished"
    CORRECTED = "corrected"
    UPDATED = "updated"


RETRACTED = Flag.RETRACTED.value
# A notice repeats what it withdraws or doubts, in its title and often in its text: it supports nothing of that.
NO_EVIDENCE = frozenset({RETRACTED, Flag.RETRACTION_NOTICE.value, Flag.CONCERN_NOTICE.value})
_SEVERITY = {flag.value: place for place, flag in enumerate(Flag)}

# The publication types "Published Erratum" and "Corrected and Republished Article" mark the notice or the new version,
# never the article concerned.
_OWN_TYPES = {
    "retracted publication": Flag.RETRACTED,
    "retraction of publication": Flag.RETRACTION_NOTICE,
    "retraction notice": Flag.RETRACTION_NOTICE,
    "expression of concern": Flag.CONCERN_NOTICE,
}
_OWN_LINKS = {
    "retraction_in": Flag.RETRACTED,
    "retracted_and_republished_in": Flag.RETRACTED,
    # Not retracted_and_republished_from, the new article, nor expression_of_concern_for, which editorials too may have.
    "retraction_of": Flag.RETRACTION_NOTICE,
    "partial_retraction_of": Flag.RETRACTION_NOTICE,
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
_PUBMED_ID = re.compile(r"0*(\d{0,8}?)(?:\.0)?", re.ASCII)
_NO_NAME = ("", "unavailable")
_BETWEEN_PMIDS = re.compile(r"[;,|\s]+")
_THOUSANDS = re.compile(r"(?<!\d)\d{1,3}(?:[,\s'\u2019]\d{3})+(?!\d)")
_REMEDY = "correct or remove the row, or leave such rows out with `radrag corpora pubmed retractions --skip-damaged`"
_MOST_NAMED = 20
_DATE = re.compile(r"(?:(\d{4})-(\d\d)-(\d\d)|(\d{1,2})/(\d{1,2})/(\d{4}))(?:[ T].*)?")


def by_severity(flags: Iterable[str]) -> tuple[str, ...]:
    """Return each flag once, the most severe first; unknown ones last, by name."""
    return tuple(sorted(set(flags), key=lambda flag: (_SEVERITY.get(flag, len(_SEVERITY)), flag)))


def _listed(value: object) -> list[str]:
    return (
        [str(item) for item in value] if isinstance(value, list | tuple) else [value] if isinstance(value, str) else []
    )


def own_flags(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a document's own record says became of it, or that it is a notice about others, the gravest first.

    Args:
        metadata: Its metadata: ``retracted`` (what cannot be read counts as retracted), ``publication_types``, and
            links such as ``retraction_in`` or ``retraction_of``.
    """
    flags = {flag.value for name, flag in _OWN_LINKS.items() if metadata.get(name)}
    types = (name.strip().lower() for name in _listed(metadata.get("publication_types")))
    flags |= {_OWN_TYPES[name].value for name in types if name in _OWN_TYPES}
    if read_retracted(metadata.get("retracted")) is not False:
        flags.add(RETRACTED)
    return by_severity(flags)


def is_evidence(passage: Passage) -> bool:
    """Return whether a passage may support anything.

    Not if its document is retracted, or a notice that withdraws or doubts others: by what was published against it,
    or by its own record.
    """
    return NO_EVIDENCE.isdisjoint((*passage.flags, *own_flags(passage.metadata)))


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


def _rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a CSV file, UTF-8 or, where it is not that, Latin-1."""
    data = file_bytes(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    header, records = csv_table(path, io.StringIO(text, newline=""))
    names = {name.strip(): name for name in header}
    missing = [name for name in _COLUMNS if name not in names]
    if missing:
        message = f"the columns {', '.join(missing)} are missing, got {header}; expected Retraction Watch's CSV"
        raise CorpusError(message, file=path)
    for row in records:
        yield Row(path, row.line, {name: row.values[names[name]] for name in _COLUMNS})


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
        raise ValueError(f"expected a PubMed id, a number of at most 8 digits, got {text!r}")
    return found[1]


def _doi(text: str) -> str:
    """Return a DOI as ``bare_doi`` does; "" for none, which the file leaves empty or writes as "unavailable".

    Raises:
        ValueError: If it is not one.
    """
    if text.lower() in _NO_NAME:
        return ""
    doi = bare_doi(text)
    if not is_doi(doi):
        raise ValueError(f"expected a DOI like 10.1000/182, a link to one, or 'unavailable', got {text!r}")
    return doi


def _pmids_in(field: str) -> list[str]:
    """Cut a field that may hold several PubMed ids; not one that may be a single number cut into thousands."""
    field = re.sub(r"(?i)PMID:?\s*", "", visible(field)).strip()
    return [field] if _THOUSANDS.search(field) else _BETWEEN_PMIDS.split(field)


def _names(row: Row, article: str, unread: list[tuple[str, str]]) -> list[str]:
    """Return the ids of "OriginalPaper" or "Retraction"; ``unread`` takes field and error of what cannot be read."""
    names: dict[str, None] = {}
    for ending, kind, cut, read in (("PubMedID", "PMID:", _pmids_in, _pmid), ("DOI", "doi:", split_dois, _doi)):
        field = f"{article}{ending}"
        for part in cut(row.values[field]):
            try:
                name = read(part)
            except ValueError as error:
                unread.append((field, str(error)))
            else:
                names |= {f"{kind}{name}": None} if name else {}
    return list(names)


def _same(target: str, targets: Sequence[str]) -> Sequence[str]:
    """Return the names of one article; in a row of several articles nothing tells which PMID has which DOI."""
    kinds = [name.partition(":")[0] for name in targets]
    return targets if len(set(kinds)) == len(kinds) else [target]


def _error(row: Row, field: str, message: str) -> CorpusError:
    record = f"{row.line} (Record ID {row.values['Record ID'].strip()})"
    return CorpusError(message, file=row.file, record=record, field=field)


def _entry(row: Row, unread: list[CorpusError]) -> tuple[Flag | None, str, str, dict[str, Sequence[str]]]:
    """Return what a row says: kind of notice, date, source, and the names of its articles with those of the same one.

    Raises:
        CorpusError: If its nature or date cannot be read, or none of the names that it gives of its articles.
    """
    field = "RetractionNature"
    try:
        nature = row.values[field].strip().lower()
        if nature not in _NATURES:
            raise ValueError(f"expected one of {', '.join(_NATURES)}, got {row.values[field]!r}")
        field = "RetractionDate"
        when = _iso(row.values[field].strip())
    except ValueError as error:
        raise _error(row, field, f"{error}; {_REMEDY}") from error
    missed: list[tuple[str, str]] = []
    targets = _names(row, "OriginalPaper", missed)
    if missed and not targets:
        raise _error(row, missed[0][0], f"{missed[0][1]}; {_REMEDY}")
    articles = {target: [target] if missed else _same(target, targets) for target in targets}
    source = [f"Retraction Watch record {row.values['Record ID'].strip()}", *_names(row, "Retraction", missed)][-1]
    unread += [_error(row, field, f"{message}; the row was taken without this name") for field, message in missed]
    return _NATURES[nature], when, source, articles


def _refusal(path: Path, refused: Sequence[CorpusError]) -> CorpusError:
    """Return one error for all rows that cannot be read."""
    if len(refused) == 1:
        return refused[0]
    named = ", ".join(str(error.record) for error in refused[:_MOST_NAMED])
    more = f" and {len(refused) - _MOST_NAMED} more" * (len(refused) > _MOST_NAMED)
    return CorpusError(f"{len(refused)} rows cannot be read, {named}{more}; of the first: {refused[0]}", file=path)


def read_retraction_watch(
    path: str | Path, damaged: list[CorpusError] | None = None, unread: list[CorpusError] | None = None
) -> Iterator[Notice]:
    """Read the notices of a CSV file in Retraction Watch's format, gzipped or not.

    An article with a PubMed id and a DOI comes twice, as ``"PMID:..."`` and as ``"doi:..."`` in lower case, so that it
    is found however it is stored; a row may name several articles. A name may be missing or "unavailable", and a DOI
    written as a link. Characters that print nothing, and full stops at the end of a DOI, are taken away; a number cut
    into thousands is not read. A row is taken by those of its names that can be read. A reinstatement lifts the
    retractions of that article that are not later than it; it lifts nothing where either date is unknown, and never a
    correction or an expression of concern.

    Args:
        path: A file with the columns that Crossref distributes, in UTF-8 or Latin-1.
        damaged: Takes the error of each row whose nature or date, or all of whose names, cannot be read, and such rows
            are left out; without it, they are refused.
        unread: Takes the error of each name that cannot be read in a row that is taken without it.

    Yields:
        Notices in the order of the file, each once.

    Raises:
        CorpusError: If a column is missing, a quote is stray, a row has more or fewer cells than the header, or rows
            cannot be read.
    """
    path = Path(path)
    notices: dict[Notice, Sequence[str]] = {}
    reinstated: dict[str, str] = {}
    refused, missed = [], [] if unread is None else unread
    for row in _rows(path):
        try:
            flag, when, source, articles = _entry(row, missed)
        except CorpusError as error:
            refused.append(error)
            continue
        for target, same in articles.items():
            if flag is None:
                reinstated[target] = max(when, reinstated.get(target, ""))
            else:
                notices[Notice(target, flag.value, source, when)] = same
    if refused and damaged is None:
        raise _refusal(path, refused)
    if damaged is not None:
        damaged += refused
    for notice, same in notices.items():
        later = max(reinstated.get(name, "") for name in same)
        if not (notice.kind == RETRACTED and notice.date and notice.date <= later):
            yield notice
