"""From a reader's draft to claims with checked citations."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from radrag.errors import IndexCorruptError
from radrag.grounding.support import THRESHOLD, find_support
from radrag.types import Citation, Claim, Document, Draft, DraftClaim, Hit

_PMID = re.compile(r"\bPMID:?\s*(\d{1,8})\b")


@dataclass(frozen=True, slots=True)
class Grounded:
    """Claims with their citations.

    Attributes:
        claims: The draft's statements in order, none left out.
        unknown: Citation marks and PMIDs that name nothing that was shown.
    """

    claims: tuple[Claim, ...]
    unknown: tuple[str, ...]


def ground(draft: Draft, hits: Sequence[Hit], document: Callable[[str], Document]) -> Grounded:
    """Match each statement of a draft to characters of the passages it names, or of any that was shown.

    Args:
        draft: What a reader wrote.
        hits: The passages it was shown, in the order shown.
        document: Looks up a stored document; every quote is checked against its text.

    Raises:
        IndexCorruptError: If a passage is not what the store holds.
    """
    hits = hits[: draft.shown]
    numbers: dict[str, int] = {}
    claims = [_claim(stated, hits, document, numbers) for stated in draft.claims]
    shown = {hit.passage.document_id.removeprefix("PMID:") for hit in hits}
    unknown: dict[str, None] = {}
    for stated in draft.claims:
        unknown.update({f"[{key}]": None for key in stated.keys if not 1 <= key <= len(hits)})
        unknown.update({f"PMID:{pmid}": None for pmid in _PMID.findall(stated.text) if pmid not in shown})
    return Grounded(tuple(claims), tuple(unknown))


def _claim(
    stated: DraftClaim, hits: Sequence[Hit], document: Callable[[str], Document], numbers: dict[str, int]
) -> Claim:
    text = _PMID.sub(" ", stated.text)  # a PMID is a citation, not a number that the source must hold
    named = [hits[key - 1] for key in dict.fromkeys(stated.keys) if 1 <= key <= len(hits)]
    found = _supports(text, named)
    if not any(score >= THRESHOLD for _, _, _, score in found):
        found = _supports(text, hits)[:1] or found
    carried = [item for item in found if item[3] >= THRESHOLD]
    citations = tuple(_citation(hit, start, end, document, numbers) for hit, start, end, _ in carried)
    return Claim(stated.text, citations, bool(carried), max((score for *_, score in found), default=0.0))


def _supports(claim: str, hits: Sequence[Hit]) -> list[tuple[Hit, int, int, float]]:
    """Return (hit, start, end, score) for each hit that shares a term with the claim, best first; none retracted."""
    found = []
    for hit in hits:
        support = None if hit.passage.metadata.get("retracted") else find_support(claim, hit.passage.text)
        if support is not None:
            found.append((hit, support.start, support.end, support.score))
    return sorted(found, key=lambda item: -item[3])


def _citation(hit: Hit, start: int, end: int, document: Callable[[str], Document], numbers: dict[str, int]) -> Citation:
    return cite(hit, start, end, document, numbers.setdefault(hit.passage.document_id, len(numbers) + 1))


def cite(hit: Hit, start: int, end: int, document: Callable[[str], Document], key: int = 1) -> Citation:
    """Cite characters of a hit, after checking them against the stored document.

    Args:
        hit: The hit.
        start: Offset of the quote in the passage.
        end: Offset after it.
        document: Looks up a stored document.
        key: Number to show.

    Raises:
        IndexCorruptError: If the stored document has other characters there.
    """
    passage = hit.passage
    quote = passage.text[start:end]
    first, last = passage.start + start, passage.start + end
    if document(passage.document_id).text[first:last] != quote:
        raise IndexCorruptError(
            f"passage {passage.id} of {passage.document_id} is not what the store holds; rebuild it"
        )
    year = passage.metadata.get("year")
    return Citation(
        key, passage.document_id, passage.id, first, last, quote, passage.title, passage.path,
        str(passage.metadata.get("url") or ""), year if isinstance(year, int) else None,
        passage.flags,
    )  # fmt: skip
