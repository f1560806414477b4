"""PubMed's files: what a server or a folder has of the baseline and the updates, and getting one whole.

As https://ftp.ncbi.nlm.nih.gov/pubmed/ and its mirrors serve them: ``baseline/`` and ``updatefiles/``, each a listing
of links, and beside every file its MD5 digest. Update files carry on the numbers of their year's baseline.
"""

from __future__ import annotations

import hashlib
import html
import http
import http.client
import os
import re
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from radrag.corpora.web import RefusedError, ShortReadError, Web, request_for
from radrag.errors import CorpusError

SERVER = "https://ftp.ncbi.nlm.nih.gov/pubmed/"
_FOLDERS: dict[str, bool | None] = {"baseline": False, "updatefiles": True}
_NAME = re.compile(r"pubmed(\d\d)n(\d{4,})\.xml\.gz")
_LINK = re.compile(r"""\bhref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_WORD = re.compile(rf"(?<![\w./-]){_NAME.pattern}(?![\w./-])")
_DIGEST = re.compile(
    r"(?:MD5\s*\((?P<before>[^)]*)\)\s*=\s*)?(?P<digest>[0-9a-f]{32})(?:\s+\*?(?P<after>\S+))?", re.IGNORECASE
)
_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")
_CHECKSUM_ATTEMPTS = 3


@dataclass(frozen=True, slots=True, order=True)
class PubmedFile:
    """A file of PubMed; files sort in the order in which they are to be applied.

    Attributes:
        year: Last two digits of the year of its baseline.
        number: Its number in that year.
        update: Whether it is an update file and not one of the baseline; None where a folder does not tell them apart.
        name: Its name, such as ``"pubmed26n0001.xml.gz"``.
    """

    year: int
    number: int
    update: bool | None
    name: str

    @classmethod
    def named(cls, name: str, update: bool | None = None) -> PubmedFile:
        """Return the file of a name.

        Raises:
            ValueError: If no file of PubMed has such a name.
        """
        found = _NAME.fullmatch(name)
        if found is None:
            raise ValueError(f"expected a name like pubmed26n0001.xml.gz, got {name!r}")
        return cls(int(found[1]), int(found[2]), update, name)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that is whole and on this machine.

    Attributes:
        path: Where it is.
        md5: Its digest.
        checked: Whether the digest is the published one; False where a folder holds none.
        temporary: Whether it may be removed after use.
    """

    path: Path
    md5: str
    checked: bool
    temporary: bool


class Source(Protocol):
    """Where PubMed's files come from."""

    def files(self) -> list[PubmedFile]:
        """Return what there is, in the order in which it is to be applied."""

    def fetch(self, file: PubmedFile, folder: Path) -> Fetched:
        """Return a file after its digest was checked.

        Args:
            file: One of ``files``.
            folder: Where a download goes, and what is left of an interrupted one is found.
        """

    def digest(self, file: PubmedFile) -> str:
        """Return the published digest of a file; where none is published, that of what is there."""


def names_in(listing: str, url: str) -> set[str]:
    """Return the names of PubMed's files in the listing of a folder: its links, or where it has none, its words.

    Args:
        listing: HTML with relative or absolute links, or the lines of an FTP listing.
        url: The folder, which ends in ``/``; links that lead into a folder of another name are left out.
    """
    links = [html.unescape("".join(found)) for found in _LINK.findall(listing)]
    if not links:
        return {found[0] for found in _WORD.finditer(listing)}
    paths = [urllib.parse.unquote(urllib.parse.urlsplit(urllib.parse.urljoin(url, link)).path) for link in links]
    within = url.rstrip("/").rsplit("/", 1)[-1]
    parts = [path.split("/") for path in paths if "/" in path]
    return {name for *_, folder, name in parts if folder == within and _NAME.fullmatch(name)}


def digest_of(text: str, name: str, where: object) -> str:
    """Return the digest in the text of an .md5 file, in lower case.

    Args:
        text: ``MD5(NAME)= DIGEST``, ``DIGEST  NAME`` or ``DIGEST``; or several such lines.
        name: The file whose digest is wanted.
        where: What the text came from.

    Raises:
        CorpusError: If it holds none, or that of another file.
    """
    others = set()
    for found in filter(None, map(_DIGEST.fullmatch, map(str.strip, text.splitlines()))):
        named = found["before"] or found["after"]
        if named is None or named.strip().rpartition("/")[2] == name:
            return found["digest"].lower()
        others.add(named)
    if others:
        message = f"expected the digest of {name}, got that of {', '.join(sorted(others)[:3])}"
        raise CorpusError(f"{message}; report it to the server", file=where)
    raise CorpusError(
        f"expected 'MD5({name})= <32 hexadecimal digits>', got {text[:80]!r}; try again later", file=where
    )


def md5_of(path: Path) -> str:
    """Return the MD5 digest of a file; it detects damage, and proves nothing about who made the file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


class Server:
    """PubMed's files on a server, read over HTTP.

    Args:
        url: The folder that holds ``baseline/`` and ``updatefiles/``.
        web: How to ask.
    """

    def __init__(self, url: str = SERVER, web: Web | None = None) -> None:
        self._url = url.rstrip("/") + "/"
        self._web = web or Web()
        request_for(self._url)

    def files(self) -> list[PubmedFile]:
        """Return what the server lists, in the order in which it is to be applied.

        Raises:
            CorpusError: If it cannot be reached, or lists no file of PubMed.
        """
        found = {}
        for folder, update in _FOLDERS.items():
            url = f"{self._url}{folder}/"
            for name in names_in(self._web.read(url).decode("utf-8", "replace"), url):
                found[name] = PubmedFile.named(name, update)
        if not found:
            raise CorpusError(f"{self._url} lists no file like pubmed26n0001.xml.gz in {' or '.join(_FOLDERS)}")
        return sorted(found.values())

    def fetch(self, file: PubmedFile, folder: Path) -> Fetched:
        """Download a file, going on where an interrupted download stopped, and check it against its digest.

        Raises:
            CorpusError: If the server refuses, or what arrives does not have the published digest.
        """
        url, expected = self._place(file), self.digest(file)
        target, part = folder / file.name, folder / f"{file.name}.part"
        if target.is_file() and md5_of(target) == expected:
            return Fetched(target, expected, checked=True, temporary=True)
        folder.mkdir(parents=True, exist_ok=True)
        for _ in range(_CHECKSUM_ATTEMPTS):
            self._download(url, part)
            found = md5_of(part)
            if found == expected:
                os.replace(part, target)
                return Fetched(target, expected, checked=True, temporary=True)
            part.unlink()
        raise CorpusError(
            f"the download has the MD5 digest {found}, expected {expected} ({_CHECKSUM_ATTEMPTS} downloads); the "
            "server's file or its digest is damaged: try again later or use a mirror",
            file=url,
        )

    def digest(self, file: PubmedFile) -> str:
        """Return the published digest of a file.

        Raises:
            CorpusError: If there is none.
        """
        url = f"{self._place(file)}.md5"
        return digest_of(self._web.read(url).decode("utf-8", "replace"), file.name, url)

    def _place(self, file: PubmedFile) -> str:
        return f"{self._url}{'updatefiles' if file.update else 'baseline'}/{file.name}"

    def _download(self, url: str, part: Path) -> None:
        def request() -> urllib.request.Request:
            have = part.stat().st_size if part.exists() else 0
            return request_for(url, {"Range": f"bytes={have}-"} if have else None)

        def save(response: http.client.HTTPResponse) -> None:
            found = _RANGE.fullmatch(response.headers.get("Content-Range", "")) if response.status == 206 else None
            have = part.stat().st_size if part.exists() else 0
            if found is not None and int(found[1]) != have:
                raise ShortReadError(f"the server sent bytes from {found[1]} on, asked for those from {have} on")
            with part.open("ab" if found is not None else "wb") as file:
                for block in self._web.blocks(response):
                    file.write(block)

        try:
            self._web.ask(request, save)
        except RefusedError as error:
            # The answer to a range that begins at the end: the part is whole, or of another file; the digest tells.
            if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise


class LocalFolder:
    """PubMed's files in a folder: side by side, or in ``baseline/`` and ``updatefiles/``.

    Args:
        folder: The folder. Beside a file its digest is looked for, ``<name>.md5``.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    def files(self) -> list[PubmedFile]:
        """Return what the folder holds, in the order in which it is to be applied.

        Raises:
            CorpusError: If it holds no file of PubMed.
        """
        found: dict[str, PubmedFile] = {}
        for path, update in self._paths():  # the first of a name counts, as in fetch
            found.setdefault(path.name, PubmedFile.named(path.name, update))
        if not found:
            raise CorpusError(f"{self._folder} holds no file like pubmed26n0001.xml.gz; check the path")
        return sorted(found.values())

    def fetch(self, file: PubmedFile, folder: Path) -> Fetched:
        """Return a file where it lies, checked if its digest lies beside it.

        Raises:
            CorpusError: If its digest is not the one beside it.
        """
        path = self._path(file)
        expected, found = self._beside(path), md5_of(path)
        if expected is None:
            return Fetched(path, found, checked=False, temporary=False)
        if found != expected:
            raise CorpusError(f"has the MD5 digest {found}, expected {expected}; fetch it again", file=path)
        return Fetched(path, found, checked=True, temporary=False)

    def digest(self, file: PubmedFile) -> str:
        """Return the digest beside a file; where there is none, that of the file."""
        path = self._path(file)
        return self._beside(path) or md5_of(path)

    def _path(self, file: PubmedFile) -> Path:
        return next(path for path, _ in self._paths() if path.name == file.name)

    @staticmethod
    def _beside(path: Path) -> str | None:
        beside = path.with_name(f"{path.name}.md5")
        return digest_of(beside.read_text("utf-8", "replace"), path.name, beside) if beside.is_file() else None

    def _paths(self) -> Iterator[tuple[Path, bool | None]]:
        for name, update in {"": None, **_FOLDERS}.items():
            folder = self._folder / name
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                if _NAME.fullmatch(path.name):
                    yield path, update
