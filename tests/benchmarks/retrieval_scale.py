"""How an index grows: memory, disk, build rate and search time at 1M, 2M and 5M passages, and the fit to 36M.

One index is made through ``HybridIndex.add`` and measured at each size. Building and searching are processes of their
own, each under a memory limit in proportion to 12 GiB for the 36M records of PubMed (5M: 1.7 GiB): a memory cgroup,
which counts the page cache too, or without the right to make one, RLIMIT_DATA. The table says which. Passages come over
a pipe from a process outside the limit (scale_passages.py), with their vectors; so building is timed without embedding,
whose own rate is in the last table.

    cold    a new process after the index's files were put out of the page cache; the first question, then the others
    hybrid  and what follows: the same questions again in the same process, all warm. Times are from a question's text
            to passages with texts, checked; processor time is printed beside them, because a busy machine adds to both.
            Threads are as the libraries choose: NumPy may use all cores, FAISS answers one question on one.
    memory  anonymous memory, which the kernel cannot take back; the page cache may fill the rest of the limit. The
            questions are asked once more, in a new process, without a limit.

    python tests/benchmarks/retrieval_scale.py [--sizes 1000000 2000000 5000000] [--folder DIR] [--keep] [--quick]
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from common import CACHE, arguments, records, report
from scale_passages import blocks, load_pool

from radrag.indexes.encoders import StaticEncoder
from radrag.metrics import bootstrap

PUBMED = 36_000_000
LIMIT = 12 * 2**30
LEAST = 300 * 2**20  # of a quick run: Python, NumPy and FAISS alone take a third of it
QUESTIONS = 120
HERE = Path(__file__).resolve().parent
MIB = 2**20
WAYS = ("cold", "hybrid", "words", "vectors", "hybrid, five years", "hybrid, rare filter")


class Limit:
    """A memory limit on the processes that are started in it, as strong as this machine lets us make it.

    Args:
        size: Bytes.
    """

    def __init__(self, size: int) -> None:
        self.size, self.kind, self._folder = size, "RLIMIT_DATA", Path()
        for root, file, value in (
            (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", size),
            (Path("/sys/fs/cgroup"), "memory.max", size),
        ):
            folder = root / f"radrag-scale-{os.getpid()}"
            with suppress(OSError):
                folder.mkdir()
                self._folder = folder
                (folder / file).write_text(str(value))
                self.kind = "cgroup"
                return
            with suppress(OSError):
                folder.rmdir()

    def run(self, command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start Python under the limit."""
        own = [sys.executable, *command, "0" if self.kind == "cgroup" else str(self.size)]
        if self.kind == "cgroup":  # the shell joins, so that everything Python ever loads is counted
            own = ["sh", "-c", f'echo $$ > {self._folder}/cgroup.procs && exec "$@"', "sh", *own]
        return subprocess.Popen(own, stdout=subprocess.PIPE, **options)

    def hits(self) -> int | str:
        """Return how often the limit was met, so that pages had to be given back."""
        with suppress(OSError):
            return int((self._folder / "memory.failcnt").read_text())
        with suppress(OSError):
            events = dict(line.split() for line in (self._folder / "memory.events").read_text().splitlines())
            return int(events["max"])
        return "?"

    def close(self) -> None:
        """Remove it; its processes have ended."""
        if self.kind == "cgroup":
            self._folder.rmdir()


def main() -> None:
    """Build, ask, print."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000_000, 2_000_000, 5_000_000], help="passages")
    parser.add_argument("--folder", type=Path, default=CACHE / "scale", help="the indexes; one half built is finished")
    parser.add_argument("--keep", action="store_true", help="keep the indexes, so that another run only asks questions")
    args = parser.parse_args()
    sizes = [20_000, 40_000] if args.quick else sorted(args.sizes)
    folder = args.folder.with_name(args.folder.name + "-quick") if args.quick else args.folder
    load_pool(args.quick)
    questions = _questions()
    found = [_measured(folder, size, questions, args.quick) for size in sizes]
    _tables(found, args)
    _fits(found, args)
    _targets(found, args)
    _embedding(args)
    if not args.keep:
        shutil.rmtree(folder)


def _measured(folder: Path, size: int, questions: list[str], quick: bool) -> dict[str, Any]:
    """Bring the index to a size, unless a run before did, and ask it questions."""
    limit = Limit(max(LEAST, LIMIT * size // PUBMED))
    index, note = folder / str(size), folder / f"built-{size}.json"
    try:
        if not note.is_file():
            built = _build(folder / "growing", size, limit, quick)
            _copy(folder / "growing", index)
            note.write_text(json.dumps({**built, "met": limit.hits()}))
        forget(index)
        command = [str(HERE / "scale_stage.py"), "search", str(index), json.dumps(questions)]
        asked = _result(limit.run(command), "search")
        free = _result(subprocess.Popen([sys.executable, *command, "0"], stdout=subprocess.PIPE), "search")
        files: dict[str, int] = {}
        for path in index.rglob("*"):
            if path.is_file():
                files[path.name] = files.get(path.name, 0) + path.stat().st_size
        facts = {"size": size, "limit": limit.size, "kind": limit.kind}
        return {**facts, "built": json.loads(note.read_text()), "asked": asked, "free": free, "files": files}
    finally:
        limit.close()


def _copy(growing: Path, index: Path) -> None:
    """Keep a closed index as it is: segments never change, so they get a second name."""
    shutil.rmtree(index, ignore_errors=True)
    shutil.copytree(growing / "segments", index / "segments", copy_function=os.link)
    for path in growing.iterdir():
        if path.is_file():
            shutil.copyfile(path, index / path.name)


def _build(folder: Path, size: int, limit: Limit, quick: bool) -> dict[str, Any]:
    """Bring the growing index to a size."""
    start = 0
    if (folder / "store.sqlite").is_file():
        from radrag.indexes.database import Database

        database = Database(folder / "store.sqlite")
        (start,) = database.one("SELECT COUNT(*) FROM passages")
        database.close()
    if start > size:
        raise SystemExit(f"{folder} has {start:,} passages already, so {size:,} cannot be measured; delete it")
    print(f"{time.strftime('%H:%M')} building {size:,} passages, {start:,} are there", file=sys.stderr, flush=True)
    feeder = subprocess.Popen(
        [sys.executable, str(HERE / "scale_passages.py"), "quick" if quick else "all", str(start), str(size)],
        stdout=subprocess.PIPE,
    )
    child = limit.run([str(HERE / "scale_stage.py"), "build", str(folder), str(size)], stdin=feeder.stdout)
    assert feeder.stdout is not None
    feeder.stdout.close()
    try:
        return _result(child, "build")
    finally:
        feeder.wait()


def _result(child: subprocess.Popen[bytes], stage: str) -> dict[str, Any]:
    output, _ = child.communicate()
    if child.returncode:
        killed = "; the memory limit ended it" if child.returncode in (-9, 137) else ""
        raise SystemExit(f"the stage {stage} ended with {child.returncode}{killed}")
    result: dict[str, Any] = json.loads(output.decode().splitlines()[-1])
    return result


def forget(folder: Path) -> None:
    """Put the files of a folder, which nobody has open, out of the page cache."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def _questions() -> list[str]:
    asked = [record["question"] for record in records("bioasq_7b_9b.jsonl.gz")]
    chosen = np.random.default_rng(0).choice(len(asked), QUESTIONS, replace=False)
    return [asked[number] for number in np.sort(chosen)]


def _tables(found: list[dict[str, Any]], args: Any) -> None:
    rows = []
    for one in found:
        built, asked = one["built"], one["asked"]
        rate = [built["added"] / built[clock] for clock in ("CPU s", "wall s")]
        memory = [part["anonymous"] / MIB for part in (built, asked)]
        disk = sum(one["files"].values()) / one["size"]
        rows.append([one["size"], f"{one['kind']} {one['limit'] / MIB:.0f}", built["met"], *memory, disk, *rate])
    columns = ["passages", "limit, MiB", "times met", "building, anonymous MiB", "searching", "disk, bytes a passage"]
    report("Scale: memory, disk, build rate", [*columns, "passages a CPU s", "a wall s"], rows, args)
    rows = [
        [f"{one['size']:,}", memory, name, QUESTIONS - (name == "cold"), *_figures(one[part][name])]
        for one in found
        for part, memory in (("asked", "limited"), ("free", "all"))
        for name in WAYS
        if (part, name) != ("free", "cold")
    ]
    columns = ["passages", "memory", "what", "n", "p50, ms", "p95, ms", "CPU, p50 ms"]
    report("Scale: search, k = 10", columns, rows, args)
    rows = [
        [
            one["size"], bootstrap(one["asked"]["recall"], seed=0), bootstrap(one["asked"]["hybrid recall"], seed=0),
            one["asked"]["open"], one["asked"]["first"], *one["asked"]["admitted"].values(),
        ]
        for one in found
    ]  # fmt: skip
    columns = ["passages", "recall@10 of vectors against exact", "of hybrid", "opening, ms", "first question, ms"]
    report("Scale: recall, first question", [*columns, "five years admit", "rare filter admits"], rows, args)
    rows = [
        [one["size"], *(part["vectors"][name] for name in ("lists", "nprobe", "rescored", "recall@10", "recall@100"))]
        for one in found
        for part in one["asked"]["segments"]
        if part["vectors"]
    ]
    columns = ["passages", "lists", "looked into", "scored again", "recall@10 of its probes", "recall@100"]
    report("Scale: approximate search of each segment", columns, rows, args)
    names = sorted({name for one in found for name in one["files"]})
    rows = [[name, *(one["files"].get(name, 0) / one["size"] for one in found)] for name in names]
    report("Scale: bytes a passage", ["file", *(f"{one['size']:,}" for one in found)], rows, args)


def _figures(times: dict[str, float]) -> list[str]:
    return [f"{times[figure]:.1f}" for figure in ("p50", "p95", "cpu")]


def _fits(found: list[dict[str, Any]], args: Any) -> None:
    """Print what the sizes measured say of 36M: a line, least squares on the points, and a power law.

    Times are fitted where memory was not limited. What the same few questions need of the files hardly grows with the
    index, but the limit does: under 12 GiB it is all in memory, under the limit of 1M passages it is not.
    """
    sizes = np.asarray([one["size"] for one in found], dtype=np.float64)
    if len(sizes) < 2:
        return
    series = {
        **{
            f"{name}, {figure} ms": [one["free"][name][figure] for one in found]
            for figure in ("p50", "cpu")
            for name in WAYS[1:]
        },
        **{f"{name}, limited, p50 ms": [one["asked"][name]["p50"] for one in found] for name in WAYS[:2]},
        "searching, anonymous MiB": [one["asked"]["anonymous"] / MIB for one in found],
        "disk, GiB": [sum(one["files"].values()) / 2**30 for one in found],
        "building, anonymous MiB": [one["built"]["anonymous"] / MIB for one in found],
    }
    rows = []
    for name, values in series.items():
        points = ", ".join(f"{value:.4g}" for value in values)
        power = np.polyfit(np.log(sizes), np.log(values), 1)
        law = np.exp(np.polyval(power, np.log(PUBMED)))
        rows.append([name, points, f"{_line(sizes, values):.4g}", f"{law:.4g} (n^{power[0]:.2f})"])
    columns = ["what", f"at {', '.join(f'{int(n):,}' for n in sizes)}", "a line", "a power"]
    report("Scale: fit to 36M", columns, rows, args)


def _line(sizes: Any, values: Sequence[float]) -> float:
    """Return what a line through the sizes measured says of 36M."""
    return float(np.polyval(np.polyfit(sizes, values, 1), PUBMED))


def _targets(found: list[dict[str, Any]], args: Any) -> None:
    """Print what is asked for beside what was measured."""
    last, sizes = found[-1], [one["size"] for one in found]
    rows: list[list[Any]] = []
    for stage, name in (("built", "building"), ("asked", "searching")):
        share = max(one[stage]["anonymous"] / one["limit"] for one in found)
        rows.append([f"memory of its own in shares of the limit, {name}, the highest", share, "<", 1])
    for key, name in (("recall", "vectors"), ("hybrid recall", "hybrid")):
        least = min(float(np.mean(one["asked"][key])) for one in found)
        rows.append([f"recall@10 against exact, {name}, the lowest", least, ">=", 0.95])
    if len(found) > 1:
        rows.append(
            [
                "hybrid, warm, p50 ms at 36M by a line",
                _line(sizes, [o["free"]["hybrid"]["p50"] for o in found]),
                "<=",
                150,
            ]
        )
    for name in WAYS[4:]:
        more = last["free"][name]["cpu"] - last["free"]["hybrid"]["cpu"]
        rows.append(
            [
                f"what a filter adds to the search, CPU, of it: {name}, {last['size']:,}",
                more / last["free"]["hybrid"]["cpu"],
                "<",
                1,
            ]
        )
    report("Scale: what is asked for", ["what", "measured", "", "asked"], rows, args)


def _embedding(args: Any) -> None:
    encoder = StaticEncoder()
    texts = [f"{title}\n{text}" for part, _ in blocks(load_pool(args.quick), 0, 2_048) for _, title, text, _ in part]
    encoder.encode(texts[:10], "passage")
    start = time.process_time()
    encoder.encode(texts, "passage")
    rate = len(texts) / (time.process_time() - start)
    report("Scale: the shipped encoder", ["n", "passages a CPU s"], [[len(texts), rate]], args)


if __name__ == "__main__":
    main()
