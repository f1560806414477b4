"""The right to write an index, which one process or thread at a time has."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from radrag.errors import IndexStateError
from radrag.indexes.connections import code, not_damage
from radrag.indexes.forking import connect

_REMOVED = "was removed by another process or thread while it was waited for; try again"
_LOCK_SECONDS = 1.0  # a note is set sooner than that; who waits for a build is told at once


@contextmanager
def only_writer(
    folder: Path, *, name: str = "writer.lock", seconds: float = _LOCK_SECONDS, busy: str | None = None
) -> Iterator[None]:
    """Hold the right to write an index; it ends with the process, however that ends.

    Args:
        folder: Folder of the index.
        name: The file in it that is locked.
        seconds: How long to wait for who has it.
        busy: What to say if another has it.

    Raises:
        IndexStateError: If another process or index object has it, or the folder cannot be written.
    """
    lock = folder / name
    with _lock_errors(folder, lock, busy):
        connection = connect(lock, seconds=seconds)
    try:
        with _lock_errors(folder, lock, busy), connection.lock:
            opened = _inode(lock)
            connection.execute("BEGIN EXCLUSIVE")
        if _inode(lock) != opened:  # who held it removed it with the index; another may hold its successor
            raise IndexStateError(f"{lock} {_REMOVED}")
        if not os.access(lock, os.W_OK):  # SQLite only reads it then, and holds nothing
            raise IndexStateError(f"{lock} cannot be written; it needs permission to write the folder and its files")
        yield
    finally:
        with connection.lock:
            connection.close()


@contextmanager
def _lock_errors(folder: Path, lock: Path, busy: str | None) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        if code(error) == sqlite3.SQLITE_NOTADB:
            raise IndexStateError(f"{lock} was altered; delete that file and try again") from error
        if busy is not None and code(error) == sqlite3.SQLITE_BUSY:
            raise IndexStateError(busy) from error
        if code(error) == sqlite3.SQLITE_IOERR and not lock.exists():
            raise IndexStateError(f"{lock} {_REMOVED}") from error
        if (state := not_damage(error, folder)) is not None:
            raise state from error
        raise


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0
