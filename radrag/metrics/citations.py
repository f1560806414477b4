"""Whether citations carry the claims they stand behind, and whether quotes are what the source says.

Source: Gao et al., "Enabling Large Language Models to Generate Text with Citations" (ALCE), EMNLP 2023, section 4 and
``compute_autoais`` of its repository. What carries what is decided by ``supports``, an entailment model or a person:
the scores are only as good as it is, so check it against known good and bad pairs first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from numpy.typing import ArrayLike

from radrag.metrics._checks import flags, not_a_string

Supports = Callable[[tuple[str, ...], str], bool]


@dataclass(frozen=True, slots=True)
class CitedClaim:
    """A statement and the keys of the sources it cites.

    Attributes:
        text: The statement, without citation marks.
        cited: Keys of its sources, each once; empty if it cites none.
    """

    text: str
    cited: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        not_a_string("cited", self.cited)
        if len(set(self.cited)) != len(self.cited):
            raise ValueError(f"cited must hold each source once, got {self.cited}; merge repeated citations")


@dataclass(frozen=True, slots=True)
class CitationScore:
    """Citations of one answer.

    Attributes:
        recall: Share of claims that their citations together carry.
        precision: Share of counted citations that carry their claim or are needed to; 0 if none counts.
        claims: Claims of the answer.
        citations: Citations counted for precision: those of claims that cite known sources only.
        unknown: Citations of sources that do not exist. A claim with one is not carried, and its citations are not
            counted for precision, as ALCE has it: report this figure beside the precision.
        overcited: Citations that neither carry their claim nor are needed to.
    """

    recall: float
    precision: float
    claims: int
    citations: int
    unknown: int
    overcited: int


def _useful(claim: CitedClaim, supports: Supports) -> int:
    """Count the citations of a carried claim that carry it alone, or without which the others do not."""
    if len(claim.cited) == 1:
        return 1
    useful = 0
    for key in claim.cited:
        others = tuple(other for other in claim.cited if other != key)
        useful += supports((key,), claim.text) or not supports(others, claim.text)
    return useful


def citation_scores(claims: Sequence[CitedClaim], supports: Supports, known: AbstractSet[str]) -> CitationScore:
    """Return citation recall and precision of one answer.

    Args:
        claims: Its statements.
        supports: Takes keys of sources and a statement: whether these sources, read together, carry it.
        known: Keys of the sources that exist.

    Returns:
        The scores. A claim without citations is not carried.

    Raises:
        ValueError: If there are no claims; count an abstention apart.
    """
    if not claims:
        raise ValueError("claims must hold at least one, got none; count an answer without claims apart")
    carried = useful = counted = unknown = overcited = 0
    for claim in claims:
        invented = sum(key not in known for key in claim.cited)
        unknown += invented
        if invented or not claim.cited:
            continue
        counted += len(claim.cited)
        if supports(claim.cited, claim.text):
            carried += 1
            kept = _useful(claim, supports)
            useful += kept
            overcited += len(claim.cited) - kept
    precision = useful / counted if counted else 0.0
    return CitationScore(carried / len(claims), precision, len(claims), counted, unknown, overcited)


def quote_exactness(quotes: Iterable[tuple[str, str]]) -> float:
    """Return the share of quotes that stand in their source character by character.

    Args:
        quotes: Pairs of a quote and the text of its source, or the part of it that the citation points to.

    Returns:
        Between 0 and 1. An empty quote is not exact.

    Raises:
        ValueError: If there are no quotes.
    """
    found = [bool(quote) and quote in source for quote, source in quotes]
    if not found:
        raise ValueError("quotes must hold at least one, got none; count an answer without quotes apart")
    return sum(found) / len(found)


def unsupported_rate(supported: ArrayLike) -> float:
    """Return the share of claims that nothing supports.

    Args:
        supported: 0 or 1 [n]: whether a claim is supported.

    Raises:
        ValueError: If there are no claims, or a value is not 0 or 1.
    """
    return float(1 - flags("supported", supported).mean())
