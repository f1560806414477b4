"""Calibration metrics against numbers worked out by hand, scikit-learn, and properties."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from radrag.metrics import ReliabilityBin, brier, expected_calibration_error, reliability_table

items = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


def test_reliability_table_by_hand() -> None:
    # (0, 0.5]: 0.0, 0.2 and the edge 0.5, mean 0.7/3, one of three right; (0.5, 1]: 0.9 and 1.0, mean 0.95, both right
    low, high = reliability_table([0.0, 0.2, 0.5, 0.9, 1.0], [0, 0, 1, 1, 1], bins=2)
    assert low == ReliabilityBin(0.0, 0.5, 3, pytest.approx(0.7 / 3), pytest.approx(1 / 3))
    assert high == ReliabilityBin(0.5, 1.0, 2, pytest.approx(0.95), 1.0)


def test_empty_bins_are_shown() -> None:
    rows = reliability_table([0.9], [1], bins=4)
    assert [row.n for row in rows] == [0, 0, 0, 1]
    assert rows[0] == ReliabilityBin(0.0, 0.25, 0, None, None)


@pytest.mark.parametrize("bins", [5, 10, 15, 30])
def test_an_edge_belongs_to_the_bin_below(bins: int) -> None:
    for m in range(1, bins + 1):
        rows = reliability_table([m / bins], [1], bins)
        assert [row.n for row in rows].index(1) == m - 1
    # Written as a decimal: 0.2, 0.4 and 0.8 are edges of all four.
    assert sum(row.n for row in reliability_table([0.2], [1], bins)[: bins // 5]) == 1


def test_expected_calibration_error_by_hand() -> None:
    # low bin: 3 * |1/3 - 0.7/3| = 0.3; high bin: 2 * |1 - 0.95| = 0.1; (0.3 + 0.1) / 5 = 0.08
    assert expected_calibration_error([0.0, 0.2, 0.5, 0.9, 1.0], [0, 0, 1, 1, 1], bins=2) == pytest.approx(0.08)
    assert expected_calibration_error([1.0, 1.0], [0, 0]) == 1.0


def test_brier_by_hand() -> None:
    # row 0: (0.7-1)^2 + 0.2^2 + 0.1^2 = 0.14; row 1: 0.5^2 + (0.5-1)^2 + 0 = 0.5; mean 0.32
    assert brier([[0.7, 0.2, 0.1], [0.5, 0.5, 0.0]], [0, 1]) == pytest.approx(0.32)
    assert brier([[0.0, 1.0]], [0]) == 2.0
    assert brier([[0.0, 1.0]], [1]) == 0.0


def test_brier_takes_a_float32_softmax() -> None:
    logits = np.random.default_rng(0).normal(size=(50, 3000)).astype(np.float32)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert 0 < brier(shares, np.arange(50)) < 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: reliability_table([1.2], [1]), r"between 0 and 1, got 1\.2"),
        (lambda: expected_calibration_error([0.5, float("nan")], [1, 0]), "finite, got nan"),
        (lambda: expected_calibration_error([0.5], [1, 0]), "confidence 1, correct 2"),
        (lambda: expected_calibration_error([0.5], [2]), "correct must be 0 or 1, got 2"),
        (lambda: expected_calibration_error([0.5], [1], bins=0), "bins must be at least 1, got 0"),
        (lambda: expected_calibration_error([], []), "non-empty"),
        (lambda: brier([[0.7, 0.7]], [0]), r"sum to 1, got 1\.4 in row 0"),
        (lambda: brier([[0.5, 0.5]], [2]), "from 0 to 1, got 2"),
        (lambda: brier([[0.5, 0.5]], [0.5]), r"from 0 to 1, got 0\.5"),
        (lambda: brier([[0.5, 0.5]], [-1]), "from 0 to 1, got -1"),
        (lambda: brier([[1.5, -0.5]], [0]), r"between 0 and 1, got 1\.5"),
        (lambda: brier([0.5, 0.5], [0]), "2 dimension"),
    ],
)
def test_unusable_arguments(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@given(items, st.integers(1, 20))
def test_bins_hold_every_item_once(given_items: list[tuple[float, bool]], bins: int) -> None:
    confidence, correct = zip(*given_items, strict=True)
    rows = reliability_table(confidence, correct, bins)
    assert len(rows) == bins
    assert sum(row.n for row in rows) == len(confidence)
    assert sum(row.n * (row.confidence or 0) for row in rows) == pytest.approx(sum(confidence))
    assert 0 <= expected_calibration_error(confidence, correct, bins) <= 1


def test_agrees_with_sklearn_away_from_edges() -> None:
    rng = np.random.default_rng(1)
    confidence = rng.random(500)
    correct = rng.random(500) < confidence**2
    accuracy, mean = calibration_curve(correct, confidence, n_bins=15)
    rows = [row for row in reliability_table(confidence, correct) if row.n]
    assert [row.accuracy for row in rows] == pytest.approx(accuracy)
    assert [row.confidence for row in rows] == pytest.approx(mean)
    # Two classes: the sum over classes is twice the score of one.
    two = np.column_stack([1 - confidence, confidence])
    assert brier(two, correct) == pytest.approx(2 * brier_score_loss(correct, confidence))


@given(items, st.randoms())
def test_the_order_of_items_does_not_matter(given_items: list[tuple[float, bool]], random: object) -> None:
    shuffled = random.sample(given_items, len(given_items))  # type: ignore[attr-defined]
    first, second = (
        expected_calibration_error(*map(list, zip(*rows, strict=True))) for rows in (given_items, shuffled)
    )
    assert first == pytest.approx(second)


def test_inputs_are_left_alone() -> None:
    probabilities, true = np.array([[0.3, 0.7]]), np.array([0])
    brier(probabilities, true)
    expected_calibration_error(probabilities[0], [0, 1])
    assert probabilities.tolist() == [[0.3, 0.7]]
    assert true.tolist() == [0]
