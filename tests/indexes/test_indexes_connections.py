"""What a store meets: threads that end, forks, full disks, folders that cannot be written, readers that overlap."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from radrag.cli import app
from radrag.errors import IndexCorruptError, IndexStateError
from radrag.indexes import changes, connections, creation, database, dense, merging, writer_lock
from radrag.indexes.changes import discard
from radrag.indexes.hybrid import HybridIndex
from radrag.indexes.writer_lock import only_writer
from radrag.types import Document


@pytest.fixture
def folder(tmp_path: Path, toy: Any, reports: list[Document]) -> Path:
    with HybridIndex.create(tmp_path / "i", encoder=toy(), cache_embeddings=False) as index:
        index.add(reports[:12])
    return tmp_path / "i"


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files the way Linux shows them")
def test_a_thread_that_ends_closes_its_connection(folder: Path, toy: Any) -> None:
    with HybridIndex.open(folder, encoder=toy()) as index:
        index.search("chest")
        before = open_files()
        for _ in range(20):
            thread = threading.Thread(target=index.search, args=("chest",))
            thread.start()
            thread.join()
        assert open_files() <= before + 2


def test_a_forked_process_has_a_connection_of_its_own(folder: Path, toy: Any, reports: list[Document]) -> None:
    with HybridIndex.open(folder, encoder=toy()) as index:
        inherited = index._db._connection
        child = os.fork()
        if child == 0:
            try:
                ok = index._db._connection is not inherited and len(index.search("chest", k=50, mode="dense")) == 9
                index.close()
                os._exit(0 if ok else 1)
            except BaseException:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        index.add(reports[12:14])
        assert index._db._connection is inherited
        assert index.verify() == []


def test_what_is_closed_stays_closed(folder: Path, toy: Any) -> None:
    index = HybridIndex.open(folder, encoder=toy())
    index.close()
    with pytest.raises(IndexStateError, match="was closed"):
        index._db.get("settings")


def test_a_store_that_vanished_is_not_made_anew(folder: Path, toy: Any) -> None:
    with HybridIndex.open(folder, encoder=toy()) as index:
        (folder / "store.sqlite").rename(folder / "away")
        errors: list[BaseException] = []

        def search() -> None:
            try:
                index.search("chest")
            except IndexStateError as error:
                errors.append(error)

        thread = threading.Thread(target=search)  # has no connection yet
        thread.start()
        thread.join()
        assert "cannot be opened" in str(errors[0])
        assert not (folder / "store.sqlite").exists()


READ_ONLY = """
import os, sys
sys.path.insert(0, sys.argv[2])
from conftest import ToyEncoder
from radrag.errors import IndexStateError
from radrag.indexes.hybrid import HybridIndex
from radrag.types import Document
with HybridIndex.open(sys.argv[1] + "/warm", encoder=ToyEncoder()) as index:
    index.search("chest"), index.verify()  # imports what a user without rights could not
if os.geteuid() == 0:
    os.setuid(65534)
with HybridIndex.open(sys.argv[1] + "/i", encoder=ToyEncoder()) as index:
    for _ in sys.stdin:
        try:
            index.delete(["r01"])
            refused = "no"
        except IndexStateError as error:
            refused = "permission to write" in str(error)
        print(len(index.search("chest", k=50, mode="dense", include_retracted=True)), index.verify(), refused)
        sys.stdout.flush()
"""


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that other users can look into."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


def test_what_cannot_be_written_can_be_read(reachable: Path, folder: Path, toy: Any, reports: list[Document]) -> None:
    """Also while another user writes it, and after: the reader has no right to the locks and must notice by itself."""
    made = reachable / "i"
    shutil.copytree(folder, made)
    shutil.copytree(folder, reachable / "warm")

    def lock(locked: bool) -> None:
        for path in [made, *made.rglob("*")]:
            path.chmod((0o555 if path.is_dir() else 0o444) if locked else (0o755 if path.is_dir() else 0o644))

    lock(True)
    command = [sys.executable, "-c", READ_ONLY, str(reachable), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as child:
        assert child.stdin is not None
        assert child.stdout is not None

        def ask() -> str:
            child.stdin.write("search\n")
            child.stdin.flush()
            return child.stdout.readline().strip()

        assert ask() == "12 [] True"
        assert sorted(path.name for path in made.glob("store*")) == ["store.sqlite"]
        lock(False)
        with HybridIndex.open(made, encoder=toy()) as writer:
            writer.add(reports[12:15])
            lock(True)
            assert ask() == "15 [] True"
            lock(False)
            writer.delete(["r02"])
        lock(True)
        assert ask() == "14 [] True"
        lock(False)
        child.stdin.close()
        assert child.wait(30) == 0


ONLY_LOCKED = """
import os, sys
from pathlib import Path
from radrag.errors import IndexStateError
from radrag.indexes.writer_lock import only_writer
if os.geteuid() == 0:
    os.setuid(65534)
try:
    with only_writer(Path(sys.argv[1])):
        print("held by nobody")
except IndexStateError as error:
    print(error)
"""


def test_a_lock_that_cannot_be_written_is_not_held(reachable: Path) -> None:
    """SQLite opens it to be read, begins, and locks nothing: two would write at once."""
    reachable.chmod(0o777)
    with only_writer(reachable):
        pass
    (reachable / "writer.lock").chmod(0o444)
    command = [sys.executable, "-c", ONLY_LOCKED, str(reachable)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said == f"{reachable}/writer.lock cannot be written; it needs permission to write the folder and its files\n"


def test_a_mixture_of_two_states_is_refused(folder: Path, toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read without locks, a file may change under a search; that it did is seen at the end of it."""
    connect = connections.Connections._connect

    class Refused:
        lock = threading.RLock()

        def execute(self, _: str) -> None:
            error = sqlite3.OperationalError("attempt to write a readonly database")
            error.sqlite_errorcode = sqlite3.SQLITE_READONLY_DIRECTORY
            raise error

        def close(self) -> None:
            pass

    def without_rights(self: Any, option: str) -> Any:
        return Refused() if option == "mode=rw" else connect(self, option)

    encoder = toy()
    monkeypatch.setattr(connections.Connections, "_connect", without_rights)
    monkeypatch.setattr(connections.os, "access", lambda *_: False)
    with HybridIndex.open(folder, encoder=encoder) as index:
        monkeypatch.undo()
        index.search("chest")
        encode = encoder.encode

        def meanwhile(texts: list[str], kind: str) -> Any:
            encoder.encode = encode
            with HybridIndex.open(folder, encoder=toy()) as writer:
                writer.delete(["r03"])
            return encode(texts, kind)

        encoder.encode = meanwhile
        with pytest.raises(IndexStateError, match="was written while it was read without locks; read it again"):
            index.search("chest")
        found = index.search("chest", k=50, mode="dense", include_retracted=True)
        assert len(found) == 11


def test_the_log_stays_short_beside_readers_that_overlap(
    folder: Path, toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_LOG_BYTES", 300_000)
    done = threading.Event()

    def read(first: float) -> None:
        reader = sqlite3.connect(folder / "store.sqlite", isolation_level=None, timeout=10)
        done.wait(first)
        while not done.is_set():
            reader.execute("BEGIN")
            reader.execute("SELECT COUNT(*) FROM documents").fetchall()
            done.wait(0.04)
            reader.execute("ROLLBACK")
        reader.close()

    threads = [threading.Thread(target=read, args=(first,)) for first in (0, 0.02)]
    sizes = [0]
    with HybridIndex.open(folder, encoder=toy()) as index:
        for thread in threads:
            thread.start()
        try:
            # Not every try succeeds on a busy machine; the next is made when the log is twice as long.
            for number in range(300):
                index.update([Document(f"d{n}", f"chest nodule {number} " * 20) for n in range(20)])
                sizes.append((folder / "store.sqlite-wal").stat().st_size)
                if sizes[-1] < sizes[-2]:
                    break
        finally:
            done.set()
            for thread in threads:
                thread.join()
        assert index.verify() == []
    assert sizes[-1] < sizes[-2]  # without the limit it grows until the readers pause


def test_a_reader_that_stays_holds_no_writer_up_for_long(
    folder: Path, toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_LOG_BYTES", 1)
    monkeypatch.setattr(connections, "_TRIES", 1)
    tried = []
    with HybridIndex.open(folder, encoder=toy()) as index:
        index._db._connection.set_trace_callback(lambda text: tried.append(text) if "checkpoint" in text else None)
        reader = sqlite3.connect(folder / "store.sqlite", isolation_level=None)
        reader.execute("BEGIN")
        assert reader.execute("SELECT COUNT(*) FROM documents").fetchone() == (12,)
        for number in range(6):
            index.set_note("n", number)
        assert reader.execute("SELECT COUNT(*) FROM documents").fetchone() == (12,)
        assert 1 <= len(tried) <= 3  # each at twice the length of the one before
        reader.close()
        for number in range(30):
            index.set_note("n", number)
        assert len(tried) > 3
        assert index.get_note("n") == 29
    assert index._db._connections._longest == 0


FULL = """
import resource, sys
sys.path.insert(0, sys.argv[2])
from conftest import ToyEncoder
from radrag.errors import IndexStateError
from radrag.indexes.hybrid import HybridIndex
from radrag.types import Document
with HybridIndex.open(sys.argv[1], encoder=ToyEncoder()) as index:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
    try:
        index.add([Document(f"L{n}", f"chest {n} " * 300) for n in range(100)])
        print("no error")
    except (OSError, IndexStateError) as error:
        print(type(error).__name__, error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(len(index), index.verify())
"""


@pytest.mark.parametrize(
    ("room", "message"),
    [(2_000, "OSError .*is the disk full"), (90_000, "IndexStateError .* disk is full or fails")],
)
def test_a_full_disk_leaves_what_was_there(
    folder: Path, toy: Any, room: int, message: str, reports: list[Document]
) -> None:
    command = [sys.executable, "-c", FULL, str(folder), str(Path(__file__).parent), str(room)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    first, second = done.stdout.splitlines()
    assert re.match(message, first), done
    assert second == "12 []"
    with HybridIndex.open(folder, encoder=toy()) as index:
        index.add(reports[12:14])
        assert len(index) == 14
        assert len(list((folder / "segments").iterdir())) == len(index.manifest["segments"])
        assert index.verify() == []


def test_an_array_that_was_not_written_whole_is_not_listed(
    folder: Path, toy: Any, reports: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    """NumPy writes small arrays through a buffer whose last flush it does not check."""
    save = np.save

    def cut_off(path: Path, array: Any, **options: Any) -> None:
        save(path, array, **options)
        if path.name == "owners.npy":
            os.truncate(path, path.stat().st_size - 1)

    with HybridIndex.open(folder, encoder=toy()) as index:
        with monkeypatch.context() as patched:
            patched.setattr("radrag.indexes.segments.np.save", cut_off)
            with pytest.raises(OSError, match=r"owners\.npy is cut off .*is the disk full"):
                index.add(reports[12:14])
            with pytest.raises(OSError, match=r"owners\.npy is cut off"):
                index.delete(["r01", "r02", "r03"])  # which rewrites the segment
        assert len(index) == 9
        assert index.verify() == []


def test_a_lock_file_that_was_altered_is_named(folder: Path, toy: Any) -> None:
    with HybridIndex.open(folder, encoder=toy()) as index:
        (folder / "writer.lock").write_bytes(b"nothing of SQLite's" * 100)
        with pytest.raises(IndexStateError, match=r"writer\.lock was altered; delete that file"):
            index.delete(["r01"])
        (folder / "writer.lock").unlink()
        assert index.delete(["r01"])["deleted"] == 1


def test_a_lock_has_a_name_a_patience_and_words_of_its_own(folder: Path, toy: Any) -> None:
    words = {"name": "sync.lock", "seconds": 0, "busy": "another sync is running"}
    with HybridIndex.open(folder, encoder=toy()) as index, only_writer(folder, **words):
        index.set_note("n", 1)  # one lock does not hold up the other
        with pytest.raises(IndexStateError, match=r"^another sync is running$"), only_writer(folder, **words):
            pass
    with only_writer(folder, **words):
        pass
    with only_writer(folder, seconds=0):
        again = only_writer(folder, seconds=0)
        with pytest.raises(IndexStateError, match="is being written by another process"), again:
            pass
    with pytest.raises(IndexStateError, match="cannot be opened"), only_writer(folder / "none", **words):
        pass
    (folder / "sync.lock").write_bytes(b"nothing of SQLite's" * 100)
    with pytest.raises(IndexStateError, match=r"sync\.lock was altered"), only_writer(folder, **words):
        pass


@pytest.mark.parametrize("successor", [False, True])
def test_a_lock_that_was_removed_meanwhile_is_worth_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, successor: bool
) -> None:
    """Another process may hold the file that now has its name."""
    inode = writer_lock._inode
    lock = folder / "writer.lock"

    def removed(path: Path) -> int:
        monkeypatch.undo()
        found = inode(path)
        path.unlink()
        if successor:
            path.touch()
        return found

    monkeypatch.setattr(writer_lock, "_inode", removed)
    with pytest.raises(IndexStateError, match="was removed by another process"), only_writer(folder):
        pass
    assert lock.exists() == successor
    with only_writer(folder):
        pass


def test_an_error_is_not_its_own_cause(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_lock, "not_damage", lambda *_: None)
    with only_writer(folder), pytest.raises(sqlite3.OperationalError) as caught, only_writer(folder, seconds=0):
        pass
    assert caught.value.__cause__ is None

    def unknown(*_: Any) -> None:
        raise sqlite3.OperationalError("unknown")

    monkeypatch.setattr(connections.Connections, "_connect", unknown)
    with pytest.raises(sqlite3.OperationalError, match="unknown") as caught:
        connections.Connections(folder / "store.sqlite").mine()
    assert caught.value.__cause__ is None


def test_a_log_that_cannot_be_emptied_is_no_error(folder: Path, toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was to be written is committed by then."""
    monkeypatch.setattr(connections, "_LOG_BYTES", 1)
    mine, tried = connections.Connections.mine, []

    class Failing:
        def __init__(self, connection: sqlite3.Connection) -> None:
            self._connection = connection

        def __getattr__(self, name: str) -> Any:
            return getattr(self._connection, name)

        def execute(self, statement: str, *parameters: Any) -> Any:
            if "checkpoint" in statement:
                tried.append(statement)
                raise sqlite3.OperationalError("database or disk is full")
            return self._connection.execute(statement, *parameters)

    with HybridIndex.open(folder, encoder=toy()) as index:
        with monkeypatch.context() as patched:
            patched.setattr(connections.Connections, "mine", lambda self: Failing(mine(self)))
            index.set_note("n", 1)
            index.set_note("n", 2)
        assert len(tried) == 2
        assert index.get_note("n") == 2
        assert (folder / "store.sqlite-wal").stat().st_size > 0
        assert index._db.one("PRAGMA busy_timeout") == (connections.BUSY_MS,)
        index.set_note("n", 3)
        assert (folder / "store.sqlite-wal").stat().st_size == 0


def test_a_revision_that_cannot_be_noted_says_what_is_stored(
    folder: Path, toy: Any, reports: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with HybridIndex.open(folder, encoder=toy()) as index:
        with monkeypatch.context() as patched:
            patched.setattr(database.os, "pwrite", full)
            with pytest.raises(IndexStateError, match=r"revision could not be written .*No space.* IS stored"):
                index.add(reports[12:14])
        assert len(index) == 14
        assert index.add(reports[12:15], skip_existing=True)["added"] == 1
        assert index.verify() == []


def test_a_store_whose_log_cannot_be_emptied_is_not_made(
    tmp_path: Path, toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk that is nearly full the log fits and the file does not; here a reader is in the way."""
    monkeypatch.setattr(connections, "BUSY_MS", 1)
    readers = []
    put = database.Database.set

    def beside_a_reader(self: Any, key: str, value: Any) -> None:
        if key == "settings":
            readers.append(sqlite3.connect(self.path, isolation_level=None))
            readers[0].execute("BEGIN")
            readers[0].execute("SELECT COUNT(*) FROM meta").fetchall()
        put(self, key, value)

    with monkeypatch.context() as patched:
        patched.setattr(database.Database, "set", beside_a_reader)
        with pytest.raises(IndexStateError, match=r"store\.sqlite-wal could not be emptied; is the disk full"):
            HybridIndex.create(tmp_path / "i", encoder=toy())
    readers[0].close()
    assert [path.name for path in (tmp_path / "i").iterdir()] == ["writer.lock"]
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        assert index.add([Document("a", "chest")])["added"] == 1
    with HybridIndex.open(tmp_path / "i", encoder=toy()) as index:
        assert index.verify() == []


def test_a_store_that_was_not_made_is_not_said_to_be_stored(
    tmp_path: Path, toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(database.os, "pwrite", full)
        with pytest.raises(
            IndexStateError, match=r"^no index was made in .*No space left[^;]*; set that right"
        ) as told:
            HybridIndex.create(tmp_path / "i", encoder=toy())
    assert "IS stored" not in str(told.value)
    HybridIndex.create(tmp_path / "i", encoder=toy()).close()


def test_a_new_store_is_on_disk_before_and_after_it_gets_its_name(
    tmp_path: Path, toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []

    def noted(path: Path) -> None:
        made = (tmp_path / "i" / "store.sqlite").exists() and (tmp_path / "i" / "revision").exists()
        synced.append((path.relative_to(tmp_path).as_posix(), made))

    monkeypatch.setattr(database, "sync", noted)
    monkeypatch.setattr(creation, "sync", noted)
    HybridIndex.create(tmp_path / "i", encoder=toy()).close()
    assert synced == [("i/.new/store.sqlite", False), ("i", True)]


@pytest.mark.parametrize("stop_at", range(8))
def test_a_creation_that_was_killed_leaves_no_index_and_can_be_repeated(
    tmp_path: Path, toy: Any, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    """The process ends without tidying up: at each of the calls by which a store comes to be."""
    child = os.fork()
    if child == 0:
        left = stop_at
        for owner, name in [
            (database.Database, "transaction"), (database.Database, "_promise"), (database.Database, "close"),
            (Path, "mkdir"), (Path, "replace"),
        ]:  # fmt: skip
            inner = getattr(owner, name)

            def counted(*args: Any, inner: Any = inner, **options: Any) -> Any:
                nonlocal left
                left -= 1
                if left < 0:
                    os._exit(9)
                return inner(*args, **options)

            setattr(owner, name, counted)
        HybridIndex.create(tmp_path / "i", encoder=toy())
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    with pytest.raises(IndexStateError, match="does not exist; make an index"):
        HybridIndex.open(tmp_path / "i", encoder=toy())
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        assert index.add([Document("a", "chest")])["added"] == 1
    assert not (tmp_path / "i" / ".new").exists()
    with pytest.raises(IndexStateError, match="is not empty"):
        HybridIndex.create(tmp_path / "i", encoder=toy())


def test_a_write_that_was_killed_before_it_joined_is_finished_by_the_next(
    tmp_path: Path, toy: Any, reports: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if the next has nothing else to do, as when an interrupted build is repeated."""
    monkeypatch.setattr(merging, "MIN_ANN_ROWS", 30)
    monkeypatch.setattr(dense, "MIN_ANN_ROWS", 30)
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        with monkeypatch.context() as patched:
            patched.setattr(merging.Merger, "settle", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                index.add(reports, batch_size=7)
        (tmp_path / "i" / "segments" / ".0123456789ab").mkdir()
        assert len(index.manifest["segments"]) == 6
        assert index.add(reports, skip_existing=True)["skipped"] == 40
        (one,) = index.manifest["segments"]
        assert one["vectors"] is not None
        assert len(list((tmp_path / "i" / "segments").iterdir())) == 1
        assert index.verify() == []


def test_who_interrupts_does_not_wait_for_segments_to_be_joined(
    tmp_path: Path, toy: Any, reports: list[Document]
) -> None:
    def stream() -> Iterator[Document]:
        yield from reports[:20]
        raise KeyboardInterrupt

    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        with pytest.raises(KeyboardInterrupt):
            index.add(stream(), batch_size=2)
        assert len(index.manifest["segments"]) == 10
        assert index.verify() == []


def test_the_first_error_is_the_one_that_is_raised(
    tmp_path: Path, toy: Any, reports: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging.Merger, "settle", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with HybridIndex.create(tmp_path / "i", encoder=toy(fail_at=2)) as index:
        with pytest.raises(RuntimeError, match="the encoder stopped"):
            index.add(reports, batch_size=10)
        with pytest.raises(OSError, match="disk full"):
            index.add(reports[10:12])
        assert len(index) == 12


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (Document("a\ud800", "chest"), r"the id of document 'a\\ud800' holds half of a surrogate pair at 1"),
        (Document("a", "chest \udcff scan"), "the text of document 'a' holds half of a surrogate pair at 6"),
        (Document("a", "chest", metadata={"x": "\ud800"}), "the metadata of document 'a'"),
        (Document("a", "chest", metadata={"pmid_version": 2**63}), "pmid_version 9223372036854775808, expected"),
    ],
)
def test_what_cannot_be_stored_is_named(folder: Path, toy: Any, document: Document, message: str) -> None:
    with HybridIndex.open(folder, encoder=toy()) as index:
        for change in (index.add, index.update):
            with pytest.raises(ValueError, match=message):
                change([Document("fine", "liver"), document])
        assert len(index) == 12
        with pytest.raises(ValueError, match="not blank"):
            index.measure(["chest", " "])
        with pytest.raises(ValueError, match="not blank"):
            index.measure([])


def build(folder: Path, *sources: Path, code: int, options: tuple[str, ...] = ()) -> str:
    result = CliRunner().invoke(app, ["index", "build", str(folder), *map(str, sources), "--json", *options])
    if code == 1 and result.exception is not None and not isinstance(result.exception, SystemExit):
        return f"{result.output} {result.exception}"
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def lines(path: Path, count: int, end: str = "") -> Path:
    path.write_text("".join(f'{{"id": "d{n}", "text": "Chest nodule {n}."}}\n' for n in range(count)) + end)
    return path


def test_a_build_that_fails_leaves_no_empty_index(tmp_path: Path) -> None:
    broken = lines(tmp_path / "broken.jsonl", 0, "{")
    assert "broken.jsonl" in build(tmp_path / "i", broken, code=1)
    assert not (tmp_path / "i").exists()
    (tmp_path / "many").mkdir()
    (tmp_path / "many" / "bad.jsonl").write_text("{")
    assert "no index was left" in build(tmp_path / "i", tmp_path / "many", code=1)
    assert not (tmp_path / "i").exists()
    build(tmp_path / "i", lines(tmp_path / "good.jsonl", 3), code=0)
    assert "is an index already" in build(tmp_path / "i", tmp_path / "good.jsonl", code=1)


def test_a_build_that_stops_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from radrag.indexes.writing import Writer

    source = lines(tmp_path / "long.jsonl", 1030)
    update, calls = Writer.update, []

    def interrupted(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return update(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Writer, "update", interrupted)
        said = build(tmp_path / "i", source, code=1)
    assert "is not finished; run the same command again" in said
    with HybridIndex.open(tmp_path / "i") as index:
        assert len(index) == 1024
    assert not discard(tmp_path / "i")
    assert "was not finished, of other sources or options: it was begun with {'sources':" in build(
        tmp_path / "i", lines(tmp_path / "other.jsonl", 2), code=1
    )
    assert '"added": 6' in build(tmp_path / "i", source, code=0)
    with HybridIndex.open(tmp_path / "i") as index:
        assert len(index) == 1030
        assert index.verify() == []


def test_nodes_that_cannot_be_stored_leave_no_index(tmp_path: Path, toy: Any) -> None:
    schema = pytest.importorskip("llama_index.core.schema")
    nodes = [schema.TextNode(id_=name, text="Chest nodule.") for name in ("a", "a")]
    with pytest.raises(ValueError, match="'a' is in the index already"):
        HybridIndex.from_nodes(tmp_path / "i", nodes, encoder=toy())
    assert not (tmp_path / "i").exists()
    with HybridIndex.from_nodes(tmp_path / "i", nodes[:1], encoder=toy()) as index:
        assert len(index) == 1


def test_vectors_that_were_made_are_not_discarded(tmp_path: Path, toy: Any, reports: list[Document]) -> None:
    def fail_late() -> Iterator[Document]:
        yield from reports[:2]
        yield Document("x", "liver", metadata={"a": {1, 2}})

    with HybridIndex.create(tmp_path / "i", encoder=toy(), cache_embeddings=True) as index:
        with pytest.raises(ValueError, match="metadata must be JSON"):
            index.add(fail_late())
    assert not discard(tmp_path / "none")
    assert discard(tmp_path / "i")
    assert not (tmp_path / "i").exists()
    with HybridIndex.create(tmp_path / "i", encoder=toy(), cache_embeddings=True) as index:
        index._changes._passages().encode(["chest"], "passage")
    assert not discard(tmp_path / "i")
    (tmp_path / "i" / "embeddings.sqlite").unlink()
    (tmp_path / "i" / "mine.txt").touch()
    assert discard(tmp_path / "i")
    assert [path.name for path in (tmp_path / "i").iterdir()] == ["mine.txt"]


def test_notes_are_not_discarded(tmp_path: Path, toy: Any) -> None:
    HybridIndex.create(tmp_path / "i", encoder=toy()).close()
    with HybridIndex.open(tmp_path / "i", encoder=toy()) as index:
        index.set_note("pubmed", ["file 1"])
    assert not discard(tmp_path / "i")
    with HybridIndex.open(tmp_path / "i", encoder=toy()) as index:
        assert index.get_note("pubmed") == ["file 1"]


def test_what_fails_while_discarding_does_not_hide_the_first_error(
    tmp_path: Path, toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = pytest.importorskip("llama_index.core.schema")

    def damaged(_: Path) -> bool:
        raise IndexCorruptError("embeddings.sqlite cannot be read")

    nodes = [schema.TextNode(id_="a", text="Chest nodule.")] * 2
    with monkeypatch.context() as patched:
        patched.setattr(changes, "holds_vectors", damaged)
        with pytest.raises(ValueError, match="'a' is in the index already"):
            HybridIndex.from_nodes(tmp_path / "i", nodes, encoder=toy())
        assert "is not finished" in build(tmp_path / "j", lines(tmp_path / "broken.jsonl", 3, "{"), code=1)
    build(tmp_path / "j", lines(tmp_path / "broken.jsonl", 3), code=0)
    assert discard(tmp_path / "i")


def test_a_discard_that_is_cut_short_can_be_repeated(tmp_path: Path, toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """At any file; and the lock is removed while it is held, or two could hold one each."""
    unlink = Path.unlink
    for stop_at in range(10):
        HybridIndex.create(tmp_path / "i", encoder=toy(), cache_embeddings=True).close()
        left = stop_at
        held: list[Path] = []

        def counted(path: Path, held: list[Path] = held, **options: Any) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise OSError("it is in use")
            if path.name == "writer.lock":
                other = sqlite3.connect(path, isolation_level=None, timeout=0)
                with pytest.raises(sqlite3.OperationalError, match="locked"):
                    other.execute("BEGIN EXCLUSIVE")
                other.close()
                held.append(path)
            unlink(path, **options)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", counted)
            gone = discard(tmp_path / "i")
        if (tmp_path / "i" / "store.sqlite").exists():
            assert not gone
            HybridIndex.open(tmp_path / "i", encoder=toy()).close()
            assert discard(tmp_path / "i")
        else:
            assert gone
        if held:
            assert not (tmp_path / "i").exists()
            break
    assert held
    assert stop_at >= 4
