"""Checks of the protocol pages: form, siblings, and that shared numbers and sentences agree across pages."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import yaml

from radrag.corpora import read_markdown, split_sentences
from radrag.types import Document

FOLDER = Path(__file__).resolve().parents[2] / "corpora" / "protocols"
KEYS = "id title modality region population definition synonyms order_abbreviations siblings".split()
MODALITIES = {"CT": 30, "MR": 20, "US": 10, "XR": 8, "NM": 6, "PET/CT": 3, "RF": 3, "MG": 2}  # and at least how many
POPULATIONS = {"adult", "child", "adult and child"}
HEADINGS = (
    "Indications",
    "When not to, and what instead",
    "Contrast and phases",
    "Patient preparation",
    "Acquisition",
    "Safety",
    "Reporting points",
)
CONFUSED = [
    ("ct-urography", "ct-kidney-mass", "ct-stone"),
    ("ct-pulmonary-angiography", "cta-aorta-dissection", "ct-coronary-angiography"),
    ("mr-cervical-spine", "mr-thoracic-spine", "mr-lumbar-spine"),
    ("ct-abdomen-pelvis-routine", "ct-liver-multiphase", "mr-liver"),
    ("mr-brain-routine", "mr-iac", "mr-pituitary"),
    ("ct-sinus-routine", "ct-maxillofacial"),
]


@cache
def pages() -> dict[str, Document]:
    return {page.id: page for page in read_markdown(FOLDER)}


def ids() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.md") if path.name != "README.md")


def section(page: Document, heading: str) -> str:
    return next(page.text[part.start : part.end] for part in page.sections if part.path[-1] == heading)


def sentences(page: Document) -> list[str]:
    found = (page.text[start:end].removeprefix("- ") for start, end in split_sentences(page.text))
    return [" ".join(one.split()) for one in found if not one.startswith("#")]


def test_there_are_enough_pages_of_every_modality_and_for_children() -> None:
    counts = Counter(page.metadata["modality"] for page in pages().values())
    assert len(pages()) >= 80
    assert set(counts) == set(MODALITIES)
    assert all(counts[name] >= least for name, least in MODALITIES.items()), counts
    assert Counter(page.metadata["population"] for page in pages().values())["child"] >= 8
    assert len({page.metadata["region"] for page in pages().values()}) >= 20


@pytest.mark.parametrize("name", ids())
def test_form(name: str) -> None:
    raw = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    front = yaml.safe_load(raw.split("---")[1])
    page = pages()[name]
    assert list(front) == KEYS
    assert front["id"] == name
    assert front["modality"] in MODALITIES
    assert front["population"] in POPULATIONS
    assert 15 <= len(front["definition"].split()) <= 30
    assert tuple(part.path[-1] for part in page.sections) == HEADINGS
    assert page.sections[0].path[0] == page.title
    words = sum(len(sentence.split()) for sentence in sentences(page))
    assert 300 <= words <= 500
    assert max(len(sentence.split()) for sentence in sentences(page)) <= 40
    assert raw.isascii(), [letter for letter in raw if not letter.isascii()]


@pytest.mark.parametrize("name", ids())
def test_siblings_are_mutual_and_named_with_what_decides(name: str) -> None:
    page = pages()[name]
    instead = section(page, "When not to, and what instead")
    for sibling in page.metadata["siblings"]:
        assert name in pages()[sibling].metadata["siblings"], f"{sibling} does not list {name}"
        assert pages()[sibling].title.lower() in instead.lower(), f"{name} does not name {pages()[sibling].title}"


@pytest.mark.parametrize("group", CONFUSED, ids="/".join)
def test_protocols_that_get_confused_are_linked(group: tuple[str, ...]) -> None:
    for name in group:
        assert set(group) - {name} <= set(pages()[name].metadata["siblings"]), name


def test_no_name_stands_for_two_pages() -> None:
    names = Counter()
    for page in pages().values():
        own = (page.title, *page.metadata["synonyms"], *page.metadata["order_abbreviations"])
        names.update({name.lower() for name in own})
    assert [name for name, count in names.items() if count > 1] == []


def shared(pattern: str) -> set[str]:
    """Return the sentences of all pages that match."""
    return {one for page in pages().values() for one in sentences(page) if re.search(pattern, one)}


def test_renal_limits_agree() -> None:
    limits = {match for one in shared("eGFR") for match in re.findall(r"eGFR \D*?(\d+)", one)}
    assert limits == {"30"}
    assert all("30 mL/min/1.73 m2" in one for one in shared(r"eGFR.*\d"))


def test_shared_rules_are_said_in_one_way() -> None:
    assert len(shared("^Metformin need")) == 1
    assert shared(r"^Metformin(?! need)") == shared("^Metformin raises bowel uptake")
    assert len(shared("^Breastfeeding need not be interrupted after iodinated")) == 1
    assert len(shared("^Breastfeeding need not be interrupted after gadolinium")) == 1
    assert len(shared("^After a prior moderate or severe reaction to iodinated contrast, choose")) == 1
    assert len(shared("^After a prior moderate or severe reaction to gadolinium contrast, choose")) == 1


def test_gadolinium_doses_agree() -> None:
    doses = {match for one in shared("gadolinium|Gadolinium") for match in re.findall(r"(\d[\d.]*) mmol/kg", one)}
    assert doses == {"0.1"}


def test_every_page_with_contrast_says_what_a_reaction_changes() -> None:
    for page in pages().values():
        text = section(page, "Contrast and phases")
        if re.search(r"[Ii]odinated contrast of|gadolinium agent is", text):
            assert "reaction" in section(page, "Safety"), page.id
