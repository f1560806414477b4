"""Searching PubMed and fetching records through NCBI's E-utilities.

As https://www.ncbi.nlm.nih.gov/books/NBK25499/ describes ESearch and EFetch. Without an API key NCBI allows three
requests a second, with one ten. A search of PubMed returns at most 9,999 records; longer ones are cut by entry date.
"""

from __future__ import annotations

import http.client
import os
import re
import urllib.parse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from itertools import islice
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from radrag.corpora.web import ShortReadError, Web, request_for, whole
from radrag.errors import CorpusError

EUTILS = "https://eutils.ncbi.nlm.nih.gov/entrez/eutils/"
_MOST = 9999
_BATCH = 200
_FIRST_DAY, _LAST_DAY = date(1700, 1, 1).toordinal(), date(2199, 12, 31).toordinal()
_PASSING = re.compile(
    r"backend|exception|temporar|unavailable|time[d-]* ?out|too many|rate limit|overload", re.IGNORECASE
)
_OPENING = re.compile(rb"<PubmedArticleSet\s*>")
_CLOSING = b"</PubmedArticleSet>"
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
            newest = tuple(islice(self._by_day(query, _FIRST_DAY, _LAST_DAY), most))
            return Found(found.count, newest, found.translation, found.warnings)
        return Found(found.count, found.pmids[:most], found.translation, found.warnings)

    def save(self, pmids: Sequence[str], path: str | Path) -> Saved:
        """Fetch records and write them as one file of PubMed XML, which appears when it is whole.

        Raises:
            CorpusError: If NCBI refuses, or what it sends is not PubMed XML.
        """
        path = Path(path)
        part = path.with_name(f"{path.name}.part")
        got: list[str] = []
        with part.open("wb") as file:
            file.write(b'<?xml version="1.0" encoding="UTF-8"?>\n<PubmedArticleSet>\n')
            for start in range(0, len(pmids), _BATCH):
                records, inside = self._fetch(pmids[start : start + _BATCH])
                got += records
                file.write(inside.strip() + b"\n")
            file.write(_CLOSING + b"\n")
        os.replace(part, path)
        return Saved(len(got), tuple(pmid for pmid in pmids if pmid not in set(got)))

    def _search(self, parameters: dict[str, str]) -> Found:
        root, _ = self._ask("esearch.fcgi", {**parameters, "retmode": "xml"}, "eSearchResult")
        count = root.findtext("Count", "")
        if not count.isdigit():
            raise CorpusError(f"{self._url}esearch.fcgi: expected a number in <Count>, got {count!r}; try again later")
        return Found(
            int(count),
            tuple((e.text or "").strip() for e in root.iterfind("IdList/Id")),
            root.findtext("QueryTranslation", ""),
            tuple(f"{e.tag}: {e.text}" for path in _WARNINGS for e in root.iterfind(path) if e.text),
        )

    def _by_day(self, query: str, low: int, high: int) -> Iterator[str]:
        """Yield the PMIDs that were entered between two days, the later days first, by halving what is too many."""
        days = {"mindate": f"{date.fromordinal(low):%Y/%m/%d}", "maxdate": f"{date.fromordinal(high):%Y/%m/%d}"}
        found = self._search({"term": query, "retmax": str(_MOST), "datetype": "edat", **days})
        if found.count <= _MOST:
            yield from found.pmids
        elif low == high:
            raise CorpusError(
                f"{found.count} records were entered on {days['mindate']} alone, and a search returns at most {_MOST};"
                " narrow the query, or take PubMed's files (pubmed sync)"
            )
        else:
            middle = (low + high) // 2
            yield from self._by_day(query, middle + 1, high)
            yield from self._by_day(query, low, middle)

    def _fetch(self, pmids: Sequence[str]) -> tuple[list[str], bytes]:
        form = {"id": ",".join(pmids), "rettype": "xml", "retmode": "xml"}
        root, body = self._ask("efetch.fcgi", form, "PubmedArticleSet")
        found = [
            e.text or "" for path in ("*/MedlineCitation/PMID", "*/BookDocument/PMID") for e in root.iterfind(path)
        ]
        opening = _OPENING.search(body)
        return found, b"" if opening is None else body[opening.end() : body.rindex(_CLOSING)]

    def _ask(self, tool: str, form: dict[str, str], expected: str) -> tuple[Element, bytes]:
        """Return the root of an answer, and the answer; errors inside it that pass are asked again."""
        url = self._url + tool
        data = urllib.parse.urlencode({**self._always, **form}).encode("ascii")

        def use(response: http.client.HTTPResponse) -> tuple[Element, bytes]:
            body = whole(response)
            try:
                root = fromstring(body)
            except (ParseError, LookupError) as error:
                shown = body[:80].decode("utf-8", "replace")
                raise ShortReadError(f"expected XML, got {shown!r} ({error})") from error
            except DefusedXmlException as error:
                raise CorpusError(f"{url}: the answer declares XML entities ({error}); do not trust it") from error
            said = [" ".join((e.text or "").split()) for e in root.iter("ERROR")]
            if said and _PASSING.search(" ".join(said)):
                raise ShortReadError("; ".join(said))
            if said or root.tag != expected:
                reason = "; ".join(said) or f"expected <{expected}>, got <{root.tag}>"
                raise CorpusError(f"{url}: {reason}; check the query and the identifiers")
            return root, body

        return self._web.ask(lambda: request_for(url, form=data), use)
