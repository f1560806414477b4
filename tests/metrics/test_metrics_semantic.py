"""Greedy matching against the equations of the paper term by term, and by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radrag.metrics.prf import PrecisionRecallF1
from radrag.metrics.semantic import cosine_similarity, greedy_match, semantic_match

VECTORS = {"lung": [1.0, 0.0], "mass": [0.0, 2.0], "nodule": [0.6, 0.8]}


def lookup(text: str) -> Any:
    return [VECTORS[word] for word in text.split() if word in VECTORS]


def test_cosine_by_hand() -> None:
    assert cosine_similarity([[1, 0], [3, 4], [1, 1]], [[0, 2], [6, 8], [-1, -1]]) == pytest.approx([0, 1, -1])


def test_greedy_match_by_hand() -> None:
    # nodule is 0.6 from lung and 0.8 from mass. Precision: nodule's best is 0.8; recall: (0.6 + 0.8) / 2.
    made = semantic_match("nodule", "lung mass", lookup)
    assert made == PrecisionRecallF1(pytest.approx(0.8), pytest.approx(0.7), pytest.approx(2 * 0.56 / 1.5))
    assert semantic_match("nodule", ["lung mass", "a nodule"], lookup).f1 == pytest.approx(1.0)
    assert semantic_match("unknown", "lung mass", lookup) == PrecisionRecallF1(0.0, 0.0, 0.0)


def term_by_term(x_hat: Any, x: Any, w_hat: Any, w: Any) -> tuple[float, float, float]:
    """R = sum idf(x_i) max_j x_i . x_hat_j / sum idf(x_i); P the same the other way (Zhang et al., section 3)."""

    def cosine(u: Any, v: Any) -> float:
        return sum(a * b for a, b in zip(u, v, strict=True)) / math.hypot(*u) / math.hypot(*v)

    recall = sum(weight * max(cosine(u, v) for v in x_hat) for u, weight in zip(x, w, strict=True)) / sum(w)
    precision = sum(weight * max(cosine(u, v) for u in x) for v, weight in zip(x_hat, w_hat, strict=True)) / sum(w_hat)
    return precision, recall, 2 * precision * recall / (precision + recall)


def test_agrees_with_the_paper() -> None:
    rng = np.random.default_rng(5)
    for _ in range(1000):
        n, m = rng.integers(1, 6, size=2)
        # Some rows are repeated, so that best matches tie.
        predicted, gold = rng.normal(0.3, 1, (n, 4)), rng.normal(0.3, 1, (m, 4))
        gold[0] = predicted[0]
        w_hat, w = rng.random(n) + 0.1, rng.random(m) + 0.1
        plain, weighted = greedy_match(predicted, gold), greedy_match(predicted, gold, w_hat, w)
        for made, weights in ((plain, (np.ones(n), np.ones(m))), (weighted, (w_hat, w))):
            expected = term_by_term(predicted.tolist(), gold.tolist(), *(column.tolist() for column in weights))
            precision, recall, f1 = expected
            assert (made.precision, made.recall) == pytest.approx((precision, recall), abs=1e-9)
            if precision + recall > 0:
                assert made.f1 == pytest.approx(f1, abs=1e-9)


@given(st.lists(st.lists(st.floats(0.1, 5), min_size=3, max_size=3), min_size=1, max_size=6))
def test_the_same_tokens_match_wholly(rows: list[list[float]]) -> None:
    made = greedy_match(rows, rows[::-1])
    assert (made.precision, made.recall, made.f1) == pytest.approx((1, 1, 1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cosine_similarity([[1, 0]], [[1, 0], [0, 1]]), r"got \(1, 2\) and \(2, 2\)"),
        (lambda: cosine_similarity([[0, 0]], [[1, 0]]), "vector of zeros, got 1"),
        (lambda: cosine_similarity(np.zeros((0, 2)), np.zeros((0, 2))), "non-empty"),
        (lambda: greedy_match([[1, 0]], [[1, 0, 0]]), "one length, got 2 and 3"),
        (lambda: greedy_match([[1, 0]], [[1, 0]], [1, 2]), "predicted_weights 2, vectors 1"),
        (lambda: greedy_match([[1, 0]], [[1, 0]], [-1.0]), "at least 0"),
        (lambda: greedy_match([[1, 0]], [[1, 0]], [0.0]), "not all 0"),
        (lambda: semantic_match("lung", "unknown", lookup), "at least one token"),
        (lambda: semantic_match("lung", [], lookup), "at least one token"),
    ],
)
def test_unusable_arguments(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
