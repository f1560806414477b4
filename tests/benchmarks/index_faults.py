"""What an index survives: processes killed while they change it, bits that flip in its files, and files gone wrong.

Kills: a child adds, updates, deletes, sets notices, measures and compacts, as a seed says; the parent ends it with
SIGKILL, half of the times after a random while, half of the times just after a certain phase began. Every third time a
second child, which recovers, is killed too before anyone looks. Then the index must open, pass ``verify``, and hold
exactly the documents before or after a batch: each passage once, under an id that was never given to another, found by
a word that only its document has, and not at all if it is retracted. Every other time a write of nothing must then
finish what was left: no folder too many, no segments to join, none without its approximate index. The next child goes
on.

Flips: one bit of one file, in a copy of an index that holds everything; every region of the SQLite file is drawn. Then
it is opened, searched in every mode with and without filters, read and verified. "WRONG" is a passage, document or
cached vector that differs from what was put in, or a retracted one that was shown; "UNNOTICED" another answer than
before with nothing in ``verify``; both must be 0. "harmless" gave the answers of before and a clean ``verify``: unused
bytes of SQLite's pages, mostly. "leaks": filters that let others through, before anything was noticed. "bare": errors
that were not radrag's own.

Files: each file of an index, one at a time, is cut off, emptied, made longer, lost, exchanged with that of another
segment (of the same shapes, too), or put back from an older copy; judged as the flips are.

    python tests/benchmarks/index_faults.py [--kills 200] [--flips 40] [--no-files] [--seed 0] [--quick] [--json FILE]
"""

from __future__ import annotations

import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")  # before the forks

import tempfile
import time
from argparse import BooleanOptionalAction, Namespace
from pathlib import Path

import faults_files
import faults_flips
import faults_kills
from common import arguments, report

FATAL = ("WRONG", "UNNOTICED", "CRASHED")


def main() -> None:
    """Kill, flip, print the tables; exit with an error if anything was lost, doubled or wrong."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--kills", type=int, default=200, help="processes to kill (20 with --quick), 0 for none")
    parser.add_argument("--flips", type=int, default=40, help="bits to flip in each file (2 with --quick), 0 for none")
    parser.add_argument("--files", action=BooleanOptionalAction, default=True, help="damage whole files, or do not")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    problems = _kills(args, min(args.kills, 20) if args.quick else args.kills)
    problems += _flips(args, min(args.flips, 2) if args.quick else args.flips)
    problems += _files(args)
    if problems:
        raise SystemExit("\n".join(problems))


def _kills(args: Namespace, wanted: int) -> list[str]:
    if wanted < 1:
        return []
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="radrag-faults-") as folder:
        found = faults_kills.run(Path(folder), wanted, args.seed)
    title = f"{found.done} kills, seed {args.seed}, {time.perf_counter() - start:.0f} s"
    rows = [[name, "found", count] for name, count in found.outcomes.most_common()]
    rows += [[name, "killed in", count] for name, count in found.phases.most_common()]
    rows += [["a second process", "killed in recovery", found.again], ["problems", "", len(found.problems)]]
    report(title, ["state or phase", "", "times"], rows, args)
    return found.problems


def _flips(args: Namespace, per_file: int) -> list[str]:
    if per_file < 1:
        return []
    outcomes = []
    start = time.perf_counter()
    for log in (False, True):
        with tempfile.TemporaryDirectory(prefix="radrag-faults-") as folder:
            faults_flips.build(Path(folder), log)
            only = ("store.sqlite", "store.sqlite-wal") if log else None
            outcomes += faults_flips.flip_all(Path(folder), per_file, args.seed, only)
    title = f"{len(outcomes)} bit flips, seed {args.seed}, {time.perf_counter() - start:.0f} s"
    columns = ["file", "flips", *faults_flips.OUTCOMES, "leaks", "bare"]
    report(title, columns, faults_flips.tally(outcomes), args)
    return [str(one) for one in outcomes if one.kind in FATAL]


def _files(args: Namespace) -> list[str]:
    if not args.files:
        return []
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="radrag-faults-") as folder:
        faults_files.build(Path(folder))
        outcomes = faults_files.run(Path(folder))
    title = f"{len(outcomes)} files cut, lost, exchanged or restored, {time.perf_counter() - start:.0f} s"
    columns = ["fault", "files", *faults_flips.OUTCOMES, "leaks", "bare"]
    report(title, columns, faults_flips.tally(outcomes), args)
    return [str(one) for one in outcomes if one.kind in FATAL]


if __name__ == "__main__":
    main()
