"""Whom a source is about, or warns of: ages, sexes and pregnancy as its sentences state them.

Sentences are read by rules. What they do not say is no proof that a source fits a patient.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from radrag.pipelines.clauses import AGAINST, ENROLLED, NOT_AGAINST, Clause, Said, clauses, governing, verbs
from radrag.types import Document

ADULT, OLD = 18, 65
_NONE = (0.0, 0.0)
_REACH = 60  # characters behind a verb in which what it speaks against stands
_ANY = float("inf")

PREGNANCY = re.compile(r"\b(?:pregnan\w+|gestation\w*|f[o]?et(?:us|al)\w*|obstetric\w*|trimester)\b", re.IGNORECASE)
# Harm to the child, caused or feared: naming a malformation alone is what a scan is for.
_HARM = re.compile(
    r"\b(?:caus(?:e[sd]?|ing)(?! of)|induc(?:e[sd]?|ing)|produc(?:e[sd]?|ing)|results? in|resulting in|"
    r"leads? to|led to|risks? of|associated with|linked (?:to|with)|increase[sd]?)\b[^.;]{0,60}?(?:malformation|"
    r"birth defect|congenital (?:anomal|defect|abnormal)|miscarriage|stillbirth|"
    r"f[o]?etal (?:\w+ )?(?:harm|death|loss|toxicity|damage))|\b(?:embryo|f[o]?eto)-?toxic|"
    r"\b(?:harm|damage|injure)s? (?:to )?(?:the |an )?(?:\w+ )?f[o]?etus|\bcategory [DX]\b",
    re.IGNORECASE,
)
_NEGATED = re.compile(r"\b(?:not?|never|without|nor|neither|cannot|unlikely)\b", re.IGNORECASE)
_UNPROVEN = re.compile(
    r"\b(?:safety|data|effects?|experience|use)\b[^.;]{0,60}\b(?:not|never|un)\s?(?:been )?"
    r"(?:established|known|available|studied|proven|shown)|"
    r"\b(?:no|insufficient|inadequate) (?:\w+ )?(?:data|experience|studies)\b(?: \w+){0,3} "
    r"(?:in|on|for|about|during)\b",
    re.IGNORECASE,
)
_NOT_PREGNANT = re.compile(
    r"\b(?:non-?\s?|not |unless |neither )pregnan(?:t|cy)|negative pregnancy test|"
    r"pregnancy test\b[^.;]{0,40}\bnegative",
    re.IGNORECASE,
)
_COMPARED = re.compile(r"\b(?:non-?\s?|not )pregnant\b", re.IGNORECASE)
_RULED_OUT = re.compile(
    r"(?<!ectopic )(?<!molar )(?<!tubal )\bpregnancy (?:\w+ ){0,5}(?:ruled out|excluded)|"
    r"\b(?:rul(?:e|es|ed|ing) out|exclud(?:e|es|ing)) (?:any |a |possible |current |early )?pregnancy",
    re.IGNORECASE,
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
    r"(?:patients|people|persons|adults|men|women|those|anyone|children|boys|girls|infants|subjects|participants|"
    r"individuals|volunteers)"
)
_UP = r"(?:over|above|at least|older than|more than|[≥>]=?)"
_DOWN = r"(?:under|below|up to|less than|younger than|[≤<]=?)"
_AGED = r"(?<!gestational )age[sd]?\s*(?:of\s*)?"
_TO = r"\s*(?:-|–|to|and)\s*"
# Years where no unit stands: nothing that counts something else follows, and no further digit.
_BARE = (
    rf"(?:[\s-]*{_UNIT}|(?!\d|[.,]\d|\s*(?:%|°|/|×|-|–|[a-zµ]{{1,4}}/|(?:per|kg|g|mg|µg|m|mm|cm|ml|l|h|hours?|min\w*|"
    r"times|points?|bpm|beats|mmhg|mmol|units?|iu|x|fold|to|patients|people|cases|others|cigarettes|drinks|kcal)\b)))"
)
# A thing that is some months old is no patient of that age.
_THING = re.compile(
    r"\b(?:nodules?|lesions?|scars?|grafts?|implants?|infarct\w*|fractures?|thromb\w+|clots?|h[a]?ematomas?|scans?|films?|"
    r"images?|studies|samples?|specimens?|wounds?|strokes?|stents?|catheters?|tumou?rs?|h[a]?emorrhages?|blood|units?)"
    r"(?: (?:that|which|is|are|was|were|at|least|already))*\s*$",
    re.IGNORECASE,
)
# What is said of an age without the word, as in "Do not use under 12 years".
_ALLOWS = (
    r"\b(?:used?|given?|recommended|prescribed|contra-?indicated|licensed|approved|indicated|excluded|eligible|not)"
    r" (?:\w+ )??(?:(?:in|for|if|when|to) )?"
)
_OLDER = rf"[\s-]*{_UNIT}(?!\s*(?:ago|after|before))"
_AGES = tuple(
    (re.compile(pattern, re.IGNORECASE), kind)
    for pattern, kind in (
        (rf"(?<!gestational )\b(?:aged?|ages|age range)\b[^.;,\d]{{0,20}}(\d+){_TO}(\d+)(?:[\s-]*{_UNIT})?", "range"),
        (
            r"\b(?:median|mean|average) age\b(?:[^.;]|\.\d){0,40}?[(,\[]\s*(?:age )?range[ds]?\b[^.;\d]{0,12}"
            rf"(\d+)(?:\.\d+)?(?: ?years)?{_TO}(\d+)(?:\.\d+)?(?:[\s-]*{_UNIT})?",
            "range",
        ),
        (rf"\b(\d+){_TO}(\d+)[\s-]*{_UNIT}[\s-]*(?:old|of age)", "range"),
        (rf"\b(\d+)()[\s-]*{_UNIT}\s*(?:of age |old )?(?:or|and)\s*(?:older|over|above|more)", "from"),
        (rf"{_AGED}(\d+)()(?:[\s-]*{_UNIT})? (?:or|and) (?:older|over|above|more)", "from"),
        (rf"\b(?:older than|(?:over|above) the age of|{_AGED}{_UP})\s*(\d+)()(?:[\s-]*{_UNIT})?", "from"),
        (rf"{_UP}\s*(\d+)()[\s-]*{_UNIT}[\s-]*(?:old|of age)", "from"),
        (rf"\b{_WHO} {_UP}\s*(\d+)(){_BARE}", "from"),
        (rf"\b(\d+)()[\s-]*{_UNIT}\s*(?:of age |old )?(?:or|and)\s*(?:younger|under|less)", "to"),
        (rf"{_AGED}(\d+)()(?:[\s-]*{_UNIT})? (?:or|and) (?:younger|under|less|below)", "to"),
        (rf"\b(?:younger than|(?:under|below) the age of|{_AGED}{_DOWN})\s*(\d+)()(?:[\s-]*{_UNIT})?", "to"),
        (rf"{_DOWN}\s*(\d+)()[\s-]*{_UNIT}[\s-]*(?:old|of age)", "to"),
        (rf"\b{_WHO} {_DOWN}\s*(\d+)(){_BARE}", "to"),
        (rf"\b(?:lower|minimum) age(?: limit)?\b[^.;\d]{{0,20}}(\d+)()(?:[\s-]*{_UNIT})?", "from"),
        (rf"\b(?:upper|maximum) age(?: limit)?\b[^.;\d]{{0,20}}(\d+)()(?:[\s-]*{_UNIT})?", "to"),
        (rf"{_ALLOWS}{_UP}\s*(\d+)(){_OLDER}", "from"),
        (rf"{_ALLOWS}{_DOWN}\s*(\d+)(){_OLDER}", "to"),
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

_SOME = (  # what follows where only some of them are meant
    r"(?! (?:with|who|whose|whom|having|receiving|under|over|above|below|aged?|less|more|younger|older|of|on|in|at)\b)"
)
_AUX = r"(?:(?:were|was|are|is|have|has|had|been|be|should|must|may|can|also|therefore|generally|all) )*$"
_NOUN = r"(?: (?:patients|people|participants|subjects|individuals|populations?|use|age group))?"


def _as_such(who: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return where people are named as such: anywhere, and right before a verb."""
    named = rf"\b(?:{who})\b{_NOUN}{_SOME}"
    return tuple(
        re.compile(one, re.IGNORECASE)
        for one in (named, rf"(?<!\bof )(?<!\bwith ){named}(?:,? (?:and|or) [\w -]{{1,30}}?)? {_AUX}")
    )  # type: ignore[return-value]


_BABIES, _CHILDREN = "infants?|neonates?|newborns?|babies", "children|minors|p[a]?ediatrics?"
_BARRED = tuple(
    (low, high, *_as_such(who))
    for low, high, who in (
        (0, 2, f"{_BABIES}|{_CHILDREN}"),
        (2, 12, _CHILDREN),
        (12, ADULT, f"{_CHILDREN}|adolescents|teenagers"),
        (ADULT, OLD, "adults"),
        (OLD, 200, "adults|(?:the )?elderly|older (?:adults|people|persons|patients)|geriatric"),
    )
)

_WOMEN = re.compile(r"\b(?:wom[ae]n|females?|girls?|pregnan\w+|mothers?|postmenopausal)\b", re.IGNORECASE)
# "in man" is of humans, MEN 1 a syndrome.
_MEN = re.compile(r"\b(?:(?<!in )man(?!-made)|men(?![- ]?(?:[12]|type|i+)\b)|males?|boys?|fathers?)\b", re.IGNORECASE)
_OF_WOMEN = re.compile(
    r"\b(?:endometri\w+|ovar(?:y|ies|ian)|uter(?:us|ine)|cervical (?:cancer|smear|screening|intraepithelial)|vagin\w+|"
    r"vulv\w+|menstrua\w+|(?:pre|post|peri)?-?menopaus\w+|pre-?eclampsia|polycystic ovar\w+|postpartum)\b",
    re.IGNORECASE,
)
_OF_MEN = re.compile(
    r"\b(?:prostat\w+|testic\w+|testis|testes|erectile|penile|scrot\w+|varicocele|hypospadias|semen|sperm)\b",
    re.IGNORECASE,
)
_OUT = r"(?:were|are|was) (?:all )?(?:excluded|ineligible|not (?:included|eligible|enrolled|recruited|studied))"


def _only(them: str, us: str) -> re.Pattern[str]:
    """Return what says that only some were studied, or that the others were left out."""
    return re.compile(
        r"\b(?:only|exclusively|all (?:(?!but\b|except\b)[a-z\d]+ ){0,2}were|were all|100 ?% (?:were )?) ?"
        rf"(?:(?!one|two|three|four|five|six|seven|eight|nine|ten|few|some|half|of)[a-z]+ )?(?:{them})\b"
        rf"(?! (?:or|and) )|\b(?:{them})(?: \w+)? only\b|"
        rf"\bno {us} (?:were|was) (?:included|enrolled|recruited|studied)|"
        rf"(?:^|[.;:,]\s|\b(?:all|and|that|as|because|since)\s){us} {_OUT}|"
        rf"\bexclud(?:ed|ing) (?:all )?{us}\b(?! (?:with|who|whose|of|on|in|aged|under|over))",
        re.IGNORECASE,
    )


_ONLY_MEN = _only("men|males?|male (?:patients|participants|subjects)", "(?:women|females|female patients)")
_ONLY_WOMEN = _only("women|females?|female (?:patients|participants|subjects)", "(?:men|males|male patients)")


def of_animals(document: Document) -> bool:
    """Whether a document names animals and no people."""
    text = f"{document.title}\n{document.text}"
    return bool(_ANIMALS.search(text)) and not _PEOPLE.search(text)


def against_pregnancy(document: Document) -> Iterator[Said]:
    """Yield what a source says against use in pregnancy, or that it left pregnant women out."""
    for clause in clauses(document):
        others = _COMPARED.sub(" ", clause.text)  # who names pregnant women beside others studied both
        both = Clause(others, clause.lead) if PREGNANCY.search(others) else clause
        named = _COMPARED.search(clause.text) or PREGNANCY.search(clause.text)
        if named and (both.against or _harms(both) or _excepted(both)):
            yield Said("pregnancy", clause.quoted(named.start()))


def _excepted(clause: Clause) -> bool:
    return bool(_NOT_PREGNANT.search(clause.text)) and not NOT_AGAINST.search(clause.whole)


def _harms(clause: Clause) -> bool:
    caused = _HARM.search(clause.text)
    if caused and not _NEGATED.search(clause.text[: caused.end()]):
        return True
    return bool(_UNPROVEN.search(clause.text) or _RULED_OUT.search(clause.text))


def other_ages(document: Document, age: float) -> Iterator[Said]:
    """Yield what says that a source is about other ages; a guideline says so in its title, or is for all.

    A study says whom it enrolled; a guideline names some for a remark. Either may speak against use at an age.
    """
    found, outside, telling = [], [], []
    for place, clause in enumerate(clauses(document)):
        told = place == 0 or document.kind != "guideline"
        telling += [clause.text] if told and (place == 0 or not clause.against) else []
        if place and not (clause.against or (told and ENROLLED.search(clause.text))):
            continue
        ranges = list(_ages(clause.text))
        barred = [one for one in ranges if clause.against and _warned(clause, one[2])]
        if any(low <= age < high for low, high, _ in barred):
            yield Said("age", clause.quoted(barred[0][2]))
        elif place and clause.against and not ranges and (at := _barred(clause, document.title, age)) is not None:
            yield Said("age", clause.quoted(at))
        studied = [one for one in ranges if one not in barred] if told else []
        found += studied
        outside += [clause] * bool(studied)
    if any(low <= age < high for low, high, _ in found):
        return
    kept = {clause.text for clause in outside}
    whole, rest = "\n".join(telling), "\n".join(text for text in telling if text not in kept)
    if found and (_CHILD.search(rest) if age < ADULT else _GROWN.search(rest) and not _OLD.search(rest)):
        return  # the ages were those of a part of them
    worded = list(_by_words(document.title, age, bool(_CHILD.search(whole)), bool(_GROWN.search(whole))))
    yield from worded or [Said("age", clause.quoted(found[0][2])) for clause in outside[:1]]


def _warned(clause: Clause, place: int) -> bool:
    """Whether what a clause says of a place in it is against it."""
    return governing(verbs(clause.text), [place])[0] if AGAINST.search(clause.text) else True


def _barred(clause: Clause, title: str, age: float) -> int | None:
    """Return where a clause speaks against use at an age in words; None if it does not, or the title is of them."""
    anywhere, subject = next((both for low, high, *both in _BARRED if low <= age < high), (None, None))
    if anywhere is None or subject is None or (_CHILD if age < ADULT else _GROWN).search(title):
        return None
    if clause.lead and not AGAINST.search(clause.text):
        named = anywhere.search(clause.text)
        return named.start() if named else None
    for match in AGAINST.finditer(clause.text):
        named = subject.search(clause.text[: match.start()]) or anywhere.search(
            clause.text, match.start(), match.end() + _REACH
        )
        if named:
            return named.start()
    return None


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


def _ages(text: str) -> Iterator[tuple[float, float, int]]:
    """Yield the ages that a text names as ranges in years, the upper end left out, and where they stand."""
    for pattern, kind in _AGES:
        for match in pattern.finditer(text):
            if _THING.search(text[: match.start()]):
                continue
            unit = (match[3] or "years")[0].lower()
            scale = _IN_YEARS.get(unit, 1.0)
            first = float(match[1]) * scale
            if kind == "range":
                last = (float(match[2]) + 1) * scale
                yield (*((first, last) if first < last else _NONE), match.start())
            else:
                yield (*((first, _ANY) if kind == "from" else (0.0, first)), match.start())
