"""Processes forked while an index is open, with the parent going on or closing it, and threads that lose the index."""

from __future__ import annotations

import json
import os
import select
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from radrag.errors import IndexStateError
from radrag.indexes import connections, forking
from radrag.indexes.hybrid import HybridIndex
from radrag.indexes.writer_lock import only_writer
from radrag.types import Document

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
SECONDS = 20


class Child:
    """A forked process that takes one step each time it is asked to, and answers with what came of it."""

    def __init__(self, *steps: Callable[[], Any]) -> None:
        (heard, self._ask), (self._answer, said) = os.pipe(), os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.close(self._ask)
                os.close(self._answer)
                for step in steps:
                    if not os.read(heard, 1):
                        break
                    os.write(said, json.dumps(tried(step)).encode())
            finally:
                os._exit(0)
        os.close(heard)
        os.close(said)

    def step(self) -> Any:
        os.write(self._ask, b".")
        ready, *_ = select.select([self._answer], [], [], SECONDS)
        if not ready:
            os.kill(self._pid, 9)
        assert ready, "the child hangs"
        return json.loads(os.read(self._answer, 1 << 16))

    def end(self) -> None:
        os.close(self._ask)
        os.close(self._answer)
        os.waitpid(self._pid, 0)


def tried(step: Callable[[], Any]) -> Any:
    try:
        return step()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def found(index: HybridIndex) -> list[str]:
    return sorted({hit.passage.document_id for hit in index.search("chest", k=50, mode="dense")})


def note(name: str) -> Document:
    return Document(name, f"Chest {name}.")


@pytest.fixture
def folder(tmp_path: Path, toy: Any) -> Path:
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add([note("a"), note("b")])
    return tmp_path / "i"


def other(folder: Path, does: str) -> str:
    """Let a process that was not forked do something with the index."""
    script = (
        f"import os, sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from conftest import ToyEncoder\nfrom radrag.indexes.hybrid import HybridIndex\n"
        "from radrag.types import Document, Notice\n"
        f"index = HybridIndex.open({str(folder)!r}, encoder=ToyEncoder())\n{does}"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    return done.stdout.strip() or done.stderr.strip()[-300:]


@pytest.mark.parametrize("parent", ["goes on", "closed before", "closed after"])
@pytest.mark.parametrize("own", [False, True], ids=["inherited", "opened"])
def test_a_child_reads_the_newest_state_and_writes_without_loss(folder: Path, toy: Any, own: bool, parent: str) -> None:
    index = HybridIndex.open(folder, encoder=toy())
    index.add([note("c")])  # is in the log
    mine: list[HybridIndex] = []

    def opened() -> list[str]:
        mine.append(HybridIndex.open(folder, encoder=toy()) if own else index)
        return found(mine[0])

    child = Child(
        opened,
        lambda: found(mine[0]),
        lambda: mine[0].add([note("d")])["added"],
        lambda: [found(mine[0]), mine[0].verify(), mine[0].close()],
    )
    if parent == "closed before":
        index.close()
    assert child.step() == ["a", "b", "c"]
    if parent == "closed after":
        index.close()
    retracts = "index.set_notices('mine', [Notice('a', 'retracted')]); index.add([Document('e', 'Chest e.')])"
    assert other(folder, f"{retracts}; print(len(index)); sys.stdout.flush(); os._exit(9)") == "4"  # leaves its log
    assert child.step() == ["b", "c", "e"]
    assert child.step() == 1
    assert other(folder, "print(len(index), index.verify()); index.close()") == "5 []"
    assert child.step() == [["b", "c", "d", "e"], [], None]
    child.end()
    if parent == "goes on":
        assert found(index) == ["b", "c", "d", "e"]
        index.add([note("f")])
        index.close()
    with HybridIndex.open(folder, encoder=toy()) as again:
        assert len(again) == 5 + (parent == "goes on")
        assert again.verify() == []


def test_a_child_that_ends_takes_nothing_from_the_parent(folder: Path, toy: Any) -> None:
    with HybridIndex.open(folder, encoder=toy()) as index:
        index.add([note("c")])
        log = folder / "store.sqlite-wal"
        size = log.stat().st_size
        with index._db.snapshot(), only_writer(folder):
            seen = index._db.one("SELECT COUNT(*) FROM documents")
            for steps in ((), (lambda: len(index),), (lambda: len(index), index.close)):
                child = Child(*steps)
                for _ in steps:
                    child.step()
                child.end()
            assert log.stat().st_size == size
            assert "is being written by another process" in other(folder, "print(index.delete(['a']))")
            busy = "print(index._db.one('PRAGMA wal_checkpoint(TRUNCATE)')[0])"
            writes = "index._db.run(\"INSERT INTO notices VALUES ('x', 'x', 'x', 'x', '')\")"
            assert other(folder, f"index._db.run('PRAGMA busy_timeout = 1'); {writes}; {busy}") == "1"
            assert index._db.one("SELECT COUNT(*) FROM documents") == seen
        index.add([note("d")])
        assert len(index) == 4


def test_a_child_of_an_encoder_can_write_once_the_parent_has(folder: Path, toy: Any) -> None:
    """As a DataLoader's worker: the parent holds the right to write, and its cache of vectors was just open."""
    children = []
    encoder = toy()
    encode = encoder.encode
    index = HybridIndex.open(folder, encoder=encoder)

    def forks(texts: Any, kind: str) -> Any:
        if kind == "passage":
            encoder.encode = encode
            steps = (lambda: found(index), lambda: index.add([note("d")])["added"])
            children.append(Child(*steps, steps[1]))
            assert children[0].step() == ["a", "b"]
            assert "is being written by another process" in children[0].step()
        return encode(texts, kind)

    encoder.encode = forks
    index.add([note("c")])
    assert children[0].step() == 1
    children[0].end()
    assert found(index) == ["a", "b", "c", "d"]
    assert index.verify() == []
    index.close()


def test_a_fork_in_the_middle_of_a_write_leaves_a_child_without_indexes(folder: Path, toy: Any) -> None:
    with HybridIndex.open(folder, encoder=toy()) as index:
        with index._db.transaction():
            index._db.set("note:n", 1)
            child = Child(lambda: found(index), lambda: len(HybridIndex.open(folder, encoder=toy())))
            for _ in range(2):
                assert "forked in the middle of a write to an index" in child.step()
            child.end()
        assert index.get_note("n") == 1
        assert index.verify() == []


def test_a_search_that_is_forked_ends_in_the_parent_only(folder: Path, toy: Any) -> None:
    encoder = toy()
    encode, answers = encoder.encode, os.pipe()
    index = HybridIndex.open(folder, encoder=encoder)
    children = [0]

    def forks(texts: Any, kind: str) -> Any:
        encoder.encode = encode
        children[0] = os.fork()
        return encode(texts, kind)

    encoder.encode = forks
    answer = tried(lambda: found(index))
    if children[0] == 0:
        os.write(answers[1], json.dumps([answer, tried(lambda: found(index))]).encode())
        os._exit(0)
    os.waitpid(children[0], 0)
    assert answer == ["a", "b"]
    first, second = json.loads(os.read(answers[0], 1 << 16))
    assert "this process was forked while" in first
    assert second == ["a", "b"]
    index.close()


def test_threads_that_read_and_write_leave_nothing_locked_in_a_child(folder: Path, toy: Any) -> None:
    """Four threads at work, and a search in each of 25 children."""
    done = threading.Event()
    encoder = toy()
    with HybridIndex.open(folder, encoder=encoder) as index:
        index.add([note(f"n{number}") for number in range(60)])

        def search() -> None:
            while not done.is_set():
                index.search("chest", mode="lexical")

        def write() -> None:
            number = 0
            while not done.is_set():
                number += 1
                index.update([Document("a", f"Chest {number}.")])

        def come_and_go() -> None:
            while not done.is_set():
                with HybridIndex.open(folder, encoder=encoder) as mine:
                    len(mine)

        threads = [threading.Thread(target=target) for target in (search, search, write, come_and_go)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(25):
                child = Child(lambda: len(index.search("chest", k=100, mode="lexical")))
                assert child.step() == 62
                child.end()
        finally:
            done.set()
            for thread in threads:
                thread.join()
        assert index.verify() == []


def test_a_fork_waits_for_a_call_that_would_be_cut(folder: Path) -> None:
    entered, left = threading.Event(), []

    def call() -> None:
        with forking.no_fork:
            entered.set()
            time.sleep(0.2)
            left.append(True)

    thread = threading.Thread(target=call)
    thread.start()
    entered.wait()
    child = Child(lambda: bool(left))
    assert child.step() is True
    child.end()
    thread.join()


def test_a_fork_does_not_wait_for_ever(folder: Path, toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call may itself wait for the thread that forks; the child then has no index, the parent loses nothing."""
    monkeypatch.setattr(forking, "_PATIENCE", 0.2)
    with HybridIndex.open(folder, encoder=toy()) as index:
        begun, forked = threading.Event(), threading.Event()

        def write() -> None:
            with index._db.transaction():
                index._db.set("note:n", 1)
                begun.set()
                forked.wait()

        thread = threading.Thread(target=write)
        thread.start()
        begun.wait()
        child = Child(lambda: found(index))
        assert "forked in the middle of a write to an index" in child.step()
        child.end()
        forked.set()
        thread.join()
        assert index.get_note("n") == 1
        assert index.verify() == []


def test_a_lock_is_free_in_a_child_unless_the_child_holds_it() -> None:
    others, mine, taken, done = forking.Lock(), forking.Lock(), threading.Event(), threading.Event()

    def take() -> None:
        with others:
            taken.set()
            done.wait()

    def free(lock: forking.Lock) -> bool:
        got = []
        thread = threading.Thread(target=lambda: got.append(lock._lock.acquire(blocking=False)))
        thread.start()
        thread.join()
        return got == [True]

    thread = threading.Thread(target=take)
    thread.start()
    taken.wait()
    with mine:
        child = Child(lambda: [free(others), free(mine)])
        assert child.step() == [True, False]
        child.end()
    assert not free(others)
    done.set()
    thread.join()


def test_a_process_that_was_forked_unseen_has_no_index(folder: Path, toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forking, "_process", -1)
    with pytest.raises(IndexStateError, match=r"other means than os\.fork"):
        HybridIndex.open(folder, encoder=toy())


CLOSED = """
import collections, os, sys, threading, time
sys.path.insert(0, sys.argv[2])
from conftest import ToyEncoder
from radrag.indexes.hybrid import HybridIndex
ends = collections.Counter()
def search(index):
    try:
        while True:
            index.search("chest", k=50)
    except Exception as error:
        ends[type(error).__name__] += 1
for number in range(60):
    index = HybridIndex.open(sys.argv[1], encoder=ToyEncoder())
    threads = [threading.Thread(target=search, args=(index,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.003 * (number % 5))
    index.close()
    for thread in threads:
        thread.join()
    files = [os.readlink(f"/proc/self/fd/{one}") for one in os.listdir("/proc/self/fd")
             if os.path.exists(f"/proc/self/fd/{one}")] if os.path.isdir("/proc/self/fd") else []
    assert not [file for file in files if "store.sqlite" in file], files
print(dict(ends))
"""


def test_closing_an_index_ends_the_searches_of_other_threads(folder: Path, toy: Any) -> None:
    """In a process of its own: what goes wrong here ends the interpreter."""
    with HybridIndex.open(folder, encoder=toy()) as index:
        index.add([note(f"n{number}") for number in range(300)])
    command = [sys.executable, "-c", CLOSED, str(folder), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "{'IndexStateError': 180}"), done.stderr[-2000:]


def test_closing_an_index_waits_for_a_write(folder: Path, toy: Any) -> None:
    index = HybridIndex.open(folder, encoder=toy())
    begun, told = threading.Event(), []

    def write() -> None:
        def steps() -> None:
            with index._db.transaction():
                index._db.set("note:n", 1)
                begun.set()
                time.sleep(0.2)
                told.append("went on")

        told.append(tried(steps))

    thread = threading.Thread(target=write)
    thread.start()
    begun.wait()
    index.close()
    assert told[0] == "went on"
    thread.join()
    assert told[1].startswith("IndexStateError")
    with HybridIndex.open(folder, encoder=toy()) as again:
        assert again.get_note("n") is None
        assert again.verify() == []


def test_a_connection_that_is_opened_while_the_index_is_closed_is_closed(
    folder: Path, toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = HybridIndex.open(folder, encoder=toy())
    connect, opened = connections.connect, []

    def closes(*given: Any, **options: Any) -> Any:
        opened.append(connect(*given, **options))
        index.close()
        return opened[0]

    def search() -> None:
        errors.append(tried(lambda: index.search("chest")))

    errors: list[Any] = []
    monkeypatch.setattr(connections, "connect", closes)
    thread = threading.Thread(target=search)
    thread.start()
    thread.join()
    assert errors[0].startswith("IndexStateError")
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        opened[0].execute("SELECT 1")


def test_a_connection_is_closed_when_the_modules_are_gone(
    folder: Path, toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = HybridIndex.open(folder, encoder=toy())
    held = index._db._connections._local.held
    with monkeypatch.context() as patched:
        patched.setattr(connections, "os", None)  # as at the end of the interpreter
        held.__del__()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        held.connection.execute("SELECT 1")
    index.close()
