"""Which side a document takes, against values worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radrag.indexes.tokens import tokenize
from radrag.reading.sentence_model import Rarity
from radrag.reading.sentences import Sentence
from radrag.reading.stance import TAKES_A_SIDE, stance

QUESTION = "Does zinc shorten pneumonia in children?"
EVEN = Rarity(100, {})  # all terms alike: each of the question's four has a quarter


def sentence(text: str, cosine: float = 0.0, concludes: bool = False) -> Sentence:
    terms = frozenset(tokenize(text))
    return Sentence(1, text, terms, frozenset(), 0.0, concludes, terms, cosine)


def sign(text: str) -> int:
    said = stance(QUESTION, [sentence(text, 0.5)], EVEN)
    return (said > TAKES_A_SIDE) - (said < -TAKES_A_SIDE)


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("The stay was significantly lower with zinc.", 1),
        ("Days in hospital fell (p < 0.01).", 1),
        ("Death was rarer by then (odds ratio 0.60; 95% CI 0.40 to 0.90).", 1),
        ("Zinc did not shorten the stay.", -1),
        ("The groups were alike in all of it.", -1),
        ("Days in hospital were 5.1 and 5.3 (p = 0.31).", -1),
        ("Death had happened to many (hazard ratio 1.02; 95% confidence interval, 0.55–1.90).", -1),
        ("Zinc was poorly tolerated by most.", -1),
        ("The primary outcome was therefore negative.", -1),
        ("Children were given zinc for ten days.", 0),
    ],
)
def test_a_sentence_takes_a_side(text: str, side: int) -> None:
    assert sign(text) == side


def test_the_value_by_hand() -> None:
    # One clause that reports an effect, without a word of the question: .15 + .6 x .5 = .45; .45 / (.45 + .25).
    assert stance(QUESTION, [sentence("Stay was lower then.", 0.5)], EVEN) == pytest.approx(0.45 / 0.70)
    # A p value below .05 beside the word makes it 1.5; a conclusion counts 2.2 times.
    shown = sentence("Stay was lower then (p < 0.01).", 0.5, concludes=True)
    assert stance(QUESTION, [shown], EVEN) == pytest.approx(1.5 * 2.2 * 0.45 / (2.2 * 0.45 + 0.25))
    # Zinc is one of the four words of the question; the clause that denies outweighs the one that does not name it.
    both = sentence("Stay was lower then, but zinc had no effect.", 0.5)
    assert stance(QUESTION, [both], EVEN) == pytest.approx((0.45 - 0.70) / (0.45 + 0.70 + 0.25))
    assert stance(QUESTION, [], EVEN) == 0


def test_an_aim_and_a_limit_hardly_count() -> None:
    for text in ("The aim was lower pain by then.", "The sample was small and the effect not significant."):
        assert 0 < abs(stance(QUESTION, [sentence(text, 0.4)], EVEN)) < TAKES_A_SIDE


WORDS = st.sampled_from(
    ["zinc", "no", "effect", "lower", "p < 0.01", "p = 0.5", "similar", "children", "but", ",", "CI 1-2"]
)


@given(st.lists(st.lists(WORDS, max_size=12).map(" ".join), max_size=5), st.floats(-1, 1))
def test_it_is_bounded_and_the_order_of_sentences_does_not_matter(texts: list[str], cosine: float) -> None:
    read = [sentence(text, cosine) for text in texts]
    said = stance(QUESTION, read, EVEN)
    assert -1.5 <= said <= 1.5
    assert stance(QUESTION, read[::-1], EVEN) == pytest.approx(said)
