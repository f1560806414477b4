"""Checking an index against the hashes it recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radrag.errors import IndexCorruptError, IndexStateError
from radrag.indexes.database import Database
from radrag.indexes.ledger import Ledger
from radrag.indexes.postings import Postings
from radrag.indexes.segments import read_segment, verify_segment
from radrag.indexes.store import Store
from radrag.indexes.tokens import passage_terms

_BATCH = 500
_TIMES, _SECONDS = 5, 10.0


def verify_index(path: Path, database: Database) -> list[str]:
    """Return what is wrong with an index, a line each.

    Segments that a writer replaced meanwhile are missing from the state that is checked. That is told from damage by
    checking again: a state read later does not list them, so what is found twice is damage.

    Raises:
        IndexStateError: If it was written all the while.
    """
    seen: set[str] = set()
    passes, end = 0, monotonic() + _SECONDS
    while passes < _TIMES or monotonic() < end:
        passes += 1
        with database.snapshot():
            before, problems = _revision(database), _problems(path, database)
        if not problems or _revision(database) == before:
            return problems
        if again := [line for line in problems if line in seen]:
            return again
        seen.update(problems)
    raise IndexStateError(
        f"{path} was written all the while, so that none of {passes} checks saw all files of one state, and no damage "
        "was found; verify it again when nothing is written"
    )


def _revision(database: Database) -> Any:
    try:
        return database.get("revision")
    except IndexCorruptError:
        return None


def _problems(path: Path, database: Database) -> list[str]:
    problems: list[str] = []
    for check in (_settings, _documents, _segments, _passages):
        if check is _passages and problems:
            break
        try:
            problems += check(path, database)
        except IndexCorruptError as error:
            problems.append(str(error))
        except FileNotFoundError as error:
            problems.append(f"{error.filename} is missing")
    return problems


def _settings(path: Path, database: Database) -> Iterator[str]:
    yield from database.problems()
    ((last_document,), (last_passage,)) = (
        database.one(f"SELECT COALESCE(MAX(id), 0) FROM {table}") for table in ("documents", "passages")
    )
    last_passage = max([last_passage, *(entry.high for entry in Ledger(database).segments())])
    next_document, next_passage = database.get("next ids") or (1, 1)
    if next_document <= last_document or next_passage <= last_passage:
        yield f"{path}: the next ids, {next_document} and {next_passage}, were given already; rebuild the index"


def _documents(path: Path, database: Database) -> Iterator[str]:
    store, total = Store(database), 0
    for row, agrees in store.rows():
        total += int.from_bytes(row.sha256)
        if not agrees:
            said = f"what is noted beside document {row.name!r} does not agree with its metadata and the notices"
            yield f"{said}; rebuild the index"
    if f"{total % (1 << 256):064x}" != Ledger(database).content():
        yield "the documents are not the ones recorded: one was removed, added or altered"
    if not store.notices_are_whole():
        yield "the notices are not the ones recorded: one was removed, added or altered"


def _segments(path: Path, database: Database) -> Iterator[str]:
    for entry in Ledger(database).segments():
        yield from verify_segment(path / "segments" / entry.folder, entry.files)


def _passages(path: Path, database: Database) -> Iterator[str]:
    """Compare each passage with what its segment holds of it, and the dead with what was noted of them."""
    store, ledger = Store(database), Ledger(database)
    listed = ledger.segments()
    dead, held = set(ledger.dead().tolist()), Counter[str]()
    rows = terms = 0
    for entry in listed:
        segment = read_segment(path / "segments" / entry.folder, entry, database.get("settings")["dim"])
        for start in range(0, segment.rows, _BATCH):
            numbers = segment.ids[start : start + _BATCH].tolist()
            found = store.passages(numbers)
            for number, length in zip(numbers, segment.postings.lengths[start : start + _BATCH].tolist(), strict=True):
                if number in dead:
                    continue
                rows, terms = rows + 1, terms + length
                if number not in found or len(passage_terms(found[number].search_text)) != length:
                    yield f"passage {number} is not the text that was indexed"
        held.update(_held_by_dead(segment.postings, segment.ids, dead))
    if (rows, terms) != ledger.counted() or rows != store.counts()["passages"]:
        yield f"{rows} passages of {terms} terms are indexed, {ledger.counted()} were recorded"
    noted = dict(database.all("SELECT term, passages FROM dead_terms"))
    if noted != dict(held):
        yield "the terms of deleted passages are not the ones recorded"


def _held_by_dead(postings: Postings, ids: NDArray[np.int64], dead: set[int]) -> dict[str, int]:
    """Return for each term how many dead rows of a segment hold it."""
    gone = np.isin(ids, np.fromiter(dead, dtype=np.int64, count=len(dead)))
    if not gone.any():
        return {}
    counts = {term: int(gone[postings.of(place)[0]].sum()) for place, term in enumerate(postings.terms())}
    return {term: count for term, count in counts.items() if count}
