"""Warnings about a patient against cases written by hand, a third of them before the rules were run on any."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radrag.corpora import load_protocols
from radrag.pipelines.allergens import spoken_of
from radrag.pipelines.patient import Patient, patient_warnings, topical_warnings
from radrag.types import Answer, Citation, Claim, Document

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent / "data" / "patient_cases.jsonl").read_text(encoding="utf-8").splitlines()
]
LOW, MID, PREGNANT = Patient(egfr=20), Patient(egfr=45), Patient(age=30, sex="female", pregnant=True)


def answered(*documents: Document, said: str = "It works.", value: str | tuple[str, ...] | None = None) -> Answer:
    cited = tuple(Citation(n, one.id, n, 0, 1, one.text[:1], one.title) for n, one in enumerate(documents, start=1))
    return Answer("Q?", (Claim(said, cited, True, 1.0),), value=value)


def warned(patient: Patient, *documents: Document, said: str = "It works.") -> tuple[tuple[str, str], ...]:
    return topical_warnings(answered(*documents, said=said), patient, {one.id: one for one in documents})


def topics(case: dict[str, Any]) -> set[str]:
    facts = case["patient"] | {"allergies": tuple(case["patient"].get("allergies", ()))}
    document = Document("d", case["text"], case["title"], case.get("kind", "abstract"))
    value = case.get("value")
    answer = answered(document, said=case["claim"], value=tuple(value) if isinstance(value, list) else value)
    found = {topic for topic, _ in topical_warnings(answer, Patient(**facts), {"d": document}, case.get("options"))}
    return {{"no pregnancy": "silent:pregnancy", "no kidney function": "silent:kidney"}.get(one, one) for one in found}


def test_the_cases_are_many_and_on_everything() -> None:
    assert len(CASES) >= 70
    for split in ("development", "held out"):
        mine = [case for case in CASES if case["split"] == split]
        assert len(mine) >= 36
        assert {topic for case in mine for topic in case["expect"]} == {
            *("age", "sex", "pregnancy", "kidney", "allergy", "silent:pregnancy", "silent:kidney")
        }
        assert sum(not case["expect"] for case in mine) >= 10
    assert sum(case["split"] == "review" for case in CASES) >= 100


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_cases(case: dict[str, Any]) -> None:
    assert topics(case) == set(case["expect"])


def test_a_warning_quotes_its_source_and_names_all_that_say_it() -> None:
    text = "CT is quick. Gadolinium is avoided in pregnancy unless essential."
    found = warned(PREGNANT, Document("a", text), Document("b", "Pregnant women get ultrasound."), Document("c", text))
    assert found == (("pregnancy", "[1][3] says: “Gadolinium is avoided in pregnancy unless essential.”"),)
    long = Document("a", f"Pregnant women were excluded, and {'so were others ' * 30}.")
    ((_, text),) = warned(PREGNANT, long)
    assert len(text) < 230
    assert text.endswith(" …”")
    late = Document("a", f"{'Some were tired and ' * 30} pregnant women were excluded.")
    ((_, text),) = warned(PREGNANT, late)
    assert "says: “… " in text
    assert text.endswith("pregnant women were excluded.”")


def test_an_item_of_a_list_is_quoted_behind_what_opened_it() -> None:
    listed = Document("a", "Exclusion criteria were: age < 18; pregnancy; renal failure. MRI is safe in pregnancy.")
    assert warned(PREGNANT, listed) == (("pregnancy", "[1] says: “Exclusion criteria were: … pregnancy”"),)
    lines = Document("a", "Contraindications:\n- gout\n- pregnancy\n\nPregnancy was common.")
    assert warned(PREGNANT, lines) == (("pregnancy", "[1] says: “Contraindications: … - pregnancy”"),)
    headed = Document("a", "## Contraindications\n\nPregnancy.\n\n## Use\n\nPregnancy is common.")
    assert warned(PREGNANT, headed) == (("pregnancy", "[1] says: “Contraindications … Pregnancy.”"),)


@pytest.mark.parametrize(
    ("text", "egfr", "warns"),
    [
        ("Contraindicated if eGFR < 30.", 29.9, True),
        ("Contraindicated if eGFR < 30.", 30.0, False),
        ("Patients with eGFR ≥ 60 mL/min were enrolled.", 59.0, True),
        ("Patients with eGFR ≥ 60 mL/min were enrolled.", 60.0, False),
        ("Group II agents may be given even when eGFR is below 30.", 20.0, False),
        ("Group II agents may be given even when eGFR is below 30.", 45.0, False),
        ("Serum creatinine was measured.", 20.0, False),
        ("Contraindicated if eGFR is less than or equal to 30.", 30.0, True),
        ("Contraindicated if eGFR is less than or equal to 30.", 30.1, False),
        ("Contraindicated with an eGFR of 30 or less.", 30.0, True),
        ("Contraindicated with an eGFR of 30 or less.", 30.1, False),
        ("Contraindicated if eGFR ≤ 30.", 30.0, True),
        ("Patients with eGFR > 60 were enrolled.", 60.0, True),
        ("Patients with eGFR no less than 60 were enrolled.", 60.0, False),
        ("Caution when eGFR 30-45 and contraindicated when eGFR <30.", 29.0, True),
        ("Caution when eGFR 30-45 and contraindicated when eGFR <30.", 35.0, True),
        ("Caution when eGFR 30-45 and contraindicated when eGFR <30.", 50.0, False),
        ("The eGFR fell below 30 in 4 patients.", 20.0, False),
    ],
)
def test_filtration_rates_are_compared_as_numbers(text: str, egfr: float, warns: bool) -> None:
    assert bool(warned(Patient(egfr=egfr), Document("a", text))) is warns


@pytest.mark.parametrize(
    ("text", "age", "warns"),
    [
        ("Patients over 65 were excluded.", 70.0, True),
        ("Patients over 65 were excluded.", 60.0, False),
        ("Do not use under 12 years.", 11.9, True),
        ("Do not use under 12 years.", 12.0, False),
        ("We enrolled 50 patients, median age 63.5 (range 40.2-81.3).", 39.0, True),
        ("We enrolled 50 patients, median age 63.5 (range 40.2-81.3).", 81.5, False),
        ("We enrolled patients aged 40 to 60 years.", 60.5, False),
        ("We enrolled patients aged 40 to 60 years.", 61.0, True),
        ("We enrolled patients aged 40 to 60 years.", 39.0, True),
        ("We enrolled infants aged 3-9 months.", 0.5, False),
        ("We enrolled infants aged 3-9 months.", 0.1, True),
        ("We enrolled children under 5 years of age.", 4.0, False),
        ("We enrolled children under 5 years of age.", 5.0, True),
        ("Rats aged 8 to 10 weeks were studied.", 40.0, False),
        ("They were followed for 12 years or more.", 5.0, False),
        ("We studied 900 births at a gestational age of 37 to 42 weeks.", 30.0, False),
    ],
)
def test_ages_are_compared_as_numbers(text: str, age: float, warns: bool) -> None:
    assert bool(warned(Patient(age=age), Document("a", text))) is warns


@pytest.mark.parametrize(
    ("said", "allergy", "found"),
    [
        ("Give amoxicillin.", "penicillin", "amoxicillin"),
        ("Give amoxicillin.", "Penicillins", "amoxicillin"),
        ("Without delay give amoxicillin.", "penicillin", "amoxicillin"),
        ("Without amoxicillin, then give ampicillin.", "penicillin", "ampicillin"),
        ("Avoid amoxicillin in penicillin-allergic patients.", "penicillin", ""),
        ("Non-contrast CT.", "contrast", ""),
        ("CT without IV contrast.", "contrast", ""),
        ("Inject iopamidol.", "IV contrast", "iopamidol"),
        ("Gadobutrol is given.", "iodinated contrast", ""),
        ("Iohexol is given.", "gadolinium", ""),
        ("Contrast-enhanced MRI.", "gadolinium contrast", "Contrast-enhanced MRI"),
        ("Meropenem is given.", "beta-lactam", "Meropenem"),
        ("Wear latex gloves.", "latex", "latex"),
        ("Cephalic vein.", "cephalosporin", ""),
        ("Somatostatin.", "statin", ""),
        ("Anything.", "( [ *", ""),
    ],
)
def test_allergies_by_hand(said: str, allergy: str, found: str) -> None:
    assert spoken_of(said, allergy) == found


def test_shipped_protocols_warn_of_contrast() -> None:
    """Protocols that caution below an eGFR of 30 do so for 20 and not for 45."""
    told = [one for one in load_protocols() if "caution when eGFR is below 30" in one.text]
    assert len(told) > 10
    for one in told:
        assert [topic for topic, _ in warned(LOW, one)] == ["kidney"]
        assert warned(MID, one) == ()


@given(
    st.lists(
        st.sampled_from(
            "pregnant excluded eGFR below 30 aged 65 years or older women men children ; . , dialysis not allergy to "
            "penicillin without ( [ ≥ – \u0130".split()
        ),
        max_size=30,
    ).map(" ".join)
)
def test_any_text_is_read_and_nothing_is_told_of_nobody(text: str) -> None:
    document = Document("d", text or "x", text[:30])
    patient = Patient(70, "female", True, 20, ("penicillin",))
    for _, said in warned(patient, document, said=text):
        quoted = said.partition("says: “")[2].rstrip("”").removesuffix(" …")
        assert quoted in " ".join(f"{text} {text[:30]}".split()) or not quoted
    assert patient_warnings(Answer("Q?"), Patient(), {}) == ()
    assert warned(Patient(), document, said=text) == ()
