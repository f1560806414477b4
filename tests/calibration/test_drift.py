"""The drift test: its kernel statistic against loops, its level on exchangeable notes, its power on shifted ones."""

import numpy as np
import pytest

from radrag.calibration import Sample, drift, kernel_test
from radrag.calibration import drift as drift_of


def sample(n: int, seed: int, shift: float = 0.0, sure: float = 4.0) -> Sample:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, 8)).astype(np.float32)
    vectors[:, 0] += shift
    return Sample(vectors, rng.beta(sure, 2, size=n))


def test_the_statistic_by_loops() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(6, 3)), rng.normal(size=(4, 3)) + 1
    rows = [*one, *other]
    squared = [((a - b) ** 2).sum() for i, a in enumerate(rows) for b in rows[i + 1 :]]
    width = np.median(squared)

    def mean(left: np.ndarray, right: np.ndarray) -> float:
        return float(np.mean([np.exp(-((a - b) ** 2).sum() / width) for a in left for b in right]))

    expected = mean(one, one) + mean(other, other) - 2 * mean(one, other)
    assert kernel_test(one, other, 9, 0)[0] == pytest.approx(expected)


def test_p_is_that_of_all_deals() -> None:
    # 3 and 3 rows can be dealt in 20 ways; the two that split them as they are have the largest statistic.
    one, other = np.asarray([[0.0], [0.1], [0.2]]), np.asarray([[5.0], [5.1], [5.2]])
    assert kernel_test(one, other, 4000, 0)[1] == pytest.approx(2 / 20, abs=0.02)


def test_exchangeable_notes_rarely_drift() -> None:
    fired = sum(drift(sample(80, 2 * seed), sample(60, 2 * seed + 1), level=0.05).drifted for seed in range(60))
    assert fired <= 7  # of 60 at the level .05: more has a chance below 2 %


@pytest.mark.parametrize(("what", "change"), [("embedding", {"shift": 1.5}), ("confidence", {"sure": 1.2})])
def test_each_kind_of_shift_is_found_and_named(what: str, change: dict[str, float]) -> None:
    found = drift(sample(100, 0), sample(80, 1, **change))
    assert found.drifted
    assert found.what == what
    assert found.p == min(found.parts.values()) == found.parts[what]
    assert found.parts[what] < 0.01
    assert found.n == 80
    assert all(p > 0.01 for name, p in found.parts.items() if name != what)


def test_notes_that_are_surer_than_expected_are_no_drift() -> None:
    assert not drift(sample(100, 0, sure=2.0), sample(100, 1, sure=8.0)).drifted


def test_same_seed_same_p_and_large_samples_are_thinned() -> None:
    one, other = sample(1200, 0), sample(900, 1)
    assert drift(one, other, seed=3) == drift_of(one, other, seed=3)
    assert "do not differ" in str(drift(one, other))


def test_one_note_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="at least 2 notes on each side, got 5 and 1"):
        drift(sample(5, 0), sample(1, 0))
