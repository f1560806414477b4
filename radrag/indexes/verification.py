"""Checking an index against the hashes it recorded."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radrag.errors import IndexCorruptError
from radrag.indexes.database import Database
from radrag.indexes.ledger import Ledger, SegmentEntry
from radrag.indexes.postings import Postings
from radrag.indexes.segments import read_segment, verify_segment
from radrag.indexes.store import Store, content_sha256
from radrag.indexes.tokens import passage_terms

_BATCH = 500


def verify_index(path: Path, database: Database) -> list[str]:
    """Return what is wrong with an index, a line each."""
    problems = []
    with database.snapshot():
        if (state := database.integrity()) != "ok":
            problems.append(f"store.sqlite: {state}")
        try:
            problems += _documents(database)
            listed = Ledger(database).segments()
            for entry in listed:
                problems += verify_segment(path / "segments" / entry.folder, entry.files)
            if not problems:
                problems += _passages(path, database, listed)
        except (IndexCorruptError, sqlite3.DatabaseError, ValueError) as error:
            problems.append(str(error))
    return problems


def _documents(database: Database) -> Iterator[str]:
    store, ledger = Store(database), Ledger(database)
    total = 0
    for key in ("settings", "statistics", "probes"):
        database.get(key)
    try:
        for name in store.names():
            total += int.from_bytes(content_sha256(store.document(name)))
    except (IndexCorruptError, ValueError) as error:
        yield str(error)
        return
    if f"{total % (1 << 256):064x}" != ledger.content():
        yield "the documents are not the ones recorded: one was removed, added or altered"
    for name in store.wrong_marks():
        yield f"the mark of {name!r} as retracted or not does not agree with its metadata and the notices"


def _passages(path: Path, database: Database, listed: Sequence[SegmentEntry]) -> Iterator[str]:
    """Compare each passage with what its segment holds of it, and the dead with what was noted of them."""
    store, ledger = Store(database), Ledger(database)
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
