import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radrag.calibration import conformal_set, conformal_threshold


def test_threshold_by_hand() -> None:
    # n = 9, alpha = .2: rank floor(10 * .2) = 2, the second smallest.
    given_ = [0.9, 0.8, 0.1, 0.95, 0.4, 0.7, 0.6, 0.99, 0.5]
    assert conformal_threshold(given_, 0.2) == 0.4
    assert conformal_threshold(given_, 0.1) == 0.1


def test_threshold_is_the_usual_quantile_of_one_minus_p() -> None:
    # The textbook form: the ceil((n + 1)(1 - alpha))-th smallest score 1 - p.
    p = np.random.default_rng(0).uniform(size=137)
    for percent in (5, 10, 20, 30, 50):
        rank = -(-138 * (100 - percent) // 100)
        assert conformal_threshold(p, percent / 100) == pytest.approx(1 - np.sort(1 - p)[rank - 1])


def test_rounding_of_alpha_costs_no_rank() -> None:
    assert conformal_threshold(np.arange(1, 10) / 10, 0.3) == pytest.approx(0.3)  # 10 * .3 must be rank 3


def test_too_few_notes_admit_every_label() -> None:
    assert conformal_threshold([0.9, 0.9], 0.1) == 0.0
    assert conformal_set([0.7, 0.0, 0.3], 0.0) == (0, 2, 1)


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3])
def test_coverage_is_what_was_asked(alpha: float) -> None:
    rng = np.random.default_rng(1)
    labels, trials, n = 6, 400, 99
    covered = []
    for _ in range(trials):
        logits = rng.normal(size=(n + 20, labels)) * 2
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        # The truth follows a flatter law than p says: p is over-confident, the sets must hold all the same.
        flat = np.exp(logits / 2) / np.exp(logits / 2).sum(axis=1, keepdims=True)
        true = (flat.cumsum(axis=1) > rng.uniform(size=(n + 20, 1))).argmax(axis=1)
        threshold = conformal_threshold(p[np.arange(n), true[:n]], alpha)
        covered += [true[row] in conformal_set(p[row], threshold) for row in range(n, n + 20)]
    assert np.mean(covered) >= 1 - alpha - 0.01
    assert np.mean(covered) <= 1 - alpha + 0.03  # least ambiguous: no more than needed


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.floats(0, 2))
def test_set_is_never_empty_and_ordered(probabilities: list[float], threshold: float) -> None:
    found = conformal_set(probabilities, threshold)
    values = [probabilities[place] for place in found]
    assert found
    assert values == sorted(values, reverse=True)
    assert values[0] == max(probabilities)
    left_out = set(range(len(probabilities))) - set(found)
    assert all(probabilities[place] < threshold for place in left_out)


def test_errors_name_the_value() -> None:
    with pytest.raises(ValueError, match="alpha must lie between 0 and 1, got 1"):
        conformal_threshold([0.5], 1)
    with pytest.raises(ValueError, match=r"between 0 and 1, got 1\.5"):
        conformal_threshold([1.5], 0.1)
    with pytest.raises(ValueError, match="got nan"):
        conformal_threshold([np.nan], 0.1)
    with pytest.raises(ValueError, match="at least 1"):
        conformal_threshold([], 0.1)
    with pytest.raises(ValueError, match="at least 1 finite"):
        conformal_set([], 0.1)
