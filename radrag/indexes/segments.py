"""A segment: the postings and vectors of a batch of passages, in a folder written once and never changed."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from radrag.errors import IndexCorruptError
from radrag.indexes.postings import FILES, Postings, read_postings, write_postings

_FILES = (*FILES, "vectors.npy")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Segment:
    """Rows of an index.

    Attributes:
        postings: Which terms each row holds.
        vectors: float32 ``[rows, dim]`` of unit length.
    """

    postings: Postings
    vectors: NDArray[np.float32]


def write_segment(segment: Segment, parent: Path) -> tuple[str, dict[str, str]]:
    """Write a segment whole, or not at all.

    Returns:
        Name of its folder under ``parent`` and the sha256 of each file.
    """
    name = uuid.uuid4().hex[:12]
    draft = parent / f".{name}"
    draft.mkdir(parents=True)
    try:
        write_postings(segment.postings, draft)
        np.save(draft / "vectors.npy", np.ascontiguousarray(segment.vectors, dtype=np.float32))
        hashes = {file: _sha256(draft / file) for file in _FILES}
        for file in _FILES:
            _sync(draft / file)
        draft.rename(parent / name)
        _sync(parent)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return name, hashes


def read_segment(folder: Path, rows: int, dim: int) -> Segment:
    """Open a segment, memory-mapped, and check that its shapes are the ones recorded."""
    try:
        segment = Segment(read_postings(folder), np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False))
    except (ValueError, UnicodeDecodeError, EOFError) as error:
        raise IndexCorruptError(f"segment {folder} cannot be read ({error}); rebuild the index") from error
    if segment.vectors.shape != (rows, dim) or len(segment.postings.lengths) != rows:
        raise IndexCorruptError(
            f"segment {folder} holds {len(segment.postings.lengths)} rows and vectors {segment.vectors.shape}, "
            f"expected {rows} rows of {dim}; rebuild the index"
        )
    return segment


def verify_segment(folder: Path, files: dict[str, str]) -> list[str]:
    """Return what differs from the recorded hashes, a line each."""
    problems = []
    for file, expected in files.items():
        path = folder / file
        if not path.is_file():
            problems.append(f"{path} is missing")
        elif _sha256(path) != expected:
            problems.append(f"{path} was altered: its sha256 is not the one recorded")
    return problems


def remove_unnamed(parent: Path, keep: set[str]) -> None:
    """Delete segment folders that no committed state names: left by an interrupted write, or replaced."""
    for folder in parent.iterdir() if parent.is_dir() else ():
        if folder.name not in keep:
            shutil.rmtree(folder, ignore_errors=True)


def retry_missing(read: Callable[[], T], times: int = 3) -> T:
    """Call again if a file vanished meanwhile: a writer may have replaced the segments just listed."""
    for left in range(times - 1, -1, -1):
        try:
            return read()
        except FileNotFoundError as error:
            if not left:
                raise IndexCorruptError(f"{error.filename} is missing from the index; rebuild it") from error
    raise AssertionError


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
