"""Searching and fetching through E-utilities, answered on this machine in NCBI's form."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import date, timedelta
from html import escape
from pathlib import Path

import pytest
from fake_pubmed import DOCTYPE, FakeServer, FakeTime, Fault, article, article_set, fast_web, served

from radrag.corpora import read_pubmed
from radrag.corpora.eutils import Eutils, Sort
from radrag.errors import CorpusError

SEARCH, FETCH = "/esearch.fcgi", "/efetch.fcgi"
FIRST = date(2001, 1, 1)
BOOK = """<PubmedBookArticle><BookDocument><PMID Version="1">77</PMID><Book><BookTitle>B</BookTitle></Book>
</BookDocument></PubmedBookArticle>"""


class Ncbi:
    """Records by PMID, each entered on a day; most of a search as NCBI has it."""

    def __init__(self, entered: dict[str, date], most: int = 9999) -> None:
        self.entered, self.most = entered, most
        self.extra = ""

    def __call__(self, tool: str, form: dict[str, str]) -> bytes:
        assert form["db"] == "pubmed"
        return self.search(form) if tool == "esearch.fcgi" else self.fetch(form)

    def search(self, form: dict[str, str]) -> bytes:
        low, high = form.get("mindate", "1000/01/01"), form.get("maxdate", "3000/01/01")
        found = [pmid for pmid, day in self.entered.items() if low <= f"{day:%Y/%m/%d}" <= high]
        found.sort(key=lambda pmid: self.entered[pmid], reverse=True)
        shown = found[: min(int(form["retmax"]), self.most)]
        ids = "".join(f"<Id>{pmid}</Id>" for pmid in shown)
        return (
            '<?xml version="1.0" encoding="UTF-8" ?>\n'
            '<!DOCTYPE eSearchResult PUBLIC "-//NLM//DTD esearch 20060628//EN" '
            '"https://eutils.ncbi.nlm.nih.gov/eutils/dtd/20060628/esearch.dtd">\n<eSearchResult>'
            f"<Count>{len(found)}</Count><RetMax>{len(shown)}</RetMax><RetStart>0</RetStart><IdList>{ids}</IdList>"
            f"<QueryTranslation>{escape(form['term'])}[All Fields]</QueryTranslation>{self.extra}</eSearchResult>"
        ).encode()

    def fetch(self, form: dict[str, str]) -> bytes:
        known = [pmid for pmid in form["id"].split(",") if pmid in self.entered]
        return article_set(*(BOOK if pmid == "77" else article(int(pmid)) for pmid in known))


@pytest.fixture
def ncbi(tmp_path: Path) -> Iterator[FakeServer]:
    with served(tmp_path / "ncbi") as server:
        server.eutils = Ncbi({str(n): FIRST + timedelta(days=n) for n in range(1, 451)})
        yield server


def test_a_search_and_what_it_sends(ncbi: FakeServer) -> None:
    client = Eutils("KEY", "a@b.org", ncbi.url, fast_web())
    found = client.search("ct stone & more", 3, "pub_date")
    assert (found.count, found.pmids) == (450, ("450", "449", "448"))
    assert (found.translation, found.warnings) == ("ct stone & more[All Fields]", ())
    assert ncbi.forms == [
        {
            "db": "pubmed", "tool": "radrag", "email": "a@b.org", "api_key": "KEY", "term": "ct stone & more",
            "retmax": "3", "sort": "pub_date", "retmode": "xml",
        }
    ]  # fmt: skip
    Eutils(url=ncbi.url, web=fast_web()).search("x")
    assert ncbi.forms[1].keys() & {"email", "api_key"} == set()
    assert ncbi.forms[1]["sort"] == Sort.RELEVANCE


def test_warnings_are_shown(ncbi: FakeServer) -> None:
    ncbi.eutils = Ncbi({})
    ncbi.eutils.extra = (
        "<ErrorList><PhraseNotFound>fo</PhraseNotFound></ErrorList><WarningList><OutputMessage>No items found."
        "</OutputMessage></WarningList>"
    )
    found = Eutils(url=ncbi.url, web=fast_web()).search("fo")
    assert (found.count, found.pmids) == (0, ())
    assert found.warnings == ("PhraseNotFound: fo", "OutputMessage: No items found.")


def test_more_than_a_search_returns_comes_by_day(ncbi: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radrag.corpora.eutils._MOST", 20)
    ncbi.eutils = Ncbi({str(n): FIRST + timedelta(days=n // 7) for n in range(1, 301)}, most=20)
    client = Eutils(url=ncbi.url, web=fast_web())
    found = client.search("x", 1000)
    assert found.count == 300
    assert sorted(found.pmids, key=int) == [str(n) for n in range(1, 301)]
    days = [int(pmid) // 7 for pmid in found.pmids]
    assert days == sorted(days, reverse=True)
    assert all(form["datetype"] == "edat" for form in ncbi.forms[1:])
    before = len(ncbi.forms)
    assert client.search("x", 25).pmids == found.pmids[:25]
    assert len(ncbi.forms) - before < before / 2
    assert client.search("x", 20).count == 300


def test_too_many_on_one_day_is_said(ncbi: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radrag.corpora.eutils._MOST", 20)
    ncbi.eutils = Ncbi({str(n): FIRST for n in range(21)}, most=20)
    with pytest.raises(CorpusError, match="21 records were entered on 2001/01/01 alone"):
        Eutils(url=ncbi.url, web=fast_web()).search("x", 21)


def test_records_are_fetched_in_batches_into_one_file(ncbi: FakeServer, tmp_path: Path) -> None:
    pmids = [str(n) for n in range(1, 451)]
    path = tmp_path / "found.xml"
    saved = Eutils(url=ncbi.url, web=fast_web()).save([*pmids, "999999"], path)
    assert (saved.records, saved.missing) == (450, ("999999",))
    assert [document.id for document in read_pubmed(path)] == [f"PMID:{pmid}" for pmid in pmids]
    assert [len(form["id"].split(",")) for form in ncbi.forms] == [200, 200, 51]
    assert {(form["rettype"], form["retmode"]) for form in ncbi.forms} == {("xml", "xml")}
    assert sorted(file.name for file in tmp_path.iterdir() if file.is_file()) == ["found.xml"]


def test_no_records(ncbi: FakeServer, tmp_path: Path) -> None:
    client = Eutils(url=ncbi.url, web=fast_web())
    assert client.save([], tmp_path / "a.xml").records == 0
    assert list(read_pubmed(tmp_path / "a.xml")) == []
    ncbi.faults[FETCH] = [Fault(body=f"{DOCTYPE}<PubmedArticleSet/>".encode())]
    assert client.save(["5"], tmp_path / "a.xml").missing == ("5",)
    assert list(read_pubmed(tmp_path / "a.xml")) == []


PASSING = b"<eSearchResult><ERROR>Search Backend failed: read request has failed.</ERROR></eSearchResult>"
BUSY = b'{"error":"API rate limit exceeded","api-key":"1.2.3.4","count":"4","limit":"3"}'


def test_errors_that_pass_are_asked_again(ncbi: FakeServer) -> None:
    time = FakeTime()
    limit = Fault(status=429, headers={"Retry-After": "2"}, body=BUSY)
    ncbi.faults[SEARCH] = [limit, Fault(body=PASSING), Fault(cut=30), Fault(body=b"<html>Sorry"), Fault(status=500)]
    assert Eutils(url=ncbi.url, web=fast_web(time, interval=0.0)).search("x").count == 450
    assert time.slept[0] == 2
    assert len(time.slept) == 5


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault(body=b"<eSearchResult><ERROR>Empty term - nothing todo</ERROR></eSearchResult>"), "Empty term"),
        (Fault(body=b"<html><body>Moved</body></html>"), "expected <eSearchResult>, got <html>"),
        (Fault(body=b"<eSearchResult/>"), "expected a number in <Count>, got ''"),
        (Fault(body=b'<!DOCTYPE a [<!ENTITY x "y">]><eSearchResult/>'), "declares XML entities"),
        (Fault(status=400, body=b'{"error":"API key invalid","api-key":"SECRET"}'), 'invalid","api-key":"..."'),
    ],
)
def test_errors_that_stay(ncbi: FakeServer, fault: Fault, message: str) -> None:
    ncbi.faults[SEARCH] = [fault]
    with pytest.raises(CorpusError) as caught:
        Eutils("SECRET", url=ncbi.url, web=fast_web(hidden="SECRET")).search("x")
    assert message in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert len(ncbi.forms) == 1


def test_a_failed_fetch_leaves_an_older_file_alone(ncbi: FakeServer, tmp_path: Path) -> None:
    path = tmp_path / "found.xml"
    path.write_text("old", encoding="utf-8")
    ncbi.faults[FETCH] = [None, Fault(body=b"<eFetchResult><ERROR>Id list is bad</ERROR></eFetchResult>")]
    with pytest.raises(CorpusError, match="Id list is bad"):
        Eutils(url=ncbi.url, web=fast_web()).save([str(n) for n in range(1, 300)], path)
    assert path.read_text(encoding="utf-8") == "old"


@pytest.mark.parametrize(("key", "pause"), [(None, 0.34), ("KEY", 0.11)])
def test_the_rate_that_ncbi_allows(key: str | None, pause: float, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Eutils(key)._web
    assert made.interval == pause
    assert made.interval > 1 / (10 if key else 3)
    assert made.hidden == (key or "")


@pytest.mark.parametrize(("query", "most"), [(" ", 1), ("x", 0)])
def test_arguments_are_checked(query: str, most: int) -> None:
    with pytest.raises(ValueError, match="got"):
        Eutils().search(query, most)


@pytest.mark.parametrize(("key", "a_second"), [(None, 3), ("KEY", 10)])
def test_no_second_sees_more_requests_than_ncbi_allows(ncbi: FakeServer, key: str | None, a_second: int) -> None:
    time = FakeTime()
    client = Eutils(key, url=ncbi.url)
    client._web.sleep, client._web.clock = time.sleep, time.clock
    starts = []
    for _ in range(2 * a_second + 2):
        client.search("x", 1)
        starts.append(time.now)
    ends = starts[a_second:]
    assert all(end - start > 1 for start, end in zip(starts, ends, strict=False))
    assert ends[0] - starts[0] < 1.2


def test_a_key_is_hidden_in_what_ncbi_says_inside_its_answer(ncbi: FakeServer) -> None:
    ncbi.faults[SEARCH] = [Fault(body=b"<eSearchResult><ERROR>Key SECRET is not known</ERROR></eSearchResult>")]
    with pytest.raises(CorpusError, match=r"Key \.\.\. is not known"):
        Eutils("SECRET", url=ncbi.url, web=fast_web(hidden="SECRET")).search("x")


def test_a_key_is_hidden_where_an_answer_is_cut(ncbi: FakeServer) -> None:
    ncbi.faults[SEARCH] = [Fault(body=b"x" * 76 + b"SECRET")] * 6
    with pytest.raises(CorpusError, match=r"expected XML") as caught:
        Eutils("SECRET", url=ncbi.url, web=fast_web(hidden="SECRET")).search("x")
    assert "SECR" not in str(caught.value)


def test_files_of_others_beside_what_is_fetched_stay(ncbi: FakeServer, tmp_path: Path) -> None:
    pmids, path, batches = [str(n) for n in range(1, 202)], tmp_path / "found.xml", tmp_path / "found.xml.batches"
    (batches / "mine").mkdir(parents=True)
    (batches / "results.xml").write_text("mine", encoding="ascii")
    assert Eutils(url=ncbi.url, web=fast_web()).save(pmids, path).records == 201
    assert sorted(one.name for one in batches.iterdir()) == ["mine", "results.xml"]


def test_identifiers_that_did_not_come_are_warned_of(ncbi: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    short = b"<eSearchResult><Count>50</Count><IdList><Id>1</Id></IdList></eSearchResult>"
    ncbi.faults[SEARCH] = [Fault(body=short), Fault(body=short)]
    client = Eutils(url=ncbi.url, web=fast_web())
    assert client.search("x", 20).warnings == ("1 of 20 identifiers came; search again to have the others",)
    assert client.search("x", 1).warnings == ()
    monkeypatch.setattr("radrag.corpora.eutils._MOST", 20)
    ncbi.eutils = Ncbi({str(n): FIRST + timedelta(days=n) for n in range(1, 31)}, most=20)
    ncbi.faults[SEARCH] = [None, None, Fault(body=short.replace(b"50", b"5"))]
    found = client.search("x", 30)
    assert "1 of 5 identifiers came; search again to have the others" in found.warnings
    assert any("of 30 records have a day of entry" in warning for warning in found.warnings)


def test_an_interrupted_fetch_goes_on_where_it_stopped(ncbi: FakeServer, tmp_path: Path) -> None:
    pmids, path = [str(n) for n in range(1, 451)], tmp_path / "found.xml"
    ncbi.faults[FETCH] = [None, None, Fault(status=400, body=b"no")]
    with pytest.raises(CorpusError, match="400"):
        Eutils(url=ncbi.url, web=fast_web()).save(pmids, path)
    assert not path.exists()
    first, second = sorted((tmp_path / "found.xml.batches").glob("*.xml"), key=lambda one: one.stat().st_mtime_ns)
    second.write_bytes(second.read_bytes()[:-100])
    before = len(ncbi.forms)
    assert Eutils(url=ncbi.url, web=fast_web()).save(pmids, path).records == 450
    assert [form["id"].partition(",")[0] for form in ncbi.forms[before:]] == ["201", "401"]
    assert [document.id for document in read_pubmed(path)] == [f"PMID:{pmid}" for pmid in pmids]
    assert sorted(file.name for file in tmp_path.iterdir() if file.is_file()) == ["found.xml"]
    assert not first.parent.exists()


def test_what_came_long_ago_is_fetched_again(ncbi: FakeServer, tmp_path: Path) -> None:
    pmids, path = [str(n) for n in range(1, 202)], tmp_path / "found.xml"
    ncbi.faults[FETCH] = [None, Fault(status=400)]
    with pytest.raises(CorpusError, match="400"):
        Eutils(url=ncbi.url, web=fast_web()).save(pmids, path)
    (old,) = (tmp_path / "found.xml.batches").glob("*.xml")
    os.utime(old, (1e9, 1e9))
    before = len(ncbi.forms)
    Eutils(url=ncbi.url, web=fast_web()).save(pmids, path)
    assert len(ncbi.forms) - before == 2


def test_an_answer_whose_root_says_more_is_not_taken_for_an_empty_one(ncbi: FakeServer, tmp_path: Path) -> None:
    body = article_set(article(5)).replace(b"<PubmedArticleSet>", b'<PubmedArticleSet a="b">')
    ncbi.faults[FETCH] = [Fault(body=body)]
    with pytest.raises(CorpusError, match="without attributes"):
        Eutils(url=ncbi.url, web=fast_web()).save(["5"], tmp_path / "a.xml")


def test_very_many_records_are_checked_in_a_moment(ncbi: FakeServer, tmp_path: Path) -> None:
    """What did not come is looked up, not searched for: 20,000 identifiers took minutes."""
    ncbi.eutils = lambda tool, form: f"{DOCTYPE}<PubmedArticleSet/>".encode()
    pmids = [str(n) for n in range(20_000)]
    assert Eutils(url=ncbi.url, web=fast_web()).save(pmids, tmp_path / "a.xml").missing == tuple(pmids)
