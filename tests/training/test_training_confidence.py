"""The model that says whether the evidence suffices, fitted on made-up questions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radrag.corpora import DocumentQuestion
from radrag.grounding import Confidence
from radrag.grounding.confidence import FEATURES
from radrag.indexes.encoders import StaticEncoder
from radrag.indexes.hybrid import HybridIndex
from radrag.training.confidence import (
    Cases,
    about_documents,
    cross_fitted,
    fit_confidence,
    fit_monotone,
    question_groups,
    risk_curve,
)
from radrag.types import Document, GoldSpan, Hit, Passage, Question

DRUGS = [f"{first}{last}" for first in ("lan", "mor", "tes", "vul") for last in ("dine", "pril", "statin", "zole")]


def made_up() -> list[dict[str, Any]]:
    return [
        {"pmid": str(number), "question": f"Does {drug} reduce pain?", "contexts": [f"We gave {drug} to {number} men."]}
        for number, drug in enumerate(DRUGS)
    ]


def test_the_model_made_loads_and_more_evidence_scores_higher(tmp_path: Path) -> None:
    corpus = [Document(drug, f"The dose of {drug} is {n} mg.") for n, drug in enumerate(DRUGS[:8])]
    questions = [Question(str(n), f"What is the dose of {drug}?", answerable=n < 8) for n, drug in enumerate(DRUGS)]
    path = tmp_path / "new" / "confidence.json"
    facts = fit_confidence(made_up(), questions, corpus, path)
    assert facts["n"]["shipped"] == facts["n"]["near miss"] == 8
    assert facts["n"]["abstract removed"] == facts["n"]["out of scope"] == len(DRUGS)
    model = Confidence.load(path)
    assert len(model.weights) == len(FEATURES)
    assert min(model.weights) >= 0
    assert model((1.0,) * len(FEATURES)) > model((0.0,) * len(FEATURES))
    assert 0 <= model.threshold <= 1
    assert [point.threshold for point in model.curve] == sorted(point.threshold for point in model.curve)
    assert json.loads(path.read_text("utf-8"))["facts"] == facts
    assert [file.name for file in path.parent.iterdir()] == ["confidence.json"]


def test_questions_on_one_document_are_of_one_group() -> None:
    def asked(name: str, *documents: str) -> Question:
        return Question(
            name, "?", gold=tuple(GoldSpan(one, 0, 1, "x") for one in documents), answerable=bool(documents)
        )

    questions = [asked("1", "a"), asked("2", "a", "b"), asked("3", "b"), asked("4"), asked("5", "c"), asked("6")]
    hits = [[Hit(Passage(name, 0, 1, "x"), 1.0)] for name in "zzzbzz"]
    hits[5] = []
    one, two, three, four, five, six = question_groups(questions, hits)
    assert one == two == three == four
    assert len({one, five, six}) == 3


def test_risk_and_coverage_by_hand() -> None:
    curve = risk_curve(np.asarray([0.9, 0.7, 0.5, 0.3]), np.asarray([1, 1, 0, 1]), np.asarray([1.0, 1.0, 2.0, 4.0]))
    points = {round(point.threshold, 2): point for point in curve}
    assert (points[0.2].coverage, points[0.2].risk) == pytest.approx((1.0, 2 / 8))
    assert (points[0.4].coverage, points[0.4].risk) == pytest.approx((4 / 8, 2 / 4))
    assert (points[0.6].coverage, points[0.6].risk) == pytest.approx((2 / 8, 0.0))
    assert max(points) == 0.9
    # Wilson's one-sided upper bound for 0 of 2 at 90 %: z^2 / n / (1 + z^2 / n)
    assert points[0.6].bound == pytest.approx((1.2816**2 / 2) / (1 + 1.2816**2 / 2))


def test_the_parts_of_the_mixture_weigh_as_they_should() -> None:
    parts = np.asarray(
        ["shipped"] * 2 + ["own abstract"] * 4 + ["near miss"] + ["abstract removed"] * 2 + ["out of scope"]
    )
    cases = Cases(np.zeros((10, 1)), parts, parts, tuple(map(str, range(10))))
    shares = cases.shares / 10
    assert shares[cases.true == 1].sum() == pytest.approx(0.5)
    assert shares[parts == "own abstract"].sum() == pytest.approx(1 / 4)
    assert shares[parts == "near miss"].sum() == pytest.approx(1 / 6)
    whole = np.asarray([*parts, "in the document", "in the document", "not in the document"])
    cases = Cases(np.zeros((13, 1)), whole, whole, tuple(map(str, range(13))))
    shares = cases.shares / 13
    assert shares[cases.true == 1].sum() == pytest.approx(0.5)
    assert shares[whole == "in the document"].sum() == pytest.approx(1 / 6)
    assert shares[whole == "not in the document"].sum() == pytest.approx(1 / 8)


def test_questions_about_documents_see_that_document_alone(tmp_path: Path) -> None:
    corpus = [Document(drug, f"The dose of {drug} is {n} mg. It may cause a rash.") for n, drug in enumerate(DRUGS)]
    asked = [
        DocumentQuestion("1", DRUGS[0], f"What is the dose of {DRUGS[1]}?", False, "other"),
        DocumentQuestion("2", DRUGS[1], f"What is the dose of {DRUGS[1]}?", True, "answered"),
        DocumentQuestion("3", "elsewhere", f"What is the dose of {DRUGS[1]}?", True, "answered"),
    ]
    with HybridIndex.create(tmp_path / "index") as index:
        index.add(corpus)
        wrong, right = about_documents(asked, index, StaticEncoder())
    assert (wrong[1:], right[1:]) == (("not in the document", DRUGS[0], "1"), ("in the document", DRUGS[1], "2"))
    missing = FEATURES.index("worst word of the clause")
    assert wrong[0][missing] < right[0][missing] == 1.0


def test_weights_are_those_of_a_bounded_logistic_regression() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(400, 3))
    true = (table @ [1.5, 0.0, -1.0] + rng.logistic(size=400) > 0).astype(int)
    weights, _ = fit_monotone(table, true, np.ones(400))
    assert weights[0] == pytest.approx(1.5, abs=0.4)
    assert weights[2] == 0.0


def test_cross_fitting_never_sees_the_group_itself() -> None:
    # The feature names the group, and the labels of groups are drawn: what is learned of one tells nothing of another.
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(40), 5)
    parts = np.where(rng.random(40) < 0.5, "shipped", "near miss")[groups]
    table = np.eye(40)[groups]
    chances = cross_fitted(Cases(table, parts, groups.astype(str), tuple(map(str, range(200)))))
    seen = np.abs(chances - (parts == "shipped")) < 0.45
    assert not seen.all()
    assert np.ptp(chances) < 0.2


def test_it_needs_no_torch() -> None:
    code = "import sys; import radrag.training.confidence; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
