"""What deidentify finds, what it leaves, and that offsets map back."""

from __future__ import annotations

import re
import sys
from datetime import date, timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radrag.corpora.deidentify import Deidentified, IdentifierKind, deidentify, presidio
from radrag.corpora.deidentify.rendering import TAGS
from radrag.errors import MissingExtraError

IDENTIFIED = [
    ("Seen by Dr. O'Neill-Smith today", "name", "Dr. O'Neill-Smith"),
    ("Patient: Nguyen, Thi Mai", "name", "Nguyen, Thi Mai"),
    ("a 54-year-old female, Julie M., who fell", "name", "Julie M."),
    ("her daughter Anna called", "name", "Anna"),
    ("my name is priya raman", "name", "priya raman"),
    ("PATIENT NAME: GRAY, WILL", "name", "GRAY, WILL"),
    ("cleared by Lisa Monroe, NP", "name", "Lisa Monroe"),
    ("Drs. Vandermeer and Ozturk agree", "name", "Drs. Vandermeer and Ozturk"),
    ("she lives in Round Rock", "location", "Round Rock"),
    ("admitted to Mercy Clinic in Boston", "location", "Mercy Clinic in Boston"),
    ("at 418 Wisteria Lane, Apt 2B, Dunmore, PA 18512.", "location", "418 Wisteria Lane, Apt 2B, Dunmore, PA 18512"),
    ("seen at St. Thomas Hospital", "location", "St. Thomas Hospital"),
    ("Leeds LS9 7TF", "location", "Leeds LS9 7TF"),
    ("on Jan 20th '23 and", "date", "Jan 20th '23"),
    ("on 17-Feb-2023 at", "date", "17-Feb-2023"),
    ("DOB 1951-03-14T08:00", "date", "1951-03-14T08:00"),
    ("next visit on 5/14.", "date", "5/14"),
    ("since Thanksgiving", "date", "Thanksgiving"),
    ("moved in May and", "date", "May"),
    ("A 93-year-old man", "age", "93-year-old"),
    ("call (212) 555-0112 x12 now", "phone", "(212) 555-0112 x12"),
    ("fax records to 987-555-3210", "fax", "987-555-3210"),
    ("write to j.doe@mail.example.org.", "email", "j.doe@mail.example.org"),
    ("her SSN 987-65-4321", "ssn", "987-65-4321"),
    ("(MRN: UCSF-12345)", "mrn", "UCSF-12345"),
    ("insurance plan #DB-2345678.", "health-plan", "#DB-2345678"),
    ("Acct#: SH-456789", "account", "SH-456789"),
    ("NPI 1487650023", "licence", "1487650023"),
    ("VIN 1HGBH41JXMN109186", "vehicle", "1HGBH41JXMN109186"),
    ("implant S/N MCR123456A", "device", "MCR123456A"),
    ("see https://portal.example/x?id=7.", "url", "https://portal.example/x?id=7"),
    ("from 203.0.113.77", "ip", "203.0.113.77"),
    ("Fingerprint ID F-77123", "biometric", "F-77123"),
    ("photo face_01.jpg", "photo", "face_01.jpg"),
    ("accession A0092817", "other", "A0092817"),
    ("he works at Chevron", "other", "Chevron"),
]
LEFT = [
    "Parkinson's disease, Hodgkin lymphoma, Foley catheter, Crohn's, Wilson disease, Babinski down, Lou Gehrig's sign.",
    "St. Jude valve, Swan-Ganz, Carpentier-Edwards 29 mm, Charnley retractor, Kocher clamp, Harrington rods.",
    "Glasgow Coma Scale 15, Bosniak IIF, BI-RADS 4, Fleischner, Child-Pugh A, Gleason 7, PI-RADS 4, MELD 25, Wells 3.",
    "L4-L5 extrusion, C5-C6, S1 root, T12 and L1; 26w3d; 30s female; a 55-year-old man; an 89-year-old; in her 90s.",
    "Takes Abilify 10 mg, Evista, Yasmin, Jardiance, Lopressor 25 mg 1/2 tab, Celexa, Lipitor and Toradol.",
    "Strength 5/5, reflexes 2/4, pain 7/10, murmur 3/6, BP 120/80, 10/12 nodes, ratio 1/3, 4/12 cores.",
    "Diagnosed in 2021, last seen last year; worse on Tuesday; three days ago; at 02:14; last summer.",
    "Cr 1.23, WBC 12,345, plt 450000, DLP 512, 812 mGy, 2.1 x 1.8 x 0.4 cm, 3.5 mmol/L, ICD-10 C34.90, CPT 71260.",
    "He came from Ghana to Texas in 2019. ADA, KDIGO, AHA and NCCN guidelines; the ARISTOTLE trial NCT00412984.",
    "Frank hematuria. Mark the site. Will follow. Art line. Rose in temperature. May need Lasix. Reading images.",
]


@pytest.mark.parametrize(("text", "kind", "value"), IDENTIFIED)
def test_each_kind_is_found_whole(text: str, kind: str, value: str) -> None:
    found = deidentify(text)
    (span,) = [one for one in found.spans if one.kind == kind]
    assert span.text == value == text[span.start : span.end]
    assert found.text == text.replace(value, IdentifierKind(kind).tag) or len(found.spans) > 1


@pytest.mark.parametrize("text", LEFT)
def test_clinical_content_stays(text: str) -> None:
    assert deidentify(text).text == text


def test_every_kind_of_the_rule_has_an_example_and_a_letter() -> None:
    assert {kind for _, kind, _ in IDENTIFIED} == set(IdentifierKind)
    assert sorted({kind.paragraph for kind in IdentifierKind}) == list("ABCDEFGHIJKLMNOPQR")
    assert [kind for kind in IdentifierKind if kind.paragraph == "C"] == ["date", "age"]


def test_a_name_found_once_is_masked_again_but_not_in_an_eponym() -> None:
    found = deidentify("Mr. Oyelowo fell. Oyelowo has a Wilson repair. Dr. Wilson saw him for Wilson disease.")
    assert found.text == "[NAME] fell. [NAME] has a Wilson repair. [NAME] saw him for Wilson disease."


def test_a_second_look_finds_what_the_first_one_hid() -> None:
    # before "test" a name is an eponym; once the address is masked it no longer is
    assert deidentify("Lopez test@mail.example").text == "[NAME] [EMAIL]"


def test_kinds_and_scores_choose() -> None:
    text = "Anna, MRN 998877, on 3/4/2022"
    assert deidentify(text, kinds=["mrn"]).text == "Anna, MRN [MRN], on 3/4/2022"
    assert deidentify(text, least=0.96).text == "Anna, MRN [MRN], on 3/4/2022"
    assert deidentify(text, kinds=[]).text == text


def test_a_mask_keeps_every_offset() -> None:
    text = "Pt Anna Lee\nMRN 998877"
    assert deidentify(text, replace="mask").text == "Pt ********\nMRN ******"


def test_surrogates_agree_with_themselves() -> None:
    text = "Anna Lopez (MRN AB-1234) came on 2023-02-28 and 2023-03-01; Anna Lopez left on 3/2/2023."
    found = deidentify(text, replace="surrogate", seed=1)
    assert not re.search("Anna|Lopez|1234|2023-0[23]|3/2/2023", found.text)
    first, second = re.findall(r"\d{4}-\d\d-\d\d", found.text)
    assert date.fromisoformat(second) - date.fromisoformat(first) == timedelta(days=1)
    name = found.text[: found.text.index(" (")]
    assert found.text.count(name) == 2
    assert deidentify(text, replace="surrogate", seed=1) == found
    assert deidentify(text, replace="surrogate", seed=2) != found


def test_what_is_printed_holds_no_identifier() -> None:
    found = deidentify("Pt Anna Lee")
    assert str(found) == "Pt [NAME]"
    assert "Anna" not in repr(found)


def test_offsets_go_both_ways() -> None:
    text = "Pt Anna Lee has a 5 mm nodule since 3/4/2022."
    found = deidentify(text)
    at = found.text.index("5 mm nodule")
    start, end = found.to_original(at, at + 11)
    assert text[start:end] == "5 mm nodule"
    assert found.to_masked(start, end) == (at, at + 11)
    cut = found.text.index("NAME")
    assert text[slice(*found.to_original(cut, cut + 2))] == "Anna Lee"
    with pytest.raises(ValueError, match="0 <= start <= end <= 45, got 3 and 99"):
        found.to_masked(3, 99)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"replace": "blur"}, "replace must be one of tag, mask, surrogate, got 'blur'"),
        ({"engine": "magic"}, "engine must be one of rules, presidio"),
        ({"least": 2.0}, "between 0 and 1, got 2.0"),
        ({"kinds": ["shoe size"]}, "'shoe size' is not a valid IdentifierKind"),
    ],
)
def test_wrong_arguments_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        deidentify("x", **options)  # type: ignore[arg-type]


def test_presidio_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    presidio._engine.cache_clear()
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    with pytest.raises(MissingExtraError, match="pip install presidio-analyzer"):
        deidentify("x", engine="presidio")

    class Engine:
        def analyze(self, text: str, language: str, entities: list[str]) -> list[SimpleNamespace]:
            assert language == "en"
            at = text.find("Zorblax")
            return [SimpleNamespace(start=at, end=at + 7, entity_type="PERSON", score=0.85)] if at >= 0 else []

    monkeypatch.setitem(sys.modules, "presidio_analyzer", SimpleNamespace(AnalyzerEngine=Engine))
    assert deidentify("tell zorblax and Zorblax", engine="presidio").text == "tell zorblax and [NAME]"
    presidio._engine.cache_clear()


PIECES = st.sampled_from(
    [
        *(text for text, _, _ in IDENTIFIED),
        *LEFT,
        "[NAME]",
        "Dr. ",
        " of ",
        ", ",
        "\n",
        "Smith",
        "Boston",
        "3/4",
        "May ",
        "#12-",
        "'s",
    ]
)


def check(found: Deidentified, text: str) -> None:
    """The spans are in order, and putting them back gives the original."""
    at, parts, last = 0, [], 0
    for span, (start, end, new_start, new_end) in zip(found.spans, found.segments, strict=True):
        assert last <= span.start < span.end
        assert (span.start, span.end, span.text) == (start, end, text[start:end])
        parts += [found.text[at:new_start], span.text]
        at, last = new_end, span.end
        assert found.to_original(new_start, new_end) == (start, end)
        assert found.to_masked(start, end) == (new_start, new_end)
    assert "".join([*parts, found.text[at:]]) == text == found.original


@settings(max_examples=60, deadline=None)
@given(st.lists(PIECES | st.text(max_size=12), max_size=5).map(" ".join))
def test_any_text_maps_back_and_a_second_time_changes_nothing(text: str) -> None:
    found = deidentify(text)
    check(found, text)
    again = deidentify(found.text)
    assert again.text == found.text
    assert again.spans == ()
    check(deidentify(text, replace="surrogate"), text)
    assert not any(
        start < span.end and span.start < end
        for start, end in (m.span() for m in TAGS.finditer(text))
        for span in found.spans
    )


@pytest.mark.parametrize(
    "unit",
    [
        "A",
        "a.",
        "1",
        "1-",
        "A ",
        "Dr. ",
        "@a",
        "1.",
        "a@",
        "St. ",
        "one ",
        ":",
        "Aa-",
        "http://",
        "#1 ",
        "\n",
        "May 1 ",
    ],
)
def test_long_runs_of_anything_end(unit: str) -> None:
    text = unit * (6000 // len(unit))
    assert len(deidentify(text).original) == len(text)


@pytest.mark.parametrize(
    "text",
    ["47 Y/O MALE, ED BED 8", "follow up TIA clinic", "REFERRED TO ORTHO CLINIC", "page surgery, PGY3", "on ASA"],
)
def test_departments_and_trainees_identify_nobody(text: str) -> None:
    assert deidentify(text).spans == ()
