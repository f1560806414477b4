"""ROUGE against rouge-score, a brute force, numbers of ROUGE-1.5.5, and by hand."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import combinations, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radrag.metrics.prf import PrecisionRecallF1
from radrag.metrics.rouge import rouge_l, rouge_n, rouge_su, rouge_tokens

WORDS = "the a lung lungs masses acute T2-weighted <5 mm. β2 IL-6, of".split()
texts = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)


def pairs(n: int, seed: int) -> Iterator[tuple[str, str]]:
    """Yield a predicted text, at times empty, and a gold text of at least one word."""
    rng = random.Random(seed)
    for _ in range(n):
        predicted = rng.choices(WORDS, k=rng.randrange(25))
        yield " ".join(predicted), " ".join(["mass", *rng.choices(WORDS, k=rng.randrange(25))])


def as_tuple(made: PrecisionRecallF1) -> tuple[float, float, float]:
    return made.precision, made.recall, made.f1


@pytest.mark.parametrize("stemmed", [False, True])
def test_agrees_with_rouge_score(stemmed: bool) -> None:
    scorer = pytest.importorskip("rouge_score.rouge_scorer")
    porter = pytest.importorskip("nltk.stem.porter").PorterStemmer()
    theirs = scorer.RougeScorer(["rouge1", "rouge2", "rouge3", "rougeL"], use_stemmer=stemmed)
    stem = porter.stem if stemmed else None
    for predicted, gold in pairs(1000, seed=1):
        expected = theirs.score(gold, predicted)
        for n in (1, 2, 3):
            assert as_tuple(rouge_n(predicted, gold, n, stem=stem)) == pytest.approx(expected[f"rouge{n}"], abs=1e-9)
        assert as_tuple(rouge_l(predicted, gold, stem=stem)) == pytest.approx(expected["rougeL"], abs=1e-9)


def test_several_gold_texts_agree_with_rouge_score() -> None:
    scorer = pytest.importorskip("rouge_score.rouge_scorer")
    theirs = scorer.RougeScorer(["rouge2", "rougeL"])
    given = list(pairs(200, seed=2))
    for (predicted, first), (_, second) in pairwise(given):
        expected = theirs.score_multi([first, second], predicted)
        assert as_tuple(rouge_n(predicted, [first, second])) == pytest.approx(expected["rouge2"], abs=1e-9)
        assert as_tuple(rouge_l(predicted, [first, second])) == pytest.approx(expected["rougeL"], abs=1e-9)


def brute_force_su(predicted: str, gold: str, skip: int) -> tuple[float, float]:
    """Match units one by one: all pairs of positions that are near enough, and all words but the last."""

    def units(text: str) -> list[tuple[str, ...]]:
        tokens = rouge_tokens(text)
        near = [(tokens[i], tokens[j]) for i, j in combinations(range(len(tokens)), 2) if j - i - 1 <= skip]
        return [*near, *((word,) for word in tokens[:-1])]

    given, wanted = units(predicted), units(gold)
    left, shared = list(wanted), 0
    for unit in given:
        if unit in left:
            left.remove(unit)
            shared += 1
    return (shared / len(given) if given else 0.0), (shared / len(wanted) if wanted else 0.0)


@pytest.mark.parametrize("skip", [0, 2, 4])
def test_rouge_su_agrees_with_a_brute_force(skip: int) -> None:
    for predicted, gold in pairs(1000 if skip == 4 else 100, seed=3):
        made = rouge_su(predicted, gold, skip)
        assert (made.precision, made.recall) == pytest.approx(brute_force_su(predicted, gold, skip), abs=1e-9)


@pytest.mark.parametrize(
    ("predicted", "gold", "precision", "recall"),
    [
        # As the subroutines createSkipBigram and skipBigramScore of ROUGE-1.5.5 print them for -2 4 -u, unrounded.
        ("police kill the gunman", "police killed the gunman", 5 / 9, 5 / 9),
        ("the gunman kill police", "police killed the gunman", 2 / 9, 2 / 9),
        ("a b c d e f g h", "a b c d e f g x", 27 / 32, 27 / 32),
        ("a x x x x b", "a y y y y b", 2 / 20, 2 / 20),
        ("a x x x x x b", "a y y y y y b", 1 / 26, 1 / 26),
        ("a", "a b", 0.0, 0.0),
    ],
)
def test_rouge_su4_of_the_program(predicted: str, gold: str, precision: float, recall: float) -> None:
    made = rouge_su(predicted, gold)
    assert (made.precision, made.recall) == pytest.approx((precision, recall))


def test_rouge_by_hand() -> None:
    # Bigrams: predicted (no acute)(acute mass); gold (no acute)(acute lung)(lung mass): 1/2 and 1/3, F1 2/5.
    assert as_tuple(rouge_n("No acute mass.", "no acute lung mass")) == pytest.approx((1 / 2, 1 / 3, 2 / 5))
    # Longest common subsequence: no acute mass, 3 of 3 and 3 of 4 words, F1 6/7.
    assert as_tuple(rouge_l("No acute mass.", "no acute lung mass")) == pytest.approx((1.0, 3 / 4, 6 / 7))


def test_rouge_l_is_a_subsequence_and_not_a_bag() -> None:
    assert rouge_l("c b a", "a b c").recall == pytest.approx(1 / 3)
    assert rouge_n("c b a", "a b c", 1).recall == 1.0


@pytest.mark.parametrize("metric", [rouge_n, rouge_l, rouge_su])
def test_a_gold_text_without_words_cannot_be_scored(metric: Callable[..., Any]) -> None:
    for gold in ("", "β", [], ["", "–"]):
        with pytest.raises(ValueError, match="at least one word"):
            metric("mass", gold)
    assert as_tuple(metric("", "lung mass")) == (0.0, 0.0, 0.0)


def test_unusable_arguments() -> None:
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        rouge_n("a", "a", 0)
    with pytest.raises(ValueError, match="skip must be at least 0, got -1"):
        rouge_su("a", "a", -1)


@given(texts, texts.filter(rouge_tokens))
def test_swapping_swaps_precision_and_recall(left: str, right: str) -> None:
    if not rouge_tokens(left):
        return
    for metric in (rouge_n, rouge_l, rouge_su):
        forth, back = metric(left, right), metric(right, left)
        assert (forth.precision, forth.recall) == (back.recall, back.precision)
        assert 0 <= forth.f1 <= 1
