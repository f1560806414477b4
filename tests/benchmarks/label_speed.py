"""How fast labels come, and in how much memory.

Times are processor seconds of one thread, so that other work on the machine disturbs them less; ratios are over the
same notes in the same run, with intervals over the batches.

Constrained scoring stands against writing (``generate``), one note at a time and in batches, on two kinds of prompt:
the note alone, for a model tuned on the labels, and with all labels listed in the system turn, for one that is not. In
the first nearly all time goes into reading the note, which writing must do too; in the second the list is read once. It
is longer than what the shipped model was trained for: times mean something there, its labels do not.

The labeller is fitted on a part of the shipped training notes and labels the others. Fitting is timed on made notes:
shipped ones drawn again and again, each with words left out and clauses shuffled, copies in the group of their note.

python tests/benchmarks/label_speed.py [--quick] [--only memory,labeller,fit,generator] [--notes N] [--json FILE]
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import random
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before NumPy and torch are loaded
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np  # noqa: E402
from common import arguments, report  # noqa: E402

import radrag as rr  # noqa: E402
from radrag.generation.prompts import label_chat  # noqa: E402
from radrag.labelling.batches import BatchProgress, predict_file  # noqa: E402
from radrag.metrics import bootstrap_statistic  # noqa: E402
from radrag.training.small_llama import worn  # noqa: E402
from radrag.types import Label, LabelledNote, LabelResult, Span  # noqa: E402

COLUMNS = ["what", "n", "seconds a note", "notes a second"]
FIT = ["what", "n", "labels", "seconds", "milliseconds a note", "peak MiB", "notes a second, labelling"]
FIT_LABELS = 35
MEMORY = ["labeller", "rows", "rows a second", "peak MiB", "MiB more per 1,000 rows", "MiB at 1,000,000"]


class Cheap:
    """Labels by the first letter: what is left is the reading and writing of files."""

    manifest: dict[str, Any] = {"labels": "cheap"}  # noqa: RUF012

    def batch(self, texts: Sequence[str]) -> list[LabelResult]:
        """Return a result for each text."""
        return [LabelResult(one, one[:1], 0.5, (), (one[:1],), (Span(0, 4, one[:4]),)) for one in texts]


def main() -> None:
    """Print the tables."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--only", default="memory,labeller,fit,generator", help="parts to run")
    parser.add_argument("--notes", type=int, help="notes of the stream (1,000,000; quick: 20,000)")
    args = parser.parse_args()
    parts = {"memory": _memory, "labeller": _labeller, "fit": _fit, "generator": _generator}
    for name in parts:  # memory first, while little is loaded
        if name in args.only.split(","):
            parts[name](args)


def _resident() -> float:
    """Return resident memory in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status has no VmRSS; run this on Linux")


def _streamed(pipeline: Any, notes: Sequence[str], rows: int) -> tuple[float, list[tuple[int, float]]]:
    """Label a file of so many rows; return processor seconds and the memory after each batch."""
    seen: list[tuple[int, float]] = []

    def note(told: BatchProgress) -> None:
        seen.append((told.rows, _resident()))

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.jsonl"
        with source.open("w", encoding="utf-8") as file:
            for row in range(rows):
                file.write(json.dumps({"id": row, "text": f"{notes[row % len(notes)]} ({row})"}) + "\n")
        start = time.process_time()
        summary = predict_file(pipeline, source, Path(folder) / "out.jsonl", id="id", progress=note)
        seconds = time.process_time() - start
    assert summary.rows == rows
    assert summary.errors == 0
    return seconds, seen


def _memory_row(name: str, rows: int, seconds: float, seen: Sequence[tuple[int, float]]) -> list[Any]:
    """Say how memory went over the second half of a run, and what that comes to over a million rows."""
    later = np.asarray(seen[len(seen) // 2 :])
    slope = float(np.polyfit(later[:, 0], later[:, 1], 1)[0]) if len(later) > 2 else 0.0
    peak = max(one for _, one in seen)
    return [name, rows, rows / seconds, peak, 1000 * slope, peak + max(0.0, slope) * max(0, 1_000_000 - rows)]


def _memory(args: argparse.Namespace) -> None:
    rows = args.notes or (20_000 if args.quick else 1_000_000)
    notes = [note.text for note in rr.load_notes("train")][:500]
    seconds, seen = _streamed(Cheap(), notes, rows)
    report("Memory of a stream", MEMORY, [_memory_row("cheap", rows, seconds, seen)], args)


def _labeller(args: argparse.Namespace) -> None:
    notes = rr.load_notes("train")
    step = 40 if args.quick else 12
    asked = [note.text for place, note in enumerate(notes) if place % step][:: 8 if args.quick else 1]
    with tempfile.TemporaryDirectory() as folder, rr.HybridIndex.create(Path(folder) / "index") as index:
        index.add(rr.load_protocols())
        labels = rr.LabelSet.from_protocols(index.documents())
        pipeline = rr.LabelPipeline(index, None, labels=labels).fit(notes[::step])
        ways: list[tuple[str, int, Callable[[Sequence[str]], Any]]] = [
            ("labels, citations, evidence and drift, all guidelines new, batches of 256", 256, pipeline.batch),
            ("the same again, batches of 256", 256, pipeline.batch),
            ("the same again, batches of 1,000", 1000, pipeline.batch),
            ("probabilities alone, batches of 256", 256, pipeline.probabilities),
            ("probabilities alone, batches of 1,000", 1000, pipeline.probabilities),
        ]
        pipeline.batch(asked[:2])
        rows = [[name, len(asked), *_rate(run, asked, size)] for name, size, run in ways]
        title = f"Fitted on {len(notes[::step]):,} notes, {len(labels)} labels, shipped encoder, one thread"
        report(title, [*COLUMNS, "95 % interval over batches"], rows, args)
        _profile(pipeline, asked[:1000], args)
        stream = 2_000 if args.quick else 20_000
        seconds, seen = _streamed(pipeline, asked, stream)
        report("Memory of a stream, fitted", MEMORY, [_memory_row("fitted", stream, seconds, seen)], args)


def _rate(run: Callable[[Sequence[str]], Any], notes: Sequence[str], size: int) -> list[Any]:
    """Return seconds a note, notes a second, and its interval over the batches, all of which are of one size."""
    parts = [notes[start : start + size] for start in range(0, len(notes), size)]
    seconds = np.array([_timed(lambda part=part: run(part)) for part in parts])  # type: ignore[misc]
    sizes = np.array([len(part) for part in parts], dtype=np.float64)
    told = bootstrap_statistic((sizes, seconds), lambda n, s: float(n.sum() / s.sum()), n_resamples=1000)
    return [float(seconds.sum() / sizes.sum()), float(sizes.sum() / seconds.sum()), told]


def _made_notes(count: int) -> list[LabelledNote]:
    """Return made notes of the labels that most shipped training notes have."""
    notes = rr.load_notes("train")
    kept = {label for label, _ in Counter(note.label for note in notes).most_common(FIT_LABELS)}
    pool, draw = [note for note in notes if note.label in kept], random.Random(0)
    chosen = draw.choices(pool, k=count)
    # The number keeps every copy a text of its own, as accession numbers do.
    return [replace(note, text=f"{worn(note.text, draw, 0.1)} case {place}") for place, note in enumerate(chosen)]


def _fit(args: argparse.Namespace) -> None:
    rows = []
    for count in (500, 1_000) if args.quick else (10_000, 40_000):
        notes = _made_notes(count)
        asked = [note.text for note in notes[:1000]]
        used = {note.label for note in notes}
        with tempfile.TemporaryDirectory() as folder, rr.HybridIndex.create(Path(folder) / "index") as index:
            index.add(rr.load_protocols())
            every = rr.LabelSet.from_protocols(index.documents())
            labels = rr.LabelSet([label for label in every if label.id in used])
            pipeline = rr.LabelPipeline(index, None, labels=labels)
            seconds = _timed(lambda: pipeline.fit(notes))  # noqa: B023  # called at once
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            pipeline.batch(asked)  # prepares the guidelines
            rate = len(asked) / _timed(lambda: pipeline.batch(asked))  # noqa: B023
        rows.append(["fit, calibrated out of fold", count, len(labels), seconds, 1000 * seconds / count, peak, rate])
    report("Fitting on made notes, one thread", FIT, rows, args)


def _profile(pipeline: Any, notes: Sequence[str], args: argparse.Namespace) -> None:
    """Show where the time goes: the library's functions that take most, with what they call."""
    watched = cProfile.Profile()
    watched.enable()
    pipeline.batch(notes)
    watched.disable()
    stats: dict[Any, Any] = pstats.Stats(watched).stats  # type: ignore[attr-defined]
    whole = max(entry[3] for entry in stats.values())
    own = [
        (place, entry)
        for place, entry in stats.items()
        if f"{os.sep}radrag{os.sep}" in place[0] and "<" not in place[2]
    ]
    own.sort(key=lambda one: -one[1][3])
    rows = [
        [f"{Path(file).name}: {function}", calls, cumulative / whole, total / whole]
        for (file, _, function), (_, calls, total, cumulative, _) in own[:24]
    ]
    report("Where the time goes", ["function", "calls", "share with what it calls", "share alone"], rows, args)


def _timed(run: Callable[[], Any]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def _generator(args: argparse.Namespace) -> None:
    import torch

    from radrag.generation.llama import LlamaGenerator
    from radrag.types import GenerationParams

    torch.set_num_threads(1)
    batch, batches = (2, 2) if args.quick else (8, 12)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    settings: dict[str, Any] = {"batch_size": batch, "device": device, "context": 4096, "local_files_only": True}
    llama = LlamaGenerator("small-llama", "small-llama-protocols", **settings)
    ids = [document.id for document in rr.load_protocols()][: 12 if args.quick else None]
    notes = [note.text for note in rr.load_notes("calibration")][: batch * batches]
    listed = tuple(Label(id) for id in ids)
    params = GenerationParams(max_new_tokens=16)
    ways: dict[str, Callable[[list[Any]], Any]] = {
        "generate, one at a time": lambda chats: [llama.generate([chat], params) for chat in chats],
        "generate, batched": lambda chats: llama.generate(chats, params),
        "score, all exact": lambda chats: llama.score(chats, ids),
        "score, floor .01": lambda chats: llama.score(chats, ids, floor=0.01),
        "score, best only": lambda chats: llama.score(chats, ids, floor=1.0),
    }
    for title, options in {"the note alone": None, "all labels listed": listed}.items():
        chats = [label_chat(note, options) for note in notes]
        parts = [chats[start : start + batch] for start in range(0, len(chats), batch)]
        for way in ways.values():
            way(parts[0][:2])
        times = {name: np.array([_clock(way, part, device) for part in parts]) for name, way in ways.items()}
        rows = [_against(name, seconds, times, parts) for name, seconds in times.items()]
        tokens = np.mean([llama.count(chat) for chat in chats])
        columns = [*COLUMNS, "times faster than one at a time", "than batched"]
        report(f"{len(ids)} labels, {title} ({tokens:.0f} tokens), {device}", columns, rows, args)


def _clock(way: Callable[[list[Any]], Any], part: list[Any], device: str) -> float:
    if device == "cpu":
        return _timed(lambda: way(part))
    import torch

    torch.cuda.synchronize()
    start = time.perf_counter()
    way(part)
    torch.cuda.synchronize()
    return time.perf_counter() - start


def _against(name: str, seconds: Any, times: dict[str, Any], parts: Sequence[Sequence[Any]]) -> list[Any]:
    n = sum(map(len, parts))
    ratios = [
        bootstrap_statistic((times[other], seconds), lambda a, b: float(a.sum() / b.sum()), n_resamples=1000)
        for other in ("generate, one at a time", "generate, batched")
    ]
    return [name, n, float(seconds.sum()) / n, n / float(seconds.sum()), *ratios]


if __name__ == "__main__":
    main()
