"""How near two texts are by the vectors of an encoder: cosine of the whole, and greedy matching of words.

A vector knows topics better than truth: "pneumothorax" and "no pneumothorax" are near. Use it beside measures that
count words, never as the measure of correctness.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from radrag.metrics._checks import numbers, same_length
from radrag.metrics.prf import PrecisionRecallF1, harmonic

TokenVectors = Callable[[str], ArrayLike]


def _unit(name: str, vectors: ArrayLike, ndim: int = 2) -> NDArray[np.float64]:
    array = numbers(name, vectors, ndim)
    lengths = np.linalg.norm(array, axis=-1, keepdims=True)
    if (lengths == 0).any():
        raise ValueError(
            f"{name} must not hold a vector of zeros, got {int((lengths == 0).sum())}; leave out what the encoder does "
            "not know, and count it"
        )
    unit: NDArray[np.float64] = array / lengths
    return unit


def cosine_similarity(left: ArrayLike, right: ArrayLike) -> NDArray[np.float64]:
    """Return the cosine of each pair of rows, such as predicted and true labels.

    Args:
        left: Vectors [n, d].
        right: Vectors of the same items [n, d].

    Returns:
        float64 [n], between -1 and 1.

    Raises:
        ValueError: If there are none, the shapes differ, or a vector is zero or not finite.
    """
    first, second = _unit("left", left), _unit("right", right)
    if first.shape != second.shape:
        raise ValueError(f"left and right must have one shape [n, d], got {first.shape} and {second.shape}")
    cosines: NDArray[np.float64] = np.clip((first * second).sum(axis=1), -1.0, 1.0)
    return cosines


def _weights(name: str, weights: ArrayLike | None, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    if weights is None:
        return np.full(len(rows), 1 / len(rows))
    array = numbers(name, weights)
    same_length(**{name: array, "vectors": rows})
    if (array < 0).any() or array.sum() == 0:
        raise ValueError(f"{name} must be at least 0 and not all 0, got {array.tolist()}")
    shares: NDArray[np.float64] = array / array.sum()
    return shares


def greedy_match(
    predicted: ArrayLike,
    gold: ArrayLike,
    predicted_weights: ArrayLike | None = None,
    gold_weights: ArrayLike | None = None,
) -> PrecisionRecallF1:
    """Return precision, recall and F1 of tokens, each matched with the most similar one of the other text.

    Source: Zhang et al., "BERTScore", ICLR 2020, section 3: recall is the mean over gold tokens of the highest cosine
    with a predicted token, precision the same the other way round. Not rescaled with a baseline. The figures depend on
    the encoder: compare those of one encoder only.

    Args:
        predicted: Vectors of the predicted tokens [n, d].
        gold: Vectors of the gold tokens [m, d].
        predicted_weights: Weight of each predicted token [n], such as its inverse document frequency; None for equal.
        gold_weights: Weight of each gold token [m].

    Returns:
        Shares between -1 and 1; F1 is 0 if precision and recall together are not above 0.

    Raises:
        ValueError: If a text has no token, d differs, or a vector is zero or not finite.
    """
    given, wanted = _unit("predicted", predicted), _unit("gold", gold)
    if given.shape[1] != wanted.shape[1]:
        raise ValueError(f"vectors must be of one length, got {given.shape[1]} and {wanted.shape[1]}; use one encoder")
    cosines = np.clip(given @ wanted.T, -1.0, 1.0)
    precision = _weights("predicted_weights", predicted_weights, given) @ cosines.max(axis=1)
    recall = _weights("gold_weights", gold_weights, wanted) @ cosines.max(axis=0)
    return harmonic(float(precision), float(recall))


def semantic_match(predicted: str, gold: str | Sequence[str], token_vectors: TokenVectors) -> PrecisionRecallF1:
    """Return ``greedy_match`` of two texts, of several gold texts that of the highest F1.

    Args:
        predicted: The text to score.
        gold: The right text, or several.
        token_vectors: Gives the vectors of a text's tokens [tokens, d], such as
            ``lambda text: encoder.encode(text.split(), "query")``; no row for a token it does not know.

    Returns:
        Shares between -1 and 1; all 0 if the predicted text has no token.

    Raises:
        ValueError: If no gold text has a token.
    """
    texts = [gold] if isinstance(gold, str) else list(gold)
    wanted = [rows for rows in (np.asarray(token_vectors(text)) for text in texts) if rows.size]
    if not wanted:
        raise ValueError(f"gold must have at least one token, got {gold!r}; the item cannot be scored, count it apart")
    given = np.asarray(token_vectors(predicted))
    if not given.size:
        return PrecisionRecallF1(0.0, 0.0, 0.0)
    return max((greedy_match(given, rows) for rows in wanted), key=lambda made: made.f1)
