"""Reading files of records: lines of UTF-8, gzipped or not, with errors that name the file and the line."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from radrag.errors import CorpusError

_GZIP_MAGIC = b"\x1f\x8b"
GZIP_ERRORS = (EOFError, gzip.BadGzipFile, zlib.error)


def open_bytes(path: Path) -> IO[bytes] | gzip.GzipFile:
    """Open a file for reading, through gzip if its first bytes say so.

    Raises:
        CorpusError: If there is no such file.
    """
    try:
        file = path.open("rb")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise CorpusError("there is no such file; check the path", file=path) from error
    magic = file.read(2)
    file.seek(0)
    if magic != _GZIP_MAGIC:
        return file
    file.close()
    return gzip.open(path, "rb")


def _damaged(error: Exception, path: Path, record: object = None) -> CorpusError:
    return CorpusError(f"the gzip data is cut off or damaged ({error}); fetch the file again", file=path, record=record)


def file_bytes(path: Path) -> bytes:
    """Return a whole file as it is.

    Raises:
        CorpusError: If there is no such file, it is empty, or its gzip data is damaged.
    """
    with open_bytes(path) as file:
        try:
            data = file.read()
        except GZIP_ERRORS as error:
            raise _damaged(error, path) from error
    if not data:
        raise CorpusError("the file is empty", file=path)
    return data


def decoded(data: bytes, path: Path, record: object) -> str:
    """Decode UTF-8, and refuse bytes that are not UTF-8 and NUL characters."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"byte {data[error.start]:#04x} is not UTF-8; save the file as UTF-8", file=path, record=record
        ) from error
    if "\0" in text:
        raise CorpusError("holds a NUL character, expected text; remove it", file=path, record=record)
    return text


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield every line with its 1-based number and its line end; a byte order mark at the start is left out."""
    number = 0
    with open_bytes(path) as file:
        try:
            for number, data in enumerate(file, start=1):
                text = decoded(data, path, number)
                yield number, text.removeprefix("\ufeff") if number == 1 else text
        except GZIP_ERRORS as error:
            raise _damaged(error, path, number + 1) from error


def whole_text(path: Path) -> str:
    r"""Return a whole text file with line ends as ``\n``."""
    text = "".join(line for _, line in lines(path))
    return text.replace("\r\n", "\n").replace("\r", "\n")
