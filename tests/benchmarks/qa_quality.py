"""Question answering on the shipped questions over the shipped protocols and evidence.

The questions were written for this corpus, and the shipped confidence model was fitted on them too, beside PubMedQA, so
its AUROC here is of questions it has seen; the cross-fitted one beside it is not.

python tests/benchmarks/qa_quality.py [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import arguments, report

import radrag as rr
from radrag.grounding import evidence_features
from radrag.indexes.encoders import StaticEncoder
from radrag.metrics import auroc, bootstrap, bootstrap_statistic
from radrag.types import Hit

MODES = {"hybrid": "hybrid", "BM25 only": "lexical", "dense only": "dense"}


def main() -> None:
    """Print the tables."""
    args = arguments(__doc__ or "").parse_args()
    questions = rr.load_questions()
    if args.quick:
        chosen = np.random.default_rng(0).choice(len(questions), 30, replace=False)
        questions = [questions[row] for row in sorted(chosen)]
    with tempfile.TemporaryDirectory() as folder, rr.HybridIndex.create(Path(folder) / "index") as index:
        index.add(rr.load_protocols() + rr.load_evidence())
        qa = rr.QAPipeline(index)
        answers = qa.batch([question.text for question in questions])
        found = _retrieval(index, questions, args)
        _confidence(index, questions, answers, args)
        _quotes(index, questions, answers, args)
        _by_type(questions, answers, found, args)
        _against(rr.compare(qa, qa.without_retrieval(), questions), args)


def _flat(text: str) -> str:
    return " ".join(text.split())


def _holds(hit: Hit, question: rr.Question) -> bool:
    """Say whether a passage overlaps a gold span, or has its words: some sentences stand alike on several pages."""
    passage = hit.passage
    return any(
        (passage.document_id == gold.document_id and passage.start < gold.end and gold.start < passage.end)
        or _flat(gold.quote) in _flat(passage.text)
        for gold in question.gold
    )


def _retrieval(index: rr.HybridIndex, questions: Sequence[rr.Question], args: argparse.Namespace) -> dict[str, float]:
    asked = [question for question in questions if question.answerable]
    rows, hybrid = [], {}
    for name, mode in MODES.items():
        runs = index.search([question.text for question in asked], k=5, mode=mode)
        found = [float(any(_holds(hit, q) for hit in hits)) for q, hits in zip(asked, runs, strict=True)]
        hybrid = hybrid or dict(zip((question.id for question in asked), found, strict=True))
        rows.append([name, bootstrap(np.asarray(found), seed=0)])
    title = f"Gold passage among the first 5 of {len(index)}, {len(asked)} answerable questions"
    report(title, ["search", "share found"], rows, args)
    return hybrid


def _confidence(
    index: rr.HybridIndex, questions: Sequence[rr.Question], answers: Sequence[rr.Answer], args: argparse.Namespace
) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    true = np.asarray([int(question.answerable) for question in questions])
    encoder, texts = StaticEncoder(), [question.text for question in questions]
    runs = index.search(texts, k=8)
    table = [evidence_features(text, hits, index.rarity, encoder) for text, hits in zip(texts, runs, strict=True)]
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    model = LogisticRegression(C=1.0, max_iter=2000)
    crossed = cross_val_predict(model, np.asarray(table), true, cv=folds, method="predict_proba")[:, 1]
    scores = {
        "shipped model, which was fitted on these questions too": [answer.confidence for answer in answers],
        "same features, refitted in 5 folds of these questions alone": crossed,
    }
    rows = [[name, bootstrap_statistic((true, score), auroc, seed=0)] for name, score in scores.items()]
    title = f"Confidence: {true.sum()} answerable against {(1 - true).sum()} near misses"
    report(title, ["model", "AUROC"], rows, args)


def _quotes(
    index: rr.HybridIndex, questions: Sequence[rr.Question], answers: Sequence[rr.Answer], args: argparse.Namespace
) -> None:
    cited = [citation for answer in answers for citation in answer.citations]
    exact = sum(index.document(one.document_id).text[one.start : one.end] == one.quote for one in cited)
    abstained = sum(answer.abstained for answer in answers)
    report(
        "Quotes that are the very characters of their source",
        ["questions", "abstained", "citations", "exact"],
        [[len(questions), abstained, len(cited), exact]],
        args,
    )
    if exact != len(cited):
        raise SystemExit(f"{len(cited) - exact} of {len(cited)} quotes are not in their source")


def _by_type(
    questions: Sequence[rr.Question], answers: Sequence[rr.Answer], found: dict[str, float], args: argparse.Namespace
) -> None:
    rows = []
    for kind in sorted({question.type for question in questions}):
        pairs = [(q, a) for q, a in zip(questions, answers, strict=True) if q.type == kind]
        asked = [(q, a) for q, a in pairs if q.answerable]
        figures = [
            [found[q.id] for q, _ in asked],
            [float(not a.abstained) for _, a in asked],
            [float({c.document_id for c in a.citations} & {g.document_id for g in q.gold} != set()) for q, a in asked],
            [float(a.abstained) for q, a in pairs if not q.answerable],
        ]
        rows.append([kind, *(_share(values) for values in figures)])
    columns = ["type", "gold in first 5", "answered", "cites a gold document", "abstains on near misses"]
    report("By question type", columns, rows, args)


def _share(values: Sequence[float]) -> Any:
    return bootstrap(np.asarray(values), seed=0) if len(values) > 1 else f"too few (n={len(values)})"


def _against(made: Any, args: argparse.Namespace) -> None:
    rows = [
        [row.metric, row.system, row.baseline, row.difference, "" if row.test is None else f"{row.test.p_value:.2g}"]
        for row in made.rows
    ]
    rows += [[f"not scored: {reason}", str(count), "", "", ""] for reason, count in made.unscored.items()]
    title = f"RAG against no RAG, {made.items} questions"
    report(title, ["", "RAG", "no RAG", "difference, paired", "p (McNemar)"], rows, args)


if __name__ == "__main__":
    main()
