"""Checking an index against the hashes it recorded."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from radrag.errors import IndexCorruptError
from radrag.indexes.segments import verify_segment
from radrag.indexes.store import Store
from radrag.indexes.tokens import tokenize
from radrag.indexes.writing import chain, read_segments


def verify_index(path: Path, store: Store) -> list[str]:
    """Return what is wrong with an index, a line each."""
    problems = []
    if (state := store.integrity()) != "ok":
        problems.append(f"store.sqlite: {state}")
    try:
        problems.extend(_documents(store))
        for folder, _, files in store.segments():
            problems.extend(verify_segment(path / "segments" / folder, files))
        if not problems:
            problems.extend(_passages(path, store))
    except (IndexCorruptError, sqlite3.DatabaseError, ValueError) as error:
        problems.append(str(error))
    return problems


def _documents(store: Store) -> Iterator[str]:
    digest = hashlib.sha256().hexdigest()
    retracted = 0
    try:
        for name in store.document_names():
            document = store.document(name)
            digest = chain(digest, document)
            retracted += document.retracted
    except (IndexCorruptError, ValueError) as error:
        yield str(error)
        return
    if digest != store.get("content"):
        yield "the documents are not the ones recorded: one was removed, added or altered"
    if retracted != store.counts()["retracted"]:
        yield "the marks of retracted documents do not agree with their metadata"


def _passages(path: Path, store: Store) -> Iterator[str]:
    """Compare each passage's number of terms with the one its segment holds: the bounds have no hash of their own."""
    ids, _ = store.passage_rows()
    segments = read_segments(path, store, store.get("settings")["dim"])
    lengths = [int(length) for segment in segments for length in segment.postings.lengths]
    for start in range(0, len(ids), 500):
        found = store.passages(ids[start : start + 500].tolist())
        for number, length in zip(ids[start : start + 500].tolist(), lengths[start : start + 500], strict=True):
            if number not in found or len(tokenize(found[number].search_text)) != length:
                yield f"passage {number} is not the text that was indexed"
