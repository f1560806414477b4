"""Whole files go wrong: cut off, emptied, lost, exchanged between two segments, or put back from an older copy."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from faults_documents import CHUNKING, WordEncoder, make_document, small_ann
from faults_flips import Outcome, in_fork, judge, observe

from radrag.indexes import merging
from radrag.indexes.hybrid import HybridIndex
from radrag.types import Notice

_LOCKS = ("writer.lock", "store.sqlite-shm", "embeddings.sqlite-shm")


@dataclass(frozen=True)
class Fault:
    """What is done to a copy of an index.

    Attributes:
        kind: In a word or two.
        file: The file, from the index's folder.
        apply: Does it, given the copy.
    """

    kind: str
    file: Path
    apply: Callable[[Path], object]


def build(folder: Path) -> None:
    """Make ``index``, two of whose segments have arrays of the same shapes, and ``older``, as it was in the middle.

    The last changes stay in SQLite's write-ahead log, as after a crash; ``closed`` is the index without a log.
    """
    share, merging._SHARE = merging._SHARE, 0  # nothing is joined
    first, second, third = _numbers()
    try:
        with small_ann():
            index = HybridIndex.create(folder / "live", encoder=WordEncoder(), chunking=CHUNKING)
            index.add(make_document(number, 0) for number in first)
            index.add(make_document(number, 0) for number in second)
            index.set_note("files", {"pubmed26n0001": 0})
            shutil.copytree(folder / "live", folder / "older")
            index.close()
            shutil.copytree(folder / "live", folder / "older closed")
            index = HybridIndex.open(folder / "live", encoder=WordEncoder())
            index.add(make_document(number, 0) for number in third)
            index.delete([f"PMID:{number}" for number in (3, 12)])
            index.set_note("files", {"pubmed26n0001": 1})
            index.set_notices("outside", [Notice("doi:10.1/a5", "retracted", "x"), Notice("PMID:6", "corrected", "y")])
            index.update([make_document(20, 1)])
            shutil.copytree(folder / "live", folder / "index")
            index.close()
            shutil.copytree(folder / "live", folder / "closed")
    finally:
        merging._SHARE = share
    shutil.rmtree(folder / "live")
    for path in [one for one in folder.rglob("*") if one.name in _LOCKS]:
        path.unlink()


def _numbers() -> tuple[list[int], list[int], list[int]]:
    """Return documents of two segments with equally many passages, and the others."""
    cut = {number: len(list(CHUNKING.passages(make_document(number, 0)))) for number in range(43)}
    first, rest = list(range(18)), list(range(18, 43))
    wanted, rng = sum(cut[number] for number in first), np.random.default_rng(0)
    while True:
        drawn = rng.permutation(rest).tolist()
        sums = np.cumsum([cut[number] for number in drawn]).tolist()
        if wanted in sums:
            some = drawn[: sums.index(wanted) + 1]
            return first, sorted(some), [number for number in rest if number not in some]


def run(folder: Path) -> list[Outcome]:
    """Apply every fault to the index, one at a time, in a copy; with the log and without."""
    outcomes = []
    with small_ann():
        for name in ("index", "closed"):
            shutil.copytree(folder / name, folder / "untouched")
            truth = in_fork(lambda: observe(folder / "untouched", None))
            if isinstance(truth, str):
                raise SystemExit(f"the index cannot be read before anything went wrong: {truth}")
            shutil.rmtree(folder / "untouched")
            for fault in _faults(folder, name):
                with tempfile.TemporaryDirectory(dir=folder) as place:
                    copy = Path(place) / "index"
                    shutil.copytree(folder / name, copy)
                    fault.apply(copy)
                    result = in_fork(lambda copy=copy, truth=truth: judge(copy, truth))
                found = ("CRASHED", result) if isinstance(result, str) else tuple(result)
                outcomes.append(Outcome(fault.kind, 0, 0, *found))
                outcomes[-1] = replace(outcomes[-1], detail=f"{fault.file}: {outcomes[-1].detail}")
    return outcomes


def _faults(folder: Path, name: str) -> Iterator[Fault]:
    whole = folder / name
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    for file in files:
        size = (whole / file).stat().st_size
        for kind, left in (("cut by a byte", size - 1), ("cut to half", size // 2), ("cut to 4 kB", 4096)):
            if 0 < left < size:
                yield Fault(kind, file, lambda copy, file=file, left=left: _cut(copy / file, left))
        if size:
            yield Fault("emptied", file, lambda copy, file=file: _cut(copy / file, 0))
            yield Fault("longer", file, lambda copy, file=file: _lengthen(copy / file))
        yield Fault("lost", file, lambda copy, file=file: (copy / file).unlink())
    yield from _exchanges(whole, files)
    for old in ("older", "older closed"):
        yield from _restored(folder / old, whole)


def _exchanges(whole: Path, files: list[Path]) -> Iterator[Fault]:
    """Exchange files of the same name between segments."""
    inside = [file for file in files if file.parts[0] == "segments"]
    for place, one in enumerate(inside):
        for other in inside[place + 1 :]:
            same_name = one.parts[2:] == other.parts[2:]
            if same_name and (whole / one).read_bytes() != (whole / other).read_bytes():
                yield Fault("exchanged", one, lambda copy, one=one, other=other: _exchange(copy / one, copy / other))
    folders = sorted({Path(*file.parts[:2]) for file in inside})
    for one, other in pairwise(folders):
        yield Fault("exchanged folders", one, lambda copy, one=one, other=other: _exchange(copy / one, copy / other))


def _restored(old: Path, whole: Path) -> Iterator[Fault]:
    """Put single files back from an older copy; the store's log is such a file too."""
    for path in sorted(path for path in old.iterdir() if path.is_file()):
        file = path.relative_to(old)
        if not (whole / file).is_file() or (whole / file).read_bytes() != path.read_bytes():
            yield Fault("older copy", file, lambda copy, file=file, path=path: shutil.copy(path, copy / file))
    log = old / "store.sqlite-wal"

    def store_and_log(copy: Path) -> None:
        for path in copy.glob("store.sqlite*"):
            path.unlink()
        for path in old.glob("store.sqlite*"):
            shutil.copy(path, copy)

    if log.is_file():
        yield Fault("older store and log", Path("store.sqlite"), store_and_log)


def _cut(path: Path, size: int) -> None:
    with path.open("r+b") as stream:
        stream.truncate(size)


def _lengthen(path: Path) -> None:
    with path.open("ab") as stream:
        stream.write(b"\0" * 100)


def _exchange(one: Path, other: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)
