"""Listing and downloading PubMed's files from a server on this machine that fails in every way servers do."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from time import time

import pytest
from fake_pubmed import FakeServer, FakeTime, Fault, article, fast_web, put, served

from radrag.corpora import read_pubmed
from radrag.corpora.pubmed_server import LocalFolder, PubmedFile, Server, digest_of
from radrag.corpora.web import RefusedError, Web
from radrag.errors import CorpusError

NAME = "pubmed26n0001.xml.gz"
DATA = random.Random(3).randbytes(100_000)
PATH = f"/baseline/{NAME}"


@pytest.fixture
def pubmed(tmp_path: Path) -> Iterator[FakeServer]:
    with served(tmp_path / "pub") as server:
        put(server.root / "baseline", NAME, data=DATA)
        yield server


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "downloads"


def fetch(pubmed: FakeServer, place: Path, web: Web | None = None) -> bytes:
    fetched = Server(pubmed.url, web or fast_web()).fetch(PubmedFile.named(NAME, update=False), place)
    assert fetched.md5 == hashlib.md5(DATA, usedforsecurity=False).hexdigest()
    assert (fetched.checked, fetched.temporary, fetched.path) == (True, True, place / NAME)
    assert [path.name for path in place.iterdir()] == [NAME]
    return fetched.path.read_bytes()


def test_the_files_come_in_the_order_in_which_they_apply(pubmed: FakeServer) -> None:
    for folder, name in (
        ("updatefiles", "pubmed26n10000.xml.gz"),
        ("updatefiles", "pubmed26n1335.xml.gz"),
        ("baseline", "pubmed26n0002.xml.gz"),
        ("updatefiles", "pubmed25n1400.xml.gz"),
        ("updatefiles", "pubmed26n1335_stats.html"),
    ):
        put(pubmed.root / folder, name, data=b"")
    assert Server(pubmed.url.rstrip("/"), fast_web()).files() == [
        PubmedFile(25, 1400, True, "pubmed25n1400.xml.gz"),
        PubmedFile(26, 1, False, NAME),
        PubmedFile(26, 2, False, "pubmed26n0002.xml.gz"),
        PubmedFile(26, 1335, True, "pubmed26n1335.xml.gz"),
        PubmedFile(26, 10000, True, "pubmed26n10000.xml.gz"),
    ]


def test_a_server_without_files(tmp_path: Path) -> None:
    with served(tmp_path) as empty, pytest.raises(CorpusError, match="lists no file like"):
        Server(empty.url, fast_web()).files()


@pytest.mark.parametrize("url", ["ftp://ftp.ncbi.nlm.nih.gov/pubmed/", "file:///pubmed", "/pubmed"])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="starts with https:// or http://"):
        Server(url)


def test_a_download(pubmed: FakeServer, place: Path) -> None:
    assert fetch(pubmed, place) == DATA
    before = len(pubmed.requests)
    assert fetch(pubmed, place) == DATA
    assert [path for path, _ in pubmed.requests[before:]] == [f"{PATH}.md5"]


def test_a_truncated_download_goes_on_where_it_stopped(pubmed: FakeServer, place: Path) -> None:
    pubmed.faults[PATH] = [Fault(cut=40_000), Fault(cut=10), Fault(status=503), None]
    assert fetch(pubmed, place) == DATA
    assert pubmed.ranges_of(NAME) == [None, "bytes=40000-", "bytes=40010-", "bytes=40010-"]


def test_a_server_without_ranges_sends_all_again(pubmed: FakeServer, place: Path) -> None:
    pubmed.ranges = False
    pubmed.faults[PATH] = [Fault(cut=40_000)]
    assert fetch(pubmed, place) == DATA
    assert pubmed.ranges_of(NAME) == [None, "bytes=40000-"]


def test_what_an_earlier_run_left_is_used(pubmed: FakeServer, place: Path) -> None:
    place.mkdir()
    part = place / f"{NAME}.part"
    part.write_bytes(DATA[:77])
    assert fetch(pubmed, place) == DATA
    part.write_bytes(DATA)
    (place / NAME).unlink()
    assert fetch(pubmed, place) == DATA
    assert pubmed.ranges_of(NAME) == ["bytes=77-", "bytes=100000-"]


def test_a_rest_of_another_file_is_thrown_away(pubmed: FakeServer, place: Path) -> None:
    place.mkdir()
    for rest in (b"x" * 50, b"x" * 200_000):
        (place / f"{NAME}.part").write_bytes(rest)
        (place / NAME).unlink(missing_ok=True)
        assert fetch(pubmed, place) == DATA


def test_a_range_that_was_not_asked_for_is_not_used(pubmed: FakeServer, place: Path) -> None:
    place.mkdir()
    (place / f"{NAME}.part").write_bytes(DATA[:77])
    pubmed.faults[PATH] = [Fault(headers={"Content-Range": "bytes 70-99999/100000"})]
    assert fetch(pubmed, place) == DATA
    assert pubmed.ranges_of(NAME) == ["bytes=77-", "bytes=77-"]


def test_a_wrong_digest_is_tried_again(pubmed: FakeServer, place: Path) -> None:
    pubmed.faults[PATH] = [Fault(body=DATA[:-1] + b"?"), Fault(body=b"<html>Busy</html>")]
    assert fetch(pubmed, place) == DATA


def test_a_digest_that_stays_wrong_names_both(pubmed: FakeServer, place: Path) -> None:
    other = DATA[::-1]
    (pubmed.root / "baseline" / NAME).write_bytes(other)
    found, expected = (hashlib.md5(data, usedforsecurity=False).hexdigest() for data in (other, DATA))
    with pytest.raises(CorpusError, match=f"digest {found}, expected {expected}"):
        fetch(pubmed, place)
    assert list(place.iterdir()) == []
    assert len(pubmed.ranges_of(NAME)) == 3


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_failures_that_pass_are_waited_for(pubmed: FakeServer, place: Path, status: int) -> None:
    time = FakeTime()
    pubmed.faults[PATH] = [Fault(status=status), Fault(status=status)]
    assert fetch(pubmed, place, fast_web(time, interval=0.0)) == DATA
    first, second = time.slept
    assert 1.0 <= first <= 1.5
    assert 2.0 <= second <= 3.0
    again = FakeTime()
    pubmed.faults[PATH] = [Fault(status=status), Fault(status=status)]
    (place / NAME).unlink()
    fetch(pubmed, place, fast_web(again, interval=0.0))
    assert again.slept == time.slept


def test_retry_after_is_honoured(pubmed: FakeServer, place: Path) -> None:
    time_ = FakeTime()
    date = formatdate(time() + 100, usegmt=True)
    waits = ["42", date, "soon", "0"]
    pubmed.faults[PATH] = [Fault(status=429, headers={"Retry-After": wait}) for wait in waits]
    assert fetch(pubmed, place, fast_web(time_, interval=0.0)) == DATA
    assert time_.slept[0] == 42
    assert 90 <= time_.slept[1] <= 100
    assert 4 <= time_.slept[2] <= 6
    assert 8 <= time_.slept[3] <= 12


def test_a_long_pause_is_left_to_the_user(pubmed: FakeServer, place: Path) -> None:
    pubmed.faults[PATH] = [Fault(status=503, headers={"Retry-After": "3600"})]
    with pytest.raises(CorpusError, match="asks for a pause of 3600 s"):
        fetch(pubmed, place)
    assert len(pubmed.ranges_of(NAME)) == 1


def test_giving_up(pubmed: FakeServer, place: Path) -> None:
    pubmed.faults[PATH] = [Fault(status=500)] * 9
    with pytest.raises(
        CorpusError, match=r"pubmed26n0001\.xml\.gz: the server answered 500 .* \(4 attempts\); try again"
    ):
        fetch(pubmed, place, fast_web(attempts=4))
    assert len(pubmed.ranges_of(NAME)) == 4
    pubmed.faults[PATH] = [Fault(cut=5)] * 9
    with pytest.raises(CorpusError, match="ended after 5 of 9"):
        fetch(pubmed, place, fast_web(attempts=2))
    assert (place / f"{NAME}.part").stat().st_size == 10


def test_nobody_there(place: Path, tmp_path: Path) -> None:
    with served(tmp_path) as gone:
        pass
    with pytest.raises(CorpusError, match=r"refused.*\(6 attempts\)"):
        Server(gone.url, fast_web()).files()


def test_a_refusal_is_not_asked_again(pubmed: FakeServer, place: Path) -> None:
    pubmed.faults[PATH] = [Fault(status=403, body=b"Blocked: write to us")]
    with pytest.raises(RefusedError, match="403 Forbidden: Blocked: write to us") as caught:
        fetch(pubmed, place)
    assert caught.value.code == 403
    (pubmed.root / "baseline" / f"{NAME}.md5").unlink()
    with pytest.raises(RefusedError, match=r"xml\.gz\.md5: the server answered 404 Not Found$"):
        fetch(pubmed, place)


def test_a_full_disk_is_not_taken_for_a_lost_connection(pubmed: FakeServer, place: Path) -> None:
    place.mkdir()
    (place / f"{NAME}.part").mkdir()
    with pytest.raises(IsADirectoryError):
        fetch(pubmed, place)


def test_requests_keep_their_distance(pubmed: FakeServer, place: Path) -> None:
    time = FakeTime()
    server = Server(pubmed.url, fast_web(time, interval=0.34))
    server.files()
    server.fetch(PubmedFile.named(NAME, update=False), place)
    assert len(pubmed.requests) == 4
    assert time.slept == pytest.approx([0.34] * 3)


def test_an_attempt_is_needed() -> None:
    with pytest.raises(ValueError, match="attempts must be at least 1, got 0"):
        Web(attempts=0)


DIGEST = "0123456789abcdef" * 2


@pytest.mark.parametrize("text", [f"MD5({NAME})= {DIGEST}\n", f"{DIGEST.upper()}  {NAME}\n", DIGEST])
def test_forms_of_digests(text: str) -> None:
    assert digest_of(text, NAME, "x.md5") == DIGEST


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got ''"),
        ("<html>", "expected 'MD5"),
        (f"MD5(pubmed26n0002.xml.gz)= {DIGEST}", "got that of pubmed26n0002"),
    ],
)
def test_digests_that_are_none(text: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        digest_of(text, NAME, "x.md5")


def test_a_folder(tmp_path: Path) -> None:
    put(tmp_path / "updatefiles", "pubmed26n1335.xml.gz", article(2))
    put(tmp_path / "baseline", NAME, article(1))
    put(tmp_path, "pubmed26n1336.xml.gz", article(3)).with_name("pubmed26n1336.xml.gz.md5").unlink()
    source = LocalFolder(tmp_path)
    files = source.files()
    assert [(file.number, file.update) for file in files] == [(1, False), (1335, True), (1336, None)]
    fetched = [source.fetch(file, tmp_path / "unused") for file in files]
    assert [one.checked for one in fetched] == [True, True, False]
    assert not any(one.temporary for one in fetched)
    assert [document.id for one in fetched for document in read_pubmed(one.path)] == ["PMID:1", "PMID:2", "PMID:3"]
    (tmp_path / "baseline" / NAME).write_bytes(b"other")
    with pytest.raises(CorpusError, match=r"digest .*, expected .*; fetch it again"):
        source.fetch(files[0], tmp_path)
    with pytest.raises(CorpusError, match="holds no file"):
        LocalFolder(tmp_path / "nowhere").files()


def test_a_name_that_is_none() -> None:
    with pytest.raises(ValueError, match=r"like pubmed26n0001\.xml\.gz, got 'medline\.xml'"):
        PubmedFile.named("medline.xml")
