"""A segment: what some passages are found by, in a folder of arrays written once, never changed and memory-mapped."""

from __future__ import annotations

import errno
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from radrag.errors import IndexCorruptError, IndexStateError
from radrag.indexes.ann import FILE
from radrag.indexes.arrays import file_sha256, open_array, sync
from radrag.indexes.dense import DenseSegment
from radrag.indexes.ledger import SegmentEntry
from radrag.indexes.postings import ARRAYS, Postings, build_postings, read_postings, write_postings

T = TypeVar("T")
_ARRAYS = ("vectors", "ids", "owners")
_TYPES = {
    "vectors": ("<f2",),
    **dict.fromkeys(("ids", "owners", "term_ends", "indptr"), ("<i8",)),
    **dict.fromkeys(("rows", "pairs", "max_tf", "lengths"), ("<i4",)),
    "codes": ("<u2", "<u4"),
}


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """Rows of an index, a passage each, ascending by passage id.

    Attributes:
        postings: Which words each row holds.
        facets: Which metadata values each row has.
        vectors: float16 ``[n, dim]`` of unit length.
        dense: Search over the vectors.
        ids: int64 ``[n]`` passage ids.
        owners: int64 ``[n]`` numbers of their documents.
    """

    postings: Postings
    facets: Postings
    vectors: NDArray[np.float16]
    dense: DenseSegment
    ids: NDArray[np.int64]
    owners: NDArray[np.int64]

    @property
    def rows(self) -> int:
        """How many passages it holds."""
        return len(self.ids)


def memory_segment(postings: Postings, vectors: NDArray[np.floating]) -> Segment:
    """Return a segment that is on no disk; a row's id and owner are its position."""
    rows = np.arange(postings.count, dtype=np.int64)
    halves = np.ascontiguousarray(vectors, dtype=np.float16)
    return Segment(postings, build_postings([()] * len(rows)), halves, DenseSegment(halves, None, None), rows, rows)


@contextmanager
def new_folder(parent: Path) -> Iterator[Path]:
    """Give an empty folder to fill and then to pass to ``named``; it is removed on an error."""
    name = uuid.uuid4().hex[:12]
    draft = parent / f".{name}"
    draft.mkdir(parents=True)
    try:
        yield draft
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def named(draft: Path) -> Path:
    """Give a filled folder its name, after everything in it is on disk."""
    for path in [*draft.rglob("*"), draft]:
        sync(path)
    final = draft.with_name(final_name(draft))
    draft.rename(final)
    sync(final.parent)
    return final


def final_name(draft: Path) -> str:
    """Return the name that ``named`` will give."""
    return draft.name.removeprefix(".")


def write_arrays(
    folder: Path, postings: Postings, facets: Postings, vectors: NDArray[np.floating]
) -> None:  # ids and owners are known only inside the transaction that gives them
    """Write what a segment's rows are found by."""
    write_postings(postings, folder)
    (folder / "facets").mkdir()
    write_postings(facets, folder / "facets")
    np.save(folder / "vectors.npy", np.ascontiguousarray(vectors, dtype=np.float16))


def write_rows(folder: Path, ids: NDArray[np.int64], owners: NDArray[np.int64]) -> None:
    """Write whose rows they are."""
    np.save(folder / "ids.npy", ids)
    np.save(folder / "owners.npy", owners)


def entry(folder: Path, ids: NDArray[np.int64], vectors: Mapping[str, Any] | None) -> SegmentEntry:
    """Describe a folder that is complete.

    Raises:
        OSError: If an array in it is not; ``np.save`` does not notice that a full disk takes its last 4 kB.
    """
    for path in folder.rglob("*.npy"):
        try:
            open_array(path)
        except ValueError as error:
            raise OSError(
                errno.ENOSPC, f"{error}: it could not be written whole; is the disk full?", str(path)
            ) from error
    return SegmentEntry(int(ids[0]), int(ids[-1]), final_name(folder), len(ids), file_hashes(folder), vectors)


def read_segment(folder: Path, listed: SegmentEntry, dim: int) -> Segment:
    """Open a segment, memory-mapped, and check that its shapes are the ones recorded.

    Raises:
        FileNotFoundError: If a file of it is not there.
        IndexCorruptError: If it cannot be read or is not what was recorded.
    """
    try:
        loaded = (open_array(folder / f"{name}.npy") for name in _ARRAYS)
        vectors, ids, owners = (np.asarray(array) for array in loaded)
        postings, facets = read_postings(folder), read_postings(folder / "facets")
    except (ValueError, EOFError) as error:
        raise IndexCorruptError(f"segment {folder} cannot be read ({error}); rebuild the index") from error
    shapes = (vectors.shape, ids.shape, owners.shape, postings.count, facets.count)
    if shapes != ((listed.rows, dim), (listed.rows,), (listed.rows,), listed.rows, listed.rows):
        raise IndexCorruptError(
            f"segment {folder} holds arrays of shapes {shapes}, expected {listed.rows} rows of {dim}; rebuild the index"
        )
    read = [*zip(_ARRAYS, (vectors, ids, owners), strict=True)]
    read += [(name, getattr(one, name)) for one in (postings, facets) for name in ARRAYS]
    wrong = {name: array.dtype.str for name, array in read if array.dtype.str not in _TYPES[name]}
    if wrong:
        raise IndexCorruptError(f"segment {folder} holds values of types {wrong}; rebuild the index")
    if int(ids[0]) != listed.low or int(ids[-1]) != listed.high:
        raise IndexCorruptError(f"segment {folder} holds other passages than recorded; rebuild the index")
    facts = None if listed.vectors is None else dict(listed.vectors)
    dense = DenseSegment(vectors, folder, facts, listed.files.get(FILE))
    return Segment(postings, facets, vectors, dense, ids, owners)


def verify_segment(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Return what differs from the recorded hashes, a line each."""
    problems = []
    for file, expected in files.items():
        path = folder / file
        if not path.is_file():
            problems.append(f"{path} is missing")
        elif file_sha256(path) != expected:
            problems.append(f"{path} was altered: its sha256 is not the one recorded")
    return problems


def remove_unnamed(parent: Path, keep: set[str]) -> None:
    """Delete segment folders that no committed state names: left by an interrupted write, or replaced."""
    for folder in parent.iterdir() if parent.is_dir() else ():
        if folder.name not in keep:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def damage_told() -> Iterator[None]:
    """Tell what cannot be read in a segment's arrays as damage; no code of a user's may run inside.

    Raises:
        IndexCorruptError: In the place of an error of arrays or of text.
    """
    try:
        yield
    except (IndexError, UnicodeDecodeError) as error:
        raise IndexCorruptError(
            f"a segment names rows or terms that it cannot hold ({error}); rebuild the index"
        ) from error


def retry_missing(parent: Path, read: Callable[[], T], seconds: float = 10.0) -> T:
    """Call again if a file of a segment vanished meanwhile: a writer may have replaced the segments just listed.

    A folder's name is never used again, and it is removed only after no state lists it. So a file that was missing
    before, and is still listed when the list is read again, is damage.

    Args:
        parent: The folder of all segments; a file missing elsewhere is the affair of whoever wanted it.
        read: What may find that one is missing.
        seconds: How long to go on.

    Raises:
        IndexCorruptError: If a file is missing.
        IndexStateError: If segments were replaced again and again for so long.
    """
    missing: set[str] = set()
    end = monotonic() + seconds
    while True:
        try:
            return read()
        except FileNotFoundError as error:
            file = str(error.filename)
            if not Path(file).is_relative_to(parent):
                raise
            if file in missing:
                raise IndexCorruptError(f"{file} is missing from the index; rebuild it") from error
            if monotonic() > end:
                raise IndexStateError(f"the index was written all the while, {file} last; try again later") from error
            missing.add(file)


def file_hashes(folder: Path, known: Collection[str] = ()) -> dict[str, str]:
    """Return the sha256 of each file below a folder that is not known yet, by its relative name."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: file_sha256(path) for name, path in files.items() if name not in known}
