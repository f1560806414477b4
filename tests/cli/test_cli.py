from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import run
from fake_pubmed import article, article_set, deletion, put
from typer.testing import CliRunner

from radrag.cli import app
from radrag.corpora import load_notes, load_questions
from radrag.errors import RadragError

PAGES = {
    "ct-stone": ("CT for stones", "Use it for colic with flank pain. It needs no contrast."),
    "us-leg": ("Ultrasound of leg veins", "Use it for a swollen calf. Compression shows a clot in the vein."),
}


@pytest.fixture
def guidelines(tmp_path: Path) -> Path:
    folder = tmp_path / "guidelines"
    folder.mkdir()
    for name, (title, text) in PAGES.items():
        page = f"---\nid: {name}\ntitle: {title}\n---\n# {title}\n\n## Indications\n\n{text}\n"
        (folder / f"{name}.md").write_text(page, encoding="utf-8")
    return folder


@pytest.fixture
def index(tmp_path: Path, guidelines: Path) -> Path:
    run("index", "build", tmp_path / "index", guidelines, "--json")
    return tmp_path / "index"


def test_index_verbs(index: Path, tmp_path: Path) -> None:
    assert json.loads(run("index", "info", index, "--json"))["documents"] == 2
    first, *_ = json.loads(run("index", "search", index, "swollen calf", "-k", 1, "--json"))
    assert first["passage"]["document_id"] == "us-leg"
    extra = tmp_path / "more.jsonl"
    extra.write_text(
        json.dumps({"id": "a", "title": "A", "text": "Statins lower cholesterol."}) + "\n", encoding="utf-8"
    )
    assert json.loads(run("index", "add", index, extra, "--json"))["added"] == 1
    assert json.loads(run("index", "add", index, extra, "--skip-existing", "--json"))["skipped"] == 1
    assert "statins" in run("index", "search", index, "cholesterol").lower()
    assert run("index", "verify", index) == "Nothing wrong.\n"


def test_index_changes(index: Path, tmp_path: Path) -> None:
    page = {
        "id": "us-leg",
        "title": "Leg veins",
        "text": "A D-dimer test comes first.",
        "year": 2020,
        "language": "eng",
    }
    changed = tmp_path / "changed.jsonl"
    changed.write_text(json.dumps(page) + "\n", encoding="utf-8")
    run("index", "add", index, changed, "--skip-existing", code=1)  # it says something else now
    assert json.loads(run("index", "add", index, changed, "--update", "--json"))["updated"] == 1
    assert "D-dimer" in run("index", "search", index, "leg veins", "--years", "2019:2021", "--language", "eng")
    assert run("index", "search", index, "leg veins", "--years", ":2019") == "Nothing found.\n"
    assert "--years must be like" in run("index", "search", index, "leg veins", "--years", "new", code=1)
    assert json.loads(run("index", "delete", index, "ct-stone", "ct-none", "--json", code=1)) == {
        "deleted": 1,
        "missing": 1,
    }
    assert "ct-stone" not in run("index", "search", index, "stones colic contrast", "--exact")
    run("index", "compact", index)
    assert json.loads(run("index", "info", index, "--json"))["dead"] == 0


@pytest.mark.parametrize("option", ["--kind", "--type", "--mesh", "--language", "--years"])
@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_filter_is_refused(index: Path, option: str, value: str) -> None:
    said = run("index", "search", index, "calf", option, value, code=1)
    assert f"{option} is empty" in said or "--years must be like" in said


def test_filters_of_the_command_line_hold_together(index: Path, tmp_path: Path) -> None:
    page = {
        "id": "a",
        "text": "A calf.",
        "year": 2020,
        "language": "eng",
        "mesh": ["Leg"],
        "publication_types": ["Review"],
    }
    (tmp_path / "a.jsonl").write_text(json.dumps(page) + "\n", encoding="utf-8")
    run("index", "add", index, tmp_path / "a.jsonl", "--json")
    asked = ("--kind", "text", "--type", "Review", "--mesh", "Leg", "--language", "eng", "--years", "2020")
    assert len(json.loads(run("index", "search", index, "calf", *asked, "--json"))) == 1
    for place in range(0, len(asked), 2):
        years = asked[place] == "--years"
        other = [*asked[: place + 1], "1999" if years else "other", *asked[place + 2 :]]
        said = run("index", "search", index, "calf", *other, code=0 if years else 1)
        assert said == "Nothing found.\n" if years else f"{asked[place]} 'other': nothing in this index" in said


def test_index_tune_and_measure(tmp_path: Path) -> None:
    organs = "liver kidney spleen pancreas lung heart brain femur uterus ovary testis thyroid".split()
    pages = [{"id": name, "text": f"The {name} is imaged."} for name in organs]
    asked = [
        {"id": name, "question": f"How is the {name} imaged?", "gold": [gold(name, f"The {name} is imaged.")]}
        for name in organs
    ]
    for file, rows in (("pages", pages), ("asked", asked)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{file}.jsonl").write_text(text, encoding="utf-8")
    run("index", "build", tmp_path / "index", tmp_path / "pages.jsonl", "--json")
    fit = json.loads(run("index", "tune", tmp_path / "index", tmp_path / "asked.jsonl", "--json"))
    assert fit["score"]["value"] == 1.0
    assert (fit["questions"], fit["used"], fit["without_gold"], fit["absent"], fit["applied"]) == (12, 12, 0, 0, False)
    before = run("index", "info", tmp_path / "index", "--json")
    said = run("index", "tune", tmp_path / "index", tmp_path / "asked.jsonl", "--apply")
    assert "Nothing was changed: no settings are better" in said  # all were right already
    assert "12 of 12 questions used" in said
    assert run("index", "info", tmp_path / "index", "--json") == before
    said = run("index", "measure", tmp_path / "index", tmp_path / "asked.jsonl")
    assert "12 passages: every vector is compared" in said


def test_index_tune_keeps_what_gains_and_counts_what_it_could_not_use(tmp_path: Path) -> None:
    from radrag.indexes.hybrid import HybridIndex

    other_words = {
        "liver": "hepatic", "kidney": "renal", "heart": "cardiac", "lung": "pulmonary", "brain": "cerebral",
        "stomach": "gastric", "bone": "osseous", "skin": "cutaneous", "eye": "ocular", "nerve": "neural",
        "tooth": "dental", "vein": "venous",
    }  # fmt: skip
    pages = [{"id": name, "text": word} for name, word in other_words.items()]
    asked = [{"id": name, "question": name, "gold": [gold(name, word)]} for name, word in other_words.items()]
    asked += [{"id": "bare", "question": "None?"}, {"id": "x", "question": "Else?", "gold": [gold("PMID:1", "Else.")]}]
    for file, rows in (
        ("pages", pages),
        ("asked", asked),
        ("strange", [asked[-1] | {"id": str(n)} for n in range(12)]),
    ):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{file}.jsonl").write_text(text, encoding="utf-8")
    index = tmp_path / "index"
    run("index", "build", index, tmp_path / "pages.jsonl", "--json")
    with HybridIndex.open(index) as opened:
        opened.use(replace(opened.settings, dense_weight=0.0))
    before = run("index", "info", index, "--json")
    assert "12 with none that the index holds, such as 'PMID:1'" in refused(
        "index", "tune", index, tmp_path / "strange.jsonl", "--apply"
    )
    assert run("index", "info", index, "--json") == before
    said = run("index", "tune", index, tmp_path / "asked.jsonl", "--apply")
    assert "zscore    0.00" in said
    assert "12 of 14 questions used; left out: 1 without gold, 1 of which the index holds no document." in said
    assert "Not in the index: PMID:1\n" in said
    assert said.endswith("Kept with the index.\n")
    assert json.loads(run("index", "info", index, "--json"))["search"]["dense_weight"] > 0
    (tmp_path / "bare.jsonl").write_text(json.dumps(asked[-2]) + "\n", encoding="utf-8")
    assert "none of the 1 questions" in run("index", "tune", index, tmp_path / "bare.jsonl", code=1)


def refused(*arguments: object) -> str:
    """Return what ends a command on purpose, as ``main`` prints it."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert isinstance(result.exception, RadragError | ValueError), (result.output, result.exception)
    return str(result.exception)


def gold(name: str, text: str) -> dict[str, object]:
    return {"document_id": name, "start": 0, "end": len(text), "quote": text}


def test_an_interrupted_build_goes_on(tmp_path: Path, guidelines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from radrag.indexes.writing import Writer

    whole = Writer.update
    with monkeypatch.context() as patched:
        patched.setattr(Writer, "update", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        run("index", "build", tmp_path / "made", guidelines, "--json", code=1)
    assert Writer.update is whole
    assert not (tmp_path / "made").exists()  # nothing had been stored
    with monkeypatch.context() as patched:
        patched.setattr("radrag.indexes.merging.Merger.settle", lambda _: (_ for _ in ()).throw(OSError("disk full")))
        run("index", "build", tmp_path / "made", guidelines, "--json", code=1)
    run("index", "build", tmp_path / "made", guidelines, "--encoder", "minilm", code=1)
    assert json.loads(run("index", "build", tmp_path / "made", guidelines, "--json"))["skipped"] == 2
    assert "is an index already" in run("index", "build", tmp_path / "made", guidelines, "--json", code=1)


def test_a_mixed_folder_lists_what_failed_and_what_was_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "guidelines"
    folder.mkdir()
    (folder / "tea.md").write_text("# Tea\n\nGreen tea is brewed at eighty degrees.\n", encoding="utf-8")
    (folder / "bad.jsonl").write_text("{", encoding="utf-8")
    (folder / "sheet.xlsx").write_text("x", encoding="utf-8")
    made = json.loads(run("index", "build", tmp_path / "index", folder, "--json", code=1))
    assert made["added"] == 1
    assert [Path(one["path"]).name for one in made["failures"]] == ["bad.jsonl"]
    assert [Path(one).name for one in made["ignored"]] == ["sheet.xlsx"]


def test_update_applies_what_pubmed_deletes(tmp_path: Path) -> None:
    def ids() -> list[str]:
        with HybridIndex.open(index) as opened:
            return sorted(document.id for document in opened.documents())

    from radrag.indexes.hybrid import HybridIndex

    index, base = tmp_path / "index", tmp_path / "base.xml"
    first, second, folder = tmp_path / "first.xml.gz", tmp_path / "second.xml", tmp_path / "updates"
    base.write_bytes(article_set(article(1, "One."), article(2, "Two."), article(4, "Four.", version=2)))
    put(tmp_path, first.name, article(3, "Three."), deletion(1, 2, 9), deletion(4))
    second.write_bytes(article_set(article(2, "Two again.")))
    run("index", "build", index, base, "--json")

    report = json.loads(run("index", "add", index, first, "--json"))
    assert (report["added"], report["deletions_left_out"]) == (1, 4)
    assert ids() == ["PMID:1", "PMID:2", "PMID:3", "PMID:4"]
    assert "4 deletions of PubMed left out; `radrag index add --update`" in run("index", "build", tmp_path / "b", first)

    report = json.loads(run("index", "add", index, first, second, "--update", "--json"))
    assert (report["added"], report["deleted"]) == (1, 2)
    assert ids() == ["PMID:2", "PMID:3", "PMID:4"]  # 2 came again, and of 4 an older version was deleted
    assert "Two again." in run("index", "search", index, "two again")

    run("index", "add", index, base, "--update", "--json")
    folder.mkdir()
    first.rename(folder / first.name)
    said = run("index", "add", index, folder, "--update")
    assert "2 deleted, 1 skipped" in said
    assert ids() == ["PMID:3", "PMID:4"]
    assert json.loads(run("index", "add", index, folder, "--update", "--json"))["deleted"] == 0
    assert run("index", "verify", index) == "Nothing wrong.\n"


def test_a_deleted_notice_counts_until_pubmed_deletes_it(tmp_path: Path) -> None:
    def found() -> list[tuple[str, list[str], bool]]:
        hits = json.loads(run("index", "search", index, "renal", "--include-retracted", "--json"))
        passages = [hit["passage"] for hit in hits]
        return [(one["document_id"], one["flags"], one["metadata"]["retracted"]) for one in passages]

    index, base, later = tmp_path / "index", tmp_path / "base.xml", tmp_path / "later.xml"
    notice = article(9, "A notice.", types=("Retraction of Publication",), links=(("RetractionOf", 1),))
    base.write_bytes(article_set(article(1, "Renal cyst."), notice))
    later.write_bytes(article_set(deletion(9)))
    run("index", "build", index, base)
    run("index", "delete", index, "PMID:9")
    assert ("PMID:1", ["retracted"], True) in found()
    assert run("index", "search", index, "renal") == "Nothing found.\n"
    assert json.loads(run("index", "add", index, later, "--update", "--json"))["deleted"] == 0
    assert ("PMID:1", [], False) in found()


def test_what_a_csv_says_of_retraction_is_read(tmp_path: Path) -> None:
    rows = {"a": "False", "b": "no", "c": "0", "d": "", "e": "True"}
    lines = [f"{name},renal cyst {name},{said}\n" for name, said in rows.items()]
    (tmp_path / "r.csv").write_text("id,text,retracted\n" + "".join(lines), encoding="utf-8")
    run("index", "build", tmp_path / "index", tmp_path / "r.csv", "--json")
    found = json.loads(run("index", "search", tmp_path / "index", "renal", "--json"))
    assert sorted(hit["passage"]["document_id"] for hit in found) == ["a", "b", "c", "d"]
    (tmp_path / "r.csv").write_text("id,text,retracted\na,renal cyst,perhaps\n", encoding="utf-8")
    assert "field retracted: expected true" in run("index", "build", tmp_path / "other", tmp_path / "r.csv", code=1)


def test_a_query_that_is_not_utf_8_ends_in_one_line(index: Path) -> None:
    command = [sys.executable, "-m", "radrag", "index", "search", str(index), b"\xff calf"]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode in (1, 2)
    assert len(made.stderr.strip().splitlines()) == 1, made.stderr


def test_verify_ends_with_1_when_a_byte_changed(index: Path) -> None:
    (vectors,) = (index / "segments").rglob("vectors.npy")
    data = bytearray(vectors.read_bytes())
    data[-1] ^= 1
    vectors.write_bytes(bytes(data))
    assert "altered" in run("index", "verify", index, code=1)


def test_ask_cites_or_ends_with_3(index: Path) -> None:
    answer = json.loads(run("ask", index, "Which exam shows a clot in the leg veins of a swollen calf?", "--json"))
    assert answer["claims"][0]["citations"][0]["document_id"] == "us-leg"
    assert "No answer" in run("ask", index, "Who composed the opera Tosca?", code=3)
    assert "No answer" in run("ask", index, "What is Tosca?", "--no-retrieval", code=3)


def test_label_fit_and_predict_from_csv(tmp_path: Path) -> None:
    run("index", "build", tmp_path / "index", "shipped", "--json")
    notes = tmp_path / "notes.csv"
    with notes.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["note", "protocol"])
        writer.writerows((note.text, note.label) for note in load_notes("train")[:300])
    model = tmp_path / "labeller"
    run("label", "fit", tmp_path / "index", notes, "--model", model, "--text", "note", "--label", "protocol")
    again = ("label", "fit", tmp_path / "index", notes, "--model", model, "--text", "note", "--label", "protocol")
    before = (model / "manifest.json").stat().st_mtime_ns
    run(*again, code=1)
    assert (model / "manifest.json").stat().st_mtime_ns == before
    run(*again, "--anew")
    assert (model / "manifest.json").stat().st_mtime_ns > before
    (one,) = json.loads(run("label", "predict", tmp_path / "index", "Notes: ?renal colic", "--model", model, "--json"))
    assert one["label"] == "ct-stone"
    assert one["citations"][0]["document_id"] == "ct-stone"
    columns = ("--text", "note", "--label", "protocol")
    apart = ("--calibration", "shipped", "--json")
    fitted = json.loads(run("label", "fit", tmp_path / "index", notes, "--model", tmp_path / "apart", *columns, *apart))
    assert (fitted["examples"], fitted["calibrated_on"]) == (300, len(load_notes("calibration")))
    out = tmp_path / "out.jsonl"
    run("label", "predict", tmp_path / "index", notes, "--model", model, "--text", "note", "--out", out)
    assert len(out.read_text(encoding="utf-8").splitlines()) == 300


def test_evaluate_run_and_diff(tmp_path: Path) -> None:
    run("index", "build", tmp_path / "index", "shipped", "--json")
    made = json.loads(run("evaluate", "run", tmp_path / "index", "questions", "--out", tmp_path / "a.json", "--json"))
    assert made["items"] == len(load_questions())
    better = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    better["rows"][0]["system"]["value"] += 0.25
    (tmp_path / "b.json").write_text(json.dumps(better), encoding="utf-8")
    rows = json.loads(run("evaluate", "diff", tmp_path / "a.json", tmp_path / "b.json", "--json"))["rows"]
    assert rows[-1]["metric"] == better["rows"][0]["metric"]
    assert rows[-1]["gain"] == pytest.approx(0.25)
    assert all(row["gain"] == 0 for row in rows[:-1])


def test_corpora_verbs() -> None:
    assert {card["name"] for card in json.loads(run("corpora", "list", "--json"))} >= {"protocols", "evidence"}
    assert json.loads(run("corpora", "info", "evidence", "--json"))["records"] == 322
    assert "protocol-notes: as its card says" in run("corpora", "verify")


@pytest.mark.parametrize("task", ["base", "protocol-labels", "encoder", "verdict", "confidence"])
def test_train_tasks_have_help(task: str) -> None:
    assert "--out" in run("train", task, "--help")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["index", "info", "nowhere"], "does not exist"),
        (["index", "build", "made", "nowhere.md"], "nowhere.md does not exist"),
        (["index", "build", "made", "shipped", "--lexical", "bm26"], "lexical must be one of"),
    ],
)
def test_errors_end_with_1_and_one_line(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "radrag", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "made").exists()
