import pytest
from hypothesis import given
from hypothesis import strategies as st

from radrag.grounding.numbers import bound_conflict, matches, quantities, unit_conflict


def same(claim: str, source: str) -> bool:
    return any(matches(quantities(claim)[0], other) for other in quantities(source))


@pytest.mark.parametrize(
    ("claim", "source"),
    [
        ("12 months", "1 year"),
        ("0.5 g", "500 mg"),
        ("12%", "0.12"),
        ("27%", "26.6%"),
        ("a quarter of them", "26.6%"),
        ("four fifths", "approximately 80%"),
        ("nine in ten", "90 %"),
        ("27%", "14/52"),
        ("Forty-seven people", "47 people"),
        ("1075 people", "1,075 people"),
        ("0.95", "0·95"),
        ("3 mm", "3 to 4 mm"),
        ("10 mg/kg", "10 mg per kg"),
        ("about 24", "25"),
    ],
)
def test_same_quantity(claim: str, source: str) -> None:
    assert same(claim, source)


@pytest.mark.parametrize(
    ("claim", "source"),
    [
        ("3 mg", "3 g"),
        ("12%", "13%"),
        ("26.6%", "27%"),
        ("3 days", "3 weeks"),
        ("0.05", "0.5"),
        ("13", "12"),
        ("p < 0.05", "p > 0.05"),
        ("5 cm", "3 to 4 cm"),
        ("half of them", "40%"),
        ("10 mg/kg", "10 mg/ml"),
    ],
)
def test_other_quantity(claim: str, source: str) -> None:
    assert not same(claim, source)


def test_values_by_hand() -> None:
    found = [(one.value, one.unit) for one in quantities("Of 66 children, 68% (5%-44%) took 250 mg for 2 weeks")]
    assert found == [(66, ""), (68, "%"), (5, "%"), (44, "%"), (0.25, "mass"), (1209600, "time")]
    assert quantities("IL-6 and COVID-19 and one thing") == ()


def test_conflicts_are_named() -> None:
    (claim,), sources = quantities("3 mg"), quantities("3 g of it")
    assert unit_conflict(claim, sources)
    assert not unit_conflict(claim, quantities("3 mg or 3 g"))
    assert bound_conflict(quantities("p < 0.05")[0], quantities("p > 0.05"))
    assert not bound_conflict(quantities("p < 0.05")[0], quantities("p = 0.05"))


@given(st.integers(2, 99999), st.sampled_from(["mg", "g", "%", "days", "mm", ""]), st.integers(2, 99999))
def test_equal_only_if_equal(one: int, unit: str, two: int) -> None:
    assert same(f"{one} {unit}.", f"it was {two} {unit}.") == (one == two)


@given(st.text(alphabet="0123456789.,%-/ mgkapo<>±", max_size=40))
def test_any_text_is_read_and_offsets_are_exact(text: str) -> None:
    for one in quantities(text):
        assert text[one.start : one.end] in one.text or one.start == one.end
        assert one.text in text
