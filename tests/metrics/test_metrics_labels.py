"""Kappa, AUPRC, the label table and multi-label exact match against scikit-learn on random cases, and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sklearn.metrics as reference

from radrag.metrics.agreement import kappa
from radrag.metrics.classification import accuracy, auprc, auroc, f1
from radrag.metrics.label_table import LabelRow, multilabel_exact_match, multilabel_table, per_label


def test_kappa_by_hand() -> None:
    # Agreement 3/4; by chance yes-yes 2/4 * 3/4 and no-no 2/4 * 1/4, so 1/2: (0.75 - 0.5) / 0.5.
    assert kappa(["yes", "yes", "no", "no"], ["yes", "yes", "yes", "no"]) == pytest.approx(0.5)
    assert kappa(["a", "b"], ["b", "a"]) == pytest.approx(-1.0)


def test_weighted_kappa_depends_on_the_order_of_labels() -> None:
    first, second = ["low", "mid", "high", "low"], ["low", "high", "high", "mid"]
    # In order low, mid, high every disagreement is one step. Cost 2; by chance, of 16 pairs: low (2) against mid 1 and
    # high 2 each one and two steps, mid (1) one step from 3, high (1) against low 1 and mid 1: 2 * 5 + 3 + 3 = 16 / 4.
    ordered = kappa(first, second, ["low", "mid", "high"], weights="linear")
    assert ordered == pytest.approx(1 - 2 / (16 / 4))
    assert kappa(first, second, weights="linear") != pytest.approx(ordered)


def test_kappa_that_is_undefined() -> None:
    with pytest.raises(ValueError, match="kappa is undefined"):
        kappa(["a", "a"], ["a", "a"])
    # One label each but different ones: chance explains it all.
    assert kappa(["a", "a"], ["b", "b"]) == 0.0


def test_auprc_by_hand() -> None:
    # Cuts at 0.9: 1 of 1; at 0.5 (two tied, one positive): 2 of 3; then all. Recall rises by half each: 1/2 + 2/3 / 2.
    assert auprc([1, 1, 0, 0], [0.9, 0.5, 0.5, 0.1]) == pytest.approx(1 / 2 + 1 / 3)
    # A score that says nothing: the share of positives.
    assert auprc([1, 0, 0, 0], [0.5] * 4) == 0.25


def test_labels_agree_with_sklearn() -> None:
    rng = np.random.default_rng(12)
    order = list(range(5))
    checked = 0
    for _ in range(1000):
        n = int(rng.integers(2, 30))
        true, predicted = rng.integers(0, rng.integers(1, 6), size=(2, n))
        precision, recall, each, support = reference.precision_recall_fscore_support(
            true, predicted, labels=order, zero_division=0
        )
        rows = per_label(true, predicted, order)
        assert [row.precision or 0.0 for row in rows] == pytest.approx(precision, abs=1e-9)
        assert [row.recall or 0.0 for row in rows] == pytest.approx(recall, abs=1e-9)
        assert [row.f1 or 0.0 for row in rows] == pytest.approx(each, abs=1e-9)
        assert [row.true for row in rows] == support.tolist()
        shown = (support > 0) | np.isin(order, predicted)
        assert f1(true, predicted) == pytest.approx(each[shown].mean(), abs=1e-9)
        assert f1(true, predicted, average="micro") == accuracy(true, predicted) == np.mean(true == predicted)
        if len({*true.tolist(), *predicted.tolist()}) > 1:
            weights = ("none", "linear", "quadratic")[checked % 3]
            checked += 1
            expected = reference.cohen_kappa_score(
                true, predicted, labels=order, weights=None if weights == "none" else weights
            )
            assert kappa(true, predicted, order, weights=weights) == pytest.approx(expected, abs=1e-9)
    assert checked > 700


def test_areas_agree_with_sklearn() -> None:
    rng = np.random.default_rng(13)
    for _ in range(1000):
        n = int(rng.integers(2, 40))
        true = rng.integers(0, 2, size=n)
        true[:2] = 0, 1
        score = rng.integers(0, 6, size=n) / 5  # ties
        assert auroc(true, score) == pytest.approx(reference.roc_auc_score(true, score), abs=1e-9)
        assert auprc(true, score) == pytest.approx(reference.average_precision_score(true, score), abs=1e-9)


def test_per_label_by_hand() -> None:
    rows = per_label(["yes", "yes", "no"], ["yes", "no", "no"], ["yes", "no", "maybe"])
    assert rows == (LabelRow("yes", 3, 2, 1, 1), LabelRow("no", 3, 1, 2, 1), LabelRow("maybe", 3, 0, 0, 0))
    assert (rows[0].precision, rows[0].recall, rows[0].specificity, rows[0].f1) == (1.0, 0.5, 1.0, pytest.approx(2 / 3))
    assert rows[1].specificity == 0.5
    assert (rows[2].precision, rows[2].recall, rows[2].f1, rows[2].specificity) == (None, None, None, 1.0)
    assert per_label(["a"], ["a"])[0].specificity is None


def test_multilabel_by_hand() -> None:
    true, predicted = [[1, 0], [1, 1], [0, 0]], [[1, 0], [0, 1], [0, 1]]
    assert multilabel_table(true, predicted, ["effusion", "mass"]) == (
        LabelRow("effusion", 3, 2, 1, 1),
        LabelRow("mass", 3, 1, 2, 1),
    )
    assert multilabel_exact_match(true, predicted) == pytest.approx(1 / 3)


def test_multilabel_agrees_with_sklearn() -> None:
    rng = np.random.default_rng(14)
    for _ in range(100):
        true, predicted = rng.integers(0, 2, size=(2, int(rng.integers(1, 10)), 3))
        counts = reference.multilabel_confusion_matrix(true, predicted)
        for row, ((tn, fp), (fn, tp)) in zip(multilabel_table(true, predicted, "abc"), counts, strict=True):
            assert (row.both, row.true, row.predicted, row.n) == (tp, tp + fn, tp + fp, tn + fp + fn + tp)
            assert row.specificity == (pytest.approx(tn / (tn + fp)) if tn + fp else None)
        assert multilabel_exact_match(true, predicted) == pytest.approx(reference.accuracy_score(true, predicted))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kappa([], []), "at least one label"),
        (lambda: kappa(["a"], ["b"], ["a"]), "got 'b' too"),
        (lambda: kappa(["a"], ["b"], weights="cubic"), "got 'cubic'"),
        (lambda: auprc([1, 1], [0.1, 0.2]), "AUPRC is undefined"),
        (lambda: auprc([0, 0], [0.1, 0.2]), "both classes"),
        (lambda: auprc([], []), "non-empty"),
        (lambda: per_label(["a"], ["b"], ["a"]), "got 'b' too"),
        (lambda: multilabel_table([[1, 0]], [[1]], ["a", "b"]), "one shape"),
        (lambda: multilabel_table([[1, 0]], [[1, 0]], ["a"]), "columns 2, labels 1"),
        (lambda: multilabel_exact_match([[1, 0]], [[1]]), "one shape"),
    ],
)
def test_unusable_arguments(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
