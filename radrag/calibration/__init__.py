"""From scores to probabilities that mean something, sets and thresholds that hold, and whether they still do."""

from __future__ import annotations

from radrag.calibration.conformal import LabelThresholds, conformal_set, conformal_threshold, label_thresholds
from radrag.calibration.drift import Drift, Sample, drift, kernel_test
from radrag.calibration.isotonic import Curve, fit_isotonic
from radrag.calibration.pooling import apply_pool, fit_pool
from radrag.calibration.risk import RiskThreshold, risk_threshold

__all__ = [
    "Curve",
    "Drift",
    "LabelThresholds",
    "RiskThreshold",
    "Sample",
    "apply_pool",
    "conformal_set",
    "conformal_threshold",
    "drift",
    "fit_isotonic",
    "fit_pool",
    "kernel_test",
    "label_thresholds",
    "risk_threshold",
]
