"""The isotonic curve against scikit-learn, thresholds for each label, and abstention against its promise."""

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.isotonic import IsotonicRegression

from radrag.calibration import conformal_set, conformal_threshold, fit_isotonic, label_thresholds, risk_threshold
from radrag.calibration.risk import upper_bound


def drawn(n: int, seed: int, labels: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are too sure, and labels drawn from flatter ones."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, labels)) * 3
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    flat = np.exp(logits / 3) / np.exp(logits / 3).sum(axis=1, keepdims=True)
    return p, (flat.cumsum(axis=1) > rng.uniform(size=(n, 1))).argmax(axis=1)


def test_the_curve_is_the_one_of_sklearn() -> None:
    p, true = drawn(300, 0)
    curve = fit_isotonic(p, true)
    hits = np.eye(5)[true]
    reference = IsotonicRegression(out_of_bounds="clip").fit(p.ravel(), hits.ravel())
    fresh, _ = drawn(50, 1)
    found = np.interp(fresh, curve.given, curve.calibrated)
    assert found == pytest.approx(reference.predict(fresh.ravel()).reshape(fresh.shape), abs=1e-9)


def test_the_curve_keeps_the_order_and_repairs_confidence() -> None:
    p, true = drawn(2000, 2)
    curve = fit_isotonic(p, true)
    fresh, truth = drawn(2000, 3)
    found = curve(fresh)
    assert found.sum(axis=1) == pytest.approx(np.ones(2000))
    assert (np.argsort(found, axis=1) == np.argsort(fresh, axis=1)).all()
    right = (fresh.argmax(axis=1) == truth).mean()
    assert fresh.max(axis=1).mean() - right > 0.15
    assert found.max(axis=1).mean() == pytest.approx(right, abs=0.04)


def test_errors_of_the_curve() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        fit_isotonic([[1.5, 0.1]], [0])
    with pytest.raises(ValueError, match="position below 2"):
        fit_isotonic([[0.5, 0.5]], [2])


def test_thresholds_by_label_by_hand() -> None:
    given = np.asarray([0.9, 0.8, 0.7, 0.6, 0.5, 0.1, 0.2])
    true = np.asarray([0, 0, 0, 0, 2, 2, 2])
    found = label_thresholds(given, true, 3, 0.2)
    # Label 0: (4 + 1) * .2 = rank 1, its lowest. Label 2 has 3 notes: rank 0, so the one of all 7: rank 1 of 8 * .2.
    assert found.thresholds.tolist() == [0.6, 0.1, 0.1]
    assert found.own.tolist() == [True, False, False]
    assert conformal_set([0.5, 0.05, 0.45], found.thresholds) == (2,)
    assert conformal_set([0.5, 0.05, 0.06], found.thresholds) == (0,)  # none reaches its own: the most probable


def test_every_label_is_covered_alike() -> None:
    # Label 0 is easy and label 1 hard: one threshold covers the hard one too rarely, its own does not.
    rng = np.random.default_rng(5)
    marginal, own, alpha = [], [], 0.1
    for _ in range(120):
        true = rng.permutation(np.repeat([0, 0, 0, 1], 50))
        p = np.where(true == 0, rng.beta(8, 2, 200), rng.beta(3, 4, 200))
        cut = conformal_threshold(p[:100], alpha)
        each = label_thresholds(p[:100], true[:100], 2, alpha)
        hard = p[100:][true[100:] == 1]
        marginal.append((hard >= cut).mean())
        own.append((hard >= each.thresholds[1]).mean())
    assert np.mean(marginal) < 0.85
    assert np.mean(own) >= 1 - alpha - 0.01


def test_errors_of_label_thresholds() -> None:
    with pytest.raises(ValueError, match="position for each of 2"):
        label_thresholds([0.1, 0.2], [0], 2, 0.1)
    with pytest.raises(ValueError, match="positions below 2"):
        label_thresholds([0.1, 0.2], [0, 2], 2, 0.1)
    with pytest.raises(ValueError, match="one for each label"):
        conformal_set([0.1, 0.9], [0.1, 0.2, 0.3])


@pytest.mark.parametrize(("wrong", "n"), [(0, 45), (3, 100), (20, 21)])
def test_the_bound_is_the_one_of_clopper_and_pearson(wrong: int, n: int) -> None:
    # By definition: at the bound, so few errors have just the chance delta.
    assert binom.cdf(wrong, n, upper_bound(wrong, n, 0.1)) == pytest.approx(0.1)


def test_bound_of_nothing_is_one() -> None:
    assert upper_bound(0, 0, 0.1) == upper_bound(5, 5, 0.1) == 1.0


def test_risk_is_kept_as_often_as_promised() -> None:
    # Errors are rarer where confidence is high, and confidences lie; the true risk above a threshold is known.
    rng = np.random.default_rng(7)
    wide = np.sort(rng.uniform(size=200_000))
    chance = 0.35 * (1 - wide)  # of an error
    above = np.cumsum(chance[::-1])[::-1] / np.arange(len(wide), 0, -1)
    broken, used = 0, 0
    for _ in range(300):
        sure = rng.uniform(size=600)
        right = rng.uniform(size=600) > 0.35 * (1 - sure)
        found = risk_threshold(sure, right, 0.1, 0.2)
        assert found.coverage == pytest.approx((sure > found.threshold).mean())
        if found.threshold < 1:
            used += 1
            broken += above[np.searchsorted(wide, found.threshold)] > 0.1
    assert used > 200
    assert broken <= 0.2 * 300


def test_nothing_safe_labels_nothing_and_all_safe_labels_all() -> None:
    rng = np.random.default_rng(0)
    sure = rng.uniform(size=400)
    none = risk_threshold(sure, np.zeros(400), 0.05)
    assert (none.threshold, none.coverage, none.bound) == (1.0, 0.0, 1.0)
    everything = risk_threshold(sure, np.ones(400), 0.05)
    assert (everything.threshold, everything.coverage) == (0.0, 1.0)
    assert everything.bound < 0.05
    assert risk_threshold(sure[:20], np.ones(20), 0.05).coverage == 0  # 20 right of 20 do not show 5 %


def test_errors_of_risk() -> None:
    with pytest.raises(ValueError, match="risk must lie between 0 and 1, got 0"):
        risk_threshold([0.5], [1], 0)
    with pytest.raises(ValueError, match="0 or 1, got 2"):
        risk_threshold([0.5], [2], 0.1)
    with pytest.raises(ValueError, match="lists of one length"):
        risk_threshold([0.5, 0.6], [1], 0.1)
    with pytest.raises(ValueError, match=r"between 0 and 1, got 7\.0"):
        risk_threshold([7.0], [1], 0.1)
