"""The findings pipeline: what fitting, a generator and an index add to the rules."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from radrag.errors import ModelError
from radrag.indexes.hybrid import HybridIndex
from radrag.labelling.batches import predict_file
from radrag.labelling.findings import Lexicon
from radrag.labelling.findings.learned import FindingModel, _best_threshold
from radrag.pipelines.findings import FindingsPipeline
from radrag.types import Chat, Document, FindingLabel, Label, LabelledReport, Status

LABELS = (Label("effusion", "Pleural effusion", "Fluid in the pleural space."), Label("cardiomegaly", "Cardiomegaly"))
REPORT = "FINDINGS: Small pleural effusion. No cardiomegaly."


class Asked:
    """A generator that finds cardiomegaly present and everything else not mentioned."""

    fingerprint = "asked"

    def score(self, chats: Sequence[Chat], options: Sequence[str]) -> NDArray[np.float64]:
        wanted = ["present" if "about: Cardiomegaly" in chat[-1].content else "not mentioned" for chat in chats]
        return np.asarray([[0.0 if option == one else -6.0 for option in options] for one in wanted])


def labelled(count: int, seed: int = 0) -> list[LabelledReport]:
    """Reports of a house where "possible effusion" is coded, and so is a blunted angle, which no rule here knows."""
    rng = np.random.default_rng(seed)
    ways = [
        ("No pleural effusion.", 0),
        ("Possible pleural effusion.", 1),
        ("Costophrenic angle blunted.", 1),
        ("Clear.", 0),
    ]
    made = []
    for number in range(count):
        text, there = ways[int(rng.integers(len(ways)))]
        fillers = " ".join(rng.choice(["Bones intact.", "Tube in place.", "Aorta tortuous.", "Rotated film."], 3))
        marks = "".join(chr(97 + int(digit)) for digit in str(number))
        status = Status.PRESENT if there else Status.NOT_MENTIONED
        findings = (FindingLabel("effusion", status), FindingLabel("cardiomegaly", Status.NOT_MENTIONED))
        made.append(LabelledReport(str(number), f"FINDINGS: {text} {fillers} Ref {marks}.", (), "own", findings))
    return made


@pytest.fixture(scope="module")
def fitted() -> FindingsPipeline:
    return FindingsPipeline(labels=LABELS).fit(labelled(120))


def test_unfitted_reads_by_rules_and_says_so() -> None:
    result = FindingsPipeline(labels=LABELS)(REPORT)
    assert [label.status for label in result.findings] == [Status.PRESENT, Status.ABSENT]
    assert not result.calibrated
    assert result["effusion"].probability is None
    assert "not calibrated" in result.warnings[0]
    assert "effusion: present" in str(result)
    assert result.to_dict()["findings"][1]["status"] == "absent"


def test_fit_learns_what_the_house_codes(fitted: FindingsPipeline) -> None:
    texts = ["Costophrenic angle blunted. Bones intact.", "Possible pleural effusion.", "No pleural effusion."]
    blunted, possible, none = fitted.batch([f"FINDINGS: {text}" for text in texts])
    assert [one["effusion"].status for one in (blunted, possible, none)] == [
        Status.PRESENT,
        Status.PRESENT,
        Status.ABSENT,
    ]
    high, low = blunted["effusion"].probability, none["effusion"].probability
    assert high is not None
    assert low is not None
    assert high > 0.8 > 0.2 > low
    assert blunted.calibrated


def test_findings_with_too_few_reports_stay_with_the_rules(fitted: FindingsPipeline) -> None:
    result = fitted("FINDINGS: Cardiomegaly.")
    assert result["cardiomegaly"].status is Status.PRESENT
    assert result["cardiomegaly"].probability is None
    assert "cardiomegaly" in result.warnings[0]
    assert fitted.manifest["learnt"] == ["effusion"]


def test_save_and_load_give_the_same(fitted: FindingsPipeline, tmp_path: Path) -> None:
    fitted.save(tmp_path / "saved")
    loaded = FindingsPipeline.load(tmp_path / "saved")
    assert loaded.batch([REPORT]) == fitted.batch([REPORT])
    assert loaded.manifest == fitted.manifest
    (tmp_path / "saved" / "finding_model.json").write_text("{}")
    with pytest.raises(ModelError, match="not what was saved"):
        FindingsPipeline.load(tmp_path / "saved")


def test_load_refuses_another_generator(fitted: FindingsPipeline, tmp_path: Path) -> None:
    fitted.save(tmp_path / "saved")
    with pytest.raises(ModelError, match="generator"):
        FindingsPipeline.load(tmp_path / "saved", generator=Asked())


def test_only_a_fitted_one_is_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to save"):
        FindingsPipeline(labels=LABELS).save(tmp_path / "saved")


def test_generator_shows_its_probability_and_warns_where_it_disagrees() -> None:
    result = FindingsPipeline(generator=Asked(), labels=LABELS)(REPORT)
    assert result["cardiomegaly"].status is Status.ABSENT
    expected = 1 / (1 + 4 * np.exp(-6.0))
    assert result["cardiomegaly"].probability == pytest.approx(expected)
    assert any("cardiomegaly: the rules read absent, the generator present" in one for one in result.warnings)


def test_generator_that_says_nothing_gets_no_weight() -> None:
    alone = FindingsPipeline(labels=LABELS).fit(labelled(120))
    asked = FindingsPipeline(generator=Asked(), labels=LABELS).fit(labelled(120))
    texts = [report.text for report in labelled(10, seed=5)]
    for one, other in zip(alone.batch(texts), asked.batch(texts), strict=True):
        assert one["effusion"].probability == pytest.approx(other["effusion"].probability, abs=1e-3)


def test_present_findings_cite_their_definition(tmp_path: Path) -> None:
    with HybridIndex.create(tmp_path / "index") as index:
        text = "A pleural effusion is fluid in the pleural space. It blunts the costophrenic angle."
        index.add([Document("effusion", text, "Pleural effusion", "guideline")])
        result = FindingsPipeline(index, labels=LABELS)(REPORT)
        assert list(result.citations) == ["effusion"]
        quote = result.citations["effusion"]
        assert text[quote.start : quote.end] == quote.quote


def test_a_definition_is_cited_as_the_index_has_it_now(tmp_path: Path) -> None:
    texts = ("A pleural effusion is fluid in the pleural space.", "Pleural effusion: fluid around the lung.")
    with HybridIndex.create(tmp_path / "index") as index:
        pipeline = FindingsPipeline(index, labels=LABELS)
        assert pipeline(REPORT).citations == {}
        for text in texts:
            index.update([Document("effusion", text, "Pleural effusion", "guideline")])
            assert [one.quote for one in pipeline(REPORT).citations.values()] == [text]
        index.add([Document("cardiomegaly", "Cardiomegaly is a large heart.", "Cardiomegaly", "guideline")])
        both, none = pipeline.batch(["FINDINGS: Cardiomegaly. Pleural effusion.", "FINDINGS: Clear lungs."])
        assert {name: one.quote for name, one in both.citations.items()} == {
            "effusion": texts[1],
            "cardiomegaly": "Cardiomegaly is a large heart.",
        }
        assert none.citations == {}


@pytest.mark.parametrize("batch", [1, 2, 256])
def test_files_of_reports_are_read_as_the_pipeline_reads_them(
    fitted: FindingsPipeline, tmp_path: Path, batch: int
) -> None:
    reports = ["FINDINGS: Possible pleural effusion.", "FINDINGS: Costophrenic angle blunted.", " ", REPORT]
    source = tmp_path / "reports.jsonl"
    source.write_text("".join(json.dumps({"acc": n, "text": text}) + "\n" for n, text in enumerate(reports)), "utf-8")
    text = "A pleural effusion is fluid in the pleural space. It blunts the costophrenic angle."
    fitted.save(tmp_path / "saved")
    with HybridIndex.create(tmp_path / "index") as index:
        index.add([Document("effusion", text, "Pleural effusion", "guideline")])
        pipeline = FindingsPipeline.load(tmp_path / "saved", index)
        summary = predict_file(pipeline, source, tmp_path / "out.jsonl", id="acc", batch=batch)
        one_by_one = [pipeline(one) if one.strip() else None for one in reports]
        manifest = pipeline.manifest
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert (summary.rows, summary.errors, summary.labelled) == (4, 1, 3)
    assert [row["error"] for row in rows] == ["", "", "the note is blank", ""]
    assert [row["id"] for row in rows] == [0, 1, 2, 3]
    for row, result, report in zip(rows, one_by_one, reports, strict=True):
        if result is None:
            assert row["findings"] is None
            continue
        told = {one.finding: one for one in result.findings}
        assert row["present"] == [name for name, one in told.items() if one.status is Status.PRESENT]
        assert row["uncertain"] == [name for name, one in told.items() if one.status is Status.UNCERTAIN]
        assert [one["status"] for one in row["findings"]] == [str(one.status) for one in told.values()]
        assert [one["probability"] for one in row["findings"]] == pytest.approx(
            [one.probability for one in told.values()], nan_ok=True
        )
        spans = [span for one in row["findings"] for span in one["spans"]]
        assert all(report[span["start"] : span["end"]] == span["text"] for span in spans)
        assert all(text[one["start"] : one["end"]] == one["quote"] for one in row["citations"])
        assert row["warnings"] == list(result.warnings)
    assert rows[0]["present"] == rows[1]["present"] == ["effusion"]
    assert [one["finding"] for one in rows[0]["citations"]] == ["effusion"]
    kept = json.loads((tmp_path / "out.jsonl.manifest.json").read_text("utf-8"))
    assert kept["pipeline"] == json.loads(json.dumps(manifest, default=str))


def test_wrong_reports_are_named() -> None:
    pipeline = FindingsPipeline(labels=LABELS)
    with pytest.raises(ValueError, match=r"report 1: .*blank"):
        pipeline.batch([REPORT, " "])
    with pytest.raises(ValueError, match="report 0 must be text"):
        pipeline.batch([None])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="got one report"):
        pipeline.batch(REPORT)
    with pytest.raises(ValueError, match="expected"):
        pipeline.fit([LabelledReport("a", REPORT, (), "own", ())])
    assert pipeline.batch([]) == []


def test_threshold_gives_the_best_f1_of_all() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        sure = np.round(rng.random(30), 1)
        true = rng.random(30) < sure
        true[0] = True

        def score(threshold: float, sure: NDArray[np.float64] = sure, true: NDArray[np.bool_] = true) -> float:
            said = sure >= threshold
            return float(2 * (said & true).sum() / max(said.sum() + true.sum(), 1))

        assert score(_best_threshold(sure, true)) == pytest.approx(max(score(value) for value in sure))


def test_the_model_never_calibrates_on_what_it_learnt_from() -> None:
    """Labels that are noise: out of fold nothing is known, so the probabilities stay near the share that is present."""
    rng = np.random.default_rng(0)
    reports = labelled(100)
    pipeline = FindingsPipeline(labels=LABELS, lexicon=Lexicon())
    results = pipeline.batch([report.text for report in reports])
    words = [report.text for report in reports]
    true = np.column_stack([rng.random(100) < 0.5, np.zeros(100, dtype=bool)])
    model = FindingModel.fit(results, words, true, np.arange(100) % 5)
    sure = model.probabilities(results, words)[:, 0]
    assert np.abs(sure - true[:, 0].mean()).mean() < 0.25
