"""SQLite store of documents, passages and segments. One transaction is one visible state."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radrag.errors import IndexCorruptError, IndexStateError
from radrag.indexes.filters import Where, compile_where
from radrag.types import Document, Passage, Section

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, title TEXT NOT NULL, kind TEXT NOT NULL,
    text TEXT NOT NULL, sections TEXT NOT NULL, metadata TEXT NOT NULL, retracted INTEGER NOT NULL, sha256 TEXT NOT NULL
);
CREATE TABLE passages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, document INTEGER NOT NULL REFERENCES documents (id),
    first INTEGER NOT NULL, last INTEGER NOT NULL, path TEXT NOT NULL
);
CREATE INDEX passages_document ON passages (document);
CREATE TABLE segments (id INTEGER PRIMARY KEY AUTOINCREMENT, folder TEXT NOT NULL, rows INTEGER NOT NULL,
    files TEXT NOT NULL);
"""


def text_sha256(document: Document) -> str:
    """Hash what a document says: id, title, kind, text, sections and metadata."""
    sections = [[list(section.path), section.start, section.end] for section in document.sections]
    parts = [document.id, document.title, document.kind, document.text, _dump(sections), _dump(document.metadata)]
    return hashlib.sha256("\x00".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


class Store:
    """Documents, passages and the list of segments, in one SQLite file.

    Args:
        path: The file.
        create: Make it; it must not exist.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self._path = path
        if not create and not path.is_file():
            raise IndexStateError(
                f"{path} does not exist; make an index with HybridIndex.create or `radrag index build`"
            )
        self._db = sqlite3.connect(path, isolation_level=None, timeout=5, check_same_thread=False)
        try:
            self._db.execute("PRAGMA foreign_keys = ON")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            if create:
                self._db.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise IndexCorruptError(f"{path} is not a radrag store ({error}); rebuild the index") from error

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make everything inside visible at once, or nothing of it."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise IndexStateError(f"{self._path} is being written by another process; try again later") from error
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let everything read inside come from one state, whatever is written meanwhile."""
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("ROLLBACK")

    def get(self, key: str) -> Any:
        """Return a setting, or None."""
        try:
            row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        except sqlite3.DatabaseError as error:
            raise IndexCorruptError(f"{self._path} is not a readable store ({error}); rebuild the index") from error
        return None if row is None else json.loads(row[0])

    def set(self, key: str, value: Any) -> None:
        """Keep a setting (JSON)."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, _dump(value)))

    def has(self, names: Sequence[str]) -> dict[str, str]:
        """Return the sha256 of each of these documents that is stored, by id."""
        found: dict[str, str] = {}
        for start in range(0, len(names), 500):
            batch = list(names[start : start + 500])
            marks = ", ".join("?" * len(batch))
            found.update(self._db.execute(f"SELECT name, sha256 FROM documents WHERE name IN ({marks})", batch))
        return found

    def insert(self, document: Document, passages: Iterable[Passage]) -> list[int]:
        """Store a document with its passages; return the passages' new ids."""
        sections = [[list(section.path), section.start, section.end] for section in document.sections]
        cursor = self._db.execute(
            "INSERT INTO documents (name, title, kind, text, sections, metadata, retracted, sha256)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                document.id, document.title, document.kind, document.text, _dump(sections), _dump(document.metadata),
                int(document.retracted), text_sha256(document),
            ),
        )  # fmt: skip
        number = cursor.lastrowid
        return [
            int(
                self._db.execute(
                    "INSERT INTO passages (document, first, last, path) VALUES (?, ?, ?, ?)",
                    (number, passage.start, passage.end, _dump(list(passage.path))),
                ).lastrowid
                or 0
            )
            for passage in passages
        ]

    def document(self, name: str) -> Document:
        """Return a document, its text checked against the hash it was stored with."""
        row = self._db.execute(
            "SELECT title, kind, text, sections, metadata, sha256 FROM documents WHERE name = ?", (name,)
        ).fetchone()
        if row is None:
            raise KeyError(f"no document {name!r} in {self._path}")
        title, kind, text, sections, metadata, sha256 = row
        parsed = tuple(Section(tuple(path), start, end) for path, start, end in json.loads(sections))
        document = Document(name, text, title, kind, parsed, json.loads(metadata))
        if text_sha256(document) != sha256:
            raise IndexCorruptError(f"document {name!r} in {self._path} was altered on disk; rebuild the index")
        return document

    def document_names(self) -> Iterator[str]:
        """Yield every document's id in the order they were added."""
        for (name,) in self._db.execute("SELECT name FROM documents ORDER BY id"):
            yield name

    def passages(self, ids: Sequence[int]) -> dict[int, Passage]:
        """Return passages by id; each comes from a document whose text was checked."""
        found: dict[int, Passage] = {}
        documents: dict[str, Document] = {}
        for start in range(0, len(ids), 500):
            batch = [int(number) for number in ids[start : start + 500]]
            marks = ", ".join("?" * len(batch))
            rows = self._db.execute(
                "SELECT passages.id, name, first, last, path FROM passages"
                f" JOIN documents ON documents.id = passages.document WHERE passages.id IN ({marks})",
                batch,
            ).fetchall()
            for number, name, first, last, path in rows:
                document = documents.get(name) or documents.setdefault(name, self.document(name))
                found[number] = Passage(
                    name, first, last, document.text[first:last], tuple(json.loads(path)), document.title, number,
                    document.metadata,
                )  # fmt: skip
        return found

    def passage_rows(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return passage ids and the numbers of their documents, int64 ``[n]`` each, in id order."""
        rows = self._db.execute("SELECT id, document FROM passages ORDER BY id").fetchall()
        table = np.asarray(rows, dtype=np.int64).reshape(-1, 2)
        return table[:, 0].copy(), table[:, 1].copy()

    def matching(self, where: Where, include_retracted: bool) -> NDArray[np.int64]:
        """Return the numbers of the documents that a filter admits."""
        condition, parameters = compile_where(where)
        if not include_retracted:
            condition = f"({condition}) AND NOT retracted"
        rows = self._db.execute(f"SELECT id FROM documents WHERE {condition}", parameters).fetchall()
        return np.asarray(rows, dtype=np.int64).reshape(-1)

    def counts(self) -> dict[str, int]:
        """Return how many documents, retracted ones and passages are stored."""
        documents, retracted = self._db.execute(
            "SELECT COUNT(*), COALESCE(SUM(retracted), 0) FROM documents"
        ).fetchone()
        (passages,) = self._db.execute("SELECT COUNT(*) FROM passages").fetchone()
        return {"documents": documents, "retracted": retracted, "passages": passages}

    def segments(self) -> list[tuple[str, int, dict[str, str]]]:
        """Return folder, row count and file hashes of each segment, in row order."""
        rows = self._db.execute("SELECT folder, rows, files FROM segments ORDER BY id").fetchall()
        return [(folder, count, json.loads(files)) for folder, count, files in rows]

    def add_segment(self, folder: str, rows: int, files: Mapping[str, str]) -> None:
        """Name a segment whose files are already on disk."""
        self._db.execute("INSERT INTO segments (folder, rows, files) VALUES (?, ?, ?)", (folder, rows, _dump(files)))

    def replace_segments(self, folder: str, rows: int, files: Mapping[str, str]) -> None:
        """Put one segment in the place of all."""
        self._db.execute("DELETE FROM segments")
        self.add_segment(folder, rows, files)

    def integrity(self) -> str:
        """Return SQLite's own check: ``"ok"``, or what is wrong."""
        try:
            return str(self._db.execute("PRAGMA integrity_check").fetchone()[0])
        except sqlite3.DatabaseError as error:
            return str(error)


def _dump(value: Any) -> str:
    if isinstance(value, Mapping):
        value = dict(value)
    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"metadata must be JSON values, got {value!r} ({error})") from error
