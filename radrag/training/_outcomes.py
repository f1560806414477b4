"""How well a classifier ranks: AUROC and AUPRC over all labels and for each, with bootstrap intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from radrag.metrics._checks import flags, numbers, same_length
from radrag.metrics.classification import accuracy, auroc
from radrag.metrics.resampling import Estimate, bootstrap_statistic

Statistic = Callable[..., float]


@dataclass(frozen=True, slots=True)
class ClassifierMetrics:
    """Figures on held-out texts.

    A label of which the held-out texts hold one class only has no AUROC and no AUPRC: it is listed in ``undefined`` and
    in no average. An interval of which every resample is undefined is nan.

    Attributes:
        n: Texts.
        auroc_macro: Mean of the labels' AUROC, None where every label is undefined.
        auroc_micro: AUROC of all text-label cells together, None where they hold one class only.
        auprc_macro: Mean of the labels' AUPRC.
        auprc_micro: AUPRC of all cells together.
        auroc: AUROC of each label that has one.
        auprc: AUPRC of each label that has one; guessing gives the share of positives, not 0.5.
        positives: Texts with each label.
        undefined: Labels with one class only.
        accuracy: Share of texts whose most probable label is the true one; where a text has exactly one label.
    """

    n: int
    auroc_macro: Estimate | None
    auroc_micro: Estimate | None
    auprc_macro: Estimate | None
    auprc_micro: Estimate | None
    auroc: Mapping[str, Estimate]
    auprc: Mapping[str, Estimate]
    positives: Mapping[str, int]
    undefined: tuple[str, ...]
    accuracy: Estimate | None = None


def auprc(true: ArrayLike, score: ArrayLike) -> float:
    """Return the area under the precision-recall curve as average precision: the precision at each gain in recall.

    Source: Davis and Goadrich, ICML 2006, on why not to draw lines between the points; tied scores count as one point.

    Args:
        true: 0 or 1 [n].
        score: Finite scores [n], higher for more likely positive.

    Returns:
        Between 0 and 1; a score that says nothing gives about the share of positives.

    Raises:
        ValueError: If only one class occurs, a score is not finite, or the lengths differ.
    """
    positive, values = flags("true", true), numbers("score", score)
    n = same_length(true=positive, score=values)
    if int(positive.sum()) in (0, n):
        raise ValueError("true must hold both classes; AUPRC is undefined here, count it apart")
    order = np.argsort(-values, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(values[order])), n - 1)
    hits = np.cumsum(positive[order])[ends]
    gains = np.diff(hits, prepend=0) / hits[-1]
    return float((gains * hits / (ends + 1)).sum())


def classifier_metrics(
    true: ArrayLike,
    score: ArrayLike,
    labels: Sequence[str],
    *,
    groups: Sequence[Hashable] | None = None,
    single: bool = False,
    seed: int = 0,
    n_resamples: int = 1000,
) -> ClassifierMetrics:
    """Measure scores against truth; intervals draw whole groups where groups are given.

    Args:
        true: 0 or 1 [n, m]: whether text i has label j.
        score: Scores or probabilities [n, m].
        labels: Names of the m labels.
        groups: Group of each text [n], such as the patient.
        single: Whether each text has exactly one label, so that accuracy means something.
        seed: Seed of the resamples.
        n_resamples: How many.

    Raises:
        ValueError: If shapes differ, a cell of ``true`` is not 0 or 1, or a score is not finite.
    """
    truth, scores = flags("true", true, ndim=2), np.asarray(score, dtype=np.float64)
    if truth.shape != scores.shape or truth.shape[1] != len(labels):
        raise ValueError(
            f"true and score must both have the shape [n, {len(labels)}], got {truth.shape} and {scores.shape}"
        )
    n_positive = truth.sum(axis=0)
    defined = [column for column, count in enumerate(n_positive) if 0 < count < len(truth)]

    def estimate(arrays: Sequence[NDArray[np.generic]], statistic: Statistic) -> Estimate:
        try:
            return bootstrap_statistic(arrays, statistic, n_resamples=n_resamples, seed=seed, groups=groups)
        except ValueError:  # fewer than two groups, or no resample with both classes: the value stands alone
            return Estimate(float(statistic(*arrays)), math.nan, math.nan, len(truth), undefined=n_resamples)

    def each(statistic: Statistic) -> dict[str, Estimate]:
        return {labels[j]: estimate((truth[:, j], scores[:, j]), statistic) for j in defined}

    def macro(statistic: Statistic) -> Estimate | None:
        columns = (truth[:, defined], scores[:, defined])
        return estimate(columns, _mean_of(statistic)) if defined else None

    def micro(statistic: Statistic) -> Estimate | None:
        return estimate((truth, scores), _flat(statistic)) if 0 < truth.sum() < truth.size else None

    codes = (truth.argmax(axis=1), scores.argmax(axis=1))
    return ClassifierMetrics(
        n=len(truth),
        auroc_macro=macro(auroc),
        auroc_micro=micro(auroc),
        auprc_macro=macro(auprc),
        auprc_micro=micro(auprc),
        auroc=each(auroc),
        auprc=each(auprc),
        positives={label: int(count) for label, count in zip(labels, n_positive, strict=True)},
        undefined=tuple(label for column, label in enumerate(labels) if column not in defined),
        accuracy=estimate(codes, accuracy) if single else None,
    )


def _mean_of(statistic: Statistic) -> Statistic:
    return lambda true, score: float(np.mean([statistic(true[:, j], score[:, j]) for j in range(true.shape[1])]))


def _flat(statistic: Statistic) -> Statistic:
    return lambda true, score: statistic(true.ravel(), score.ravel())
