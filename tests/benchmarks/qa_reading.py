"""The extractive reader and the answer forms: yes/no, PubMedQA, summaries, factoids, recorded model outputs, time.

BioASQ's questions are searched in the whole development pool (34,078 documents, of which most of BioASQ's gold ones are
gold snippets of some 30 words: never compare these figures with figures from whole PubMed). The models that ship were
fitted on PubMedQA's development questions, MedQuAD and the shipped questions; BioASQ chose between settings (how much a
question made false weighs), so that its 7b-9b figures of the shipped models are of development data too. Nothing fitted
on BioASQ ships.

python tests/benchmarks/qa_reading.py [--quick] [--json FILE] [--index FOLDER]
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from common import arguments, records, report

import radrag as rr
from radrag.indexes.tokens import tokenize
from radrag.metrics import (
    bioasq_yes_no,
    bootstrap,
    bootstrap_statistic,
    expected_calibration_error,
    f1,
    normalize_answer,
    paired_bootstrap,
    rouge_n,
)
from radrag.reading.extractive import ExtractiveReader
from radrag.reading.forms import parse, recognise
from radrag.reading.sentence_model import SentenceModel
from radrag.reading.sentences import describe, select
from radrag.reading.verdict import VerdictModel, features
from radrag.training.verdict import fit_logistic, fit_verdict
from radrag.types import VERDICTS, Document, Hit

K = 8
Found = list[Sequence[Hit]]
_OURS = {"A": "yes", "B": "no"}


def main() -> None:
    """Print the tables."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--index", type=Path, help="keep the index of the pool here, and use it if it is there")
    args = parser.parse_args()
    questions = list(records("bioasq_7b_9b.jsonl.gz"))[:: 10 if args.quick else 1]
    pubmedqa = list(records("pubmedqa_dev500.jsonl.gz"))[:: 5 if args.quick else 1]
    _forms(questions, args)
    _pubmedqa(pubmedqa, args)
    with tempfile.TemporaryDirectory() if args.index is None else nullcontext(args.index) as folder:
        with _pool(Path(folder) / "pool", args.quick) as index:
            found = index.search([question["question"] for question in questions], k=K)
            _yes_no(questions, found, len(index), args)
            _summaries(questions, found, args)
            _factoids(questions, found, args)
            _retrieved_pubmedqa(pubmedqa, index, args)
            _speed(index, questions, args)


def _pool(path: Path, quick: bool) -> rr.HybridIndex:
    if path.is_dir():
        return rr.HybridIndex.open(path)
    index = rr.HybridIndex.create(path)
    pool = (
        Document(f"PMID:{one['pmid']}", one["text"], one["title"], one["kind"])
        for number, one in enumerate(records("abstracts_pool.jsonl.gz"))
        if not quick or number < 3000
    )
    index.add(pool)
    return index


def _folds(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.arange(count) % 5)


def _crossed(table: np.ndarray, true: np.ndarray, strength: float) -> np.ndarray:
    """Return cross-fitted P(yes) of a two-class logistic model, 5 folds."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    fold, chances = _folds(len(true)), np.zeros(len(true))
    for held in range(5):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
        model.fit(table[fold != held], true[fold != held])
        chances[fold == held] = model.predict_proba(table[fold == held])[:, 1]
    return chances


def _yes_no(questions: list[dict[str, Any]], found: Found, passages: int, args: argparse.Namespace) -> None:
    asked = [(q, hits) for q, hits in zip(questions, found, strict=True) if q["type"] == "yesno"]
    gold = [q["exact_answer"].lower() for q, _ in asked]
    true = np.asarray([answer == "yes" for answer in gold]).astype(int)
    reader, rarity = ExtractiveReader(), SentenceModel.load().rarity
    sentences = [reader.scored(q["question"], hits) for q, hits in asked]
    table = np.stack([features(q["question"], ss, rarity) for (q, _), ss in zip(asked, sentences, strict=True)])
    alone = np.stack([features(q["question"], (), rarity) for q, _ in asked])
    shipped = [VerdictModel.load("evidence").of(row) for row in table]
    guess = [VerdictModel.load("question").of(row) for row in alone]
    systems = {
        "always yes": ["yes"] * len(asked),
        "shipped, question alone": [one.answer for one in guess],
        "shipped, retrieved (not fitted on BioASQ)": [one.answer for one in shipped],
        "question alone, 5-fold on BioASQ": ["yes" if p > 0.5 else "no" for p in _crossed(alone, true, 0.03)],
        "retrieved, 5-fold on BioASQ (not shipped)": ["yes" if p > 0.5 else "no" for p in _crossed(table, true, 0.03)],
    }
    right = {
        name: np.asarray([float(a == b) for a, b in zip(said, gold, strict=True)]) for name, said in systems.items()
    }
    base = {"shipped, retrieved (not fitted on BioASQ)": "shipped, question alone",
            "retrieved, 5-fold on BioASQ (not shipped)": "question alone, 5-fold on BioASQ"}  # fmt: skip
    rows = [
        [name, bootstrap(right[name], seed=0), bioasq_yes_no(gold, said).macro_f1, sum(one == "maybe" for one in said),
         paired_bootstrap(right[name], right[base[name]], seed=0) if name in base else ""]
        for name, said in systems.items()
    ]  # fmt: skip
    title = f"BioASQ 7b-9b yes/no, {len(asked)} questions, evidence from {passages:,} passages"
    report(title, ["system", "accuracy", "macro F1", "maybe", "gain over question alone, paired"], rows, args)
    confident = np.asarray([max(one.probability.values()) for one in shipped])
    hit = right["shipped, retrieved (not fitted on BioASQ)"]
    value = bootstrap_statistic((confident, hit), expected_calibration_error, seed=0)
    report("Calibration error of the shipped verdict on it", ["ECE"], [[value]], args)


def _pubmedqa(items: list[dict[str, Any]], args: argparse.Namespace) -> None:
    corpus = [*rr.load_protocols(), *rr.load_evidence()]
    with tempfile.TemporaryDirectory() as folder:
        facts = fit_verdict(items, rr.load_questions(), corpus, Path(folder) / "verdict.json")
    rows = [[name, fact["n"], fact["cv_accuracy"], fact["cv_calibration_error"], fact["majority"]]
            for name, fact in facts.items()]  # fmt: skip
    report("PubMedQA development, 5-fold as in `radrag train verdict`", ["model", "n", "accuracy", "ECE", "majority"],
           rows, args)  # fmt: skip
    reader, rarity = ExtractiveReader(), SentenceModel.load().rarity
    with tempfile.TemporaryDirectory() as folder, rr.HybridIndex.create(Path(folder) / "index") as index:
        index.add(Document(f"PMID:{r['pmid']}", "\n\n".join(r["contexts"]), kind="abstract") for r in items)
        own = [index.search(r["question"], k=K, where={"document_id": f"PMID:{r['pmid']}"}) for r in items]
    table = np.stack([features(r["question"], reader.scored(r["question"], hits), rarity)
                      for r, hits in zip(items, own, strict=True)])  # fmt: skip
    answers = np.asarray([VERDICTS.index(r["answer"]) for r in items])
    fold, chances = _folds(len(items)), np.zeros((len(items), 3))
    for held in range(5):
        weights, bias = fit_logistic(table[fold != held], answers[fold != held], np.ones((fold != held).sum()), 0.003)
        logits = table[fold == held] @ weights.T + bias
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        chances[fold == held] = odds / odds.sum(axis=1, keepdims=True)
    right = (chances.argmax(axis=1) == answers).astype(float)
    error = bootstrap_statistic((chances.max(axis=1), right), expected_calibration_error, seed=0)
    named = [VERDICTS[row] for row in chances.argmax(axis=1)]
    macro = f1([r["answer"] for r in items], named, list(VERDICTS), average="macro", zero_division=0.0)
    title = f"PubMedQA development, abstract given, {len(items)} questions, cross-fitted"
    report(title, ["accuracy", "macro F1", "ECE"], [[bootstrap(right, seed=0), macro, error]], args)


def _retrieved_pubmedqa(items: list[dict[str, Any]], index: rr.HybridIndex, args: argparse.Namespace) -> None:
    """Ask PubMedQA of the pool: its verdicts were fitted on, its evidence was not."""
    hits = index.search([r["question"] for r in items], k=K)
    drafts = ExtractiveReader().read([r["question"] for r in items], hits)
    said = [(d.verdict.answer if d.verdict else None, r["answer"]) for d, r in zip(drafts, items, strict=True)]
    asked = [float(a == b) for a, b in said if a is not None]
    rows = [[len(items) - len(asked), bootstrap(np.asarray(asked), seed=0)]]
    title = "PubMedQA development over the pool, shipped model (fitted on these questions)"
    report(title, ["not seen as yes/no", "accuracy of the rest"], rows, args)


def _rouge(text: str, ideal: Sequence[str]) -> tuple[float, float]:
    made = [rouge_n(text, one, 2) for one in ideal]
    return max(one.recall for one in made), max(one.f1 for one in made)


def _summaries(questions: list[dict[str, Any]], found: Found, args: argparse.Namespace) -> None:
    asked = [(q, hits) for q, hits in zip(questions, found, strict=True) if q["type"] == "summary"]
    reader, model = ExtractiveReader(), SentenceModel.load()
    tables, sentences, targets = [], [], []
    for q, hits in asked:
        ss = reader.scored(q["question"], hits)
        cosines = np.asarray([one.cosine for one in ss])
        tables.append(describe(q["question"], ss, hits, model.rarity, cosines)[:, :-1])  # length: a trap of this pool
        sentences.append(ss)
        targets.append(np.asarray([sum(_rouge(one.text, q["ideal_answer"])) / 2 for one in ss]))
    fold = _folds(len(asked))
    rows = []
    for name in ("first three sentences found", "shipped", "fitted on BioASQ, 5-fold (not shipped)"):
        scores = []
        for i, (q, _) in enumerate(asked):
            ss = sentences[i]
            if name.startswith("first"):
                taken = ss[:3]
            elif name == "shipped":
                taken = select(ss, 3)
            else:
                learnt = _least_squares([(tables[j], targets[j]) for j in np.flatnonzero(fold != fold[i])], fold[i])
                made = tables[i] @ learnt
                order = sorted(range(len(ss)), key=lambda j: -made[j])
                taken = _distinct([ss[j] for j in order])
            scores.append(_rouge(" ".join(one.text for one in taken), q["ideal_answer"]))
        table = np.asarray(scores)
        rows.append([name, bootstrap(table[:, 0], seed=0), bootstrap(table[:, 1], seed=0)])
    title = f"BioASQ 7b-9b summaries, {len(asked)} questions: ROUGE-2 of the top three sentences"
    report(title, ["system", "recall", "F1"], rows, args)


_LEARNT: dict[int, np.ndarray] = {}


def _least_squares(known: list[tuple[np.ndarray, np.ndarray]], fold: int) -> np.ndarray:
    if fold not in _LEARNT:
        x = np.concatenate([table - table.mean(axis=0) for table, _ in known if len(table)])
        y = np.concatenate([target - target.mean() for table, target in known if len(table)])
        scale = x.std(axis=0) + 1e-6
        inner = (x / scale).T @ (x / scale) + np.eye(x.shape[1])
        _LEARNT[fold] = np.linalg.solve(inner, (x / scale).T @ y) / scale
    return _LEARNT[fold]


def _distinct(ranked: list[Any]) -> list[Any]:
    taken: list[Any] = []
    for one in ranked:
        if len(taken) < 3 and all(len(one.terms & t.terms) <= 0.6 * len(one.terms | t.terms) for t in taken):
            taken.append(one)
    return taken


def _words(text: str) -> str:
    """Return the words of a text in lower case with a blank around each; every other character parts words."""
    return f" {' '.join(re.sub(r'[^a-z0-9]+', ' ', text.lower()).split())} "


def _factoids(questions: list[dict[str, Any]], found: Found, args: argparse.Namespace) -> None:
    """Look for an answer as successive words of a passage, read in three ways."""
    readings = {
        "words": _words,
        "words, as SQuAD normalises": lambda text: f" {normalize_answer(text)} ",
        "index terms": lambda text: f" {' '.join(tokenize(text))} ",
    }
    rows = []
    asked = [(q, hits) for q, hits in zip(questions, found, strict=True) if q["type"] == "factoid"]
    for name, read in readings.items():
        ranks = []
        for q, hits in asked:
            names = [one for part in q["exact_answer"] for one in ([part] if isinstance(part, str) else part)]
            wanted = [text for text in map(read, names) if text.strip()]
            texts = [read(f"{hit.passage.title} {hit.passage.text}") for hit in hits]
            ranks.append(next((rank for rank, text in enumerate(texts) if any(one in text for one in wanted)), K))
        table = np.asarray(ranks)
        rows.append([name, *(bootstrap((table < k).astype(float), seed=0) for k in (1, 5, K))])
    title = f"BioASQ 7b-9b factoids, {len(asked)} questions: an answer stands in the first passages"
    report(title, ["read as", "first", "first five", f"first {K}"], rows, args)


def _forms(questions: list[dict[str, Any]], args: argparse.Namespace) -> None:
    """Recognise the form of each question, and read every recorded output."""
    rows = []
    for kind in ("yesno", "factoid", "list", "summary"):
        part = [recognise(q["question"]) for q in questions if q["type"] == kind]
        rows.append([kind, len(part), *(sum(one == name for one in part) for name in
                     ("yesno", "factoid", "list", "summary", "text"))])  # fmt: skip
    report("Form recognised from the question, BioASQ 7b-9b", ["gold", "n", "yesno", "factoid", "list", "summary",
           "text"], rows, args)  # fmt: skip
    outputs = list(records("recorded_llm_outputs_bioasq_7b_9b.jsonl.gz"))
    rows, reasons, other = [], Counter[str](), Counter[str]()
    for model, setting in sorted({(one["model"], one["setting"]) for one in outputs}):
        part = [one for one in outputs if (one["model"], one["setting"]) == (model, setting)]
        ours = [parse("choice", one["output"], one["options"]) for one in part]
        theirs = np.asarray([float(one["benchmark_parse"] == one["gold"]) for one in part])
        strict = np.asarray([float(one.value == p["gold"]) for one, p in zip(ours, part, strict=True)])
        read = [one.value is not None for one in ours]
        rows.append([model, setting, len(part), bootstrap(theirs, seed=0), bootstrap(strict, seed=0), sum(read)])
        for one, p in zip(ours, part, strict=True):
            reasons[one.failure or "read"] += 1
            if one.value != p["benchmark_parse"]:
                other["ours unparsed" if one.value is None else "OURS READ OTHERWISE"] += 1
    columns = ["model", "setting", "n", "accuracy, benchmark's rule", "accuracy, ours (unparsed is wrong)", "read"]
    report(f"Recorded outputs, {len(outputs)}", columns, rows, args)
    report("What became of each recorded output", ["outcome", "count"], sorted(reasons.items()), args)
    report("Where the benchmark's parser reads something else", ["", "count"], sorted(other.items()), args)


def _speed(index: rr.HybridIndex, questions: list[dict[str, Any]], args: argparse.Namespace) -> None:
    qa = rr.QAPipeline(index, min_confidence=0)
    for question in questions[:20]:
        qa(question["question"])
    times = []
    for question in questions[20:320]:
        start = time.perf_counter()
        qa(question["question"])
        times.append(1000 * (time.perf_counter() - start))
    rows = [[len(times), float(np.percentile(times, 50)), float(np.percentile(times, 95))]]
    report(f"An answer over {len(index):,} passages, one core, ms", ["questions", "p50", "p95"], rows, args)
    reader = ExtractiveReader()
    found = index.search([q["question"] for q in questions[20:320]], k=K)
    start = time.perf_counter()
    reader.read([q["question"] for q in questions[20:320]], found)
    spent = 1000 * (time.perf_counter() - start) / max(len(found), 1)
    report("Of that, reading alone, ms", ["mean"], [[spent]], args)


if __name__ == "__main__":
    main()
