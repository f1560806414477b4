from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radrag.indexes.abbreviations import find_abbreviations

# Text, then the pairs that a reader finds in it.
DEFINED = [
    ("Acute pulmonary embolism (PE) is common.", [("PE", "pulmonary embolism")]),
    ("Use of heat shock transcription factor (HSF) here.", [("HSF", "heat shock transcription factor")]),
    ("PE (pulmonary embolism) is common.", [("PE", "pulmonary embolism")]),
    ("tumour necrosis factor-alpha (TNF-α)", []),  # the letter α stands nowhere in the long form
    ("tumour necrosis factor-α (TNF-α)", [("TNF-α", "tumour necrosis factor-α")]),
    ("polychlorinated biphenyls ( PCBs ) in milk", [("PCBs", "polychlorinated biphenyls")]),
    ("magnetic resonance imaging [MRI] of the head", [("MRI", "magnetic resonance imaging")]),
    ("non-small cell lung cancer (NSCLC, stage IV)", [("NSCLC", "non-small cell lung cancer")]),
    (
        "computed tomography (CT) and positron emission tomography (PET)",
        [("CT", "computed tomography"), ("PET", "positron emission tomography")],
    ),
    ("We saw it. Computed tomography (CT) helps.", [("CT", "Computed tomography")]),
    ("Cats sleep. The tomography (CT) helps.", []),  # no C before the T in the sentence
    ("PE (a pulmonary embolism) is common.", []),  # a gloss that does not begin with the long form
    ("the mean (SD) was 4", []),
    ("in 12 patients (12 women)", []),
    ("see the table (Table 2)", []),
    ("reported (as before) twice", []),
    ("a dose (5 mg) was given", []),
    ("(CT)", []),
    ("", []),
]


@pytest.mark.parametrize(("text", "pairs"), DEFINED)
def test_pairs(text: str, pairs: list[tuple[str, str]]) -> None:
    assert [(found.short, found.long) for found in find_abbreviations(text)] == pairs


def test_offsets() -> None:
    assert find_abbreviations("In pulmonary embolism (PE) we") == [("PE", "pulmonary embolism", 23, 25, 3, 21)]
    assert find_abbreviations("In PE (pulmonary embolism) we") == [("PE", "pulmonary embolism", 3, 5, 7, 25)]


def test_the_long_form_is_the_shortest_that_fits() -> None:
    (found,) = find_abbreviations("patients with plain primary progressive aphasia (PPA)")
    assert found.long == "primary progressive aphasia"


PIECES = st.sampled_from(
    ["(", ")", "[", "]", " ", "PE", "MRI", "a", "magnetic", "resonance", "é", "İ", ", ", ". ", "-α"]
)


@given(st.lists(PIECES, max_size=30).map("".join))
def test_what_is_found_stands_in_the_text(text: str) -> None:
    for found in find_abbreviations(text):
        assert text[found.short_start : found.short_end] == found.short
        assert text[found.long_start : found.long_end] == found.long
        assert found.short_end <= found.long_start or found.long_end <= found.short_start
        letters = iter(found.long.lower())
        assert all(char in letters for char in found.short.lower() if char.isalnum())
