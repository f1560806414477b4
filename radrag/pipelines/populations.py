"""Whom a source is about, or warns of: ages, sexes, pregnancy and kidney function as its sentences state them.

Sentences are read by rules. What they do not say is no proof that a source fits a patient.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from radrag.corpora import split_sentences
from radrag.types import Document

ADULT, OLD, LOW_EGFR = 18, 65, 30
_QUOTED = 200  # characters of a clause that a warning quotes
_NONE = (0.0, 0.0)
_ANY = float("inf")
Range = tuple[float, float]

PREGNANCY = re.compile(r"\b(?:pregnan\w+|gestation\w*|f[o]?et(?:us|al)\w*|obstetric\w*|trimester)\b", re.IGNORECASE)
KIDNEY = re.compile(
    r"\b(?:renal|kidneys?|nephr\w+|e?gfr|glomerular|creatinine|crcl|dialysis|h[a]?emodialysis)\b", re.IGNORECASE
)
_CLAUSE = re.compile(r";|,? (?:but|whereas|although|while) ", re.IGNORECASE)
_AGAINST = re.compile(
    r"contra-?indicat|exclu|ineligib|not eligible|not recommended|not indicated|unsafe|not safe|teratogen|"
    r"\bneither\b|\bavoided\b|(?<!to )\bavoid\b|"
    r"\b(?:must|should|may|can|do|is|are|be) ?(?:not|never) (?:be )?(?:used|given|started|prescribed|taken|receiv\w+|"
    r"undergo|offered|advised|administered|performed)|negative pregnancy test|"
    r"\bnon-?\s?pregnant|\bnot pregnant|harmful|\bwithh[eo]ld|discontinu",
    re.IGNORECASE,
)
_NOT_AGAINST = re.compile(
    r"\b(?:not|no|never|without)\s+(?:\w+\s+){0,2}?(?:contra-?indicat|exclu|teratogen|harmful|unsafe)|"
    r"\bneed(?:s)? not\b|\bnot (?:be )?(?:withheld|avoided|delayed|excluded|stopped|discontinued)|"
    r"\b(?:any level|regardless|irrespective) of\b|\beven (?:when|if|at|with|in)\b",
    re.IGNORECASE,
)
_CAREFUL = re.compile(
    r"caution|(?:dose|dosage) (?:reduc|adjust)|(?:reduc|adjust|lower)\w* (?:the )?dos|\bhold\b", re.IGNORECASE
)
_AT_RISK = re.compile(r"\brisk|toxic|fibrosis|injury|\bprophyla|\bhydrat", re.IGNORECASE)  # beside a number alone
_ENROLLED = re.compile(
    r"\b(?:enrol|includ|recruit|eligib|stud(?:y|ied)|participa|volunteer|consecutive|random|cohort|residents|"
    r"given|treated|received|underwent|screened)|\bn ?= ?\d|\b\d+ (?:\w+ ){0,3}(?:patients|children|infants|boys|girls|"
    r"women|men|adults|people|persons|subjects|individuals)\b",
    re.IGNORECASE,
)
_ALLOWED = re.compile(
    r"\b(?:enrol|includ|recruit|eligib|safe\b|(?:can|may) be (?:given|used)|recommended)", re.IGNORECASE
)

_ANIMALS = re.compile(
    r"\b(?:mice|mouse|murine|rats?|rabbits?|dogs?|canine|pigs?|porcine|sheep|drosophila|zebrafish|animals?)\b",
    re.IGNORECASE,
)
_PEOPLE = re.compile(
    r"\b(?:patients?|humans?|people|persons?|wom[ae]n|m[ae]n|child(?:ren)?|infants?|volunteers?|participants?)\b",
    re.IGNORECASE,
)
_UNIT = r"(years?|yrs?|months?|weeks?|days?)"
_WHO = (
    r"(?:patients|people|persons|adults|men|women|those|children|infants|subjects|participants|individuals|volunteers)"
)
_UP = r"(?:over|above|at least|older than|more than|[≥>]=?)"
_DOWN = r"(?:under|below|up to|less than|younger than|[≤<]=?)"
_AGED = r"(?<!gestational )age[sd]?\s*(?:of\s*)?"
_TO = r"\s*(?:-|–|to|and)\s*"
_AGES = tuple(
    (re.compile(pattern, re.IGNORECASE), kind)
    for pattern, kind in (
        (rf"(?<!gestational )\b(?:aged?|ages|age range)\b[^.;,\d]{{0,20}}(\d+){_TO}(\d+)(?:[\s-]*{_UNIT})?", "range"),
        (rf"\b(\d+){_TO}(\d+)[\s-]*{_UNIT}[\s-]*(?:old|of age)", "range"),
        (rf"\b(\d+)()[\s-]*{_UNIT}\s*(?:of age |old )?(?:or|and)\s*(?:older|over|above|more)", "from"),
        (
            rf"\b(?:older than|(?:over|above) the age of|{_AGED}{_UP})\s*(\d+)()(?:[\s-]*{_UNIT})?",
            "from",
        ),
        (rf"{_UP}\s*(\d+)()[\s-]*{_UNIT}[\s-]*(?:old|of age)", "from"),
        (rf"\b{_WHO} {_UP}\s*(\d+)()[\s-]*{_UNIT}", "from"),
        (rf"\b(\d+)()[\s-]*{_UNIT}\s*(?:of age |old )?(?:or|and)\s*(?:younger|under|less)", "to"),
        (
            rf"\b(?:younger than|(?:under|below) the age of|{_AGED}{_DOWN})\s*(\d+)()(?:[\s-]*{_UNIT})?",
            "to",
        ),
        (rf"{_DOWN}\s*(\d+)()[\s-]*{_UNIT}[\s-]*(?:old|of age)", "to"),
        (rf"\b{_WHO} {_DOWN}\s*(\d+)()[\s-]*{_UNIT}", "to"),
    )
)
_IN_YEARS = {"m": 1 / 12, "w": 1 / 52, "d": 1 / 365}
_CHILD = re.compile(
    r"\b(?:child(?:ren|hood)?|p[a]?ediatrics?|infan(?:ts?|cy)|neonat\w+|newborns?|toddlers?|adolescen\w+|school-?age\w*|"
    r"preterm|boys?|girls?)\b",
    re.IGNORECASE,
)
_GROWN = re.compile(
    r"\b(?:adults?|elderly|older (?:people|persons?|patients|women|men)|geriatric|nursing home|post-?menopausal|"
    r"(?:aged|ages?|older than)\s*(?:of\s*)?(?:over\s*|[≥>]=?\s*)?(?:1[89]|[2-9]\d)\b(?!\s*(?:days|weeks|months)))",
    re.IGNORECASE,
)
_OLD = re.compile(r"\b(?:elderly|older (?:adults?|people|persons?|patients|women|men)|geriatric\w*)\b", re.IGNORECASE)
_BABY = re.compile(r"\b(?:infan(?:ts?|cy)|neonat\w+|newborns?|preterm)\b", re.IGNORECASE)

_WOMEN = re.compile(r"\b(?:wom[ae]n|females?|girls?|pregnan\w+|mothers?|postmenopausal)\b", re.IGNORECASE)
_MEN = re.compile(r"\b(?:m[ae]n|males?|boys?|fathers?)\b", re.IGNORECASE)
_OF_WOMEN = re.compile(
    r"\b(?:endometri\w+|ovar(?:y|ies|ian)|uter(?:us|ine)|cervical (?:cancer|smear|screening|intraepithelial)|vagin\w+|"
    r"vulv\w+|menstrua\w+|(?:pre|post|peri)?-?menopaus\w+|pre-?eclampsia|polycystic ovar\w+|postpartum)\b",
    re.IGNORECASE,
)
_OF_MEN = re.compile(
    r"\b(?:prostat\w+|testic\w+|testis|testes|erectile|penile|scrot\w+|varicocele|hypospadias|semen|sperm)\b",
    re.IGNORECASE,
)
_ONLY = r"\b(?:only|exclusively|all (?:patients|participants|subjects) were) (?:\w+ )?"
_ONLY_MEN, _ONLY_WOMEN = (
    re.compile(rf"{_ONLY}(?:{who})\b", re.IGNORECASE) for who in ("men|males?|boys", "women|females?|girls")
)

_MEASURE = r"(?:e?gfr|glomerular filtration rate|creatinine clearance|crcl|clcr)"
_BELOW = r"<|≤|<=|below|under|less than|lower than|up to"
_ABOVE = r">|≥|>=|above|over|greater than|higher than|more than|at least"
_FILTRATION = (
    re.compile(rf"\b{_MEASURE}\b[^.;\d]{{0,40}}?({_BELOW}|{_ABOVE})\s*=?\s*(\d+)()", re.IGNORECASE),
    re.compile(rf"(?:\b|(?<=\s))({_BELOW}|{_ABOVE})\s+(?:an?\s+)?{_MEASURE}\s+(?:of\s+)?(\d+)()", re.IGNORECASE),
    re.compile(rf"\b{_MEASURE}\b[^.;\d]{{0,20}}?()(\d+){_TO}(\d+)", re.IGNORECASE),
)
_STAGES = tuple(
    (re.compile(pattern, re.IGNORECASE), (low, high))
    for pattern, low, high in (
        (r"\bnormal (?:renal|kidney) function", 60.0, _ANY),
        (r"\bsevere(?:ly)? (?:\w+ )?(?:renal|kidney)|\bstage (?:4|iv)\b|\badvanced (?:chronic )?kidney", 0.0, 30.0),
        (r"\bdialysis|\bh[a]?emodialysis|end-?stage (?:renal|kidney)|\besrd\b|\bstage (?:5|v)\b", 0.0, 15.0),
        (r"\b(?:renal|kidney) failure", 0.0, 30.0),
    )
)
_IMPAIRED = re.compile(
    r"\b(?:renal|kidney) (?:impairment|insufficiency|dysfunction|disease)|impaired (?:renal|kidney)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Said:
    """What a source says of patients unlike, or like, the one in question.

    Attributes:
        topic: ``"age"``, ``"sex"``, ``"pregnancy"`` or ``"kidney"``.
        words: What it says: a clause of it, or "" where ``what`` says all.
        what: What is wrong, in words.
    """

    topic: str
    words: str
    what: str = ""


def of_animals(document: Document) -> bool:
    """Whether a document names animals and no people."""
    text = f"{document.title}\n{document.text}"
    return bool(_ANIMALS.search(text)) and not _PEOPLE.search(text)


def clauses(document: Document) -> Iterator[str]:
    """Yield the clauses of a document's title and text, with single spaces."""
    yield from _CLAUSE.split(" ".join(document.title.split()))
    for start, end in split_sentences(document.text):
        yield from _CLAUSE.split(" ".join(document.text[start:end].split()))


def against_pregnancy(document: Document) -> Iterator[Said]:
    """Yield what a source says against use in pregnancy, or that it left pregnant women out."""
    for clause in clauses(document):
        named = PREGNANCY.search(clause)
        if named and _AGAINST.search(clause) and not _NOT_AGAINST.search(clause):
            yield Said("pregnancy", _around(clause, named.start()))


def against_kidneys(document: Document, egfr: float) -> Iterator[Said]:
    """Yield what a source says against use at a filtration rate, or that it studied others.

    Args:
        document: The source.
        egfr: Estimated glomerular filtration rate, mL/min/1.73 m².
    """
    for clause in clauses(document):
        named = KIDNEY.search(clause)
        if not named or _NOT_AGAINST.search(clause):
            continue
        (low, high), counted = _filtration(clause)
        if (low, high) == _NONE:
            continue
        within = low <= egfr < high
        warns = bool(_AGAINST.search(clause) or _CAREFUL.search(clause) or (counted and _AT_RISK.search(clause)))
        allows = bool(_ALLOWED.search(clause)) and (counted or low > 0)
        if within if warns else allows and not within:
            yield Said("kidney", _around(clause, named.start()))


def other_ages(document: Document, age: float) -> Iterator[Said]:
    """Yield what says that a source is about other ages; a guideline says so in its title, or is for all.

    A study says whom it enrolled; a guideline names some for a remark.
    """
    found, outside, telling = [], [], []
    for place, clause in enumerate(clauses(document)):
        against = _AGAINST.search(clause)
        if place and document.kind == "guideline":
            break
        telling += [clause] if place == 0 or not against else []
        if place and not (against or _ENROLLED.search(clause)):
            continue
        ranges = list(_ages(clause))
        if ranges and against:
            if any(low <= age < high for low, high, _ in ranges):
                yield Said("age", _around(clause, ranges[0][2]))
        else:
            found += ranges
            outside += [clause] * bool(ranges)
    if any(low <= age < high for low, high, _ in found):
        return
    whole, rest = "\n".join(telling), "\n".join(clause for clause in telling if clause not in outside)
    if found and (_CHILD.search(rest) if age < ADULT else _GROWN.search(rest) and not _OLD.search(rest)):
        return  # the ages were those of a part of them
    worded = list(_by_words(document.title, age, bool(_CHILD.search(whole)), bool(_GROWN.search(whole))))
    yield from worded or [Said("age", _around(clause, found[0][2])) for clause in outside[:1]]


def other_sex(document: Document, sex: str) -> Iterator[Said]:
    """Yield what says that a source is about the other sex: its title, or that it enrolled no one else."""
    female = sex == "female"
    own, other = (_WOMEN, _MEN) if female else (_MEN, _WOMEN)
    them, us = ("men", "women") if female else ("women", "men")
    is_ = f"the patient is {sex}"
    if other.search(document.title) and not own.search(document.title):
        yield Said("sex", "", f"names {them} and no {us}; {is_}")
    elif (_OF_MEN if female else _OF_WOMEN).search(document.title) and not own.search(document.title):
        yield Said("sex", "", f"is about {them}; {is_}")
    elif document.kind != "guideline" and (_ONLY_MEN if female else _ONLY_WOMEN).search(document.text):
        yield Said("sex", "", f"studied {them} only; {is_}")


def _by_words(title: str, age: float, child: bool, grown: bool) -> Iterator[Said]:
    if age >= ADULT and child and not grown:
        yield Said("age", "", "names children and no adults; the patient is an adult")
    elif age < ADULT and grown and not child:
        yield Said("age", "", "names adults and no children; the patient is a child")
    elif ADULT <= age < OLD and _OLD.search(title):
        yield Said("age", "", "is about older people; the patient is younger")
    elif 2 <= age < ADULT and _BABY.search(title) and not _CHILD.search(_BABY.sub(" ", title)):
        yield Said("age", "", "is about infants; the patient is older")


def _around(clause: str, at: int) -> str:
    """Return a clause, or what stands around a place in a long one."""
    if len(clause) <= _QUOTED:
        return clause
    start = clause.rfind(" ", 0, max(0, at - _QUOTED // 2)) + 1
    piece = clause[start : start + _QUOTED]
    whole = start + _QUOTED >= len(clause)
    return ("… " if start else "") + (piece if whole else f"{piece.rsplit(' ', 1)[0]} …")


def _ages(text: str) -> Iterator[tuple[float, float, int]]:
    """Yield the ages that a text names as ranges in years, the upper end left out, and where they stand."""
    for pattern, kind in _AGES:
        for match in pattern.finditer(text):
            unit = (match[3] or "years")[0].lower()
            scale = _IN_YEARS.get(unit, 1.0)
            first = float(match[1]) * scale
            if kind == "range":
                last = (float(match[2]) + 1) * scale
                yield (*((first, last) if first < last else _NONE), match.start())
            else:
                yield (*((first, _ANY) if kind == "from" else (0.0, first)), match.start())


def _filtration(clause: str) -> tuple[Range, bool]:
    """Return the filtration rates that a clause names, mL/min, and whether by number; else by the stage it names."""
    for pattern in _FILTRATION:
        match = pattern.search(clause)
        if match:
            first = float(match[2])
            if match[3]:
                return (first, float(match[3]) + 1), True
            return ((first, _ANY) if re.fullmatch(_ABOVE, match[1], re.IGNORECASE) else (0.0, first)), True
    named = [region for pattern, region in _STAGES if pattern.search(clause)]
    if not named:
        return ((0.0, 60.0) if _IMPAIRED.search(clause) else _NONE), False
    return (min(low for low, _ in named), max(high for _, high in named)), False
