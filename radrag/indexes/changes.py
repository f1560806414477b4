"""What changes an index: one process at a time, batch by batch, segments joined afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from radrag.corpora import Chunking
from radrag.indexes.database import Database, only_writer
from radrag.indexes.merging import Merger
from radrag.indexes.progress import in_batches
from radrag.indexes.store import Store
from radrag.indexes.writing import Writer
from radrag.protocols import Encoder
from radrag.types import Document, Notice


class Changes:
    """Writes to one index; see the methods of ``HybridIndex`` of the same names.

    Args:
        path: Folder of the index.
        database: Its database.
        encoder: Encoder of passages.
    """

    def __init__(self, path: Path, database: Database, encoder: Encoder) -> None:
        self._path, self._db, self._encoder = path, database, encoder

    def add(
        self, documents: Iterable[Document], skip_existing: bool, batch_size: int, bar: str | None, total: int | None
    ) -> dict[str, int]:
        """Add documents; return counts."""
        report = {"added": 0, "skipped": 0, "empty": 0, "passages": 0}
        with self._writing() as (writer, merger):
            for batch in in_batches(documents, batch_size, bar, total):
                _sum(report, writer.add(batch, skip_existing))
                merger.relieve()
        return report

    def update(
        self, documents: Iterable[Document], batch_size: int, bar: str | None, total: int | None
    ) -> dict[str, int]:
        """Add or replace documents; return counts."""
        report = {"added": 0, "updated": 0, "skipped": 0, "empty": 0, "passages": 0}
        with self._writing() as (writer, merger):
            for batch in in_batches(documents, batch_size, bar, total):
                _sum(report, writer.update(batch))
                merger.relieve()
        return report

    def delete(self, names: Sequence[str]) -> dict[str, int]:
        """Delete documents in one transaction; return counts."""
        with self._writing() as (writer, _):
            return writer.delete(names)

    def set_notices(self, origin: str, notices: Iterable[Notice]) -> int:
        """Replace the notices of an origin; return how many there are now."""
        if not origin or origin.startswith("document:"):
            raise ValueError(f"origin must be a name that does not begin with 'document:', got {origin!r}")
        kept = list(notices)
        with only_writer(self._path), self._db.transaction():
            return Store(self._db).set_notices(origin, kept)

    def compact(self) -> None:
        """Join all segments into one and shrink the files."""
        with self._writing() as (_, merger):
            merger.compact()
            self._db.shrink()

    def measure(self, queries: Sequence[str]) -> None:
        """Measure the recall of approximate search with these queries, and choose anew how deep it goes."""
        probes = np.asarray(self._encoder.encode(list(queries), "query"), dtype=np.float32)
        with only_writer(self._path):
            Merger(self._path, self._db, self._encoder.dim).measure(probes)

    def set(self, key: str, value: Any) -> None:
        """Keep a JSON value."""
        with only_writer(self._path), self._db.transaction():
            self._db.set(key, value)

    @contextmanager
    def _writing(self) -> Iterator[tuple[Writer, Merger]]:
        """Give what writes and what joins; join segments at the end, also after an error."""
        with only_writer(self._path):
            merger = Merger(self._path, self._db, self._encoder.dim)
            settings, before = self._db.get("settings"), self._db.get("revision")
            encoder = self._passages() if settings["cache_embeddings"] else self._encoder
            chunking = Chunking(**settings["chunking"])
            try:
                yield Writer(self._path, self._db, encoder, chunking, settings["facets"]), merger
            finally:
                if self._db.get("revision") != before:
                    merger.settle()

    def _passages(self) -> Encoder:
        from radrag.indexes.embedding_cache import CachedEncoder

        return CachedEncoder(self._encoder, self._path / "embeddings.sqlite")


def _sum(report: dict[str, int], counts: Mapping[str, int]) -> None:
    for name, count in counts.items():
        report[name] += count
