"""What must not cross a fork: SQLite connections, which the child closes at once, and locks, which are new in it.

SQLite keeps one table of locks for a file and process. A forked child inherits table and connections, but none of the
locks: while one of them is open it trusts locks it does not have, also in connections of its own, and the parent may
delete a log that the child goes on writing. So a fork waits until no connection is in a call, and the parent goes on
only after the child has closed what it inherited. Until then the parent holds its locks, so that closing in the child
never empties or deletes a log; POSIX locks belong to a process, so that it ends none of the parent's either.
"""

from __future__ import annotations

import os
import select
import sqlite3
import threading
import weakref
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any, Final

from radrag.errors import IndexStateError

_PATIENCE: Final = 10.0  # seconds
_process, _unclosed = os.getpid(), False
_opening = threading.RLock()
_open: weakref.WeakSet[Connection] = weakref.WeakSet()
_locks: weakref.WeakSet[Lock] = weakref.WeakSet()
_now = threading.local()
_left: list[Connection] = []


class Connection(sqlite3.Connection):
    """A connection that no other thread closes, and no fork copies, in the middle of a call.

    Attributes:
        lock: To be held during every call, and from the begin of a transaction that writes to its end.
        writing: Whether such a transaction is open.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.lock, self.writing = threading.RLock(), False


class Lock:
    """A lock that is free in a forked child if another thread of the parent held it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _locks.add(self)

    def after_fork(self) -> None:
        """Forget a holder that the child does not have."""
        if self._lock.acquire(blocking=False):  # it was free, or is held by the thread that forked
            self._lock.release()
        else:
            self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class _NoFork:
    """Holds forks up while a library is in a call that a fork must not cut: its own locks would never be free again."""

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        """Forget the calls of threads that the child does not have."""
        self._changed, self._calls, self._stopped = threading.Condition(), 0, False

    def __enter__(self) -> None:
        with self._changed:
            while self._stopped:
                self._changed.wait()
            self._calls += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._calls -= 1
            self._changed.notify_all()

    def stop(self, seconds: float) -> None:
        """Let no call begin, and wait for those that run."""
        with self._changed:
            self._stopped = True
            self._changed.wait_for(lambda: not self._calls, seconds)

    def go_on(self) -> None:
        """Let calls begin again."""
        with self._changed:
            self._stopped = False
            self._changed.notify_all()


no_fork = _NoFork()


def connect(database: str | Path, *, seconds: float, uri: bool = False, autocommit: bool = True) -> Connection:
    """Open a SQLite file.

    Args:
        database: Its path, or an address if ``uri``.
        seconds: How long to wait for who locks it.
        uri: Whether an address is given.
        autocommit: Begin no transaction unless told to.

    Raises:
        IndexStateError: If this process was forked while SQLite could not be left alone.
    """
    if _unclosed or _process != os.getpid():
        raise IndexStateError(
            f"{database} cannot be used in this process, which was forked in the middle of a write to an index, or by "
            'other means than os.fork; start processes before writing, or with multiprocessing\'s "spawn", and open '
            "the index in them"
        )
    level: Any = {"isolation_level": None} if autocommit else {}
    with _opening:
        found = sqlite3.connect(
            database, uri=uri, timeout=seconds, check_same_thread=False, factory=Connection, **level
        )
        _open.add(found)
    return found


class _Fork:
    """What the thread that forks holds meanwhile."""

    def __init__(self) -> None:
        self._held: dict[Connection, bool] = {}
        self._quiet = False
        self._pipe: tuple[int, int] | None = None

    def begin(self) -> None:
        """Wait until no connection is opened, or in a call."""
        end = monotonic() + _PATIENCE
        while not self._quiet and _opening.acquire(timeout=max(0.0, end - monotonic())):
            new = [one for one in _open if one not in self._held]
            if new:
                _opening.release()  # who is in a call may have to open another
                for one in new:
                    self._held[one] = one.lock.acquire(timeout=max(0.0, end - monotonic()))
            else:
                self._quiet = True
        if self._quiet:
            no_fork.stop(max(0.0, end - monotonic()))
        with suppress(OSError):  # too many files are open: the child is not waited for
            self._pipe = os.pipe() if self._held else None

    def close_inherited(self) -> bool:
        """Close the connections in the child; return whether all of them could be."""
        left = [one for one, held in self._held.items() if one.writing or not held]
        _left.extend(left)  # a rollback would write to memory that the parent shares; nor may they be collected
        try:
            for one in self._held.keys() - set(left):
                one.close()
        finally:
            for end in reversed(self._pipe or ()):
                os.close(end)  # the parent waits for this
        return self._quiet and not left

    def end(self) -> None:
        """Wait in the parent until the child has closed them, or ended, and let the other threads go on."""
        try:
            if self._pipe is not None:
                os.close(self._pipe[1])
                closed = select.poll()
                closed.register(self._pipe[0], select.POLLIN)
                closed.poll(_PATIENCE * 1000)
                os.close(self._pipe[0])
        finally:
            for one, held in self._held.items():
                if held:
                    one.lock.release()
            if self._quiet:
                no_fork.go_on()
                _opening.release()


def _before() -> None:
    _now.fork = _Fork()
    _now.fork.begin()


def _in_parent() -> None:
    _now.__dict__.pop("fork").end()


def _in_child() -> None:
    global _process, _unclosed, _opening
    _opening = threading.RLock()
    for lock in _locks:
        lock.after_fork()
    no_fork.after_fork()
    _unclosed = not _now.__dict__.pop("fork").close_inherited() or _unclosed
    _process = os.getpid()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
