"""Claims written by hand about documents, labelled by whether the document supports them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from radrag.corpora.rows import json_rows


@dataclass(frozen=True, slots=True)
class LabelledClaim:
    """A statement about a document, in words of its own.

    Attributes:
        id: Its name.
        document_id: The document that it is to be checked against, such as ``"PMID:12345678"``.
        text: The claim.
        supported: Whether the document states it, or it follows directly.
        kind: How it was made true or false, such as ``"paraphrase"``, ``"mixed up"`` or ``"added"``.
        writer: Who wrote it; no writer is in two splits but ``"E"``, whose claims are older.
    """

    id: str
    document_id: str
    text: str
    supported: bool
    kind: str
    writer: str


def read_claims(path: str | Path) -> Iterator[LabelledClaim]:
    """Read labelled claims from a JSON Lines file.

    Args:
        path: Objects with ``id``, ``document_id``, ``text``, ``supported``, ``kind`` and ``writer``.

    Raises:
        CorpusError: If a record cannot be read.
    """
    for row in json_rows(Path(path)):
        supported = row.need("supported")
        if not isinstance(supported, bool):
            row.fail(f"expected true or false, got {supported!r:.60}", "supported")
        yield LabelledClaim(
            row.name("id"), row.filled("document_id"), row.filled("text"), supported, row.filled("kind"),
            row.filled("writer"),
        )  # fmt: skip
