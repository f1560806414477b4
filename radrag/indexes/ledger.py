"""What the arrays of an index hold: its segments, the passages in them that are dead, and the sums BM25 needs."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radrag.errors import IndexCorruptError
from radrag.indexes.database import Database, dump

_MODULUS = 1 << 256


@dataclass(frozen=True, slots=True)
class SegmentEntry:
    """A segment as the index lists it.

    Attributes:
        low: Smallest passage id in it; segments are in this order, and so are the rows of each.
        high: Largest passage id in it.
        folder: Name of its folder under ``segments``.
        rows: How many passages it holds, dead ones too.
        files: sha256 of each file.
        vectors: How its vectors are searched: what ``build_ann`` measured, or None for exact search.
    """

    low: int
    high: int
    folder: str
    rows: int
    files: Mapping[str, str]
    vectors: Mapping[str, Any] | None


class Ledger:
    """The list of segments with what has died in them. Whoever changes it holds a transaction.

    Args:
        database: The database.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    def segments(self) -> list[SegmentEntry]:
        """Return the segments in the order of their passages."""
        rows = self._db.all("SELECT low, high, folder, rows, files, vectors, seal FROM segments ORDER BY low")
        for *row, seal in rows:
            if seal != _seal(row):
                raise IndexCorruptError(
                    f"{self._db.path}: the entry of segment {row[2]!r} was altered; rebuild the index"
                )
        return [
            SegmentEntry(low, high, folder, count, json.loads(files), json.loads(vectors))
            for low, high, folder, count, files, vectors, _ in rows
        ]

    def add(self, entry: SegmentEntry) -> None:
        """List a segment whose files are already on disk."""
        files, vectors = dump(entry.files), dump(entry.vectors)
        row = (entry.low, entry.high, entry.folder, entry.rows, files, vectors)
        self._db.run("INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, _seal(row)))

    def replace(self, old: Sequence[SegmentEntry], new: SegmentEntry | None, gone: Mapping[str, int] | None) -> None:
        """Put one segment, or none, in the place of neighbours.

        Args:
            old: The segments replaced.
            new: The segment that holds what lives of them.
            gone: For each term, how many of the dead passages, which were left out, held it; None if they stayed in.
        """
        for entry in old:
            self._db.run("DELETE FROM segments WHERE low = ?", (entry.low,))
            if gone is not None:
                self._db.run("DELETE FROM dead WHERE passage BETWEEN ? AND ?", (entry.low, entry.high))
        if new is not None:
            self.add(new)
        if gone is None:
            return
        self._db.run_many(
            "UPDATE dead_terms SET passages = passages - ? WHERE term = ?",
            ((count, term) for term, count in gone.items()),
        )
        self._db.run("DELETE FROM dead_terms WHERE passages = 0")

    def bury(self, dead: Iterable[tuple[int, Sequence[str]]]) -> None:
        """Note passages that no longer exist.

        Args:
            dead: Id and terms of each.
        """
        held: Counter[str] = Counter()
        passages, length = [], 0
        for passage, terms in dead:
            passages.append((passage,))
            length += len(terms)
            held.update(set(terms))
        self._db.run_many("INSERT INTO dead VALUES (?)", passages)
        self._db.run_many(
            "INSERT INTO dead_terms VALUES (?, ?)"
            " ON CONFLICT (term) DO UPDATE SET passages = passages + excluded.passages",
            held.items(),
        )
        self.count(-len(passages), -length)

    def dead(self) -> NDArray[np.int64]:
        """Return the ids of dead passages that segments still hold, int64 ``[n]`` ascending."""
        rows = self._db.all("SELECT passage FROM dead ORDER BY passage")
        return np.asarray(rows, dtype=np.int64).reshape(-1)

    def dead_terms(self, terms: Sequence[str]) -> dict[str, int]:
        """Return how many dead passages hold each term; terms that none holds are left out."""
        return dict(self._db.among("SELECT term, passages FROM dead_terms WHERE term IN", terms))

    def count(self, rows: int, terms: int) -> None:
        """Add to the number of live passages and of their terms."""
        before = self.counted()
        self._db.set("statistics", [before[0] + rows, before[1] + terms])

    def counted(self) -> tuple[int, int]:
        """Return the number of live passages and of all their terms."""
        rows, terms = self._db.get("statistics") or (0, 0)
        return rows, terms

    def add_content(self, added: Iterable[bytes], removed: Iterable[bytes] = ()) -> None:
        """Update the hash of all content, which does not depend on order: the sum of the documents' hashes."""
        value = int(self.content(), 16)
        value += sum(int.from_bytes(one) for one in added) - sum(int.from_bytes(one) for one in removed)
        self._db.set("content", f"{value % _MODULUS:064x}")

    def content(self) -> str:
        """Return the hash of all content."""
        return str(self._db.get("content") or "0" * 64)

    def facts(self) -> dict[str, Any]:
        """Return what a manifest says: passages that are dead, hash of the content, rows and recall of each segment."""
        (dead,) = self._db.one("SELECT COUNT(*) FROM dead")
        segments = [{"rows": one.rows, "vectors": one.vectors} for one in self.segments()]
        return {"dead": dead, "content": self.content(), "segments": segments}


def _seal(row: Sequence[Any]) -> str:
    return hashlib.sha256(repr(tuple(row)).encode("utf-8", "surrogatepass")).hexdigest()
