"""From a reader's draft to claims with checked citations."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from radrag.corpora.retractions import is_evidence
from radrag.errors import IndexCorruptError
from radrag.grounding.evidence_level import Design, evidence_level
from radrag.grounding.quotes import check_quotes
from radrag.grounding.sample_size import sample_size
from radrag.grounding.support import find_support
from radrag.grounding.verifier import OTHERWISE, AlignmentVerifier
from radrag.protocols import Verifier
from radrag.types import AlteredQuote, Citation, Claim, ClaimVerdict, Document, Draft, DraftClaim, Hit

_STUDIES = frozenset({"abstract", "digest"})
_PMID = re.compile(r"\bPMID:?\s*(\d{1,8})\b")
_ALTERED = "words in quotation marks are not those of the source"


@dataclass(frozen=True, slots=True)
class Grounded:
    """Claims with their citations.

    Attributes:
        claims: The draft's statements in order, none left out.
        unknown: Citation marks and PMIDs that name nothing that was shown.
    """

    claims: tuple[Claim, ...]
    unknown: tuple[str, ...]


def ground(
    draft: Draft, hits: Sequence[Hit], document: Callable[[str], Document], verifier: Verifier | None = None
) -> Grounded:
    """Match each statement of a draft to characters of the passages it names, or of any that was shown.

    A passage of what is retracted, or of a notice of retraction or concern, never counts.

    Args:
        draft: What a reader wrote.
        hits: The passages it was shown, in the order shown.
        document: Looks up a stored document; every quote is checked against its text.
        verifier: Says what passages support; the one that ships if left out.

    Raises:
        IndexCorruptError: If a passage is not what the store holds.
    """
    hits = hits[: draft.shown]
    found = _Grounding(hits, document, default_verifier() if verifier is None else verifier)
    claims = tuple(found.claim(stated) for stated in draft.claims)
    shown = {hit.passage.document_id.removeprefix("PMID:") for hit in hits}
    unknown: dict[str, None] = {}
    for stated in draft.claims:
        unknown.update({f"[{key}]": None for key in stated.keys if not 1 <= key <= len(hits)})
        unknown.update({f"PMID:{pmid}": None for pmid in _PMID.findall(stated.text) if pmid not in shown})
    return Grounded(claims, tuple(unknown))


@cache
def default_verifier() -> AlignmentVerifier:
    """Return the verifier that ships, loaded once."""
    return AlignmentVerifier()


class _Grounding:
    def __init__(self, hits: Sequence[Hit], document: Callable[[str], Document], verifier: Verifier) -> None:
        self._hits, self._document, self._verifier = hits, document, verifier
        self._numbers: dict[str, int] = {}

    def claim(self, stated: DraftClaim) -> Claim:
        """Check a statement with the passages it names first, then with all."""
        text = _PMID.sub(" ", stated.text)  # a PMID is a citation, not a number that the source must hold
        usable = [hit for hit in self._hits if is_evidence(hit.passage)]
        named = [self._hits[key - 1] for key in dict.fromkeys(stated.keys) if 1 <= key <= len(self._hits)]
        verdicts = self._verdicts(text, [hit for hit in named if hit in usable])
        if not any(one.verdict == "supported" for _, one in verdicts):
            others = [(hit, one) for hit, one in self._verdicts(text, usable) if one.verdict == "supported"]
            verdicts = others[:1] or verdicts or self._verdicts(text, usable)[:1]
        carried = [(hit, one) for hit, one in verdicts if one.verdict == "supported"]
        best = carried[0][1] if carried else (verdicts[0][1] if verdicts else ClaimVerdict("unsupported", 0.0))
        altered = self._altered(stated.text, usable)
        citations = () if altered else tuple(self._cited(text, hit, one) for hit, one in carried)
        share = self._share(text, [hit for hit, _ in verdicts], bool(carried))
        made = Claim(
            stated.text, citations, bool(carried), share, best.verdict, best.probability, best.objections, altered
        )
        if altered:
            verdict = "partly" if carried else best.verdict
            return replace(made, supported=False, verdict=verdict, objections=(*best.objections, _ALTERED))
        if carried and any(one.verdict == "contradicted" for _, one in verdicts):
            return replace(made, supported=False, verdict="partly", objections=(*best.objections, OTHERWISE))
        return made

    def _verdicts(self, text: str, hits: Sequence[Hit]) -> list[tuple[Hit, ClaimVerdict]]:
        """Return the verdict on each passage alone, the best first."""
        if not hits or not re.search(r"\w", text):
            return []
        made = self._verifier.verify([text] * len(hits), [[hit.passage.text] for hit in hits])
        pairs = list(zip(hits, made, strict=True))
        return sorted(pairs, key=lambda pair: (pair[1].verdict != "supported", -(pair[1].probability or 0.0)))

    def _share(self, text: str, hits: Sequence[Hit], carried: bool) -> float:
        found = (find_support(text, hit.passage.text) for hit in hits)
        best = max((one.score for one in found if one is not None), default=0.0)
        return best if carried else min(best, 0.5)

    def _cited(self, text: str, hit: Hit, verdict: ClaimVerdict) -> Citation:
        start, end = verdict.start, verdict.end
        if start == end:  # the verifier knows no stretch: a model that only says yes or no
            near = find_support(text, hit.passage.text)
            start, end = (near.start, near.end) if near else (0, len(hit.passage.text))
        return self._cite(hit, start, end)

    def _cite(self, hit: Hit, start: int, end: int) -> Citation:
        key = self._numbers.setdefault(hit.passage.document_id, len(self._numbers) + 1)
        return cite(hit, start, end, self._document, key)

    def _altered(self, text: str, hits: Sequence[Hit]) -> tuple[AlteredQuote, ...]:
        found = []
        for check in check_quotes(text, [hit.passage.text for hit in hits]):
            if check.exact:
                continue
            near = self._cite(hits[check.passage], check.start, check.end) if check.passage >= 0 else None
            found.append(AlteredQuote(check.text, near.quote if near else "", near))
        return tuple(found)


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
    source = document(passage.document_id)
    if source.text[first:last] != quote:
        raise IndexCorruptError(
            f"passage {passage.id} of {passage.document_id} is not what the store holds; rebuild it"
        )
    year = passage.metadata.get("year")
    level, size = _quality(source)
    return Citation(
        key, passage.document_id, passage.id, first, last, quote, passage.title, passage.path,
        str(passage.metadata.get("url") or ""), year if isinstance(year, int) else None,
        passage.flags, level, size,
    )  # fmt: skip


def _quality(source: Document) -> tuple[str, int | None]:
    """Return the kind of study and its size; protocols, notes and texts that tell no design have neither."""
    level = evidence_level(source)
    if source.kind not in _STUDIES or level.design is Design.UNKNOWN:
        return ("guideline" if level.design is Design.GUIDELINE else "", None)
    size = sample_size(source.text)
    return (str(level), None if size is None else size.n)
