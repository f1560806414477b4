"""Text metrics against values worked out by hand, and properties."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radrag.metrics import exact_match, normalize_answer, token_f1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Ground-Glass opacity, (bilateral).", "groundglass opacity bilateral"),
        ("an MRI of a knee\n", "mri of knee"),
        ("theory and anatomy", "theory and anatomy"),
        ("Ménière’s disease – “acute”", "ménières disease acute"),
        ("Sjo\u0308gren", "sj\u00f6gren"),
        ("лёгкое, 肺", "лёгкое 肺"),
        ("β₂-microglobulin", "β₂microglobulin"),
        ("SpO2 > 90% + 2^3", "spo2 90 23"),
        ("a. the, an!", ""),
        ("", ""),
    ],
)
def test_normalize_answer(text: str, expected: str) -> None:
    assert normalize_answer(text) == expected


def test_token_f1_by_hand() -> None:
    # predicted {acute, pulmonary, embolism}, gold {pulmonary, embolism}: 2 * 2 / (3 + 2)
    assert token_f1("Acute pulmonary embolism", "the pulmonary embolism.") == 0.8
    # Repetition counts: shared = min(2, 1) of "no" → 2 * 1 / (2 + 1)
    assert token_f1("no no", "no") == pytest.approx(2 / 3)
    assert token_f1("pneumonia", "embolism") == 0.0


def test_the_closest_gold_answer_counts() -> None:
    assert token_f1("pulmonary embolism", ["PE", "pulmonary embolism", "embolism"]) == 1.0
    assert exact_match("pulmonary embolism", ["PE", "Pulmonary embolism."]) == 1.0


def test_exact_match() -> None:
    assert exact_match("The CT!", "ct") == 1.0
    assert exact_match("CT of the chest", "CT chest") == 0.0


@pytest.mark.parametrize(("predicted", "gold", "expected"), [("", "the", 1.0), ("", "ct", 0.0), ("ct", "", 0.0)])
def test_empty_answers_match_empty_answers_only(predicted: str, gold: str, expected: float) -> None:
    assert token_f1(predicted, gold) == expected
    assert exact_match(predicted, gold) == expected


def test_no_gold_answer() -> None:
    with pytest.raises(ValueError, match="at least one answer, got none"):
        token_f1("ct", [])
    with pytest.raises(ValueError, match="at least one answer, got none"):
        exact_match("ct", [])


@given(st.text(), st.text())
def test_symmetric_shares_that_agree_on_equality(left: str, right: str) -> None:
    score = token_f1(left, right)
    assert 0 <= score <= 1
    assert score == token_f1(right, left)
    assert exact_match(left, right) <= score
    assert token_f1(left, left) == exact_match(left, left) == 1.0


@given(st.lists(st.sampled_from(["ct", "chest", "lung", "mass"]), min_size=1), st.randoms())
def test_token_f1_ignores_the_order_of_words(words: list[str], random: object) -> None:
    shuffled = random.sample(words, len(words))  # type: ignore[attr-defined]
    assert token_f1(" ".join(words), " ".join(shuffled)) == 1.0


@given(st.text(st.characters(categories=["L", "M", "N"]), min_size=1))
def test_no_letter_mark_or_digit_is_lost(word: str) -> None:
    lowered = unicodedata.normalize("NFC", unicodedata.normalize("NFC", word).lower())
    assert normalize_answer(f" {word}.") == ("" if lowered in {"a", "an", "the"} else lowered)


@given(st.text())
def test_normalizing_twice_changes_nothing(text: str) -> None:
    assert normalize_answer(normalize_answer(text)) == normalize_answer(text)
