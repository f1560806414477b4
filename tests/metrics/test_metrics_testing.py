"""Sign-flip and sign tests against enumeration and scipy, Holm against its definition."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from scipy.stats import permutation_test as scipy_permutation_test

from radrag.metrics import mcnemar
from radrag.metrics.testing import PermutationTest, SignTest, holm, permutation_test, sign_test


def enumerated(differences: np.ndarray) -> float:
    """List every pattern of signs."""
    observed = abs(differences.sum())
    sums = [abs(np.dot(signs, differences)) for signs in product((1, -1), repeat=len(differences))]
    return float(np.mean([value >= observed - 1e-9 for value in sums]))


def test_permutation_by_hand() -> None:
    # Differences 1, 1, 1: of 8 patterns, +++ and --- are as far from 0: 2/8.
    assert permutation_test([1, 1, 1], [0, 0, 0]) == PermutationTest(1.0, 0.25, 3, 3, exact=True)
    # 0.2 and 0.1 (0.3 together): ++ and -- of 4.
    made = permutation_test([0.2, 0.1], [0.0, 0.0])
    assert (made.p_value, made.exact) == (0.5, True)
    assert permutation_test([0.5, 1.0], [0.5, 1.0]) == PermutationTest(0.0, 1.0, 2, 2, exact=True)


def test_groups_flip_together() -> None:
    # Two groups of sums 2 and 1: ++ and -- of 4 patterns; item by item it would be 2 of 8.
    made = permutation_test([1, 1, 1], [0, 0, 0], groups=["a", "a", "b"])
    assert made == PermutationTest(1.0, 0.5, 3, 2, exact=True)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9))
@settings(max_examples=50, deadline=None)
def test_whole_numbers_are_folded_exactly(differences: list[int]) -> None:
    values = np.array(differences, dtype=float)
    made = permutation_test(values, np.zeros(len(values)))
    assert made.p_value == pytest.approx(enumerated(values), abs=1e-9)
    assert made.exact


@given(st.lists(st.sampled_from([-0.3, -0.1, 0.1, 0.2, 0.7]), min_size=1, max_size=9))
@settings(max_examples=50, deadline=None)
def test_few_fractions_are_listed_exactly(differences: list[float]) -> None:
    values = np.array(differences)
    made = permutation_test(values, np.zeros(len(values)))
    assert made.p_value == pytest.approx(enumerated(values), abs=1e-9)


def test_exact_agrees_with_scipy() -> None:
    rng = np.random.default_rng(2)
    system, baseline = rng.normal(0.4, 1, 10), rng.normal(0, 1, 10)
    theirs = scipy_permutation_test(
        (system, baseline), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf
    )
    assert permutation_test(system, baseline).p_value == pytest.approx(theirs.pvalue, abs=1e-9)


def test_of_right_and_wrong_it_is_mcnemar() -> None:
    rng = np.random.default_rng(3)
    for _ in range(100):
        system, baseline = rng.integers(0, 2, size=(2, 300))
        assert permutation_test(system, baseline).p_value == pytest.approx(mcnemar(system, baseline).p_value, abs=1e-9)


def test_drawn_patterns_come_near_the_exact_ones() -> None:
    # 20 fractions of whole numbers: the same test in hundredths is exact.
    rng = np.random.default_rng(4)
    hundredths = rng.integers(-40, 60, size=20)
    exact = permutation_test(hundredths, np.zeros(20))
    drawn = permutation_test(hundredths / 100, np.zeros(20), n_resamples=20_000, seed=1)
    assert (exact.exact, drawn.exact, drawn.resamples) == (True, False, 20_000)
    # Standard error at most 0.5 / sqrt(20000) = 0.0035.
    assert drawn.p_value == pytest.approx(exact.p_value, abs=0.015)
    assert drawn == permutation_test(hundredths / 100, np.zeros(20), n_resamples=20_000, seed=1)


def test_a_drawn_p_is_never_0() -> None:
    assert permutation_test(np.full(60, 0.1), np.zeros(60), n_resamples=99).p_value == 0.01


def test_sign_test_by_hand() -> None:
    # 4 better, 1 worse, 1 equal: 2 * (C(5,0) + C(5,1)) / 32 = 12/32.
    made = sign_test([1, 1, 1, 1, 0, 5], [0, 0, 0, 0, 1, 5])
    assert made == SignTest(4, 1, 1, pytest.approx(12 / 32))
    assert sign_test([1, 2], [1, 2]) == SignTest(0, 0, 2, 1.0)
    # Groups: a is 2 - 1 better, b is worse.
    assert sign_test([3, 0, 0], [1, 1, 1], groups=list("aab")) == SignTest(1, 1, 0, 1.0)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40))
def test_sign_test_is_binomial(items: list[tuple[int, int]]) -> None:
    made = sign_test(*zip(*items, strict=True))
    assert made.better + made.worse + made.equal == len(items)
    if made.better + made.worse:
        assert made.p_value == pytest.approx(binomtest(made.better, made.better + made.worse).pvalue)


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1: 0.04, 0.06, 0.06, 0.04, which must not fall: 0.06 last.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]).tolist() == [1.0, 1.0]
    assert holm([0.2]).tolist() == [0.2]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.5))
def test_holm_rejects_step_by_step(p_values: list[float], alpha: float) -> None:
    # The procedure as published: go up from the smallest, stop at the first that is not small enough.
    rejected = set()
    for step, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if (len(p_values) - step) * p_values[index] > alpha:
            break
        rejected.add(index)
    assert set(np.flatnonzero(holm(p_values) <= alpha)) == rejected


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: permutation_test([], []), "non-empty"),
        (lambda: permutation_test([1.0], [1.0, 2.0]), "system 1, baseline 2"),
        (lambda: permutation_test([1.0], [2.0], n_resamples=0), "n_resamples must be at least 1"),
        (lambda: permutation_test([1.0], [2.0], groups=["a", "b"]), "items 1, groups 2"),
        (lambda: sign_test([float("nan")], [1.0]), "finite"),
        (lambda: holm([]), "non-empty"),
        (lambda: holm([1.5]), "got 1.5"),
    ],
)
def test_unusable_arguments(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
