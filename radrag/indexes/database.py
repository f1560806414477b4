"""The SQLite file behind an index: connections, transactions, snapshots, and settings that carry a checksum."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from radrag.corpora.values import json_value
from radrag.errors import IndexCorruptError, IndexMismatchError, IndexStateError
from radrag.indexes.arrays import sync
from radrag.indexes.connections import Connections, not_damage
from radrag.indexes.forking import Connection

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL, sha256 TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE documents (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, title TEXT NOT NULL, kind TEXT NOT NULL,
    text TEXT NOT NULL, sections TEXT NOT NULL, metadata TEXT NOT NULL, version INTEGER,
    left_out INTEGER NOT NULL, sha256 BLOB NOT NULL, flags TEXT NOT NULL, seal BLOB NOT NULL
);
CREATE INDEX documents_left_out ON documents (left_out, flags) WHERE left_out;
CREATE TABLE other_names (
    other_name TEXT NOT NULL, document INTEGER NOT NULL, PRIMARY KEY (other_name, document)
) WITHOUT ROWID;
CREATE TABLE passages (
    id INTEGER PRIMARY KEY, document INTEGER NOT NULL REFERENCES documents (id),
    first INTEGER NOT NULL, last INTEGER NOT NULL, path TEXT NOT NULL, seal BLOB NOT NULL
);
CREATE INDEX passages_document ON passages (document);
CREATE TABLE segments (
    low INTEGER PRIMARY KEY, high INTEGER NOT NULL, folder TEXT NOT NULL, rows INTEGER NOT NULL, files TEXT NOT NULL,
    vectors TEXT NOT NULL, seal TEXT NOT NULL
);
CREATE TABLE dead (passage INTEGER PRIMARY KEY);
CREATE TABLE dead_terms (term TEXT PRIMARY KEY, passages INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE notices (
    origin TEXT NOT NULL, target TEXT NOT NULL, kind TEXT NOT NULL, source TEXT NOT NULL, date TEXT NOT NULL,
    PRIMARY KEY (target, origin, kind, source)
) WITHOUT ROWID;
CREATE INDEX notices_origin ON notices (origin);
"""
_BATCH = 500
_MUCH_FREE = 0.2


class Database:
    """One SQLite file in WAL mode; every thread has its own connection, so readers do not wait for each other.

    Args:
        path: The file.
        create: Make it; it must not exist.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        self._connections = Connections(path)
        if not create and not path.is_file():
            raise IndexStateError(
                f"{path} does not exist; make an index with HybridIndex.create or `radrag index build`"
            )
        try:
            if create:
                path.touch(exist_ok=False)
            with self._connection.lock:
                if create:
                    self._connection.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
                columns = [row[1] for row in self._connection.execute("PRAGMA table_info(meta)")]
                if columns == ["key", "value"]:
                    raise IndexMismatchError(f"{path} was made by an earlier version of radrag; build the index again")
                self._connection.execute("SELECT COUNT(*) FROM meta").fetchall()
            self._check_revision()
        except sqlite3.DatabaseError as error:
            self.close()
            if (state := not_damage(error, path)) is not None:
                raise state from error
            raise IndexCorruptError(f"{path} is not a radrag store ({error}); rebuild the index") from error
        except IndexStateError:
            self.close()
            raise

    @property
    def _connection(self) -> Connection:
        return self._connections.mine()

    def close(self) -> None:
        """Close the file for every thread."""
        self._connections.close()

    def close_whole(self) -> None:
        """Close the file after all of it is in it and on disk, so that it can be moved without its log.

        Raises:
            IndexStateError: If its log could not be emptied, as on a full disk.
        """
        try:
            with self._damage() as connection:
                ((busy, *_),) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            self.close()
        log = self.path.with_name(f"{self.path.name}-wal")
        if busy or log.is_file():
            raise IndexStateError(f"{log} could not be emptied; is the disk full? Free space and repeat the call")
        sync(self.path)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make everything inside visible at once, or nothing of it; counts a new revision."""
        with self._connections.writing():
            with self._damage() as connection:
                connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                revision = (self.get("revision") or 0) + 1
                self.set("revision", revision)
                with self._damage() as connection:
                    connection.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise
        try:
            self._promise(revision)
        except OSError as error:
            raise IndexStateError(
                f"{self._note} could not be written ({error}), but what was to be written to the index IS stored; free "
                "space or set the file's rights right, and go on: the next write notes it"
            ) from error
        self._connections.bound_log()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let everything read inside come from one state, whatever is written meanwhile; snapshots may be nested.

        Raises:
            IndexStateError: If the file is read without locks, as on a read-only medium, and was written meanwhile;
                or if the process was forked in between.
        """
        with self._damage() as connection:
            nested = connection.in_transaction
            if not nested:
                connection.execute("BEGIN")
        if nested:
            yield
            return
        try:
            yield
        except Exception as error:
            self._refuse_mixture(connection, error)
            raise
        else:
            self._refuse_mixture(connection, None)
        finally:
            self._roll_back()

    def _roll_back(self) -> None:
        with self._damage() as connection:
            if connection.in_transaction:  # SQLite itself rolls back after some errors
                connection.execute("ROLLBACK")

    def _refuse_mixture(self, begun: Connection, error: Exception | None) -> None:
        if self._connection is not begun:
            raise IndexStateError(f"this process was forked while {self.path} was read; read it again") from error
        if self._connections.was_overtaken():
            raise IndexStateError(f"{self.path} was written while it was read without locks; read it again") from error

    def all(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Return the rows of a query.

        Raises:
            IndexCorruptError: If SQLite finds the file damaged.
        """
        with self._damage() as connection:
            return connection.execute(statement, parameters).fetchall()

    def one(self, statement: str, parameters: Sequence[Any] = ()) -> Any:
        """Return the first row of a query, or None."""
        rows = self.all(statement, parameters)
        return rows[0] if rows else None

    def among(self, statement: str, values: Sequence[Any]) -> list[Any]:
        """Return the rows of a query that ends in ``IN``, for any number of values."""
        found: list[Any] = []
        for start in range(0, len(values), _BATCH):
            part = list(values[start : start + _BATCH])
            found += self.all(f"{statement} ({', '.join('?' * len(part))})", part)
        return found

    def run(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """Change rows; return how many."""
        with self._damage() as connection:
            return connection.execute(statement, parameters).rowcount

    def run_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Change rows, a parameter set each."""
        with self._damage() as connection:
            connection.executemany(statement, rows)

    def get(self, key: str) -> Any:
        """Return a setting, or None.

        Raises:
            IndexCorruptError: If it was altered on disk.
        """
        row = self.one("SELECT value, sha256 FROM meta WHERE key = ?", (key,))
        if row is None:
            return None
        if _digest(key, row[0]) != row[1]:
            raise IndexCorruptError(f"{self.path}: the setting {key!r} was altered on disk; rebuild the index")
        return json.loads(row[0])

    def set(self, key: str, value: Any) -> None:
        """Keep a setting (JSON)."""
        text = dump(value)
        self.run("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", (key, text, _digest(key, text)))

    def shrink(self) -> None:
        """Give back the space of what was deleted, if it is a good part of the file."""
        (free,), (pages,) = self.one("PRAGMA freelist_count"), self.one("PRAGMA page_count")
        if free > _MUCH_FREE * pages:
            self.run("VACUUM")
        self.all("PRAGMA wal_checkpoint(TRUNCATE)")  # waits for those who read, but holds none of them up

    def problems(self) -> Iterator[str]:
        """Yield what SQLite's own check finds, and settings and the note of the revision that were altered."""
        try:
            with self._connection.lock:
                found = [line for (line,) in self._connection.execute("PRAGMA integrity_check")]
            yield from (f"{self.path}: {line}" for line in found if line != "ok")
        except sqlite3.DatabaseError as error:
            yield f"{self.path}: {error}"
        for (key,) in self.all("SELECT key FROM meta"):
            self.get(key)
        if self._promised() is None:
            state = "was altered" if self._note.is_file() else "is missing"
            yield f"{self._note} {state}; the next write to the index puts it right"

    @property
    def _note(self) -> Path:
        return self.path.with_name("revision")

    def _promise(self, revision: int) -> None:
        """Note outside the database that a revision was committed, or damage to its log could undo it unseen."""
        text = f"{revision:015d}".encode()
        descriptor = os.open(self._note, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            os.pwrite(descriptor, text + f" {zlib.crc32(text):08x}\n".encode(), 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _promised(self) -> int | None:
        """Return the revision noted; None if there is none that can be read."""
        content = self._note.read_bytes() if self._note.is_file() else b""
        text = content[:15]
        whole = text.isdigit() and content == text + f" {zlib.crc32(text):08x}\n".encode()
        return int(text) if whole else None

    def _check_revision(self) -> None:
        promised = self._promised()  # read first: a writer may commit in between
        revision = self.get("revision") or 0
        if promised is not None and promised > revision:
            raise IndexCorruptError(
                f"{self.path} holds revision {revision}, but {promised} was committed: its -wal file was lost or "
                "altered; restore a copy of both, or rebuild the index"
            )

    @contextmanager
    def _damage(self) -> Iterator[Connection]:
        """Give this thread's connection for a call; tell damage to the file from what the machine or the caller did."""
        try:
            connection = self._connections.mine()
            with connection.lock:
                self._connections.refuse_closed()
                yield connection
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise
        except sqlite3.DatabaseError as error:
            if (state := not_damage(error, self.path)) is not None:
                raise state from error
            raise IndexCorruptError(f"{self.path} cannot be read ({error}); rebuild the index") from error


def dump(value: Any) -> str:
    """Return canonical JSON."""
    if isinstance(value, Mapping):
        value = dict(value)
    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False, default=json_value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"metadata must be JSON values, got {value!r} ({error})") from error


def _digest(key: str, text: str) -> str:
    return hashlib.sha256(f"{key}\x00{text}".encode("utf-8", "surrogatepass")).hexdigest()
