from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from radrag.cli import app, evaluate, evaluate_options
from radrag.cli.evaluate_options import Run, folded
from radrag.cli.evaluate_shared import estimate
from radrag.corpora import load_notes, load_protocols, read_questions
from radrag.evaluation.benchmarks import Progress
from radrag.evaluation.comparison import Comparison
from radrag.generation.scripted import ScriptedGenerator

PARTS = ("train", "calibration", "test")
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
    options = ("--index", index, "--keep", kept, "--report", report, "--report", tmp_path / "report.html", "--report",
               tmp_path / "chart.svg", "--json")  # fmt: skip
    made = json.loads(run("evaluate", asked, *options))
    assert made["items"] == 2
    assert Comparison.read(report).items == 2
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert '<title id="title">asked: RAG against no RAG</title>' in (tmp_path / "chart.svg").read_text("utf-8")
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
    assert "is a folder; --report names a file" in _flat(run("evaluate", asked, "--report", folder(tmp_path), code=1))
    said = _flat(run("evaluate", "diff", asked, asked, code=1))
    assert "is not JSON" in said
    assert "radrag-report/questions.json" in said


def folder(path: Path) -> Path:
    made = path / "folder.html"
    made.mkdir()
    return made


@pytest.mark.parametrize("name", ["made.html", "made.md", "report.json", "chart.svg", "chart.SVG"])
def test_a_folder_of_reports_is_not_named_like_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("radrag.corpora.load_questions", _never)
    said = _flat(run("evaluate", "questions", "--report", tmp_path / name, code=1))
    assert "--report names a folder here" in said
    assert "its files are questions.json, ..." in said
    assert not (tmp_path / name).exists()


def test_a_folder_that_cannot_be_made_is_noticed_before_anything_runs(
    asked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radrag.corpora.load_questions", _never)
    monkeypatch.setattr("radrag.corpora.read_questions", _never)
    assert "cannot be made" in run("evaluate", "questions", "--report", asked / "made", code=1)
    shut = SimpleNamespace(access=lambda *_: False, W_OK=os.W_OK)  # the tests may run as one who can write anywhere
    monkeypatch.setattr("radrag.cli.evaluate_shared.os", shut)
    assert "cannot be written" in run("evaluate", "questions", "--report", tmp_path / "made", code=1)
    assert "cannot be written" in run("evaluate", asked, "--report", tmp_path / "a.html", code=1)


def _never(*_: object) -> Any:
    raise AssertionError("it ran")


def _flat(text: str) -> str:
    return " ".join(text.split())


def test_controls_are_printed(index: Path, asked: Path, tmp_path: Path) -> None:
    said = run("evaluate", asked, "--index", index, "--controls", "--report", tmp_path / "made.json")
    made = Comparison.read(tmp_path / "made.json")
    assert made.leak is not None
    own, parts = said.index("Without each question's own source"), said.index("One part changed at a time")
    leak = said[own:parts]
    assert "RAG, own source removed against no RAG, 2 items" in leak
    assert f"source found before: {made.leak.reached}; declined: {made.leak.declined}, before: 0" in leak
    for row in made.leak.rows:
        assert f"{row.metric}: {row.system} against {row.baseline}" in leak
    lines = said[parts:].splitlines()
    columns = lines[1].strip().split("  ")
    assert columns[0] == made.ablations[0].cells[0].metric
    for one, line in zip(made.ablations, lines[2:], strict=False):
        assert line.split("  ")[1] == one.name
        assert f"{one.cells[0].difference.value:+.3f} [" in line
    plain = run("evaluate", asked, "--index", index)
    assert "own source" not in plain
    assert "One part" not in plain


def test_controls_without_sources_are_refused_before_anything_runs(index: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.jsonl"
    bare.write_text("".join(json.dumps({"id": n, "question": f"Is zinc {n}?"}) + "\n" for n in "ab"), encoding="utf-8")
    kept = tmp_path / "kept.jsonl"
    result = CliRunner().invoke(
        app, ["evaluate", "file", str(bare), "--index", str(index), "--controls", "--keep", str(kept)]
    )
    assert "none of the 2 questions names a gold source" in str(result.exception)
    assert "(--controls)" in str(result.exception)
    assert not kept.exists()
    assert result.output == ""  # and no empty line stands before the error


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
    assert found["manifest"]["RAG"]["min_confidence"] > 0
    forced = json.loads(run("evaluate", "pubmedqa", file, "--setting", "retrieved", "--answer-all", "--json"))
    assert forced["manifest"]["RAG"]["min_confidence"] == 0
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
    assert "Missing option '--index'" in run("evaluate", "mirage", file, code=2)
    assert "Missing option '--model'" in run("evaluate", "mirage", file, "--index", tmp_path, code=2)
    needed = [line for line in run("evaluate", "mirage", "--help").splitlines() if "[required]" in line]
    assert [next(name for name in ("--index", "--model", "file") if name in line) for line in needed] == [
        "file", "--index", "--model",
    ]  # fmt: skip


def test_mirage_by_dataset(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def generator(*_: object) -> ScriptedGenerator:
        return ScriptedGenerator(lambda chat: "A" if "<passage" in chat[-1].content else "B")

    monkeypatch.setattr(evaluate_options, "generator", generator)
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
    assert estimate("RAG", Progress(9, 9, 9, 0.0, 0.0, None, None)) == "RAG: 9 answered before; 0 in 0.0 s"


def test_options_of_a_group_stand_as_options() -> None:
    seen: list[object] = []
    commands = typer.Typer()

    def verb(file: Annotated[str, typer.Argument()], run: Run, wide: bool = False) -> None:
        """Do."""
        seen.append((file, run, wide))

    commands.command()(folded(verb))
    result = CliRunner().invoke(commands, ["a", "--seed", "3", "--wide", "--report", "x.md", "--json"])
    assert result.exit_code == 0, result.output
    assert seen == [("a", Run(seed=3, report=[Path("x.md")], as_json=True), True)]


def test_what_there_is_to_do_is_said_before(index: Path, asked: Path) -> None:
    said = run("evaluate", asked, "--index", index)
    assert said.index("2 items, 2 systems") < said.index("RAG: 2 in") < said.index("no RAG: 2 in")


def test_what_went_wrong_is_printed_too(index: Path, tmp_path: Path) -> None:
    asked = tmp_path / "asked.jsonl"
    rows = [{"id": str(n), "question": f"Which telescope sees galaxy {n}?", "answerable": False} for n in range(2)]
    asked.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    said = run("evaluate", asked, "--index", index)
    (line,) = [line for line in said.splitlines() if line.startswith("  abstained: ") and "2 RAG" in line]
    assert line.endswith(", 0 no RAG")


def test_an_answer_may_be_cut_short(asked: Path) -> None:
    assert "--max-tokens must be at least 1, got 0" in run("evaluate", asked, "--max-tokens", "0", code=1)


def test_bioasq_with_exact_answers(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "http://www.ncbi.nlm.nih.gov/pubmed/"
    asked = [
        ("f1", "factoid", "Which metal is safe in children?", [["zinc"]]),
        ("f2", "factoid", "Which metal is not safe in children?", [["lead"]]),
        ("l1", "list", "List the metals studied in children.", [["zinc"], ["lead"]]),
        ("l2", "list", "List the metals safe in children.", [["zinc"]]),
    ]
    gold = [
        {"id": name, "type": kind, "body": body, "exact_answer": exact, "documents": [url + name[1]],
         "snippets": [], "ideal_answer": ["Zinc is safe in children."]}
        for name, kind, body, exact in asked
    ]  # fmt: skip

    def reply(chat: Any) -> str:
        words = chat[0].content
        if "<passage" not in chat[-1].content:
            return "Not enough evidence."
        named = "- zinc" if "items first" in words else "Zinc" if "answer itself first" in words else ""
        return f"{named}\n\nEvidence:\nZinc is safe in children. [1]" if named else "Zinc is safe in children. [1]"

    monkeypatch.setattr(evaluate_options, "generator", lambda *_: ScriptedGenerator(reply))
    file = write(tmp_path / "gold.json", {"questions": gold})
    made = json.loads(run("evaluate", "bioasq", file, "--index", index, "--model", "x", "-k", "1", "--json"))
    figures = {row["metric"]: row for row in made["rows"]}
    answered = [one["id"] for one in made["cases"] if not one["system"]["abstained"]]
    assert len(answered) == 4
    assert figures["exact answer of factoids, right"]["system"]["value"] == 0.5
    assert figures["exact answer of lists, F1"]["system"]["value"] == pytest.approx((2 / 3 + 1) / 2)
    assert figures["exact answer of lists, F1"]["baseline"]["value"] == 0.0
    official = {table["title"]: {row[0]: row[1] for row in table["rows"]} for table in made["tables"]}
    ours = official["Phase B, official measures: RAG"]
    assert (ours["factoid: strict accuracy"], ours["list: recall"]) == ("0.5000", "0.7500")
    assert ours["ideal: ROUGE-2 F1"] == "1.0000"
    assert official["Phase B, official measures: no RAG"]["factoid: strict accuracy"] == "0.0000"


def _fill(sheet: Path, target: Path, rate: Callable[[dict[str, str], str, str], str]) -> Path:
    with sheet.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        names, rows = list(reader.fieldnames or ()), list(reader)
    for row in rows:
        for side in "AB":
            for criterion in ("correct", "complete", "harmful", "citation supports"):
                row[f"{side}: {criterion}"] = rate(row, side, criterion)
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
    return target


def test_shipped_questions_with_their_chart(
    index: Path, asked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = list(read_questions(asked))
    monkeypatch.setattr("radrag.corpora.load_questions", lambda: items)
    options = ("--index", index, "--llama-items", "0", "--no-labels", "--report", tmp_path / "made")
    said = run("evaluate", "questions", *options)
    assert "questions\nRAG against no RAG, 2 items" in said
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == [
        "questions.html", "questions.json", "questions.md", "questions.svg",
    ]  # fmt: skip
    assert "Questions: RAG against no RAG" in (tmp_path / "made" / "questions.svg").read_text("utf-8")


def test_yes_no_questions_also_with_none_declined(
    index: Path, asked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [replace(item, verdict="yes") for item in read_questions(asked) if item.answerable]
    items.append(replace(items[0], id="far", text="Do penguins swim faster than seals in June?"))
    monkeypatch.setattr("radrag.corpora.load_questions", lambda: items)
    options = ("--index", index, "--llama-items", "0", "--no-labels", "--report", tmp_path, "--json")
    made = json.loads(run("evaluate", "questions", *options))
    answered = {
        name: next(row for row in one["rows"] if row["metric"] == "answers what can be answered")["system"]["value"]
        for name, one in made.items()
    }
    assert set(answered) == {"questions", "questions-none-declined"}
    assert answered["questions"] < answered["questions-none-declined"] == 1
    assert "yes/no, none declined" in (tmp_path / "questions-none-declined.svg").read_text("utf-8")


def test_notes_with_one_source_out_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [one.id for one in load_protocols()[:3]]
    notes = {part: [note for note in load_notes(part) if note.label in names] for part in PARTS}
    monkeypatch.setattr("radrag.corpora.load_notes", lambda part: notes[part])
    monkeypatch.setattr("radrag.corpora.load_protocols", lambda: load_protocols()[:3])
    monkeypatch.setattr("radrag.corpora.load_evidence", tuple)
    made = json.loads(run("evaluate", "notes", "--controls", "--json"))
    assert made["items"] == len(notes["test"])
    assert [one["name"] for one in made["ablations"]] == [f"without {one}" for one in evaluate.NOTE_SOURCES]
    assert all(one["cells"] for one in made["ablations"])
    assert "leave out one of the two" in run("evaluate", "notes", "--controls", "--labeller", tmp_path, code=1)


def test_a_blinded_review_from_end_to_end(index: Path, asked: Path, tmp_path: Path) -> None:
    report = tmp_path / "made.json"
    run("evaluate", asked, "--index", index, "--report", report, "--json")
    folder, key = tmp_path / "sheets", tmp_path / "mine" / "key.json"
    said = run("evaluate", "review-export", report, "--out", folder, "--key", key, "--seed", "4")
    assert "2 items." in said
    assert sorted(path.name for path in folder.iterdir()) == ["sheet.csv", "sheet.html"]
    assert "RAG" not in (folder / "sheet.csv").read_text("utf-8-sig")

    def by_sources(row: dict[str, str], side: str, criterion: str) -> str:
        good = bool(row[f"sources {side}"])  # only the system with retrieval has any
        return "yes" if good and criterion != "harmful" else "no"

    def contrary(row: dict[str, str], side: str, criterion: str) -> str:
        return "yes" if criterion == "correct" else by_sources(row, side, criterion)

    ann = _fill(folder / "sheet.csv", tmp_path / "a.csv", by_sources)
    bob = _fill(folder / "sheet.csv", tmp_path / "bob.csv", contrary)
    options = ("--key", key, "--comparison", report, "--report", tmp_path / "r.json", "--report", tmp_path / "r.html")
    said = run("evaluate", "review-import", f"Ann={ann}", bob, *options)
    assert "Cohen's kappa" in said
    made = Comparison.read(tmp_path / "r.json").review
    assert made is not None
    assert made.reviewers == {"Ann": 2, "bob": 2}
    shares = {row.metric: (row.system.value, row.baseline.value) for row in made.rows}
    assert shares == {"correct": (1.0, 0.5), "complete": (1.0, 0.0), "harmful": (0.0, 0.0),
                      "citation supports": (1.0, 0.0)}  # fmt: skip
    agreed = {one.criterion: one for one in made.agreement}
    assert agreed["correct"].share == 0.5
    assert agreed["correct"].kappa == 0.0  # Bob says yes to all: chance explains it
    assert agreed["complete"].kappa == 1.0
    assert "Human review" in (tmp_path / "r.html").read_text("utf-8")
    assert json.loads(run("evaluate", "review-import", ann, *options, "--json"))["reviewers"] == {"a": 2}
    assert "a reviewer of its own" in run("evaluate", "review-import", ann, ann, *options, code=1)
    said = _flat(run("evaluate", "review-export", asked, "--out", tmp_path / "x", code=1))
    assert "is not JSON" in said
    assert "radrag-report/questions.json" in said
    wrong = ("--key", report, "--comparison", report)
    assert f"{report} is not the key of a review; give the key that" in _flat(
        run("evaluate", "review-import", ann, *wrong, code=1)
    )
    bare = ["evaluate", "review-import", str(folder / "sheet.csv"), *map(str, options[:4])]
    assert "no rating in any sheet" in str(CliRunner().invoke(app, bare).exception)
