"""How long it takes to start: import, help, first answer in a fresh process, and the demo; fails beyond a limit.

The limit of ``import radrag`` is on what it takes beyond an empty interpreter, by the shortest run; the others are on
the shortest wall time.

python tests/benchmarks/start_up.py [--quick] [--json FILE]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from common import arguments, report

import radrag as rr

LIMITS = {"import radrag, beyond empty": 0.2, "radrag --help": 0.6, "radrag demo": 90.0}
FIRST_ANSWER = """
import sys
import radrag as rr
with rr.HybridIndex.open(sys.argv[1]) as index:
    rr.QAPipeline(index)(sys.argv[2])
"""


def seconds(arguments: Sequence[str], runs: int) -> list[float]:
    """Return the wall time of each of several fresh interpreters."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return times


def main() -> None:
    """Measure, print, and fail beyond a limit."""
    args = arguments(__doc__ or "").parse_args()
    runs = 3 if args.quick else 7
    question = "Is breastfeeding safe after iodinated contrast?"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        with rr.HybridIndex.create(path) as index:
            index.add(rr.load_protocols() + rr.load_evidence())
        times = {
            "empty interpreter": seconds(["-c", "pass"], runs),
            "import radrag": seconds(["-c", "import radrag"], runs),
            "radrag --help": seconds(["-m", "radrag", "--help"], runs),
            "open an index, first answer": seconds(["-c", FIRST_ANSWER, str(path), question], runs),
            "radrag demo": seconds(["-m", "radrag", "demo"], 1),
        }
    empty = min(times["empty interpreter"])
    times["import radrag, beyond empty"] = [one - empty for one in times["import radrag"]]
    rows = [
        [name, len(found), min(found), statistics.median(found), LIMITS.get(name, "")] for name, found in times.items()
    ]
    report("Start-up, fresh processes", ["what", "runs", "min (s)", "median (s)", "limit (s)"], rows, args)
    late = [f"{name}: {min(times[name]):.3f} s, expected at most {limit} s" for name, limit in LIMITS.items()
            if min(times[name]) > limit]  # fmt: skip
    if late:
        sys.exit("; ".join(late))


if __name__ == "__main__":
    main()
