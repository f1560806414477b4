"""PubMed's files: what a server or a folder has of the baseline and the updates, and getting one whole.

As https://ftp.ncbi.nlm.nih.gov/pubmed/ and its mirrors serve them: ``baseline/`` and ``updatefiles/``, each a listing
of links, and beside every file its MD5 digest. Update files carry on the numbers of their year's baseline.
"""

from __future__ import annotations

import hashlib
import http
import http.client
import os
import re
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
_LINK = re.compile(r'href\s*=\s*"(?:\./)?(pubmed\d\dn\d{4,}\.xml\.gz)"', re.IGNORECASE)
_DIGEST = re.compile(r"(?:MD5\s*\(([^)]*)\)\s*=\s*)?\b([0-9a-fA-F]{32})\b")
_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")
_BLOCK = 1 << 18
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


def digest_of(text: str, name: str, where: object) -> str:
    """Return the digest in the text of an .md5 file, in lower case.

    Raises:
        CorpusError: If it holds none, or that of another file.
    """
    found = _DIGEST.search(text)
    if found is None:
        raise CorpusError(f"expected 'MD5({name})= <32 hexadecimal digits>', got {text[:80]!r}", file=where)
    if found[1] not in (None, name):
        raise CorpusError(f"expected the digest of {name}, got that of {found[1]}; report it to the server", file=where)
    return found[2].lower()


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
            listing = self._web.read(f"{self._url}{folder}/").decode("utf-8", "replace")
            for name in _LINK.findall(listing):
                found[name] = PubmedFile.named(name, update)
        if not found:
            raise CorpusError(f"{self._url} lists no file like pubmed26n0001.xml.gz in {' or '.join(_FOLDERS)}")
        return sorted(found.values())

    def fetch(self, file: PubmedFile, folder: Path) -> Fetched:
        """Download a file, going on where an interrupted download stopped, and check it against its digest.

        Raises:
            CorpusError: If the server refuses, or what arrives does not have the published digest.
        """
        url = f"{self._url}{'updatefiles' if file.update else 'baseline'}/{file.name}"
        expected = digest_of(self._web.read(f"{url}.md5").decode("utf-8", "replace"), file.name, f"{url}.md5")
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

    def _download(self, url: str, part: Path) -> None:
        def request() -> urllib.request.Request:
            have = part.stat().st_size if part.exists() else 0
            return request_for(url, {"Range": f"bytes={have}-"} if have else None)

        def save(response: http.client.HTTPResponse) -> None:
            found = _RANGE.fullmatch(response.headers.get("Content-Range", "")) if response.status == 206 else None
            have = part.stat().st_size if part.exists() else 0
            if found is not None and int(found[1]) != have:
                raise ShortReadError(f"the server sent bytes from {found[1]} on, asked for those from {have} on")
            length = response.headers.get("Content-Length")
            arrived = 0
            with part.open("ab" if found is not None else "wb") as file:
                while block := response.read(_BLOCK):
                    file.write(block)
                    arrived += len(block)
            if length is not None and arrived < int(length):
                raise ShortReadError(f"the download ended after {arrived} of {length} bytes")

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
        found = {path.name: PubmedFile.named(path.name, update) for path, update in self._paths()}
        if not found:
            raise CorpusError(f"{self._folder} holds no file like pubmed26n0001.xml.gz; check the path")
        return sorted(found.values())

    def fetch(self, file: PubmedFile, folder: Path) -> Fetched:
        """Return a file where it lies, checked if its digest lies beside it.

        Raises:
            CorpusError: If its digest is not the one beside it.
        """
        path = next(path for path, _ in self._paths() if path.name == file.name)
        beside, found = path.with_name(f"{path.name}.md5"), md5_of(path)
        if not beside.is_file():
            return Fetched(path, found, checked=False, temporary=False)
        expected = digest_of(beside.read_text("utf-8", "replace"), file.name, beside)
        if found != expected:
            raise CorpusError(f"has the MD5 digest {found}, expected {expected}; fetch it again", file=path)
        return Fetched(path, found, checked=True, temporary=False)

    def _paths(self) -> Iterator[tuple[Path, bool | None]]:
        for name, update in {"": None, **_FOLDERS}.items():
            folder = self._folder / name
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                if _NAME.fullmatch(path.name):
                    yield path, update
