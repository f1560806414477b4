"""Checks of the report corpus and its reader: form, spans, and that every status of every finding occurs."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from radrag.corpora import read_finding_sets, read_reports
from radrag.errors import CorpusError
from radrag.types import LabelledReport, Status

FOLDER = Path(__file__).resolve().parents[2] / "corpora" / "reports"
SETS = read_finding_sets(FOLDER / "findings.yaml")
NIH = (
    "atelectasis cardiomegaly effusion infiltration mass nodule pneumonia pneumothorax consolidation edema emphysema "
    "fibrosis pleural-thickening hernia"
)


@cache
def load() -> list[LabelledReport]:
    return list(read_reports(FOLDER / "reports.jsonl", SETS))


def test_the_chest_set_is_the_fourteen_common_findings() -> None:
    assert " ".join(finding.id for finding in SETS["chest"]) == NIH
    for finding in (finding for findings in SETS.values() for finding in findings):
        assert finding.definition.endswith(".")
        assert finding.synonyms


def test_there_are_enough_reports_of_each_modality() -> None:
    assert len(load()) >= 150
    modalities = Counter(report.modality for report in load())
    assert modalities["XR"] >= 80
    assert min(modalities["CT"], modalities["MR"]) >= 15
    assert len({report.text for report in load()}) == len(load())


def test_every_report_has_findings_and_impression_that_pair_up() -> None:
    for report in load():
        assert len(report.section("impression").split()) >= 2, report.id
        assert report.section("findings").strip() or report.finding_set != "chest", report.id
        names = [section.path[0] for section in report.sections]
        assert len(set(names)) == len(names), report.id
        for section in report.sections:
            assert report.text[: section.start].rstrip().upper().endswith(f"{section.path[0].upper()}:"), report.id


def test_the_indication_never_labels() -> None:
    for report in load():
        outside = [part for part in report.sections if part.path[0] in ("indication", "history", "technique", "exam")]
        for label in report.findings:
            for span in label.spans:
                assert not any(part.start <= span.start < part.end for part in outside), (report.id, label.finding)


@pytest.mark.parametrize("name", sorted(SETS))
def test_every_finding_occurs_with_every_status(name: str) -> None:
    least = {"chest": (8, 8, 3, 2)}.get(name, (3, 3, 2, 1))
    counts = Counter(
        (label.finding, label.status) for report in load() if report.finding_set == name for label in report.findings
    )
    wanted = zip((Status.PRESENT, Status.ABSENT, Status.UNCERTAIN, Status.HISTORICAL), least, strict=True)
    few = [
        (finding.id, str(status), counts[finding.id, status], least)
        for status, least in wanted
        for finding in SETS[name]
        if counts[finding.id, status] < least
    ]
    assert few == []


# ---------------------------------------------------------------- the reader


def record(**changes: Any) -> dict[str, Any]:
    text = "FINDINGS: Small effusion.\nIMPRESSION: Effusion."
    span = {"start": 10, "end": 24, "quote": "Small effusion"}
    findings = {finding.id: {"status": "not mentioned", "spans": []} for finding in SETS["chest"]}
    findings["effusion"] = {"status": "present", "spans": [span]}
    sections = [{"name": "findings", "start": 10, "end": 25}, {"name": "impression", "start": 38, "end": 47}]
    made = {"id": "a", "modality": "XR", "region": "chest", "set": "chest", "text": text, "sections": sections}
    return {**made, "findings": findings, **changes}


def read(tmp_path: Path, *records: dict[str, Any]) -> list[LabelledReport]:
    path = tmp_path / "reports.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
    return list(read_reports(path, SETS))


def test_reading(tmp_path: Path) -> None:
    (report,) = read(tmp_path, record())
    assert (report.section("findings"), report.section("impression")) == ("Small effusion.", "Effusion.")
    assert report.section("technique") == ""
    effusion = next(label for label in report.findings if label.finding == "effusion")
    assert effusion.status is Status.PRESENT
    assert [span.text for span in effusion.spans] == ["Small effusion"]


def with_effusion(status: str, *spans: tuple[int, int, str]) -> dict[str, Any]:
    shown = [dict(zip(("start", "end", "quote"), span, strict=True)) for span in spans]
    return {**record()["findings"], "effusion": {"status": status, "spans": shown}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"findings": {"effusion": {"status": "present"}}}, "expected the findings of the set 'chest'"),
        ({"findings": with_effusion("maybe")}, "expected one of present, absent"),
        ({"findings": with_effusion("present")}, "present needs the words that say so"),
        ({"findings": with_effusion("not mentioned", (10, 24, "Small effusion"))}, "needs no spans"),
        ({"findings": with_effusion("present", (10, 24, "Large effusion"))}, "is not what stands at 10 to 24"),
        ({"findings": with_effusion("present", (0, 8, "FINDINGS"))}, "lies in no section"),
        ({"findings": with_effusion("present", (10, 999, "Small"))}, "expected offsets within"),
        ({"set": "foot"}, "expected one of chest"),
        ({"sections": [{"name": "a", "start": 5, "end": 9}, {"name": "b", "start": 8, "end": 12}]}, "begins before"),
        ({"text": " "}, "is empty"),
    ],
)
def test_a_bad_record_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CorpusError, match=message) as caught:
        read(tmp_path, record(), record(id="b", **changes))
    assert caught.value.record == 2


def test_an_id_that_comes_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="used already"):
        read(tmp_path, record(), record())


def test_finding_sets_must_be_of_their_form(tmp_path: Path) -> None:
    path = tmp_path / "findings.yaml"
    for text, message in (("- a", "expected sets"), ("x: [{id: a}]", "expected id, name"), ("x: [", "not YAML")):
        path.write_text(text)
        with pytest.raises(CorpusError, match=message):
            read_finding_sets(path)
    one = "{id: a, name: A, definition: d, synonyms: []}"
    path.write_text(f"x: [{one}, {one}]")
    with pytest.raises(CorpusError, match="occurs twice"):
        read_finding_sets(path)
