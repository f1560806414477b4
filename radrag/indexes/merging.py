"""Joining segments, so that a search reads few of them however often an index was written to.

Source of the scheme: O'Neil et al., "The log-structured merge-tree", Acta Informatica 1996: neighbours of like size are
joined, so a passage is rewritten a number of times that grows with the logarithm of the index. What died meanwhile is
left out.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radrag.errors import IndexCorruptError
from radrag.indexes.ann import FILE
from radrag.indexes.arrays import open_array
from radrag.indexes.database import Database
from radrag.indexes.dense import MIN_ANN_ROWS, build_ann, measure_ann
from radrag.indexes.ledger import Ledger, SegmentEntry
from radrag.indexes.postings_merge import merge_postings
from radrag.indexes.probes import read_probes
from radrag.indexes.segments import (
    Segment,
    entry,
    file_hashes,
    final_name,
    named,
    new_folder,
    read_segment,
    remove_unnamed,
    verify_segment,
    write_rows,
)

_FAN_IN = 16
_SHARE = 8
_ANN_WHILE_WRITING = 500_000
_MAX_DEAD = 0.2
_BLOCK = 1 << 16


class Merger:
    """Joins the segments of one index. Its owner holds the right to write (``only_writer``).

    Args:
        path: Folder of the index.
        database: Its database.
        dim: Length of a vector.
    """

    def __init__(self, path: Path, database: Database, dim: int) -> None:
        self._parent = path / "segments"
        self._db, self._ledger, self._dim = database, Ledger(database), dim

    def relieve(self) -> None:
        """Join segments during a long write, when many of like size stand at the end."""
        listed = self._ledger.segments()
        while (start := crowded([one.rows for one in listed])) is not None:  # what was joined may crowd its neighbours
            self._join(listed[start:], _ANN_WHILE_WRITING)
            self.sweep()  # or a long write would keep every passage as often as it was joined
            listed = self._ledger.segments()

    def settle(self) -> None:
        """Join segments after a write until few are left, and rewrite those of which much has died."""
        listed = self._ledger.segments()
        dead = self._ledger.dead()
        for one in listed:
            low, high = np.searchsorted(dead, [one.low, one.high + 1])
            if high - low > _MAX_DEAD * one.rows:
                self._join([one])
        listed = self._ledger.segments()
        start = surplus([one.rows for one in listed])
        if start is not None:
            self._join(listed[start:])
        self._index_vectors()
        self.sweep()

    def compact(self) -> None:
        """Join everything into one segment without anything dead."""
        listed = self._ledger.segments()
        if len(listed) > 1 or len(self._ledger.dead()):
            self._join(listed)
        self._index_vectors()
        self.sweep()

    def _index_vectors(self) -> None:
        """Give segments the approximate search that their size asks for and that a long write left out."""
        for old in self._ledger.segments():
            if old.rows < MIN_ANN_ROWS or old.vectors is not None:
                continue
            source = self._parent / old.folder
            with new_folder(self._parent) as draft:
                (draft / "facets").mkdir()
                for file in old.files:
                    _link(source / file, draft / file)
                vectors = open_array(draft / "vectors.npy")
                facts = build_ann(vectors, read_probes(self._db, self._dim), draft)
                files = {**old.files, **file_hashes(draft, known=old.files)}
                new = replace(old, folder=final_name(draft), files=files, vectors=facts)
                with self._db.transaction():
                    self._ledger.replace([old], new, gone=None)
                    named(draft)

    def measure(self, probes: NDArray[np.float32]) -> None:
        """Measure the recall of approximate search with query vectors, and choose anew how deep it goes."""
        for old in self._ledger.segments():
            if old.vectors is not None:
                folder = self._parent / old.folder
                vectors = open_array(folder / "vectors.npy")
                facts = measure_ann(vectors, probes, folder, sha256=old.files.get(FILE))
                with self._db.transaction():
                    self._ledger.replace([old], replace(old, vectors=facts), None)

    def sweep(self) -> None:
        """Delete folders that no state names."""
        remove_unnamed(self._parent, {one.folder for one in self._ledger.segments()})

    def _join(self, old: Sequence[SegmentEntry], ann_from: int = MIN_ANN_ROWS) -> None:
        problems = [line for one in old for line in verify_segment(self._parent / one.folder, one.files)]
        if problems:  # or what was altered would get new hashes and be believed
            raise IndexCorruptError(f"segments cannot be joined: {'; '.join(problems)}; rebuild the index")
        parts = [read_segment(self._parent / one.folder, one, self._dim) for one in old]
        dead = self._ledger.dead()
        keep = [_living(part, dead) for part in parts]
        rows = sum(part.rows if kept is None else int(kept.sum()) for part, kept in zip(parts, keep, strict=True))
        with new_folder(self._parent) as draft:
            gone = merge_postings([part.postings for part in parts], keep, draft)
            new = self._write(draft, parts, keep, rows, ann_from) if rows else None
            with self._db.transaction():
                self._ledger.replace(old, new, gone)
                if new is not None:
                    named(draft)

    def _write(
        self, draft: Path, parts: Sequence[Segment], keep: Sequence[NDArray[np.bool_] | None], rows: int, ann_from: int
    ) -> SegmentEntry:
        (draft / "facets").mkdir()
        merge_postings([part.facets for part in parts], keep, draft / "facets")
        ids, owners = (_joined([getattr(part, name) for part in parts], keep) for name in ("ids", "owners"))
        write_rows(draft, ids, owners)
        vectors = np.lib.format.open_memmap(
            str(draft / "vectors.npy"), mode="w+", dtype=np.float16, shape=(rows, self._dim)
        )
        _reserve(draft / "vectors.npy")
        at = 0
        for part, kept in zip(parts, keep, strict=True):
            for start in range(0, part.rows, _BLOCK):
                block = part.vectors[start : start + _BLOCK]
                block = block if kept is None else block[kept[start : start + _BLOCK]]
                vectors[at : at + len(block)] = block
                at += len(block)
        vectors.flush()
        facts = build_ann(vectors, read_probes(self._db, self._dim), draft) if rows >= ann_from else None
        return entry(draft, ids, facts)


def crowded(sizes: Sequence[int]) -> int | None:
    """Return from which segment on the last ones should be joined during a long write, or None.

    Those at the end that are all smaller than ``_FAN_IN`` times the smallest of them are of like size.
    """
    start, smallest = len(sizes), None
    for position in range(len(sizes) - 1, -1, -1):
        lowest = sizes[position] if smallest is None else min(smallest, sizes[position])
        if max(sizes[position:]) >= _FAN_IN * lowest:
            break
        start, smallest = position, lowest
    return start if len(sizes) - start >= _FAN_IN else None


def surplus(sizes: Sequence[int]) -> int | None:
    """Return from which segment on the last ones should be joined after a write, or None if few enough are left.

    Joined are those that are small beside what follows them: a segment is kept if it is at least ``_SHARE`` times as
    large as all after it, so that single additions do not rewrite a large index.
    """
    start, after = len(sizes) - 1, sizes[-1] if sizes else 0
    for position in range(len(sizes) - 2, -1, -1):
        if sizes[position] < _SHARE * after:
            start = position
        after += sizes[position]
    return start if start < len(sizes) - 1 else None


def _living(part: Segment, dead: NDArray[np.int64]) -> NDArray[np.bool_] | None:
    low, high = np.searchsorted(dead, [part.ids[0], part.ids[-1] + 1])
    if low == high:
        return None
    keep = np.ones(part.rows, dtype=np.bool_)
    keep[np.searchsorted(part.ids, dead[low:high])] = False
    return keep


def _joined(arrays: Sequence[NDArray[np.int64]], keep: Sequence[NDArray[np.bool_] | None]) -> NDArray[np.int64]:
    return np.concatenate([array if kept is None else array[kept] for array, kept in zip(arrays, keep, strict=True)])


def _reserve(path: Path) -> None:
    """Take a file's room on the disk; where there is none, writing to its map would end the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)


def _link(source: Path, target: Path) -> None:
    """Give a file that never changes a second name; where the file system cannot, copy it."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
