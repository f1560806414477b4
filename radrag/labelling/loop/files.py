"""Files of the loop: JSON Lines that appear whole or not at all, and names that tie a row to its note."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from radrag.types import LabelledNote, LabelResult

PRIVATE = 0o600  # notes are about patients


def text_hash(text: str) -> str:
    """Return the SHA-256 of a note's text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def note_ids(notes: Sequence[LabelledNote]) -> list[str]:
    """Name every note: by its id, else by its text, so that the name survives a new order of the file.

    Copies without an id are told apart by the order in which they come.

    Raises:
        ValueError: If two notes have the same id.
    """
    seen: Counter[str] = Counter()
    names = []
    for place, note in enumerate(notes):
        name = note.id or f"text-{text_hash(note.text)[:16]}"
        seen[name] += 1
        if seen[name] > 1 and note.id:
            raise ValueError(
                f"note {place} has the id {name!r}, and so has an earlier one; a correction could not tell them apart: "
                "give every note its own id, or none"
            )
        names.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return names


def check_same_notes(notes: Sequence[LabelledNote], results: Sequence[LabelResult]) -> None:
    """Refuse results that are not of these notes, in this order.

    Raises:
        ValueError: If that is so.
    """
    if len(notes) != len(results):
        raise ValueError(f"there are {len(notes)} notes and {len(results)} results; give one result for each note")
    for place, (note, result) in enumerate(zip(notes, results, strict=True)):
        if note.text != result.note:
            raise ValueError(
                f"result {place} is of the note {result.note!r:.60}, but note {place} is {note.text!r:.60}; give "
                "results in the order of the notes"
            )


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON Lines that only their owner can read, whole or not at all."""
    draft = path.with_name(f".{path.name}.new")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            for row in rows:
                stream.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
