from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radrag.errors import IndexCorruptError, IndexMismatchError, IndexStateError
from radrag.indexes import dense, merging, postings, settings, writing
from radrag.indexes.database import Database
from radrag.indexes.hybrid import HybridIndex
from radrag.indexes.ledger import Ledger
from radrag.types import Document, Hit, Notice

FILES = (*postings.FILES, *(f"facets/{file}" for file in postings.FILES), "vectors.npy", "ids.npy", "owners.npy")


@pytest.fixture
def folder(tmp_path: Path, toy: Any, reports: list[Document]) -> Path:
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add(reports[:12], batch_size=6)
    return tmp_path / "i"


def alter(folder: Path, statement: str) -> None:
    database = sqlite3.connect(folder / "store.sqlite")
    with database:
        assert database.execute(statement).rowcount > 0
    database.close()


def state(index: HybridIndex) -> tuple:
    hits = index.search("chest nodule stone", k=40, include_retracted=True)
    return index.manifest["content"], [(hit.passage, round(hit.score, 5)) for hit in hits]


@pytest.mark.parametrize("fail_at", [1, 2, 5])
def test_an_encoder_that_fails_leaves_whole_batches(
    tmp_path: Path, toy: Any, reports: list[Document], fail_at: int
) -> None:
    with HybridIndex.create(tmp_path / "whole", encoder=toy()) as index:
        index.add(reports, batch_size=6)
        whole = state(index)
    with HybridIndex.create(tmp_path / "i", encoder=toy(fail_at=fail_at)) as index:
        with pytest.raises(RuntimeError, match="the encoder stopped"):
            index.add(reports, batch_size=6)
        assert len(index) == 6 * (fail_at - 1)
        assert index.verify() == []
        assert len(index.search("chest", k=50, mode="dense", include_retracted=True)) == len(index)
    with HybridIndex.open(tmp_path / "i", encoder=toy()) as index:
        assert index.add(reports, batch_size=6, skip_existing=True)["skipped"] == 6 * (fail_at - 1)
        assert state(index) == whole
        assert index.verify() == []


def test_a_failed_transaction_leaves_nothing(
    tmp_path: Path, toy: Any, reports: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("disk full")

    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add(reports[:3])
        with monkeypatch.context() as patched:
            patched.setattr(Ledger, "add", refuse)
            with pytest.raises(OSError, match="disk full"):
                index.add(reports[3:6])
        assert index.verify() == []
        assert len(index) == 3
        index.add(reports[3:6])  # sweeps the folder that no state names
        assert len(list((tmp_path / "i" / "segments").iterdir())) == 1
        assert index.verify() == []


CHILD = """
import sys, time
sys.path.insert(0, sys.argv[2])
from conftest import ToyEncoder
from radrag.indexes.hybrid import HybridIndex
from radrag.types import Document
def slow():
    for number in range(400):
        time.sleep(0.002)
        yield Document(f"d{number:03d}", f"Chest nodule number {number}.")
with HybridIndex.open(sys.argv[1], encoder=ToyEncoder()) as index:
    print("ready", flush=True)
    index.add(slow(), batch_size=3)
"""


@pytest.mark.parametrize("wait", [0.05, 0.15, 0.3])
def test_sigkill_during_add(tmp_path: Path, toy: Any, wait: float) -> None:
    documents = [Document(f"d{number:03d}", f"Chest nodule number {number}.") for number in range(400)]
    with HybridIndex.create(tmp_path / "whole", encoder=toy()) as index:
        index.add(documents)
        whole = state(index)
    HybridIndex.create(tmp_path / "i", encoder=toy()).close()
    command = [sys.executable, "-c", CHILD, str(tmp_path / "i"), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(wait)
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    with HybridIndex.open(tmp_path / "i", encoder=toy()) as index:
        assert len(index) % 3 == 0
        assert index.verify() == []
        index.add(documents, skip_existing=True)
        assert state(index) == whole
        assert index.verify() == []


def test_a_second_writer_is_refused_and_loses_nothing(
    folder: Path, toy: Any, reports: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr("sqlite3.connect", lambda *names, **options: connect(*names, **{**options, "timeout": 0.05}))
    lock = connect(folder / "writer.lock", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    with HybridIndex.open(folder, encoder=toy()) as index:
        with pytest.raises(IndexStateError, match="being written by another process"):
            index.add(reports[12:14])
        assert len(index.search("chest", k=50, mode="dense", include_retracted=True)) == 12  # reading goes on
        lock.execute("ROLLBACK")
        index.add(reports[12:14])
        assert index.verify() == []
    lock.close()


def test_two_writers_in_turn(folder: Path, toy: Any, reports: list[Document]) -> None:
    with HybridIndex.open(folder, encoder=toy()) as one, HybridIndex.open(folder, encoder=toy()) as other:
        one.add(reports[12:20], batch_size=1)  # merges: the folders that the other has open are gone
        assert len(other.search("chest", k=50, mode="dense", include_retracted=True)) == 20
        other.add(reports[20:22])
        assert len(other) == 22
        assert other.verify() == []


def test_folders_are_written_only_under_the_lock(
    folder: Path, toy: Any, reports: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or another writer's sweep could remove a folder that is about to be named."""
    held = []

    def watch(inner: Any) -> Any:
        def watched(*arguments: Any) -> Any:
            other = sqlite3.connect(folder / "writer.lock", isolation_level=None, timeout=0)
            try:
                other.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError:
                held.append(inner.__name__)
            other.close()
            return inner(*arguments)

        return watched

    monkeypatch.setattr(writing, "write_arrays", watch(writing.write_arrays))
    monkeypatch.setattr(merging, "merge_postings", watch(merging.merge_postings))
    monkeypatch.setattr(merging, "remove_unnamed", watch(merging.remove_unnamed))
    with HybridIndex.open(folder, encoder=toy()) as index:
        index.add(reports[12:24], batch_size=1)
    assert held == ["write_arrays"] * 12 + ["merge_postings"] * 2 + ["remove_unnamed"]  # words and facets are merged


def test_refusals_on_open(folder: Path, tmp_path: Path, toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(IndexStateError, match="does not exist"):
        HybridIndex.open(tmp_path / "none")
    with pytest.raises(IndexMismatchError, match="was made with an encoder object"):
        HybridIndex.open(folder)
    with pytest.raises(IndexMismatchError, match="holds vectors of encoder toy:16, but other:16"):
        HybridIndex.open(folder, encoder=toy(name="other"))
    with monkeypatch.context() as patched:
        patched.setattr(settings, "tokenizer_fingerprint", lambda: "newer")
        with pytest.raises(IndexMismatchError, match="was made with tokenizer"):
            HybridIndex.open(folder, encoder=toy())
    monkeypatch.setattr(settings, "FORMAT", 99)
    with pytest.raises(IndexMismatchError, match="has format 4, this version reads 99"):
        HybridIndex.open(folder, encoder=toy())


def test_unknown_engine_and_unfinished(folder: Path, toy: Any) -> None:
    database = Database(folder / "store.sqlite")
    known = database.get("settings")
    with database.transaction():
        database.set("settings", {**known, "search": {**known["search"], "lexical": "grep"}})
    database.close()
    with pytest.raises(IndexMismatchError, match="'grep', which is unknown"):
        HybridIndex.open(folder, encoder=toy())
    alter(folder, "UPDATE meta SET value = replace(value, '\"grep\"', '\"bm25\"') WHERE key = 'settings'")
    with pytest.raises(IndexCorruptError, match="setting 'settings' was altered"):
        HybridIndex.open(folder, encoder=toy())
    alter(folder, "DELETE FROM meta WHERE key = 'settings'")
    with pytest.raises(IndexCorruptError, match="never finished"):
        HybridIndex.open(folder, encoder=toy())


@pytest.mark.parametrize("file", FILES)
def test_missing_truncated_and_flipped_files(folder: Path, toy: Any, file: str) -> None:
    path = next(path for path in sorted((folder / "segments").iterdir())) / file
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[(len(content) + (128 if file.endswith(".npy") else 0)) // 2] ^= 1  # past the header of 128 bytes
    path.write_bytes(flipped)
    with HybridIndex.open(folder, encoder=toy()) as index:
        assert any(str(path) in line and "altered" in line for line in index.verify())
    path.write_bytes(content[:-8])
    with pytest.raises(IndexCorruptError, match="rebuild"):
        HybridIndex.open(folder, encoder=toy())
    path.unlink()
    with pytest.raises(IndexCorruptError, match=f"{Path(file).name} is missing"):
        HybridIndex.open(folder, encoder=toy())


def test_a_file_lost_while_open(folder: Path, toy: Any) -> None:
    with HybridIndex.open(folder, encoder=toy()) as index:
        shutil.rmtree(next((folder / "segments").iterdir()))
        assert sum("is missing" in line for line in index.verify()) == len(FILES)


def test_an_altered_document_is_never_shown(folder: Path, toy: Any) -> None:
    alter(folder, "UPDATE documents SET text = replace(text, '.', '!') WHERE name = 'r03'")
    with HybridIndex.open(folder, encoder=toy()) as index:
        (line,) = index.verify()
        assert "'r03'" in line
        assert "altered" in line
        with pytest.raises(IndexCorruptError, match="'r03'"):
            index.document("r03")
        with pytest.raises(IndexCorruptError, match="'r03'"):
            list(index.documents())
        with pytest.raises(IndexCorruptError, match="'r03'"):
            index.search("chest", k=50, mode="dense")
        assert index.document("r04").id == "r04"


NOTED = "what is noted beside document 'r0{}' does not agree"


@pytest.mark.parametrize(
    ("statement", "line"),
    [
        ("DELETE FROM documents WHERE name = 'r11'", "documents are not the ones recorded"),
        ("UPDATE documents SET left_out = 0 WHERE name = 'r05'", NOTED.format(5)),
        ("UPDATE documents SET version = 7 WHERE name = 'r05'", NOTED.format(5)),
        ("UPDATE other_names SET other_name = 'PMID:6'", NOTED.format(5)),
        ("DELETE FROM other_names", NOTED.format(5)),
        ("UPDATE documents SET flags = '[]' WHERE name = 'r05'", "'r05' in"),
        ("UPDATE documents SET sections = '[' WHERE name = 'r05'", "'r05' in"),
        ("UPDATE documents SET id = 99 WHERE name = 'r05'", "'r05' in"),
        ("UPDATE passages SET last = 3 WHERE id = 4", "passage 4 in"),
        ("UPDATE passages SET document = 2 WHERE id = 4", "passage 4 in"),
        ("UPDATE passages SET path = '[\"A\"]' WHERE id = 4", "passage 4 in"),
        ("DELETE FROM passages WHERE id = 4", "passage 4 is not the text"),
        ("DELETE FROM notices", "notices are not the ones recorded"),
        ("UPDATE notices SET target = 'r02'", NOTED.format(1)),
        ("UPDATE notices SET date = '2001'", "notices are not the ones recorded"),
        ("UPDATE segments SET vectors = '{}'", "the entry of segment"),
        ("UPDATE meta SET value = '[1, 1]' WHERE key = 'next ids'", "'next ids' was altered"),
        ("UPDATE meta SET value = '2' WHERE key = 'note:files'", "'note:files' was altered"),
        ("DELETE FROM meta WHERE key = 'next ids'", "were given already"),
        ("UPDATE dead_terms SET passages = passages + 1", "terms of deleted passages"),
    ],
)
def test_verify_finds_altered_rows(
    tmp_path: Path, toy: Any, reports: list[Document], statement: str, line: str
) -> None:
    reports[5] = replace(reports[5], metadata={**reports[5].metadata, "pmid": 5})
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add(reports[:12])
        index.delete(["r07"])
        index.set_notices("watch", [Notice("r01", "corrected", "x", "2000")])
        index.set_note("files", 1)
        damaged = Database(tmp_path / "i" / "store.sqlite")
        assert index.verify() == []
        assert damaged.run("PRAGMA foreign_keys = OFF") == -1
        assert damaged.run(statement) > 0
        damaged.close()
        assert any(line in found for found in index.verify())


def test_a_notice_that_is_altered_does_not_change_what_is_shown(folder: Path, toy: Any) -> None:
    with HybridIndex.open(folder, encoder=toy()) as index:
        index.set_notices("watch", [Notice("r01", "retracted"), Notice("r02", "corrected")])
    alter(folder, "DELETE FROM notices")
    for mark in ("left_out = 1", "left_out = 0"):
        alter(folder, f"UPDATE documents SET {mark} WHERE name = 'r01'")
        with HybridIndex.open(folder, encoder=toy()) as index:
            flags = {hit.passage.document_id: hit.passage.flags for hit in everything(index, include_retracted=True)}
            assert flags["r01"] == ("retracted",)
            assert flags["r02"] == ("corrected",)
            assert index.verify()
            if mark == "left_out = 0":
                with pytest.raises(IndexCorruptError, match="r01 is left out for 'retracted' but was not marked so"):
                    everything(index)
            else:
                assert "r01" not in {hit.passage.document_id for hit in everything(index)}


def everything(index: HybridIndex, **options: Any) -> list[Hit]:
    return index.search("chest", k=100, mode="dense", **options)


def test_a_filter_does_not_leak_through_altered_facets(folder: Path, toy: Any) -> None:
    path = next((folder / "segments").iterdir()) / "facets" / "rows.npy"
    rows = np.load(path)
    np.save(path, rows[::-1].copy())
    with HybridIndex.open(folder, encoder=toy()) as index:
        with pytest.raises(IndexCorruptError, match=r"the filter .* does not admit r\d\d, but it was found"):
            everything(index, where={"year": 1991}, include_retracted=True)
        assert index.verify()


def test_what_was_altered_is_not_merged(folder: Path, toy: Any, reports: list[Document]) -> None:
    """Or it would get new hashes and be believed."""
    path = next((folder / "segments").iterdir()) / "vectors.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with HybridIndex.open(folder, encoder=toy()) as index:
        index.delete(["r03"])
        with pytest.raises(IndexCorruptError, match=r"cannot be joined: .*vectors.npy was altered"):
            index.compact()
        assert len(index) == 11
        assert any("vectors.npy was altered" in line for line in index.verify())


def test_a_lost_log_is_noticed(tmp_path: Path, toy: Any, reports: list[Document]) -> None:
    """SQLite opens what is left as if nothing had been committed since."""
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add(reports[:4])
    with HybridIndex.open(tmp_path / "i", encoder=toy()) as index:
        index.set_notices("watch", [Notice("r01", "retracted")])
        shutil.copytree(tmp_path / "i", tmp_path / "copy")
    with HybridIndex.open(tmp_path / "i", encoder=toy()) as index:
        assert index.verify() == []
    log = tmp_path / "copy" / "store.sqlite-wal"
    (tmp_path / "copy" / "store.sqlite-shm").unlink()
    content = bytearray(log.read_bytes())
    content[len(content) // 2] ^= 1
    log.write_bytes(content)
    with pytest.raises(IndexCorruptError, match=r"holds revision \d+, but \d+ was committed"):
        HybridIndex.open(tmp_path / "copy", encoder=toy())
    (tmp_path / "copy" / "revision").write_bytes(b"000000000000009 00000000\n")
    with HybridIndex.open(tmp_path / "copy", encoder=toy()) as index:
        assert any("revision was altered" in line for line in index.verify())
        index.add(reports[4:5])
        assert index.verify() == []


def test_vectors_for_large_segments_do_not_bring_the_dead_back(
    tmp_path: Path, toy: Any, reports: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process was killed after it wrote and before it gave the segment its approximate search."""
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add(reports)
        monkeypatch.setattr(merging, "MIN_ANN_ROWS", 30)
        index.delete(["r03"])
        assert index.manifest["segments"][0]["vectors"] is not None
        assert index.manifest["dead"] == 1
        assert len(index) == 39
        assert "r03" not in {hit.passage.document_id for hit in everything(index, include_retracted=True)}
        assert index.verify() == []


def test_an_altered_file_of_large_segments_is_refused(
    tmp_path: Path, toy: Any, reports: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAISS would end the process; what is searched by words alone goes on."""
    monkeypatch.setattr(merging, "MIN_ANN_ROWS", 30)
    monkeypatch.setattr(dense, "MIN_ANN_ROWS", 30)
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add(reports)
        assert index.search("chest", mode="dense")
    (file,) = (tmp_path / "i").rglob("ann.faiss")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with HybridIndex.open(tmp_path / "i", encoder=toy()) as index:
        with pytest.raises(IndexCorruptError, match=r"ann\.faiss was altered.*rebuild the index"):
            index.search("chest", mode="dense")
        with pytest.raises(IndexCorruptError, match=r"ann\.faiss was altered"):
            index.measure(["chest nodule", "renal stone"])
        assert index.search("chest", mode="lexical")
        assert any("ann.faiss was altered" in line for line in index.verify())


def test_verify_reports_a_damaged_store(folder: Path, toy: Any) -> None:
    path = folder / "store.sqlite"
    with HybridIndex.open(folder, encoder=toy()) as index:
        index.set_note("files", 1)
    whole = path.read_bytes()
    for mark in (b"Report 7", b"documents_left_out", b"note:files"):
        content = bytearray(whole)
        page = content.index(mark) // 4096 * 4096
        start = page + 100 * (page == 0)
        content[start : start + 8] = b"\xff" * 8  # header of the page
        path.write_bytes(content)
        with pytest.raises(IndexCorruptError), HybridIndex.open(folder, encoder=toy()) as index:
            list(index.documents())
        path.write_bytes(whole)


def test_not_a_store(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").write_bytes(b"not a database at all" * 300)
    with pytest.raises(IndexCorruptError, match="not a r"):
        HybridIndex.open(tmp_path)


def observed(folder: Path, toy: Any) -> tuple[list[Any], list[Document], list[str]]:
    """What an index answers, reads back and finds wrong with itself."""
    with HybridIndex.open(folder, encoder=toy()) as index:
        found = [
            (hit.passage, hit.score)
            for mode in ("hybrid", "lexical")
            for where in (None, {"mesh": "chest"})
            for retracted in (False, True)
            for hit in index.search("chest stone", k=50, mode=mode, where=where, include_retracted=retracted)
        ]
        return found, list(index.documents()), index.verify()


@pytest.mark.parametrize("seed", range(40))
def test_a_flipped_bit_never_gives_a_wrong_answer(tmp_path: Path, toy: Any, reports: list[Document], seed: int) -> None:
    folder = tmp_path / "i"
    with HybridIndex.create(folder, encoder=toy(), cache_embeddings=False) as index:
        index.add(reports[:14])
        index.set_notices("watch", [Notice("r01", "retracted"), Notice("r02", "corrected")])
        index.delete(["r03"])
    truth, documents, clean = observed(folder, toy)
    assert clean == []
    passages = {repr(passage) for passage, _ in truth}
    hidden = {passage.document_id for passage, _ in truth if "retracted" in passage.flags}
    assert hidden == {"r00", "r01", "r05", "r10"}
    rng = np.random.default_rng(seed)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    path = folder / "store.sqlite" if seed % 2 else files[int(rng.integers(len(files)))]
    content = bytearray(path.read_bytes())
    used = [place for place, byte in enumerate(content) if byte]
    content[used[int(rng.integers(len(used)))]] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)
    try:
        found, read, problems = observed(folder, toy)
    except IndexStateError:
        return
    assert {repr(passage) for passage, _ in found} <= passages
    assert problems or (found, read) == (truth, documents)
    with HybridIndex.open(folder, encoder=toy()) as index:
        assert not hidden & {hit.passage.document_id for hit in index.search("chest", k=50)}


_FAULTS = """
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
import faults_flips
import faults_kills

folder = Path(sys.argv[2])
(folder / "kills").mkdir()
found = faults_kills.run(folder / "kills", 8)
assert found.problems == [], found.problems
assert "NEITHER" not in found.outcomes, found.outcomes
faults_flips.build(folder, log=True)
outcomes = faults_flips.flip_all(folder, 12, only=("store.sqlite-wal", "ann.faiss", "embeddings.sqlite"))
assert {one.kind for one in outcomes} <= {"on open", "on search or read", "by verify", "harmless"}, outcomes
assert any("was committed" in one.detail for one in outcomes), outcomes
"""


@pytest.mark.slow
def test_kills_and_flips_of_the_benchmark(tmp_path: Path) -> None:
    """In a process of its own, with one thread: it forks, and a fork inherits no thread pool that others started."""
    benchmarks = Path(__file__).parents[1] / "benchmarks"
    command = [sys.executable, "-c", _FAULTS, str(benchmarks), str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr


def test_an_index_of_the_first_format_is_named(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "store.sqlite")
    database.executescript("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
    database.close()
    with pytest.raises(IndexMismatchError, match="earlier version of radrag; build the index again"):
        HybridIndex.open(tmp_path)
