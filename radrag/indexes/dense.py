"""Search by vectors in one segment: exact in small ones, approximate candidates scored exactly in large ones."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radrag.indexes.ann import KIND, Approximate, admit, train
from radrag.indexes.forking import Lock
from radrag.indexes.scattered import LARGE, ScatteredRows

MIN_ANN_ROWS = 20_000  # below it exact search takes 1 ms at 256 dimensions, and the float32 rows it keeps 20 MB
Found = tuple[NDArray[np.int64], NDArray[np.float64]]

_BLOCK = 8_192
_QUERIES = 256  # a block of queries times a block of rows is 8 MiB
_MASKS = 20  # a state remembers 16 filters
_FEW = 400  # so many rows more are scored in double precision as fast as they are chosen in single
_SPAN = 2**20  # rows whose numbers are listed at a time
# A mask that admits fewer is scored row by row: of 1 million rows in memory 2,500 take 1.0 ms, 4,000 1.5 and 20,000 9,
# among the codes 2.7 to 6 (tests/benchmarks/vector_filters.py); where rows are on disk, reading them counts for more.
_EXACT_ROWS, _EXACT_SHARE = 2_500, 400

_TARGETS = {10: 0.97, 100: 0.9}
_SHARES = (1 / 16, 1 / 12, 1 / 8, 1 / 6, 1 / 5, 1 / 4, 0.3, 0.35, 0.4, 0.45, 1 / 2, 0.55, 0.6, 0.7, 0.8, 1)
_DEPTHS = (100, 150, 200, 300, 400, 600, 800, 1_200, 1_600, 2_400, 3_200, 6_400)
_MIN_PROBES = 20
# The nearest of fewer rows lie in farther lists. At 1 million rows and filters that admit 20 and 2 %, recall@10 is .983
# and .980 with as many lists as without a filter, .989 and .998 with this exponent; where the rows admitted lie around
# one topic, .948 and .769, and .979 and .965 (tests/benchmarks/vector_filters.py).
_WIDENING = 0.25
_SCAN_COST = 1 / 150  # of scanning a code, where re-scoring a row costs 1


def build_ann(
    vectors: NDArray[np.float16],
    probes: NDArray[np.float32],
    folder: Path,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write ``folder / "ann.faiss"`` and choose how deep to search in it.

    The cheapest setting is taken that reaches recall@10 of .97 and recall@100 of .9 against exact search for the
    probes. Where none does, the deepest is taken; its recall stands in the facts either way.

    Args:
        vectors: float16 ``[n, dim]`` of unit length or zero, n at least 2, not all equal.
        probes: float32 ``[p, dim]`` query vectors. Below 20, rows of the segment with noise join them.
        folder: Where the file goes.
        seed: Of every draw.
        progress: Called with the rows added so far and n.

    Returns:
        JSON values: ``kind``, ``lists``, ``nprobe``, ``rescored``, ``recall@10``, ``recall@100``, ``probes``.
    """
    train(vectors, folder, seed, progress)
    return measure_ann(vectors, probes, folder, seed)


def measure_ann(
    vectors: NDArray[np.float16],
    probes: NDArray[np.float32],
    folder: Path,
    seed: int = 0,
    sha256: str | None = None,
) -> dict[str, Any]:
    """Choose anew, as ``build_ann`` does and returns it, how deep to search in what it wrote.

    ``sha256`` is what was recorded of the file; None where it has just been written.
    """
    rows, dim = vectors.shape
    index = Approximate(folder, rows, dim, sha256)
    if len(probes) < _MIN_PROBES:
        rng = np.random.default_rng(seed)
        sampled = vectors[np.sort(rng.integers(0, rows, _MIN_PROBES - len(probes)))].astype(np.float32)
        noise = rng.normal(0, 0.5 / dim**0.5, sampled.shape).astype(np.float32)
        probes = np.concatenate([probes.reshape(-1, dim), sampled + noise]).astype(np.float32)
    nprobe, rescored, recalls = _choose(vectors, np.ascontiguousarray(probes), index)
    return {
        "kind": KIND,
        "lists": index.lists,
        "nprobe": nprobe,
        "rescored": rescored,
        **{f"recall@{k}": recall for k, recall in recalls.items()},
        "probes": len(probes),
    }


class DenseSegment:
    """The vectors of a segment. Two threads may search it at once.

    Args:
        vectors: float16 ``[n, dim]`` of unit length or zero; may be memory-mapped.
        folder: Holds ``vectors.npy`` and ``ann.faiss``; needed with facts only.
        facts: What ``build_ann`` returned; None searches exactly, always.
        sha256: What was recorded of ``ann.faiss``; the file is compared with it once, when it is first searched.
    """

    def __init__(
        self,
        vectors: NDArray[np.float16],
        folder: Path | None,
        facts: dict[str, Any] | None,
        sha256: str | None = None,
    ) -> None:
        if facts is not None and folder is None:
            raise ValueError(f"facts {facts} describe a file, so folder must be given, got None")
        self._vectors = np.asarray(vectors)  # a plain view: indexing a memmap object costs more than the rows do
        self._folder, self._facts, self._sha256 = folder, facts, sha256
        self._scattered: ScatteredRows | None = None
        if folder is not None and self._vectors.nbytes >= LARGE:
            self._scattered = ScatteredRows(folder / "vectors.npy")
        self._wide: NDArray[np.float32] | None = None
        self._opened: Approximate | None = None
        self._masks: tuple[tuple[Any, int, Any], ...] = ()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._vectors)

    def top(
        self, queries: NDArray[np.float32], depth: int, mask: NDArray[np.bool_] | None = None, exact: bool = False
    ) -> list[Found]:
        """Find the nearest admitted rows.

        Args:
            queries: float32 ``[q, dim]``.
            depth: Rows wanted, at least 1.
            mask: bool ``[n]``, the rows that may be found; None admits all.
            exact: Score every admitted row, whatever it costs.

        Returns:
            For each query the rows and their cosines, best first and ties by row: the ``depth`` best and all that tie
            with the last of them. Fewer only if fewer are admitted.
        """
        self._check(queries, depth, mask)
        admitted, selector = (len(self), None) if mask is None else self._admitted(mask)
        few = min(len(self) // 2, max(_EXACT_ROWS, len(self) // _EXACT_SHARE))
        if self._facts is None or exact or admitted < few:
            return self._exact(queries, depth, mask)
        facts, index = self._facts, self._approximate()
        wider = (len(self) / admitted) ** _WIDENING
        nprobe = min(facts["lists"], math.ceil(facts["nprobe"] * wider))
        count = min(len(self), max(facts["rescored"], math.ceil(facts["rescored"] * depth / max(_TARGETS))))
        found = []
        for query in np.ascontiguousarray(queries, dtype=np.float32):
            rows = index.candidates(query, count, nprobe, selector)
            if len(rows) < min(depth, admitted):
                found += self._exact(query[np.newaxis], depth, mask)
            else:
                found.append(self._best(query, np.sort(rows), depth))
        return found

    def at(self, query: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the cosines of some rows.

        Half times single precision is exact in double, and each row is summed by itself: equal rows have equal
        cosines wherever they stand.

        Args:
            query: float32 ``[dim]``.
            rows: int64 ``[m]``.

        Returns:
            float64 ``[m]``.
        """
        wanted = query.astype(np.float64)
        cosines = np.empty(len(rows))
        for start in range(0, len(rows), _BLOCK):
            part = slice(start, start + _BLOCK)
            wide = _widen(self._rows(rows[part])).astype(np.float64)
            np.einsum("ij,j->i", wide, wanted, out=cosines[part])
        return cosines

    def _rows(self, rows: NDArray[np.int64]) -> NDArray[np.float16]:
        return self._vectors[rows] if self._scattered is None else self._scattered.take(rows)

    def _check(self, queries: Any, depth: int, mask: Any) -> None:
        if queries.ndim != 2 or queries.shape[1] != self._vectors.shape[1]:
            raise ValueError(f"queries must have shape [q, {self._vectors.shape[1]}], got {list(queries.shape)}")
        if depth < 1:
            raise ValueError(f"depth must be at least 1, got {depth}")
        if mask is not None and (mask.shape != (len(self),) or mask.dtype != np.bool_):
            raise ValueError(f"mask must be bool of shape [{len(self)}], got {mask.dtype} {list(mask.shape)}")

    def _admitted(self, mask: NDArray[np.bool_]) -> tuple[int, Any]:
        """Return how many rows a mask admits, and its selector; of the masks seen last both are kept."""
        kept = self._masks
        for known, admitted, selector in kept:
            if known() is mask:
                return admitted, selector
        admitted, selector = int(np.count_nonzero(mask)), None if self._facts is None else admit(mask)
        alive = [one for one in kept if one[0]() is not None]  # states that are gone leave none behind
        self._masks = ((weakref.ref(mask), admitted, selector), *alive[: _MASKS - 1])  # in one go, for other threads
        return admitted, selector

    def _approximate(self) -> Approximate:
        with self._lock:
            if self._opened is None:
                assert self._folder is not None
                rows, dim = self._vectors.shape
                self._opened = Approximate(self._folder, rows, dim, self._sha256)
            return self._opened

    def _exact(self, queries: NDArray[np.float32], depth: int, mask: NDArray[np.bool_] | None) -> list[Found]:
        found = []
        for start in range(0, len(queries), _QUERIES):
            some = np.ascontiguousarray(queries[start : start + _QUERIES], dtype=np.float32)
            near = self._near(some, depth, mask)
            found += [self._cut(query, rows, depth) for query, rows in zip(some, near, strict=True)]
        return found

    def _near(
        self, queries: NDArray[np.float32], depth: int, mask: NDArray[np.bool_] | None
    ) -> list[NDArray[np.int64]]:
        """Return for each query a few rows more than the best, chosen in single precision."""
        margins = [_margin(query) for query in queries]
        floors = np.full(len(queries), -np.inf, dtype=np.float32)
        near = [(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)) for _ in queries]
        for rows, block in self._blocks(mask):
            for i, scores in enumerate(queries @ block.T):
                close = np.flatnonzero(scores >= floors[i])
                kept, values = np.concatenate([near[i][0], rows[close]]), np.concatenate([near[i][1], scores[close]])
                if len(values) > depth:
                    floors[i] = np.partition(values, -depth)[-depth] - margins[i]
                    still = values >= floors[i]
                    kept, values = kept[still], values[still]
                near[i] = kept, values
        return [kept for kept, _ in near]

    def _blocks(self, mask: NDArray[np.bool_] | None) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield the admitted rows, a block at a time, with their vectors."""
        source: NDArray[Any] = self._vectors
        if len(source) < MIN_ANN_ROWS:
            if self._wide is None:
                self._wide = _widen(self._vectors)
            source = self._wide
        for first in range(0, len(self), _SPAN):
            last = min(len(self), first + _SPAN)
            rows = np.arange(first, last) if mask is None else first + np.flatnonzero(mask[first:last])
            for start in range(0, len(rows), _BLOCK):
                part = rows[start : start + _BLOCK]
                block = source[part[0] : part[-1] + 1] if mask is None else source[part]
                yield part, block if block.dtype == np.float32 else _widen(block)

    def _best(self, query: NDArray[np.float32], rows: NDArray[np.int64], depth: int) -> Found:
        if len(rows) > _FEW + depth:
            scores = _widen(self._rows(rows)) @ query
            rows = rows[scores >= np.partition(scores, -depth)[-depth] - _margin(query)]
        return self._cut(query, rows, depth)

    def _cut(self, query: NDArray[np.float32], rows: NDArray[np.int64], depth: int) -> Found:
        cosines = self.at(query, rows)
        if len(rows) > depth:
            kept = cosines >= np.partition(cosines, -depth)[-depth]
            rows, cosines = rows[kept], cosines[kept]
        order = np.lexsort((rows, -cosines))
        return rows[order], cosines[order]


def _margin(query: NDArray[np.float32]) -> np.float32:
    """Twice the most by which two single-precision products with unit rows can be out of order."""
    return np.float32(2 * len(query) * np.finfo(np.float32).eps * float(np.linalg.norm(query)))


def _widen(block: NDArray[np.float16]) -> NDArray[np.float32]:
    """Return finite half precision as single: NumPy's own conversion takes twice as long."""
    bits = block.view(np.int16).astype(np.int32)
    bits <<= 13
    bits &= -0x70002000  # the sign that was copied into the exponent goes
    wide = bits.view(np.float32)
    wide *= np.float32(2.0**112)  # the exponents' biases are 15 and 127
    return wide


def _choose(
    vectors: NDArray[np.float16], probes: NDArray[np.float32], index: Approximate
) -> tuple[int, int, dict[int, float]]:
    """Return the cheapest (lists to look into, rows to score again) that reaches the targets, and its recall."""
    rows, lists = len(vectors), index.lists
    exact = DenseSegment(vectors, None, None).top(probes, min(rows, max(_TARGETS)), exact=True)
    best: tuple[bool, float, int, int, dict[int, float]] | None = None
    for nprobe in sorted({max(1, round(lists * share)) for share in _SHARES}):
        scan = _SCAN_COST * rows * nprobe / lists
        if best is not None and not best[0] and best[1] <= scan:
            break
        found = [index.candidates(probe, min(rows, _DEPTHS[-1]), nprobe) for probe in probes]
        ranks = {k: [_ranks(*pair, min(k, rows)) for pair in zip(found, exact, strict=True)] for k in _TARGETS}
        for depth in sorted({min(rows, depth) for depth in _DEPTHS}):
            recalls = {k: float(np.mean([np.mean(rank < depth) for rank in ranks[k]])) for k in _TARGETS}
            missed = any(recalls[k] < target for k, target in _TARGETS.items())
            option = (missed, -recalls[max(_TARGETS)] if missed else scan + depth, nprobe, depth, recalls)
            best = option if best is None or option[:2] < best[:2] else best
    assert best is not None
    _, _, nprobe, depth, _ = best
    found = [index.candidates(probe, depth, nprobe) for probe in probes]  # near its end a shorter list ties otherwise
    recalls = {
        k: float(np.mean([np.mean(_ranks(*pair, min(k, rows)) < depth) for pair in zip(found, exact, strict=True)]))
        for k in _TARGETS
    }
    return nprobe, depth, {k: round(recall, 4) for k, recall in recalls.items()}


def _ranks(candidates: NDArray[np.int64], exact: Found, k: int) -> NDArray[np.int64]:
    """Return at which places among the candidates ``k`` of the best rows stand; rows that tie count alike."""
    rows, cosines = exact
    places = np.flatnonzero(np.isin(candidates, rows[cosines >= cosines[k - 1]]))[:k]
    return np.pad(places, (0, k - len(places)), constant_values=np.iinfo(np.int64).max)
