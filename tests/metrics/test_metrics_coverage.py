"""How often a 95 % interval holds the truth, in simulations whose truth is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from radrag.metrics import auroc, bootstrap, bootstrap_statistic, paired_bootstrap

Draw = Callable[[np.random.Generator], np.ndarray]

# What is scored in this package, at the sizes of its smaller slices: name → a draw of scores, and their true mean.
SCORES: dict[str, tuple[Draw, float]] = {
    "normal, 30": (lambda rng: rng.normal(0.3, 1.0, 30), 0.3),
    "normal, 80": (lambda rng: rng.normal(0.3, 1.0, 80), 0.3),
    "85 % right of 100": (lambda rng: (rng.random(100) < 0.85).astype(float), 0.85),
    "92 % right of 250": (lambda rng: (rng.random(250) < 0.92).astype(float), 0.92),
    "overlap scores, 60": (lambda rng: rng.beta(0.6, 2.4, 60), 0.2),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SCORES)
def test_the_interval_covers_the_truth(name: str) -> None:
    # 1500 simulations: the standard error of a coverage of 0.95 is 0.0056, so 0.93 to 0.97 is 3.5 of them.
    draw, truth = SCORES[name]
    rng = np.random.default_rng(7)
    results = [bootstrap(draw(rng), n_resamples=400, seed=seed) for seed in range(1500)]
    assert 0.93 < np.mean([result.low <= truth <= result.high for result in results]) < 0.97


@pytest.mark.slow
def test_the_paired_interval_covers_the_difference() -> None:
    # Better on 15 % of items, worse on 5 %: the true difference is 0.1.
    rng = np.random.default_rng(9)
    covered = 0
    for seed in range(1500):
        outcome = rng.choice(3, p=[0.15, 0.05, 0.8], size=150)
        result = paired_bootstrap(outcome == 0, outcome == 1, n_resamples=400, seed=seed)
        covered += result.low <= 0.1 <= result.high
    assert 0.93 < covered / 1500 < 0.97


@pytest.mark.slow
def test_the_clustered_interval_covers_the_truth_where_the_plain_one_does_not() -> None:
    # 40 documents with 1 to 9 questions; half of the variance lies between documents. The plain interval ignores that:
    # the mean of 200 items in groups of some 5 to 6 weighted has about 3.2 times the variance, so it covers some 0.73.
    rng = np.random.default_rng(8)
    covered, plain = 0, 0
    for seed in range(1500):
        names = np.repeat(np.arange(40), rng.integers(1, 10, 40))
        values = rng.normal(size=40)[names] + rng.normal(size=len(names))
        result = bootstrap(values, n_resamples=500, seed=seed, groups=names)
        covered += result.low <= 0 <= result.high
        if seed < 400:
            result = bootstrap(values, n_resamples=300, seed=seed)
            plain += result.low <= 0 <= result.high
    assert 0.93 < covered / 1500 < 0.97
    assert plain / 400 < 0.85


@pytest.mark.slow
def test_the_interval_of_a_statistic_covers_the_truth() -> None:
    # Scores of positives and negatives 1 apart, both of variance 1: AUROC is Phi(1 / sqrt(2)) = 0.76025.
    rng = np.random.default_rng(10)
    true = np.repeat([0, 1], 50)
    covered = 0
    for seed in range(300):
        result = bootstrap_statistic((true, rng.normal(size=100) + true), auroc, n_resamples=200, seed=seed)
        covered += result.low <= 0.76025 <= result.high
    # 300 simulations: a standard error of 0.0126.
    assert 0.92 < covered / 300 < 0.98
