"""Approximate vector search behind a filter: what its depth and its change to exact search rest on.

Vectors are those of the passages of retrieval_scale.py, questions those of BioASQ; a segment is built as an index does
it, and chooses its depth with other questions. A filter admits rows drawn at random, or those nearest to one row, as a
filter on a topic does. Every search is compared with an exact one of the same rows, on one thread; "as deep" looks into
as many lists as without a filter, "widened" into more (``radrag.indexes.dense._WIDENING``).

    python tests/benchmarks/vector_filters.py [--sizes 50000 1000000] [--quick] [--json FILE]
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import report
from numpy.typing import NDArray
from scale_passages import blocks, load_pool
from vector_codes import QUESTIONS, asked_for

from radrag.indexes import dense
from radrag.indexes.dense import DenseSegment, build_ann
from radrag.indexes.encoders import StaticEncoder
from radrag.metrics import bootstrap

SHARES = (0.2, 0.02, 0.004, 0.0025)
WIDENED = dense._WIDENING


def main() -> None:
    """Build a segment of every size, print the tables."""
    args, asked = asked_for(__doc__ or "")
    drawn = np.random.default_rng(0).permutation(len(asked))[: 40 if args.quick else 2 * QUESTIONS]
    encoded = StaticEncoder().encode([asked[number] for number in drawn], "query")
    queries, probes = np.split(encoded, 2)
    for size in [25_000] if args.quick else args.sizes:
        vectors = np.concatenate([made for _, made in blocks(load_pool(args.quick), 0, size)]).astype(np.float16)
        with tempfile.TemporaryDirectory() as folder:
            np.save(Path(folder) / "vectors.npy", vectors)
            segment = DenseSegment(vectors, Path(folder), build_ann(vectors, probes, Path(folder)))
            rows = [row for name, mask in _masks(vectors) for row in _measured(segment, queries, name, mask)]
        columns = ["filter", "rows admitted", "search", "n", "CPU ms a question", "recall@10", "recall@100"]
        report(f"Filters before vectors, {size:,} rows of {vectors.shape[1]}", columns, rows, args)


def _masks(vectors: NDArray[np.float16]) -> list[tuple[str, NDArray[np.bool_] | None]]:
    draw = np.random.default_rng(1)
    topic = vectors @ vectors[draw.integers(len(vectors))]
    made: list[tuple[str, NDArray[np.bool_] | None]] = [("none", None)]
    for share in SHARES:
        made += [(f"{share:.2%} at random", draw.random(len(vectors)) < share)]
        made += [(f"{share:.2%} around a topic", topic > np.quantile(topic, 1 - share))]
    return made


def _measured(
    segment: DenseSegment, queries: NDArray[np.float32], name: str, mask: NDArray[np.bool_] | None
) -> list[list[Any]]:
    """Return a row for exact search and for each way to search approximately, however few the mask admits."""
    admitted = len(segment) if mask is None else int(mask.sum())
    exact, taken = _ask(segment, queries, mask, exact=True)
    rows: list[list[Any]] = [[name, admitted, "exact", len(queries), taken, "", ""]]
    chosen = dense._EXACT_ROWS, dense._EXACT_SHARE, dense._WIDENING
    try:
        dense._EXACT_ROWS, dense._EXACT_SHARE = 0, len(segment) + 1  # type: ignore[misc]
        for label, widening in (("as deep", 0.0), ("widened", WIDENED)):
            dense._WIDENING = widening  # type: ignore[misc]
            found, taken = _ask(segment, queries, mask)
            recalls = [_recall(found, exact, k) for k in (10, 100)]
            rows.append([name, admitted, label, len(queries), taken, *recalls])
    finally:
        dense._EXACT_ROWS, dense._EXACT_SHARE, dense._WIDENING = chosen  # type: ignore[misc]
    return rows if mask is not None else rows[:2]


def _ask(
    segment: DenseSegment, queries: NDArray[np.float32], mask: NDArray[np.bool_] | None, exact: bool = False
) -> tuple[list[NDArray[np.int64]], float]:
    """Return the rows found for each question, and the CPU ms of one, the better of two rounds."""
    best, found = np.inf, []
    segment.top(queries[:1], 100, mask, exact)
    for _ in range(2):
        start = time.process_time()
        found = [segment.top(query[np.newaxis], 100, mask, exact)[0][0] for query in queries]
        best = min(best, (time.process_time() - start) / len(queries) * 1000)
    return found, best


def _recall(found: list[NDArray[np.int64]], exact: list[NDArray[np.int64]], k: int) -> Any:
    shares = [np.isin(right[:k], rows[:k]).mean() for rows, right in zip(found, exact, strict=True)]
    return bootstrap(np.asarray(shares), seed=0)


if __name__ == "__main__":
    main()
