"""What changes an index: one process at a time, batch by batch, segments joined afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from radrag.corpora import Chunking
from radrag.corpora.values import plain
from radrag.indexes.database import Database
from radrag.indexes.embedding_cache import CACHE, CachedEncoder, checked_vectors, holds_vectors
from radrag.indexes.merging import Merger
from radrag.indexes.notices import read_notices
from radrag.indexes.progress import in_batches
from radrag.indexes.settings import refuse_dim
from radrag.indexes.store import Store
from radrag.indexes.writer_lock import only_writer
from radrag.indexes.writing import Writer
from radrag.protocols import Encoder
from radrag.types import Document, Notice

_STORE = "store.sqlite"
_FRESH = {"settings", "revision", "note:build"}  # what an index holds to which nothing was ever written


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

    def delete(self, names: Sequence[str], keep_notices: bool) -> dict[str, int]:
        """Delete documents in one transaction; return counts."""
        for name in names:
            if not isinstance(name, str):
                raise TypeError(f"ids must be texts, got {name!r:.200}")
        with self._writing() as (writer, _):
            return writer.delete([*dict.fromkeys(map(plain, names))], keep_notices)

    def set_notices(self, origin: str, notices: Iterable[Notice]) -> int:
        """Replace the notices of an origin; return how many there are now."""
        return self.set_notices_of({origin: notices})[origin]

    def set_notices_of(self, notices: Mapping[str, Iterable[Notice]]) -> dict[str, int]:
        """Replace the notices of several origins at once; return how many each has now."""
        for origin in notices:
            if not origin or origin.startswith("document:"):
                raise ValueError(f"origin must be a name that does not begin with 'document:', got {origin!r}")
        kept = {origin: list(read_notices(origin, said)) for origin, said in notices.items()}
        with only_writer(self._path), self._db.transaction():
            store = Store(self._db)
            return {origin: store.set_notices(origin, said) for origin, said in kept.items()}

    def compact(self) -> None:
        """Join all segments into one and shrink the files."""
        with self._writing() as (_, merger):
            merger.compact()
            self._db.shrink()

    def measure(self, queries: Sequence[str]) -> None:
        """Measure the recall of approximate search with these queries, and choose anew how deep it goes."""
        asked = list(queries)
        if not asked or not all(query.strip() for query in asked):
            raise ValueError(f"measure needs queries that are not blank, got {asked!r:.200}")
        refuse_dim(self._path, self._db.get("settings"), self._encoder)
        probes = checked_vectors(self._encoder, asked, "query")
        with only_writer(self._path):
            Merger(self._path, self._db, self._encoder.dim).measure(probes)

    def set(self, key: str, value: Any) -> None:
        """Keep a JSON value."""
        with only_writer(self._path), self._db.transaction():
            self._db.set(key, value)

    @contextmanager
    def _writing(self) -> Iterator[tuple[Writer, Merger]]:
        """Give what writes and what joins; join segments at the end, also after an error.

        Also if nothing was written: a write that was killed leaves segments to join and folders to sweep.
        """
        with only_writer(self._path):
            merger = Merger(self._path, self._db, self._encoder.dim)
            settings = self._db.get("settings")
            refuse_dim(self._path, settings, self._encoder)
            encoder = self._passages() if settings["cache_embeddings"] else self._encoder
            chunking = Chunking(**settings["chunking"])
            try:
                yield Writer(self._path, self._db, encoder, chunking, settings["facets"]), merger
            except Exception:  # who interrupts wants an end; the next write joins
                with suppress(Exception):  # what failed first is what counts
                    merger.settle()
                raise
            merger.settle()

    def _passages(self) -> Encoder:
        return CachedEncoder(self._encoder, self._path / CACHE)


def discard(folder: Path) -> bool:
    """Remove an index that never held a document, a notice, a vector or a note of the user's.

    It is called after something failed, and that is what counts, so that nothing is raised here.

    Returns:
        Whether there was one and it was removed; if not, it is left as it can be used.
    """
    with suppress(Exception):
        return (folder / _STORE).is_file() and _discard(folder)
    return False


def _discard(folder: Path) -> bool:
    with only_writer(folder):
        database = Database(folder / _STORE)
        try:
            used = {key for (key,) in database.all("SELECT key FROM meta")} - _FRESH
        finally:
            database.close()
        if used or holds_vectors(folder / CACHE):
            return False
        shutil.rmtree(folder / "segments", ignore_errors=True)
        beside = [folder / "revision", *(folder / f"{_STORE}{end}" for end in ("-shm", "-wal"))]
        for path in (*folder.glob(f"{CACHE}*"), *beside, folder / _STORE):  # the store last: it makes it an index
            path.unlink(missing_ok=True)
        with suppress(OSError):  # something else may be in the folder
            for name in ("writer.lock-journal", "writer.lock"):  # while it is held: who waits must not get it after
                (folder / name).unlink(missing_ok=True)
            folder.rmdir()
    return True


def _sum(report: dict[str, int], counts: Mapping[str, int]) -> None:
    for name, count in counts.items():
        report[name] += count
