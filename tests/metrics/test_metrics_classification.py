"""Classification metrics against numbers worked out by hand, scikit-learn, and properties."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from radrag.metrics import Confusion, accuracy, auroc, confusion, f1, multilabel_f1

TRUE = ["yes", "yes", "yes", "no", "no", "maybe"]
PREDICTED = ["yes", "yes", "no", "no", "yes", "no"]
pairs = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40)


def test_accuracy_by_hand() -> None:
    assert accuracy(TRUE, PREDICTED) == 3 / 6


def test_f1_by_hand() -> None:
    # yes: TP 2, predicted 3, true 3 → 4/6; no: TP 1, predicted 3, true 2 → 2/5; maybe: TP 0, predicted 0, true 1 → 0/1
    assert f1(TRUE, PREDICTED, average=None) == {"maybe": 0.0, "no": 0.4, "yes": pytest.approx(2 / 3)}
    # macro = (0 + 0.4 + 0.6666667) / 3 = 0.3555556
    assert f1(TRUE, PREDICTED) == pytest.approx(16 / 45)
    # micro = 2 * 3 / (6 + 6), the accuracy
    assert f1(TRUE, PREDICTED, average="micro") == 0.5


def test_f1_over_named_labels() -> None:
    # (2/5 + 4/6) / 2; the miss of "maybe" still counts as a false positive of "no"
    assert f1(TRUE, PREDICTED, labels=["no", "yes"]) == pytest.approx(8 / 15)
    # micro: TP 3, true 5, predicted 6 → 6/11
    assert f1(TRUE, PREDICTED, labels=["no", "yes"], average="micro") == pytest.approx(6 / 11)


def test_an_abstention_is_a_miss() -> None:
    # yes: TP 1, predicted 1, true 2 → 2/3; no: TP 1, predicted 1, true 1 → 1; macro 5/6
    assert f1(["yes", "yes", "no"], ["yes", None, "no"], labels=["yes", "no"]) == pytest.approx(5 / 6)
    assert accuracy(["yes", "yes", "no"], ["yes", None, "no"]) == pytest.approx(2 / 3)


def test_a_label_that_never_occurs_is_not_averaged_silently() -> None:
    with pytest.raises(ValueError, match="F1 of 'maybe' is undefined"):
        f1(["yes"], ["yes"], labels=["yes", "maybe"])
    assert f1(["yes"], ["yes"], labels=["yes", "maybe"], zero_division=0.0) == 0.5
    assert f1(["yes"], ["yes"], labels=["yes", "maybe"], zero_division=1.0) == 1.0


def test_multilabel_f1_by_hand() -> None:
    true = [[1, 0, 1], [0, 0, 1], [1, 1, 0]]
    predicted = [[1, 1, 1], [0, 0, 0], [0, 1, 0]]
    # columns: TP 1, true 2, predicted 1 → 2/3; TP 1, true 1, predicted 2 → 2/3; TP 1, true 2, predicted 1 → 2/3
    assert multilabel_f1(true, predicted, average=None) == pytest.approx([2 / 3, 2 / 3, 2 / 3])
    # micro: TP 3, true 5, predicted 4 → 6/9
    assert multilabel_f1(true, predicted, average="micro") == pytest.approx(6 / 9)
    assert multilabel_f1(true, predicted) == pytest.approx(2 / 3)


def test_multilabel_f1_of_an_empty_column() -> None:
    with pytest.raises(ValueError, match="F1 of 'column 1' is undefined"):
        multilabel_f1([[1, 0]], [[1, 0]])
    assert multilabel_f1([[1, 0]], [[1, 0]], zero_division=0.0) == 0.5
    with pytest.raises(ValueError, match="all labels together"):
        multilabel_f1([[0, 0]], [[0, 0]], average="micro")


def test_auroc_by_hand() -> None:
    # positives 0.8, 0.4; negatives 0.4, 0.2: pairs 0.8>0.4, 0.8>0.2, 0.4=0.4 (half), 0.4>0.2 → 3.5 / 4
    assert auroc([1, 0, 1, 0], [0.8, 0.4, 0.4, 0.2]) == 0.875
    assert auroc([True, False], [0.5, 0.5]) == 0.5


@pytest.mark.parametrize("true", [[1, 1], [0, 0]])
def test_auroc_needs_both_classes(true: list[int]) -> None:
    with pytest.raises(ValueError, match="both classes"):
        auroc(true, [0.1, 0.2])


def test_confusion_by_hand() -> None:
    # rows are true: maybe → no; no → no, yes; yes → yes, yes, no
    assert confusion(TRUE, PREDICTED) == Confusion(("maybe", "no", "yes"), ((0, 1, 0), (0, 1, 1), (0, 1, 2)))
    reordered = confusion(TRUE, PREDICTED, labels=["yes", "no", "maybe", "unknown"])
    assert reordered.counts == ((2, 1, 0, 0), (1, 1, 0, 0), (0, 1, 0, 0), (0, 0, 0, 0))


def test_confusion_drops_nothing() -> None:
    with pytest.raises(ValueError, match="got 'maybe' too"):
        confusion(TRUE, PREDICTED, labels=["yes", "no"])


@pytest.mark.parametrize("metric", [accuracy, f1, confusion])
@pytest.mark.parametrize(
    ("true", "predicted", "message"),
    [
        ([], [], "true must hold at least one label"),
        (["a"], ["a", "b"], "true 1, predicted 2"),
        ("ab", ["a", "b"], "got the string 'ab'"),
        (np.zeros((2, 2)), [0, 1], r"got shape \(2, 2\)"),
        ([1.0, float("nan")], [1.0, 2.0], "got nan"),
    ],
)
def test_unusable_labels(metric: Callable[..., Any], true: Any, predicted: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metric(true, predicted)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: f1(["a"], ["a"], labels=["a", "b", "a"]), "got 'a' more than once"),
        (lambda: f1(["a"], [None]), "give them as labels="),
        (lambda: f1(["a"], ["a"], average="weighted"), "one of .*got 'weighted'"),
        (lambda: f1(["a"], ["a"], zero_division=2.0), "between 0 and 1, or None to raise, got 2"),
        (lambda: multilabel_f1([[0, 2]], [[0, 1]]), "true must be 0 or 1, got 2"),
        (lambda: multilabel_f1([[0, 1]], [[0]]), r"got \(1, 2\) and \(1, 1\)"),
        (lambda: multilabel_f1([0, 1], [0, 1]), "2 dimension"),
        (lambda: auroc([0, 1], [0.1, float("nan")]), "score must be finite, got nan"),
        (lambda: auroc([0, 1], [0.1]), "true 2, score 1"),
        (lambda: auroc([0, 1], ["a", "b"]), "score must hold numbers"),
        (lambda: auroc([], []), "non-empty"),
    ],
)
def test_unusable_arguments(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_arrays_and_lists_score_alike() -> None:
    assert f1(np.array(TRUE), np.array(PREDICTED)) == f1(TRUE, PREDICTED)
    assert set(f1(np.array([0, 1]), np.array([0, 1]), average=None)) == {0, 1}


@given(pairs)
@settings(max_examples=40, deadline=None)  # each reference call takes milliseconds
def test_agrees_with_sklearn(items: list[tuple[int, int]]) -> None:
    true, predicted = map(list, zip(*items, strict=True))
    assert accuracy(true, predicted) == pytest.approx(reference.accuracy_score(true, predicted))
    for average in ("macro", "micro"):
        expected = reference.f1_score(true, predicted, average=average, zero_division=0)
        assert f1(true, predicted, average=average) == pytest.approx(expected)
        some = reference.f1_score(true, predicted, labels=[0, 3], average=average, zero_division=0)
        assert f1(true, predicted, [0, 3], average=average, zero_division=0.0) == pytest.approx(some)
    expected = reference.confusion_matrix(true, predicted, labels=range(5))
    assert np.array_equal(confusion(true, predicted, range(5)).counts, expected)


@given(st.data())
@settings(max_examples=40, deadline=None)  # each reference call takes milliseconds
def test_multilabel_agrees_with_sklearn(data: st.DataObject) -> None:
    n, m = data.draw(st.integers(1, 12)), data.draw(st.integers(2, 5))
    cells = st.lists(st.lists(st.integers(0, 1), min_size=m, max_size=m), min_size=n, max_size=n)
    true, predicted = np.array(data.draw(cells)), np.array(data.draw(cells))
    for average in ("macro", "micro", None):
        expected = reference.f1_score(true, predicted, average=average, zero_division=0)
        assert multilabel_f1(true, predicted, average, zero_division=0.0) == pytest.approx(expected)


@given(st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2).filter(lambda x: len({y for y, _ in x}) == 2))
@settings(max_examples=40, deadline=None)  # each reference call takes milliseconds
def test_auroc_agrees_with_sklearn_and_mirrors(items: list[tuple[bool, int]]) -> None:
    true, score = map(np.array, zip(*items, strict=True))
    area = auroc(true, score)
    assert area == pytest.approx(reference.roc_auc_score(true, score))
    assert auroc(true, -score) == pytest.approx(1 - area)
    assert auroc(true, np.exp(score)) == area


@given(pairs, st.randoms())
def test_the_order_of_items_does_not_matter(items: list[tuple[int, int]], random: Any) -> None:
    shuffled = random.sample(items, len(items))
    columns, others = (list(zip(*rows, strict=True)) for rows in (items, shuffled))
    assert f1(*columns) == f1(*others)
    assert accuracy(*columns) == accuracy(*others)
    assert confusion(*columns) == confusion(*others)


@given(pairs)
def test_all_right_scores_1_and_micro_is_accuracy(items: list[tuple[int, int]]) -> None:
    true, predicted = zip(*items, strict=True)
    assert f1(true, true) == accuracy(true, true) == 1.0
    assert f1(true, predicted, average="micro") == pytest.approx(accuracy(true, predicted))


def test_inputs_are_left_alone() -> None:
    true, score = np.array([0, 1, 1]), np.array([0.3, 0.2, 0.1])
    auroc(true, score)
    multilabel_f1(true[None], true[None], "micro")
    assert true.tolist() == [0, 1, 1]
    assert score.tolist() == [0.3, 0.2, 0.1]
