"""Codes for approximate vector search compared: the measurement by which those of ``radrag.indexes.ann`` were chosen.

Vectors are those of the passages of retrieval_scale.py, questions those of BioASQ. Every kind of code stands in the
same inverted lists, is asked for the same number of candidates on one thread, one question at a time, and is judged by
how many of the exact 10 and 100 nearest are among them. Half of the lists are looked into; the flat ones have one list.

    python tests/benchmarks/vector_codes.py [--sizes 50000 1000000] [--quick] [--json FILE]
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
from common import arguments, records, report
from numpy.typing import NDArray
from scale_passages import blocks, load_pool

from radrag.indexes.encoders import StaticEncoder

CANDIDATES = (200, 400)
QUESTIONS = 200
Vectors = NDArray[np.float32]


def main() -> None:
    """Build every kind at every size, print the tables."""
    args, asked = asked_for(__doc__ or "")
    drawn = np.random.default_rng(0).choice(len(asked), 20 if args.quick else QUESTIONS, replace=False)
    queries = StaticEncoder().encode([asked[number] for number in np.sort(drawn)], "query")
    for size in [5_000] if args.quick else args.sizes:
        vectors = np.concatenate([made for _, made in blocks(load_pool(args.quick), 0, size)]).astype(np.float32)
        nearest = _exact(vectors, queries)
        rows = []
        for name, (flat, make) in KINDS.items():
            lists = 1 if flat else max(16, size // 1_024)
            index, parameters = make(vectors, lists)
            for count in CANDIDATES:
                taken, found = _ask(index, queries, count, parameters(max(1, lists // 2)))
                recalls = [_recall(found, nearest[:, :k]) for k in (10, 100)]
                rows.append([name, lists, _bytes(index) / size, count, len(queries), taken, *recalls])
        columns = ["codes", "lists", "bytes a row", "candidates", "n", "CPU ms a question", "recall@10", "recall@100"]
        report(f"Vector codes, {size:,} rows of {vectors.shape[1]}", columns, rows, args)


def asked_for(description: str) -> tuple[Any, list[str]]:
    """Return the arguments and the questions of BioASQ; what follows runs on one thread."""
    parser = arguments(description)
    parser.add_argument("--sizes", type=int, nargs="+", default=[50_000, 1_000_000], help="vectors")
    faiss.omp_set_num_threads(1)
    return parser.parse_args(), [record["question"] for record in records("bioasq_7b_9b.jsonl.gz")]


def _exact(vectors: Vectors, queries: Vectors) -> NDArray[np.int64]:
    scores = np.concatenate([queries @ vectors[low : low + 65_536].T for low in range(0, len(vectors), 65_536)], axis=1)
    best = np.argpartition(-scores, 100, axis=1)[:, :100]
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
    return np.take_along_axis(best, order, axis=1)


def _ask(index: Any, queries: Vectors, count: int, parameters: Any) -> tuple[float, list[NDArray[np.int64]]]:
    """Return the CPU ms of a question, the best of three rounds, and the candidates of each."""
    best, found = np.inf, []
    for _ in range(3):
        start = time.process_time()
        found = [index.search(query[np.newaxis], count, params=parameters)[1][0] for query in queries]
        best = min(best, (time.process_time() - start) / len(queries) * 1000)
    return best, found


def _recall(found: list[NDArray[np.int64]], nearest: NDArray[np.int64]) -> float:
    return float(np.mean([np.isin(right, rows).mean() for rows, right in zip(found, nearest, strict=True)]))


def _bytes(index: Any) -> int:
    return len(faiss.serialize_index(index))


def _lists(vectors: Vectors, lists: int) -> tuple[Vectors, Vectors]:
    """Return a sample to train with and the centroids of inverted lists."""
    count = min(len(vectors), max(20_000, 40 * lists))
    sample = vectors[np.random.default_rng(0).choice(len(vectors), count, replace=False)]
    clustering = faiss.Kmeans(vectors.shape[1], lists, niter=10, seed=0, spherical=True, min_points_per_centroid=1)
    clustering.train(sample)
    return sample, clustering.centroids


def _product(parts: int) -> Callable[[Vectors, int], Any]:
    def make(vectors: Vectors, lists: int) -> Any:
        sample, centroids = _lists(vectors, lists)
        quantizer = faiss.IndexFlatIP(vectors.shape[1])
        quantizer.add(centroids)
        index = faiss.IndexIVFPQFastScan(quantizer, vectors.shape[1], lists, parts, 4, faiss.METRIC_INNER_PRODUCT)
        index.by_residual, index.quantizer_trains_alone = False, 2
        index.train(sample)
        index.add(vectors)
        return index, lambda nprobe: faiss.IVFSearchParameters(nprobe=nprobe)

    return make


def _rabitq(vectors: Vectors, lists: int) -> Any:
    dim = vectors.shape[1]
    _, centroids = _lists(vectors, lists)
    rotation = faiss.RandomRotationMatrix(dim, dim)
    rotation.init(0)
    quantizer = faiss.IndexFlatL2(dim)
    quantizer.add(rotation.apply(centroids))
    inner = faiss.IndexIVFRaBitQFastScan(quantizer, dim, lists, faiss.METRIC_INNER_PRODUCT)
    index = faiss.IndexPreTransform(rotation, inner)
    index.train(vectors[:1])
    index.add(vectors)

    def parameters(nprobe: int) -> Any:
        own = faiss.IVFRaBitQSearchParameters(nprobe=nprobe, qb=4)
        return faiss.SearchParametersPreTransform(index_params=own)

    return index, parameters


def _bytewise(vectors: Vectors, lists: int) -> Any:
    sample, centroids = _lists(vectors, lists)
    quantizer = faiss.IndexFlatIP(vectors.shape[1])
    quantizer.add(centroids)
    index = faiss.IndexIVFScalarQuantizer(
        quantizer, vectors.shape[1], lists, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT, False
    )
    index.quantizer_trains_alone = 2
    index.train(sample)
    index.add(vectors)
    return index, lambda nprobe: faiss.IVFSearchParameters(nprobe=nprobe)


KINDS: dict[str, tuple[bool, Callable[[Vectors, int], Any]]] = {
    "four bits for 2 dimensions": (False, _product(128)),
    "four bits for 4 dimensions": (False, _product(64)),
    "RaBitQ": (False, _rabitq),
    "RaBitQ, one list": (True, _rabitq),
    "four bits for 2, one list": (True, _product(128)),
    "eight bits a dimension": (False, _bytewise),
}


if __name__ == "__main__":
    main()
