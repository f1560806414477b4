"""Retrieval quality on the development pool: BM25, vectors, hybrids and re-ranking, on BioASQ 7b-9b and PubMedQA.

A document's rank is that of its best passage. 96 % of BioASQ's gold documents in this pool are gold snippets of some 30
words, so a length-only ranker and a pool without full abstracts stand beside the rest; never compare these figures
with figures from whole PubMed. PubMedQA's development questions are among what the shipped re-rankers were fitted on
(the encoders never saw them), so there the re-rankers are also cross-fitted: each fifth of the questions by weights of
the others. Every re-ranker is also judged among the snippet documents alone, and what is tuned is tuned there.
"""

from __future__ import annotations

import atexit
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from common import CachedEncoder, arguments, records, report

from radrag.indexes.encoders import load_encoder
from radrag.indexes.fusion import Fusion
from radrag.indexes.hybrid import HybridIndex
from radrag.indexes.rerank import LATE, LEARNED, LearnedReranker, Reranker
from radrag.indexes.rerank_features import SEARCH_PARTS
from radrag.indexes.rerank_late import LATE_FEATURES
from radrag.indexes.token_states import TokenReader, load_reader
from radrag.indexes.tokens import tokenize
from radrag.metrics import average_precision, bootstrap, hit, ndcg, paired_bootstrap, recall, reciprocal_rank
from radrag.training.reranker import Judged, fit_reranker, judged_lists
from radrag.types import Document

METRICS: dict[str, Callable[[Sequence[str], set[str]], float]] = {
    "nDCG@10": lambda ranked, gold: ndcg(ranked, gold, k=10),
    "MAP@10": lambda ranked, gold: average_precision(ranked, gold, 10, reachable=True),
    "recall@10": lambda ranked, gold: recall(ranked, gold, k=10),
    "hit@1": lambda ranked, gold: hit(ranked, gold, k=1),
    "MRR": lambda ranked, gold: reciprocal_rank(ranked, gold),
}
Runs = dict[str, list[list[str]]]
SNIPPETS = {"kind": "bioasq_snippets"}
_FOLDS = 5
SHIPPED = {"learned": (LEARNED, "static"), "late": (LATE, "minilm")}
_TUNED_DEPTH = 30  # hits a question to fit on: reading them for late interaction is what takes the time


def main() -> None:
    """Print the tables."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--encoders", nargs="*", default=["static", "minilm"], help="encoders to build hybrids with")
    parser.add_argument("--rerank", action="store_true", help="also re-rank with the learned one that needs no torch")
    parser.add_argument(
        "--late", action="store_true", help="also with late interaction read by MiniLM; takes some 3 GB and a while"
    )
    parser.add_argument(
        "--tuned", action="store_true", help="also fit a re-ranker on BioASQ 7b-8b, judged on 9b; it is not shipped"
    )
    parser.add_argument("--sweep", action="store_true", help="also try other fusions and weights, on BioASQ 7b-8b only")
    args = parser.parse_args()
    pool, kinds = _pool(args.quick)
    gold = _questions(set(kinds))
    indexes = {name: _index(name, pool) for name in args.encoders}
    first = next(iter(indexes.values()))
    readers = _readers(args, kept_tokens=6_000_000)
    shipped = _shipped(readers) if args.rerank else {}
    for source, items in gold.items():
        if len(items) < 2:
            continue  # a --quick pool may hold no gold document of a source
        questions = [text for text, _ in items]
        runs: Runs = {"length only": [_shortest(pool)] * len(items), "BM25": _ranked(first, questions, mode="lexical")}
        for name, index in indexes.items():
            runs[f"{name} alone"] = _ranked(index, questions, mode="dense")
            runs[f"{name} hybrid"] = _ranked(index, questions)
            for label, reranker in shipped.items():
                runs[f"{name} hybrid, {label}"] = _reranked(index, questions, reranker)
        title = f"{source}, {len(items)} questions, pool of {len(pool):,} documents, {len(first):,} passages"
        _table(title, runs, [wanted for _, wanted in items], args)
        if source.startswith("BioASQ"):
            _same_kind(first, indexes, items, kinds, shipped, args)
    _speed(args.encoders, pool, args)
    if shipped:
        _rerank_speed(indexes, list(dict.fromkeys(q for items in gold.values() for q, _ in items)), args)
        _crossfitted(indexes, gold["PubMedQA development"], readers, args)
    if args.tuned and len(gold["BioASQ 9b"]) > 1:
        _tuned(indexes, gold, kinds, readers, args)
    if args.sweep:
        _sweep(indexes, gold, args)


def _pool(quick: bool) -> tuple[list[Document], dict[str, str]]:
    documents, kinds = [], {}
    for record in records("abstracts_pool.jsonl.gz"):
        if quick and len(documents) == 100:
            break
        name = f"PMID:{record['pmid']}"
        documents.append(Document(name, record["text"], record["title"], record["kind"]))
        kinds[name] = record["kind"]
    return documents, kinds


def _questions(pool: set[str]) -> dict[str, list[tuple[str, set[str]]]]:
    """Return each source's questions with the gold documents that are in the pool; one without any is left out."""
    sources: dict[str, list[tuple[str, set[str]]]] = {"BioASQ 7b-9b": [], "BioASQ 9b": [], "PubMedQA development": []}
    for record in records("bioasq_7b_9b.jsonl.gz"):
        item = (record["question"], {f"PMID:{pmid}" for pmid in record["pmids"]} & pool)
        if item[1]:
            sources["BioASQ 7b-9b"].append(item)
            if record["batch"].startswith("9b"):
                sources["BioASQ 9b"].append(item)
    for record in records("pubmedqa_dev500.jsonl.gz"):
        if f"PMID:{record['pmid']}" in pool:
            sources["PubMedQA development"].append((record["question"], {f"PMID:{record['pmid']}"}))
    return sources


def _index(name: str, pool: list[Document], **settings: Any) -> HybridIndex:
    folder = Path(tempfile.mkdtemp(prefix="radrag-benchmark-"))
    index = HybridIndex.create(folder / "index", encoder=CachedEncoder(load_encoder(name)), **settings)
    index.add(pool, progress=True, total=len(pool))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return index


def _ranked(index: HybridIndex, questions: list[str], **options: Any) -> list[list[str]]:
    runs = []
    for start in range(0, len(questions), 256):
        for hits in index.search(questions[start : start + 256], k=60, **options):
            runs.append(list(dict.fromkeys(hit.passage.document_id for hit in hits)))
    return runs


def _reranked(
    index: HybridIndex, questions: list[str], reranker: Reranker, where: dict[str, Any] | None = None
) -> list[list[str]]:
    found = index.search(questions, k=60, rerank=False, where=where)
    runs = []
    for question, hits in zip(questions, found, strict=True):
        ordered = [*reranker.rerank(question, hits[:50]), *hits[50:]]
        runs.append(list(dict.fromkeys(hit.passage.document_id for hit in ordered)))
    return runs


def _readers(args: Any, **options: Any) -> dict[str, TokenReader]:
    """Return what reads passages for late interaction, by the name of the re-ranker."""
    return {name: load_reader(model, **options) for name, (_, model) in SHIPPED.items() if name != "late" or args.late}


def _shipped(readers: dict[str, TokenReader]) -> dict[str, Reranker]:
    return {f"{name} re-ranker": LearnedReranker(SHIPPED[name][0], encoder=one) for name, one in readers.items()}


def _speed(names: list[str], pool: list[Document], args: Any) -> None:
    """Time each encoder on passages of the pool, without its cache; the slow ones on fewer."""
    texts = [f"{document.title}\n{document.text}" for document in pool]
    rows = []
    for name in names:
        encoder = load_encoder(name)
        static = encoder.fingerprint.startswith("static:")
        part = random.Random(0).sample(texts, min(len(texts), 20_000 if static else 10 if args.quick else 200))
        encoder.encode(part[:20], "passage")
        start = time.perf_counter()
        encoder.encode(part, "passage")
        rows.append([name, len(part), encoder.dim, len(part) / (time.perf_counter() - start)])
    slowest = min(row[-1] for row in rows)
    report("Encoding", ["encoder", "passages", "dim", "passages/s", "times the slowest"],
           [[*row, row[-1] / slowest] for row in rows], args)  # fmt: skip


def _rerank_speed(indexes: dict[str, HybridIndex], questions: list[str], args: Any) -> None:
    """Time 50 hits a question, each question once, so that few texts were read before."""
    rows = []
    part = random.Random(0).sample(questions, min(len(questions), 3 if args.quick else 20))
    for name, index in indexes.items():
        found = index.search(part, k=50, rerank=False)
        for label, reranker in _shipped(_readers(args)).items():
            times = []
            for question, hits in zip(part, found, strict=True):
                start = time.perf_counter()
                reranker.rerank(question, hits)
                times.append(1000 * (time.perf_counter() - start))
            rows.append([name, label, len(part), float(np.median(times)), float(np.quantile(times, 0.95))])
    report("Re-ranking 50 hits", ["hybrid", "re-ranker", "questions", "p50 ms", "p95 ms"], rows, args)


def _crossfitted(indexes: dict[str, HybridIndex], items: Any, readers: dict[str, TokenReader], args: Any) -> None:
    """Judge on PubMedQA weights fitted on its other questions, without what the shipped ones are fitted without."""
    if len(items) < 5 * _FOLDS:
        return
    folds = np.random.default_rng(0).permutation(len(items)) % _FOLDS
    questions, wanted = [q for q, _ in items], [w for _, w in items]
    runs = {"BM25": _ranked(next(iter(indexes.values())), questions, mode="lexical")}
    for name, index in indexes.items():
        runs[f"{name} hybrid"] = _ranked(index, questions)
        for label, late in readers.items():
            run: list[list[str]] = [[]] * len(items)
            judged = [_lists(index, [item], "PubMedQA", late) for item in items]
            for fold in range(_FOLDS):
                lists = [one for at in np.flatnonzero(folds != fold) for one in judged[at]]
                held = np.flatnonzero(folds == fold).tolist()
                reranker = _fitted(lists, label, late, [*SEARCH_PARTS, *LATE_FEATURES[1:]])
                for at, ranked in zip(held, _reranked(index, [questions[at] for at in held], reranker), strict=True):
                    run[at] = ranked
            runs[f"{name} hybrid, {label} re-ranker, cross-fitted"] = run
    _table("PubMedQA, re-rankers cross-fitted", runs, wanted, args)


def _lists(
    index: HybridIndex, items: Any, source: str, late: TokenReader, where: dict[str, Any] | None = None
) -> list[Judged]:
    asked = [(q, lambda passage, own=own: passage.document_id in own) for q, own in items]
    return judged_lists(index, asked, source, depth=_TUNED_DEPTH, where=where, late=late)


def _fitted(lists: list[Judged], label: str, late: TokenReader, without: Sequence[str] = ()) -> LearnedReranker:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.json"
        fit_reranker(lists, path, data="not shipped", without=without, late=SHIPPED[label][1])
        return LearnedReranker(path, encoder=late)


def _tuned(
    indexes: dict[str, HybridIndex], gold: Any, kinds: dict[str, str], readers: dict[str, TokenReader], args: Any
) -> None:
    """Fit re-rankers on BioASQ 7b-8b and judge them on 9b. Its terms do not allow shipping what was fitted on it."""
    late_questions = {question for question, _ in gold["BioASQ 9b"]}
    early = [(q, wanted) for q, wanted in gold["BioASQ 7b-9b"] if q not in late_questions]
    made: dict[tuple[str, str], Reranker] = {}
    for name, index in indexes.items():
        for label, late in readers.items():
            lists = _lists(index, early, "BioASQ 7b-8b", late, SNIPPETS)
            made[name, f"tuned {label} re-ranker"] = _fitted(lists, label, late)
    for where, title in ((None, "whole pool"), (SNIPPETS, "only snippet documents")):
        items = gold["BioASQ 9b"] if where is None else _snippets_only(gold["BioASQ 9b"], kinds)
        questions, wanted = [q for q, _ in items], [w for _, w in items]
        runs = {"BM25": _ranked(next(iter(indexes.values())), questions, mode="lexical", where=where)}
        runs |= {f"{name} hybrid": _ranked(index, questions, where=where) for name, index in indexes.items()}
        for (name, label), reranker in made.items():
            runs[f"{name} hybrid, {label}"] = _reranked(indexes[name], questions, reranker, where)
        _table(f"BioASQ 9b, {title}, tuned on snippet documents for 7b-8b (not shipped)", runs, wanted, args)


def _shortest(pool: list[Document]) -> list[str]:
    """Rank every document by length, the shortest first, whatever the question."""
    return [document.id for document in sorted(pool, key=lambda one: (len(tokenize(one.text)), one.id))[:60]]


def _scores(run: list[list[str]], gold: list[set[str]], metric: str) -> np.ndarray:
    return np.asarray([METRICS[metric](ranked, wanted) for ranked, wanted in zip(run, gold, strict=True)])


def _table(title: str, runs: Runs, gold: list[set[str]], args: Any) -> None:
    rows = []
    for name, run in runs.items():
        cells: list[Any] = [name]
        for metric in METRICS:
            cells.append(
                bootstrap(_scores(run, gold, metric), seed=0)
                if metric == "nDCG@10"
                else float(_scores(run, gold, metric).mean())
            )
        metric = "nDCG@10"
        difference = paired_bootstrap(_scores(run, gold, metric), _scores(runs["BM25"], gold, metric), seed=0)
        rows.append([*cells, "" if name == "BM25" else difference, _gain(name, runs, gold)])
    report(title, ["system", *METRICS, "nDCG@10 less BM25's, paired", "less its hybrid's"], rows, args)


def _gain(name: str, runs: Runs, gold: list[set[str]]) -> Any:
    """Return what re-ranking adds to the hybrid whose hits it puts in order, paired."""
    base, found, _ = name.partition(" hybrid, ")
    if not found:
        return ""
    before = _scores(runs[f"{base} hybrid"], gold, "nDCG@10")
    return paired_bootstrap(_scores(runs[name], gold, "nDCG@10"), before, seed=0)


def _same_kind(
    first: HybridIndex, indexes: dict[str, HybridIndex], items: Any, kinds: dict[str, str],
    shipped: dict[str, Reranker], args: Any,
) -> None:  # fmt: skip
    """Search among gold-snippet documents only, so that being short tells nothing."""
    kept = _snippets_only(items, kinds)
    questions = [q for q, _ in kept]
    runs = {"BM25": _ranked(first, questions, mode="lexical", where=SNIPPETS)}
    for name, index in indexes.items():
        runs[f"{name} hybrid"] = _ranked(index, questions, where=SNIPPETS)
        for label, reranker in shipped.items():
            runs[f"{name} hybrid, {label}"] = _reranked(index, questions, reranker, SNIPPETS)
    count = sum(kind == "bioasq_snippets" for kind in kinds.values())
    _table(f"BioASQ, {len(kept)} questions, only the {count:,} snippet documents", runs, [w for _, w in kept], args)


def _snippets_only(items: Any, kinds: dict[str, str]) -> list[tuple[str, set[str]]]:
    kept = [(q, {d for d in wanted if kinds[d] == "bioasq_snippets"}) for q, wanted in items]
    return [(q, wanted) for q, wanted in kept if wanted]


def _sweep(indexes: dict[str, HybridIndex], gold: Any, args: Any) -> None:
    """Try fusions and weights on BioASQ 7b-8b and PubMedQA: this is where the defaults come from."""
    late = {q for q, _ in gold["BioASQ 9b"]}
    tuned = {
        "BioASQ 7b-8b": [item for item in gold["BioASQ 7b-9b"] if item[0] not in late],
        "PubMedQA": gold["PubMedQA development"],
    }
    rows = []
    for name in indexes:
        index = indexes[name]
        for fusion in Fusion:
            for weight in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7):
                settings = replace(index.settings, fusion=fusion, dense_weight=weight)
                cells: list[Any] = []
                for items in tuned.values():
                    run = _ranked(index, [q for q, _ in items], settings=settings)
                    cells += [float(_scores(run, [w for _, w in items], m).mean()) for m in ("nDCG@10", "hit@1")]
                rows.append([name, str(fusion), weight, *cells])
    columns = ["encoder", "fusion", "dense weight", *(f"{s} {m}" for s in tuned for m in ("nDCG@10", "hit@1"))]
    report("fusion sweep", columns, rows, args)


if __name__ == "__main__":
    main()
