"""One stage of retrieval_scale.py, in a process of its own, so that its memory can be limited and measured.

    scale_stage.py build FOLDER PASSAGES LIMIT < feed     adds passages to the index until it has so many
    scale_stage.py search FOLDER QUESTIONS LIMIT          asks questions, first cold, then warm

The last line it prints is JSON. The limit, in bytes, is set here only where no memory cgroup could be made (0 if not).
"""

from __future__ import annotations

import json
import resource
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scale_passages import read_feed

from radrag.indexes.encoders import StaticEncoder
from radrag.indexes.filters import Range
from radrag.indexes.hybrid import HybridIndex
from radrag.types import Document

K = 10
RECALL_QUERIES = 100
YEAR = {"year": Range(2015, 2019)}
RARE = {"year": Range(2023, 2024), "mesh": "Heading 7"}
_STEP = 20_000


class Fed:
    """The shipped encoder, except that passages get the vectors that came with them."""

    def __init__(self) -> None:
        self._real = StaticEncoder()
        self.fingerprint, self.dim = self._real.fingerprint, self._real.dim
        self._waiting: deque[Any] = deque()

    def documents(self, target: int) -> Iterator[Document]:
        """Yield documents from standard input; say now and then how far it is."""
        start, count = time.perf_counter(), 0
        for texts, vectors in read_feed(sys.stdin.buffer, self.dim):
            for (name, title, text, facts), vector in zip(texts, vectors, strict=True):
                self._waiting.append(vector)
                yield Document(name, text, title, "abstract", metadata=facts)
            count += len(texts)
            if count // _STEP > (count - len(texts)) // _STEP:
                say(f"  + {count:,} (to {target:,}), {count / (time.perf_counter() - start):,.0f}/s")

    def encode(self, texts: Sequence[str], kind: Any) -> Any:
        """Return the encoder's vectors."""
        if kind == "query":
            return self._real.encode(texts, kind)
        return np.asarray([self._waiting.popleft() for _ in texts], dtype=np.float32)


class Memory(threading.Thread):
    """Watches the memory that this process cannot give back: what is not backed by a file."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self.start()

    def run(self) -> None:
        """Sample twenty times a second."""
        while True:
            self.peak = max(self.peak, status("RssAnon"))
            time.sleep(0.05)


def build(folder: Path, target: int) -> dict[str, Any]:
    """Fill the index."""
    memory, encoder = Memory(), Fed()
    known = (folder / "store.sqlite").is_file()
    with HybridIndex.open(folder, encoder=encoder) if known else HybridIndex.create(folder, encoder=encoder) as index:
        start, cpu = time.perf_counter(), time.process_time()
        report = index.add(encoder.documents(target))
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        if index.manifest["passages"] != target:
            raise SystemExit(f"expected {target} passages, got {index.manifest['passages']}; delete {folder}")
        return {
            "added": report["passages"], "wall s": wall, "CPU s": cpu, "anonymous": memory.peak,
            "resident": status("VmHWM"), "segments": index.manifest["segments"],
        }  # fmt: skip


def search(folder: Path, questions: Sequence[str]) -> dict[str, Any]:
    """Ask every question cold, then again warm in several ways; times in ms."""
    memory, encoder = Memory(), StaticEncoder()
    encoder.encode(["warm up"], "query")  # loading its weights is not the index's business
    result: dict[str, Any] = {}
    start = time.perf_counter()
    with HybridIndex.open(folder, encoder=encoder) as index:
        result["open"] = (time.perf_counter() - start) * 1000
        first = times(lambda query: index.search(query, K), questions)
        result["first"], result["cold"] = first[0][0], spread(first[1:])
        ways: dict[str, dict[str, Any]] = {
            "hybrid": {},
            "words": {"mode": "lexical"},
            "vectors": {"mode": "dense"},
            "hybrid, five years": {"where": YEAR},
            "hybrid, rare filter": {"where": RARE},
        }
        for name, options in ways.items():
            index.search(questions[0], K, **options)
            result[name] = spread(times(lambda query, options=options: index.search(query, K, **options), questions))  # type: ignore[misc]
            say(f"  {name}: {result[name]}")
        result["segments"] = index.manifest["segments"]
        result["admitted"] = {name: _share(index, where) for name, where in (("five", YEAR), ("rare", RARE))}
        before = memory.peak
        some = questions[:RECALL_QUERIES]
        near = index.search(some, K, mode="dense")
        exact = index.search(some, K, mode="dense", exact=True)
        result["recall"] = [len(ids(a) & ids(b)) / len(ids(b)) for a, b in zip(near, exact, strict=True)]
        both = index.search(some, K), index.search(some, K, exact=True)
        result["hybrid recall"] = [len(ids(a) & ids(b)) / len(ids(b)) for a, b in zip(*both, strict=True)]
    return {**result, "anonymous": before, "anonymous, exact too": memory.peak, "resident": status("VmHWM")}


def ids(hits: Sequence[Any]) -> set[int]:
    """Return the passages of some hits."""
    return {hit.passage.id for hit in hits}


def times(ask: Callable[[str], Any], questions: Sequence[str]) -> list[tuple[float, float]]:
    """Return how many ms each answer took, and how many of a processor."""
    taken = []
    for question in questions:
        start, cpu = time.perf_counter(), time.process_time()
        ask(question)
        taken.append(((time.perf_counter() - start) * 1000, (time.process_time() - cpu) * 1000))
    return taken


def spread(taken: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Return the median and the 95th percentile, and the median of processor time."""
    wall, cpu = np.asarray(taken).T
    low, high = np.percentile(wall, [50, 95])
    return {"p50": float(low), "p95": float(high), "cpu": float(np.median(cpu))}


def status(name: str) -> int:
    """Return a size from the kernel's account of this process, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0


def say(line: str) -> None:
    """Print progress, apart from the result."""
    print(line, file=sys.stderr, flush=True)


def _share(index: HybridIndex, where: dict[str, Any]) -> float:
    masks = index._read(lambda state: state.masks(where, False))
    return sum(int(mask.sum()) for mask in masks if mask is not None) / len(index)


def _limit_data(limit: int) -> None:
    """Limit what this process may write to; what libraries reserve without ever touching it does not count."""
    import faiss

    rows = np.ones((4_096, 64), dtype=np.float32)
    faiss.IndexFlatL2(64).search(rows, 1)  # starts its threads, each with a stack and an arena
    rows @ rows.T
    reserved = status("VmData") - status("RssAnon")
    resource.setrlimit(resource.RLIMIT_DATA, (limit + reserved, limit + reserved))


def main() -> None:
    """Run a stage."""
    stage, folder, given, limit = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    if limit:
        _limit_data(limit)
    result = build(folder, int(given)) if stage == "build" else search(folder, json.loads(given))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
