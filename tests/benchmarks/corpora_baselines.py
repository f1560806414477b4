"""Simple baselines on every shipped corpus, so that each is seen to be neither trivial nor noise.

Notes: majority, BM25 10 nearest notes, TF-IDF with a linear support vector machine, all fitted on the made notes.
Reports: majority and keyword baselines, and TF-IDF with a linear machine per finding, in 5 folds; a cell is a report
and a finding, and whole reports are resampled. Questions: BM25 passages, and how many of a question's words its gold
quotes share. Evidence: BM25 on the questions that studies disagree on. Nothing here is radrag's own method, except its
tokenizer and its BM25, which the tests hold equal to rank-bm25.

python tests/benchmarks/corpora_baselines.py [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import arguments, report
from rank_bm25 import BM25Okapi
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

import radrag as rr
from radrag.corpora import corpus_folder, load_conflicts, load_finding_sets, load_reports
from radrag.indexes.tokens import tokenize
from radrag.metrics import bootstrap, bootstrap_statistic, f1
from radrag.types import LabelledReport

NEIGHBOURS = 10
FOLDS = 5
STOP = frozenset(
    "a about after an and any are as at be been before but by can do does for from had has have he her his how i if in "
    "is it its may me must my need no not of on one or she should so than that the their them there they this to was "
    "we were what when which who why will with would you".split()
)


def main() -> None:
    """Print the tables."""
    args = arguments(__doc__ or "").parse_args()
    _notes(args)
    _reports(args)
    with tempfile.TemporaryDirectory() as folder, rr.HybridIndex.create(Path(folder) / "index") as index:
        index.add([*rr.load_protocols(), *rr.load_evidence()])
        _questions(index, args)
        _conflicts(index, args)


def _notes(args: argparse.Namespace) -> None:
    train, rows = rr.load_notes("train"), []
    if args.quick:
        train = train[:2000]
    texts, labels = [note.text for note in train], [note.label for note in train]
    baselines = {
        "majority": _majority(labels),
        f"BM25, {NEIGHBOURS} nearest notes": _nearest(texts, labels),
        "TF-IDF + linear": _linear(texts, labels),
    }
    for split in ("calibration", "test"):
        notes = rr.load_notes(split)[: 40 if args.quick else None]
        true = [note.label for note in notes]
        for name, predict in baselines.items():
            given = predict([note.text for note in notes])
            taken = [n.label if one in n.also else one for n, one in zip(notes, given, strict=True)]
            right = np.asarray([a == b for a, b in zip(true, taken, strict=True)], dtype=float)
            macro = bootstrap_statistic((true, taken), _macro, seed=0)
            rows.append([split, name, bootstrap(right, seed=0), macro])
    title = f"Protocol notes: {len(train):,} made, {len(set(labels))} labels; also-labels count as right"
    report(title, ["split", "baseline", "accuracy", "macro-F1"], rows, args)


def _macro(gold: Any, given: Any) -> float:
    """Return the mean F1 of the labels that occur; one that a resample lacks has none."""
    return float(f1(list(gold), list(given), labels=sorted(set(gold)), average="macro", zero_division=0.0))


def _majority(labels: Sequence[str]) -> Callable[[Sequence[str]], list[str]]:
    first = min(Counter(labels).items(), key=lambda pair: (-pair[1], pair[0]))[0]
    return lambda texts: [first] * len(texts)


def _nearest(texts: Sequence[str], labels: Sequence[str]) -> Callable[[Sequence[str]], list[str]]:
    ranker = BM25Okapi([tokenize(text) for text in texts])

    def predict(queries: Sequence[str]) -> list[str]:
        given = []
        for query in queries:
            scores = ranker.get_scores(sorted(set(tokenize(query))))
            near = np.argsort(-scores, kind="stable")[:NEIGHBOURS]
            votes: Counter[str] = Counter()
            for row in near:
                votes[labels[row]] += scores[row]
            given.append(min(votes.items(), key=lambda pair: (-pair[1], pair[0]))[0])
        return given

    return predict


def _linear(texts: Sequence[str], labels: Sequence[str]) -> Callable[[Sequence[str]], list[str]]:
    if len(set(labels)) == 1:
        return lambda queries: [labels[0]] * len(queries)
    vectors = TfidfVectorizer(
        tokenizer=tokenize, token_pattern=None, lowercase=False, ngram_range=(1, 2), sublinear_tf=True
    )
    machine = LinearSVC(random_state=0).fit(vectors.fit_transform(texts), labels)
    return lambda queries: machine.predict(vectors.transform(queries)).tolist()


def _reports(args: argparse.Namespace) -> None:
    everything, sets, rows = load_reports(), load_finding_sets(), []
    for name, findings in sets.items():
        chosen = [one for one in everything if one.finding_set == name]
        folds = np.random.default_rng(0).permutation(len(chosen)) % FOLDS
        words = {one.id: [one.name, *one.synonyms] for one in findings}
        true, made = [], {"majority": [], "keywords": [], "TF-IDF + linear": []}
        for finding in [] if args.quick and name != "chest" else words:
            status = [_status(one, finding) for one in chosen]
            true += status
            made["keywords"] += ["present" if _named(one, words[finding]) else "not mentioned" for one in chosen]
            for method, fit in (("majority", lambda texts, labels: _majority(labels)), ("TF-IDF + linear", _linear)):
                given = [""] * len(chosen)
                for fold in range(FOLDS):
                    known, held = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
                    predict = fit([chosen[row].text for row in known], [status[row] for row in known])
                    for row, one in zip(held, predict([chosen[row].text for row in held]), strict=True):
                        given[row] = one
                made[method] += given
        groups = [one.id for one in chosen] * (len(true) // len(chosen))
        for method, given in made.items():
            if not true:
                continue
            right = np.asarray([a == b for a, b in zip(true, given, strict=True)], dtype=float)
            macro = bootstrap_statistic((true, given), _macro, seed=0, groups=groups)
            rows.append([name, len(chosen), method, bootstrap(right, seed=0, groups=groups), macro])
    title = f"Reports: status of each finding (5 statuses), {FOLDS} folds over reports"
    report(title, ["finding set", "reports", "baseline", "accuracy", "macro-F1 of statuses"], rows, args)


def _status(one: LabelledReport, finding: str) -> str:
    return next(str(label.status) for label in one.findings if label.finding == finding)


def _named(one: LabelledReport, names: Sequence[str]) -> bool:
    text = f"{one.section('findings')}\n{one.section('impression')}".lower()
    return any(name.lower() in text for name in names)


def _questions(index: rr.HybridIndex, args: argparse.Namespace) -> None:
    path = corpus_folder("questions") / "questions.jsonl"
    raw = {row["id"]: row for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())}
    asked = [one for one in rr.load_questions() if one.answerable]
    found = index.search([one.text for one in asked], k=5, mode="lexical")
    passage = [
        any(h.passage.document_id == g.document_id and h.passage.start < g.end and g.start < h.passage.end
            for h in hits for g in one.gold)
        for one, hits in zip(asked, found, strict=True)
    ]  # fmt: skip
    document = [
        bool({hit.passage.document_id for hit in hits} & {gold.document_id for gold in one.gold})
        for one, hits in zip(asked, found, strict=True)
    ]
    overlap = [_overlap(one) for one in asked]
    slices: dict[str, list[int]] = {"all": list(range(len(asked)))}
    for row, one in enumerate(asked):
        where = "evidence" if one.gold[0].document_id.startswith("PMID:") else "protocols"
        for name in (one.type, where, *(f"turns on: {what}" for what in raw[one.id]["turns_on"])):
            slices.setdefault(name, []).append(row)
    rows = [
        [name, *(bootstrap(np.asarray(values, dtype=float)[at], seed=0) for values in (passage, document, overlap))]
        for name, at in slices.items()
    ]
    columns = [
        "questions",
        "gold passage in BM25's top 5",
        "gold document in top 5",
        "words shared with the gold quotes",
    ]
    report(f"Questions: {len(asked)} answerable of {len(raw)}", columns, rows, args)


def _overlap(question: rr.Question) -> float:
    """Return the share of a question's content words that its gold quotes hold, after stemming."""
    words = set(tokenize(" ".join(w for w in question.text.lower().split() if w.strip("?.,") not in STOP)))
    gold = {term for span in question.gold for term in tokenize(span.quote)}
    return len(words & gold) / len(words)


def _conflicts(index: rr.HybridIndex, args: argparse.Namespace) -> None:
    conflicts = load_conflicts()
    found = index.search([one.question for one in conflicts], k=10, mode="lexical")
    recall = [
        len({hit.passage.document_id for hit in hits} & set(one.documents)) / len(one.documents)
        for one, hits in zip(conflicts, found, strict=True)
    ]
    rows = [["BM25", len(conflicts), bootstrap(np.asarray(recall), seed=0)]]
    report("Evidence: studies that disagree", ["baseline", "sets", "share of the studies in the top 10"], rows, args)


if __name__ == "__main__":
    main()
