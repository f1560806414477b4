import math

import numpy as np
import pytest
from numpy.typing import ArrayLike

from radrag.calibration import apply_pool, fit_pool


def test_pool_by_hand() -> None:
    scores = np.log([[[0.8, 0.2]], [[0.5, 0.5]], [[0.1, 0.9]]])
    # 0.8^2 * 0.1 : 0.2^2 * 0.9 = 0.064 : 0.036
    assert apply_pool(scores, [2, 5, 1])[0] == pytest.approx([0.64, 0.36])
    assert apply_pool(scores, [0, 0, 0])[0] == pytest.approx([0.5, 0.5])


def test_one_scorer_becomes_its_temperature() -> None:
    # A scorer with log-odds 3 for its choice, right 75 times in 100: its weight must make 0.75 of it, up to the
    # smoothing of 1 / (n + 2).
    n, right = 100, 75
    scores = np.zeros((1, n, 2))
    scores[0, :, 0] = 3
    true = np.asarray([0] * right + [1] * (n - right))
    share = (right * (1 - 1 / (n + 2)) + (n - right) / (n + 2)) / n
    weight = fit_pool(scores, true)
    assert weight[0] == pytest.approx(math.log(share / (1 - share)) / 3, rel=1e-4)
    assert apply_pool(scores, weight)[0, 0] == pytest.approx(share, rel=1e-4)


def test_weights_match_a_grid() -> None:
    rng = np.random.default_rng(3)
    scores = np.log(rng.dirichlet(np.ones(4), size=(2, 60)))
    true = (scores[0] * 2 + scores[1] * 0.5 + rng.gumbel(size=(60, 4))).argmax(axis=1)
    targets = np.full((60, 4), 1 / 62 / 3)
    targets[np.arange(60), true] = 1 - 1 / 62

    def loss(weights: ArrayLike) -> float:
        return float(-(targets * np.log(apply_pool(scores, weights))).sum(axis=1).mean())

    found = fit_pool(scores, true)
    grid = [(a, b) for a in np.linspace(0, 4, 41) for b in np.linspace(0, 4, 41)]
    assert loss(found) <= min(map(loss, grid)) + 1e-9


def test_a_scorer_that_misleads_gets_no_weight() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, size=200)
    good, bad = np.full((200, 3), -2.0), np.full((200, 3), -1.0)
    rows = np.arange(200)
    good[rows, true] = -0.5
    bad[rows, true] = -3.0
    weights = fit_pool(np.stack([good + rng.normal(size=good.shape), bad]), true)
    assert weights[0] > 0.5
    assert weights[1] == 0
    assert fit_pool(bad[None], true)[0] == 0


def test_always_right_is_not_certain() -> None:
    scores = np.zeros((1, 20, 3))
    scores[0, :, 1] = 5
    p = apply_pool(scores, fit_pool(scores, np.ones(20, dtype=int)))
    assert p[0, 1] == pytest.approx(1 - 1 / 22, abs=1e-3)


def test_same_input_same_weights_and_input_untouched() -> None:
    scores = np.log(np.random.default_rng(5).dirichlet(np.ones(5), size=(3, 40)))
    kept = scores.copy()
    true = np.arange(40) % 5
    assert (fit_pool(scores, true) == fit_pool(scores, true)).all()
    assert (scores == kept).all()


def test_order_of_scorers_does_not_matter() -> None:
    scores = np.log(np.random.default_rng(6).dirichlet(np.ones(5), size=(3, 40)))
    true = scores[1].argmax(axis=1)
    one, other = fit_pool(scores, true), fit_pool(scores[::-1], true)
    assert apply_pool(scores, one) == pytest.approx(apply_pool(scores[::-1], other), abs=1e-3)


def test_errors_name_the_value() -> None:
    with pytest.raises(ValueError, match="must be finite"):
        fit_pool(np.full((1, 2, 2), -np.inf), np.zeros(2, dtype=int))
    with pytest.raises(ValueError, match=r"\[scorers, n, labels\]"):
        fit_pool(np.zeros((2, 2)), np.zeros(2, dtype=int))
    with pytest.raises(ValueError, match="position for each of 2 notes"):
        fit_pool(np.zeros((1, 2, 2)), np.zeros(3, dtype=int))
    with pytest.raises(ValueError, match="got 2 of 2 labels"):
        fit_pool(np.zeros((1, 2, 2)), np.asarray([0, 2]))
    with pytest.raises(ValueError, match="at least 0"):
        apply_pool(np.zeros((1, 2, 2)), [-1.0])
