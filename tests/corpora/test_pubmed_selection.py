from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radrag.corpora.pubmed_selection import Selection
from radrag.types import Document

METADATA = {
    "mesh": ["Kidney Calculi", "Humans"],
    "publication_types": ["Journal Article", "Randomized Controlled Trial"],
    "journal": "Radiology",
    "journal_abbreviation": "Radiol.",
    "language": ["eng", "fre"],
    "year": 2010,
    "has_abstract": True,
}


@pytest.mark.parametrize(
    ("selection", "kept"),
    [
        (Selection(), True),
        (Selection(mesh=("kidney calculi", "Stroke")), True),
        (Selection(mesh=("Kidney",)), False),
        (Selection(publication_types=("Review", "Randomized controlled trial")), True),
        (Selection(publication_types=("Review",)), False),
        (Selection(journals=(" radiol. ",)), True),
        (Selection(journals=("RADIOLOGY",)), True),
        (Selection(journals=("Radio",)), False),
        (Selection(languages=("fre",)), True),
        (Selection(languages=("ger",)), False),
        (Selection(years=(2010, 2010)), True),
        (Selection(years=(2011, None)), False),
        (Selection(years=(None, 2009)), False),
        (Selection(has_abstract=True), True),
        (Selection(mesh=("Humans",), years=(2000, None), languages=("eng",), has_abstract=True), True),
        (Selection(mesh=("Humans",), languages=("ger",)), False),
    ],
)
def test_every_condition_counts(selection: Selection, kept: bool) -> None:
    assert selection.matches(Document("PMID:1", "Text.", metadata=METADATA)) is kept


@pytest.mark.parametrize(
    "selection",
    [
        Selection(mesh=("Humans",)),
        Selection(publication_types=("Review",)),
        Selection(journals=("Radiology",)),
        Selection(languages=("eng",)),
        Selection(years=(1900, 2100)),
        Selection(has_abstract=True),
    ],
)
def test_what_a_record_lacks_does_not_meet_a_condition(selection: Selection) -> None:
    assert not selection.matches(Document("PMID:1", "Text.", metadata={"has_abstract": False}))


NAMES = st.lists(st.text(min_size=1).filter(str.strip), max_size=3).map(tuple)
YEARS = st.one_of(st.none(), st.integers(1800, 2100))


@given(NAMES, NAMES, NAMES, NAMES, st.tuples(YEARS, YEARS), st.booleans())
def test_a_selection_survives_json(
    mesh: Any, kinds: Any, journals: Any, languages: Any, years: Any, has_abstract: bool
) -> None:
    if None not in years:
        years = tuple(sorted(years))
    selection = Selection(mesh, kinds, journals, languages, years, has_abstract)
    assert Selection.from_json(json.loads(json.dumps(selection.to_json()))) == selection


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (Selection(mesh=("B", "a "), years=(2000, None)), True),
        (Selection(mesh=("a", "b", "B"), years=(2000, None)), True),
        (Selection(mesh=("A",), years=(2000, None)), False),
        (Selection(mesh=("A", "B")), False),
        (Selection(mesh=("A", "B"), years=(2000, None), has_abstract=True), False),
        (Selection(mesh=("A", "B"), years=(2000, None), languages=("eng",)), False),
        (Selection(languages=("A", "B"), years=(2000, None)), False),
    ],
)
def test_selections_are_the_same_that_select_the_same(other: Selection, same: bool) -> None:
    selection = Selection(mesh=("A", "B"), years=(2000, None))
    assert selection.selects_as(other) is other.selects_as(selection) is same


def test_only_what_is_set_is_kept() -> None:
    assert Selection().to_json() == {}
    assert Selection(mesh=("A",), years=(None, 2000)).to_json() == {"mesh": ("A",), "years": (None, 2000)}


@pytest.mark.parametrize("wrong", [{"years": (2001, 2000)}, {"mesh": ("",)}, {"journals": ("Radiology", " ")}])
def test_conditions_that_nothing_meets_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="got"):
        Selection(**wrong)
