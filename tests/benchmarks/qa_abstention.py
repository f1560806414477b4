"""Does the evidence score know when not to answer? All scores by models that saw none of the question's documents.

Shipped questions, with what the questions alone would tell; PubMedQA's development questions in the development pool,
with and without their own abstract; questions about single documents, half of them near misses; how kinds of studies
are read.

python tests/benchmarks/qa_abstention.py [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from common import DATA, arguments, records, report
from numpy.typing import NDArray
from scipy.special import expit

import radrag as rr
from radrag.corpora import load_near_misses
from radrag.grounding import Confidence
from radrag.grounding.asked import asked_for
from radrag.grounding.coverage import content_words
from radrag.grounding.evidence_level import Design, evidence_level
from radrag.indexes.encoders import StaticEncoder
from radrag.metrics import auroc, bootstrap, bootstrap_statistic, risk_coverage
from radrag.training.confidence import (
    Cases,
    about_documents,
    as_cases,
    collect_cases,
    cross_fitted,
    fit_monotone,
    open_distractors,
    risk_curve,
    with_and_without,
)  # fmt: skip
from radrag.training.reader import read_pubmedqa

PAIRED = 280  # questions after this number were written in pairs: same beginning, one answerable and one not
RISKS = (0.2, 0.25, 0.3, 0.35)


def main() -> None:
    """Print the tables."""
    args = arguments(__doc__ or "").parse_args()
    known = read_pubmedqa(DATA / "pubmedqa_dev500.jsonl.gz")[: 40 if args.quick else None]
    questions, corpus = rr.load_questions(), [*rr.load_protocols(), *rr.load_evidence()]
    near, beside = load_near_misses("development"), [] if args.quick else open_distractors(DATA)
    cases = collect_cases(known, questions, corpus, near, beside)
    chances = cross_fitted(cases)
    _shipped(cases, chances, questions, args)
    _near_misses(cases, chances, args)
    thresholds = _risks(cases, chances, args)
    _pool(cases, known, thresholds, args)
    _designs(args)


def _shipped(
    cases: Cases, chances: NDArray[np.float64], questions: list[rr.Question], args: argparse.Namespace
) -> None:
    text = {question.id: question.text for question in questions}
    chosen = np.isin(cases.parts, ("shipped", "near miss"))
    ids = [cases.ids[row] for row in np.flatnonzero(chosen)]
    alone = replace_table(cases[chosen], np.asarray([_alone(text[one]) for one in ids]))
    scores = {"evidence score": chances[chosen], "question alone": cross_fitted(alone)}
    paired = np.asarray([int(one[1:]) > PAIRED for one in ids])
    true = alone.true
    parts = {"all": np.ones(len(ids), bool), "first 280": ~paired, "written in pairs": paired}
    rows = []
    for part, rows_of in parts.items():
        counts = f"{true[rows_of].sum()} / {(1 - true[rows_of]).sum()}"
        figures = [bootstrap_statistic((true[rows_of], score[rows_of]), auroc, seed=0) for score in scores.values()]
        rows.append([part, counts, *figures])
    title = "Shipped questions: AUROC of having an answer, cross-fitted by document"
    report(title, ["questions", "answerable / not", *scores], rows, args)
    curve = risk_coverage(scores["evidence score"], true)
    table = [[p.coverage, p.n, round(p.threshold, 3), f"{p.risk:.3f} [{p.low:.3f}, {p.high:.3f}]"] for p in curve]
    report("Shipped questions: risk against coverage", ["coverage", "answered", "threshold", "risk"], table, args)


def _near_misses(cases: Cases, chances: NDArray[np.float64], args: argparse.Namespace) -> None:
    """Questions about single documents with that document's passages: development cross-fitted, test by what ships."""
    model, encoder = Confidence.load(), StaticEncoder()
    with tempfile.TemporaryDirectory() as folder, rr.HybridIndex.create(Path(folder) / "index") as index:
        index.add([*rr.load_protocols(), *rr.load_evidence()])
        test = as_cases(about_documents(load_near_misses("test"), index, encoder))
    known = np.isin(cases.parts, ("in the document", "not in the document"))
    scored = [("development, cross-fitted", cases[known], chances[known])]
    scored.append(("test", test, np.asarray([model(row) for row in test.table])))
    rows = []
    for name, chosen, scores in scored:
        groups = chosen.groups.tolist()
        area = bootstrap_statistic((chosen.true, scores), auroc, groups=groups, seed=0)
        answered = [bootstrap((scores[chosen.true == one] >= model.threshold).astype(float), seed=0) for one in (1, 0)]
        rows.append([name, len(chosen.ids), area, *answered])
    title = "Questions about one document, half of them near misses"
    report(title, ["split", "n", "AUROC", "answered of the answerable", "of the near misses"], rows, args)


def _alone(question: str) -> list[float]:
    """Describe a question without its evidence, in both directions, for weights are not negative."""
    size, kinds = len(content_words(question)) / 30, float(bool(asked_for(question).kinds))
    return [size, -size, kinds, -kinds]


def replace_table(cases: Cases, table: NDArray[np.float64]) -> Cases:
    """Return the same cases with other features."""
    return replace(cases, table=table)


def _risks(cases: Cases, chances: NDArray[np.float64], args: argparse.Namespace) -> dict[float, float]:
    curve = risk_curve(chances, cases.true, cases.shares)
    found: dict[float, float] = {}
    names = list(dict.fromkeys(cases.parts.tolist()))
    rows = []
    for risk in RISKS:
        safe = [point for point in curve if point.bound <= risk]
        if not safe:
            continue
        found[risk] = safe[0].threshold
        answered = [
            bootstrap((chances[cases.parts == name] >= safe[0].threshold).astype(float), seed=0) for name in names
        ]
        rows.append([risk, round(safe[0].threshold, 2), round(safe[0].coverage, 3), *answered])
    title = "Answered at a chosen risk (upper bound at 90 %; half of the mixture has no answer)"
    report(title, ["risk", "threshold", "coverage", *names], rows, args)
    return found


def _pool(cases: Cases, known: list[dict[str, Any]], thresholds: dict[float, float], args: argparse.Namespace) -> None:
    asked = [known[row] for row in np.random.default_rng(0).permutation(len(known))[: 10 if args.quick else 100]]
    encoder = StaticEncoder()
    with tempfile.TemporaryDirectory() as folder, rr.HybridIndex.create(Path(folder) / "index") as index:
        rows = list(records("abstracts_pool.jsonl.gz"))
        if args.quick:
            wanted = {f"{record['pmid']}" for record in asked}
            rows = [row for row in rows if str(row["pmid"]) in wanted] + rows[:500]
        found = {str(row["pmid"]): rr.Document(f"PMID:{row['pmid']}", row["text"], row["title"]) for row in rows}
        index.add(found.values())
        pool = as_cases([row for record in asked for row in with_and_without(record, index, encoder)])
    chances = np.zeros(len(pool.ids))
    names = sorted(set(pool.groups.tolist()))
    for fold in np.array_split(np.asarray(names), 5):
        rest = cases[~np.isin(cases.groups, fold)]
        weights, bias = fit_monotone(rest.table, rest.true, rest.shares)
        held = np.isin(pool.groups, fold)
        chances[held] = expit(pool.table[held] @ weights + bias)
    table = []
    for risk, threshold in thresholds.items():
        shares = [
            bootstrap((chances[pool.parts == part] >= threshold).astype(float), seed=0)
            for part in ("own abstract", "abstract removed")
        ]
        table.append([risk, round(threshold, 2), *shares])
    area = bootstrap_statistic((pool.true, chances), auroc, seed=0)
    title = f"PubMedQA development in the pool of {len(found):,}: share answered; AUROC {area}"
    report(title, ["risk", "threshold", "own abstract among the 8", "own abstract removed"], table, args)


def _designs(args: argparse.Namespace) -> None:
    rows = []
    digests = [one for one in rr.load_evidence() if evidence_level(one).basis == "stated"]
    pairs = [(evidence_level(one).design, evidence_level(replace(one, metadata={})).design) for one in digests]
    for design in Design:
        named = [gold is design for gold, found in pairs if found is design]
        there = [found is design for gold, found in pairs if gold is design]
        if there:
            rows.append([str(design), len(there), f"{sum(there)}/{len(there)}", f"{sum(named)}/{len(named)}"])
    right = np.asarray([gold is found for gold, found in pairs], float)
    title = f"Design of digests read from title and text alone: right {bootstrap(right, seed=0)}"
    report(title, ["design", "n", "found", "right where named"], rows, args)


if __name__ == "__main__":
    main()
