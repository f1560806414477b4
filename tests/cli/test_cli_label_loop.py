"""The loop from raw notes to corrected ones by its commands, on a small index."""

from __future__ import annotations

import csv
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from radrag.cli import app, label_loop_files, review_server
from radrag.cli.review import _door
from radrag.cli.review_server import ReviewServer
from radrag.cli.review_session import ReviewSession
from radrag.labelling.loop import read_queue, read_rounds

PAGES = {
    "ct-stone": ("CT for stones", "Use it for renal colic with flank pain and blood in the urine."),
    "us-leg": ("Ultrasound of leg veins", "Use it for a swollen calf. Compression shows a clot in the vein."),
    "ct-head": ("CT head", "Use it for sudden headache and head injury, as bleeding shows at once."),
}
WORDS = {
    "ct-stone": ["renal colic", "flank pain", "blood in urine", "loin to groin pain", "known stones"],
    "us-leg": ["swollen calf", "leg swelling", "?dvt", "calf pain after flight", "warm red leg"],
    "ct-head": ["sudden headache", "head injury", "fall on warfarin", "worst headache", "drowsy after fall"],
}


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loop")
    for name, (title, text) in PAGES.items():
        page = f"---\nid: {name}\ntitle: {title}\n---\n# {title}\n\n## Indications\n\n{text}\n"
        (folder / f"{name}.md").write_text(page, encoding="utf-8")
    run("index", "build", folder / "index", *sorted(folder.glob("*.md")), "--json")
    return folder / "index"


def written(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """45 notes, of which two have a wrong label."""
    path = tmp_path / "notes.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "text", "label", "modality"])
        for label, words in WORDS.items():
            for place in range(15):
                given = {("us-leg", 3): "ct-head", ("ct-stone", 4): "us-leg"}.get((label, place), label)
                text = f"{words[place % 5]}, {words[(place // 5 + place + 1) % 5]}, patient {'abcdefghijklmno'[place]}"
                writer.writerow([f"{label}-{place}", text, given, label[:2].upper()])
    return path


def test_the_loop_by_its_commands(tmp_path: Path, index: Path, notes: Path) -> None:
    pytest.importorskip("cleanlab")
    loop = tmp_path / "loop"
    told = json.loads(run("label", "issues", index, notes, "--history", loop, "--json"))
    assert told["notes"] == 45
    first = Path(told["round"])
    assert first == loop / "0001"
    queue = read_queue(first / "queue.jsonl")
    assert {row.note_id for row in queue.rows[:2]} == {"us-leg-3", "ct-stone-4"}  # the planted ones come first
    assert {row.note_id: row.suggested for row in queue.rows[:2]} == {"us-leg-3": "us-leg", "ct-stone-4": "ct-stone"}
    assert queue.rows[0].guideline["document"] == queue.rows[0].suggested
    assert [label["id"] for label in queue.labels] == sorted(PAGES)

    ada = ReviewSession(queue, tmp_path / "ada.jsonl", "Ada")
    ada.decide("us-leg-3", "accept", "us-leg")
    ada.decide("ct-stone-4", "accept", "ct-stone", "typo")
    ada.decide("ct-head-1", "unsure")
    out = tmp_path / "notes-2.jsonl"
    told = json.loads(run("label", "correct", notes, tmp_path / "ada.jsonl", "--out", out, "--history", loop, "--json"))
    assert (told["changed"], told["confirmed"], told["conflicts"], told["unsure"]) == (2, 0, 0, ["ct-head-1"])
    rows = {row["id"]: row for row in written(out)}
    assert (rows["us-leg-3"]["label"], rows["us-leg-3"]["original_label"]) == ("us-leg", "ct-head")
    assert rows["us-leg-3"]["label_history"][0]["reviewers"] == ["Ada"]
    assert rows["us-leg-3"]["modality"] == "US"
    assert "original_label" not in rows["ct-head-1"]

    bo = ReviewSession(queue, tmp_path / "bo.jsonl", "Bo")
    bo.decide("us-leg-3", "correct", "ct-stone")
    files = (tmp_path / "ada.jsonl", tmp_path / "bo.jsonl")
    text = run("label", "correct", notes, *files, "--out", tmp_path / "3.jsonl", "--history", loop, code=1)
    assert "us-leg-3: Ada says us-leg, Bo says ct-stone" in text
    assert {row["id"]: row["label"] for row in written(tmp_path / "3.jsonl")}["us-leg-3"] == "ct-head"

    assert label_loop_files.reviewed(files) == {"us-leg-3", "ct-stone-4", "ct-head-1"}
    report = tmp_path / "errors.md"
    arguments = ("--previous", first / "results.jsonl", "--history", loop, "--by", "id", "--out", report, "--no-texts")
    found = json.loads(run("label", "errors", out, first / "results.jsonl", *arguments, "--json"))
    assert found["accuracy"]["value"] >= 0.9
    assert {one["attribute"] for one in found["slices"]} == {"length in words", "modality", "id"}
    assert found["change"] is not None
    assert "## Since the last round" in report.read_text(encoding="utf-8")
    assert "renal colic" not in report.read_text(encoding="utf-8")
    rounds = read_rounds(loop)
    assert [one.step for one in rounds] == ["issues", "correct", "correct", "errors"]
    assert "decisions 2" in rounds[2].inputs


def test_predict_writes_a_file_that_errors_can_read(tmp_path: Path, index: Path, notes: Path) -> None:
    model = ("--model", tmp_path / "model")
    run("label", "fit", index, notes, *model)
    out = tmp_path / "results.jsonl"
    told = json.loads(run("label", "predict", index, notes, *model, "--out", out, "--json"))
    assert (told["rows"], told["errors"]) == (45, 0)
    before = out.read_bytes()
    assert json.loads(run("label", "predict", index, notes, *model, "--out", out, "--json"))["rows"] == 45
    assert out.read_bytes() == before
    found = json.loads(run("label", "errors", notes, out, "--json"))
    with notes.open(encoding="utf-8", newline="") as stream:
        rows, given = written(out), list(csv.DictReader(stream))
    right = sum(row["label"] == one["label"] for row, one in zip(rows, given, strict=True))
    assert found["accuracy"]["value"] == pytest.approx(right / 45)
    other = tmp_path / "other.csv"
    other.write_text(notes.read_text(encoding="utf-8").replace("patient a", "patient z"), encoding="utf-8")
    assert "cannot be told" in str(CliRunner().invoke(app, ["label", "errors", str(other), str(out)]).exception)
    assert "--out is for a file" in run("label", "predict", index, "colic", *model, "--out", out, code=1)


def test_raw_notes_are_labelled_and_queued(tmp_path: Path, index: Path) -> None:
    raw = tmp_path / "raw.jsonl"
    texts = ["renal colic and flank pain", "swollen calf, clot?", "sudden headache"]
    lines = [json.dumps({"text": text, "mrn": place}) for place, text in enumerate(texts)]
    raw.write_text("\n".join(lines) + "\n", encoding="utf-8")
    arguments = ("--history", tmp_path / "loop", "--group", "mrn", "--least", "0.3", "--json")
    told = json.loads(run("label", "pseudo", index, raw, *arguments))
    folder = Path(told["round"])
    made = written(folder / "pseudo.jsonl") + written(folder / "unsure.jsonl")
    assert told["labelled"] + told["unsure"] == 3
    assert {row["group"]: row["label"] for row in made} == {"0": "ct-stone", "1": "us-leg", "2": "ct-head"}
    assert all(len(row["labelled_by"]) == 64 and not row["calibrated"] for row in made)
    queue = read_queue(folder / "queue.jsonl")
    assert sorted(row.text for row in queue.rows) == sorted(texts)


def test_wrong_use_is_told(tmp_path: Path, index: Path, notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = ("--history", tmp_path / "loop")
    assert "the kinds are confident-learning" in run("label", "issues", index, notes, *loop, "--without", "x", code=1)
    monkeypatch.setitem(__import__("sys").modules, "cleanlab", None)
    result = CliRunner().invoke(app, ["label", "issues", str(index), str(notes), "--history", str(tmp_path / "loop")])
    assert "radrag[review]" in str(result.exception)
    (tmp_path / "none.jsonl").write_text("", encoding="utf-8")
    same = run("label", "correct", notes, tmp_path / "none.jsonl", "--out", notes, *loop, code=1)
    assert "the file of the notes itself" in same
    assert not (tmp_path / "loop").exists()


def test_review_serves_until_it_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fake_review import made_queue

    from radrag.labelling.loop import write_queue

    write_queue(tmp_path / "queue.jsonl", made_queue())
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)

    def stop(self: ReviewServer, *given: object) -> None:
        self.session.decide("n1", "skip")
        assert self.token not in opened[0]  # other users of the machine see the arguments of a browser
        assert self.url in Path(opened[0].removeprefix("file://")).read_text(encoding="utf-8")
        raise KeyboardInterrupt

    monkeypatch.setattr(review_server.ReviewServer, "serve_forever", stop)
    arguments = ["label", "review", tmp_path / "queue.jsonl", "--out", tmp_path / "d.jsonl", "--reviewer", "Ada"]
    text = run(*arguments)
    assert "0 of 3 notes are done" in text
    assert "http://127.0.0.1:" in text
    assert len(written(tmp_path / "d.jsonl")) == 1
    assert len(opened) == 1
    run(*arguments[:-1], " ", code=1)


def test_the_door_is_for_its_owner(tmp_path: Path) -> None:
    assert threading.current_thread() is threading.main_thread()
    page = _door(tmp_path, "http://127.0.0.1:1/#key")
    assert "url=http://127.0.0.1:1/#key" in page.read_text(encoding="utf-8")
