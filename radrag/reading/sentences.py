"""Sentences of retrieved passages: what each holds of a question, and how well it would stand in an answer."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radrag.corpora import split_sentences
from radrag.indexes.abbreviations import find_abbreviations
from radrag.indexes.tokens import tokenize
from radrag.protocols import Encoder
from radrag.reading.sentence_model import Rarity
from radrag.types import Hit

_CONCLUSION = re.compile(
    r"\b(?:conclu(?:sion|de|ded)|in summary|our (?:results|findings|data)|these (?:results|findings|data)|"
    r"(?:results|findings|data) (?:suggest|indicate|show|support))",
    re.IGNORECASE,
)
_DEFINES = re.compile(
    r"\b(?:is|are|was) (?:an?|the|one|characteri[sz]ed|defined|caused)\b|\brefers to\b|\bknown as\b", re.IGNORECASE
)
_OPENING_QUESTION = re.compile(r"\?\s*$")
_BULLET = re.compile(r"(?:[-*+\u2022\u2013]\s+)?")
_OPENING = 60  # characters in which a sentence names its subject
_LONG = 40  # terms; a longer sentence is no better


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a hit.

    Attributes:
        key: Position of the hit, from 1.
        text: The sentence with runs of white space made one space.
        terms: Its distinct index terms.
        context: Distinct terms of the title and headings above it.
        score: How well it would stand in an answer; comparable within one question.
        concludes: Whether it states a conclusion.
        known: Its terms, and those of the long or short forms that one of the hits gives for its words.
        cosine: Cosine of its vector with the question's.
    """

    key: int
    text: str
    terms: frozenset[str]
    context: frozenset[str]
    score: float = 0.0
    concludes: bool = False
    known: frozenset[str] = frozenset()
    cosine: float = 0.0


def sentences_of(hits: Sequence[Hit]) -> list[Sentence]:
    """Split hits into sentences, without the bullet before them.

    Headings, questions and sentences of fewer than three terms are left out.
    """
    found: list[Sentence] = []
    seen: set[tuple[str, int, int]] = set()
    forms = _abbreviations(hits)
    for key, hit in enumerate(hits, start=1):
        passage = hit.passage
        context = frozenset(tokenize(" ".join((passage.title, *passage.path))))
        ended = any("conclusion" in part.lower() for part in passage.path)
        for begin, end in split_sentences(passage.text):
            bullet = _BULLET.match(passage.text, begin, end)
            start = bullet.end() if bullet else begin
            place = (passage.document_id, passage.start + start, passage.start + end)
            text = " ".join(passage.text[start:end].split())
            terms = frozenset(tokenize(text))
            if place in seen or len(terms) < 3 or text.startswith("#") or _OPENING_QUESTION.search(text):
                continue
            seen.add(place)
            concludes = ended or bool(_CONCLUSION.search(text))
            found.append(Sentence(key, text, terms, context, 0.0, concludes, _expanded(terms, forms)))
    return found


def describe(
    question: str, sentences: Sequence[Sentence], hits: Sequence[Hit], rarity: Rarity, cosines: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Describe sentences by the features of ``SentenceModel``.

    Those are: the rarity-weighted share of the question's terms that a sentence holds, and that only the headings above
    it hold; the share of its own terms that stand in other sentences near the question; the score of its passage
    among those of the hits; whether the question's rarest term stands in its opening; whether it defines something; its
    cosine with the question; and its length.

    Args:
        question: The question.
        sentences: Its candidates, from ``sentences_of(hits)``.
        hits: What was found.
        rarity: How rare terms are.
        cosines: Cosine of each sentence with the question, float64 ``[n]``.

    Returns:
        float64 ``[n, 8]``, none below 0 but cosines.
    """
    weight = rarity.weights(tokenize(question))
    covered = coverage(weight, sentences)
    above = np.asarray([above_of(weight, one) for one in sentences])
    rank = np.asarray([one.key for one in sentences], dtype=np.float64)
    near = np.clip(covered + 0.3 * cosines, 0, None) * np.exp(-0.15 * (rank - 1))
    scores = np.asarray([hit.score for hit in hits])
    spread = float(np.ptp(scores)) if len(scores) else 0.0
    passage = (scores - scores.min()) / spread if spread else np.zeros(len(scores))
    rarest = min(weight, key=lambda term: (-weight[term], term), default="")
    return np.column_stack(
        [
            covered,
            above,
            _shared(sentences, near, rarity),
            [passage[one.key - 1] for one in sentences],
            [float(rarest in one.terms and rarest in tokenize(one.text[:_OPENING])) for one in sentences],
            [float(bool(_DEFINES.search(one.text))) for one in sentences],
            cosines,
            [min(len(one.terms), _LONG) / _LONG for one in sentences],
        ]
    )


def coverage(weight: Mapping[str, float], sentences: Sequence[Sentence]) -> NDArray[np.float64]:
    """Return the share of weighted terms that each sentence holds, float64 ``[n]``."""
    # fsum, so that the order of a set, which differs between processes, changes nothing.
    return np.asarray([math.fsum(weight[term] for term in one.known & weight.keys()) for one in sentences])


def above_of(weight: Mapping[str, float], sentence: Sentence) -> float:
    """Return the share of weighted terms that only the headings above a sentence hold."""
    return math.fsum(weight[term] for term in (sentence.context - sentence.known) & weight.keys())


def cosines_of(question: str, sentences: Sequence[Sentence], encoder: Encoder) -> NDArray[np.float64]:
    """Return the cosine of each sentence with the question, float64 ``[n]``."""
    vectors = encoder.encode([question, *(sentence.text for sentence in sentences)], "passage")
    return np.asarray(vectors[1:] @ vectors[0], dtype=np.float64)


def select(sentences: Sequence[Sentence], count: int, overlap: float = 0.6) -> list[Sentence]:
    """Take the best sentences, leaving out any that repeats one taken before it.

    Args:
        sentences: Scored sentences.
        count: Most to take.
        overlap: A sentence is a repeat if its terms and those of one taken overlap by more than this (Jaccard).
    """
    taken: list[Sentence] = []
    for sentence in sorted(sentences, key=lambda one: -one.score):
        if len(taken) == count:
            break
        if all(len(sentence.terms & one.terms) <= overlap * len(sentence.terms | one.terms) for one in taken):
            taken.append(sentence)
    return taken


def _shared(sentences: Sequence[Sentence], near: NDArray[np.float64], rarity: Rarity) -> NDArray[np.float64]:
    """Return how much of each sentence the others near the question say too: the mean over its terms, by rarity."""
    held: defaultdict[str, float] = defaultdict(float)
    for sentence, share in zip(sentences, near.tolist(), strict=True):
        for term in sentence.terms:
            held[term] += share
    total = float(near.sum()) or 1.0
    found = []
    for sentence, share in zip(sentences, near.tolist(), strict=True):
        weight = {term: rarity(term) for term in sentence.terms}
        said = math.fsum(rare * (held[term] - share) for term, rare in weight.items())
        found.append(said / (math.fsum(weight.values()) or 1.0) / total)
    return np.asarray(found)


Forms = list[tuple[frozenset[str], frozenset[str]]]


def _abbreviations(hits: Sequence[Hit]) -> Forms:
    pairs = {pair[:2] for hit in hits for pair in find_abbreviations(hit.passage.text)}
    return [(frozenset(tokenize(short)), frozenset(tokenize(long))) for short, long in sorted(pairs)]


def _expanded(terms: frozenset[str], forms: Forms) -> frozenset[str]:
    added: set[str] = set()
    for short, long in forms:
        if short and short <= terms:
            added |= long
        elif long and long <= terms:
            added |= short
    return terms | added
