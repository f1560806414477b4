"""Others read while one writes: each search sees all of a batch or nothing of it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from radrag.errors import IndexCorruptError, IndexStateError
from radrag.indexes import segments, store, verification
from radrag.indexes.hybrid import HybridIndex
from radrag.types import Document, Notice

SIZE = 5
BATCHES = 12


def batch(number: int, version: int = 0) -> list[Document]:
    """Documents that are written together and say so: all have the same version."""
    metadata = {"batch": number, "version": version}
    return [Document(f"b{number}-{i}", f"Chest nodule {version}.", metadata=metadata) for i in range(SIZE)]


def check_whole(index: HybridIndex) -> int:
    """Search once; return how many batches it saw, each whole and in one version."""
    hits = index.search("chest nodule", k=1000, mode="dense", include_retracted=True)
    seen: dict[int, list[int]] = {}
    for hit in hits:
        seen.setdefault(hit.passage.metadata["batch"], []).append(hit.passage.metadata["version"])
    assert len({hit.passage.document_id for hit in hits}) == len(hits)
    for versions in seen.values():
        assert len(versions) == SIZE
        assert len(set(versions)) == 1
    return len(seen)


def write_everything(index: HybridIndex) -> None:
    for number in range(BATCHES):
        index.add(batch(number))
        if number % 3 == 2:
            index.update(batch(number - 1, version=number), batch_size=SIZE)
        if number % 4 == 3:
            index.delete([document.id for document in batch(number - 3)])
    index.compact()


LEFT = BATCHES - BATCHES // 4


def while_running(work: Callable[[], None], until: threading.Event, errors: list[BaseException]) -> threading.Thread:
    def loop() -> None:
        try:
            while not until.is_set():
                work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=loop)
    thread.start()
    return thread


@pytest.mark.parametrize("own_index", [False, True])
def test_threads_see_whole_batches_while_another_writes(tmp_path: Path, toy: Any, own_index: bool) -> None:
    errors: list[BaseException] = []
    counts: list[int] = []
    done = threading.Event()
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        readers = [HybridIndex.open(tmp_path / "i", encoder=toy()) if own_index else index for _ in range(3)]
        threads = [
            while_running(lambda reader=reader: counts.append(check_whole(reader)), done, errors) for reader in readers
        ]
        write_everything(index)
        done.set()
        for thread in threads:
            thread.join()
        assert errors == []
        assert len(set(counts)) > 1  # they did read meanwhile
        for reader in readers:
            assert check_whole(reader) == LEFT
            assert reader.verify() == []
            if own_index:
                reader.close()


READER = """
import sys
sys.path.insert(0, sys.argv[2])
from conftest import ToyEncoder
from test_indexes_readers import check_whole
from radrag.indexes.hybrid import HybridIndex
with HybridIndex.open(sys.argv[1], encoder=ToyEncoder()) as index:
    print("ready", flush=True)
    last = None
    while last != int(sys.argv[3]):
        last = check_whole(index)
    print(last, index.verify(), flush=True)
"""


def test_processes_see_whole_batches_while_another_writes(tmp_path: Path, toy: Any) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add(batch(100))
        command = [sys.executable, "-c", READER, str(tmp_path / "i"), str(Path(__file__).parent), str(LEFT + 1)]
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as one,
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other,
        ):
            for child in (one, other):
                assert child.stdout is not None
                assert child.stdout.readline() == "ready\n"
            write_everything(index)
            assert [child.communicate(timeout=60)[0] for child in (one, other)] == [f"{LEFT + 1} []\n"] * 2
            assert one.returncode == other.returncode == 0


def test_a_reader_sees_each_new_state(tmp_path: Path, toy: Any) -> None:
    with (
        HybridIndex.create(tmp_path / "i", encoder=toy()) as writer,
        HybridIndex.open(tmp_path / "i", encoder=toy()) as reader,
    ):
        assert reader.search("chest") == []
        writer.add(batch(0))
        assert check_whole(reader) == 1
        writer.set_notices("watch", [Notice("b0-1", "retracted")])
        assert "b0-1" not in {hit.passage.document_id for hit in reader.search("chest", k=50)}
        writer.set_notices("watch", [])
        assert "b0-1" in {hit.passage.document_id for hit in reader.search("chest", k=50)}
        writer.delete([document.id for document in batch(0)])
        assert reader.search("chest", include_retracted=True) == []
        assert len(reader) == 0
        writer.set_note("files", [1])
        assert reader.get_note("files") == [1]


def test_flags_are_told_of_any_document_by_its_id(tmp_path: Path, toy: Any) -> None:
    own = [
        Document("a", "A chest scan.", metadata={"doi": "10.1/A", "retraction_in": ["1"]}),
        Document("b", "A chest film."),
    ]
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add(own)
        notices = {"doi:10.1/a": "corrected", "PMID:9": "expression of concern", "c": "updated"}
        index.set_notices("watch", [Notice(target, kind) for target, kind in notices.items()])
        index.set_notices("other", [Notice("PMID:9", "retracted"), Notice("PMID:8", "corrected")])
        assert index.flags(["b", "PMID:9", "a", "unknown"]) == {
            "b": (),
            "PMID:9": ("retracted", "expression of concern"),
            "a": ("retracted", "corrected"),
            "unknown": (),
        }
        assert index.flags([]) == {}
        index.delete(["a"])
        assert index.flags(["a"]) == {"a": ()}
    with pytest.raises(IndexStateError, match="is closed"):
        index.flags(["a"])


def test_a_doi_is_the_same_however_it_is_written(tmp_path: Path, toy: Any) -> None:
    written = ["10.1/ABC", "https://doi.org/10.1/ABC", "http://dx.doi.org/10.1%2Fabc", "doi:10.1/ABC", " 10.1/abc. "]
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add(Document(f"d{n}", "A chest scan.", metadata={"doi": doi}) for n, doi in enumerate(written[:3]))
        index.set_notices("watch", [Notice("doi:10.1/abc", "retracted")])
        index.add(Document(f"e{n}", "A chest scan.", metadata={"doi": doi}) for n, doi in enumerate(written[3:]))
        names = [document.id for document in index.documents()]
        assert index.flags(names) == dict.fromkeys(names, ("retracted",))
        assert index.search("chest") == []
        assert index.verify() == []


def test_a_notice_reaches_a_document_by_every_name_it_has(tmp_path: Path, toy: Any) -> None:
    named: list[tuple[str, dict[str, Any]]] = [
        ("pmid:111", {}),
        ("PMID111", {}),
        ("111", {}),
        ("a", {"pmid": 111}),
        ("b", {"pmid": "111", "doi": "10.1/other"}),
        ("10.1/ABC", {}),
        ("c", {"DOI": ["10.1/first", "10.1/ABC"]}),
    ]
    documents = [Document(name, "A chest scan.", metadata=metadata) for name, metadata in named]
    one, other = (Notice(target, "retracted", "watch", "2020") for target in ("PMID:111", "doi:10.1/abc"))
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add([*documents[::2], Document("1111", "A chest film.", metadata={"doi": "10.1/abcd"})])
        index.set_notices("watch", [one, other])
        index.add(documents[1::2])
        names = [document.id for document in documents]
        assert index.flags([*names, "1111"]) == dict.fromkeys(names, ("retracted",)) | {"1111": ()}
        assert [hit.passage.document_id for hit in index.search("chest", 20)] == ["1111"]
        index.set_notices("watch", [])
        assert index.flags(names) == dict.fromkeys(names, ())
        index.delete(["a"])
        index.update([Document("b", "A chest film.", metadata={"pmid": 222})])
        index.set_notices("watch", [one])
        assert {name for name, flags in index.flags(names).items() if flags} == {"pmid:111", "PMID111", "111"}
        assert index.verify() == []


def test_a_search_that_began_before_a_merge_ends_with_what_it_began_with(tmp_path: Path, toy: Any) -> None:
    encoder = toy()
    with (
        HybridIndex.create(tmp_path / "i", encoder=toy()) as writer,
        HybridIndex.open(tmp_path / "i", encoder=encoder) as reader,
    ):
        writer.add(batch(0))
        assert check_whole(reader) == 1
        encode = encoder.encode

        def meanwhile(texts: list[str], kind: str) -> Any:
            encoder.encode = encode
            writer.add(batch(1))
            writer.delete([document.id for document in batch(0)])  # much has died: the segment is written anew
            return encode(texts, kind)

        encoder.encode = meanwhile
        hits = reader.search("chest nodule", k=100, mode="dense")
        assert {hit.passage.document_id for hit in hits} == {document.id for document in batch(0)}
        hits = reader.search("chest nodule", k=100, mode="dense")
        assert {hit.passage.document_id for hit in hits} == {document.id for document in batch(1)}


def test_a_reader_that_finds_segments_replaced_reads_the_list_again(
    tmp_path: Path, toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = segments.read_segment
    with (
        HybridIndex.create(tmp_path / "i", encoder=toy()) as writer,
        HybridIndex.open(tmp_path / "i", encoder=toy()) as reader,
    ):
        writer.add(batch(0))

        def late(folder: Path, *arguments: Any) -> Any:
            monkeypatch.setattr("radrag.indexes.state.read_segment", read)
            writer.delete(["b0-0", "b0-1"])
            return read(folder, *arguments)

        monkeypatch.setattr("radrag.indexes.state.read_segment", late)
        assert {hit.passage.document_id for hit in reader.search("chest", k=50)} == {f"b0-{i}" for i in range(2, SIZE)}


def test_a_reader_says_what_is_missing(tmp_path: Path, toy: Any) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add(batch(0))
    (folder,) = (tmp_path / "i" / "segments").iterdir()
    (folder / "vectors.npy").unlink()
    with pytest.raises(IndexCorruptError, match=r"vectors\.npy is missing from the index"):
        HybridIndex.open(tmp_path / "i", encoder=toy())


def test_verify_while_another_merges(tmp_path: Path, toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = segments.file_sha256
    with (
        HybridIndex.create(tmp_path / "i", encoder=toy()) as writer,
        HybridIndex.open(tmp_path / "i", encoder=toy()) as reader,
    ):
        writer.add(batch(0))

        def meanwhile(path: Path) -> str:
            monkeypatch.setattr(segments, "file_sha256", hashed)
            writer.delete(["b0-0", "b0-1"])
            return hashed(path) if path.is_file() else "gone"

        monkeypatch.setattr(segments, "file_sha256", meanwhile)
        assert reader.verify() == []


@pytest.mark.parametrize("damaged", [False, True])
def test_verify_while_it_is_written_all_the_while(
    tmp_path: Path, toy: Any, monkeypatch: pytest.MonkeyPatch, damaged: bool
) -> None:
    """Segments that were replaced are no damage; what is missing from a state that was read later is."""
    count = iter(range(1, 100))
    monkeypatch.setattr(verification, "_SECONDS", 0.0)
    with (
        HybridIndex.create(tmp_path / "i", encoder=toy()) as writer,
        HybridIndex.open(tmp_path / "i", encoder=toy()) as reader,
    ):
        writer.add(batch(0))
        (folder,) = (tmp_path / "i" / "segments").iterdir()

        def meanwhile(*asked: Any) -> list[str]:
            if damaged:
                writer.set_note("count", next(count))
            else:
                writer.update(batch(0, version=next(count)))
            return segments.verify_segment(*asked)

        monkeypatch.setattr(verification, "verify_segment", meanwhile)
        if damaged:
            (folder / "vectors.npy").unlink()
            assert reader.verify() == [f"{folder / 'vectors.npy'} is missing"]
        else:
            with pytest.raises(IndexStateError, match="written all the while, so that none of 5 checks") as raised:
                reader.verify()
            assert raised.type is IndexStateError
        monkeypatch.undo()
        assert bool(reader.verify()) is damaged


def test_a_reader_waits_longer_than_a_writer_replaces_segments_but_not_for_ever() -> None:
    """Ten states in a row are gone when they are read; only a file that is missing twice is damage."""
    calls: list[str] = []
    parent = Path("segments")

    def read(whole_after: int, name: str = "segments/{}/ids.npy") -> int:
        calls.append("")
        if len(calls) <= whole_after:
            raise FileNotFoundError(2, "no such file", name.format(len(calls)))
        return len(calls)

    assert segments.retry_missing(parent, lambda: read(10)) == 11
    with pytest.raises(IndexStateError, match=r"written all the while, segments/12/ids\.npy last") as raised:
        segments.retry_missing(parent, lambda: read(1_000_000), seconds=0.0)
    assert raised.type is IndexStateError
    calls.clear()
    with pytest.raises(IndexCorruptError, match=r"segments/one/ids\.npy is missing"):
        segments.retry_missing(parent, lambda: read(1_000_000, "segments/one/ids.npy"))
    assert len(calls) == 2


def test_a_passage_whose_document_is_replaced_while_it_is_read(tmp_path: Path, toy: Any) -> None:
    with (
        HybridIndex.create(tmp_path / "i", encoder=toy()) as writer,
        HybridIndex.open(tmp_path / "i", encoder=toy()) as reader,
    ):
        writer.add(batch(0))
        passage = reader.search("chest", k=1)[0].passage
        among = reader._db.among

        def meanwhile(statement: str, values: Any) -> Any:
            rows = among(statement, values)
            reader._db.among = among  # type: ignore[method-assign]
            writer.update(batch(0, version=1))
            return rows

        reader._db.among = meanwhile  # type: ignore[method-assign]
        assert reader.passage(passage.id) == passage
        with pytest.raises(KeyError, match=f"no passage {passage.id}"):
            reader.passage(passage.id)
        assert [one.id for one in reader.passages([8, 6])] == [8, 6]


def test_going_through_documents_while_they_are_replaced_gives_each_once(
    tmp_path: Path, toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_BATCH", 2)
    with (
        HybridIndex.create(tmp_path / "i", encoder=toy()) as writer,
        HybridIndex.open(tmp_path / "i", encoder=toy()) as reader,
    ):
        writer.add(batch(0))
        found = reader.documents()
        given = [next(found)]
        old, new = batch(0), batch(0, version=1)
        writer.update([new[0], new[1], new[3]])  # read, given and read, not yet read
        writer.delete([new[4].id])
        given += [next(found), next(found)]
        writer.update([replace(new[3], title="Third form"), *batch(1)[:1]])
        given += found
        assert given == [old[0], old[1], old[2], replace(new[3], title="Third form"), batch(1)[0]]
