"""Which words of a question a sentence holds, as they are or by a word of like meaning, and how telling each is."""

from __future__ import annotations

import json
import math
import re
from collections import OrderedDict
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radrag.indexes.encoders import STATIC
from radrag.indexes.tokens import tokenize
from radrag.protocols import Encoder

_WORD = re.compile(r"[A-Za-z0-9][\w\-/+.]*[\w+]|\w")
_PLAIN_RANK = 1000  # the thousand most frequent entries of the vocabulary tell nothing
_WHOLE_RANK = 40_000
RARE_RANK = 10_000
_KEPT_VECTORS = 20_000
# Quantities and people: what is asked for in numbers is looked for by ``asked_for``, and no source repeats "patient".
_EMPTY = frozenset(
    """many much long often share percentage percent proportion fraction rate level dose mg ml hour hours day days week
    weeks month months year years minute minutes second seconds likely patient patients people someone man woman men
    women he she take takes taken given gets get go does""".split()
)


@lru_cache(maxsize=50_000)
def _terms(word: str) -> tuple[str, ...]:
    return tuple(tokenize(word))


@lru_cache(maxsize=4096)
def _content(text: str) -> tuple[str, ...]:
    return tuple(word for word in dict.fromkeys(_WORD.findall(text)) if _terms(word))


def content_words(text: str) -> list[str]:
    """Return the distinct words that are not function words, in order, as they are written."""
    return list(_content(text))


def telling_words(question: str) -> list[str]:
    """Return the content words without bare numbers and words that only count or name people; all if none is left."""
    words = content_words(question)
    return [word for word in words if word.lower() not in _EMPTY and not word.isdigit()] or words


def word_terms(word: str) -> tuple[str, ...]:
    """Return the index terms of one word."""
    return _terms(word)


@cache
def _ranks() -> dict[str, int]:
    with (STATIC / "tokenizer.json").open(encoding="utf-8") as file:
        vocabulary: Any = json.load(file)["model"]["vocab"]
    pairs = vocabulary.items() if isinstance(vocabulary, dict) else ((row[0], i) for i, row in enumerate(vocabulary))
    return {str(word): int(rank) for word, rank in pairs}


def rank(word: str) -> int:
    """Return a word's place in the encoder's vocabulary, which runs from frequent to rare; 40,000 if it is not there.

    Unlike the rarity in a small index it tells a clinical word from an everyday one that no page happens to use.
    """
    return _ranks().get(word.lower(), _WHOLE_RANK)


def specificity(word: str) -> float:
    """Return how telling a word is: 0 for the most frequent of general English, 1 outside the vocabulary."""
    return min(1.0, math.log1p(rank(word) / _PLAIN_RANK) / math.log1p(_WHOLE_RANK / _PLAIN_RANK))


class WordMatcher:
    """Compares words by an encoder; vectors of words are kept.

    Args:
        encoder: The encoder.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: OrderedDict[str, NDArray[np.float32]] = OrderedDict()

    def held(self, words: Sequence[str], texts: Sequence[str]) -> NDArray[np.float64]:
        """Return how far each text holds each word: 1 if an index term is shared, else the best cosine, at least 0.

        Args:
            words: Words of a question.
            texts: Sentences.

        Returns:
            float64 ``[len(texts), len(words)]``.
        """
        held = np.zeros((len(texts), len(words)))
        parts = [_content(text) for text in texts]
        filled = [row for row, part in enumerate(parts) if part]
        place = {word: i for i, word in enumerate(dict.fromkeys(word for part in parts for word in part))}
        if not words or not filled:
            return held
        cosines = np.clip(self._vectors(words) @ self._vectors(list(place)).T, 0.0, 1.0)
        columns = [place[word] for row in filled for word in parts[row]]
        starts = np.cumsum([0, *(len(parts[row]) for row in filled[:-1])])
        held[filled] = np.maximum.reduceat(cosines[:, columns], starts, axis=1).T
        wanted = [frozenset(_terms(word)) for word in words]
        for row in filled:
            terms = {term for word in parts[row] for term in _terms(word)}
            held[row, [i for i, own in enumerate(wanted) if own & terms]] = 1.0
        return held

    def _vectors(self, words: Sequence[str]) -> NDArray[np.float32]:
        new = [word for word in dict.fromkeys(words) if word not in self._known]
        if new:
            self._known.update(zip(new, self._encoder.encode(new, "passage"), strict=True))
        table = np.stack([self._known[word] for word in words])
        while len(self._known) > _KEPT_VECTORS:
            self._known.popitem(last=False)
        return table
