"""Connections to one SQLite file: one a thread, none shared across a fork, and a way to read what is read-only."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from radrag.errors import IndexStateError
from radrag.indexes.forking import Connection, Lock, connect

BUSY_MS: Final = 10_000
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)
_READ_ONLY = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)
_LOG_BYTES = 64 << 20
_TRIES, _TRY_MS = 10, 100  # for readers that began before


@dataclass(frozen=True, slots=True)
class _Held:
    """A thread's connection, closed when the thread ends.

    Attributes:
        connection: The connection.
        process: Where it was opened.
        seen: What the file was when it was opened without locks; None if it has locks.
    """

    connection: Connection
    process: int
    seen: tuple[int, ...] | None

    # A connection stands in a circle of references, so it would be closed much later. When the interpreter ends, the
    # names of this module may be gone already.
    def __del__(self, process: Callable[[], int] = os.getpid) -> None:
        if self.process == process() and self.connection.lock.acquire(blocking=False):
            try:
                self.connection.close()
            finally:
                self.connection.lock.release()


class Connections:
    """Connections to a file in WAL mode.

    A file that cannot be written, in a folder that cannot be, is opened without locks (SQLite's ``immutable``) if it
    has no log beside it; whether another user has written it meanwhile is seen by its size and time.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._closed, self._longest = path, False, 0
        self._lock = Lock()
        self._begin()

    def _begin(self) -> None:
        self._local = threading.local()
        self._all: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._process = os.getpid()

    def mine(self) -> Connection:
        """Return this thread's connection, opened if need be; a file that is not there is not made.

        Whoever calls it holds its lock meanwhile, and asks ``refuse_closed`` first.
        """
        self.refuse_closed()
        if self._process != os.getpid():
            with self._lock:
                if self._process != os.getpid():
                    self._begin()  # what was inherited was closed when this process began
        held: _Held | None = getattr(self._local, "held", None)
        if held is not None and not held.connection.in_transaction and self._is_stale(held):
            with held.connection.lock:
                held.connection.close()
            held = None
        if held is None:
            try:
                held = self._local.held = self._open()
            except sqlite3.DatabaseError as error:
                if (state := not_damage(error, self.path)) is not None:
                    raise state from error
                raise
        return held.connection

    def refuse_closed(self) -> None:
        """Refuse to go on after ``close``, by whichever thread."""
        if self._closed:
            raise IndexStateError(f"{self.path} was closed; open it again")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Let no other thread close this thread's connection, or fork, inside."""
        connection = self.mine()
        with connection.lock:
            connection.writing = True
            try:
                yield
            finally:
                connection.writing = False

    def was_overtaken(self) -> bool:
        """Return whether another process wrote a file that this thread reads without locks."""
        held: _Held | None = getattr(self._local, "held", None)
        return held is not None and self._is_stale(held)

    def close(self) -> None:
        """Close those of every thread, for good, after the call each is in, or the transaction that writes."""
        with self._lock:
            self._closed = True
            connections = list(self._all)
        if self._process == os.getpid():
            for connection in connections:
                with connection.lock:
                    connection.close()

    def _is_stale(self, held: _Held) -> bool:
        return held.seen is not None and held.seen != _seen(self.path)

    def _open(self) -> _Held:
        seen = None
        connection = self._connect("mode=rw")
        try:
            with connection.lock:
                self.refuse_closed()
                connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            with connection.lock:
                connection.close()
            if code(error) not in _READ_ONLY or self._log().is_file() or os.access(self.path.parent, os.W_OK):
                raise
            seen = _seen(self.path)
            connection = self._connect("immutable=1")
        with connection.lock:
            self.refuse_closed()
            for pragma in ("foreign_keys = ON", "synchronous = FULL", "cell_size_check = ON"):
                connection.execute(f"PRAGMA {pragma}")
        return _Held(connection, self._process, seen)

    def _connect(self, option: str) -> Connection:
        found = connect(f"{self.path.absolute().as_uri()}?{option}", seconds=BUSY_MS / 1000, uri=True)
        with self._lock:
            self._all.add(found)
            closed = self._closed
        if closed:
            with found.lock:
                found.close()
        return found

    def _log(self) -> Path:
        return self.path.with_name(f"{self.path.name}-wal")

    def bound_log(self) -> None:
        """Empty the log when it is long: readers that overlap without a gap would let it grow for ever.

        Who searches meanwhile is not held up; this waits for those that began before, a second at most. What was
        committed is in the log, so that a log that cannot be emptied is no error; the next write tries again.
        """
        try:
            size = self._log().stat().st_size
        except FileNotFoundError:
            return
        if size <= max(self._longest, _LOG_BYTES):
            return
        try:
            connection = self.mine()
        except IndexStateError:  # another thread closed it since
            return
        with connection.lock:
            connection.execute(f"PRAGMA busy_timeout = {_TRY_MS}")
            try:
                # Anew each time: SQLite would go on waiting for a place that later readers have taken over meanwhile.
                for _ in range(_TRIES):
                    ((busy, *_),) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                    if not busy:
                        break
            except sqlite3.OperationalError:
                return
            finally:
                connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        self._longest = 2 * size if busy else 0  # beside a reader that stays, not every write shall wait


def code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code, 0 if there is none."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def not_damage(error: sqlite3.Error, path: Path) -> IndexStateError | None:
    """Return the error to raise for what the machine or other processes did; None if the file itself is at fault."""
    kind = code(error)
    if kind in _BUSY:
        return IndexStateError(f"{path} is being written by another process or thread; try again later")
    if kind in _READ_ONLY:
        return IndexStateError(
            f"{path} cannot be opened or written ({error}); it needs permission to write the folder and its files, or "
            "copy the index to where you have it"
        )
    if kind in _FULL:
        return IndexStateError(
            f"{path} cannot be written or read ({error}): the disk is full or fails, or memory is short; what was "
            "committed before is kept; free space and repeat the call"
        )
    if kind == sqlite3.SQLITE_INTERRUPT:
        return IndexStateError(f"a call to {path} was interrupted; repeat it")
    return None


def _seen(path: Path) -> tuple[int, ...]:
    """Return what changes when a file in WAL mode is written: itself, or that a log stands beside it."""
    found, log = path.stat(), path.with_name(f"{path.name}-wal")
    return found.st_ino, found.st_size, found.st_mtime_ns, int(log.is_file())
