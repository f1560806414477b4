import pytest
from hypothesis import given
from hypothesis import strategies as st

from radrag.grounding import check_quotes

TEXT = "Background was mixed. Low-dose CT detected 96% of\nureteral stones in 121 adults. Dose was lower."


@pytest.mark.parametrize("marks", ["“{}”", '"{}"', "«{}»", "‘{}’"])
def test_exact_across_white_space(marks: str) -> None:
    (found,) = check_quotes("They say " + marks.format("detected 96% of ureteral stones."), [TEXT])
    assert found.exact
    assert TEXT[found.start : found.end] == "detected 96% of\nureteral stones"


@pytest.mark.parametrize(
    ("quoted", "true"),
    [
        ("detected 69% of ureteral stones in 121 adults", "detected 96% of\nureteral stones in 121 adults"),
        ("Low-dose CT detected all of ureteral stones", "Low-dose CT detected 96% of\nureteral stones"),
        ("CT missed 96% of ureteral stones", "CT detected 96% of\nureteral stones"),
    ],
)
def test_altered_words_are_found_with_the_true_ones(quoted: str, true: str) -> None:
    (found,) = check_quotes(f'It "{quoted}".', ["Nothing here.", TEXT])
    assert not found.exact
    assert found.passage == 1
    assert " ".join(TEXT[found.start : found.end].split()).strip("%") == " ".join(true.split())


def test_invented_words_have_no_place() -> None:
    (found,) = check_quotes('He said "penguins swim in cold water".', [TEXT])
    assert (found.exact, found.passage, found.start, found.end) == (False, -1, 0, 0)
    assert not check_quotes('He said "penguins swim in cold water".', [])[0].exact


def test_a_term_in_quotation_marks_is_no_quote() -> None:
    assert check_quotes('So-called "watchful waiting" is safe.', [TEXT]) == ()


def test_part_of_a_number_is_not_exact() -> None:
    assert not check_quotes('"the rate was 12"', ["In adults the rate was 12.5 per year."])[0].exact


@given(st.integers(0, 10), st.integers(4, 15))
def test_every_stretch_of_the_text_is_exact(first: int, count: int) -> None:
    words = TEXT.split()[first : first + count]
    for check in check_quotes(f'"{" ".join(words)}"', [TEXT]):
        assert check.exact
        assert TEXT[check.start : check.end].split()[0].startswith(words[0].rstrip(".,;:"))
