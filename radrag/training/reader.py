"""Fit the two small models of question answering: yes/no/maybe, and whether the evidence suffices.

Both are linear models over a few dozen hand-made features, fitted on PubMedQA's labelled questions outside its official
test split (MIT licence; Jin et al., "PubMedQA", EMNLP 2019).
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from radrag.corpora.rows import json_rows
from radrag.grounding import evidence_features
from radrag.indexes.encoders import StaticEncoder
from radrag.indexes.hybrid import HybridIndex
from radrag.metrics import accuracy, auroc
from radrag.reading.extractive import ExtractiveReader
from radrag.reading.verdict import features
from radrag.types import VERDICTS, Document, Hit, Question

Records = list[dict[str, Any]]
_SOURCE = "PubMedQA labelled questions outside the official test split (MIT)"


def read_pubmedqa(path: str | Path) -> Records:
    """Read questions: JSON Lines with pmid, question, contexts (paragraphs) and answer (yes, no or maybe)."""
    found = []
    for row in json_rows(Path(path)):
        if row.string("answer") not in VERDICTS:
            row.fail(f"expected one of {', '.join(VERDICTS)}", "answer")
        contexts = row.need("contexts")
        if not isinstance(contexts, list) or not all(isinstance(part, str) for part in contexts):
            row.fail("expected a list of paragraphs", "contexts")
        found.append({"contexts": contexts, **{name: row.string(name) for name in ("pmid", "question", "answer")}})
    return found


def fit_verdict(records: Records, out: str | Path, *, seed: int = 0) -> dict[str, Any]:
    """Fit the yes/no/maybe model on the abstract's sentences that the extractive reader picks, and its baseline.

    The baseline sees the question alone: the same features with no evidence. The penalty is the best of four by 5-fold
    log-loss.

    Returns:
        The facts stored beside the weights, with the 5-fold accuracies.
    """
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    reader = ExtractiveReader()
    answers = np.asarray([VERDICTS.index(record["answer"]) for record in records])
    stored: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, _index(records, Path(folder) / "index") as index:
        hits = [_own(index, record) for record in records]
    for name in ("evidence", "question"):
        found = hits if name == "evidence" else [()] * len(records)
        table = np.stack(
            [features(r["question"], reader.evidence(r["question"], h)) for r, h in zip(records, found, strict=True)]
        )
        folds = StratifiedKFold(5, shuffle=True, random_state=seed)
        model = LogisticRegressionCV(
            Cs=[0.03, 0.1, 0.3, 1.0],
            cv=folds,
            scoring="neg_log_loss",
            max_iter=2000,
            l1_ratios=(0.0,),
            use_legacy_attributes=False,
        )
        predicted = cross_val_predict(model, table, answers, cv=StratifiedKFold(5, shuffle=True, random_state=seed + 1))
        model.fit(table, answers)
        facts = {
            "data": _SOURCE,
            "n": len(records),
            "seed": seed,
            "cv_accuracy": round(accuracy(answers, predicted), 4),
        }
        facts |= {
            "majority": round(float(np.bincount(answers).max() / len(answers)), 4),
            "command": "radrag train verdict",
        }
        stored[name] = {"weights": _rounded(model.coef_), "bias": _rounded(model.intercept_), "facts": facts}
    _write(Path(out), stored)
    return {name: part["facts"] for name, part in stored.items()}


def fit_confidence(
    records: Records,
    questions: Sequence[Question],
    corpus: Sequence[Document],
    out: str | Path,
    *,
    risk: float = 0.2,
    seed: int = 0,
) -> dict[str, Any]:
    """Fit the probability that retrieved passages answer a question.

    Three sources count equally. Each PubMedQA question is searched twice: with its own abstract in the index, and with
    it left out. The shipped questions are searched in the shipped corpora; those without an answer are near misses,
    which share more words with the documents than the others do, so they are judged but not fitted. PubMedQA's
    questions in the shipped corpora are out of scope: the threshold lets no more than ``risk`` of them through,
    whatever it costs in answers. No weight is negative: more evidence never lowers the score.

    Returns:
        The facts stored beside the weights, with the 5-fold AUROC of each source.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    encoder = StaticEncoder()
    with tempfile.TemporaryDirectory() as folder, _index(records, Path(folder) / "index") as index:
        rows = [row for record in records for row in _with_and_without(record, index, encoder)]
    with tempfile.TemporaryDirectory() as folder, HybridIndex.create(Path(folder) / "index") as index:
        index.add(corpus)
        for number, question in enumerate(questions):
            hits = index.search(question.text, k=8)
            row = evidence_features(question.text, hits, index.rarity, encoder)
            rows.append((row, int(question.answerable), f"shipped {number}"))
        for record in records:
            hits = index.search(record["question"], k=8)
            row = evidence_features(record["question"], hits, index.rarity, encoder)
            rows.append((row, 0, f"outside {record['pmid']}"))
    table = np.asarray([row for row, _, _ in rows])
    true = np.asarray([answerable for _, answerable, _ in rows])
    groups = np.asarray([group for _, _, group in rows])
    shipped = np.char.startswith(groups, "shipped")
    outside = np.char.startswith(groups, "outside")
    pubmedqa = ~(shipped | outside)
    answerable = shipped & (true == 1)
    share = np.zeros(len(true))
    for source in (answerable, outside, pubmedqa):
        share[source] = len(true) / (3 * source.sum())
    chances = np.zeros(len(true))
    for known, held in StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(table, true, groups):
        weights, bias = _fit_monotone(table[known], true[known], share[known])
        chances[held] = expit(table[held] @ weights + bias)
    threshold = float(np.quantile(chances[outside], 1 - risk))
    weights, bias = _fit_monotone(table, true, share)
    facts = {
        "data": f"{_SOURCE}, each searched with and without its own abstract, and in the "
        "shipped corpora; shipped questions",
        "n": {"pubmedqa": int(pubmedqa.sum()), "shipped": int(shipped.sum()), "out of scope": int(outside.sum())},
        "seed": seed,
        "cv_auroc_pubmedqa": round(auroc(true[pubmedqa], chances[pubmedqa]), 4),
        "cv_auroc_shipped": round(auroc(true[shipped], chances[shipped]), 4),
        "cv_auroc_out_of_scope": round(auroc(true[answerable | outside], chances[answerable | outside]), 4),
        "risk": risk,
        "answerable_shipped_answered": round(float((chances[answerable] >= threshold).mean()), 4),
        "out_of_scope_stopped": round(float((chances[outside] < threshold).mean()), 4),
        "unanswerable_shipped_stopped": round(float((chances[shipped & (true == 0)] < threshold).mean()), 4),
        "command": "radrag train confidence",
    }
    stored = {"weights": _rounded(weights), "bias": round(bias, 5), "threshold": round(threshold, 4), "facts": facts}
    _write(Path(out), stored)
    return facts


def _fit_monotone(
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


def _with_and_without(record: dict[str, Any], index: HybridIndex, encoder: StaticEncoder) -> list[Any]:
    own = f"PMID:{record['pmid']}"
    hits = index.search(record["question"], k=9)
    rows = []
    for kept in (hits[:8], [hit for hit in hits if hit.passage.document_id != own][:8]):
        answerable = int(any(hit.passage.document_id == own for hit in kept))
        rows.append((evidence_features(record["question"], kept, index.rarity, encoder), answerable, own))
    return rows


def _index(records: Records, path: Path) -> HybridIndex:
    index = HybridIndex.create(path)
    index.add(Document(f"PMID:{r['pmid']}", "\n\n".join(r["contexts"]), kind="abstract") for r in records)
    return index


def _own(index: HybridIndex, record: dict[str, Any]) -> Sequence[Hit]:
    return index.search(record["question"], k=8, where={"document_id": f"PMID:{record['pmid']}"})


def _rounded(values: NDArray[np.float64]) -> Any:
    return np.round(values, 5).tolist()


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, path)
