"""Labelling files: order, errors in rows, kills, formats, and the faces for pandas and datasets."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from radrag.errors import CorpusError, ModelError, PromptError
from radrag.labelling.batch_columns import as_map, label_frame
from radrag.labelling.batches import BatchProgress, predict_file
from radrag.types import Citation, FindingLabel, LabelResult, Span, Status
from radrag.types.reports import FindingsResult


class Fake:
    """Labels a note by its length; refuses some."""

    def __init__(self, dies_after: int | None = None) -> None:
        self.manifest: dict[str, Any] = {"labels": "sha256:1"}
        self.calls: list[int] = []
        self._dies_after = dies_after

    def batch(self, texts: Sequence[str]) -> list[LabelResult]:
        self.calls.append(len(texts))
        if self._dies_after is not None and sum(self.calls) > self._dies_after:
            raise ModelError("memory ran out")
        if any("too long" in text for text in texts):
            raise PromptError("the prompt takes 900 tokens")
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> LabelResult:
        quote = Citation(1, "ct-stone", 0, 2, 9, "for stones")
        return LabelResult(
            note=text,
            label=f"l{len(text) % 3}",
            probability=1 / (1 + len(text)),
            ranking=(),
            set=("l0", "l1"),
            evidence=(Span(0, 1, text[0]),),
            citations=(quote,),
            warnings=("mind",),
        )


class FakeFindings:
    manifest: dict[str, Any] = {"finding_set": "chest"}  # noqa: RUF012

    def batch(self, texts: Sequence[str]) -> list[FindingsResult]:
        found = (
            FindingLabel("effusion", Status.PRESENT, (Span(0, 1, "E"),)),
            FindingLabel("mass", Status.UNCERTAIN),
            FindingLabel("hernia", Status.NOT_MENTIONED),
        )
        return [FindingsResult(text, found) for text in texts]


def jsonl(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), "utf-8")
    return path


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    return [json.loads(line) for line in text.splitlines()]


def test_each_record_has_its_row_in_order(tmp_path: Path) -> None:
    notes = ["a", "ésé", 'quote " and , comma', "two\nlines"]
    source = jsonl(tmp_path / "in.jsonl", [{"text": n, "acc": i, "site": "A"} for i, n in enumerate(notes)])
    told: list[BatchProgress] = []
    summary = predict_file(
        Fake(), source, tmp_path / "out.jsonl", id="acc", keep=["site"], batch=3, progress=told.append
    )
    rows = read_jsonl(tmp_path / "out.jsonl")
    assert [row["row"] for row in rows] == [1, 2, 3, 4]
    assert [row["id"] for row in rows] == [0, 1, 2, 3]
    assert [row["label"] for row in rows] == [f"l{len(n) % 3}" for n in notes]
    assert list(rows[0]) == [
        *("row", "id", "site", "label", "probability", "set", "evidence", "citations", "abstained", "warnings", "error")
    ]
    assert rows[1]["evidence"] == [{"start": 0, "end": 1, "text": "é"}]
    assert rows[0]["citations"] == [{"document_id": "ct-stone", "start": 2, "end": 9, "quote": "for stones"}]
    assert rows[0]["error"] == ""
    assert (summary.rows, summary.errors, summary.labelled, summary.resumed_at) == (4, 0, 4, 0)
    assert [one.rows for one in told] == [3, 4]
    assert all(one.rate > 0 for one in told)
    kept = json.loads((tmp_path / "out.jsonl.manifest.json").read_text("utf-8"))
    assert kept["output"]["sha256"] == hashlib.sha256((tmp_path / "out.jsonl").read_bytes()).hexdigest()
    assert kept["source"]["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert kept["pipeline"] == {"labels": "sha256:1"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl", "out.jsonl.manifest.json"]


def test_errors_stay_in_their_rows_json(tmp_path: Path) -> None:
    lines = [
        {"text": "fine"},
        "{broken",
        "[1]",
        {"text": "  "},
        {"text": 5},
        {"note": "x"},
        {"text": None},
        "",
        {"text": "far too long"},
        {"text": "a\0b"},
        '{"text": "\\ud800"}',
        {"text": "fine too"},
    ]
    source = jsonl(tmp_path / "in.jsonl", lines)
    with source.open("ab") as file:
        file.write(b'{"text": "caf\xe9"}\n')
    summary = predict_file(Fake(), source, tmp_path / "out.jsonl", batch=4)
    errors = [row["error"] for row in read_jsonl(tmp_path / "out.jsonl")]
    assert [not error for error in errors] == [n in (0, 10) for n in range(12)]  # the empty line is no record
    for place, words in {
        1: "not a JSON object",
        2: "got list",
        3: "the note is blank",
        4: "not text but int",
        5: "has no 'text'",
        6: "not text but NoneType",
        7: "the prompt takes 900 tokens",
        8: "NUL",
        9: "surrogate",
        11: "UTF-8",
    }.items():
        assert words in errors[place], (place, errors[place])
    assert summary.errors == 10 == sum(summary.kinds.values())
    assert summary.kinds["the prompt takes _ tokens"] == 1
    assert "10 with an error" in str(summary)


def test_errors_stay_in_their_rows_csv(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_bytes(
        b'\xef\xbb\xbfid,text\r\n1,"two\r\nlines, ""quoted"""\r\n2\r\n3,a,b\r\n\r\n'
        b'4,\r\n5,caf\xe9\r\n6,"x"y\r\n7,last\r\n'
    )
    out = tmp_path / "out.csv"
    summary = predict_file(Fake(), source, out, id="id")
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["row"] for row in rows] == ["1", "2", "3", "4", "5", "6", "7"]
    assert [bool(row["error"]) for row in rows] == [False, True, True, True, True, True, False]
    assert rows[0]["label"] == f"l{len('two' + chr(13) + chr(10) + 'lines, ' + chr(34) + 'quoted' + chr(34)) % 3}"
    assert "has 1 columns, expected 2" in rows[1]["error"]
    assert "has 3 columns, expected 2" in rows[2]["error"]
    assert "blank" in rows[3]["error"]
    assert rows[3]["id"] == "4"
    assert "UTF-8" in rows[4]["error"]
    assert "not valid CSV" in rows[5]["error"]
    assert json.loads(rows[6]["set"]) == ["l0", "l1"]
    assert summary.errors == 5
    limit = csv.field_size_limit()
    source.write_text("text\n" + "x" * (limit + 10) + "\n", "utf-8")
    assert predict_file(Fake(), source, tmp_path / "long.csv").errors == 0
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz", "out.csv", "out.csv.gz", "out.parquet"])
def test_a_run_that_failed_goes_on_to_the_same_bytes(tmp_path: Path, name: str) -> None:
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    source = jsonl(tmp_path / "in.jsonl", [{"text": "n" * (1 + i % 7), "id": i} for i in range(50)])
    whole = tmp_path / "whole" / name
    predict_file(Fake(), source, whole, id="id", batch=8)
    target = tmp_path / "cut" / name
    with pytest.raises(ModelError):
        predict_file(Fake(dies_after=20), source, target, id="id", batch=8)
    assert not target.exists()
    with pytest.raises(ModelError):
        predict_file(Fake(dies_after=20), source, target, id="id", batch=8)
    # What a kill in the middle of a write leaves behind the last checkpoint.
    with (target.parent / f".{name}.part").open("ab") as file:
        file.write(b"half a row")
    summary = predict_file(Fake(), source, target, id="id", batch=8)
    assert summary.resumed_at == 32
    assert summary.rows == 50
    assert target.read_bytes() == whole.read_bytes()
    assert (target.parent / f"{name}.manifest.json").read_bytes() == (
        whole.parent / f"{name}.manifest.json"
    ).read_bytes()
    assert len(list(target.parent.iterdir())) == 2
    again = Fake()
    assert predict_file(again, source, target, id="id", batch=8).rows == 50
    assert sum(again.calls) == 1  # it only asked for the columns


SCRIPT = """
import sys, time
sys.path.insert(0, {folder!r})
from test_labelling_batches import Fake
from radrag.labelling.batches import predict_file
class Slow(Fake):
    def batch(self, texts):
        time.sleep(0.02)
        return super().batch(texts)
predict_file(Slow(), {source!r}, {target!r}, batch=5)
"""


def test_a_killed_process_is_resumed_to_the_same_bytes(tmp_path: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", [{"text": "n" * (1 + i % 7)} for i in range(400)])
    target = tmp_path / "out.csv"
    code = SCRIPT.format(folder=str(Path(__file__).parent), source=str(source), target=str(target))
    state = tmp_path / ".out.csv.part.json"
    with subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}) as process:
        for _ in range(2000):
            if state.exists() and json.loads(state.read_text())["rows"] >= 10:
                break
            assert process.poll() is None
            time.sleep(0.01)
        # While it lives, nobody else may write the same file.
        with pytest.raises(CorpusError, match="another process"):
            predict_file(Fake(), source, target, batch=5)
        process.send_signal(signal.SIGKILL)
    assert not target.exists()
    assert 10 <= predict_file(Fake(), source, target, batch=5).resumed_at < 400
    predict_file(Fake(), source, tmp_path / "whole.csv", batch=5)
    assert target.read_bytes() == (tmp_path / "whole.csv").read_bytes()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(st.binary(max_size=20).filter(lambda b: b"\n" not in b and b"\r" not in b), max_size=12),
    batch=st.integers(1, 5),
    dies=st.integers(1, 12),
)
def test_any_bytes_give_a_row_each_and_resume(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], batch: int, dies: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    records = [b'{"text": "first"}', *lines, b'{"text": "last"}']
    (folder / "in.jsonl").write_bytes(b"\n".join(records))
    predict_file(Fake(), folder / "in.jsonl", folder / "a.jsonl", batch=batch)
    rows = read_jsonl(folder / "a.jsonl")
    assert len(rows) == sum(bool(record.decode("utf-8", "surrogateescape").strip()) for record in records)
    assert not rows[0]["error"]
    assert not rows[-1]["error"]
    try:
        predict_file(Fake(dies_after=dies), folder / "in.jsonl", folder / "b.jsonl", batch=batch)
    except ModelError:
        predict_file(Fake(), folder / "in.jsonl", folder / "b.jsonl", batch=batch)
    assert (folder / "a.jsonl").read_bytes() == (folder / "b.jsonl").read_bytes()


def test_what_was_made_otherwise_is_not_mixed_or_overwritten(tmp_path: Path) -> None:
    source, target = jsonl(tmp_path / "in.jsonl", [{"text": "a"}] * 20), tmp_path / "out.jsonl"
    with pytest.raises(ModelError):
        predict_file(Fake(dies_after=8), source, target, batch=4)
    other = Fake()
    other.manifest = {"labels": "sha256:2"}
    with pytest.raises(CorpusError, match=r"another pipeline.*resume=False \(--anew\)"):
        predict_file(other, source, target, batch=4)
    with pytest.raises(CorpusError, match="another batch"):
        predict_file(Fake(), source, target, batch=5)
    predict_file(other, source, target, batch=4, resume=False)
    with pytest.raises(CorpusError, match="made from something else"):
        predict_file(Fake(), source, target, batch=4)
    target.write_text("altered", "utf-8")
    with pytest.raises(CorpusError, match="altered"):
        predict_file(other, source, target, batch=4)
    (tmp_path / "mine.jsonl").write_text("mine", "utf-8")
    with pytest.raises(CorpusError, match="no manifest"):
        predict_file(other, source, tmp_path / "mine.jsonl")
    assert (tmp_path / "mine.jsonl").read_text() == "mine"


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", [{"note": "a"}] * 3)
    with pytest.raises(CorpusError, match="none of the first 3 records has 'text'"):
        predict_file(Fake(), source, tmp_path / "out.jsonl")
    with pytest.raises(CorpusError, match="no such file"):
        predict_file(Fake(), tmp_path / "absent.csv", tmp_path / "out.jsonl")
    with pytest.raises(CorpusError, match="cannot tell the format"):
        predict_file(Fake(), source, tmp_path / "out.xlsx")
    with pytest.raises(ValueError, match="another file than source"):
        predict_file(Fake(), source, source)
    with pytest.raises(ValueError, match="'label', which is written already"):
        predict_file(Fake(), source, tmp_path / "out.jsonl", keep=["label"])
    with pytest.raises(ValueError, match="got 0"):
        predict_file(Fake(), source, tmp_path / "out.jsonl", batch=0)
    (tmp_path / "in.csv").write_text("note\nx\n", "utf-8")
    with pytest.raises(CorpusError, match="expected one column 'text', the file has 'note'"):
        predict_file(Fake(), tmp_path / "in.csv", tmp_path / "out2.jsonl")
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(b'{"text": "a"}\n' * 9000, mtime=0)[:-20])
    with pytest.raises(CorpusError, match="cut off or damaged"):
        predict_file(Fake(), cut, tmp_path / "out3.jsonl")


def test_empty_files_give_empty_outputs(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("text\n", "utf-8")
    assert predict_file(Fake(), tmp_path / "in.csv", tmp_path / "out.csv").rows == 0
    assert (tmp_path / "out.csv").read_text("utf-8").startswith("row,label,probability")
    assert predict_file(Fake(), tmp_path / "in.csv", tmp_path / "out.jsonl.gz").rows == 0


def test_parquet_in_and_out(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    import datetime

    import pyarrow.parquet as pq

    table = pyarrow.table(
        {
            "text": ["a", None, "", "dd"],
            "year": [2020, 2021, None, 2023],
            "day": [datetime.date(2020, 1, 2)] * 4,
            "other": [b"x"] * 4,
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    summary = predict_file(Fake(), tmp_path / "in.parquet", tmp_path / "out.parquet", keep=["year", "day"], batch=2)
    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert summary.errors == 2
    assert [row["year"] for row in rows] == [2020, 2021, None, 2023]
    assert rows[0]["day"] == "2020-01-02"
    assert [row["label"] for row in rows] == ["l1", None, None, "l2"]
    assert json.loads(rows[3]["set"]) == ["l0", "l1"]
    assert rows[0]["probability"] == 0.5
    refused = predict_file(Fake(), tmp_path / "in.parquet", tmp_path / "out.jsonl", keep=["other"])
    assert refused.errors == 4
    assert "leave its column out of keep" in next(iter(refused.kinds))
    (tmp_path / "bad.parquet").write_text("no", "utf-8")
    with pytest.raises(CorpusError, match="not a readable Parquet file"):
        predict_file(Fake(), tmp_path / "bad.parquet", tmp_path / "out2.jsonl")


def test_findings_have_columns_of_their_own(tmp_path: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", [{"text": "Effusion."}, {"text": " "}])
    predict_file(FakeFindings(), source, tmp_path / "out.jsonl")
    good, bad = read_jsonl(tmp_path / "out.jsonl")
    assert good["present"] == ["effusion"]
    assert good["uncertain"] == ["mass"]
    assert [one["status"] for one in good["findings"]] == ["present", "uncertain", "not mentioned"]
    assert good["findings"][0]["spans"] == [{"start": 0, "end": 1, "text": "E"}]
    assert bad["present"] is None
    assert bad["error"] == "the note is blank"


def test_label_frame_keeps_the_index(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"note": ["a", None, "cc", float("nan"), " "]}, index=[9, 3, 3, 1, 0])
    before = frame.copy()
    made = label_frame(Fake(), frame, "note", batch=2)
    assert made.index.tolist() == [9, 3, 3, 1, 0]
    assert made["label"].isna().tolist() == [False, True, False, True, True]
    assert made["label"].iloc[[0, 2]].tolist() == ["l1", "l2"]
    assert made["set"].iloc[0] == ["l0", "l1"]
    assert made["error"].tolist()[0] == ""
    assert made["error"].iloc[4] == "the note is blank"
    assert "not text" in made["error"].iloc[3]
    pandas.testing.assert_frame_equal(frame, before)
    with pytest.raises(ValueError, match="expected one column 'text'"):
        label_frame(Fake(), frame)


@pytest.mark.train
def test_as_map_in_a_data_set() -> None:
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_dict({"text": ["a", " ", "ccc", "dddd", ""], "n": [1, 2, 3, 4, 5]})
    made = data.map(as_map(Fake()), batched=True, batch_size=2, new_fingerprint="x")
    assert made["label"] == ["l1", None, "l0", "l1", None]
    assert made["n"] == [1, 2, 3, 4, 5]
    assert json.loads(made["evidence"][2]) == [{"start": 0, "end": 1, "text": "c"}]
    assert made["error"][1] == "the note is blank"
    with pytest.raises(ValueError, match="batched=True"):
        as_map(Fake())({"text": "one"})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="expected a column 'text'"):
        as_map(Fake())({"note": ["one"]})


def test_a_source_that_changes_meanwhile_is_refused(tmp_path: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", [{"text": "a"}] * 3)

    def change(_: BatchProgress) -> None:
        source.write_text('{"text": "b"}\n', "utf-8")

    with pytest.raises(CorpusError, match="changed while it was read"):
        predict_file(Fake(), source, tmp_path / "out.jsonl", progress=change)


def test_a_labeller_that_loses_notes_is_an_error(tmp_path: Path) -> None:
    class Short(Fake):
        def batch(self, texts: Sequence[str]) -> list[LabelResult]:
            return super().batch(texts[:1])

    source = jsonl(tmp_path / "in.jsonl", [{"text": "a"}] * 3)
    with pytest.raises(ModelError, match="1 results for 3 notes"):
        predict_file(Short(), source, tmp_path / "out.jsonl")
