"""Speed of the whole index against rank-bm25, llama-index and the raw engines, and what building costs.

One run, the same passages cut once, the same BioASQ 9b questions, k = 10, one thread. The passages are those of the
pool, filled up to the size with sentences of its abstracts, drawn with a seed, none from a gold document. All systems
take turns, a few questions each, so that a noisy machine is noisy for all; a ratio is the median over the rounds of the
ratio within a round, and counts CPU time (p50 and p95: over all questions).

    search         ``HybridIndex.search``: from the question's text to passages with texts, checked against their hashes
    raw            the engine below it: from the question's terms to row numbers, like bm25s, tantivy and rank-bm25
    changed        the same after 1 % of the passages were updated and another 1 % deleted
    llama-index    ``BM25Retriever``; ``QueryFusionRetriever`` over it and a flat FAISS store, without a language model

    pip install -c constraints.txt -e ".[benchmarks]"
    pip install --no-deps --target rivals llama-index-retrievers-bm25==0.8.0   # it wants an older PyStemmer
    PYTHONPATH=rivals python tests/benchmarks/retrieval_speed.py [--sizes 50000 500000] [--quick] [--json FILE]
"""

from __future__ import annotations

import os

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
os.environ |= dict.fromkeys(THREADS, "1")  # read when the libraries load

import importlib.util  # noqa: E402
import shutil  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Sequence  # noqa: E402
from dataclasses import dataclass, field, replace  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
from common import arguments, records, report  # noqa: E402
from lexical_engines import ENGINES, Corpus, Radrag, write  # noqa: E402

from radrag.corpora import Chunking  # noqa: E402
from radrag.indexes.encoders import load_encoder  # noqa: E402
from radrag.indexes.hybrid import HybridIndex  # noqa: E402
from radrag.indexes.tokens import passage_terms, query_terms  # noqa: E402
from radrag.metrics import bootstrap, ndcg, paired_bootstrap  # noqa: E402
from radrag.types import Document  # noqa: E402

K = 10
WHOLE = Chunking(max_words=1_000_000, overlap=0)
RANK_BM25_MOST = FUSION_MOST = 50_000
SAMPLE = 200
Search = Callable[[int], Any]
Times = dict[str, tuple[Any, Any]]


@dataclass
class Timed:
    """An encoder that notes how much CPU time it takes."""

    inner: Any
    seconds: float = 0.0
    fingerprint: str = field(init=False)
    dim: int = field(init=False)

    def __post_init__(self) -> None:
        self.fingerprint, self.dim = self.inner.fingerprint, self.inner.dim

    def encode(self, texts: Sequence[str], kind: Any) -> Any:
        """Return the encoder's vectors."""
        start = time.process_time()
        vectors = self.inner.encode(texts, kind)
        self.seconds += time.process_time() - start
        return vectors


@dataclass
class Data:
    """Passages as documents of their own, their changes, and questions with gold document ids."""

    passages: list[Document]
    updates: list[Document]
    deletes: list[str]
    questions: list[str]
    gold: list[set[str]]


def main() -> None:
    """Measure every size, print the tables."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--sizes", type=int, nargs="+", default=[50_000, 500_000], help="passages")
    args = parser.parse_args()
    for size in [4000] if args.quick else args.sizes:
        with tempfile.TemporaryDirectory(prefix="radrag-speed-") as folder:
            _measure(_data(size, args.quick), Path(folder), args)


def _measure(data: Data, folder: Path, args: Any) -> None:
    encoder = Timed(load_encoder("static"))
    static, changed, built = _indexes(data, folder, encoder)
    count = len(data.passages)
    systems = _lexical(data, folder, static, changed)
    rounds, few = (2, 10) if args.quick else (6, 25)
    title = f"BM25, {count:,} passages, k = {K}"
    times = _take_turns(systems, rounds, few, len(data.questions))
    _speed_table(title, times, ["search", "raw"], args)
    _targets(title, times, args)
    del systems
    hybrids: dict[str, Search] = {
        "search": lambda n: static.search(data.questions[n], K),
        "search, changed": lambda n: changed.search(data.questions[n], K),
    }
    rivals = _fusion_rivals(data, encoder) if count <= FUSION_MOST else {}
    times = _take_turns(hybrids | rivals, rounds, few, len(data.questions))
    title = f"Hybrid, {count:,} passages, k = {K}"
    _speed_table(title, times, ["search"], args)
    _targets(title, times, args)
    _quality_table(data, {"search": hybrids["search"]} | rivals, args)
    _build_table(data, built, args)
    static.close()
    changed.close()


def _data(size: int, quick: bool, seed: int = 0) -> Data:
    """Cut the pool into passages and fill them up with passages of drawn sentences."""
    asked = [one for one in records("bioasq_7b_9b.jsonl.gz") if one["batch"].startswith("9b")]
    wanted = {pmid for record in asked for pmid in record["pmids"]}
    passages, sentences, lengths = [], [], []
    for number, record in enumerate(records("abstracts_pool.jsonl.gz")):
        if quick and number % 12:
            continue
        name = f"PMID:{record['pmid']}"
        document = Document(name, record["text"], record["title"], record["kind"])
        cut = list(Chunking().passages(document))
        passages += [replace(document, id=f"{name}#{one.start}", text=one.text) for one in cut]
        if record["kind"] == "abstract" and record["pmid"] not in wanted:
            sentences += [one.text for one in Chunking(1, 0).passages(document)]
            lengths += [len(one.text.split()) for one in cut]
    rng = np.random.default_rng(seed)

    def filler(name: str) -> Document:
        target, parts = int(rng.choice(lengths)), []
        while sum(len(part.split()) for part in parts) < target:
            parts.append(sentences[int(rng.integers(len(sentences)))])
        return Document(name, " ".join(parts))

    passages = passages[:size]
    passages += [filler(f"filler-{number}") for number in range(size - len(passages))]
    part = size // 100
    drawn = [passages[number] for number in rng.choice(size, 2 * part, replace=False)]
    known = {passage.id.split("#")[0] for passage in passages}
    items = [(one["question"], {f"PMID:{pmid}" for pmid in one["pmids"]} & known) for one in asked]
    items = [(question, gold) for question, gold in items if gold]
    return Data(
        passages=passages,
        updates=[replace(filler(""), id=document.id) for document in drawn[:part]],
        deletes=[document.id for document in drawn[part:]],
        questions=[question for question, _ in items],
        gold=[gold for _, gold in items],
    )


def _indexes(data: Data, folder: Path, encoder: Timed) -> tuple[HybridIndex, HybridIndex, dict[str, float]]:
    """Build an index and a changed copy of it; return both and what building cost, in CPU seconds."""
    encoder.encode(["warm up"], "passage")
    encoder.seconds, start, wall = 0.0, time.process_time(), time.perf_counter()
    with HybridIndex.create(folder / "static", encoder=encoder, chunking=WHOLE) as index:
        index.add(data.passages)
    built = {"all, CPU s": time.process_time() - start, "wall s": time.perf_counter() - wall}
    built["static encoder, CPU s"] = encoder.seconds
    shutil.copytree(folder / "static", folder / "changed")
    changed = HybridIndex.open(folder / "changed", encoder=encoder)
    start = time.process_time()
    counts = changed.update(data.updates)
    built["1 % updated, CPU s"] = time.process_time() - start
    start = time.process_time()
    deleted = changed.delete(data.deletes)["deleted"]
    built["1 % deleted, CPU s"] = time.process_time() - start
    if (counts["updated"], deleted) != (len(data.updates), len(data.deletes)):
        raise SystemExit(
            f"expected {len(data.updates)} updates and {len(data.deletes)} deletes, got {counts}, {deleted}"
        )
    return HybridIndex.open(folder / "static", encoder=encoder), changed, built


def _lexical(data: Data, folder: Path, static: HybridIndex, changed: HybridIndex) -> dict[str, Search]:
    """Return what answers question number n with words alone, by name."""
    terms = [query_terms(question) for question in data.questions]
    systems: dict[str, Search] = {
        "search": lambda n: static.search(data.questions[n], K, mode="lexical"),
        "search, changed": lambda n: changed.search(data.questions[n], K, mode="lexical"),
        "of search: terms of the question": lambda n: query_terms(data.questions[n]),
    }
    corpus = _corpus(data, terms, folder)
    Radrag.k1, Radrag.b = static.manifest["search"]["k1"], static.manifest["search"]["b"]
    for name in ("radrag", "radrag, changed", "bm25s numpy", "bm25s numba", "tantivy"):
        kind = name.split(",")[0]
        if kind != "radrag" and importlib.util.find_spec(kind.split()[0]) is None:
            continue
        engine, place = ENGINES[kind](), folder / "corpus" / name.replace(" ", "-")
        engine.build(corpus, place)
        engine.open(place)
        if name.endswith("changed"):
            engine.add(corpus, corpus.count, len(corpus.ends))
            engine.delete(corpus, corpus.deleted)
        label = name.replace("radrag", "raw")
        systems[label] = lambda n, engine=engine: engine.top(terms[n], K)  # type: ignore[misc]
    if len(data.passages) <= RANK_BM25_MOST:
        from rank_bm25 import BM25Okapi

        names = np.arange(corpus.count)
        okapi = BM25Okapi(list(corpus.lists(0, corpus.count)))
        systems["rank-bm25"] = lambda n: okapi.get_top_n(terms[n], names, n=K)
    retriever = _bm25_retriever(data, K)
    if retriever is not None:
        systems["llama-index BM25Retriever"] = lambda n: retriever.retrieve(data.questions[n])
    return systems


def _corpus(data: Data, queries: Sequence[Sequence[str]], folder: Path) -> Corpus:
    """Write the terms of all passages, then of the updates, for the raw engines."""
    vocabulary: dict[str, int] = {}
    ids, ends = [], []
    for document in [*data.passages, *data.updates]:
        found = [vocabulary.setdefault(term, len(vocabulary)) for term in passage_terms(_search_text(document))]
        ids.append(np.asarray(found, dtype=np.int32))
        ends.append(len(found) + (ends[-1] if ends else 0))
    gone = {document.id for document in data.updates} | set(data.deletes)
    deleted = np.asarray([number for number, document in enumerate(data.passages) if document.id in gone])
    (folder / "corpus").mkdir()
    write(folder / "corpus", ids, np.asarray(ends), len(data.passages), deleted, vocabulary, queries)
    return Corpus(folder / "corpus")


def _search_text(document: Document) -> str:
    return "\n".join(part for part in (document.title, document.text) if part)


class _Nodes(Sequence[Any]):
    """Nodes made when they are read, because half a million of them at once do not fit in memory."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self._documents = documents

    def __len__(self) -> int:
        return len(self._documents)

    def __getitem__(self, number: Any) -> Any:
        from llama_index.core.schema import TextNode

        document = self._documents[number]
        return TextNode(id_=document.id, text=_search_text(document))


def _bm25_retriever(data: Data, k: int) -> Any:
    try:
        from llama_index.retrievers.bm25 import BM25Retriever
    except ImportError as error:
        print(f"without llama-index's BM25Retriever ({error}); the top of this file says how to install it")
        return None
    return BM25Retriever(nodes=_Nodes(data.passages), similarity_top_k=k)


def _fusion_rivals(data: Data, encoder: Timed) -> dict[str, Search]:
    """Return QueryFusionRetrievers, without a language model, over BM25 and the same vectors in a flat FAISS index."""
    bm25 = _bm25_retriever(data, K)
    if bm25 is None:
        return {}
    import faiss
    from llama_index.core import StorageContext, VectorStoreIndex
    from llama_index.core.embeddings import BaseEmbedding
    from llama_index.core.llms import MockLLM
    from llama_index.core.retrievers import QueryFusionRetriever
    from llama_index.vector_stores.faiss import FaissVectorStore

    class Same(BaseEmbedding):
        def _get_query_embedding(self, query: str) -> list[float]:
            return encoder.encode([query], "query")[0].tolist()

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return self._get_query_embedding(query)

        def _get_text_embedding(self, text: str) -> list[float]:
            return encoder.encode([text], "passage")[0].tolist()

    nodes = list(_Nodes(data.passages))
    vectors = encoder.encode([node.text for node in nodes], "passage")
    for node, vector in zip(nodes, vectors, strict=True):
        node.embedding = vector.tolist()
    store = FaissVectorStore(faiss_index=faiss.IndexFlatIP(encoder.dim))
    context = StorageContext.from_defaults(vector_store=store)
    index = VectorStoreIndex(nodes, storage_context=context, embed_model=Same())
    deep = _bm25_retriever(data, 100)
    rivals: dict[str, Search] = {}
    for mode in ("reciprocal_rerank", "relative_score"):
        for depth, lexical in ((K, bm25), (100, deep)):
            both = [lexical, index.as_retriever(similarity_top_k=depth)]
            fused = QueryFusionRetriever(
                both, llm=MockLLM(), mode=mode, num_queries=1, similarity_top_k=K, use_async=False
            )
            name = f"llama-index {mode}, {depth} from each"
            rivals[name] = lambda n, fused=fused: fused.retrieve(data.questions[n])  # type: ignore[misc]
    return rivals


def _take_turns(systems: dict[str, Search], rounds: int, few: int, asked: int) -> Times:
    """Let every system answer the same few questions in each round.

    Returns:
        For each system CPU seconds and wall seconds of each question, float64 ``[rounds, few]``.
    """
    for search in systems.values():
        for number in range(3):
            search(number)
    cpu, wall = ({name: np.zeros((rounds, few)) for name in systems} for _ in range(2))
    for turn in range(rounds):
        for name, search in systems.items():
            for one in range(few):
                began, began_cpu = time.perf_counter(), time.process_time()
                search((turn * few + one) % asked)
                cpu[name][turn, one] = time.process_time() - began_cpu
                wall[name][turn, one] = time.perf_counter() - began
    return {name: (cpu[name], wall[name]) for name in systems}


def _speed_table(title: str, times: Times, ours: list[str], args: Any) -> None:
    rows = []
    for name, (cpu, wall) in times.items():
        percentiles = [float(one) for part in (cpu, wall) for one in np.percentile(part, [50, 95]) * 1000]
        ratios = [_ratio(times, own, name) for own in ours]
        rows.append([name, cpu.size, float(1 / np.median(cpu.mean(axis=1))), *percentiles, *ratios])
    columns = ["system", "n", "questions a CPU s", "CPU p50, ms", "CPU p95, ms", "wall p50, ms", "wall p95, ms"]
    report(title, [*columns, *(f"{own} is faster by" for own in ours)], rows, args)


def _ratio(times: Times, own: str, other: str) -> float:
    """Return how many times the CPU time of one system another takes, the median over the rounds."""
    return float(np.median(times[other][0].mean(axis=1) / times[own][0].mean(axis=1)))


def _targets(title: str, times: Times, args: Any) -> None:
    """Print what the issue asks for beside what was measured."""
    rows = []
    for own, changed in (("search", "search, changed"), ("raw", "raw, changed")):
        if own in times:
            rows.append([f"{changed}, of its speed before", 1 / _ratio(times, own, changed), 0.8])
    for name, (cpu, _) in times.items():
        if name == "rank-bm25":
            rows += [[f"{own} against {name}", _ratio(times, own, name), 500] for own in ("search", "raw")]
        elif name == "llama-index BM25Retriever":
            rows.append([f"search against {name}", _ratio(times, "search", name), 1])
        elif name.startswith("llama-index"):
            p50, p95 = np.percentile(cpu, [50, 95]) / np.percentile(times["search"][0], [50, 95])
            rows += [[f"search against {name}, p50", float(p50), 10], ["the same, p95", float(p95), 10]]
        elif name.startswith(("bm25s", "tantivy")):
            rows.append([f"raw against {name}", _ratio(times, "raw", name), 0.9])
    report(f"{title}: what is asked for", ["speed, CPU time", "measured", "at least"], rows, args)


def _quality_table(data: Data, systems: dict[str, Search], args: Any) -> None:
    scores = {}
    for name, search in systems.items():
        runs = [list(dict.fromkeys(map(_document, search(number)))) for number in range(len(data.questions))]
        scores[name] = np.asarray([ndcg(run, gold, k=K) for run, gold in zip(runs, data.gold, strict=True)])
    first = next(iter(scores))
    rows = [
        [name, bootstrap(found, seed=0), "" if name == first else paired_bootstrap(scores[first], found, seed=0)]
        for name, found in scores.items()
    ]
    title = f"Hybrid quality, {len(data.passages):,} passages, {len(data.questions)} questions of BioASQ 9b"
    report(title, ["system", "nDCG@10 of documents in 10 passages", "search less it, paired"], rows, args)


def _document(found: Any) -> str:
    """Return the document that a hit or a node is of."""
    return (found.passage.document_id if hasattr(found, "passage") else found.node.node_id).split("#")[0]


def _build_table(data: Data, built: dict[str, float], args: Any) -> None:
    """Print what building cost, beside MiniLM's time for the same passages, measured on a sample."""
    count = len(data.passages)
    rest = built["all, CPU s"] - built["static encoder, CPU s"]
    rows: list[list[Any]] = [[name, value, value / count * 1000] for name, value in built.items()]
    rows.append(["all but embedding, CPU s", rest, rest / count * 1000])
    if importlib.util.find_spec("sentence_transformers") is not None:
        model = load_encoder("minilm")
        picked = np.random.default_rng(0).choice(count, min(SAMPLE, count), replace=False)
        texts = [_search_text(data.passages[number]) for number in picked]
        model.encode(texts[:8], "passage")
        start = time.process_time()
        model.encode(texts, "passage")
        cost = (time.process_time() - start) / len(texts)
        rows.append([f"MiniLM from {len(texts)} passages, CPU s", cost * count, cost * 1000])
        rows.append(["all but embedding, share of MiniLM", rest / count / cost, ""])
    report(f"Building, {count:,} passages", ["what", "value", "ms a passage"], rows, args)


if __name__ == "__main__":
    main()
