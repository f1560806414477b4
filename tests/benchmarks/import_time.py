"""How long ``import radrag`` takes beyond an empty interpreter: at most 0.2 s.

python tests/benchmarks/import_time.py [--quick]
"""

from __future__ import annotations

import subprocess
import sys
import time

from common import arguments, report

LIMIT = 0.2


def seconds(code: str, runs: int) -> float:
    """Return the shortest wall time of fresh interpreters that run this code."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Measure, print, and fail beyond the limit."""
    args = arguments(main.__doc__ or "").parse_args()
    runs = 3 if args.quick else 5
    empty, loaded = seconds("pass", runs), seconds("import radrag", runs)
    columns = ["code", f"seconds (min of {runs})"]
    report("Import time", columns, [["pass", empty], ["import radrag", loaded], ["difference", loaded - empty]], args)
    if loaded - empty > LIMIT:
        sys.exit(f"import radrag takes {loaded - empty:.3f} s more than an empty interpreter, expected at most {LIMIT}")


if __name__ == "__main__":
    main()
