"""Whether the evidence answers a question: the score that answering or abstaining rests on."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from radrag.corpora import split_sentences
from radrag.errors import ModelError
from radrag.grounding.asked import asked_clause, asked_for, says_absent
from radrag.grounding.coverage import (
    RARE_RANK,
    WordMatcher,
    content_words,
    rank,
    specificity,
    telling_words,
    word_terms,
)
from radrag.protocols import Encoder
from radrag.types import Hit

ASSET = Path(__file__).parent.parent / "assets" / "confidence.json"
_TOP = 5
_HEADING = 0.7  # a word in the headings counts this much for each sentence below
_MANY = 4
_PLAIN = 3000
FEATURES = (
    "passage cosine", "sentence cosine", "agreement", "no rare word of the clause missing",
    "worst word of the clause", "words of the clause", "nothing said to be absent", "right kind in the best sentence",
    "right kind in the document",
)  # fmt: skip
_matchers: WeakKeyDictionary[Any, WordMatcher] = WeakKeyDictionary()


def evidence_features(
    question: str, hits: Sequence[Hit], rarity: Callable[[Sequence[str]], Mapping[str, float]], encoder: Encoder
) -> tuple[float, ...]:
    """Measure how well the best five hits answer a question; more evidence never lowers a value.

    A near miss has the topic and lacks what is asked of it. So the clause that asks is looked at apart: whether the
    document holds its words, or words like them, outside sentences that say what is not reported; and whether the
    sentences that come closest hold a value of the kind asked for.

    Args:
        question: The question.
        hits: What was retrieved, best first.
        rarity: Gives each term its weight, high for rare ones (inverse document frequency).
        encoder: Compares meanings; the same one that the confidence model was fitted with.

    Returns:
        A value for each of ``FEATURES``, between 0 and 1 but for cosines; all zero if nothing was retrieved.
    """
    if not hits or not content_words(question):
        return (0.0,) * len(FEATURES)
    found = _Documents(question, hits[:_TOP], rarity, encoder)
    return (found.passage_cosine, found.sentence_cosine, _agreement(hits), *found.clause())


class _Documents:
    """The sentences of the best hits by document, and how far each holds the question's words."""

    def __init__(
        self,
        question: str,
        hits: Sequence[Hit],
        rarity: Callable[[Sequence[str]], Mapping[str, float]],
        encoder: Encoder,
    ) -> None:
        clause = asked_clause(question)
        self._asked = asked_for(question)
        self._words = telling_words(question)
        in_clause = set(content_words(clause))
        self._inside = np.asarray([float(word in in_clause) for word in self._words])
        self._ranks = np.asarray([rank(word) for word in self._words])
        self._telling = np.asarray([specificity(word) for word in self._words])
        terms = [word_terms(word) for word in self._words]
        weight = rarity(sorted({term for own in terms for term in own}))
        self._weight = np.asarray([max(weight[term] for term in own) for own in terms])
        self._texts, passages, self._owner, self._heading = _sentences(hits)
        self._held = _matcher(encoder).held(self._words, self._texts)
        vectors = encoder.encode([question, clause, *self._texts], "passage")
        self._cosines = vectors[2:] @ vectors[:2].T
        self._absent = np.asarray(
            [not top and says_absent(text) for text, top in zip(self._texts, self._heading, strict=True)]
        )
        self.sentence_cosine = float(self._cosines[:, 0].max())
        self.passage_cosine = _passage_cosine(vectors[0], vectors[2:], self._texts, passages)

    def clause(self) -> tuple[float, ...]:
        """Return the features of the clause that asks."""
        best = self._best_document()
        own = self._owner == best
        anywhere = self._held[own].max(axis=0)
        stated = self._held[own & ~self._absent].max(axis=0, initial=0.0)
        missing = (1 - stated) * self._inside * self._telling
        rare = (stated < 1) & (self._inside > 0) & (self._ranks > RARE_RANK)
        denied = (anywhere - stated) * self._weight * (self._ranks > _PLAIN)
        strongest = max(float(self._weight.max(initial=0.0)), 1e-9)
        inside = max(1.0, float(self._inside.sum()))
        return (
            1 - min(int(rare.sum()), _MANY) / _MANY,
            1 - float(missing.max(initial=0.0)),
            1 - float(missing.sum()) / inside,
            1 - float(denied.max(initial=0.0)) / strongest,
            *self._kinds(own),
        )

    def _best_document(self) -> int:
        total = float(self._weight.sum()) or 1.0
        scores: dict[int, float] = {}
        for one in dict.fromkeys(self._owner.tolist()):
            own = self._owner == one
            shared = float((self._held[own].max(axis=0) * self._weight).sum()) / total
            scores[one] = shared + float(self._cosines[own].max())
        return int(max(scores, key=lambda one: scores[one]))

    def _kinds(self, own: NDArray[np.bool_]) -> tuple[float, float]:
        """Return how near the best sentence with the kind asked for comes to the best one, and if any has it."""
        body = own & ~self._heading & ~self._absent
        if not body.any():
            return (0.0, 0.0)
        weight = self._weight * self._inside
        above = _HEADING * self._held[own & self._heading].max(axis=0, initial=0.0)
        shares = (np.maximum(self._held[body], above) * weight).sum(axis=1) / max(float(weight.sum()), 1e-9)
        scores = shares + self._cosines[body, 1]
        kinds = np.asarray([self._asked.held(text) for text, here in zip(self._texts, body, strict=True) if here])
        fitting = float(scores[kinds >= 1].max(initial=0.0))
        return (1 - (float(scores.max()) - fitting) / 2, float(kinds.max()))


def _sentences(hits: Sequence[Hit]) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return sentences under the hits; of each the place of its hit, the number of its document, if it is a heading."""
    numbers: dict[str, int] = {}
    texts: list[str] = []
    rows: list[tuple[int, int, bool]] = []
    for place, hit in enumerate(hits):
        passage = hit.passage
        number = numbers.setdefault(passage.document_id, len(numbers))
        lines = [passage.text[start:end] for start, end in split_sentences(passage.text)]
        body = [line for line in lines if line.strip() and not line.startswith("#")]
        texts += [" . ".join((passage.title, *passage.path)), *body]
        rows += [(place, number, True), *((place, number, False) for _ in body)]
    table = np.asarray(rows)
    return texts, table[:, 0], table[:, 1], table[:, 2].astype(bool)


def _passage_cosine(
    question: NDArray[np.float32], sentences: NDArray[np.float32], texts: Sequence[str], passages: NDArray[np.int64]
) -> float:
    """Return the highest cosine of a passage, whose vector is the mean of its sentences' weighted by their length."""
    lengths = np.asarray([len(text) for text in texts], dtype=np.float32)
    found = [lengths[passages == one] @ sentences[passages == one] for one in np.unique(passages)]
    return max(float(one @ question / (np.linalg.norm(one) or 1.0)) for one in found)


def _matcher(encoder: Encoder) -> WordMatcher:
    if encoder not in _matchers:
        _matchers[encoder] = WordMatcher(encoder)
    return _matchers[encoder]


def _agreement(hits: Sequence[Hit]) -> float:
    """Return 1 if the hit with the best BM25 score and the one with the best cosine are of one document, else 0."""
    lexical = [(hit.lexical, hit.passage.document_id) for hit in hits if hit.lexical is not None]
    dense = [(hit.dense, hit.passage.document_id) for hit in hits if hit.dense is not None]
    if not lexical or not dense:
        return 0.0
    return float(max(lexical)[1] == max(dense)[1])


@dataclass(frozen=True, slots=True)
class RiskPoint:
    """What a threshold gives on questions that the model was not fitted on.

    Attributes:
        threshold: Score from which on a question is answered.
        coverage: Share of the questions that is answered.
        risk: Share of the answers given where the evidence held none.
        bound: One-sided upper bound of that share at 90 %.
    """

    threshold: float
    coverage: float
    risk: float
    bound: float


@dataclass(frozen=True)
class Confidence:
    """Logistic model over ``evidence_features``: probability that the evidence answers the question.

    Attributes:
        weights: One weight for each feature.
        bias: Intercept.
        threshold: Below it the pipeline abstains.
        facts: Where it comes from: data, size, command.
        curve: Risk against coverage by cross-fitting, thresholds rising.
    """

    weights: tuple[float, ...]
    bias: float
    threshold: float
    facts: Mapping[str, Any]
    curve: tuple[RiskPoint, ...] = ()

    def __call__(self, features: Sequence[float]) -> float:
        """Return the probability, 0 to 1."""
        logit = self.bias + sum(weight * value for weight, value in zip(self.weights, features, strict=True))
        return 1 / (1 + math.exp(-logit)) if logit > -500 else 0.0

    def threshold_for(self, risk: float) -> float:
        """Return the lowest threshold at which few of the answers given lack evidence.

        The share was measured by cross-fitting on a mixture in which half of the questions have no answer (``facts``);
        where fewer do, fewer answers are wrong.

        Args:
            risk: Most that the upper bound of the share may be, between 0 and 1.

        Raises:
            ValueError: If the risk is out of range, or no threshold was seen to keep it.
        """
        if not 0 < risk < 1:
            raise ValueError(f"risk must lie between 0 and 1, got {risk}; 0.3 is the shipped default")
        safe = min((point.threshold for point in self.curve if point.bound <= risk), default=None)
        if safe is None:
            least = min((point.bound for point in self.curve), default=1.0)
            raise ValueError(
                f"no threshold was seen to keep the risk at {risk}; the least that can be promised is {least:.2f}. Ask "
                "for that, or set min_confidence yourself"
            )
        return safe

    @classmethod
    def load(cls, path: Path = ASSET) -> Self:
        """Load the model that ships."""
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            curve = tuple(RiskPoint(*map(float, row)) for row in stored.get("curve", ()))
            model = cls(tuple(stored["weights"]), stored["bias"], stored["threshold"], stored["facts"], curve)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(
                f"no confidence model in {path}: {error}; make it with `radrag train confidence`"
            ) from error
        if len(model.weights) != len(FEATURES):
            raise ModelError(
                f"the confidence model in {path} is of another version; make it with `radrag train confidence`"
            )
        return model
