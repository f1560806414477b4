"""What labelled reports add to the rules: a logistic model for each finding over what the rules say and the words.

Probabilities are calibrated on grouped out-of-fold margins by a logistic curve (Platt, "Probabilistic Outputs for
Support Vector Machines", 1999), to which a generator's log-odds, if there is one, are a second input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack
from scipy.special import expit

from radrag.indexes.tokens import tokenize
from radrag.labelling.features import fit_vocabulary, vectorise
from radrag.labelling.stored import read_arrays, read_json, write_arrays, write_json
from radrag.types import FindingLabel, Status
from radrag.types.reports import FindingsResult

FEWEST = 10  # reports with and without a finding below which the rules stay alone
FOLDS = 5
# What the rules say is six columns against thousands of words that share unit length: heavier, so that shrinking the
# weights costs the rules less than the words.
_RULE_SCALE = 2.0
_PENALTY = 1.0
_SURE = 1e6


@dataclass(frozen=True, slots=True)
class _Data:
    """Features of reports: ``rows`` float32 ``[n, rule columns + words]``."""

    vocabulary: dict[str, int]
    idf: NDArray[np.float32]

    def rows(self, results: Sequence[FindingsResult], words: Sequence[str]) -> csr_array:
        """Return the features of reports."""
        rules = csr_array(np.asarray([_rule_row(result) for result in results], dtype=np.float32) * _RULE_SCALE)
        text = vectorise([tokenize(one) for one in words], self.vocabulary, self.idf)
        return csr_array(hstack([rules, text], format="csr"))


class FindingModel:
    """Says how probable it is that each finding is present. Make one with ``fit`` or ``load``.

    Args:
        data: How features are made.
        weights: float32 ``[findings, features]``.
        curves: float64 ``[findings, 4]``: bias of the margin, then slope, weight of the generator's log-odds and
            intercept of the logistic curve.
        thresholds: float64 ``[findings]``: probability from which a finding is called present; nan where the rules
            stay alone.
    """

    def __init__(
        self,
        data: _Data,
        weights: NDArray[np.float32],
        curves: NDArray[np.float64],
        thresholds: NDArray[np.float64],
    ) -> None:
        self._data, self._weights, self._curves, self.thresholds = data, weights, curves, thresholds

    @classmethod
    def fit(
        cls,
        results: Sequence[FindingsResult],
        words: Sequence[str],
        true: NDArray[np.bool_],
        folds: NDArray[np.int64],
        odds: NDArray[np.float64] | None = None,
        *,
        seed: int = 0,
    ) -> Self:
        """Learn from reports.

        Args:
            results: What the rules say of each report ``[n]``.
            words: The text of each report without indication and technique ``[n]``.
            true: Whether each finding is present ``[n, findings]``.
            folds: Fold of each report ``[n]``; reports of one fold never calibrate what was learnt from them.
            odds: A generator's log-odds that each finding is present ``[n, findings]``, nan where it was not asked.
            seed: Seed of the solver.
        """
        data = _Data(*fit_vocabulary(words))
        rows = data.rows(results, words)
        outside = np.full(true.shape, np.nan)
        for fold in np.unique(folds):
            rest, held = np.flatnonzero(folds != fold).tolist(), np.flatnonzero(folds == fold).tolist()
            part = _Data(*fit_vocabulary([words[row] for row in rest]))
            known = part.rows([results[row] for row in rest], [words[row] for row in rest])
            asked = part.rows([results[row] for row in held], [words[row] for row in held])
            for finding in range(true.shape[1]):
                if _enough(true[rest, finding]):
                    weight, bias = _solved(known, true[rest, finding], seed)
                    outside[held, finding] = asked @ weight + bias
        weights = np.zeros((true.shape[1], rows.shape[1]), dtype=np.float32)
        curves, thresholds = np.zeros((true.shape[1], 4)), np.full(true.shape[1], np.nan)
        for finding in range(true.shape[1]):
            if np.isnan(outside[:, finding]).any() or not _enough(true[:, finding]):
                continue
            weights[finding], curves[finding, 0] = _solved(rows, true[:, finding], seed)
            column = None if odds is None else odds[:, finding]
            curves[finding, 1:], sure, used = _curve(outside[:, finding], column, true[:, finding], seed)
            thresholds[finding] = _best_threshold(sure, true[used, finding])
        return cls(data, weights, curves, thresholds)

    @property
    def learnt(self) -> NDArray[np.bool_]:
        """Which findings it has learnt ``[findings]``; there were too few reports for the others."""
        return ~np.isnan(self.thresholds)

    def probabilities(
        self, results: Sequence[FindingsResult], words: Sequence[str], odds: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Return ``[n, findings]``, nan where nothing was learnt. The arguments are those of ``fit``."""
        bias, slope, weight, intercept = self._curves.T
        margins = np.asarray(self._data.rows(results, words) @ self._weights.T, dtype=np.float64) + bias
        extra = 0.0 if odds is None else weight * odds
        return np.where(self.learnt, expit(slope * margins + extra + intercept), np.nan)

    def judged(self, result: FindingsResult, probabilities: NDArray[np.float64]) -> tuple[FindingLabel, ...]:
        """Return the findings of a report with probabilities, and with the status that these call for.

        From the threshold up a finding is present. Below it what the rules call present is uncertain, and nothing
        leans.
        """
        found = []
        for label, sure, threshold in zip(result.findings, probabilities, self.thresholds, strict=True):
            if np.isnan(threshold):
                found.append(label)
                continue
            status = Status.PRESENT if sure >= threshold else label.status
            if status is Status.PRESENT and sure < threshold:
                status = Status.UNCERTAIN
            found.append(replace(label, status=status, probability=float(sure), leaning=False))
        return tuple(found)

    def save(self, folder: Path) -> None:
        """Write it into an existing folder."""
        write_json(folder / "finding_model.json", {"vocabulary": list(self._data.vocabulary)})
        arrays: dict[str, NDArray[Any]] = {"idf": self._data.idf, "weights": self._weights}
        arrays |= {"curves": self._curves, "thresholds": self.thresholds}
        write_arrays(folder / "finding_model.safetensors", arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote."""
        names = read_json(folder / "finding_model.json")["vocabulary"]
        arrays = read_arrays(folder / "finding_model.safetensors")
        data = _Data({name: place for place, name in enumerate(names)}, arrays["idf"])
        return cls(data, arrays["weights"], arrays["curves"], arrays["thresholds"])


def _rule_row(result: FindingsResult) -> list[float]:
    row: list[float] = []
    for label in result.findings:
        uncertain = label.status is Status.UNCERTAIN
        row += [
            label.status is Status.PRESENT,
            uncertain and label.leaning,
            uncertain and not label.leaning,
            label.status is Status.ABSENT,
            label.status is Status.HISTORICAL,
            bool(label.related),
        ]
    return row


def _enough(true: NDArray[np.bool_]) -> bool:
    return FEWEST <= int(true.sum()) <= len(true) - FEWEST


def _solved(rows: csr_array, true: NDArray[np.bool_], seed: int) -> tuple[NDArray[np.float32], float]:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=_PENALTY, solver="liblinear", random_state=seed, max_iter=1000)
    model.fit(rows, true)
    return model.coef_[0].astype(np.float32), float(model.intercept_[0])


def _curve(
    margins: NDArray[np.float64], odds: NDArray[np.float64] | None, true: NDArray[np.bool_], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return slope, weight of the generator and intercept, and the calibrated probabilities of the rows used."""
    from sklearn.linear_model import LogisticRegression

    inputs, rows = margins[:, None], np.arange(len(true))
    if odds is not None and _enough(true[~np.isnan(odds)]):
        rows = np.flatnonzero(~np.isnan(odds))
        inputs = np.column_stack([margins, odds])[rows]
    model = LogisticRegression(C=_SURE, random_state=seed, max_iter=1000).fit(inputs, true[rows])
    weights = [*model.coef_[0], 0.0][:2]
    return np.asarray([*weights, model.intercept_[0]]), model.predict_proba(inputs)[:, 1], rows


def _best_threshold(sure: NDArray[np.float64], true: NDArray[np.bool_]) -> float:
    """Return the probability, midway between two that occur, that gives the highest F1; of equals the nearest to .5."""
    order = np.argsort(-sure, kind="stable")
    right = np.cumsum(true[order])
    scores = 2 * right / (np.arange(1, len(order) + 1) + true.sum())
    values = sure[order]
    middles = (values + np.append(values[1:], values[-1])) / 2
    last = np.append(values[1:] < values[:-1], True)  # equal probabilities are on the same side
    best = np.flatnonzero(last & (scores >= scores[last].max() - 1e-12))
    return float(middles[best[np.argmin(np.abs(middles[best] - 0.5))]])
