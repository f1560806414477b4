"""PubMed files that hold an article more than once: versions in a file, revisions and retractions in later files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import run
from fake_pubmed import article, article_set, deletion, put

from radrag.corpora import FileFailure, read_files, read_folder
from radrag.indexes.hybrid import HybridIndex

BASE, SECOND, THIRD = "pubmed26n0001.xml.gz", "pubmed26n0002.xml.gz", "pubmed26n0003.xml.gz"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A baseline file and two update files, in folders that sort the other way."""
    put(
        tmp_path / "pubmed" / "z", BASE, article(1, "Aspirin reduces stroke."),
        article(1, "Aspirin does not reduce stroke.", version=2), article(2, "Two."), article(3, "Three."),
    )  # fmt: skip
    put(tmp_path / "pubmed" / "b", SECOND, article(2, "Two, revised.", revised="2026-01-02"))
    put(
        tmp_path / "pubmed" / "a", THIRD,
        article(2, "Two, withdrawn.", revised="2026-01-03", types=("Retracted Publication",)),
        article(4, "", types=("Retraction of Publication",), links=(("RetractionOf", 5),)), article(5, "Five."),
        deletion(3),
    )  # fmt: skip
    return tmp_path / "pubmed"


def texts(index: Path) -> dict[str, str]:
    with HybridIndex.open(index) as opened:
        return {document.id.removeprefix("PMID:"): document.text for document in opened.documents()}


def retracted(index: Path) -> set[str]:
    with HybridIndex.open(index) as opened:
        found = opened.flags([f"PMID:{number}" for number in range(1, 6)])
    return {name.removeprefix("PMID:") for name, flags in found.items() if "retracted" in flags}


NEWEST = {
    "1": "Aspirin does not reduce stroke.",
    "2": "Two, withdrawn.",
    "3": "Three.",
    "4": "Article 4.",
    "5": "Five.",
}
AFTER = {name: text for name, text in NEWEST.items() if name != "3"}


@pytest.mark.parametrize("verb", ["build", "add"])
@pytest.mark.parametrize("named", [False, True])
def test_the_newest_state_of_an_article_is_kept(tmp_path: Path, files: Path, verb: str, named: bool) -> None:
    index = tmp_path / "index"
    if verb == "add":
        HybridIndex.create(index).close()
    sources = sorted(files.rglob("*.gz")) if named else [files]
    made = json.loads(run("index", verb, index, *sources, "--json"))
    assert (made["added"], made["deletions_left_out"], made["failures"]) == (5, 1, [])
    assert texts(index) == NEWEST
    assert retracted(index) == {"2", "5"}


@pytest.mark.parametrize("named", [False, True])
def test_an_update_applies_files_and_their_deletions_in_order(tmp_path: Path, files: Path, named: bool) -> None:
    index = tmp_path / "index"
    run("index", "build", index, files / "z" / BASE, "--json")
    put(files / "a", "pubmed26n0004.xml.gz", article(6, "Six.", version=2), deletion(6, version=2))
    put(files / "a", "pubmed26n0005.xml.gz", article(6, "Six, anew."))
    sources = sorted(files.rglob("*.gz")) if named else [files]
    for _ in range(2):
        report = json.loads(run("index", "add", index, *sources, "--update", "--json"))
        assert report["failures"] == []
        assert texts(index) == {**AFTER, "6": "Six, anew."}
        assert retracted(index) == {"2", "5"}


def test_a_build_that_was_killed_goes_on_to_the_newest_state(
    tmp_path: Path, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, whole = tmp_path / "index", HybridIndex.update
    with monkeypatch.context() as patched:

        def killed(self: HybridIndex, documents: object, **options: object) -> dict[str, int]:
            whole(self, list(documents)[:2], **options)  # type: ignore[call-overload, arg-type]
            raise KeyboardInterrupt

        patched.setattr(HybridIndex, "update", killed)
        assert "run the same command again and it goes on" in run("index", "build", index, files, "--json", code=1)
    assert len(texts(index)) == 2
    made = json.loads(run("index", "build", index, files, "--json"))
    assert (made["added"], made["skipped"]) == (3, 2)
    assert texts(index) == NEWEST


def test_a_build_goes_on_after_what_failed_was_mended(tmp_path: Path) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_text('{"id": "a", "text": "One."}\n{"id": "b", "text": "Two."}\n', encoding="utf-8")
    second.write_text('{"id": "b", "text": "Another two."}\n{"id": "c", "text": "Three."}\n', encoding="utf-8")
    said = run("index", "build", tmp_path / "index", first, second, code=1)
    assert f"the id 'b' is used by {first} already" in " ".join(said.split())
    assert "mend what failed and run the same command again" in " ".join(said.split())
    first.write_text('{"id": "a", "text": "One, mended."}\n', encoding="utf-8")
    run("index", "build", tmp_path / "index", first, second)
    assert texts(tmp_path / "index") == {"a": "One, mended.", "b": "Another two.", "c": "Three."}


def test_an_article_and_a_record_of_another_kind_never_share_an_id(tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "z.jsonl").write_text('{"id": "PMID:1", "text": "One."}\n', encoding="utf-8")
    (folder / "a.xml").write_bytes(article_set(article(2, "Two."), article(1, "Another.")))
    for arguments in (["build", tmp_path / "made"], ["add", tmp_path / "made", "--update"]):
        made = json.loads(run("index", *arguments, folder, "--json", code=1))
        assert "'PMID:1' is used by" in made["failures"][0]["error"]
    assert texts(tmp_path / "made") == {"PMID:1".removeprefix("PMID:"): "One.", "2": "Two."}


def test_a_folder_is_read_in_the_order_of_file_names(files: Path) -> None:
    corpus = read_folder(files)
    assert corpus.failures == ()
    assert {document.id.removeprefix("PMID:"): document.text for document in corpus.documents} == NEWEST
    failures: list[FileFailure] = []
    states = [one.text for one in read_files(files.rglob("*.gz"), failures, every_state=True) if one.id == "PMID:2"]
    assert states == ["Two.", "Two, revised.", "Two, withdrawn."]
