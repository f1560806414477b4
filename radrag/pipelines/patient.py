"""What is known of the patient a question is about: used to search and to ask, and kept nowhere unless asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from radrag.pipelines.allergens import spoken_of
from radrag.pipelines.clauses import Said
from radrag.pipelines.kidneys import KIDNEY, LOW_EGFR, against_kidneys
from radrag.pipelines.populations import (
    ADULT,
    OLD,
    PREGNANCY,
    against_pregnancy,
    of_animals,
    other_ages,
    other_sex,
)
from radrag.types import Answer, Document

Sex = Literal["female", "male"]


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
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (number and 0 <= value <= most):
                raise ValueError(f"{name} must be a number from 0 to {most}, or None")
        if self.pregnant not in (None, True, False) or not isinstance(self.pregnant, bool | None):
            raise ValueError("pregnant must be True, False or None")
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
            "renal impairment kidney disease" if self.egfr is not None and self.egfr < LOW_EGFR else "",
            *(f"{one} allergy" for one in self.allergies),
        ]
        return " ".join(word for word in words if word)


def patient_warnings(
    answer: Answer, patient: Patient, documents: Mapping[str, Document], options: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Say where the sources of an answer are about, or warn of, other patients than this one.

    It reads words and numbers by rules, not study designs: where it says nothing, that is no proof that a source fits.

    Args:
        answer: The answer; only what its claims cite is looked at.
        patient: The patient.
        documents: The documents cited, by id.
        options: Options by letter, where the question was a choice: an allergy may be to the one chosen.
    """
    return tuple(text for _, text in topical_warnings(answer, patient, documents, options))


def topical_warnings(
    answer: Answer, patient: Patient, documents: Mapping[str, Document], options: Mapping[str, str] | None = None
) -> tuple[tuple[str, str], ...]:
    """Return the warnings, each behind its topic: age, sex, pregnancy, kidney, allergy, or what no source mentions."""
    cited = {one.key: documents[one.document_id] for one in answer.citations}
    found = [*_unfit(cited, patient), *_unmentioned(list(cited.values()), patient)]
    said = [*(claim.text for claim in answer.claims), *_values(answer, options or {})]
    for one in patient.allergies:
        name = next(filter(None, (spoken_of(text, one) for text in said)), "")
        if name:
            of = "to which" if name == one else f"and to {one}"
            found.append(("allergy", f"the answer speaks of {name}, {of} an allergy is stated"))
    return tuple(found)


def _values(answer: Answer, options: Mapping[str, str]) -> list[str]:
    """Return the answer in the form that was asked for, as texts; for a choice that of the option."""
    items = (answer.value,) if isinstance(answer.value, str) else answer.value or ()
    return [options.get(item, item) for item in items]


def _unfit(cited: Mapping[int, Document], patient: Patient) -> Iterator[tuple[str, str]]:
    """Yield a warning for each thing that sources say of other patients, with the sources that say it."""
    keys: dict[tuple[str, str], list[int]] = {}
    for key, document in sorted(cited.items()):
        for said in _of_others(document, patient):
            quoted = f"says: “{said.words}”"
            places = keys.setdefault((said.topic, said.what or quoted), [])
            places.extend([key] if key not in places else [])
    for (topic, what), places in keys.items():
        yield topic, f"{''.join(f'[{key}]' for key in places)} {what}"


def _of_others(document: Document, patient: Patient) -> Iterator[Said]:
    people = not of_animals(document)
    if people and patient.age is not None:
        yield from other_ages(document, patient.age)
    if people and patient.sex is not None:
        yield from other_sex(document, patient.sex)
    if patient.pregnant:
        yield from against_pregnancy(document)
    if patient.egfr is not None:
        yield from against_kidneys(document, patient.egfr)


def _unmentioned(cited: Sequence[Document], patient: Patient) -> Iterator[tuple[str, str]]:
    rules = (
        (patient.pregnant, PREGNANCY, "pregnancy"),
        (patient.egfr is not None and patient.egfr < LOW_EGFR, KIDNEY, "kidney function"),
    )
    for applies, pattern, what in rules:
        if applies and cited and not any(pattern.search(f"{one.title}\n{one.text}") for one in cited):
            yield f"no {what}", f"no source cited speaks of {what}"


def _aged(age: float | None) -> str:
    if age is None:
        return ""
    if age < 2:
        return f"{round(age * 12)}-month-old"
    return f"{int(age)}-year-old"
