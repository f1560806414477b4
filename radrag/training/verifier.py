"""Fit the verifier that ships: a logistic model over what speaks for and against claims made by ``claim_edits``.

Claims written by hand in words of their own (``load_claims``) give what such a claim is worth; no feature tells their
true ones from their false ones.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from radrag.corpora import LabelledClaim, load_claims, load_evidence, load_protocols
from radrag.grounding.measures import FEATURES, FOR
from radrag.grounding.verifier import AlignmentVerifier, SupportModel
from radrag.metrics import auroc, expected_calibration_error
from radrag.training.claim_edits import EditedClaim, edited_claims

PENALTY = 0.5
# What the edits do not show, or hardly: where the prior stands for each weight that is not 0. A weight moves from here
# only as far as the claims say so.
PRIOR = {
    "missing name": -2.0, "missing word": -0.5, "number missing": -3.0, "unit": -3.0, "bound": -3.0, "binding": -2.5,
    "negation": -2.0, "cue": -0.5, "null": -2.0, "direction": -2.0, "direction added": -0.3, "null elsewhere": -1.0,
    "opposite": -2.0,    "people": -2.0, "exchanged": -2.5, "overstated": -1.0, "left open": -3.0,
    "absolute": -1.0, "significance": -1.5,
}  # fmt: skip
REJECTED = 0.03  # share that the threshold may turn down of the reworded true claims without objection, cross-fitted


def document_half(document_id: str) -> str:
    """Return ``"A"`` (development) or ``"B"`` (report only) for a document, by a hash of its id."""
    return "AB"[hashlib.sha256(document_id.encode()).digest()[0] & 1]


def shipped_documents(half: str) -> list[tuple[str, str]]:
    """Return ids and texts of the shipped digests and guidelines of one half."""
    return [(one.id, one.text) for one in (*load_evidence(), *load_protocols()) if document_half(one.id) == half]


def pubmedqa_documents(path: str | Path, half: str) -> list[tuple[str, str]]:
    """Return ids and abstracts of PubMedQA's development questions of one half."""
    path = Path(path)
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    pairs = [(f"PMID:{record['pmid']}", " ".join(record["contexts"])) for record in records]
    return [pair for pair in pairs if document_half(pair[0]) == half]


def features_of(
    claims: Sequence[EditedClaim | LabelledClaim], documents: Sequence[tuple[str, str]], verifier: AlignmentVerifier
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Measure claims against their documents.

    Returns:
        Features ``[n, features]`` and how closely each claim follows its source ``[n]``; zeros where no word is shared.
    """
    texts = dict(documents)
    rows = [verifier.measured(claim.text, texts[claim.document_id]) for claim in claims]
    table = [row.values if row is not None else (0.0,) * len(FEATURES) for row in rows]
    return np.asarray(table), np.asarray([row.order if row is not None else 0.0 for row in rows])


def fit_verifier(pubmedqa: str | Path | None, out: str | Path, *, seed: int = 0) -> dict[str, Any]:
    """Fit the verifier on claims made of the development half of the documents.

    Args:
        pubmedqa: PubMedQA development questions, whose abstracts are used beside the shipped digests and guidelines;
            None for those alone.
        out: File to write.
        seed: Of the edits.

    Returns:
        What is written beside the weights: data, size, cross-fitted figures, command.
    """
    documents = shipped_documents("A") + (pubmedqa_documents(pubmedqa, "A") if pubmedqa else [])
    claims = list(edited_claims(documents, seed=seed, per_document=3))
    verifier = AlignmentVerifier()
    table, order = features_of(claims, documents, verifier)
    true = np.asarray([claim.true for claim in claims], dtype=np.int64)
    share = _balanced(claims)
    free, worded_freely = _free(documents, verifier)
    weights, bias = _fit(table, true, share)

    def chances(rows: NDArray[np.bool_], weights: NDArray[np.float64], bias: float) -> NDArray[np.float64]:
        model = SupportModel(tuple(weights), bias, free, 0.5, {})
        return np.asarray([model(values, close) for values, close in zip(table[rows], order[rows], strict=True)])

    crossed = np.zeros(len(true))
    fold = np.asarray(
        [int(hashlib.sha256(claim.document_id.encode()).hexdigest()[:8], 16) // 2 % 5 for claim in claims]
    )
    for n in range(5):
        crossed[fold == n] = chances(fold == n, *_fit(table[fold != n], true[fold != n], share[fold != n]))
    threshold = _threshold(crossed, [claim.kind for claim in claims], free)
    facts = {
        "data": "claims made by radrag.training.claim_edits of the development half of the shipped digests and "
        "guidelines" + (" and of PubMedQA development abstracts" if pubmedqa else ""),
        "claims": len(claims), "true": int(true.sum()), "documents": len({claim.document_id for claim in claims}),
        "worded freely": worded_freely, "seed": seed, "cv_auroc": round(float(auroc(true, crossed)), 4),
        "cv_ece": round(float(expected_calibration_error(crossed, true)), 4),
        "cv_false_caught": round(float((crossed[true == 0] < threshold).mean()), 4),
        "cv_true_rejected": round(float((crossed[true == 1] < threshold).mean()), 4),
        "command": "radrag train verifier",
    }  # fmt: skip
    stored = {
        "features": list(FEATURES), "weights": np.round(weights, 4).tolist(), "bias": round(bias, 4),
        "free": round(free, 4), "threshold": round(threshold, 4), "facts": facts,
    }  # fmt: skip
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    SupportModel.load(path)
    return facts


def _free(documents: Sequence[tuple[str, str]], verifier: AlignmentVerifier) -> tuple[float, int]:
    """Return the share supported of the hand-written claims that do not follow their source, and their number."""
    known = {name for name, _ in documents}
    claims = [claim for claim in load_claims("development") if claim.document_id in known]
    _, order = features_of(claims, documents, verifier)
    free = [claim.supported for claim, close in zip(claims, order, strict=True) if not close]
    return (sum(free) + 1) / (len(free) + 2), len(free)  # Laplace's rule of succession: half where there is none


def _threshold(chances: NDArray[np.float64], kinds: Sequence[str], free: float) -> float:
    """Return the probability below which the allowed share of the rewordings lies; quotes are never in doubt.

    Rewordings that an objection has turned down already, worth ``free`` at most, are not counted again.
    """
    reworded = chances[np.asarray(kinds) == "paraphrase"]
    return float(np.quantile(reworded[reworded > free], REJECTED))


def _balanced(claims: Sequence[EditedClaim]) -> NDArray[np.float64]:
    """Weigh claims so that true and false count the same, and quotes, which tell little, a fourth of rewordings."""
    raw = np.asarray([0.25 if claim.kind == "quote" else 1.0 for claim in claims])
    true = np.asarray([claim.true for claim in claims])
    raw[true] *= raw[~true].sum() / max(raw[true].sum(), 1.0)
    return raw


def _fit(
    table: NDArray[np.float64], true: NDArray[np.int64], share: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Return weights with the signs that their names promise, and the bias, under a Gaussian prior."""
    sign = 2.0 * true - 1
    prior = np.asarray([PRIOR.get(name, 0.0) for name in FEATURES])

    def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        off, margin = values[:-1] - prior, sign * (table @ values[:-1] + values[-1])
        slope = -sign * share * expit(-margin)
        total = float(share @ np.logaddexp(0, -margin) + PENALTY * off @ off / 2)
        return total, np.append(table.T @ slope + PENALTY * off, slope.sum())

    bounds = [(0.0, None) if name in FOR else (None, 0.0) for name in FEATURES] + [(None, None)]
    found = minimize(loss, np.append(prior, 0.0), jac=True, method="L-BFGS-B", bounds=bounds)
    return found.x[:-1], float(found.x[-1])
