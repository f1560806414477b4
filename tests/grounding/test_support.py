import pytest

from radrag.grounding import THRESHOLD, find_support

TEXT = (
    "Background was mixed. Low-dose CT detected 96% of\nureteral stones in 121 adults. "
    "Mortality did not differ between groups. Radiation dose was lower with tin filtration. "
    "Steroids were given before the scan. Reactions fell afterwards."
)


def quote(claim: str, text: str = TEXT) -> tuple[str, float]:
    found = find_support(claim, text)
    assert found is not None
    return text[found.start : found.end], found.score


def test_word_for_word_scores_one_across_white_space() -> None:
    claim = "Low-dose CT detected 96% of ureteral stones in 121 adults."
    assert quote(claim) == ("Low-dose CT detected 96% of\nureteral stones in 121 adults.", 1.0)
    assert quote(claim.replace(" ", " \n ")) == quote(claim)


def test_share_of_terms_is_the_score() -> None:
    found = find_support("Tin filtration gave a lower radiation bill", TEXT)
    assert found is not None
    assert TEXT[found.start : found.end] == "Radiation dose was lower with tin filtration."
    assert THRESHOLD <= found.score < 1
    assert found.objections == ()


@pytest.mark.parametrize(
    ("claim", "objection"),
    [
        ("Low-dose CT detected 95% of ureteral stones in 121 adults.", "number 95 is not in the source"),
        ("Mortality did differ between groups.", "only one of claim and source is negated"),
        ("Low-dose CT never detected ureteral stones in adults.", "only one of claim and source is negated"),
        ("Radiation dose was higher with tin filtration.", "claim and source go in opposite directions"),
    ],
)
def test_objections_keep_the_score_below_the_threshold(claim: str, objection: str) -> None:
    found = find_support(claim, TEXT)
    assert found is not None
    assert found.score < THRESHOLD
    assert objection in found.objections


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ("CT is useful", "There is no evidence that CT is useful in sinusitis."),
        ("CT is useful", "It cannot be said that CT is useful; it is used."),
        ("the rate was 12", "In adults the rate was 12.5 per year."),
        ("5 per year", "In adults the rate was 12.5 per year."),
    ],
)
def test_a_fragment_that_says_something_else_is_not_word_for_word(claim: str, text: str) -> None:
    found = find_support(claim, text)
    assert found is not None
    assert found.score < THRESHOLD


def test_a_later_plain_occurrence_is_found() -> None:
    text = "No one says that CT is useful. Later trials found that CT is useful."
    found = find_support("CT is useful", text)
    assert found is not None
    assert (found.score, found.start) == (1.0, text.rindex("CT is useful"))


def test_fragment_at_the_end_of_a_word_does_not_count() -> None:
    assert quote("low dose", "A shallow dose curve; slow doses.")[1] < 1


def test_two_sentences_in_a_row_carry_a_claim() -> None:
    text, score = quote("Steroids given before the scan; reactions fell")
    assert text == "Steroids were given before the scan. Reactions fell afterwards."
    assert score == 1.0


@pytest.mark.parametrize("claim", ["Penguins swim.", "", "it is the", "..."])
def test_nothing_shared_is_none(claim: str) -> None:
    assert find_support(claim, "Low-dose CT detected stones.") is None
    assert find_support("stones", "") is None


def test_a_second_sentence_lends_no_direction() -> None:
    text = "Radiation dose was lower with tin filtration. Cost was higher."
    found = find_support("Radiation dose was higher with tin filtration.", text)
    assert found is not None
    assert found.score < THRESHOLD
