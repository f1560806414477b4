"""Searching PubMed and fetching records through NCBI's E-utilities.

As https://www.ncbi.nlm.nih.gov/books/NBK25499/ describes ESearch and EFetch. Without an API key NCBI allows three
requests a second, with one ten. A search of PubMed returns at most 9,999 records; longer ones are cut by entry date.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from itertools import islice
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from radrag.corpora.web import ShortReadError, Web, request_for
from radrag.errors import CorpusError

EUTILS = "https://eutils.ncbi.nlm.nih.gov/entrez/eutils/"
_MOST = 9999
_BATCH = 200
_FRESH = 86_400.0
_LOOKED_AT = 1000
_FIRST_DAY, _LAST_DAY = date(1700, 1, 1).toordinal(), date(2199, 12, 31).toordinal()
_PASSING = re.compile(
    r"backend|exception|temporar|unavailable|time[d-]* ?out|too many|rate limit|overload", re.IGNORECASE
)
_OPENING = re.compile(rb"<PubmedArticleSet\s*>")
_CLOSING = b"</PubmedArticleSet>"
_KEPT = re.compile(r"[0-9a-f]{32}\.(?:xml|part)")
_WARNINGS = ("ErrorList/*", "WarningList/*")


class Sort(StrEnum):
    """Which records come first."""

    RELEVANCE = "relevance"
    NEWEST = "pub_date"


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found.

    Attributes:
        count: How many records PubMed has for the query.
        pmids: The PMIDs returned, the best or newest first.
        translation: How PubMed read the query.
        warnings: What it could not use of it, such as ``"PhraseNotFound: fo"``.
    """

    count: int
    pmids: tuple[str, ...]
    translation: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Saved:
    """What was fetched.

    Attributes:
        records: How many records the file holds.
        missing: PMIDs asked for that did not come.
    """

    records: int
    missing: tuple[str, ...]


class Eutils:
    """NCBI's E-utilities for PubMed.

    Args:
        api_key: A key of the user's NCBI account; it is sent in the body of requests and left out of messages.
        email: The user's address, which lets NCBI write before it blocks anyone.
        url: The folder of ``esearch.fcgi``.
        web: How to ask; by default as fast as NCBI allows.
    """

    def __init__(
        self, api_key: str | None = None, email: str | None = None, url: str = EUTILS, web: Web | None = None
    ) -> None:
        self._url = url.rstrip("/") + "/"
        self._web = web or Web(interval=0.11 if api_key else 0.34, hidden=api_key or "")
        named = {"tool": "radrag", "email": email, "api_key": api_key}
        self._always = {"db": "pubmed", **{name: value for name, value in named.items() if value}}
        request_for(self._url)

    def search(self, query: str, most: int = 100, sort: Sort | str = Sort.RELEVANCE) -> Found:
        """Search PubMed.

        Args:
            query: A query as PubMed's own search box takes it.
            most: Most PMIDs. Beyond 9,999 the newest by entry date come first, whatever ``sort`` says.
            sort: Which come first.

        Raises:
            CorpusError: If NCBI refuses the query, or more than 9,999 of the records wanted were entered in one day.
        """
        if not query.strip():
            raise ValueError(f"a query must be text that is not blank, got {query!r}")
        if most < 1:
            raise ValueError(f"most must be at least 1, got {most}")
        found = self._search({"term": query, "retmax": str(min(most, _MOST)), "sort": Sort(sort).value})
        if most > _MOST and found.count > _MOST:
            newest = self._newest(query, most)
            warnings = tuple(dict.fromkeys([*found.warnings, *newest.warnings]))
            if len(newest.pmids) < (wanted := min(most, found.count)):
                warnings += (f"{len(newest.pmids)} of {wanted} records have a day of entry; the others are left out",)
            return Found(found.count, newest.pmids, found.translation, warnings)
        return Found(found.count, found.pmids[:most], found.translation, found.warnings)

    def save(self, pmids: Sequence[str], path: str | Path) -> Saved:
        """Fetch records and write them as one file of PubMed XML, which appears when it is whole.

        Interrupted, it leaves what came in a folder beside the file; asked for the same again within a day, it goes on
        from there.

        Raises:
            CorpusError: If NCBI refuses, or what it sends is not PubMed XML.
        """
        path = Path(path)
        part, batches = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.batches")
        batches.mkdir(exist_ok=True)
        got: list[str] = []
        with part.open("wb") as file:
            file.write(b'<?xml version="1.0" encoding="UTF-8"?>\n<PubmedArticleSet>\n')
            for start in range(0, len(pmids), _BATCH):
                records, inside = self._batch(pmids[start : start + _BATCH], batches)
                got += records
                file.write(inside.strip() + b"\n")
            file.write(_CLOSING + b"\n")
        os.replace(part, path)
        _clear(batches)
        came = set(got)
        return Saved(len(got), tuple(pmid for pmid in pmids if pmid not in came))

    def _search(self, parameters: dict[str, str]) -> Found:
        root, _ = self._ask("esearch.fcgi", {**parameters, "retmode": "xml"}, "eSearchResult")
        count = root.findtext("Count", "")
        if not count.isdigit():
            raise CorpusError(f"{self._url}esearch.fcgi: expected a number in <Count>, got {count!r}; try again later")
        pmids = tuple((e.text or "").strip() for e in root.iterfind("IdList/Id"))
        warnings = [f"{e.tag}: {e.text}" for path in _WARNINGS for e in root.iterfind(path) if e.text]
        wanted = min(int(count), int(parameters["retmax"]))
        if len(pmids) < wanted:
            warnings.append(f"{len(pmids)} of {wanted} identifiers came; search again to have the others")
        return Found(int(count), pmids, root.findtext("QueryTranslation", ""), tuple(warnings))

    def _by_day(self, query: str, low: int, high: int) -> Iterator[Found]:
        """Yield what was entered between two days, the later days first, by halving what is too many."""
        days = {"mindate": f"{date.fromordinal(low):%Y/%m/%d}", "maxdate": f"{date.fromordinal(high):%Y/%m/%d}"}
        found = self._search({"term": query, "retmax": str(_MOST), "datetype": "edat", **days})
        if found.count <= _MOST:
            yield found
        elif low == high:
            raise CorpusError(
                f"{found.count} records were entered on {days['mindate']} alone, and a search returns at most {_MOST};"
                " narrow the query, or take PubMed's files (pubmed sync)"
            )
        else:
            middle = (low + high) // 2
            yield from self._by_day(query, middle + 1, high)
            yield from self._by_day(query, low, middle)

    def _newest(self, query: str, most: int) -> Found:
        """Return PMIDs by the day they were entered, the later days first, and what PubMed warned of."""
        pmids: dict[str, None] = {}
        warnings: dict[str, None] = {}
        for found in self._by_day(query, _FIRST_DAY, _LAST_DAY):
            pmids |= dict.fromkeys(found.pmids)
            warnings |= dict.fromkeys(found.warnings if found.count else ())
            if len(pmids) >= most:
                break
        return Found(len(pmids), tuple(islice(pmids, most)), warnings=tuple(warnings))

    def _batch(self, pmids: Sequence[str], folder: Path) -> tuple[list[str], bytes]:
        """Return the PMIDs of the records that came and the XML of them; what came is kept in a folder."""
        asked = ",".join(pmids)
        kept = folder / f"{hashlib.sha256(asked.encode()).hexdigest()[:32]}.xml"
        if kept.is_file() and time.time() - kept.stat().st_mtime < _FRESH:
            try:
                return _records(kept.read_bytes())
            except (ParseError, DefusedXmlException):
                kept.unlink()  # the machine stopped before all of it was on the disk
        _, body = self._ask("efetch.fcgi", {"id": asked, "rettype": "xml", "retmode": "xml"}, "PubmedArticleSet")
        part = kept.with_suffix(".part")
        part.write_bytes(body)
        os.replace(part, kept)
        return _records(body)

    def _ask(self, tool: str, form: dict[str, str], expected: str) -> tuple[Element, bytes]:
        """Return the root of an answer, and the answer; errors inside it that pass are asked again."""
        url = self._url + tool
        data = urllib.parse.urlencode({**self._always, **form}).encode("ascii")

        def use(response: http.client.HTTPResponse) -> tuple[Element, bytes]:
            body = self._web.whole(response)
            try:
                root = fromstring(body)
            except (ParseError, LookupError) as error:
                shown = self._web.masked(body[:_LOOKED_AT].decode("utf-8", "replace"))[:80]
                raise ShortReadError(f"expected XML, got {shown!r} ({error})") from error
            except DefusedXmlException as error:
                reason = self._web.masked(str(error))
                raise CorpusError(f"{url}: the answer declares XML entities ({reason}); do not trust it") from None
            said = [" ".join((e.text or "").split()) for e in root.iter("ERROR")]
            if said and _PASSING.search(" ".join(said)):
                raise ShortReadError("; ".join(said))
            if said or root.tag != expected:
                reason = self._web.masked("; ".join(said)) or f"expected <{expected}>, got <{root.tag}>"
                raise CorpusError(f"{url}: {reason}; check the query and the identifiers")
            return root, body

        return self._web.ask(lambda: request_for(url, form=data), use)


def _clear(folder: Path) -> None:
    """Remove what was kept on the way, and the folder unless something else is in it."""
    for path in folder.iterdir():
        if path.is_file() and _KEPT.fullmatch(path.name):
            path.unlink()
    with suppress(OSError):
        folder.rmdir()


def _records(body: bytes) -> tuple[list[str], bytes]:
    """Return the PMIDs of the records of an answer, and its XML without the root."""
    root = fromstring(body)
    paths = ("*/MedlineCitation/PMID", "*/BookDocument/PMID")
    found = [element.text or "" for path in paths for element in root.iterfind(path)]
    opening = _OPENING.search(body)
    if opening is None and found:
        raise CorpusError("efetch.fcgi: expected <PubmedArticleSet> without attributes; report it to radrag")
    return found, b"" if opening is None else body[opening.end() : body.rindex(_CLOSING)]
