"""Fit the probability that retrieved passages answer a question, and measure what abstaining below it costs and saves.

Data: the shipped questions, and PubMedQA's labelled questions outside its official test split (MIT licence; Jin et al.,
"PubMedQA", EMNLP 2019). Selective risk: El-Yaniv and Wiener, JMLR 2010.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from radrag.corpora import DocumentQuestion
from radrag.grounding.confidence import FEATURES, RiskPoint, evidence_features
from radrag.indexes.encoders import StaticEncoder
from radrag.indexes.hybrid import HybridIndex
from radrag.metrics import auroc
from radrag.training._pairs import open_abstracts
from radrag.types import Document, Hit, Question

_SOURCE = (
    "shipped questions in the shipped corpora; shipped questions about single documents, half of them near misses, "
    "with that document's passages; PubMedQA labelled questions outside the official test split (MIT) with "
    "and without their own abstract in the index, and in the shipped corpora"
)
# Half of the mixture has an answer: shipped questions, those about single documents, and PubMedQA with its abstract
# alike; the other half has none: shipped questions without one (most are near misses), near misses of single documents,
# PubMedQA without its abstract, and PubMedQA out of scope.
_PARTS = {
    "shipped": 1 / 6, "in the document": 1 / 6, "own abstract": 1 / 6,
    "near miss": 1 / 8, "not in the document": 1 / 8, "abstract removed": 1 / 8, "out of scope": 1 / 8,
}  # fmt: skip
RISK = 0.3  # of the default threshold
_ANSWERABLE = ("shipped", "in the document", "own abstract")
_DEEP = 60  # hits among which those of one document are looked for
_K = 8
_Z90 = 1.2816
_POINTS = 99


@dataclass(frozen=True, slots=True)
class Cases:
    """Questions with what was measured of their evidence.

    Attributes:
        table: float64 ``[n, len(FEATURES)]``.
        parts: Part of the mixture of each, a key of ``_PARTS``.
        groups: Name of what must not be split over folds: the document that answers, or the abstract.
        ids: Question of each.
    """

    table: NDArray[np.float64]
    parts: NDArray[np.str_]
    groups: NDArray[np.str_]
    ids: tuple[str, ...]

    @property
    def true(self) -> NDArray[np.int64]:
        """1 where the evidence holds an answer, else 0, ``[n]``."""
        return np.isin(self.parts, _ANSWERABLE).astype(np.int64)

    @property
    def shares(self) -> NDArray[np.float64]:
        """Weight of each in the mixture ``[n]``; they sum to n, and those with an answer to half of it."""
        found = {part: int((self.parts == part).sum()) for part in set(self.parts.tolist())}
        half = {True: 0.0, False: 0.0}  # what is given of the half with an answer, and of the other
        for part in found:
            half[part in _ANSWERABLE] += _PARTS[part]
        scale = len(self.parts) / (1 if 0.0 in half.values() else 2)
        weight = {part: scale * _PARTS[part] / half[part in _ANSWERABLE] / found[part] for part in found}
        return np.asarray([weight[part] for part in self.parts.tolist()])

    def __getitem__(self, rows: NDArray[Any]) -> Cases:
        numbers = np.arange(len(self.ids))[rows]
        return Cases(self.table[rows], self.parts[rows], self.groups[rows], tuple(self.ids[row] for row in numbers))


def fit_confidence(
    records: Sequence[dict[str, Any]],
    questions: Sequence[Question],
    corpus: Sequence[Document],
    out: str | Path,
    *,
    near_misses: Sequence[DocumentQuestion] = (),
    distractors: Iterable[Document] = (),
    risk: float = RISK,
    seed: int = 0,
) -> dict[str, Any]:
    """Fit a logistic model over ``evidence_features`` and the threshold for a chosen risk.

    No weight is negative: more evidence never lowers the score. Nothing of the question alone is a feature: the length
    and form of the shipped questions tell at .7 and more whether they have an answer, which no user's question does.

    Args:
        records: PubMedQA questions, each with ``pmid``, ``question`` and ``contexts``.
        questions: Shipped questions.
        corpus: What the shipped questions are asked of.
        near_misses: Questions about single documents; those on documents that are not at hand are left out.
        out: File to write.
        distractors: Further abstracts to search PubMedQA's questions among.
        risk: Upper bound of the share of answers without evidence that the default threshold allows in the mixture.
        seed: Seed of the folds.

    Returns:
        The facts stored beside the weights, with figures of five-fold cross-fitting.
    """
    beside = list(distractors)
    cases = collect_cases(records, questions, corpus, near_misses, beside)
    chances = cross_fitted(cases, seed=seed)
    curve = risk_curve(chances, cases.true, cases.shares)
    safe = [point for point in curve if point.bound <= risk]
    threshold = safe[0].threshold if safe else curve[-1].threshold
    weights, bias = fit_monotone(cases.table, cases.true, cases.shares)
    facts = {
        "data": _SOURCE,
        "n": {part: int((cases.parts == part).sum()) for part in _PARTS},
        "features": dict(zip(FEATURES, np.round(weights, 3).tolist(), strict=True)),
        "seed": seed,
        "cv_auroc": _aurocs(cases, chances),
        "risk": risk,
        "cv_answered": {
            part: round(float((chances[cases.parts == part] >= threshold).mean()), 4)
            for part in _PARTS
            if part in cases.parts
        },
        "distractors": len(beside),
        "command": "radrag train confidence --abstracts FOLDER" if beside else "radrag train confidence",
    }
    stored = {
        "weights": np.round(weights, 5).tolist(), "bias": round(bias, 5), "threshold": round(threshold, 4),
        "curve": [[round(value, 4) for value in (p.threshold, p.coverage, p.risk, p.bound)] for p in curve],
        "facts": facts,
    }  # fmt: skip
    _write(Path(out), stored)
    return facts


def collect_cases(
    records: Sequence[dict[str, Any]],
    questions: Sequence[Question],
    corpus: Sequence[Document],
    near_misses: Sequence[DocumentQuestion] = (),
    distractors: Iterable[Document] = (),
) -> Cases:
    """Search every question in its conditions and measure the evidence; see ``fit_confidence``."""
    encoder, beside = StaticEncoder(), list(distractors)
    rows: list[tuple[tuple[float, ...], str, str, str]] = []
    with tempfile.TemporaryDirectory() as folder, HybridIndex.create(Path(folder) / "index") as index:
        own = [Document(f"PMID:{r['pmid']}", "\n\n".join(r["contexts"]), kind="abstract") for r in records]
        index.add([*own, *distractors_beside(own, beside)])
        for record in records:
            rows += with_and_without(record, index, encoder)
    with tempfile.TemporaryDirectory() as folder, HybridIndex.create(Path(folder) / "index") as index:
        index.add(corpus)
        found = [index.search(question.text, k=_K) for question in questions]
        groups = question_groups(questions, found)
        for question, hits, group in zip(questions, found, groups, strict=True):
            part = "shipped" if question.answerable else "near miss"
            rows.append((evidence_features(question.text, hits, index.rarity, encoder), part, group, question.id))
        for record in records:
            hits = index.search(record["question"], k=_K)
            row = evidence_features(record["question"], hits, index.rarity, encoder)
            rows.append((row, "out of scope", f"PMID:{record['pmid']}", f"PMID:{record['pmid']}"))
        index.add(distractors_beside(corpus, beside))
        rows += about_documents(near_misses, index, encoder)
    return as_cases(rows)


def as_cases(rows: Sequence[tuple[tuple[float, ...], str, str, str]]) -> Cases:
    """Join rows of features, part, group and question."""
    table, parts, groups, ids = zip(*rows, strict=True)
    return Cases(np.asarray(table), np.asarray(parts), np.asarray(groups), ids)


def about_documents(
    questions: Sequence[DocumentQuestion], index: HybridIndex, encoder: StaticEncoder
) -> list[tuple[tuple[float, ...], str, str, str]]:
    """Measure questions about single documents with the passages of that document alone; for others none is known."""
    rows = []
    for question in questions:
        found = index.search(question.text, k=_DEEP)
        hits = [hit for hit in found if hit.passage.document_id == question.document_id][:_K]
        if hits:
            part = "in the document" if question.answered else "not in the document"
            row = evidence_features(question.text, hits, index.rarity, encoder)
            rows.append((row, part, question.document_id, question.id))
    return rows


def with_and_without(
    record: dict[str, Any], index: HybridIndex, encoder: StaticEncoder
) -> list[tuple[tuple[float, ...], str, str, str]]:
    """Measure a PubMedQA question with its own abstract among the hits, if it was found, and with it taken out."""
    own = f"PMID:{record['pmid']}"
    hits = index.search(record["question"], k=2 * _K)
    without = [hit for hit in hits if hit.passage.document_id != own][:_K]
    conditions = [("own abstract", hits[:_K])] if any(hit.passage.document_id == own for hit in hits[:_K]) else []
    conditions.append(("abstract removed", without))
    return [
        (evidence_features(record["question"], kept, index.rarity, encoder), part, own, own)
        for part, kept in conditions
    ]


def distractors_beside(own: Sequence[Document], others: Iterable[Document]) -> list[Document]:
    """Return the other documents whose ids are not among the first."""
    known = {document.id for document in own}
    return [document for document in others if document.id not in known]


def question_groups(questions: Sequence[Question], hits: Sequence[Sequence[Hit]]) -> list[str]:
    """Name a group for each question, so that questions on one document stand in one fold.

    The documents of a question are those of its gold spans, and of the best hit for one without gold.
    """
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    first = []
    for question, found in zip(questions, hits, strict=True):
        names = [gold.document_id for gold in question.gold] or [hit.passage.document_id for hit in found[:1]]
        names = names or [question.id]
        for name in names:
            parent[root(name)] = root(names[0])
        first.append(names[0])
    return [root(name) for name in first]


def open_distractors(folder: str | Path) -> list[Document]:
    """Return the abstracts of Evidence Inference that are CC BY or CC0, from a folder of development data."""
    return [Document(name, text, kind="abstract") for name, _, text in open_abstracts(Path(folder))]


def cross_fitted(cases: Cases, *, folds: int = 5, seed: int = 0) -> NDArray[np.float64]:
    """Return the probability of each case by a model that saw none of its group ``[n]``."""
    from sklearn.model_selection import StratifiedGroupKFold

    chances = np.zeros(len(cases.ids))
    split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for known, held in split.split(cases.table, cases.parts, cases.groups):
        part = cases[known]
        weights, bias = fit_monotone(part.table, part.true, part.shares)
        chances[held] = expit(cases.table[held] @ weights + bias)
    return chances


def risk_curve(
    chances: NDArray[np.float64], true: NDArray[np.int64], shares: NDArray[np.float64]
) -> tuple[RiskPoint, ...]:
    """Return coverage and risk at thresholds from .01 to .99, as long as anything is answered.

    The bound is Wilson's, with Kish's effective size for the weights.
    """
    points = []
    for threshold in np.arange(1, _POINTS + 1) / (_POINTS + 1):
        chosen = chances >= threshold
        if not chosen.any():
            break
        weight = shares[chosen]
        wrong = float((weight * (1 - true[chosen])).sum() / weight.sum())
        size = float(weight.sum() ** 2 / (weight**2).sum())
        points.append(RiskPoint(float(threshold), float(weight.sum() / shares.sum()), wrong, _upper(wrong, size)))
    return tuple(points)


def fit_monotone(
    table: NDArray[np.float64], true: NDArray[np.int64], share: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Return weights of at least 0 and the bias of a logistic model with a Gaussian prior of unit variance."""
    from scipy.optimize import minimize

    sign = 2.0 * true - 1

    def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, margin = values[:-1], sign * (table @ values[:-1] + values[-1])
        slope = -sign * share * expit(-margin)
        total = float(share @ np.logaddexp(0, -margin) + weights @ weights / 2)
        return total, np.append(table.T @ slope + weights, slope.sum())

    count = table.shape[1]
    bounds = [(0.0, None)] * count + [(None, None)]
    found = minimize(loss, np.zeros(count + 1), jac=True, method="L-BFGS-B", bounds=bounds)
    return found.x[:-1], float(found.x[-1])


def _aurocs(cases: Cases, chances: NDArray[np.float64]) -> dict[str, float]:
    pairs = [
        ("shipped", "near miss"), ("in the document", "not in the document"), ("own abstract", "abstract removed"),
        ("shipped", "out of scope"),
    ]  # fmt: skip
    found = {}
    for good, bad in pairs:
        chosen = np.isin(cases.parts, (good, bad))
        if len(set(cases.parts[chosen].tolist())) < 2:
            continue
        found[f"{good} against {bad}"] = round(auroc(cases.true[chosen], chances[chosen]), 4)
    return found


def _upper(share: float, size: float) -> float:
    """Return the upper end of Wilson's one-sided interval at 90 %."""
    z = _Z90**2 / size
    spread = _Z90 * float(np.sqrt(share * (1 - share) / size + z / (4 * size)))
    return min(1.0, (share + z / 2 + spread) / (1 + z))


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, path)
