"""Files of arrays: ``.npy`` opened memory-mapped, from any thread; the sha256 of any file, and that it is on disk."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

_HEADER = re.compile(
    r"\{'descr': '([<|][a-z]\d{1,2})', 'fortran_order': False, 'shape': \(((?:\d+, ?)*(?:\d+,?)?)\), \} *\n"
)


def open_array(path: Path) -> np.memmap[Any, Any]:
    """Map an array of numbers that ``np.save`` wrote.

    ``np.load`` reads the header with ``ast.literal_eval``, which fails at random in CPython 3.11 when several threads
    do so at once (python/cpython#106905); here a pattern reads it.

    Raises:
        ValueError: It is not such a file, or is shorter than its header says.
    """
    with path.open("rb") as stream:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise ValueError(f"{path.name} is of .npy version {version}, expected (1, 0)")
        header = stream.read(int.from_bytes(stream.read(2), "little")).decode("latin-1")
        start = stream.tell()
    found = _HEADER.fullmatch(header)
    if found is None:
        raise ValueError(f"{path.name} does not hold an array of numbers: {header.strip()[:100]!r}")
    shape = tuple(int(size) for size in found[2].split(",") if size.strip())
    try:
        dtype = np.dtype(found[1])
    except TypeError as error:
        raise ValueError(f"{path.name} holds values of an unknown type, {found[1]!r}") from error
    if dtype.hasobject or (size := path.stat().st_size) < start + int(np.prod(shape, dtype=object)) * dtype.itemsize:
        raise ValueError(f"{path.name} is cut off or holds objects: shape {shape} of {dtype}, {size} bytes")
    return np.memmap(path, dtype=dtype, mode="r", offset=start, shape=shape)


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Wait until a file or folder is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
