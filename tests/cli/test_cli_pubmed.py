from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_pubmed import FakeServer, Fault, article, article_set, deletion, fast_web, put, served
from typer.testing import CliRunner

from radrag.cli import app
from radrag.corpora import read_pubmed
from radrag.corpora.pubmed_server import Fetched, PubmedFile, Server
from radrag.indexes.hybrid import HybridIndex
from radrag.indexes.pubmed_sync import only_sync
from radrag.types import Notice

BASE, UPDATE = "pubmed26n0001.xml.gz", "pubmed26n0002.xml.gz"
FOUND = """<eSearchResult><Count>12</Count><IdList><Id>3</Id><Id>4</Id></IdList><QueryTranslation>x</QueryTranslation>
<WarningList><PhraseIgnored>of</PhraseIgnored></WarningList></eSearchResult>"""


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["corpora", "pubmed", *map(str, arguments)])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


@pytest.fixture
def pubmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    for module in ("pubmed_server", "eutils"):
        monkeypatch.setattr(f"radrag.corpora.{module}.Web", fast_web)
    with served(tmp_path / "pub") as server:
        put(
            server.root / "baseline",
            BASE,
            article(1, "Renal stones hurt.", mesh=("Humans",)),
            article(2, "Renal masses grow.", mesh=("Humans",)),
            article(3, "Mice have kidneys.", mesh=("Mice",)),
            article(9, links=(("RetractionOf", 2),)),
        )
        put(server.root / "updatefiles", UPDATE, deletion(1), article(4, "Renal cysts.", mesh=("Humans",)))
        server.eutils = lambda tool, form: FOUND.encode() if tool == "esearch.fcgi" else article_set(article(3))
        yield server


def found_in(index: Path) -> set[str]:
    result = CliRunner().invoke(app, ["index", "search", str(index), "renal", "--json"])
    assert result.exit_code == 0, result.output
    return {hit["passage"]["document_id"] for hit in json.loads(result.output)}


def test_sync(pubmed: FakeServer, tmp_path: Path) -> None:
    index = tmp_path / "index"
    options = ("--server", pubmed.url, "--mesh", "humans")
    pubmed.faults[f"/baseline/{BASE}"] = [Fault(cut=100)]
    output = run("sync", index, "--create", *options, "--max-files", 1)
    assert "1 files applied, 1 left to apply." in output
    assert "2 added" in output
    assert "2 unselected" in output
    assert found_in(index) == {"PMID:1"}
    report = json.loads(run("sync", index, *options, "--keep", "--json"))
    assert (report["files"], report["counts"]["deleted"], report["counts"]["added"]) == ([UPDATE], 1, 1)
    assert [path.name for path in (tmp_path / "index-downloads").iterdir()] == [UPDATE]
    assert found_in(index) == {"PMID:4"}
    assert "0 files applied" in run("sync", index, "--server", pubmed.url)


def test_a_dry_run_does_nothing(pubmed: FakeServer, tmp_path: Path) -> None:
    index = tmp_path / "index"
    plan = json.loads(run("sync", index, "--create", "--server", pubmed.url, "--years", "2001:", "--dry-run", "--json"))
    assert plan == {
        "pending": [BASE, UPDATE],
        "left": 0,
        "applied": 0,
        "late": [],
        "reissued": None,
        "waiting": 0,
        "selection": {"years": [2001, None]},
    }
    assert not index.exists()
    run("sync", index, "--create", "--server", pubmed.url, "--max-files", 1)
    assert not (tmp_path / "index-downloads").exists()
    shown = run("sync", index, "--server", pubmed.url, "--dry-run")
    assert shown == f"1 files to apply ({UPDATE} to {UPDATE}), 0 after them, 1 applied before.\nSelection: everything\n"
    assert not any(path.endswith(UPDATE) for path, _ in pubmed.requests)


def test_a_selection_is_not_forgotten_when_the_first_file_fails(tmp_path: Path) -> None:
    index, source = tmp_path / "index", ("--from", tmp_path / "p")
    path = put(tmp_path / "p", BASE, article(1, "Renal one.", mesh=("Humans",)), article(2, "Renal two."))
    digest = path.with_name(f"{BASE}.md5")
    right = digest.read_text(encoding="ascii")
    digest.write_text(f"MD5({BASE})= {'0' * 32}\n", encoding="ascii")
    for given in ("Hamans", "Humans"):  # as long as no file was applied, another selection is free
        run("sync", index, "--create", "--mesh", given, *source, code=1)
    digest.write_text(right, encoding="ascii")
    assert "1 files applied, 0 left to apply.\n1 added" in (output := run("sync", index, *source))
    assert "Selection: {'mesh': ('Humans',)}" in output
    assert found_in(index) == {"PMID:1"}
    run("sync", index, "--mesh", "Mice", "--selection-changed", *source)
    assert "'Mice'" in run("sync", index, *source, "--dry-run")


def test_sync_from_a_folder(pubmed: FakeServer, tmp_path: Path) -> None:
    (pubmed.root / "updatefiles" / f"{UPDATE}.md5").unlink()
    before = len(pubmed.requests)
    output = run("sync", tmp_path / "index", "--create", "--from", pubmed.root, "--has-abstract", "--language", "eng")
    assert f"Not checked, there is no digest beside it: {UPDATE}" in output
    assert len(pubmed.requests) == before
    assert (pubmed.root / "baseline" / BASE).exists()
    put(pubmed.root / "baseline", "pubmed25n0001.xml.gz", article(1))
    output = run("sync", tmp_path / "index", "--from", pubmed.root)
    assert "1 files (pubmed25n0001.xml.gz to pubmed25n0001.xml.gz) come before one that was applied" in output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "does not exist; check the path, or make it with --create"),
        (("--create", "--from", "x", "--server", "http://127.0.0.1/"), "give one of them"),
        (("--create", "--from", "x", "--years", "new"), "expected years such as"),
        (("--create", "--server", "file:///mirror"), "for a folder on this machine give --from FOLDER"),
        (("--create", "--server", "ftp://ftp.ncbi.nlm.nih.gov/pubmed"), "expected an https or http address"),
    ],
)
def test_wrong_use_of_sync_is_explained(tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    assert message in run("sync", tmp_path / "index", *options, code=1)
    assert not (tmp_path / "index").exists()


def test_a_source_that_fails_leaves_no_empty_index(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["corpora", "pubmed", "sync", str(tmp_path / "index"), "--create", "--from", str(tmp_path / "x")]
    )
    assert "holds no file like pubmed26n0001.xml.gz" in str(result.exception)
    assert not (tmp_path / "index").exists()


def test_search_lists(pubmed: FakeServer) -> None:
    output = run("search", "kidney", "--max", 2, "--server", pubmed.url, "--sort", "pub_date")
    assert output.splitlines() == [
        "2 of 12 articles.",
        "PubMed warns: PhraseIgnored: of",
        "Not sent by NCBI: 4",
        "        3  2020  Article 3.",
    ]
    assert [form.get("api_key") for form in pubmed.forms] == [None, None]
    assert (pubmed.forms[0]["term"], pubmed.forms[0]["retmax"], pubmed.forms[1]["id"]) == ("kidney", "2", "3,4")


def test_search_writes_and_stores(pubmed: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCBI_API_KEY", "KEY")
    index, out = tmp_path / "index", tmp_path / "found.xml"
    run("sync", index, "--create", "--server", pubmed.url)
    found = json.loads(run("search", "x", "--server", pubmed.url, "--out", out, "--index", index, "--json"))
    assert (found["count"], found["records"], found["missing"], found["file"]) == (12, 1, ["4"], str(out))
    assert found["index"]["updated"] == 1
    assert [document.id for document in read_pubmed(out)] == ["PMID:3"]
    assert {form["api_key"] for form in pubmed.forms} == {"KEY"}
    assert "does not exist" in run("search", "x", "--server", pubmed.url, "--index", tmp_path / "no", code=1)


def test_retractions_from_a_file(pubmed: FakeServer, tmp_path: Path) -> None:
    index = tmp_path / "index"
    run("sync", index, "--create", "--server", pubmed.url)
    assert found_in(index) == {"PMID:3", "PMID:4"}
    names = "Record ID,RetractionDate,RetractionDOI,RetractionPubMedID,OriginalPaperDOI,OriginalPaperPubMedID,"
    file = tmp_path / "rw.csv"
    file.write_text(f"{names}RetractionNature\n5,1/2/2020 0:00,,0,,4,Retraction\n", encoding="utf-8")
    assert run("retractions", index, file) == ("1 notices kept; 2 documents of the index are retracted, 1 before.\n")
    assert found_in(index) == {"PMID:3"}
    file.write_text(f"{names}RetractionNature\n6,1/2/2020 0:00,,0,,3,Correction\n", encoding="utf-8")
    assert json.loads(run("retractions", index, file, "--json"))["retracted"] == 1
    assert found_in(index) == {"PMID:3", "PMID:4"}


def test_rows_of_a_list_of_retractions_that_cannot_be_read(pubmed: FakeServer, tmp_path: Path) -> None:
    index, file = tmp_path / "index", tmp_path / "rw.csv"
    run("sync", index, "--create", "--server", pubmed.url)
    names = "Record ID,RetractionDate,RetractionDOI,RetractionPubMedID,OriginalPaperDOI,OriginalPaperPubMedID,"
    rows = '5,1/2/2020 0:00,,0,see below,4,Retraction\n6,1/2/2020 0:00,,0,,"3,000,000",Retraction\n'
    file.write_text(f"{names}RetractionNature\n{rows}", encoding="utf-8")
    result = CliRunner().invoke(app, ["corpora", "pubmed", "retractions", str(index), str(file)])
    assert "record 3 (Record ID 6), field OriginalPaperPubMedID" in str(result.exception)
    assert "--skip-damaged" in str(result.exception)
    assert "PMID:4" in found_in(index)
    kept, left_out, unread = run("retractions", index, file, "--skip-damaged").splitlines()
    assert kept == "1 notices kept; 2 documents of the index are retracted, 1 before."
    assert left_out.startswith("Left out: file")
    assert "got '3,000,000'" in left_out
    assert unread.startswith("Not read: file")
    assert "record 2 (Record ID 5), field OriginalPaperDOI: " in unread
    assert "PMID:4" not in found_in(index)
    facts = json.loads(run("retractions", index, file, "--skip-damaged", "--json"))
    assert [len(facts["damaged"]), len(facts["unread"])] == [1, 1]


def test_a_list_of_retractions_that_shrank_is_refused(pubmed: FakeServer, tmp_path: Path) -> None:
    index, file = tmp_path / "index", tmp_path / "rw.csv"
    run("sync", index, "--create", "--server", pubmed.url)
    names = "Record ID,RetractionDate,RetractionDOI,RetractionPubMedID,OriginalPaperDOI,OriginalPaperPubMedID,"
    rows = [f"{n},1/2/2020 0:00,,0,,{n},Retraction\n" for n in range(1, 21)]

    def write(count: int) -> None:
        file.write_text(f"{names}RetractionNature\n{''.join(rows[:count])}", encoding="utf-8")

    write(0)
    told = " ".join(run("retractions", index, file, code=1).split())
    assert "has 0 notices, and the index none from a file before; nothing was changed" in told
    write(20)
    run("retractions", index, file)
    assert found_in(index) == set()
    for count in (0, 17):
        write(count)
        assert "cut off: fetch it again" in run("retractions", index, file, code=1)
        assert found_in(index) == set()
    write(18)
    run("retractions", index, file)
    write(0)
    assert "0 notices kept" in run("retractions", index, file, "--fewer")
    assert found_in(index) == {"PMID:3", "PMID:4"}


def test_a_list_that_came_in_otherwise_is_not_replaced_by_a_cut_one(pubmed: FakeServer, tmp_path: Path) -> None:
    """What is stored counts, not what a command remembers; a notice that a file repeats counts once."""
    index, file = tmp_path / "index", tmp_path / "rw.csv"
    run("sync", index, "--create", "--server", pubmed.url)
    with HybridIndex.open(index) as opened:
        opened.set_notices("retraction-watch", [Notice(f"PMID:{n}", "retracted", "x", "2020") for n in range(1, 21)])
    names = "Record ID,RetractionDate,RetractionDOI,RetractionPubMedID,OriginalPaperDOI,OriginalPaperPubMedID,"
    rows = "5,1/2/2020 0:00,,0,,4,Retraction\n" * 20
    file.write_text(f"{names}RetractionNature\n{rows}", encoding="utf-8")
    told = " ".join(run("retractions", index, file, code=1).split())
    assert "has 1 notices, the index has 20 from a file before; nothing was changed" in told
    assert found_in(index) == set()
    assert "1 notices kept" in run("retractions", index, file, "--fewer")
    assert found_in(index) == {"PMID:3"}


def test_files_that_go_together_are_shown_and_applied_together(pubmed: FakeServer, tmp_path: Path) -> None:
    index = tmp_path / "index"
    options = ("--server", pubmed.url, "--max-files", 1, "--json")
    run("sync", index, "--create", "--server", pubmed.url)
    put(pubmed.root / "baseline", BASE, article(1, "Renal stones, revised."), article(2, "Renal masses."))
    assert json.loads(run("sync", index, *options, "--dry-run"))["pending"] == [BASE, UPDATE]
    report = json.loads(run("sync", index, *options))
    assert (report["files"], report["left"]) == ([BASE, UPDATE], 0)
    assert "PMID:1" not in found_in(index)


def test_an_interruption_says_how_to_go_on(pubmed: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index, fetch = tmp_path / "index", Server.fetch

    def interrupted(self: Server, file: PubmedFile, folder: Path) -> Fetched:
        if file.update:
            raise KeyboardInterrupt
        return fetch(self, file, folder)

    with monkeypatch.context() as patched:
        patched.setattr(Server, "fetch", interrupted)
        output = run("sync", index, "--create", "--server", pubmed.url, code=130)
    assert "interrupted; the files applied stay applied. Run the same command again to go on" in output
    assert "1 files applied, 0 left to apply." in run("sync", index, "--create", "--server", pubmed.url)


def test_a_file_published_anew_is_told(pubmed: FakeServer, tmp_path: Path) -> None:
    index = tmp_path / "index"
    run("sync", index, "--create", "--server", pubmed.url)
    put(pubmed.root / "updatefiles", UPDATE, article(4, "Renal abscess.", mesh=("Humans",)))
    told = (
        f"{UPDATE} was published anew since it was applied; it and all files after it are applied again. What only its "
        "first issue said stays: its articles, its deletions, and its notices about others."
    )
    assert told in run("sync", index, "--server", pubmed.url, "--dry-run")
    output = run("sync", index, "--server", pubmed.url)
    assert told in output
    assert "1 updated" in output
    assert told not in run("sync", index, "--server", pubmed.url)


def test_a_second_sync_waits_for_its_turn(pubmed: FakeServer, tmp_path: Path) -> None:
    index = tmp_path / "index"
    run("sync", index, "--create", "--server", pubmed.url, "--max-files", 1)
    with only_sync(index):
        result = CliRunner().invoke(app, ["corpora", "pubmed", "sync", str(index), "--server", pubmed.url])
        assert "another sync" in str(result.exception)
    assert found_in(index) == {"PMID:1", "PMID:3"}
    assert json.loads(CliRunner().invoke(app, ["index", "verify", str(index), "--json"]).output) == []


def test_an_order_that_is_none(pubmed: FakeServer) -> None:
    message = "--sort best: expected relevance or pub_date"
    assert message in run("search", "x", "--server", pubmed.url, "--sort", "best", code=1)
    assert pubmed.forms == []


def test_damaged_records_can_be_left_out(pubmed: FakeServer, tmp_path: Path) -> None:
    index = tmp_path / "index"
    put(pubmed.root / "updatefiles", UPDATE, article(4, "Renal cysts."), "<Surprise/>")
    arguments = ["corpora", "pubmed", "sync", str(index), "--create", "--server", pubmed.url]
    assert "record 2, field Surprise" in str(CliRunner().invoke(app, arguments).exception)
    output = run(*arguments[2:], "--skip-damaged")
    assert "Left out: file" in output
    assert "record 2, field Surprise" in output
    assert "PMID:4" in found_in(index)
