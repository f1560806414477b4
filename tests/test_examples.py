"""Every example runs offline with its defaults, as its docstring says."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "examples"


def run(name: str, folder: Path, *arguments: str) -> str:
    """Run an example in a folder of its own; return what it prints."""
    command = [sys.executable, str(FOLDER / f"{name}.py"), *arguments]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_ask_my_guidelines(tmp_path: Path) -> None:
    said = run("ask_my_guidelines", tmp_path)
    assert said.startswith("104 guidelines, ")
    assert "[1] CT for urinary stone" in said
    assert said.count("Q: ") == 3


def test_ask_my_own_guidelines(tmp_path: Path) -> None:
    (tmp_path / "tea.md").write_text("# Tea\n\n## Brewing\n\nGreen tea is brewed at eighty degrees.\n", "utf-8")
    said = run("ask_my_guidelines", tmp_path, str(tmp_path), "--question", "At what temperature is green tea brewed?")
    assert said.startswith("1 guidelines, 1 passages")
    assert "“Green tea is brewed at eighty degrees.”" in said


def test_label_my_csv(tmp_path: Path) -> None:
    said = run("label_my_csv", tmp_path)
    assert said.startswith("learnt from 50 notes, labelled 10: labels.csv")
    with (tmp_path / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10
    assert all(row["label"] and 0 < float(row["probability"]) <= 1 for row in rows)
    assert all(row["citation"].startswith(f"{row['label']}:") for row in rows)


def test_rag_or_not(tmp_path: Path) -> None:
    said = run("rag_or_not", tmp_path, "--questions", "12")
    assert said.startswith("RAG against no RAG, 12 items")
    made = json.loads((tmp_path / "rag_or_not.json").read_text("utf-8"))
    assert made["items"] == 12
    assert (tmp_path / "rag_or_not.md").read_text("utf-8").startswith("# RAG against no RAG, 12 items\n")


def test_pubmed_to_answers(tmp_path: Path) -> None:
    said = run("pubmed_to_answers", tmp_path)
    assert said.startswith("2 articles, ")
    assert "https://pubmed.ncbi.nlm.nih.gov/900000001/" in said


@pytest.mark.torch
def test_my_llama_and_my_guidelines(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    said = run("my_llama_and_my_guidelines", tmp_path)
    assert said.startswith("ct-stone (uncalibrated score ")
    assert "Q: Must breastfeeding" in said


@pytest.mark.train
@pytest.mark.slow
def test_tune_a_llama(tmp_path: Path) -> None:
    for module in ("torch", "trl", "bitsandbytes"):
        pytest.importorskip(module)
    said = run("tune_a_llama", tmp_path, "--tiny", "--steps", "20")
    count = re.search(r"^(\d+) records, 0 of them longer than 1,024 tokens$", said, re.MULTILINE)
    assert count is not None
    assert int(count[1]) % 80 == 0  # of each note the same number
    assert "20 optimiser steps" in said
    first, last = map(float, re.findall(r"^Tuned: 20 steps, .* loss ([\d.]+) -> ([\d.]+)$", said, re.MULTILINE)[0])
    assert last < first / 4
    matches = re.findall(r"^Exact match (before|after): ([\d.]+) \[[\d.]+, [\d.]+\] \(n=(\d+)\)$", said, re.MULTILINE)
    assert [(when, n) for when, _, n in matches] == [("before", "47"), ("after", "47")]
    assert float(matches[1][1]) > float(matches[0][1])  # a base that was never told the ids cannot write one
    assert float(re.findall(r"^Merged: .* differ by (\S+) at most", said, re.MULTILINE)[0]) < 1e-3
    assert "RAG against no RAG, 10 items" in said
    assert re.search(r"^[a-z-]+ \(probability [01]\.\d+\)$", said, re.MULTILINE)
    assert "  because: “" in said
    assert re.search(r"^  \[1\] .+ \([a-z-]+:\d+-\d+\)$", said, re.MULTILINE)
    assert (tmp_path / "tuned" / "adapter" / "adapter_model.safetensors").is_file()
    assert json.loads((tmp_path / "tuned" / "merged" / "radrag.json").read_text("utf-8"))["kind"] == "merged"


def test_examples_are_short_and_say_how_to_run() -> None:
    for path in sorted(FOLDER.glob("*.py")):
        text = path.read_text("utf-8")
        assert len(text.splitlines()) <= 64, path.name
        assert f"python examples/{path.name}" in text


def test_deidentify_a_note(tmp_path: Path) -> None:
    assert run("deidentify_a_note", tmp_path).startswith("[NAME] (MRN [MRN], DOB [DATE])")


def test_label_a_file(tmp_path: Path) -> None:
    assert "35 rows, 33 labelled, 2 with an error" in run("label_a_file", tmp_path)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("rag_or_not", ("--questions", "1"), "at least 2"),
        ("ask_my_guidelines", ("missing",), "no such folder"),
        ("deidentify_a_note", ("missing.txt",), "No such file"),
        ("label_my_csv", ("--labelled", "missing.csv", "--unlabelled", "missing.csv"), "no such file"),
    ],
)
def test_a_likely_mistake_ends_in_one_line(tmp_path: Path, name: str, arguments: tuple[str, ...], said: str) -> None:
    command = [sys.executable, str(FOLDER / f"{name}.py"), *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=300)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{name}.py: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_every_example_ends_its_errors_in_one_line() -> None:
    for path in sorted(FOLDER.glob("*.py")):
        assert f'raise SystemExit(f"{path.name}: {{error}}")' in path.read_text("utf-8")
