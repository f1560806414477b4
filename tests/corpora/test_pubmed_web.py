"""Servers that redirect, trickle, list in other forms, or publish digests in other forms."""

from __future__ import annotations

import errno
import http.client
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_pubmed import FakeServer, FakeTime, Fault, fast_web, put, served

from radrag.corpora.pubmed_server import LocalFolder, PubmedFile, Server, digest_of, names_in
from radrag.corpora.web import RefusedError, ShortReadError, Web, _Redirects, request_for
from radrag.errors import CorpusError

NAME, OTHER = "pubmed26n0001.xml.gz", "pubmed26n0002.xml.gz"
DIGEST = "0123456789abcdef" * 2
FOLDER = "https://mirror.example/pub/pubmed/baseline/"


@pytest.fixture
def pubmed(tmp_path: Path) -> Iterator[FakeServer]:
    with served(tmp_path / "pub") as server:
        put(server.root / "baseline", NAME, data=b"x" * 1000)
        yield server


@pytest.mark.parametrize(
    "listing",
    [
        f'<a href="{NAME}">{NAME[:20]}..&gt;</a> 2026-01-20 14:03   19M',
        f'<td><a href="./{NAME}">x</a></td><td><a href="{NAME}.md5">x</a></td>',
        f"<A HREF='{NAME}'>x</A>",
        f"<li><a class=f href={NAME}>x</a>",
        f'<a href="/pub/pubmed/baseline/{NAME}">x</a>',
        f'<a href="https://mirror.example/pub/pubmed/baseline/{NAME}">x</a>',
        f'<a href="{NAME}?C=M&amp;O=A">x</a>',
        f'<a href="pubmed26n0001%2Exml%2Egz">x</a><a href="../updatefiles/{OTHER}">elsewhere</a>',
        f"-r--r--r--   1 ftp  anonymous  19871021 Jan 20 14:03 {NAME}\n-r--r--r-- 1 ftp anonymous 61 Jan 20 {NAME}.md5",
        f"{NAME}\r\n{NAME}.md5\r\nold-{OTHER}\r\n",
    ],
)
def test_forms_of_listings(listing: str) -> None:
    assert names_in(listing, FOLDER) == {NAME}


@pytest.mark.parametrize("listing", ["", "<html></html>", '<a href="">x</a>', '<a href="/pubmed26n0001.xml.gz">x</a>'])
def test_listings_of_nothing(listing: str) -> None:
    assert names_in(listing, FOLDER) == set()


@pytest.mark.parametrize(
    "text",
    [
        f"MD5 ({NAME}) = {DIGEST}",
        f"MD5(/mirror/baseline/{NAME})= {DIGEST.upper()}\r\n",
        f"{DIGEST} *./{NAME}\n",
        f"{DIGEST[::-1]}  {OTHER}\n{DIGEST}  {NAME}\n",
        f"\ufeff\n{DIGEST}\n".removeprefix("\ufeff"),
    ],
)
def test_more_forms_of_digests(text: str) -> None:
    assert digest_of(text, NAME, "x") == DIGEST


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{DIGEST}  {OTHER}\n", f"got that of {OTHER}"),
        (f"<html>Please sign in. Session {DIGEST} has ended.</html>", "got '<html>Please"),
        (f"MD5({NAME})= {DIGEST[:-1]}", "32 hexadecimal digits"),
        (f"MD5({NAME})= {DIGEST}0", "32 hexadecimal digits"),
    ],
)
def test_what_is_no_digest_of_the_file(text: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        digest_of(text, NAME, "x")


def test_a_redirect_is_followed_with_the_range(pubmed: FakeServer, tmp_path: Path) -> None:
    put(pubmed.root / "elsewhere", NAME, data=b"x" * 1000)
    place = tmp_path / "downloads"
    place.mkdir()
    (place / f"{NAME}.part").write_bytes(b"x" * 400)
    pubmed.faults[f"/baseline/{NAME}"] = [Fault(status=302, headers={"Location": f"{pubmed.url}elsewhere/{NAME}"})]
    fetched = Server(pubmed.url, fast_web()).fetch(PubmedFile.named(NAME, update=False), place)
    assert fetched.path.read_bytes() == b"x" * 1000
    assert pubmed.requests[-1] == (f"/elsewhere/{NAME}", "bytes=400-")


@pytest.mark.parametrize("to", ["ftp://127.0.0.1/x", "file:///etc/passwd"])
def test_a_redirect_to_another_scheme_is_refused(pubmed: FakeServer, to: str) -> None:
    pubmed.faults["/baseline/"] = [Fault(status=301, headers={"Location": to})]
    with pytest.raises(RefusedError, match="301") as caught:
        Server(pubmed.url, fast_web()).files()
    assert to in str(caught.value)


def test_a_redirect_never_leaves_https() -> None:
    def redirected(asked: str, to: str) -> str:
        headers = http.client.HTTPMessage()
        made = _Redirects().redirect_request(request_for(asked), io.BytesIO(), 302, "Found", headers, to)
        return "" if made is None else made.full_url

    assert redirected("https://a.example/x", "https://b.example/x") == "https://b.example/x"
    assert redirected("http://a.example/x", "https://b.example/x") == "https://b.example/x"
    with pytest.raises(RefusedError, match=r"sends on to http://b\.example/x, which is not followed"):
        redirected("https://a.example/x", "http://b.example/x")


def test_a_key_is_hidden_in_a_redirect_and_where_an_answer_is_cut(pubmed: FakeServer) -> None:
    key = "SECRETSECRET"
    pubmed.eutils = lambda tool, form: b"answer"
    pubmed.faults["/esearch.fcgi"] = [
        Fault(status=302, headers={"Location": f"{pubmed.url}other.fcgi?api_key={key}"}),
        Fault(status=400, body=b"x" * 294 + key.encode()),
    ]
    for message in ("sends on to .*api_key=[.]{3}, which", "400"):
        with pytest.raises(RefusedError, match=message) as caught:
            fast_web(hidden=key).read(f"{pubmed.url}esearch.fcgi", {"api_key": key})
        assert "SECRET" not in str(caught.value)
        assert caught.value.code in (302, 400)


def test_a_form_is_not_sent_on_without_its_fields(pubmed: FakeServer) -> None:
    pubmed.eutils = lambda tool, form: b"answer"
    pubmed.faults["/esearch.fcgi"] = [Fault(status=302, headers={"Location": f"{pubmed.url}other.fcgi"})]
    with pytest.raises(RefusedError, match=r"sends on to .*other\.fcgi.*give that address instead"):
        fast_web().read(f"{pubmed.url}esearch.fcgi", {"term": "x"})
    assert len(pubmed.requests) == 1


class Trickle:
    """A response that brings so many bytes each so many seconds."""

    def __init__(self, time: FakeTime, size: int, seconds: float, blocks: int) -> None:
        self.time, self.size, self.seconds, self.left = time, size, seconds, blocks
        self.length = 0

    def read1(self, most: int) -> bytes:
        self.time.now += self.seconds
        self.left -= 1
        return b"x" * self.size if self.left >= 0 else b""


def test_a_response_that_trickles_is_given_up() -> None:
    time = FakeTime()
    web = Web(clock=time.clock)
    assert len(web.whole(Trickle(time, 20_000, 30, 100))) == 2_000_000  # type: ignore[arg-type]
    slow = Trickle(time, 100, 30, 100)
    with pytest.raises(ShortReadError, match="only 200 bytes came in 60 s"):
        web.whole(slow)  # type: ignore[arg-type]
    assert slow.left == 98


def test_a_length_that_is_none_does_not_end_the_sync(pubmed: FakeServer, tmp_path: Path) -> None:
    pubmed.faults[f"/baseline/{NAME}"] = [Fault(headers={"Content-Length": "many"})]
    fetched = Server(pubmed.url, fast_web()).fetch(PubmedFile.named(NAME, update=False), tmp_path / "downloads")
    assert fetched.path.stat().st_size == 1000


@pytest.mark.parametrize("value", ["²", "-5", "1e400", "Fri, 31 Dec 99999 23:59:59 GMT", "x" * 500])
def test_a_pause_that_cannot_be_read_is_the_usual_one(pubmed: FakeServer, value: str) -> None:
    time = FakeTime()
    pubmed.faults["/baseline/"] = [Fault(status=429, headers={"Retry-After": value})]
    assert len(Server(pubmed.url, fast_web(time, interval=0.0)).files()) == 1
    assert 1 <= time.slept[0] <= 1.5


@pytest.mark.parametrize(("number", "attempts"), [(errno.ENETUNREACH, 6), (errno.ENOSPC, 1)])
def test_a_lost_network_is_tried_again_and_a_full_disk_is_not(pubmed: FakeServer, number: int, attempts: int) -> None:
    def use(response: http.client.HTTPResponse) -> None:
        raise OSError(number, "broken")

    with pytest.raises((CorpusError, OSError), match="broken"):
        fast_web().ask(lambda: request_for(f"{pubmed.url}baseline/"), use)
    assert len(pubmed.requests) == attempts


def test_a_full_disk_leaves_what_the_next_run_goes_on_from(
    pubmed: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web, place, file = fast_web(), tmp_path / "downloads", PubmedFile.named(NAME, update=False)
    blocks = Web.blocks

    def full(self: Web, response: http.client.HTTPResponse) -> Iterator[bytes]:
        for block in blocks(self, response):
            yield block[:300]
            raise OSError(errno.ENOSPC, "No space left on device")

    digest = (pubmed.root / "baseline" / f"{NAME}.md5").read_text(encoding="ascii")
    monkeypatch.setattr(Server, "digest", lambda self, file: digest_of(digest, NAME, "x"))
    with monkeypatch.context() as patched:
        patched.setattr(Web, "blocks", full)
        with pytest.raises(OSError, match="No space left"):
            Server(pubmed.url, web).fetch(file, place)
    assert (place / f"{NAME}.part").stat().st_size == 300
    assert Server(pubmed.url, web).fetch(file, place).path.read_bytes() == b"x" * 1000
    assert pubmed.ranges_of(NAME) == [None, "bytes=300-"]


def test_the_digest_of_a_folder_is_the_published_one(tmp_path: Path) -> None:
    path = put(tmp_path, NAME, data=b"abc")
    source, file = LocalFolder(tmp_path), PubmedFile.named(NAME)
    path.with_name(f"{NAME}.md5").write_text(DIGEST, encoding="ascii")
    assert source.digest(file) == DIGEST
    path.with_name(f"{NAME}.md5").unlink()
    assert source.digest(file) == "900150983cd24fb0d6963f7d28e17f72"
