from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from radrag.errors import IndexCorruptError, IndexMismatchError, IndexStateError
from radrag.indexes import segments, settings
from radrag.indexes.hybrid import HybridIndex
from radrag.indexes.segments import Segment
from radrag.types import Document

FILES = ("terms.txt", "indptr.npy", "rows.npy", "frequencies.npy", "lengths.npy", "vectors.npy")


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
    return index.manifest, [(hit.passage, round(hit.score, 5)) for hit in hits]


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
    from radrag.indexes.store import Store

    def refuse(*_: object) -> None:
        raise OSError("disk full")

    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add(reports[:3])
        with monkeypatch.context() as patched:
            patched.setattr(Store, "add_segment", refuse)
            with pytest.raises(OSError, match="disk full"):
                index.add(reports[3:6])
        assert index.verify() == []
        index.add(reports[3:6])  # sweeps the folder that no state names
        assert len(list((tmp_path / "i" / "segments").iterdir())) == 2
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


def test_a_second_writer_is_refused_and_loses_nothing(folder: Path, toy: Any, reports: list[Document]) -> None:
    lock = sqlite3.connect(folder / "store.sqlite", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    with HybridIndex.open(folder, encoder=toy()) as index:
        index._store._db.execute("PRAGMA busy_timeout = 50")
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
        assert len(other.search("chest", k=50, mode="dense", include_retracted=True)) == 12
        other.add(reports[20:22])
        assert len(other) == 22
        assert other.verify() == []


def test_folders_are_written_only_under_the_lock(
    folder: Path, toy: Any, reports: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or another writer's sweep could remove a folder that is about to be named."""
    held = []

    def watch(segment: Segment, parent: Path) -> tuple[str, dict[str, str]]:
        other = sqlite3.connect(folder / "store.sqlite", isolation_level=None, timeout=0)
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            held.append(True)
        other.close()
        return segments.write_segment(segment, parent)

    monkeypatch.setattr("radrag.indexes.writing.write_segment", watch)
    with HybridIndex.open(folder, encoder=toy()) as index:
        index.add(reports[12:24], batch_size=1)
    assert held == [True] * 13  # 12 batches and a merge


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
    monkeypatch.setattr(settings, "FORMAT", 2)
    with pytest.raises(IndexMismatchError, match="has format 1, this version reads 2"):
        HybridIndex.open(folder, encoder=toy())


def test_unknown_engine_and_unfinished(folder: Path, toy: Any) -> None:
    alter(folder, "UPDATE meta SET value = replace(value, '\"bm25\"', '\"grep\"') WHERE key = 'settings'")
    with pytest.raises(IndexMismatchError, match="'grep', which is unknown"):
        HybridIndex.open(folder, encoder=toy())
    alter(folder, "DELETE FROM meta WHERE key = 'settings'")
    with pytest.raises(IndexCorruptError, match="never finished"):
        HybridIndex.open(folder, encoder=toy())


@pytest.mark.parametrize("file", FILES)
def test_missing_truncated_and_flipped_files(folder: Path, toy: Any, file: str) -> None:
    path = next(path for path in sorted((folder / "segments").iterdir())) / file
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[-1] ^= 1
    path.write_bytes(flipped)
    with HybridIndex.open(folder, encoder=toy()) as index:
        assert any(str(path) in line and "altered" in line for line in index.verify())
    if file != "terms.txt":  # text has no length of its own: verify finds that
        path.write_bytes(content[:-8])
        with pytest.raises(IndexCorruptError, match="rebuild"):
            HybridIndex.open(folder, encoder=toy())
    path.unlink()
    with pytest.raises(IndexCorruptError, match=f"{file} is missing"):
        HybridIndex.open(folder, encoder=toy())


def test_a_file_lost_while_open(folder: Path, toy: Any) -> None:
    with HybridIndex.open(folder, encoder=toy()) as index:
        shutil.rmtree(next((folder / "segments").iterdir()))
        assert sum("is missing" in line for line in index.verify()) == len(FILES)


def test_an_altered_document_is_never_shown(folder: Path, toy: Any) -> None:
    alter(folder, "UPDATE documents SET text = replace(text, '.', '!') WHERE name = 'r03'")
    with HybridIndex.open(folder, encoder=toy()) as index:
        assert ["'r03'" in line and "altered" in line for line in index.verify()] == [True]
        with pytest.raises(IndexCorruptError, match="'r03'"):
            index.document("r03")
        with pytest.raises(IndexCorruptError, match="'r03'"):
            index.search("chest", k=50, mode="dense")
        assert index.document("r04").id == "r04"


@pytest.mark.parametrize(
    ("statement", "line"),
    [
        ("DELETE FROM documents WHERE name = 'r11'", "not the ones recorded"),
        ("UPDATE documents SET retracted = 0 WHERE name = 'r05'", "marks of retracted"),
        ("UPDATE passages SET last = 3 WHERE id = 4", "passage 4 is not the text"),
        ("UPDATE passages SET document = 2 WHERE id = 4", "passage 4 is not the text"),
        ("UPDATE documents SET sections = '[' WHERE name = 'r05'", "Expecting value"),
    ],
)
def test_verify_finds_altered_rows(folder: Path, toy: Any, statement: str, line: str) -> None:
    alter(folder, statement)
    with HybridIndex.open(folder, encoder=toy()) as index:
        assert any(line in found for found in index.verify())


def test_verify_reports_a_damaged_store(folder: Path, toy: Any) -> None:
    path = folder / "store.sqlite"
    content = bytearray(path.read_bytes())
    place = content.index(b"Report 7")
    page = place // 4096 * 4096
    content[page : page + 8] = b"\xff" * 8  # header of the page that holds documents
    path.write_bytes(content)
    with HybridIndex.open(folder, encoder=toy()) as index:
        assert index.verify()


def test_not_a_store(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").write_bytes(b"not a database at all" * 300)
    with pytest.raises(IndexCorruptError, match="not a r"):
        HybridIndex.open(tmp_path)
