"""BLEU against sacrebleu on random texts, and by hand."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radrag.metrics.bleu_score import bleu, sentence_bleu, tokenize_13a

WORDS = "the a lung mass, acute T2-weighted <5 mm. 3.5 β2 IL-6 &lt; it's 5-10 of (left) 1,000 – a/b [x] n=3".split()
SMOOTHINGS = ("exp", "floor", "add-k", "none")


def text(rng: random.Random, least: int = 0) -> str:
    return rng.choice([" ", " ", " ", "\n"]).join(rng.choices(WORDS, k=rng.randrange(least, 12)))


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_sentences_agree_with_sacrebleu(smoothing: Any) -> None:
    reference = pytest.importorskip("sacrebleu.metrics").BLEU(smooth_method=smoothing, effective_order=True)
    rng = random.Random(4)
    for _ in range(1000):
        predicted, gold = text(rng), [text(rng, least=1) for _ in range(rng.randrange(1, 4))]
        expected = reference.sentence_score(predicted, gold).score / 100
        assert sentence_bleu(predicted, gold, smoothing=smoothing) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("order", [2, 4])
def test_sets_agree_with_sacrebleu(smoothing: Any, order: int) -> None:
    reference = pytest.importorskip("sacrebleu.metrics").BLEU(smooth_method=smoothing, max_ngram_order=order)
    rng = random.Random(5)
    for _ in range(150):
        n = rng.randrange(1, 6)
        predicted = [text(rng) for _ in range(n)]
        gold = [[text(rng, least=1), text(rng, least=1)] for _ in range(n)]
        expected = reference.corpus_score(predicted, [list(column) for column in zip(*gold, strict=True)]).score / 100
        assert bleu(predicted, gold, smoothing=smoothing, order=order) == pytest.approx(expected, abs=1e-9)


@given(st.text(st.characters(codec="utf-8")))
def test_tokens_are_those_of_13a(line: str) -> None:
    tokenizer = pytest.importorskip("sacrebleu.tokenizers.tokenizer_13a").Tokenizer13a()
    assert tokenize_13a(line) == tokenizer(line.rstrip()).split()


def test_bleu_by_hand() -> None:
    # Tokens 6 and 5. Hits: unigrams 5/6; bigrams 4/5; trigrams 3/4; 4-grams 2/3; no penalty, as it is longer.
    value = bleu(["no acute lung mass seen today"], ["no acute lung mass seen"])
    assert value == pytest.approx((5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25)
    # All n-grams hit; 4 tokens against 5: penalty exp(1 - 5/4).
    assert bleu(["no acute lung mass"], ["no acute lung mass seen"]) == pytest.approx(math.exp(-0.25))
    # Two unigrams of two, no bigram of one: exp smoothing makes it 1/2; sentence BLEU has two orders here.
    assert sentence_bleu("mass lung", "lung mass") == pytest.approx(math.sqrt(1 * 1 / 2))
    assert bleu(["mass lung"], ["lung mass"]) == 0.0


def test_a_set_is_not_the_mean_of_its_texts() -> None:
    predicted, gold = ["no acute lung mass", "effusion on the left side"], ["no acute lung mass", "clear lungs on both"]
    mean = sum(map(sentence_bleu, predicted, gold)) / 2
    assert bleu(predicted, gold) != pytest.approx(mean, abs=0.01)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bleu([], []), "at least one text"),
        (lambda: bleu(["a"], ["a", "b"]), "predicted 1, gold 2"),
        (lambda: bleu("ab", ["a", "b"]), "got the string 'ab'"),
        (lambda: bleu(["a"], [""]), "at least one token"),
        (lambda: sentence_bleu("a", []), "at least one token"),
        (lambda: sentence_bleu("a", "a", smoothing="chen"), "got 'chen'"),  # type: ignore[arg-type]
        (lambda: sentence_bleu("a", "a", order=0), "order must be at least 1, got 0"),
    ],
)
def test_unusable_arguments(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_an_empty_text_scores_0() -> None:
    assert sentence_bleu("", "lung mass") == 0.0
    assert bleu(["", ""], ["a", "b"]) == 0.0
