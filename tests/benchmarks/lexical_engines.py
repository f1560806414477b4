"""Lexical engines compared: the measurement by which the engine of the index was chosen.

Passages are sentences of the pool's abstracts, drawn with a seed until the length of a real abstract is reached. They
are cut into terms once, by the tokenizer of the index, and every engine gets the same terms, the same BioASQ questions
and k1 = 1.2, b = 0.75 (tantivy and FTS5 know no others). Every step runs in a process of its own with one thread:

    build          seconds of CPU work to write the index, its size on disk, and the peak of memory
    first          wall time of a fresh process that imports, opens and answers one question (files in the page cache)
    search         one question at a time, after 20 to warm up: questions a CPU second, wall p50 and p95, memory
    change         1 % more passages, then 1 % deleted, then the same questions; "rebuild" where an engine cannot

``error`` is the largest relative difference of a top-10 score from exact BM25, in millionths. Exact BM25 is computed
from the terms themselves, with the idf of Lucene; the one factor by which an engine scales its scores is taken out.

    pip install -c constraints.txt -e ".[benchmarks]"
    python tests/benchmarks/lexical_engines.py [--sizes 50000 500000] [--engines radrag tantivy] [--quick] [--json FILE]
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

K1, B = 1.2, 0.75
BATCH = 20_000
CHANGED = 0.01
SECONDS = 20.0  # a slow engine answers as many questions as fit
CHECKED = 40
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
Found = tuple[Any, Any]


class Corpus:
    """Token ids of passages on disk: the first ``count`` are there from the start, the rest is added later."""

    def __init__(self, folder: Path) -> None:
        facts = json.loads((folder / "facts.json").read_text())
        self.count, self.terms, self.queries = facts["count"], facts["terms"], facts["queries"]
        self.flat = np.load(folder / "flat.npy", mmap_mode="r")
        self.ends = np.load(folder / "ends.npy")
        self.deleted = np.load(folder / "deleted.npy")

    def ids(self, low: int, high: int) -> Iterator[Any]:
        """Yield the term ids of passages, int32 arrays."""
        for row in range(low, high):
            yield self.flat[self.ends[row - 1] if row else 0 : self.ends[row]]

    def lists(self, low: int, high: int) -> Iterator[list[str]]:
        """Yield the terms of passages."""
        for ids in self.ids(low, high):
            yield [self.terms[number] for number in ids.tolist()]

    def coded(self, low: int, high: int) -> Iterator[str]:
        """Yield passages as text for engines that cut it themselves; a term is a letter and its number."""
        for ids in self.ids(low, high):
            yield " ".join(f"t{number}" for number in ids.tolist())


class Engine(Protocol):
    """What is measured: built into a folder, opened from it."""

    changes: str

    def build(self, corpus: Corpus, folder: Path) -> None:
        """Write an index of the first ``corpus.count`` passages."""

    def open(self, folder: Path) -> None:
        """Open it; all that is needed must come from the folder."""

    def top(self, terms: Sequence[str], k: int) -> Found:
        """Return numbers and scores of the best passages."""

    def add(self, corpus: Corpus, low: int, high: int) -> None:
        """Add passages and make them visible."""

    def delete(self, corpus: Corpus, rows: Any) -> None:
        """Delete passages for good."""


class Radrag:
    """The postings and BM25 of this library, without its store."""

    changes = "in place"
    k1, b = K1, B

    def build(self, corpus: Corpus, folder: Path) -> None:
        from radrag.indexes.postings import build_postings, read_postings, write_postings
        from radrag.indexes.postings_merge import merge_postings

        parts = []
        for low in range(0, corpus.count, BATCH):
            parts.append(folder / f"part{low}")
            parts[-1].mkdir(parents=True)
            write_postings(build_postings(corpus.lists(low, min(low + BATCH, corpus.count))), parts[-1])
        merged = folder / "0"
        merged.mkdir()
        merge_postings([read_postings(part) for part in parts], [None] * len(parts), merged)
        for part in parts:
            shutil.rmtree(part)

    def open(self, folder: Path) -> None:
        from radrag.indexes.postings import read_postings

        self._folder, self._segments = folder, [read_postings(folder / "0")]
        self._masks: list[Any] = [None]
        self._dead: Counter[str] = Counter()
        self._reload(0, 0)

    def _reload(self, dead_rows: int, dead_terms: int) -> None:
        from radrag.indexes.bm25 import BM25, Statistics

        rows = sum(part.count for part in self._segments) - dead_rows
        terms = sum(int(part.lengths.sum(dtype=np.int64)) for part in self._segments) - dead_terms
        self._statistics = Statistics(rows, terms, lambda wanted: {term: self._dead[term] for term in wanted})
        self._engine = BM25(self._segments, self.k1, self.b, usual=self._masks)

    def top(self, terms: Sequence[str], k: int) -> Found:
        rows, scores = self._engine.top(terms, k, self._masks, self._statistics)
        best = np.argsort(-scores, kind="stable")[:k]
        return rows[best], scores[best]

    def add(self, corpus: Corpus, low: int, high: int) -> None:
        from radrag.indexes.postings import build_postings, read_postings, write_postings

        part = self._folder / str(len(self._segments))
        part.mkdir()
        write_postings(build_postings(corpus.lists(low, high)), part)
        self._segments.append(read_postings(part))
        self._masks.append(None)
        self._reload(0, 0)

    def delete(self, corpus: Corpus, rows: Any) -> None:
        lists = [next(corpus.lists(row, row + 1)) for row in rows.tolist()]
        self._dead.update(term for terms in lists for term in set(terms))
        starts = np.cumsum([0, *(part.count for part in self._segments)])
        for number, part in enumerate(self._segments):
            mask = np.ones(part.count, dtype=bool)
            mask[rows[(rows >= starts[number]) & (rows < starts[number + 1])] - starts[number]] = False
            self._masks[number] = mask
        self._reload(len(rows), sum(map(len, lists)))


class Bm25s:
    """bm25s: all scores precomputed, so any change is a rebuild."""

    changes = "rebuild"
    backend = "numpy"

    def build(self, corpus: Corpus, folder: Path) -> None:
        self._write(corpus, np.arange(corpus.count), folder)

    def _write(self, corpus: Corpus, rows: Any, folder: Path) -> None:
        import bm25s

        model = bm25s.BM25(method="lucene", k1=K1, b=B, backend=self.backend)
        lists = [next(corpus.ids(row, row + 1)).tolist() for row in rows.tolist()]
        model.index((lists, {term: number for number, term in enumerate(corpus.terms)}), show_progress=False)
        model.save(str(folder), show_progress=False)
        np.save(folder / "kept.npy", rows)

    def open(self, folder: Path) -> None:
        import bm25s

        self._folder = folder
        self._model = bm25s.BM25.load(str(folder), mmap=True, show_progress=False)
        self._kept = np.load(folder / "kept.npy", mmap_mode="r")

    def top(self, terms: Sequence[str], k: int) -> Found:
        rows, scores = self._model.retrieve([list(terms)], k=k, show_progress=False)
        return self._kept[rows[0]], scores[0]

    def add(self, corpus: Corpus, low: int, high: int) -> None:
        self._write(corpus, np.arange(high), self._folder)
        self.open(self._folder)

    def delete(self, corpus: Corpus, rows: Any) -> None:
        self._write(corpus, np.setdiff1d(np.arange(len(self._kept)), rows), self._folder)
        self.open(self._folder)


class Bm25sNumba(Bm25s):
    """The same, compiled by numba when it first runs."""

    backend = "numba"


class RankBm25:
    """rank-bm25: lists and dictionaries in memory, which are its index; opening it is building it."""

    changes = "rebuild"

    def build(self, corpus: Corpus, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "terms.json").write_text(json.dumps(list(corpus.lists(0, corpus.count))))

    def open(self, folder: Path) -> None:
        self._lists = json.loads((folder / "terms.json").read_text())
        self._fit(np.arange(len(self._lists)))

    def _fit(self, kept: Any) -> None:
        from rank_bm25 import BM25Okapi

        self._kept, self._model = kept, BM25Okapi([self._lists[row] for row in kept.tolist()], k1=K1, b=B)

    def top(self, terms: Sequence[str], k: int) -> Found:
        scores = self._model.get_scores(terms)
        best = np.argsort(-scores, kind="stable")[:k]
        return self._kept[best], scores[best]

    def add(self, corpus: Corpus, low: int, high: int) -> None:
        self._lists += corpus.lists(low, high)
        self._fit(np.arange(len(self._lists)))

    def delete(self, corpus: Corpus, rows: Any) -> None:
        self._fit(np.setdiff1d(self._kept, rows))


class Tantivy:
    """tantivy: lengths rounded to a byte; what is deleted counts in the statistics until segments are merged."""

    changes = "in place"

    def _schema(self) -> Any:
        import tantivy

        builder = tantivy.SchemaBuilder()
        builder.add_unsigned_field("id", stored=False, indexed=True, fast=True)
        builder.add_text_field("body", stored=False, tokenizer_name="whitespace", index_option="freq")
        return builder.build()

    def build(self, corpus: Corpus, folder: Path) -> None:
        import tantivy

        folder.mkdir(parents=True)
        self._index = tantivy.Index(self._schema(), path=str(folder))
        self._write(corpus, 0, corpus.count)

    def _write(self, corpus: Corpus, low: int, high: int) -> None:
        import tantivy

        writer = self._index.writer(heap_size=256_000_000, num_threads=1)
        for row, text in enumerate(corpus.coded(low, high), start=low):
            document = tantivy.Document()
            document.add_unsigned("id", row)
            document.add_text("body", text)
            writer.add_document(document)
        writer.commit()
        writer.wait_merging_threads()

    def open(self, folder: Path) -> None:
        import tantivy

        self._codes = json.loads((folder.parent / "codes.json").read_text())
        self._library, self._index = tantivy, tantivy.Index.open(str(folder))
        self._searcher, self._fields = self._index.searcher(), self._index.schema

    def top(self, terms: Sequence[str], k: int) -> Found:
        query, should = self._library.Query, self._library.Occur.Should
        codes = [self._codes[term] for term in terms if term in self._codes]
        parts = [(should, query.term_query(self._fields, "body", f"t{code}", "freq")) for code in codes]
        hits = self._searcher.search(query.boolean_query(parts), limit=k, count=False).hits
        ids = self._searcher.fast_field_values("id", [address for _, address in hits])
        return np.asarray(ids), np.asarray([score for score, _ in hits])

    def add(self, corpus: Corpus, low: int, high: int) -> None:
        self._write(corpus, low, high)
        self._index.reload()
        self._searcher = self._index.searcher()

    def delete(self, corpus: Corpus, rows: Any) -> None:
        writer = self._index.writer(heap_size=256_000_000, num_threads=1)
        for row in rows.tolist():
            writer.delete_documents_by_query(self._library.Query.term_query(self._fields, "id", row))
        writer.commit()
        writer.wait_merging_threads()
        self._index.reload()
        self._searcher = self._index.searcher()


class Fts5:
    """SQLite's FTS5 without stored text; its own idf, never below a millionth, and no pruning."""

    changes = "in place"

    def build(self, corpus: Corpus, folder: Path) -> None:
        folder.mkdir(parents=True)
        with sqlite3.connect(folder / "fts.sqlite") as base:
            base.execute("CREATE VIRTUAL TABLE passages USING fts5(body, content='')")
            texts = enumerate(corpus.coded(0, corpus.count))
            base.executemany("INSERT INTO passages (rowid, body) VALUES (?, ?)", texts)

    def open(self, folder: Path) -> None:
        self._codes = json.loads((folder.parent / "codes.json").read_text())
        self._base = sqlite3.connect(folder / "fts.sqlite")

    def top(self, terms: Sequence[str], k: int) -> Found:
        codes = dict.fromkeys(self._codes[term] for term in terms if term in self._codes)
        query = " OR ".join(f"t{code}" for code in codes)
        sql = "SELECT rowid, -rank FROM passages WHERE passages MATCH ? ORDER BY rank LIMIT ?"
        found = self._base.execute(sql, (query, k)).fetchall()
        return np.asarray([row for row, _ in found]), np.asarray([score for _, score in found])

    def add(self, corpus: Corpus, low: int, high: int) -> None:
        with self._base:
            texts = enumerate(corpus.coded(low, high), start=low)
            self._base.executemany("INSERT INTO passages (rowid, body) VALUES (?, ?)", texts)

    def delete(self, corpus: Corpus, rows: Any) -> None:
        sql = "INSERT INTO passages (passages, rowid, body) VALUES ('delete', ?, ?)"
        with self._base:
            self._base.executemany(sql, ((row, next(corpus.coded(row, row + 1))) for row in rows.tolist()))


ENGINES: dict[str, type[Engine]] = {
    "radrag": Radrag,
    "bm25s numpy": Bm25s,
    "bm25s numba": Bm25sNumba,
    "tantivy": Tantivy,
    "sqlite fts5": Fts5,
    "rank-bm25": RankBm25,
}
LARGEST = {"rank-bm25": 50_000}


def resample(folder: Path, size: int, quick: bool = False, seed: int = 0) -> None:
    """Write a corpus of ``size`` passages and 1 % more to add, made of the sentences of the pool."""
    from common import records

    from radrag.corpora import Chunking
    from radrag.indexes import tokens
    from radrag.types import Document

    cut = getattr(tokens, "passage_terms", tokens.tokenize)
    ask = getattr(tokens, "query_terms", tokens.tokenize)
    vocabulary: dict[str, int] = {}
    sentences, lengths = [], []
    for number, record in enumerate(records("abstracts_pool.jsonl.gz")):
        if quick and number == 3000:
            break
        if record["kind"] != "abstract":
            continue
        found = [cut(one.text) for one in Chunking(1, 0).passages(Document("", record["text"]))]
        sentences += [[vocabulary.setdefault(term, len(vocabulary)) for term in terms] for terms in found if terms]
        lengths.append(sum(map(len, found)))
    rng = np.random.default_rng(seed)
    arrays = [np.asarray(terms, dtype=np.int32) for terms in sentences]
    sizes = np.asarray([len(terms) for terms in arrays])
    total = size + max(1, int(size * CHANGED))
    wanted = np.cumsum(np.maximum(rng.choice(lengths, int(1.05 * total) + 100), 1))
    drawn = rng.integers(len(arrays), size=int(1.1 * wanted[-1] / sizes.mean()) + 1000)
    reached = np.cumsum(sizes[drawn])
    last = np.unique(np.searchsorted(reached, wanted))[:total]  # a passage ends with the sentence that fills it
    ends = reached[last]
    rows = (drawn[low:high] for low, high in zip([0, *last[:-1] + 1], last + 1, strict=True))
    passages = (np.concatenate([arrays[one] for one in row]) for row in rows)
    deleted = rng.choice(total, total - size, replace=False)
    questions = [list(ask(record["question"])) for record in records("bioasq_7b_9b.jsonl.gz")]
    questions = [terms for terms in questions if any(term in vocabulary for term in terms)]
    picked = rng.choice(len(questions), min(len(questions), 60 if quick else 500), replace=False)
    write(folder, passages, ends, size, deleted, vocabulary, [questions[one] for one in picked])


def write(
    folder: Path, passages: Iterable[Any], ends: Any, count: int, deleted: Any, vocabulary: dict[str, int],
    queries: Sequence[Sequence[str]],
) -> None:  # fmt: skip
    """Write what ``Corpus`` reads.

    Args:
        folder: An existing folder.
        passages: Term ids of each passage.
        ends: int64 ``[n]``, where each passage ends when they stand one after the other.
        count: How many are there from the start.
        deleted: Numbers of those that are deleted later.
        vocabulary: Term to id.
        queries: Terms of each question.
    """
    flat = np.lib.format.open_memmap(folder / "flat.npy", mode="w+", dtype=np.int32, shape=(int(ends[-1]),))
    start = 0
    for passage in passages:
        flat[start : start + len(passage)] = passage
        start += len(passage)
    flat.flush()
    np.save(folder / "ends.npy", ends)
    np.save(folder / "deleted.npy", np.sort(deleted))
    facts = {"count": count, "terms": list(vocabulary), "queries": [list(terms) for terms in queries]}
    (folder / "facts.json").write_text(json.dumps(facts))
    (folder / "codes.json").write_text(json.dumps(vocabulary))


def exact(corpus: Corpus, rows: Any, total: int) -> list[Any]:
    """Return the ten highest BM25 scores of the first questions, from the terms themselves, in float64.

    Args:
        corpus: Passages.
        rows: Those that are deleted.
        total: How many passages there are, deleted ones included.
    """
    codes = {term: number for number, term in enumerate(corpus.terms)}
    queries = [[codes[term] for term in query if term in codes] for query in corpus.queries[:CHECKED]]
    wanted = np.unique([code for query in queries for code in query])
    lengths = np.diff(corpus.ends[:total], prepend=0)
    alive = np.ones(total, dtype=bool)
    alive[rows] = False
    keys = []
    for low in range(0, total, BATCH):
        high = min(low + BATCH, total)
        part = corpus.flat[corpus.ends[low - 1] if low else 0 : corpus.ends[high - 1]]
        owner = np.repeat(np.arange(low, high), lengths[low:high])
        kept = np.isin(part, wanted) & alive[owner]
        keys.append(np.searchsorted(wanted, part[kept]) * total + owner[kept])
    postings, frequency = np.unique(np.concatenate(keys), return_counts=True)
    starts = np.searchsorted(postings, np.arange(len(wanted) + 1) * total)
    mean, live = lengths[alive].mean(), int(alive.sum())
    best = []
    for query in queries:
        scores = np.zeros(total)
        for code, times in Counter(query).items():
            position = int(np.searchsorted(wanted, code))
            part = slice(starts[position], starts[position + 1])
            holders, tf = postings[part] - position * total, frequency[part]
            idf = np.log1p((live - len(holders) + 0.5) / (len(holders) + 0.5))
            norm = K1 * (1 - B + B * lengths[holders] / mean)
            scores[holders] += times * idf * tf * (K1 + 1) / (tf + norm)
        best.append(np.sort(scores)[::-1][:10])
    return best


def error(engine: Engine, corpus: Corpus, truth: list[Any]) -> float:
    """Return the largest relative difference from exact scores in millionths, after the one factor that fits best."""
    pairs = []
    for query, right in zip(corpus.queries, truth, strict=False):
        right = right[right > 0]
        found = np.zeros(len(right))
        scores = np.sort(np.asarray(engine.top(query, 10)[1], dtype=np.float64))[::-1][: len(right)]
        found[: len(scores)] = scores
        pairs.append(np.stack([found, right]))
    found, right = np.concatenate(pairs, axis=1)
    factor = np.median(found / right)
    return float(np.abs(found / factor / right - 1).max() * 1e6)


def timed(engine: Engine, queries: Sequence[Sequence[str]], k: int) -> dict[str, float]:
    """Ask one question after the other; return questions a CPU second, and wall milliseconds at p50 and p95."""
    times: list[float] = []
    began, began_cpu = time.perf_counter(), time.process_time()
    for query in queries:
        start = time.perf_counter()
        engine.top(query, k)
        times.append(time.perf_counter() - start)
        if time.perf_counter() - began > SECONDS:
            break
    cpu = time.process_time() - began_cpu
    p50, p95 = np.percentile(times, [50, 95]) * 1000
    return {f"q/s@{k}": len(times) / cpu, f"p50@{k} ms": float(p50), f"p95@{k} ms": float(p95)}


def memory() -> dict[str, float]:
    """Return the memory of this process in MB: its own, with the files it has mapped, and the highest that was."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    names = {"own MB": "RssAnon", "all MB": "VmRSS", "peak MB": "VmHWM"}
    return {name: int(lines[key].split()[0]) / 1024 for name, key in names.items()}


def size_of(folder: Path) -> float:
    """Return the size of a folder's files in MB."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def work(step: str, name: str, corpus_folder: Path, folder: Path) -> dict[str, Any]:
    """Do one step with one engine; this runs in a process of its own."""
    engine = ENGINES[name]()
    if step == "first":
        engine.open(folder)
        engine.top(json.loads((folder / "question.json").read_text()), 10)
        os._exit(0)  # what a process does when it ends is not measured
    corpus = Corpus(corpus_folder)
    if step == "build":
        start = time.process_time()
        engine.build(corpus, folder)
        facts = {"build s": time.process_time() - start, "disk MB": size_of(folder)}
        (folder / "question.json").write_text(json.dumps(corpus.queries[0]))
        return facts | {"build peak MB": memory()["peak MB"]}
    engine.open(folder)
    for query in corpus.queries[:20]:
        engine.top(query, 10)
    if step == "search":
        speed = timed(engine, corpus.queries, 10) | timed(engine, corpus.queries, 100)
        found = {key: value for key, value in memory().items() if key != "peak MB"} | speed
        return found | {"error, ppm": error(engine, corpus, exact(corpus, [], corpus.count))}
    start = time.perf_counter()
    engine.add(corpus, corpus.count, len(corpus.ends))
    added = time.perf_counter() - start
    start = time.perf_counter()
    engine.delete(corpus, corpus.deleted)
    found = {"changes": engine.changes, "add 1% s": added, "delete 1% s": time.perf_counter() - start}
    for query in corpus.queries[:20]:
        engine.top(query, 10)
    found |= {f"after: {key}": value for key, value in timed(engine, corpus.queries, 10).items()}
    gone = set(corpus.deleted.tolist())
    found["deleted found"] = sum(
        len(gone & set(engine.top(query, 10)[0].tolist())) for query in corpus.queries[:CHECKED]
    )
    truth = exact(corpus, corpus.deleted, len(corpus.ends))
    return found | {"after: error, ppm": error(engine, corpus, truth)}


def apart(step: str, name: str, corpus: Path, folder: Path) -> dict[str, Any]:
    """Run a step in a fresh process with one thread."""
    command = [sys.executable, __file__, "--worker", step, name, str(corpus), str(folder)]
    start = time.perf_counter()
    done = subprocess.run(command, env=os.environ | dict.fromkeys(THREADS, "1"), stdout=subprocess.PIPE, text=True)
    wall = time.perf_counter() - start
    if done.returncode:
        return {"failed": f"{step} ended with {done.returncode}"}
    return {"first s": wall} if step == "first" else json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Build the corpora, run every engine, print the tables."""
    from common import arguments, report

    parser = arguments(__doc__ or "")
    parser.add_argument("--sizes", type=int, nargs="+", default=[50_000, 500_000], help="passages")
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=list(ENGINES))
    args = parser.parse_args()
    for size in [2000] if args.quick else args.sizes:
        with tempfile.TemporaryDirectory(prefix="radrag-engines-") as name:
            corpus = Path(name)
            resample(corpus, size, args.quick)
            count = Corpus(corpus).count
            measured: dict[str, dict[str, Any]] = {}
            for engine in args.engines:
                if size > LARGEST.get(engine, size):
                    continue
                folder = corpus / engine.replace(" ", "-")
                found = apart("build", engine, corpus, folder)
                if "failed" not in found:
                    runs = [apart("first", engine, corpus, folder) for _ in range(3)]
                    found |= min(runs, key=lambda run: run.get("first s", np.inf))
                    found |= apart("search", engine, corpus, folder) | apart("change", engine, corpus, folder)
                shutil.rmtree(folder, ignore_errors=True)
                measured[engine] = found
                print(engine, json.dumps({key: _short(value) for key, value in found.items()}), flush=True)
            facts = list(dict.fromkeys(key for found in measured.values() for key in found))
            rows = [[fact, *(_short(found.get(fact, "")) for found in measured.values())] for fact in facts]
            report(f"Lexical engines, {count:,} passages", ["", *measured], rows, args)


def _short(value: Any) -> Any:
    return float(f"{value:.3g}") if isinstance(value, float) else value


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        step, engine_name, corpus_name, folder_name = sys.argv[2:]
        print(json.dumps(work(step, engine_name, Path(corpus_name), Path(folder_name))))
    else:
        main()
