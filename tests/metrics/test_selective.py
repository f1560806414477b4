"""Risk against coverage, by hand and by brute force."""

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import beta

from radrag.metrics.selective import aurc, risk_coverage

SURE, RIGHT = [0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0]


def test_aurc_by_hand() -> None:
    assert aurc(SURE, RIGHT) == pytest.approx((0 + 1 / 2 + 1 / 3 + 2 / 4) / 4)


def test_ties_count_as_the_mean_of_their_orders() -> None:
    sure, right = [0.9, 0.5, 0.5, 0.5, 0.1], [1, 0, 1, 1, 0]
    areas = []
    for order in permutations([1, 2, 3]):
        wrong = np.cumsum([1 - right[place] for place in (0, *order, 4)])
        areas.append((wrong / np.arange(1, 6)).mean())
    assert aurc(sure, right) == pytest.approx(np.mean(areas))


def test_no_skill_is_the_share_of_errors() -> None:
    assert aurc([0.5] * 10, [1] * 7 + [0] * 3) == pytest.approx(0.3)


def test_rows_by_hand() -> None:
    half, whole = risk_coverage(SURE, RIGHT, (0.5, 1.0))
    assert (half.n, half.threshold, half.risk) == (2, 0.8, 0.5)
    assert (whole.n, whole.threshold, whole.risk) == (4, 0.6, 0.5)
    # Clopper and Pearson, by the quantiles of the beta distribution.
    assert (whole.low, whole.high) == pytest.approx((beta.ppf(0.025, 2, 3), beta.ppf(0.975, 3, 2)))


def test_items_as_confident_as_the_last_are_kept() -> None:
    (row,) = risk_coverage([0.9, 0.5, 0.5, 0.5], [1, 0, 0, 1], (0.5,))
    assert (row.n, row.risk) == (4, 0.5)


def test_errors_name_the_value() -> None:
    with pytest.raises(ValueError, match="at most 1, got 0"):
        risk_coverage(SURE, RIGHT, (0,))
    with pytest.raises(ValueError, match="level must lie between 0 and 1, got 95"):
        risk_coverage(SURE, RIGHT, level=95)
    with pytest.raises(ValueError, match="length"):
        aurc([0.5], [1, 0])
