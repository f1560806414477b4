"""What kind of study a source is, how strong that kind is, and how much it rests on the text alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from radrag.types import Document, Passage


class Design(StrEnum):
    """Kinds of sources, the strongest first; guidelines and laboratory work stand apart and have no place in it."""

    REVIEW = "systematic review"
    TRIAL = "randomised trial"
    COHORT = "cohort"
    CASE_CONTROL = "case-control"
    CROSS_SECTIONAL = "cross-sectional"
    CASE_SERIES = "case series"
    CASE_REPORT = "case report"
    OPINION = "narrative review or opinion"
    GUIDELINE = "guideline"
    LABORATORY = "laboratory"
    QUALITATIVE = "qualitative"
    UNKNOWN = "not stated"


STUDIES = frozenset({"abstract", "digest"})  # kinds of documents that tell of a study
_LADDER = (
    Design.REVIEW, Design.TRIAL, Design.COHORT, Design.CASE_CONTROL, Design.CROSS_SECTIONAL, Design.CASE_SERIES,
    Design.CASE_REPORT, Design.OPINION,
)  # fmt: skip
# Names of publication types of PubMed, and of the metadata key "design", in lower case.
_NAMED: dict[str, Design] = {
    "meta-analysis": Design.REVIEW, "systematic review": Design.REVIEW, "network meta-analysis": Design.REVIEW,
    "randomized controlled trial": Design.TRIAL, "randomised trial": Design.TRIAL, "randomized trial": Design.TRIAL,
    "randomised controlled trial": Design.TRIAL, "equivalence trial": Design.TRIAL,
    "pragmatic clinical trial": Design.TRIAL,
    "controlled clinical trial": Design.COHORT, "observational study": Design.COHORT, "cohort": Design.COHORT,
    "cohort study": Design.COHORT, "case-control": Design.CASE_CONTROL, "case-control study": Design.CASE_CONTROL,
    "case-control studies": Design.CASE_CONTROL, "cohort studies": Design.COHORT,
    "cross-sectional": Design.CROSS_SECTIONAL, "cross-sectional study": Design.CROSS_SECTIONAL,
    "cross-sectional studies": Design.CROSS_SECTIONAL, "diagnostic accuracy": Design.CROSS_SECTIONAL,
    "case series": Design.CASE_SERIES, "case reports": Design.CASE_REPORT, "case report": Design.CASE_REPORT,
    "practice guideline": Design.GUIDELINE, "guideline": Design.GUIDELINE,
    "consensus development conference": Design.GUIDELINE, "review": Design.OPINION, "editorial": Design.OPINION,
    "comment": Design.OPINION, "letter": Design.OPINION, "news": Design.OPINION,
    "laboratory": Design.LABORATORY, "qualitative": Design.QUALITATIVE,
}  # fmt: skip
_ANIMAL = re.compile(
    r"\b(?:mice|mouse|murine|rats?|rabbits?|beagles?|dogs?|canine|swine|pigs?|porcine|piglets?|sheep|ovine|rodents?|"
    r"zebrafish|guinea[- ]pigs?|animal (?:model|study|data|experiment)s?|primates|monkeys)\b",
    re.IGNORECASE,
)
_IN_VITRO = re.compile(
    r"\b(?:in[- ]vitro|ex[- ]vivo|cell (?:lines?|culture)|cultured cells|phantoms?|cadaver\w*)\b", re.IGNORECASE
)
_PEOPLE = re.compile(
    r"\b(?:patients?|participants|volunteers|women|men|children|infants|adults|people|smokers|mothers|subjects)\b",
    re.IGNORECASE,
)
# How a text says what it is, the surest first: the first that is found decides.
_SAYS: tuple[tuple[Design, re.Pattern[str]], ...] = tuple(
    (design, re.compile(pattern, re.IGNORECASE))
    for design, pattern in (
        (
            Design.QUALITATIVE,
            r"\bqualitative (?:study|research|interviews?|analysis)\b|\bfocus groups?\b|\binterviews? in depth\b",
        ),
        (
            Design.REVIEW,
            r"\bmeta-?analys\w+|\bsystematic(?:ally)? review\w*|\bcochrane\b|\b(?:trials|studies) (?:were|was) pooled",
        ),
        (
            Design.CASE_REPORT,
            r"\bcase report\b|\ba case of\b|\bwe (?:report|describe) (?:a|the|one) (?:case|patient)|"
            r"\b(?:is|was) described in one\b|\ban? \d+[- ]year[- ]old\b",
        ),
        (Design.CASE_CONTROL, r"\bcase[- ]control(?:led)?\b|\bmatched controls\b|\bhospital controls\b"),
        (
            Design.TRIAL,
            r"\brandomi[sz](?:ed|ation|ing)\b(?!.{0,40}\bwas not\b)|\bat random\b|\brandomly\b|"
            r"\bplacebo[- ]controlled\b|\bdouble[- ]blind|\brandom (?:order|number|assignment|allocation)",
        ),
        (
            Design.CASE_SERIES,
            r"\bcase series\b|\bopen[- ]label phase (?:i|ii|1|2)\b|\bsingle[- ]arm\b|\bphase ii\b|"
            r"\bseries of \w+ (?:patients|cases)",
        ),
        (
            Design.COHORT,
            r"\bcohort\b|\bretrospective\w*|\bin retrospect\b|\bprospective\w*|\bfollow-?up\b|\bregist(?:ry|er)\b|"
            r"\bcharts? of\b|\brecords of\b|\bbefore-and-after\b|\bhazard ratio\b",
        ),
        (
            Design.CROSS_SECTIONAL,
            r"\bcross-sectional\b|\bsurvey\w*|\bprevalence\b|\bquestionnaire\b|"
            r"\bsensitivity\b.{0,60}\bspecificity\b",
        ),
    )
)
_NOT_RANDOMISED = re.compile(r"\b(?:non-?randomi[sz]ed|not randomi[sz]ed|not described as random)", re.IGNORECASE)


# Of the 296 shipped digests with one of these designs, read with the record's design hidden: (right + 1) / (found + 2).
# They are short and say what they are; an abstract may be harder.
PRECISION: dict[Design, float] = {
    Design.TRIAL: 0.94, Design.LABORATORY: 0.90, Design.REVIEW: 0.88, Design.CASE_REPORT: 0.86,
    Design.CASE_CONTROL: 0.83, Design.QUALITATIVE: 0.75, Design.COHORT: 0.67, Design.CASE_SERIES: 0.67,
    Design.CROSS_SECTIONAL: 0.50,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class EvidenceLevel:
    """How strong a source is by its kind.

    Attributes:
        design: What kind of study it is.
        basis: ``"stated"`` by the record's publication types or design, ``"inferred"`` from title and text, or
            ``"unknown"``.
        probability: That the design is right: 1 if stated, else the share of ``PRECISION``.
        animal: Whether it is of animals, or of cells and phantoms, and of no patients.
    """

    design: Design
    basis: str
    probability: float
    animal: bool = False

    @property
    def rank(self) -> int | None:
        """1 for the strongest; None for guidelines, laboratory and qualitative work and where nothing is known."""
        return _LADDER.index(self.design) + 1 if self.design in _LADDER else None

    @property
    def weight(self) -> float:
        """What it may add to a ranking, between 0 and 1: guidelines and systematic reviews 1, 0 where unknown."""
        if self.animal or self.design is Design.LABORATORY:
            return 0.0
        if self.design is Design.GUIDELINE:
            return 1.0
        rank = self.rank
        return 0.0 if rank is None else (1 - (rank - 1) / (len(_LADDER) - 1)) * self.probability

    def __str__(self) -> str:
        doubt = "" if self.basis != "inferred" else ", inferred"
        return f"{self.design}{', not in people' if self.animal else ''}{doubt}"


def evidence_level(source: Document | Passage, text: str | None = None) -> EvidenceLevel:
    """Say what kind of study a source is.

    Publication types and the record's design count first; without them the title, then the text decide.

    Args:
        source: A document, or a passage with its title and metadata.
        text: Text to read; that of the source if left out. A passage alone may lack the sentence that tells.

    Returns:
        The level; ``Design.UNKNOWN`` where neither metadata nor words tell.
    """
    metadata = source.metadata
    words = f"{source.title}\n{source.text if text is None else text}"
    animal = _not_in_people(words)
    named = _stated(metadata)
    if named is not None:
        return EvidenceLevel(named, "stated", 1.0, animal and named is not Design.GUIDELINE)
    if getattr(source, "kind", "") == "guideline" or metadata.get("kind") == "guideline":
        return EvidenceLevel(Design.GUIDELINE, "stated", 1.0)
    if animal:
        return EvidenceLevel(Design.LABORATORY, "inferred", PRECISION[Design.LABORATORY], animal=True)
    design = _inferred(words)
    if design is None:
        return EvidenceLevel(Design.UNKNOWN, "unknown", 0.0)
    return EvidenceLevel(design, "inferred", PRECISION[design])


def _stated(metadata: Mapping[str, Any]) -> Design | None:
    """Return the strongest design that the record names; a trial that is also a "Review" is a trial."""
    types = metadata.get("publication_types") or ()
    names = [types] if isinstance(types, str) else list(types)
    named = [str(name).lower() for name in (*names, metadata.get("design") or "")]
    found = {_NAMED[name] for name in named if name in _NAMED}
    if Design.GUIDELINE in found:
        return Design.GUIDELINE
    ranked = [design for design in (*_LADDER, Design.LABORATORY, Design.QUALITATIVE) if design in found]
    return ranked[0] if ranked else None


def _inferred(words: str) -> Design | None:
    trial_denied = _NOT_RANDOMISED.search(words) is not None
    for design, pattern in _SAYS:
        if pattern.search(words) and not (design is Design.TRIAL and trial_denied):
            return design
    return None


def _not_in_people(words: str) -> bool:
    beasts = len(_ANIMAL.findall(words)) + len(_IN_VITRO.findall(words))
    return beasts > len(_PEOPLE.findall(words))
