"""Precision, recall and F1 of one item, as the overlap metrics return them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PrecisionRecallF1:
    """How much of what was given is wanted, how much of what is wanted was given, and their harmonic mean.

    Attributes:
        precision: Share of what was given that is wanted.
        recall: Share of what is wanted that was given.
        f1: ``2 * precision * recall / (precision + recall)``; 0 if both are 0.
    """

    precision: float
    recall: float
    f1: float


def harmonic(precision: float, recall: float) -> PrecisionRecallF1:
    """Join a precision and a recall."""
    total = precision + recall
    return PrecisionRecallF1(precision, recall, 2 * precision * recall / total if total > 0 else 0.0)


def of_counts(shared: float, given: float, wanted: float) -> PrecisionRecallF1:
    """Return the three from counts; a count of nothing gives a share of 0."""
    return harmonic(shared / given if given else 0.0, shared / wanted if wanted else 0.0)
