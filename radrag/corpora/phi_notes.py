"""Notes with labelled identifiers, for measuring de-identification."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from radrag.corpora.rows import Row, json_rows
from radrag.types.identifiers import Identifier, IdentifierKind


@dataclass(frozen=True, slots=True)
class PHINote:
    """A note and what in it identifies somebody.

    Attributes:
        id: Its name.
        type: Such as ``"chest x-ray report"``.
        text: The whole note; every person in it is invented.
        spans: The planted identifiers in order, scored 1, none overlapping another.
    """

    id: str
    type: str
    text: str
    spans: tuple[Identifier, ...]


def read_phi_notes(path: str | Path) -> Iterator[PHINote]:
    """Read notes with labelled identifiers from a JSON Lines file.

    Args:
        path: Objects with ``id``, ``type``, ``text`` and ``spans`` (a list of ``start``, ``end``, ``text``, ``kind``).

    Raises:
        CorpusError: If a record cannot be read, a span is not what the text says, or spans overlap.
    """
    for row in json_rows(Path(path)):
        text, values = row.filled("text"), row.need("spans")
        if not isinstance(values, list):
            row.fail(f"expected a list, got {values!r:.60}", "spans")
        yield PHINote(row.name("id"), row.string("type"), text, tuple(_spans(row, text, values)))


def _spans(row: Row, text: str, values: list[dict[str, object]]) -> Iterator[Identifier]:
    at = 0
    for value in values:
        start, end, kind = value.get("start"), value.get("end"), value.get("kind")
        if not isinstance(start, int) or not isinstance(end, int) or not at <= start < end <= len(text):
            row.fail(f"expected offsets after {at} and within {len(text)}, got {start!r} and {end!r}", "spans")
        if text[start:end] != value.get("text"):
            row.fail(f"{value.get('text')!r:.60} is not what stands at {start} to {end}", "spans")
        if kind not in set(IdentifierKind):
            row.fail(f"expected one of {', '.join(IdentifierKind)}, got {kind!r}", "spans")
        yield Identifier(start, end, text[start:end], IdentifierKind(str(kind)), 1.0, "label")
        at = end
