"""Slices against SciPy, statsmodels' published figures and hand-computed values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, fisher_exact, permutation_test

from radrag.metrics.slices import UNKNOWN, age_slices, by_slice, fisher, wilson

COUNT = st.integers(0, 30)


@given(n=st.integers(1, 200), share=st.floats(0, 1), level=st.sampled_from([0.9, 0.95, 0.99]))
def test_wilson_is_scipys(n: int, share: float, level: float) -> None:
    right = round(share * n)
    expected = binomtest(right, n).proportion_ci(level, method="wilson")
    found = wilson(right, n, level)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert found.n == n


@settings(max_examples=60, deadline=None)
@given(COUNT, COUNT, COUNT, COUNT)
def test_fisher_is_scipys(a: int, b: int, c: int, d: int) -> None:
    assert fisher(a, b, c, d) == pytest.approx(fisher_exact([[a, b], [c, d]]).pvalue, abs=1e-9)


def test_ages() -> None:
    ages = [0, 17.9, 18, 39, 40, 64, 65, 79, 80, 300, None, float("nan")]
    assert age_slices(ages) == [
        *("0-17", "0-17", "18-39", "18-39", "40-64", "40-64", "65-79", "65-79", "80+", "80+", None, None)
    ]
    with pytest.raises(ValueError, match="got -1"):
        age_slices([-1])
    with pytest.raises(ValueError, match="ascend"):
        age_slices([1], (40, 18))


def test_slices_of_right_and_wrong() -> None:
    site = ["A"] * 40 + ["B"] * 60 + ["C"] * 5 + [None] * 10
    right = [1] * 38 + [0] * 2 + [1] * 30 + [0] * 30 + [1] * 5 + [1] * 10
    a, b, c, unknown = by_slice({"site": site}, right)
    assert [one.name for one in (a, b, c, unknown)] == ["A", "B", "C", UNKNOWN]
    assert (a.estimate.value, a.estimate.n, a.rest) == (0.95, 40, 45 / 75)
    assert a.difference == pytest.approx(0.35)
    assert a.p_value == pytest.approx(fisher_exact([[38, 2], [45, 30]]).pvalue)
    assert b.p_value == pytest.approx(fisher_exact([[30, 30], [53, 2]]).pvalue)
    assert a.adjusted == pytest.approx(max(a.p_value or 0, 2 * (b.p_value or 0)))
    assert a.differs()
    assert c.small
    assert (c.p_value, c.adjusted) == (None, None)
    assert not c.differs()
    assert unknown.p_value is None
    assert not b.small
    assert "site=C" in str(c)
    assert "small" in str(c)


def test_two_slices_are_one_test() -> None:
    sex, right = ["f", "m"] * 50, [1, 1, 1, 0] * 25
    f, m = by_slice({"sex": sex}, right)
    assert f.p_value == m.p_value == f.adjusted == m.adjusted
    both = by_slice({"sex": sex, "half": ["x"] * 50 + ["y"] * 50}, right)
    assert both[0].adjusted == pytest.approx(min(1, 2 * (f.p_value or 0)))


def test_other_scores_are_permuted() -> None:
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(0, 1, 30), rng.normal(0.6, 1, 40)])
    one, two = by_slice({"k": ["x"] * 30 + ["y"] * 40}, scores, n_resamples=4000)
    expected = permutation_test(
        (scores[:30], scores[30:]),
        lambda a, b: abs(a.mean() - b.mean()),
        alternative="greater",
        n_resamples=4000,
        rng=1,
    ).pvalue
    assert one.p_value == pytest.approx(expected, abs=0.02)
    assert one.p_value == two.p_value
    assert one.estimate.low < scores[:30].mean() < one.estimate.high


def test_groups_widen_intervals_and_tests() -> None:
    rng = np.random.default_rng(1)
    patients = np.repeat(np.arange(12), 20)
    right = np.repeat(rng.integers(0, 2, 12), 20)
    site = np.where(patients < 6, "A", "B").tolist()
    alone = by_slice({"site": site}, right)[0]
    grouped = by_slice({"site": site}, right, groups=patients.tolist())[0]
    assert grouped.estimate.groups == 6
    assert grouped.estimate.high - grouped.estimate.low > 2 * (alone.estimate.high - alone.estimate.low)
    assert (grouped.p_value or 0) > (alone.p_value or 0)


def test_no_difference_is_rarely_found() -> None:
    found = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        made = by_slice({"site": rng.choice(list("ABC"), 120).tolist()}, rng.integers(0, 2, 120))
        found += any(one.differs() for one in made)
    assert found <= 18  # 10 expected at most; 18 or fewer with probability .995


def test_one_slice_has_no_rest() -> None:
    (only,) = by_slice({"site": ["A"] * 30}, [1, 0] * 15)
    assert math.isnan(only.rest)
    assert only.p_value is None


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="one length"):
        by_slice({"site": ["A"]}, [1, 0])
    with pytest.raises(ValueError, match="finite"):
        by_slice({"site": ["A", "B"]}, [1, math.nan])
    with pytest.raises(ValueError, match="between 0 and n=3"):
        wilson(4, 3)
