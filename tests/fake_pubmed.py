"""A PubMed of one's own for tests: files in the form of NLM's, served on this machine, with faults on demand."""

from __future__ import annotations

import gzip
import hashlib
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from radrag.corpora.web import Web

DOCTYPE = (
    '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle, 1st January '
    '2025//EN" "https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_250101.dtd">\n'
)


def article(
    pmid: int,
    text: str = "Some text.",
    *,
    version: int = 1,
    revised: str = "",
    year: int = 2020,
    mesh: tuple[str, ...] = (),
    types: tuple[str, ...] = ("Journal Article",),
    links: tuple[tuple[str, int], ...] = (),
    journal: str = "Radiology",
    language: str = "eng",
) -> str:
    """One record as in a baseline file; no text, no abstract; ``revised`` as 2026-03-01."""
    parts = zip(("Year", "Month", "Day"), revised.split("-"), strict=False)
    date = "".join(f"<{name}>{part}</{name}>" for name, part in parts)
    abstract = f"<Abstract><AbstractText>{text}</AbstractText></Abstract>" if text else ""
    kinds = "".join(f'<PublicationType UI="D1">{kind}</PublicationType>' for kind in types)
    headings = "".join(f"<MeshHeading><DescriptorName>{name}</DescriptorName></MeshHeading>" for name in mesh)
    corrections = "".join(
        f'<CommentsCorrections RefType="{kind}"><RefSource>J</RefSource><PMID Version="1">{target}</PMID>'
        "</CommentsCorrections>"
        for kind, target in links
    )
    return (
        f'<PubmedArticle><MedlineCitation Status="MEDLINE"><PMID Version="{version}">{pmid}</PMID>'
        f"{f'<DateRevised>{date}</DateRevised>' if revised else ''}<Article><Journal>"
        f"<JournalIssue><PubDate><Year>{year}</Year></PubDate></JournalIssue><Title>{journal}</Title>"
        f"<ISOAbbreviation>{journal[:4]}.</ISOAbbreviation></Journal><ArticleTitle>Article {pmid}.</ArticleTitle>"
        f"{abstract}<Language>{language}</Language><PublicationTypeList>{kinds}</PublicationTypeList></Article>"
        f"<CommentsCorrectionsList>{corrections}</CommentsCorrectionsList><MeshHeadingList>{headings}</MeshHeadingList>"
        "</MedlineCitation><PubmedData/></PubmedArticle>"
    )


def deletion(*pmids: int, version: int | None = 1) -> str:
    stated = "" if version is None else f' Version="{version}"'
    numbers = "".join(f"<PMID{stated}>{pmid}</PMID>" for pmid in pmids)
    return f"<DeleteCitation>{numbers}</DeleteCitation>"


def article_set(*records: str) -> bytes:
    return f"{DOCTYPE}<PubmedArticleSet>{''.join(records)}</PubmedArticleSet>".encode()


def put(folder: Path, name: str, *records: str, data: bytes | None = None) -> Path:
    """Write a file and its digest as NLM writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(gzip.compress(article_set(*records), mtime=0) if data is None else data)
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    path.with_name(f"{name}.md5").write_text(f"MD5({name})= {digest}\n", encoding="ascii")
    return path


@dataclass
class Fault:
    """What goes wrong with a response: another status, only so many bytes, or other content."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    body: bytes | None = None


@dataclass
class FakeServer:
    """Serves a folder, with ranges and listings, and E-utilities.

    Attributes:
        root: The folder.
        url: Where it is served.
        faults: For a path, what goes wrong with its next responses; None for nothing.
        requests: Path and Range header of each request.
        forms: The form of each POST.
        eutils: Answers a tool and its form.
    """

    root: Path
    url: str = ""
    faults: dict[str, list[Fault | None]] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    forms: list[dict[str, str]] = field(default_factory=list)
    eutils: Callable[[str, dict[str, str]], bytes] | None = None
    ranges: bool = True

    def ranges_of(self, name: str) -> list[str | None]:
        return [asked for path, asked in self.requests if path.endswith(f"/{name}")]


def listing(folder: Path) -> bytes:
    """A folder as Apache lists it."""
    rows = [
        f'<a href="{path.name}">{path.name[:25]}</a>  2026-01-20 14:03  {path.stat().st_size}'
        for path in sorted(folder.iterdir())
    ]
    head = '<html><head><title>Index of /pubmed</title></head><body><pre><a href="../">Parent Directory</a>\n'
    return (head + "\n".join(['<a href="README.txt">README.txt</a>', *rows]) + "</pre></body></html>").encode()


def _handler(state: FakeServer) -> type[BaseHTTPRequestHandler]:  # noqa: C901
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urllib.parse.urlsplit(self.path).path
            state.requests.append((path, self.headers.get("Range")))
            place = state.root / path.strip("/")
            if place.is_dir():
                self._answer(path, 200, listing(place), {})
            elif place.is_file():
                self._file(path, place.read_bytes())
            else:
                self._answer(path, 404, b"<html>Not Found</html>", {})

        def do_POST(self) -> None:
            path = urllib.parse.urlsplit(self.path).path
            data = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = dict(urllib.parse.parse_qsl(data, keep_blank_values=True))
            state.requests.append((path, None))
            state.forms.append(form)
            assert state.eutils is not None
            self._answer(path, 200, state.eutils(path.rsplit("/")[-1], form), {})

        def _file(self, path: str, data: bytes) -> None:
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
            if asked is None or not state.ranges:
                self._answer(path, 200, data, {})
            elif int(asked[1]) >= len(data):
                self._answer(path, 416, b"", {"Content-Range": f"bytes */{len(data)}"})
            else:
                start = int(asked[1])
                where = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
                self._answer(path, 206, data[start:], where)

        def _answer(self, path: str, status: int, body: bytes, headers: dict[str, str]) -> None:
            queue = state.faults.get(path)
            fault = (queue.pop(0) if queue else None) or Fault()
            body = body if fault.body is None else fault.body
            self.send_response(fault.status or status)
            for name, value in {**headers, **fault.headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[: fault.cut])

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


@contextmanager
def served(root: Path) -> Iterator[FakeServer]:
    """Serve a folder until the block ends."""
    root.mkdir(parents=True, exist_ok=True)
    for name in ("baseline", "updatefiles"):
        (root / name).mkdir(exist_ok=True)
    state = FakeServer(root)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class FakeTime:
    """A clock that only sleeping moves."""

    now: float = 100.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now


def fast_web(time: FakeTime | None = None, **options: object) -> Web:
    """A Web that never really waits."""
    time = time or FakeTime()
    return Web(sleep=time.sleep, clock=time.clock, **options)  # type: ignore[arg-type]
