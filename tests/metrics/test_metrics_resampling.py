"""Intervals and tests against exact distributions, scipy, simulations, and properties."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import comb
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from radrag.metrics import Estimate, McNemar, auroc, bootstrap, bootstrap_statistic, f1, mcnemar, paired_bootstrap
from radrag.metrics import resampling as module

columns = st.lists(st.floats(-100, 100), min_size=2, max_size=40)


def slow_mean(values: np.ndarray) -> float:
    return float(values.mean())


def test_estimate_prints_value_interval_and_n() -> None:
    assert str(Estimate(0.8123, 0.79, 0.8329, 409)) == "0.812 [0.790, 0.833] (n=409)"
    full = Estimate(0.5, 0.4, 0.6, 20, level=0.9, groups=7, undefined=3)
    assert str(full) == "0.500 [0.400, 0.600] (n=20 in 7 groups, 0.9 interval, 3 resamples undefined)"


def test_bootstrap_of_two_values_is_the_exact_distribution() -> None:
    # Resamples of (0, 1): 00, 01, 10, 11, so means 0, 1/2, 1 with probabilities 1/4, 1/2, 1/4.
    assert bootstrap([0.0, 1.0]) == Estimate(0.5, 0.0, 1.0, 2)
    # Level 0.1 of 2 values: Student's t of 1 degree at 0.45 is tan(-0.05 pi) = -0.158, times sqrt(2) -0.224, which is
    # level 0.411 of the normal distribution: from 0.411 to 0.589 there is 1/2 only.
    assert bootstrap([0.0, 1.0], level=0.1) == Estimate(0.5, 0.5, 0.5, 2, level=0.1)
    # Level 0.4 of 2: tan(-0.2 pi) = -0.727, times sqrt(2) -1.027, level 0.152, below the 1/4 that 0 holds.
    assert bootstrap([0.0, 1.0], level=0.4) == Estimate(0.5, 0.0, 1.0, 2, level=0.4)


def test_bootstrap_matches_the_normal_interval() -> None:
    # Mean of 400 values, half of them 1: standard error 0.5 / sqrt(400) = 0.025, so 0.5 -+ 1.96 * 0.025 = 0.451, 0.549.
    result = bootstrap([0, 1] * 200, n_resamples=20_000)
    assert (result.low, result.high) == (pytest.approx(0.451, abs=0.004), pytest.approx(0.549, abs=0.004))


@pytest.mark.parametrize(("n", "wider"), [(12, 1.1729), (30, 1.0613), (409, 1.0042)])
def test_the_interval_is_widened_for_few_items(n: int, wider: float) -> None:
    # sqrt(n / (n - 1)) * t(n - 1) / 1.95996, with t from a table: 2.2010, 2.0452, 1.9658. The mean of n normal values
    # that are spread evenly is nearly normal, so the interval widens by that factor.
    values = norm.ppf((np.arange(n) + 0.5) / n)
    result = bootstrap(values, n_resamples=40_000)
    spread = values.std() / np.sqrt(n)
    assert (result.high - result.low) / (2 * 1.95996 * spread) == pytest.approx(wider, rel=0.02)


def test_the_mean_is_the_same_by_either_path() -> None:
    values = np.random.default_rng(3).normal(size=30)
    names = np.arange(30) // 4
    for groups in (None, names):
        fast = bootstrap(values, n_resamples=300, seed=5, groups=groups)
        slow = bootstrap(values, slow_mean, n_resamples=300, seed=5, groups=groups)
        assert (fast.value, fast.low, fast.high) == pytest.approx((slow.value, slow.low, slow.high))
        assert (fast.n, fast.groups) == (slow.n, slow.groups)


def test_memory_blocks_do_not_change_which_groups_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 10)
    result = bootstrap(np.arange(7.0), n_resamples=500)
    assert result.low < 3 < result.high
    assert bootstrap(np.arange(7.0), n_resamples=500) == result


def test_other_statistics() -> None:
    # The median of (1, 2, 3) resampled is 1, 2 or 3, with 7/27 for either end: 95 % reaches from 1 to 3.
    assert bootstrap([1, 2, 3], np.median) == Estimate(2.0, 1.0, 3.0, 3)


def test_groups_are_drawn_whole() -> None:
    # Two groups, all 0 and all 1: a resample is one twice or both, so means are 0, 1/2 or 1 whatever the groups' size.
    values = [0.0] * 50 + [1.0] * 50
    names = ["a"] * 50 + ["b"] * 50
    assert bootstrap(values, groups=names) == Estimate(0.5, 0.0, 1.0, 100, groups=2)
    assert bootstrap(values).high < 0.7


def test_groups_of_unequal_size_keep_the_mean_of_items() -> None:
    # Groups (0) and (1, 1): resamples aa, ab, ba, bb have item means 0, 2/3, 2/3, 1.
    seen = set()

    def record(values: np.ndarray) -> float:
        seen.add((len(values), round(float(values.mean()), 3)))
        return float(values.mean())

    result = bootstrap([1.0, 0.0, 1.0], record, groups=["b", "a", "b"])
    assert seen == {(2, 0.0), (3, 0.667), (4, 1.0)}
    assert result == Estimate(pytest.approx(2 / 3), 0.0, 1.0, 3, groups=2)


def test_groups_of_one_item_change_nothing_but_the_count() -> None:
    values = np.random.default_rng(0).random(20)
    alone, grouped = bootstrap(values), bootstrap(values, groups=range(20))
    assert (alone.low, alone.high) == (grouped.low, grouped.high)
    assert (alone.groups, grouped.groups) == (None, 20)


def test_paired_bootstrap_by_hand() -> None:
    # Differences 1, 1, 1, 1: no resample differs. Unpaired, either column alone would vary.
    assert paired_bootstrap([1, 2, 3, 4], [0, 1, 2, 3]) == Estimate(1.0, 1.0, 1.0, 4)
    # Differences 1 and 0, as in the test of two values.
    assert paired_bootstrap([1, 1], [0, 1]) == Estimate(0.5, 0.0, 1.0, 2)
    assert paired_bootstrap([1, 1, 1], [0, 1, 1], groups=list("aab")).groups == 2


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=20))
@settings(max_examples=30, deadline=None)
def test_paired_bootstrap_is_the_bootstrap_of_differences_and_mirrors(items: list[tuple[float, float]]) -> None:
    system, baseline = map(np.array, zip(*items, strict=True))
    forth = paired_bootstrap(system, baseline, n_resamples=200)
    back = paired_bootstrap(baseline, system, n_resamples=200)
    assert forth == bootstrap(system - baseline, n_resamples=200)
    assert (forth.value, forth.low, forth.high) == pytest.approx((-back.value, -back.high, -back.low), abs=1e-12)


def test_bootstrap_statistic_draws_the_same_rows_of_every_array() -> None:
    rows = np.arange(12)

    def statistic(first: np.ndarray, second: np.ndarray, names: np.ndarray) -> float:
        assert np.array_equal(first * 10, second[:, 1])
        assert names.tolist() == [f"item {i}" for i in first]
        return float(first.mean())

    names = [f"item {i}" for i in rows]
    result = bootstrap_statistic((rows, np.outer(rows, [1, 10]), names), statistic, n_resamples=50)
    assert result == bootstrap(rows, slow_mean, n_resamples=50)


def test_undefined_resamples_are_counted() -> None:
    # One positive of three: it is missing from (2/3)^3 = 8/27 of resamples, and alone in (1/3)^3 = 1/27: 1/3 undefined.
    result = bootstrap_statistic(([1, 0, 0], [0.9, 0.5, 0.1]), auroc, n_resamples=3000)
    assert result.undefined == pytest.approx(1000, abs=80)
    assert f"{result.undefined} resamples undefined" in str(result)
    assert (result.value, result.low, result.high) == (1.0, 1.0, 1.0)


def test_nan_is_undefined_too() -> None:
    def ratio(values: np.ndarray) -> float:
        return float("nan") if not values.any() else 1.0

    result = bootstrap([0.0, 1.0], ratio, n_resamples=2000)
    assert result.undefined == pytest.approx(500, abs=70)


def test_difference_of_macro_f1() -> None:
    true = ["yes", "no", "maybe"] * 40
    worse = ["yes", "no", "no"] * 40
    labels = ["yes", "no", "maybe"]
    result = bootstrap_statistic(
        (true, true, worse), lambda t, s, b: f1(t, s, labels) - f1(t, b, labels), n_resamples=200
    )
    # Worse: yes 1, no 2 * 40 / (40 + 80) = 2/3, maybe 0, so macro 5/9; the difference is 4/9.
    assert result.value == pytest.approx(4 / 9)
    assert 0.3 < result.low < 4 / 9 < result.high < 0.6


def test_an_error_that_is_not_about_values_is_passed_on() -> None:
    def broken(values: np.ndarray) -> float:
        return {(1.0, 2.0): 1.5}[tuple(values)]

    with pytest.raises(KeyError):
        bootstrap([1.0, 2.0], broken)


def test_inputs_are_left_alone_even_by_a_statistic_that_sorts() -> None:
    def greedy(values: np.ndarray) -> float:
        values.sort()
        return float(values[0])

    values = np.array([3.0, 1.0, 2.0])
    bootstrap(values, greedy, n_resamples=10)
    bootstrap_statistic((values,), greedy, n_resamples=10)
    assert values.tolist() == [3.0, 1.0, 2.0]


@given(columns, st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_interval_holds_the_mean_and_the_seed_decides(values: list[float], seed: int) -> None:
    first = bootstrap(values, n_resamples=1000, seed=seed)
    assert first == bootstrap(values, n_resamples=1000, seed=seed)
    assert first.value == np.mean(values)
    assert first.low - 1e-9 <= first.value <= first.high + 1e-9
    assert min(values) - 1e-9 <= first.low <= first.high <= max(values) + 1e-9


def test_another_seed_gives_another_interval() -> None:
    values = np.random.default_rng(0).normal(size=50)
    assert bootstrap(values, seed=1) != bootstrap(values, seed=2)


@given(columns)
@settings(max_examples=30, deadline=None)
def test_a_higher_level_is_wider(values: list[float]) -> None:
    narrow, wide = (bootstrap(values, n_resamples=200, level=level) for level in (0.8, 0.95))
    assert wide.low <= narrow.low <= narrow.high <= wide.high


@given(columns, st.floats(-10, 10))
@settings(max_examples=30, deadline=None)
def test_the_interval_moves_with_the_values(values: list[float], shift: float) -> None:
    before, after = bootstrap(values, n_resamples=200), bootstrap(np.add(values, shift), n_resamples=200)
    assert (after.low, after.high) == pytest.approx((before.low + shift, before.high + shift), abs=1e-9)


def test_mcnemar_by_hand() -> None:
    # Only the system right 1 time, only the baseline 5 times: 2 * (C(6,0) + C(6,1)) / 2^6 = 2 * 7 / 64 = 0.21875
    system = [1] * 3 + [1] * 1 + [0] * 5 + [0] * 2
    baseline = [1] * 3 + [0] * 1 + [1] * 5 + [0] * 2
    assert mcnemar(system, baseline) == McNemar(3, 1, 5, 2, pytest.approx(0.21875))


def test_mcnemar_without_a_difference() -> None:
    assert mcnemar([1, 0, 1], [1, 0, 1]) == McNemar(2, 0, 0, 1, 1.0)
    assert mcnemar([1, 0], [0, 1]).p_value == 1.0


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_exact_binomial_test(system_only: int, baseline_only: int) -> None:
    system = [1] * system_only + [0] * baseline_only + [1]
    baseline = [0] * system_only + [1] * baseline_only + [1]
    result = mcnemar(system, baseline)
    n = system_only + baseline_only
    tail = sum(comb(n, i) for i in range(min(system_only, baseline_only) + 1))
    assert result.p_value == pytest.approx(float(min(Fraction(1), Fraction(2 * tail, 2**n))), rel=1e-11)
    if n:
        assert result.p_value == pytest.approx(binomtest(system_only, n).pvalue)
    mirrored = mcnemar(baseline, system)
    assert (mirrored.p_value, mirrored.baseline_only) == (result.p_value, result.system_only)


def test_mcnemar_of_many_items() -> None:
    system = np.repeat([1, 0], [20_500, 19_500])
    assert mcnemar(system, 1 - system).p_value == pytest.approx(binomtest(20_500, 40_000).pvalue, rel=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bootstrap([]), "non-empty"),
        (lambda: bootstrap([1.0]), "at least 2 items, got 1"),
        (lambda: bootstrap([1.0, 2.0], groups=["a", "a"]), "at least 2 groups, got 1"),
        (lambda: bootstrap([1.0, 2.0], groups=["a"]), "items 2, groups 1"),
        (lambda: bootstrap([1.0, None]), "values must hold numbers"),
        (lambda: bootstrap([1.0, float("nan")]), "finite, got nan"),
        (lambda: bootstrap([1.0, 2.0], level=95), "level must lie between 0 and 1, such as 0.95, got 95"),
        (lambda: bootstrap([1.0, 2.0], n_resamples=0), "n_resamples must be at least 1, got 0"),
        (lambda: paired_bootstrap([1.0, 2.0], [1.0]), "system 2, baseline 1"),
        (lambda: bootstrap_statistic((), np.mean), "at least one array"),
        (lambda: bootstrap_statistic((1.0, 2.0), np.mean), "at least one array"),
        (lambda: bootstrap_statistic(([],), np.mean), "at least 2 rows, got 0"),
        (lambda: bootstrap_statistic(([1, 2], [1]), np.mean), "array 0 2, array 1 1"),
        (lambda: bootstrap_statistic(([1, 1], [1, 2]), auroc), "both classes"),
        (lambda: bootstrap_statistic(([1, 2],), lambda _: float("nan")), "finite on all rows, got nan"),
        (lambda: mcnemar([1, 0], [1]), "system_correct 2, baseline_correct 1"),
        (lambda: mcnemar([], []), "non-empty"),
        (lambda: mcnemar([0.5], [1]), "0 or 1, got 0.5"),
    ],
)
def test_unusable_arguments(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_a_statistic_undefined_on_every_resample() -> None:
    calls = iter([1.0])
    with pytest.raises(ValueError, match="undefined on all 20 resamples"):
        bootstrap([1.0, 2.0], lambda _: next(calls, float("nan")), n_resamples=20)
