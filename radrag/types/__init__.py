"""What flows through radrag: frozen records, from a document to an answer.

Offsets are Python string indices (code points), half-open, and always refer to ``Document.text``.
"""

from __future__ import annotations

from radrag.types.answers import (
    NOTICE,
    SUPPORT_VERDICTS,
    VERDICTS,
    AlteredQuote,
    Answer,
    Claim,
    ClaimVerdict,
    Draft,
    DraftClaim,
    GoldSpan,
    Question,
    Verdict,
)
from radrag.types.chats import Chat, Generation, GenerationParams, Message, Role
from radrag.types.documents import Citation, Document, Hit, Notice, Passage, Section, page_heading
from radrag.types.identifiers import Identifier, IdentifierKind
from radrag.types.labels import Label, LabelledNote, LabelResult, Span
from radrag.types.reports import Conflict, FindingLabel, FindingsResult, LabelledReport, Status

__all__ = [
    "NOTICE",
    "SUPPORT_VERDICTS",
    "VERDICTS",
    "AlteredQuote",
    "Answer",
    "Chat",
    "Citation",
    "Claim",
    "ClaimVerdict",
    "Conflict",
    "Document",
    "Draft",
    "DraftClaim",
    "FindingLabel",
    "FindingsResult",
    "Generation",
    "GenerationParams",
    "GoldSpan",
    "Hit",
    "Identifier",
    "IdentifierKind",
    "Label",
    "LabelResult",
    "LabelledNote",
    "LabelledReport",
    "Message",
    "Notice",
    "Passage",
    "Question",
    "Role",
    "Section",
    "Span",
    "Status",
    "Verdict",
    "page_heading",
]
