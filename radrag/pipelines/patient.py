"""What is known of the patient a question is about: used to search and to ask, and kept nowhere unless asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from radrag.indexes.tokens import tokenize
from radrag.types import Answer, Document

Sex = Literal["female", "male"]
ADULT, OLD = 18, 65
_LOW_EGFR = 30
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
_WOMEN = re.compile(r"\b(?:wom[ae]n|females?|girls?|pregnan\w+|mothers?|postmenopausal)\b", re.IGNORECASE)
_MEN = re.compile(r"\b(?:m[ae]n|males?|boys?|fathers?)\b", re.IGNORECASE)
_PREGNANCY = re.compile(r"\b(?:pregnan\w+|gestation\w*|f[o]?et(?:us|al)\w*|obstetric\w*|trimester)\b", re.IGNORECASE)
_KIDNEY = re.compile(
    r"\b(?:renal|kidneys?|nephr\w+|e?gfr|glomerular|creatinine|dialysis|h[a]?emodialysis)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, repr=False)
class Patient:
    """Facts about one patient; what is not known is left out. Printing it shows none of them.

    Attributes:
        age: Years, fractions for infants.
        sex: ``"female"`` or ``"male"``.
        pregnant: Whether she is.
        egfr: Estimated glomerular filtration rate, mL/min/1.73 m².
        allergies: Substances, such as ``"iodinated contrast"``.
        prior_studies: Such as ``"CT abdomen 2023"``.
    """

    age: float | None = None
    sex: Sex | None = None
    pregnant: bool | None = None
    egfr: float | None = None
    allergies: tuple[str, ...] = ()
    prior_studies: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, value, most in (("age", self.age, 130), ("egfr", self.egfr, 250)):
            if value is not None and not 0 <= value <= most:
                raise ValueError(f"{name} must be a number from 0 to {most}, or None")
        if self.sex is not None and self.sex not in get_args(Sex):
            raise ValueError(f"sex must be one of {', '.join(get_args(Sex))}, or None")
        if self.pregnant and self.sex == "male":
            raise ValueError("a male patient cannot be pregnant; correct sex or pregnant")
        texts: tuple[tuple[str, Any], ...] = (("allergies", self.allergies), ("prior_studies", self.prior_studies))
        for name, listed in texts:
            if isinstance(listed, str) or not all(isinstance(one, str) and one.strip() for one in listed):
                raise ValueError(f"{name} must be a tuple of texts that are not blank")

    def __repr__(self) -> str:
        return "Patient(not shown)"

    @property
    def known(self) -> dict[str, Any]:
        """The facts that are stated, as plain values."""
        return {name: value for name, value in asdict(self).items() if value not in (None, ())}

    @property
    def sentence(self) -> str:
        """The facts in one sentence, for a prompt; "" if none is known."""
        who = {"female": "female", "male": "male"}.get(self.sex or "", "")
        parts = [
            " ".join(part for part in (_aged(self.age), who) if part),
            {True: "pregnant", False: "not pregnant", None: ""}[self.pregnant],
            f"eGFR {self.egfr:g} mL/min/1.73 m²" if self.egfr is not None else "",
            f"allergic to {', '.join(self.allergies)}" if self.allergies else "",
            f"earlier studies: {', '.join(self.prior_studies)}" if self.prior_studies else "",
        ]
        stated = "; ".join(" ".join(part.split()) for part in parts if part)
        return f"Patient: {stated}." if stated else ""

    @property
    def terms(self) -> str:
        """Words by which evidence for such patients is found; "" if nothing about the patient is special."""
        words = [
            "children pediatric" if self.age is not None and self.age < ADULT else "",
            "infants" if self.age is not None and self.age < 1 else "",
            "older adults" if self.age is not None and self.age >= OLD else "",
            "pregnancy pregnant" if self.pregnant else "",
            "renal impairment kidney disease" if self.egfr is not None and self.egfr < _LOW_EGFR else "",
            *(f"{one} allergy" for one in self.allergies),
        ]
        return " ".join(word for word in words if word)


def patient_warnings(answer: Answer, patient: Patient, documents: Mapping[str, Document]) -> tuple[str, ...]:
    """Say where the sources of an answer name other patients than this one.

    It reads words, not study designs: what it does not mention is no proof that a source fits.

    Args:
        answer: The answer; only what its claims cite is looked at.
        patient: The patient.
        documents: The documents cited, by id.
    """
    cited = {one.key: documents[one.document_id] for one in answer.citations}
    found = [*_populations(cited, patient), *_unmentioned(list(cited.values()), patient)]
    said = " ".join(claim.text for claim in answer.claims)
    spoken = set(tokenize(said))
    for one in patient.allergies:
        terms = set(tokenize(one))
        if terms and terms <= spoken:
            found.append(f"the answer speaks of {one}, to which an allergy is stated")
    return tuple(found)


def _populations(cited: Mapping[int, Document], patient: Patient) -> Iterator[str]:
    """Yield a warning for each kind of patient that sources name to the exclusion of this one."""
    grown = None if patient.age is None else patient.age >= ADULT
    rules = (
        (grown is True, _names_only(cited, _CHILD, _GROWN), "children and no adults; the patient is an adult"),
        (grown is False, _names_only(cited, _GROWN, _CHILD), "adults and no children; the patient is a child"),
        (patient.sex == "male", _titled(cited, _WOMEN, _MEN), "women and no men; the patient is male"),
        (patient.sex == "female", _titled(cited, _MEN, _WOMEN), "men and no women; the patient is female"),
    )
    for applies, keys, what in rules:
        if applies and keys:
            yield f"{''.join(f'[{key}]' for key in keys)} names {what}"


def _names_only(cited: Mapping[int, Document], these: re.Pattern[str], others: re.Pattern[str]) -> list[int]:
    """Return the sources that name these patients and no others; a guideline must do so in its title.

    A study says whom it enrolled; a guideline is for all unless its title says otherwise, and names some for a remark.
    """
    whole = {key: one.title if one.kind == "guideline" else f"{one.title}\n{one.text}" for key, one in cited.items()}
    return sorted(key for key, text in whole.items() if these.search(text) and not others.search(text))


def _titled(cited: Mapping[int, Document], these: re.Pattern[str], others: re.Pattern[str]) -> list[int]:
    return sorted(key for key, one in cited.items() if these.search(one.title) and not others.search(one.title))


def _unmentioned(cited: Sequence[Document], patient: Patient) -> Iterator[str]:
    rules = (
        (patient.pregnant, _PREGNANCY, "pregnancy"),
        (patient.egfr is not None and patient.egfr < _LOW_EGFR, _KIDNEY, "kidney function"),
    )
    for applies, pattern, what in rules:
        if applies and cited and not any(pattern.search(f"{one.title}\n{one.text}") for one in cited):
            yield f"no source cited speaks of {what}"


def _aged(age: float | None) -> str:
    if age is None:
        return ""
    if age < 2:
        return f"{round(age * 12)}-month-old"
    return f"{int(age)}-year-old"
