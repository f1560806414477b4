"""A process that changes an index at random is killed; what is left must be a state before or after a batch.

The child's plan is drawn from a seed. What it is about to do, what it has done and where it is stands in a journal that
outlives it, so that the parent knows which states are allowed.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
from faults_documents import ANN_ROWS, CHUNKING, WordEncoder, make_document, small_ann, unique_word

from radrag.errors import RadragError
from radrag.indexes import merging, writing
from radrag.indexes.database import Database
from radrag.indexes.embedding_cache import CachedEncoder
from radrag.indexes.hybrid import HybridIndex
from radrag.indexes.merging import Merger, surplus
from radrag.indexes.store import Store
from radrag.types import Document, Notice

_PHASES = (
    "encode", "cache", "segment write", "transaction", "notices", "merge", "ann", "sweep", "compact", "measure",
    "shrink", "open",
)  # fmt: skip
_AGAIN = 3  # every third process that was killed is followed by another that is, before anyone looks
_UNIVERSE = 60
_OPERATIONS = 8


@dataclass(frozen=True)
class World:
    """What an index should hold: documents by name, which of them an outside notice retracts, or one deleted since."""

    documents: dict[str, Document] = field(default_factory=dict)
    noticed: frozenset[str] = frozenset()
    left: dict[str, str] = field(default_factory=dict)  # what each deleted notice retracts

    def retracted(self) -> set[str]:
        """Return the names of the documents that are retracted."""
        by_others = {f"PMID:{one}" for doc in self.documents.values() for one in doc.metadata.get("retraction_of", ())}
        own = {name for name, document in self.documents.items() if document.retracted}
        return own | (by_others | self.noticed | set(self.left.values())) & set(self.documents)

    def shown(self) -> set[str]:
        """Return the names of the documents that are evidence."""
        notices = {name for name, document in self.documents.items() if "retraction_of" in document.metadata}
        return set(self.documents) - self.retracted() - notices


@dataclass(frozen=True)
class Operation:
    """A change: what to call, and the states it passes through, one after each of its batches."""

    name: str
    call: Callable[[HybridIndex], Any]
    states: tuple[World, ...]


def plan(world: World, seed: Sequence[int]) -> list[Operation]:
    """Draw operations that start from a state."""
    rng = np.random.default_rng(seed)
    operations = []
    for _ in range(_OPERATIONS):
        name = str(rng.choice(list(_DRAW), p=[0.3, 0.25, 0.15, 0.1, 0.12, 0.08]))
        operations.append(_DRAW[name](world, rng))
        world = operations[-1].states[-1]
    return operations


def _add(world: World, rng: np.random.Generator) -> Operation:
    free = [number for number in range(_UNIVERSE) if f"PMID:{number}" not in world.documents]
    chosen = rng.permutation(free)[: int(rng.integers(1, 10))].tolist()
    return _batches("add", world, [make_document(number, 0) for number in chosen])


def _update(world: World, rng: np.random.Generator) -> Operation:
    chosen = rng.permutation(_UNIVERSE)[: int(rng.integers(1, 8))].tolist()
    versions = {name: document.metadata["pmid_version"] for name, document in world.documents.items()}
    return _batches("update", world, [make_document(n, versions.get(f"PMID:{n}", 0)) for n in chosen])


def _batches(name: str, world: World, documents: list[Document], size: int = 4) -> Operation:
    states, held = [], dict(world.documents)
    for start in range(0, len(documents), size):
        held = {**held, **{one.id: one for one in documents[start : start + size]}}
        left = {name: target for name, target in world.left.items() if name not in held}
        states.append(World(held, world.noticed, left))
    return Operation(name, lambda index: getattr(index, name)(documents, batch_size=size), (*states,) or (world,))


def _delete(world: World, rng: np.random.Generator) -> Operation:
    share = 0.7 if rng.random() < 0.2 else 0.15
    gone = [name for name in world.documents if rng.random() < share]
    kept = {name: document for name, document in world.documents.items() if name not in gone}
    said = {name: world.documents[name].metadata.get("retraction_of", ()) for name in gone}
    left = world.left | {name: f"PMID:{target}" for name, targets in said.items() for target in targets}
    return Operation("delete", lambda index: index.delete(gone), (World(kept, world.noticed, left),))


def _notices(world: World, rng: np.random.Generator) -> Operation:
    numbers = rng.permutation(_UNIVERSE)[:6].tolist()
    targets = [f"doi:10.1/a{number}" if number % 2 else f"PMID:{number}" for number in numbers]
    made = [Notice(target, "retracted", "PMID:999") for target in targets]
    after = World(world.documents, frozenset(f"PMID:{number}" for number in numbers), world.left)
    return Operation("notices", lambda index: index.set_notices("outside", made), (after,))


def _compact(world: World, rng: np.random.Generator) -> Operation:
    return Operation("compact", lambda index: index.compact(), (world,))


def _measure(world: World, rng: np.random.Generator) -> Operation:
    return Operation("measure", lambda index: index.measure(["chest nodule", "renal stone"]), (world,))


_DRAW: dict[str, Callable[[World, np.random.Generator], Operation]] = {
    "add": _add, "update": _update, "delete": _delete, "notices": _notices, "compact": _compact, "measure": _measure,
}  # fmt: skip


class Journal:
    """Lines that outlive their writer."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        self._stack: list[str] = []

    def line(self, text: str) -> None:
        """Write a line at once."""
        os.write(self._file, f"{text}\n".encode())

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Note where the process is, inside which other phase."""
        self._stack.append(name)
        self.line(f"phase {' > '.join(self._stack)}")
        try:
            yield
        finally:
            self._stack.pop()
            self.line(f"phase {' > '.join(self._stack)}")

    def around(self, owner: Any, attribute: str, name: str) -> None:
        """Note when a function runs."""
        inner = getattr(owner, attribute)

        @wraps(inner)
        def noted(*args: Any, **options: Any) -> Any:
            with self.phase(name):
                return inner(*args, **options)

        setattr(owner, attribute, noted)


def _child(folder: Path, journal: Journal, operations: Sequence[Operation]) -> None:
    _note_phases(journal)
    with HybridIndex.open(folder, encoder=WordEncoder()) as index:
        for operation in operations:
            journal.line(f"begin {operation.name}")
            operation.call(index)
            journal.line("end")
    journal.line("finished")


def _note_phases(journal: Journal) -> None:
    transaction = Database.transaction

    @contextmanager
    def noted(database: Database) -> Iterator[None]:
        with journal.phase("transaction"), transaction(database):
            yield

    Database.transaction = noted  # type: ignore[method-assign]
    encode = WordEncoder.encode

    def slow(encoder: WordEncoder, texts: Sequence[str], kind: str) -> Any:
        time.sleep(0.005)  # or hardly a kill would fall into it
        return encode(encoder, texts, kind)

    WordEncoder.encode = slow  # type: ignore[method-assign]
    journal.around(WordEncoder, "encode", "encode")
    journal.around(CachedEncoder, "encode", "cache")
    journal.around(Store, "set_notices", "notices")
    journal.around(merging, "build_ann", "ann")
    journal.around(Merger, "measure", "measure")
    journal.around(Database, "__init__", "open")
    journal.around(writing, "write_arrays", "segment write")
    journal.around(Merger, "_join", "merge")
    journal.around(Merger, "sweep", "sweep")
    journal.around(Merger, "compact", "compact")
    journal.around(Database, "shrink", "shrink")


@dataclass
class Kills:
    """What happened so far."""

    done: int = 0
    again: int = 0
    phases: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


def run(folder: Path, wanted: int, seed: int = 0) -> Kills:
    """Kill that many processes, one after the other, over one index; check after each."""
    found, world, seen = Kills(), World(), dict[int, tuple[str, str]]()
    duration, rng, round_number = 0.5, np.random.default_rng(seed), 0
    with small_ann():
        HybridIndex.create(folder / "index", encoder=WordEncoder(), chunking=CHUNKING).close()
        while found.done < wanted and len(found.problems) < 20:
            round_number += 1
            operations = plan(world, [seed, round_number])
            target = _PHASES[round_number // 2 % len(_PHASES)] if round_number % 2 else None
            delay = float(rng.uniform(0, (0.02 if target == "ann" else 0.004) if target else duration))
            started = time.perf_counter()
            killed, lines = _kill(folder, operations, target, delay)
            if not killed:
                duration = 0.5 * duration + 0.5 * (time.perf_counter() - started)
            found.done += killed
            again = killed and found.done % _AGAIN == 0
            more = _kill_again(folder, rng) if again else []
            found.again += again
            tidy = round_number % 2 == 0  # or what a killed process left is carried on into the next round
            world, outcome, problems = _check(folder / "index", world, operations, lines, seen, tidy)
            problems += more
            found.outcomes[outcome if killed else "not killed"] += 1
            if killed:
                where = [line.removeprefix("phase").strip() for line in lines if line.startswith("phase")]
                found.phases[(where[-1] if where else "") or "none of these"] += 1
            found.problems += [f"round {round_number}, seed {seed}: {problem}" for problem in problems]
    return found


def _kill(folder: Path, operations: Sequence[Operation], target: str | None, delay: float) -> tuple[bool, list[str]]:
    """Run a child until a phase is reached, if one is given, and a while longer; return whether it was still alive."""
    path = folder / "journal"
    journal = Journal(path)
    child = os.fork()
    if child == 0:
        try:
            _child(folder / "index", journal, operations)
        except BaseException as error:
            journal.line(f"error {error!r}")
        os._exit(0)
    while target is not None and not os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        if any(line.startswith("phase") and line.endswith(target) for line in path.read_text().splitlines()):
            break
        time.sleep(0.0005)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(journal._file)
    return os.WIFSIGNALED(status), path.read_text().splitlines()


def _kill_again(folder: Path, rng: np.random.Generator) -> list[str]:
    """Run a second process that recovers, sweeps, joins and compacts, and kill it too; return its errors."""
    journal = Journal(folder / "journal again")
    child = os.fork()
    if child == 0:
        try:
            with HybridIndex.open(folder / "index", encoder=WordEncoder()) as index:
                index.add([])
                index.compact()
        except BaseException as error:
            journal.line(f"error {error!r}")
        os._exit(0)
    time.sleep(float(rng.uniform(0, 0.04)))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(journal._file)
    return (folder / "journal again").read_text().splitlines()


def _check(
    folder: Path,
    before: World,
    operations: Sequence[Operation],
    lines: Sequence[str],
    seen: dict[int, tuple[str, str]],
    tidy: bool,
) -> tuple[World, str, list[str]]:
    """Return the state found, whether it is the one before, within or after the operation in progress, and problems."""
    problems = [line for line in lines if line.startswith("error")]
    ended, begun = lines.count("end"), sum(line.startswith("begin") for line in lines)
    start = operations[ended - 1].states[-1] if ended else before
    allowed = [start, *(operations[ended].states if begun > ended else ())]
    try:
        index = HybridIndex.open(folder, encoder=WordEncoder())
    except RadragError as error:
        raise SystemExit(f"the index does not open after {lines[-3:]}: {error}") from error
    with index:
        problems += index.verify()
        documents = {one.id: one for one in index.documents()}
        hits = index.search("common", k=10_000, mode="dense", exact=True, include_retracted=True)
        shown = {hit.passage.document_id for hit in index.search("common", k=10_000)}
        gone = {hit.passage.document_id for hit in hits if "retracted" in hit.passage.flags}
        matching = [n for n, one in enumerate(allowed) if one.documents == documents and one.retracted() == gone]
        if not matching:
            problems.append(f"{len(documents)} documents are no state before or after {lines[-3:]}")
            return World(documents, before.noticed, before.left), "NEITHER", problems
        world = allowed[matching[-1]]
        problems += _passages(world, [hit.passage for hit in hits], seen)
        if shown != world.shown():
            problems.append(f"shown and hidden: expected {sorted(world.shown())}, got {sorted(shown)}")
        for name in sorted(shown)[:5]:
            number, variant = int(name.removeprefix("PMID:")), documents[name].metadata["pmid_version"] - 1
            best = index.search(unique_word(number, variant), k=1, mode="lexical")
            if [hit.passage.document_id for hit in best] != [name]:
                problems.append(f"{name} is not found by its own word")
        if tidy:
            problems += _tidied(folder, index, world)
    if len(allowed) == 1:
        return world, "between operations", problems
    if len(matching) == len(allowed):
        return world, "before and after are the same", problems
    place = "before" if 0 in matching else "after" if len(allowed) - 1 in matching else "after some of its batches"
    return world, place, problems


def _tidied(folder: Path, index: HybridIndex, world: World) -> list[str]:
    """Let a write that has nothing to add finish what the killed one left undone; nothing may change by it."""
    index.add([])
    listed = index.manifest["segments"]
    problems = index.verify()
    if {one.id: one for one in index.documents()} != world.documents:
        problems.append("a write of nothing changed the documents")
    if surplus([one["rows"] for one in listed]) is not None:
        problems.append(f"segments were left to join: {[one['rows'] for one in listed]}")
    if any(one["rows"] >= ANN_ROWS and one["vectors"] is None for one in listed):
        problems.append("a segment was left without its approximate index")
    if len(listed) != len(folders := list((folder / "segments").glob("*"))):
        problems.append(f"{len(folders)} folders were left for {len(listed)} segments")
    return problems


def _passages(world: World, found: Sequence[Any], seen: dict[int, tuple[str, str]]) -> list[str]:
    """Compare the passages with the cut of each document; ids must be new ones or mean what they meant."""
    expected = {(one.id, part.start, part.text) for one in world.documents.values() for part in CHUNKING.passages(one)}
    held = [(passage.document_id, passage.start, passage.text) for passage in found]
    problems = []
    if len(held) != len(set(held)) or set(held) != expected:
        problems.append(f"passages: expected {len(expected)}, got {len(held)}, {len(set(held))} different")
    highest = max(seen, default=0)
    for passage in found:
        says = (passage.document_id, passage.text)
        if seen.get(passage.id, says) != says or (passage.id not in seen and passage.id <= highest):
            problems.append(f"passage id {passage.id} was given before")
        seen[passage.id] = says
    return problems
