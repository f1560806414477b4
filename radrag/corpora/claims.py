"""Claims and questions written by hand about documents, labelled by whether the document bears them out or answers."""

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


@dataclass(frozen=True, slots=True)
class DocumentQuestion:
    """A question about a document that answers it, or only speaks of the same things: a near miss.

    Attributes:
        id: Its name.
        document_id: The document.
        text: The question.
        answered: Whether the document alone answers it.
        kind: ``"answered"``, or what of the topic a near miss asks that is not there, such as ``"dose or time"``.
    """

    id: str
    document_id: str
    text: str
    answered: bool
    kind: str


def read_document_questions(path: str | Path) -> Iterator[DocumentQuestion]:
    """Read questions about documents from a JSON Lines file.

    Args:
        path: Objects with ``id``, ``document_id``, ``question``, ``answered`` and ``kind``.

    Raises:
        CorpusError: If a record cannot be read.
    """
    for row in json_rows(Path(path)):
        answered = row.need("answered")
        if not isinstance(answered, bool):
            row.fail(f"expected true or false, got {answered!r:.60}", "answered")
        yield DocumentQuestion(
            row.name("id"), row.filled("document_id"), row.filled("question"), answered, row.filled("kind")
        )
