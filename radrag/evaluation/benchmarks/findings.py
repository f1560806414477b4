"""Findings of reports: a reader of context against counting every mention as present, status by status."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from radrag.evaluation.comparison import Comparison
from radrag.evaluation.figures import SetStatistic, corrected, row_of, statistic_row
from radrag.evaluation.records import Table
from radrag.evaluation.scores import Measure
from radrag.metrics import f1
from radrag.types import LabelledReport, Status

NAMES = ("reads the context", "any mention is present")


def compare_findings(reports: Sequence[LabelledReport], pipeline: Callable[[str], Any], *, seed: int = 0) -> Comparison:
    """Compare a pipeline with the baseline on the same reports; reports are drawn whole.

    Args:
        reports: Labelled reports.
        pipeline: Takes the name of a finding set, and returns a ``FindingsPipeline`` for it.
        seed: Seed of the resampling.

    Raises:
        ValueError: If there are fewer than 2 reports.
    """
    if len(reports) < 2:
        raise ValueError(f"reports must be at least 2 to compare, got {len(reports)}")
    true, said, mentioned, units, sets = [], [], [], [], []
    manifests: dict[str, Mapping[str, Any]] = {}
    for name in sorted({report.finding_set for report in reports}):
        some = [report for report in reports if report.finding_set == name]
        reader = pipeline(name)
        for report, result in zip(some, reader.batch([report.text for report in some]), strict=True):
            manifests.setdefault(name, result.manifest)
            found = {one.finding: one.status for one in result.findings}
            for label in report.findings:
                status = found[label.finding]
                true.append(str(label.status))
                said.append(str(status))
                absent = status is Status.NOT_MENTIONED
                mentioned.append(str(Status.NOT_MENTIONED if absent else Status.PRESENT))
                units.append(report.id)
                sets.append(name)
    gold, ours, theirs = (np.asarray(column) for column in (true, said, mentioned))
    right = row_of(
        Measure("status right", _unused), (ours == gold).astype(float), (theirs == gold).astype(float), units, seed
    )
    labels = sorted(set(true))
    sides = ((gold, ours), (gold, theirs))
    figures = (
        SetStatistic("macro-F1 of statuses", sides, lambda a, b: _macro(a, b, labels)),
        SetStatistic("F1 of present", sides, lambda a, b: _macro(a, b, [str(Status.PRESENT)])),
    )
    rows = corrected([right, *(statistic_row(figure, units, seed) for figure in figures)])
    made = Comparison(
        rows, len(true), system=NAMES[0], baseline=NAMES[1], groups=len(set(units)),
        manifest={"seed": seed, NAMES[0]: {"finding sets": manifests}, NAMES[1]: {"rule": NAMES[1]}},
    )  # fmt: skip
    return made.with_table(_by_set(np.asarray(sets), gold, ours, theirs))


def _unused(*_: Any) -> None:
    return None


def _macro(true: Any, said: Any, labels: Sequence[str]) -> float:
    return float(f1(true.tolist(), said.tolist(), labels=list(labels), average="macro", zero_division=0.0))


def _by_set(sets: Any, gold: Any, ours: Any, theirs: Any) -> Table:
    rows = []
    for name in sorted(set(sets.tolist())):
        chosen = sets == name
        shares = [f"{float((side[chosen] == gold[chosen]).mean()):.3f}" for side in (ours, theirs)]
        rows.append((name, str(int(chosen.sum())), *shares))
    return Table("Status right, by finding set", ("set", "findings", *NAMES), tuple(rows))
