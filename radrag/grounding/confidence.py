"""How much of a question the evidence covers: the score that answering or abstaining rests on."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from radrag.corpora import split_sentences
from radrag.errors import ModelError
from radrag.indexes.tokens import tokenize
from radrag.protocols import Encoder
from radrag.types import Hit

ASSET = Path(__file__).parent.parent / "assets" / "confidence.json"
_TOP = 5
_FEATURES = 7


def evidence_features(
    question: str, hits: Sequence[Hit], rarity: Callable[[Sequence[str]], Mapping[str, float]], encoder: Encoder
) -> tuple[float, ...]:
    """Measure how well the best five hits cover a question.

    Args:
        question: The question.
        hits: What was retrieved, best first.
        rarity: Gives each term its weight, high for rare ones (inverse document frequency).
        encoder: Compares meanings; the same one that the confidence model was fitted with.

    Returns:
        Share of the question's weighted terms in the best hit, in all hits together, and in the best sentence with its
        headings; highest cosine of a hit, and of a sentence; whether words and meaning put the same document first; by
        what part of its BM25 score the first hit by words leads the fifth. All zero if nothing was retrieved.
    """
    wanted = sorted(set(tokenize(question)))
    if not hits or not wanted:
        return (0.0,) * _FEATURES
    weight = rarity(wanted)
    total = sum(weight[term] for term in wanted) or 1.0

    def share(terms: Iterable[str]) -> float:
        return sum(weight[term] for term in set(terms) if term in weight) / total

    passages = [hit.passage for hit in hits[:_TOP]]
    texts = [passage.search_text for passage in passages]
    terms = [tokenize(text) for text in texts]
    sentences, carried = [], [0.0]
    for passage in passages:
        above = tokenize(" ".join((passage.title, *passage.path)))
        for start, end in split_sentences(passage.text):
            sentences.append(passage.text[start:end])
            carried.append(share(tokenize(passage.text[start:end]) + above))
    vectors = encoder.encode([question, *texts, *sentences], "passage")
    cosines = vectors[1:] @ vectors[0]
    return (
        max(map(share, terms)),
        share(term for part in terms for term in part),
        max(carried),
        float(cosines[: len(texts)].max()),
        float(cosines[len(texts) :].max(initial=0.0)),
        _agreement(hits),
        _lead(hits),
    )


def _agreement(hits: Sequence[Hit]) -> float:
    """Return 1 if the hit with the best BM25 score and the one with the best cosine are of one document, else 0."""
    lexical = [(hit.lexical, hit.passage.document_id) for hit in hits if hit.lexical is not None]
    dense = [(hit.dense, hit.passage.document_id) for hit in hits if hit.dense is not None]
    if not lexical or not dense:
        return 0.0
    return float(max(lexical)[1] == max(dense)[1])


def _lead(hits: Sequence[Hit]) -> float:
    scores = sorted((hit.lexical for hit in hits if hit.lexical is not None), reverse=True)
    if not scores or scores[0] <= 0:
        return 0.0
    return (scores[0] - scores[min(_TOP, len(scores)) - 1]) / scores[0]


@dataclass(frozen=True)
class Confidence:
    """Logistic model over ``evidence_features``: probability that the evidence answers the question.

    Attributes:
        weights: One weight for each feature.
        bias: Intercept.
        threshold: Below it the pipeline abstains.
        facts: Where it comes from: data, size, command.
    """

    weights: tuple[float, ...]
    bias: float
    threshold: float
    facts: Mapping[str, Any]

    def __call__(self, features: Sequence[float]) -> float:
        """Return the probability, 0 to 1."""
        logit = self.bias + sum(weight * value for weight, value in zip(self.weights, features, strict=True))
        return 1 / (1 + math.exp(-logit)) if logit > -500 else 0.0

    @classmethod
    def load(cls, path: Path = ASSET) -> Self:
        """Load the model that ships."""
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            model = cls(tuple(stored["weights"]), stored["bias"], stored["threshold"], stored["facts"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"no confidence model in {path}: {error}; make it with `radrag train confidence`"
            ) from error
        if len(model.weights) != _FEATURES:
            raise ModelError(
                f"the confidence model in {path} is of another version; make it with `radrag train confidence`"
            )
        return model
