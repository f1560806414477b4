"""What kind of answer a question asks for, and whether a sentence holds one: a share, a time, a dose, a count, ..."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_NUMBER = (
    r"(?:\d+(?:[.,]\d+)*|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|"
    r"forty|fifty|sixty|seventy|eighty|ninety|hundred|half|third|quarter|single|once|twice)\b)"
)
_GAP = r"\s*-?\s*"
_SHARE = (
    rf"\d\s*(?:%|per ?cent)|{_NUMBER}\s+(?:\w+\s+)?(?:of|in|out of)\s+(?:the\s+|every\s+)?{_NUMBER}|"
    r"\b(?:half|third|quarter|fifth)s?\b|\d+\s*/\s*\d+|\bper\s+(?:1[, ]?0+|million)"
)
_TIMES = ("second", "minute", "hour", "day", "week", "month", "year")
_SHORT = {
    "second": "s|secs?",
    "minute": "mins?",
    "hour": "h|hrs?",
    "day": "d",
    "week": "wks?",
    "month": "mo",
    "year": "yrs?",
}


def _time(*names: str) -> str:
    written = "|".join(f"{name}s?|{_SHORT[name]}" for name in names)
    return rf"{_NUMBER}{_GAP}(?:{written})\b"


_MASS = rf"{_NUMBER}\s*(?:mg|g|mcg|micrograms?|µg|μg|grams?|milligrams?)\b"
_DOSE = rf"{_MASS}|{_NUMBER}\s*(?:kg|mL|ml|L|IU|units?|MBq|GBq|mCi|mmol|drops?|tablets?)\b"
_RATIO = r"\b(?:odds|ratio|hazard|HR|OR|RR|fold|times|risk)\b"
# What the words of a question say, and what a sentence that answers it must hold.
_KINDS: tuple[tuple[str, str, str], ...] = (
    ("radiation dose", r"\bmSv|millisievert|(?:effective|radiation) dose", rf"{_NUMBER}\s*m(?:Sv|Gy|illisievert)"),
    ("absorbed dose", r"\b[mcµ]?Gy\b|\bgrays?\b", rf"{_NUMBER}\s*(?:[mcµ]?Gy|grays?)\b"),
    ("tube voltage", r"\bkVp?\b|kilovolt\w*|tube voltage", rf"{_NUMBER}\s*(?:kVp?|kilovolts?)\b"),
    ("pressure", r"\b(?:systolic|diastolic|mm ?hg)\b", r"\d\s*(?:mm ?Hg)\b"),
    ("attenuation", r"\bHU\b|hounsfield|\battenuation\b", r"\d\s*(?:HU\b|hounsfield)"),
    ("flow", r"\bm[lL](?: per |/)s(?:ec\w*)?\b|\b(?:flow|injection) rate\b", r"\d\s*m[lL](?:/| per )s"),
    ("dose by weight", r"\b\w+(?:/| per )kg\b|per kilo", r"(?:/|per )\s*(?:kg|kilo)"),
    ("mass", r"\b(?:mg|milligrams?|mcg|µg|micrograms?|grams?)\b", _MASS),
    ("volume", r"\bm[lL]\b|\bmillilit\w+|\blit(?:re|er)s?\b", rf"{_NUMBER}\s*(?:m[lL]|L|(?:milli)?lit(?:re|er)s?)\b"),
    ("small length", r"\bmicromet\w+|\bmicrons?\b", r"\d\s*(?:µm|μm|microm\w+|microns?)"),
    ("length", r"\b[mc]m\b|\bdiameter\b|\bhow (?:big|large|thick|wide|deep|narrow)\b|\bwhat size\b", r"\d\s*[mc]m\b"),
    (
        "share",
        r"\b(?:percent\w*|per cent|share|proportion|fraction|how (?:likely|common|often|frequent)|likelihood|rate)\b",
        _SHARE,
    ),
    ("accuracy", r"\b(?:sensitivity|specificity|accura\w+)\b", r"\b(?:sensitiv|specific|accura)\w*"),
    ("ratio", r"\b(?:odds|hazard ratio|by what factor|relative risk)\b", _RATIO),
    ("dose", r"\b(?:what|which)(?: \w+){0,3} (?:dose|amount)\b|\bdose of\b|\bhow much\b", f"{_DOSE}|{_SHARE}"),
    (
        "time",
        r"\bhow (?:long|soon|early|late)\b|\b(?:what|which) (?:interval|delay)\b",
        _time(*_TIMES) + r"|\bovernight\b",
    ),
    *((name, rf"\bhow many {name}s?\b", _time(name)) for name in _TIMES),
    (
        "number",
        r"\b(?:threshold|cut-?off|NNT|score|grade|(?:below|above) wh(?:at|ich)|how many|how much)\b",
        rf"\d|{_NUMBER}",
    ),
)  # fmt: skip
_ASKS = re.compile(
    r"\b(?:how (?:many|much|long|soon|often|likely|common|frequent\w*|big|large|thick|wide|deep|narrow|early|late)|"
    r"what|which|NNT|when)\b",
    re.IGNORECASE,
)
_GIVEN = re.compile(r"\d[\d.,]*\s*-?\s*[a-zA-Zµμ%]+(?:/\w+)*")  # "20 mg" in a question is told, not asked for
_DOSES = frozenset({"radiation dose", "absorbed dose", "dose by weight", "mass", "volume"})
_CASED = frozenset({"attenuation", "absorbed dose"})
_COMPILED = tuple(
    (name, re.compile(asks, 0 if name in _CASED else re.IGNORECASE), re.compile(holds, re.IGNORECASE))
    for name, asks, holds in _KINDS
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What an answer must hold.

    Attributes:
        kinds: Names of the kinds asked for, such as ``"share"``; empty where any statement may answer.
        patterns: What a sentence holds that has one, in the same order.
    """

    kinds: tuple[str, ...]
    patterns: tuple[re.Pattern[str], ...]

    def held(self, text: str) -> float:
        """Return the share of the kinds that a text holds; 1 if none is asked for."""
        return sum(bool(one.search(text)) for one in self.patterns) / len(self.patterns) if self.patterns else 1.0


_CLAUSE = re.compile(
    r"(?<=[.?!:;])\s+|(?<=,)\s+(?=(?:what|which|how|does|do|is|are|will|can|should|would|could|may|in what|at what|"
    r"by how|by what|for how|after|above)\b)"
)
_ABSENT = re.compile(
    r"\b(?:not|nor|no|neither|without|missing|never)\b[^.;]{0,60}\b(?:report|state|describ|mention|given|give|discuss|"
    r"address|record|measured|in the abstract|available|known)\w*|\b(?:abstract|record|report)\w*\b[^.;]{0,40}\b(?:not|"
    r"no|neither|nor|missing)\b|\b(?:is|are) missing\b|\bdoes not say\b|cannot (?:tell|show|say)|"
    r"not (?:shown|proven|settled)",
    re.IGNORECASE,
)


def asked_clause(question: str) -> str:
    """Return the last clause that asks, without what was told before it; the last clause if none ends in ``?``."""
    parts = [part for part in _CLAUSE.split(question) if part.strip()] or [question]
    asking = [part for part in parts if part.rstrip().endswith("?")]
    return (asking or parts)[-1]


def says_absent(sentence: str) -> bool:
    """Say whether a sentence tells what a source does not report, such as ``survival is not given``."""
    return _ABSENT.search(sentence) is not None


@lru_cache(maxsize=1024)
def asked_for(question: str) -> Asked:
    """Read from a question what kind of answer it asks for; the clause from the first question word on decides."""
    text = " ".join(question.split())
    clauses = [part for part in re.split(r"(?<=[.?!:;])\s+", text) if part.endswith("?")] or [text]
    last = clauses[-1]
    match = _ASKS.search(last)
    if match is None:
        return Asked((), ())
    asking = _GIVEN.sub(" ", last[match.start() :])
    wanted = [(name, holds) for name, asks, holds in _COMPILED if asks.search(asking)]
    if _DOSES & {name for name, _ in wanted}:
        wanted = [(name, holds) for name, holds in wanted if name != "dose"]
    return Asked(tuple(name for name, _ in wanted), tuple(holds for _, holds in wanted))
