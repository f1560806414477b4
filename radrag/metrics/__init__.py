"""Metrics: pure functions on rankings, labels, probabilities, texts and arrays, and how sure their figures are.

Nothing is averaged away: what cannot be scored raises ValueError, and the caller counts it. A per-item metric goes
through ``bootstrap`` (or ``paired_bootstrap`` against a baseline), a metric of the whole set through
``bootstrap_statistic``; each gives an ``Estimate``, which prints as ``0.812 [0.790, 0.833] (n=409)``.
"""

from __future__ import annotations

from radrag.metrics.calibration import ReliabilityBin, brier, expected_calibration_error, reliability_table
from radrag.metrics.classification import Confusion, accuracy, auroc, confusion, f1, multilabel_f1
from radrag.metrics.ranking import average_precision, hit, ndcg, precision, recall, reciprocal_rank
from radrag.metrics.resampling import (
    Estimate,
    McNemar,
    bootstrap,
    bootstrap_statistic,
    mcnemar,
    paired_bootstrap,
)
from radrag.metrics.text import exact_match, normalize_answer, token_f1

__all__ = [
    "Confusion",
    "Estimate",
    "McNemar",
    "ReliabilityBin",
    "accuracy",
    "auroc",
    "average_precision",
    "bootstrap",
    "bootstrap_statistic",
    "brier",
    "confusion",
    "exact_match",
    "expected_calibration_error",
    "f1",
    "hit",
    "mcnemar",
    "multilabel_f1",
    "ndcg",
    "normalize_answer",
    "paired_bootstrap",
    "precision",
    "recall",
    "reciprocal_rank",
    "reliability_table",
    "token_f1",
]
