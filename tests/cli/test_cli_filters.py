"""Filters of ``radrag index search`` by name: in any case, and with a word where nothing has the name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_pubmed import article, article_set
from typer.testing import CliRunner

from radrag.cli.app import app
from radrag.indexes.hybrid import HybridIndex


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return " ".join(result.output.split())


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filters")
    trial = {"types": ("Randomized Controlled Trial",), "mesh": ("Kidney Calculi",), "journal": "Radiology"}
    (folder / "a.xml").write_bytes(article_set(article(1, "A stone.", **trial), article(2, "A stone.", language="ger")))
    rows = [
        {"id": "a", "text": "A stone.", "mesh": ["kidney calculi", "Ureter"], "source": "Ward Notes"},
        {"id": "b", "text": "A stone.", "source": 7},
    ]
    (folder / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    run("index", "build", folder / "index", folder / "a.xml")
    run("index", "add", folder / "index", folder / "b.jsonl")  # a segment of its own
    return folder / "index"


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--type", "randomized controlled trial", {"PMID:1"}),
        ("--mesh", "KIDNEY  calculi", {"PMID:1", "a"}),
        ("--mesh", "Kidney Calculi", {"PMID:1", "a"}),
        ("--kind", "Abstract", {"PMID:1", "PMID:2"}),
        ("--language", "GER", {"PMID:2"}),
        ("--journal", "radiology", {"PMID:1", "PMID:2"}),
        ("--source", "ward notes", {"a"}),
    ],
)
def test_case_does_not_count(index: Path, option: str, value: str, expected: set[str]) -> None:
    found = json.loads(run("index", "search", index, "stone", option, value, "--json"))
    assert {hit["passage"]["document_id"] for hit in found} == expected


def test_any_of_several_names_will_do(index: Path) -> None:
    found = json.loads(run("index", "search", index, "stone", "--mesh", "ureter", "--mesh", "Kidney calculi", "--json"))
    assert {hit["passage"]["document_id"] for hit in found} == {"PMID:1", "a"}


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--mesh", "Kidney Calculus", "nearest is 'Kidney Calculi'"),
        ("--language", "English", "nearest is 'eng'"),
        ("--type", "RCT", "nor anything spelled nearly so; it has names like 'Journal Article', 'Randomized"),
    ],
)
def test_a_name_that_nothing_has_is_told(index: Path, option: str, value: str, said: str) -> None:
    output = run("index", "search", index, "stone", option, value, code=1)
    assert f"{option} {value!r}: nothing in this index has that" in output
    assert said in output


def test_a_field_that_nothing_has_is_told(tmp_path: Path) -> None:
    HybridIndex.create(tmp_path / "empty").close()
    said = run("index", "search", tmp_path / "empty", "stone", "--mesh", "Leg", code=1)
    assert "--mesh 'Leg': nothing in this index states any" in said


def test_the_values_of_a_facet(index: Path) -> None:
    with HybridIndex.open(index) as opened:
        assert opened.values("mesh") == ["Kidney Calculi", "Ureter", "kidney calculi"]
        assert opened.values("source") == ["Ward Notes"]  # numbers are no names
        assert opened.values("topic") == []
        assert opened.search("stone", where={"mesh": "ureter"}) == []  # Python takes names as they are
        with pytest.raises(ValueError, match=r"field must be a facet, one of .*, got 'ward'"):
            opened.values("ward")
