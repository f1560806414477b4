"""Which word of a source stands for each word of a claim: same stem, synonym, abbreviation, or a near vector."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radrag.grounding.lexicon import opposites, synonyms
from radrag.indexes.encoders import STATIC
from radrag.indexes.function_words import STOPWORDS
from radrag.indexes.tokens import tokenize
from radrag.protocols import Encoder

_WORD = re.compile(r"[^\W\d_]+(?:-?\d+[^\W_]*)|\d+[^\W\d_]{2,}|[^\W\d_]+")
_UNIT_LIKE = re.compile(
    r"mg|kg|g|ml|mm|cm|l|dl|hr?|min|s|sec|mgy|msv|ci|sd|se|p|n|years?|yrs?|days?|weeks?|months?|hours?|minutes?|"
    r"percent|per|cent",
    re.IGNORECASE,
)
# A letter or Roman numeral that tells one of a kind from another: hepatitis B, vitamin K, group A.
_LETTERED = re.compile(
    r"\b(?:hepatitis|vitamins?|factors?|groups?|influenza|arms?|types?|class|treatments?|drugs?|regimens?|cohorts?|"
    r"stages?|grades?|phase|category|zone)[ -]((?-i:[A-Z]|[IVX]{1,4}))(?![\w'])",
    re.IGNORECASE,
)
_LETTER = "#"  # ends the stem of such a letter, so that no word stands for it
_PLAIN_ENDING = re.compile(r"(?:ly|ing|ed|ous|ive|ful|able|ible|ment|ness|wards?|wise|ised|ized|er|est)s?$")
_SPELT = frozenset(
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand".split()
)
_SYNONYM, _ACRONYM, _PREFIX = 0.9, 0.95, 0.85
_NEAR = 0.35  # cosines of words below this mean nothing
_NAME_RANK = 9000  # among the encoder's tokens, which stand in the order of their frequency in general English


@dataclass(frozen=True, slots=True)
class Word:
    """A content word.

    Attributes:
        text: As written.
        stem: Its index term.
        start: Offset in the text.
        end: Offset after it.
        weight: Importance, .15 to 1, by how rare the word is in general English.
        name: Whether it looks like a name of a drug, disease, test or the like, which another word cannot stand for.
    """

    text: str
    stem: str
    start: int
    end: int
    weight: float
    name: bool


@cache
def _ranks(path: Path = STATIC / "tokenizer.json") -> dict[str, int]:
    """Return the position of each token in the encoder's vocabulary, which is ordered by frequency."""
    vocabulary: dict[str, int] = json.loads(path.read_text(encoding="utf-8"))["model"]["vocab"]
    return vocabulary


@lru_cache(maxsize=1 << 16)
def _described(word: str) -> tuple[str, float, bool]:
    terms = tokenize(word)
    stem = terms[0] if terms else word.lower()
    rank = _ranks().get(word.lower())
    if rank is None and word.lower().endswith("s"):
        rank = _ranks().get(word.lower()[:-1])
    weight = 1.0 if rank is None else max(0.15, (rank / len(_ranks())) ** 0.5)
    rare = rank is None or rank > _NAME_RANK
    coded = any(char.isdigit() for char in word) or (len(word) > 1 and word.isupper())
    name = coded or (rare and len(word) > 3 and not _PLAIN_ENDING.search(word.lower()))
    return stem, weight, name


def content_words(text: str) -> tuple[Word, ...]:
    """Return the words of a text that carry meaning, in order; numbers and their units are left out."""
    found = []
    letters = {match.start(1) for match in _LETTERED.finditer(text)}
    for match in _WORD.finditer(text):
        word = match[0]
        low = word.lower()
        if match.start() in letters:
            found.append(Word(word, low + _LETTER, *match.span(), 1.0, True))
            continue
        if (low in STOPWORDS and not word.isupper()) or _UNIT_LIKE.fullmatch(low) or low in _SPELT or len(word) < 2:
            continue
        stem, weight, name = _described(word)
        found.append(Word(word, stem, *match.span(), weight, name))
    return tuple(found)


class Aligner:
    """Compares words.

    Args:
        encoder: Gives word vectors; None for none, then only stems, synonyms and abbreviations count.
    """

    def __init__(self, encoder: Encoder | None) -> None:
        self._encoder = encoder
        self._vectors: dict[str, NDArray[np.float32]] = {}

    def similarity(self, claim: Sequence[Word], source: Sequence[Word]) -> NDArray[np.float64]:
        """Return how well each source word stands for each claim word, 0 to 1, ``[claim, source]``."""
        if not claim or not source:
            return np.zeros((len(claim), len(source)))
        table = self._cosines(claim, source)
        stems = [word.stem for word in source]
        lettered = [stem.endswith(_LETTER) for stem in stems]
        for row, word in enumerate(claim):
            same = synonyms().get(word.stem, frozenset())
            ours = word.stem.endswith(_LETTER)
            against = opposites().get(word.stem, frozenset())
            for column, stem in enumerate(stems):
                known = _known(word.stem, stem, same)
                if known:
                    table[row, column] = known
                elif stem in against or lettered[column] or ours:
                    table[row, column] = 0.0
                elif word.name or source[column].name:
                    table[row, column] *= 0.7  # two names that are near are siblings as often as one thing
        _acronyms(claim, source, table)
        _acronyms(source, claim, table.T)
        return table

    def _cosines(self, claim: Sequence[Word], source: Sequence[Word]) -> NDArray[np.float64]:
        if self._encoder is None:
            return np.zeros((len(claim), len(source)))
        one, two = (self._matrix(word.text.lower() for word in words) for words in (claim, source))
        cosines = np.clip(one.astype(np.float64) @ two.T, 0.0, 1.0)
        cosines[cosines < _NEAR] = 0.0
        return cosines * 0.85

    def _matrix(self, words: Iterable[str]) -> NDArray[np.float32]:
        wanted = list(words)
        new = [word for word in dict.fromkeys(wanted) if word not in self._vectors]
        if len(self._vectors) > 1 << 16:
            self._vectors.clear()
            new = list(dict.fromkeys(wanted))
        if new and self._encoder is not None:
            self._vectors.update(zip(new, self._encoder.encode(new, "passage"), strict=True))
        return np.stack([self._vectors[word] for word in wanted])


def _known(one: str, other: str, same: frozenset[str]) -> float:
    if one == other:
        return 1.0
    if other in same:
        return _SYNONYM
    shared = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        shared += 1
    return _PREFIX if shared >= 5 and shared >= 0.7 * max(len(one), len(other)) else 0.0


def _acronyms(short: Sequence[Word], long: Sequence[Word], table: NDArray[np.float64]) -> None:
    """Mark each acronym of one side, rows of the table, that words in a row of the other spell by their initials."""
    initials = "".join(word.text[0].lower() for word in long)
    for row, word in enumerate(short):
        letters = word.text.lower().removesuffix("s") if word.text[:2].isupper() else ""
        if 2 <= len(letters) <= 6 and letters.isalpha():
            at = initials.find(letters)
            if at >= 0:
                table[row, at : at + len(letters)] = _ACRONYM
