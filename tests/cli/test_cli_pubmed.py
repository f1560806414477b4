from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_pubmed import FakeServer, Fault, article, article_set, deletion, fast_web, put, served
from typer.testing import CliRunner

from radrag.cli import app
from radrag.corpora import read_pubmed

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
        "selection": {"years": [2001, None]},
    }
    assert not index.exists()
    run("sync", index, "--create", "--server", pubmed.url, "--max-files", 1)
    assert not (tmp_path / "index-downloads").exists()
    shown = run("sync", index, "--server", pubmed.url, "--dry-run")
    assert shown == f"1 files to apply ({UPDATE} to {UPDATE}), 0 after them, 1 applied before.\nSelection: everything\n"
    assert not any(path.endswith(UPDATE) for path, _ in pubmed.requests)


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
    assert found_in(index) == {"PMID:3", "PMID:4", "PMID:9"}
    names = "Record ID,RetractionDate,RetractionDOI,RetractionPubMedID,OriginalPaperDOI,OriginalPaperPubMedID,"
    file = tmp_path / "rw.csv"
    file.write_text(f"{names}RetractionNature\n5,1/2/2020 0:00,,0,,4,Retraction\n", encoding="utf-8")
    assert run("retractions", index, file) == ("1 notices kept; 2 documents of the index are retracted, 1 before.\n")
    assert found_in(index) == {"PMID:3", "PMID:9"}
    file.write_text(f"{names}RetractionNature\n6,1/2/2020 0:00,,0,,3,Correction\n", encoding="utf-8")
    assert json.loads(run("retractions", index, file, "--json"))["retracted"] == 1
    assert found_in(index) == {"PMID:3", "PMID:4", "PMID:9"}
