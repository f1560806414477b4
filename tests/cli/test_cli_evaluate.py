from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from radrag.cli import app
from radrag.cli.evaluate_shared import estimate
from radrag.evaluation.benchmarks import Progress
from radrag.evaluation.comparison import Comparison

FACTS = {"1": "Zinc is safe in children.", "2": "Lead harms children.", "3": "Iron helps anaemia."}


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


@pytest.fixture
def index(tmp_path: Path) -> Path:
    documents = tmp_path / "documents.jsonl"
    rows = [{"id": f"PMID:{pmid}", "title": f"Study {pmid}", "text": text} for pmid, text in FACTS.items()]
    documents.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    run("index", "build", tmp_path / "index", documents, "--json")
    return tmp_path / "index"


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    rows = [
        {"id": "a", "question": "Is zinc safe in children?", "type": "yesno", "verdict": "yes", "answer": FACTS["1"],
         "gold": [{"document_id": "PMID:1", "start": 0, "end": 25, "quote": FACTS["1"]}]},
        {"id": "b", "question": "What does iron help?", "answer": FACTS["3"],
         "gold": [{"document_id": "PMID:3", "start": 0, "end": 19, "quote": FACTS["3"]}]},
    ]  # fmt: skip
    path = tmp_path / "asked.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_file_in_the_place_of_a_verb(index: Path, asked: Path, tmp_path: Path) -> None:
    kept, report = tmp_path / "kept.jsonl", tmp_path / "report.json"
    options = ("--index", index, "--keep", kept, "--report", report, "--report", tmp_path / "report.html", "--json")
    made = json.loads(run("evaluate", asked, *options))
    assert made["items"] == 2
    assert Comparison.read(report).items == 2
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    lines = kept.read_bytes()
    assert len(lines.splitlines()) == 4  # two questions, two sides
    again = json.loads(run("evaluate", "file", asked, *options))
    assert kept.read_bytes() == lines  # nothing was asked again
    assert again["rows"] == made["rows"]
    assert [one["seconds"] for one in again["cost"]] == [one["seconds"] for one in made["cost"]]
    changed = json.loads(run("evaluate", "diff", report, report, "--json"))
    assert changed["items"] == 2
    assert all(row["gain"] == 0 for row in changed["rows"])


def test_reports_are_refused_before_anything_runs(asked: Path, tmp_path: Path) -> None:
    assert "must end in .html" in run("evaluate", asked, "--report", tmp_path / "a.doc", code=1)
    assert "does not exist" in run("evaluate", asked, "--report", tmp_path / "no" / "a.html", code=1)
    assert "is not JSON" in run("evaluate", "diff", asked, asked, code=1)


def test_pubmedqa_in_both_settings(tmp_path: Path) -> None:
    records = {
        pmid: {"QUESTION": f"Is it so: {text}?", "CONTEXTS": [text], "LABELS": ["RESULTS"], "YEAR": "2011",
               "MESHES": [], "final_decision": "yes", "LONG_ANSWER": text}
        for pmid, text in FACTS.items()
    }  # fmt: skip
    file = write(tmp_path / "ori_pqal.json", records)
    split = write(tmp_path / "test_ground_truth.json", {"1": "yes", "3": "yes"})
    given = json.loads(run("evaluate", "pubmedqa", file, "--split", split, "--json"))
    assert given["items"] == 2
    benchmark = given["manifest"]["benchmark"]
    assert (benchmark["setting"], benchmark["split"]) == ("given", "test_ground_truth.json")
    assert set(benchmark["sha256"]) == {"ori_pqal.json", "test_ground_truth.json"}
    assert "MIT licence" in benchmark["notice"]
    assert given["rows"][1]["metric"].startswith("macro-F1")
    found = json.loads(run("evaluate", "pubmedqa", file, "--setting", "retrieved", "--json"))
    assert found["manifest"]["benchmark"]["pool"].startswith("3 abstracts")
    assert "MIT licence" in run("evaluate", "pubmedqa", file, "--split", split)
    assert "--controls are for" in run("evaluate", "pubmedqa", file, "--controls", code=1)


def test_bioasq_of_a_pipeline_and_of_a_submission(index: Path, tmp_path: Path) -> None:
    url = "http://www.ncbi.nlm.nih.gov/pubmed/"
    gold = [
        {"id": pmid, "type": "yesno", "body": f"{text[:-1]}?", "documents": [url + pmid], "exact_answer": "yes",
         "ideal_answer": [text], "snippets": [{"document": url + pmid, "text": text, "offsetInBeginSection": 0,
                                              "offsetInEndSection": 5, "beginSection": "abstract",
                                              "endSection": "abstract"}]}
        for pmid, text in FACTS.items()
    ]  # fmt: skip
    file = write(tmp_path / "gold.json", {"questions": gold})
    made = json.loads(run("evaluate", "bioasq", file, "--index", index, "--json"))
    titles = [table["title"] for table in made["tables"]]
    assert titles == [
        "Phase A, official measures", "Phase B, official measures: RAG", "Phase B, official measures: no RAG"
    ]  # fmt: skip
    recall = {row[0]: row[1] for row in made["tables"][0]["rows"]}["documents: mean recall"]
    assert recall == "1.0000"
    assert made["manifest"]["benchmark"]["gold snippets left out"] == {}
    sent = write(tmp_path / "sent.json", {"questions": [{"id": pmid, "exact_answer": "yes"} for pmid in FACTS]})
    scored = json.loads(run("evaluate", "bioasq", file, "--submission", sent, "--json"))
    assert {row[0]: row[1] for row in scored["tables"][1]["rows"]}["yes/no: accuracy"] == "1.0000"
    assert "either --index" in run("evaluate", "bioasq", file, code=1)


def test_mirage_asks_for_what_it_needs(tmp_path: Path) -> None:
    file = write(tmp_path / "benchmark.json", {"bioasq": {}})
    assert "needs --index" in run("evaluate", "mirage", file, code=1)


def test_mirage_by_dataset(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from radrag.cli import evaluate_benchmarks
    from radrag.generation.scripted import ScriptedGenerator

    def generator(*_: object) -> ScriptedGenerator:
        return ScriptedGenerator(lambda chat: "A" if "<passage" in chat[-1].content else "B")

    monkeypatch.setattr(evaluate_benchmarks, "generator", generator)
    options = {"A": "yes", "B": "no"}
    questions = {
        name: {str(n): {"question": f"{name} {n}?", "options": options, "answer": "A"} for n in range(2)}
        for name in ("medqa", "bioasq")
    }
    file = write(tmp_path / "benchmark.json", questions)
    made = json.loads(run("evaluate", "mirage", file, "--index", index, "--model", "x", "--json"))
    assert (made["rows"][0]["system"]["value"], made["rows"][0]["baseline"]["value"]) == (1.0, 0.0)
    assert made["tables"][0]["rows"][-1] == ["mean of datasets", "1.000", "0.000", "+1.000"]


def test_recorded_systems(tmp_path: Path) -> None:
    rows = [
        {"id": str(n), "question": f"Is {n}?", "options": {"A": "yes", "B": "no"}, "gold": "A", "model": "m",
         "setting": setting, "output": json.dumps({"answer_choice": letter})}
        for setting, letter in (("cot", "B"), ("rag", "A"))
        for n in range(3)
    ]  # fmt: skip
    file = tmp_path / "outputs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    made = json.loads(run("evaluate", "recorded", file, "--json"))
    assert made["questions"] == 3
    assert made["tables"][1]["rows"][0][2:4] == ["+1.000 [+1.000, +1.000]", "3 : 0"]
    assert "strict rule" in run("evaluate", "recorded", file)
    assert "no model has the setting" in str(
        CliRunner().invoke(app, ["evaluate", "recorded", str(file), "--baseline", "x"]).exception
    )


def test_an_estimate_says_what_is_left() -> None:
    first = Progress(10, 40, 2, 4.0, 15.0, 800, 3000)
    assert estimate("RAG", first) == "RAG: 2 answered before; 8 in 4.0 s; about 15 s and 3,000 tokens for 30 more"
    assert estimate("RAG", Progress(8, 8, 0, 4.0, 0.0, None, None)) == "RAG: 8 in 4.0 s"
