"""Sentences of retrieved passages, scored by how much of a question they carry."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radrag.corpora import split_sentences
from radrag.indexes.tokens import tokenize
from radrag.protocols import Encoder
from radrag.types import Hit

_CONCLUSION = re.compile(
    r"\b(?:conclu(?:sion|de|ded)|in summary|our (?:results|findings|data)|these (?:results|findings|data)|"
    r"(?:results|findings|data) (?:suggest|indicate|show|support))",
    re.IGNORECASE,
)
_OPENING_QUESTION = re.compile(r"\?\s*$")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a hit.

    Attributes:
        key: Position of the hit, from 1.
        text: The sentence with runs of white space made one space.
        terms: Its distinct index terms.
        context: Distinct terms of the title and headings above it.
        score: How much of the question it carries; comparable within one question.
        concludes: Whether it states a conclusion.
    """

    key: int
    text: str
    terms: frozenset[str]
    context: frozenset[str]
    score: float = 0.0
    concludes: bool = False


def sentences_of(hits: Sequence[Hit]) -> list[Sentence]:
    """Split hits into sentences; headings, questions and sentences of fewer than three terms are left out."""
    found: list[Sentence] = []
    seen: set[tuple[str, int, int]] = set()
    for key, hit in enumerate(hits, start=1):
        passage = hit.passage
        context = frozenset(tokenize(" ".join((passage.title, *passage.path))))
        ended = any("conclusion" in part.lower() for part in passage.path)
        for start, end in split_sentences(passage.text):
            place = (passage.document_id, passage.start + start, passage.start + end)
            text = " ".join(passage.text[start:end].split())
            terms = frozenset(tokenize(text))
            if place in seen or len(terms) < 3 or text.startswith("#") or _OPENING_QUESTION.search(text):
                continue
            seen.add(place)
            found.append(Sentence(key, text, terms, context, 0.0, ended or bool(_CONCLUSION.search(text))))
    return found


def score_sentences(question: str, sentences: Sequence[Sentence], encoder: Encoder) -> NDArray[np.float64]:
    """Score sentences against a question.

    The score is the share of the question's terms that the sentence carries (a term in the headings above it counts
    half; rare terms among the candidates count more), plus the cosine of the vectors, less a little for each place
    that its passage is further down, plus a little for a conclusion.

    Returns:
        float64 ``[len(sentences)]``.
    """
    wanted = set(tokenize(question))
    spread = Counter(term for sentence in sentences for term in sentence.terms | sentence.context if term in wanted)
    weight = {term: math.log(1 + (len(sentences) + 1) / (1 + spread[term])) for term in wanted}
    total = sum(weight.values()) or 1.0
    vectors = encoder.encode([question, *(sentence.text for sentence in sentences)], "passage")
    cosines = vectors[1:] @ vectors[0]
    scores = np.zeros(len(sentences))
    for i, sentence in enumerate(sentences):
        carried = sum(weight[term] for term in wanted & sentence.terms)
        above = sum(weight[term] for term in (wanted & sentence.context) - sentence.terms)
        scores[i] = (carried + 0.5 * above) / total + float(cosines[i])
        scores[i] += 0.1 * sentence.concludes - 0.03 * (sentence.key - 1)
    return scores


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
