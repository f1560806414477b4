"""What sources say against use at a kidney's filtration rate, by number or by stage, read by rules."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from radrag.pipelines.clauses import AGAINST, NOT_AGAINST, Said, clauses, governing, verbs
from radrag.types import Document

LOW_EGFR = 30
KIDNEY = re.compile(
    r"\b(?:renal|kidneys?|nephr\w+|e?gfr|glomerular|creatinine|crcl|clcr|dialysis|h[a]?emodialysis|ckd|esrd)\b",
    re.IGNORECASE,
)
_CAREFUL = re.compile(
    r"caution|\b(?:halve|half)\b|\b(?:lower|reduced|smaller) dos|(?:dose|dosage) (?:reduc|adjust)|"
    r"(?:reduc|adjust|lower)\w* (?:the )?dos|\bhold\b",
    re.IGNORECASE,
)
_AT_RISK = re.compile(r"\brisk|toxic|fibrosis|injury|\bprophyla|\bhydrat", re.IGNORECASE)  # beside a number alone

_MEASURE = r"(?:e?gfr|glomerular filtration rate|creatinine clearance|crcl|clcr)"
# The longest first: "not less than" is no "less than". Those that take in the number itself stand apart.
_MOST = (
    r"(?:<|less|lower|smaller)(?:\s?=|(?: than)? or (?:=|equals?(?: to)?)| than or equal(?: to)?)|=<|≤|⩽|up to|at most|"
    r"\bn(?:o|ot) (?:more|greater|higher) than|\bnot (?:above|over|exceed(?:ing)?)"
)
_LEAST = (
    r"(?:>|greater|higher|more)(?:\s?=|(?: than)? or (?:=|equals?(?: to)?)| than or equal(?: to)?)|=>|≥|⩾|at least|"
    r"\bn(?:o|ot) (?:less|lower) than|\bnot (?:below|under)|minimum"
)
_LESS = r"<|\bbelow|\bunder|\b(?:less|lower|smaller) than"
_MORE = r">|\babove|\bover|\b(?:greater|higher|more) than|\bexceed(?:s|ing)"
_SIGN = rf"(?:(?P<most>{_MOST})|(?P<least>{_LEAST})|(?P<less>{_LESS})|(?P<more>{_MORE}))"
_NUMBER = r"(?P<first>\d+(?:\.\d+)?)"
_UNIT = r"(?:\s*m[lL]\s?/\s?min(?:ute)?(?:\s?(?:/|per)\s?1[.·]73\s?m(?:2|²|\^2)?)?)"
_TO = r"(?:\s*(?:-|–|−|to|and)\s*)"
_OR_LESS = r"(?:or|and) (?:(?P<most>less|lower|below|under)|(?P<least>more|higher|above|greater|over|better))\b"
_GAP = r"(?:[^.;\d]|\(m[lL][^)]{0,24}\))"
_FILTRATION = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b{_MEASURE}\b{_GAP}{{0,30}}?{_NUMBER}{_UNIT}?\s*{_OR_LESS}",
        rf"\b{_MEASURE}\b{_GAP}{{0,30}}?{_NUMBER}{_UNIT}?{_TO}(?P<last>\d+)",
        rf"\b{_MEASURE}\b{_GAP}{{0,40}}?{_SIGN}\s*(?:an? )?{_NUMBER}",
        rf"{_SIGN}\s*(?:an?\s+)?{_MEASURE}\s+(?:of\s+)?{_NUMBER}",
        # Where a filtration rate is named, further numbers with its unit are rates too.
        rf"{_SIGN}\s*{_NUMBER}(?={_UNIT})",
        rf"\b{_NUMBER}{_UNIT}?{_TO}(?P<last>\d+)(?={_UNIT})",
        rf"\b{_NUMBER}{_UNIT}\s*{_OR_LESS}",
        rf"\b(?:contra-?indicated|avoid(?:ed)?|stop|caution|not recommended)\s+(?:if |when |at )?{_SIGN}\s*{_NUMBER}",
    )
)
_RATE = re.compile(rf"\b{_MEASURE}\b", re.IGNORECASE)
_ANY = math.inf
_STAGES = tuple(
    (re.compile(pattern, re.IGNORECASE), (low, high))
    for pattern, low, high in (
        (r"\bnormal (?:renal|kidney) function", 60.0, _ANY),
        (r"\bmoderate(?:ly)?\b[^.;,]{0,25}(?:renal|kidney)|\bstages? (?:3|iii)[ab]?\b", 30.0, 60.0),
        (
            r"\bsevere(?:ly)? (?:\w+ )?(?:renal|kidney)|\bstages? (?:3[ab]?\s?(?:-|–|to|and|or)\s?)?(?:4|iv)\b",
            0.0,
            30.0,
        ),
        (r"\badvanced (?:chronic )?kidney|\bckd [45]\b", 0.0, 30.0),
        (
            r"\bdialysis|\bh[a]?emodialysis|end-?stage (?:renal|kidney)|\besrd\b|"
            r"\bstages? (?:[34][ab]?\s?(?:-|–|to|and|or)\s?)?(?:5|v)\b",
            0.0,
            15.0,
        ),
        (r"\b(?:renal|kidney) failure", 0.0, 30.0),
    )
)
_IMPAIRED = re.compile(
    r"\b(?:renal|kidney) (?:impairment|insufficiency|dysfunction|disease)|impaired (?:renal|kidney)|"
    r"\b(?:reduced|poor|decreased) (?:renal|kidney) function",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Rates:
    """Filtration rates that a clause names.

    Attributes:
        low: From this one, mL/min.
        high: To below this one.
        place: Where they stand in the clause.
        counted: Whether they are given as numbers.
    """

    low: float
    high: float
    place: int
    counted: bool = True

    def __contains__(self, egfr: float) -> bool:
        return self.low <= egfr < self.high


def against_kidneys(document: Document, egfr: float) -> Iterator[Said]:
    """Yield what a source says against use at a filtration rate, or that it studied others.

    Args:
        document: The source.
        egfr: Estimated glomerular filtration rate, mL/min/1.73 m².
    """
    for clause in clauses(document):
        named = KIDNEY.search(clause.text)
        if not named or NOT_AGAINST.search(clause.whole):
            continue
        rates = _counted(clause.text) or _staged(clause.text)
        if rates and _unfit(clause.text, clause.lead, rates, egfr):
            yield Said("kidney", clause.quoted(named.start()))


def _unfit(text: str, lead: str, rates: Sequence[Rates], egfr: float) -> bool:
    """Whether a rate within is warned of, or a rate without is all that is allowed."""
    found = verbs(text, _CAREFUL)
    if not found and lead:
        found = [(0, bool(AGAINST.search(lead)))]
    if not found:
        return any(egfr in one and one.counted for one in rates) and bool(_AT_RISK.search(text))
    warns = governing(found, [one.place for one in rates])
    warned = [one for one, against in zip(rates, warns, strict=True) if against]
    allowed = [one for one, against in zip(rates, warns, strict=True) if not against and (one.counted or one.low > 0)]
    return any(egfr in one for one in warned) or (bool(allowed) and not any(egfr in one for one in allowed + warned))


def _counted(text: str) -> list[Rates]:
    """Return the filtration rates that a clause names by number, in order."""
    if not _RATE.search(text):
        return []
    found: dict[int, Rates] = {}
    for pattern in _FILTRATION:
        for match in pattern.finditer(text):
            found.setdefault(match.start("first"), _rates(match))
    lasts = {match.start("last") for pattern in _FILTRATION if "last" in pattern.groupindex
             for match in pattern.finditer(text)}  # fmt: skip
    return [one for place, one in sorted(found.items()) if place not in lasts]


def _rates(match: re.Match[str]) -> Rates:
    said = match.groupdict()
    first, place = float(said["first"]), match.start("first")
    if said.get("last"):
        return Rates(first, float(said["last"]) + 1, place)
    if said.get("most"):
        return Rates(0.0, math.nextafter(first, _ANY), place)
    if said.get("least"):
        return Rates(first, _ANY, place)
    return Rates(0.0, first, place) if said.get("less") else Rates(math.nextafter(first, _ANY), _ANY, place)


def _staged(text: str) -> list[Rates]:
    """Return the filtration rates of the stages that a clause names, as one region."""
    named = [(match.start(), region) for pattern, region in _STAGES if (match := pattern.search(text))]
    if not named:
        impaired = _IMPAIRED.search(text)
        return [Rates(0.0, 60.0, impaired.start(), False)] if impaired else []
    low, high = min(low for _, (low, _) in named), max(high for _, (_, high) in named)
    return [Rates(low, high, min(place for place, _ in named), False)]
