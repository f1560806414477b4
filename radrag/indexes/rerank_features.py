"""What the learned re-ranker sees of a question and the passages found for it. No length, title or section is among it.

Every feature is relative to the other passages of the same list or a share between 0 and 1, so that weights carry over
from one index, encoder or corpus to another.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radrag.corpora import split_sentences
from radrag.indexes.tokens import passage_terms, query_terms, tokenize
from radrag.types import Hit, Passage

FEATURES = (
    *("fused", "lexical", "dense", "fused rank", "lexical rank", "dense rank"),
    *("terms", "terms in a sentence", "pairs", "near pairs", "phrase", "numbers and names"),
    *("recency", "publication type"),
)
SEARCH_PARTS = FEATURES[1:6]
_NEAR = 8
_RANK_SCALE = 10.0
_YEARS = 10.0
_TEXTS = 1 << 14
# From the level of the design: what pools trials, trials, what compares patients, what describes or only opines.
_LEVELS = {
    "meta-analysis": 1.0, "systematic review": 1.0, "practice guideline": 1.0, "guideline": 1.0,
    "randomized controlled trial": 0.7, "clinical trial, phase iii": 0.7, "controlled clinical trial": 0.5,
    "clinical trial": 0.4, "multicenter study": 0.3, "comparative study": 0.2, "observational study": 0.2,
    "review": 0.2, "case reports": -0.5, "editorial": -0.7, "comment": -0.7, "letter": -0.5, "news": -1.0,
}  # fmt: skip
_NAMED = re.compile(r"[a-z]*\d[\w.+]*")


def feature_table(query: str, hits: Sequence[Hit]) -> NDArray[np.float64]:
    """Describe each hit of a list.

    Args:
        query: The question.
        hits: Passages found for it, best first.

    Returns:
        float64 ``[len(hits), len(FEATURES)]``; what is unknown of a hit is neutral or the lowest of the list.
    """
    if not hits:
        return np.zeros((0, len(FEATURES)))
    fused, lexical, dense = (_filled([getattr(hit, name) for hit in hits]) for name in ("score", "lexical", "dense"))
    scores = [_standard(values) for values in (fused, lexical, dense)]
    ranks = [_ranks(values) for values in (fused, lexical, dense)]
    words = _word_features(query, hits)
    known = [_recency(hits), np.asarray([_level(hit.passage.metadata.get("publication_types")) for hit in hits])]
    columns = [*scores, *ranks, *words.T, *known]
    return np.stack(columns, axis=1)


def _filled(values: Sequence[float | None]) -> NDArray[np.float64]:
    """Give those without a score the lowest of the list."""
    known = [value for value in values if value is not None]
    lowest = min(known, default=0.0)
    return np.asarray([lowest if value is None else value for value in values], dtype=np.float64)


def _standard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = float(values.std())
    if spread <= 1e-6 * max(1.0, float(np.abs(values).max())):  # float32 cosines of equal texts differ by 1e-8
        return np.zeros(len(values))
    return np.asarray((values - values.mean()) / spread)


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 for the highest value, falling with the number of higher ones; equal values have equal ranks."""
    above = np.searchsorted(np.sort(-values), -values)
    return np.asarray(1 / (1 + above / _RANK_SCALE))


def _word_features(query: str, hits: Sequence[Hit]) -> NDArray[np.float64]:
    times = Counter(query_terms(query))
    ordered = [term for term in tokenize(query) if term in times]
    asked = list(times)
    texts = [[passage_terms(text) for text in _sentences(hit.passage)] for hit in hits]
    held = [{term for sentence in sentences for term in sentence} for sentences in texts]
    # Rare among the passages found: what tells them apart. Half of the weight is even, for lists of one or two.
    counts = np.asarray([sum(term in terms for terms in held) for term in asked])
    rarity = 0.5 + np.log1p((len(hits) - counts + 0.5) / (counts + 0.5))
    weights = {term: times[term] * float(rare) for term, rare in zip(asked, rarity, strict=True)}
    pairs = list(dict.fromkeys(pairwise(ordered)))
    named = [term for term in asked if _NAMED.fullmatch(term)] or asked
    rows = []
    for sentences, terms in zip(texts, held, strict=True):
        best = max((_share(asked, set(sentence), weights) for sentence in sentences), default=0.0)
        near, adjacent, phrase = _order_features(ordered, pairs, sentences)
        rows.append([_share(asked, terms, weights), best, adjacent, near, phrase, _share(named, terms, weights)])
    return np.asarray(rows)


def _share(asked: Sequence[str], held: set[str], weights: dict[str, float]) -> float:
    total = sum(weights[term] for term in asked)
    return sum(weights[term] for term in asked if term in held) / total if total else 0.0


def _order_features(
    ordered: list[str], pairs: list[tuple[str, str]], sentences: Sequence[Sequence[str]]
) -> tuple[float, float, float]:
    """Return the shares of neighbouring terms that stand near and next to each other, and the longest run."""
    wanted = set(ordered)
    near, adjacent, longest = set(), set(), 0
    for sentence in sentences:
        places: dict[str, list[int]] = {}
        for place, term in enumerate(sentence):
            if term in wanted:
                places.setdefault(term, []).append(place)
        for first, second in pairs:
            gaps = [b - a for a in places.get(first, ()) for b in places.get(second, ())]
            if any(0 < abs(gap) <= _NEAR for gap in gaps):
                near.add((first, second))
            if 1 in gaps:
                adjacent.add((first, second))
        longest = max(longest, _longest_run(ordered, sentence, places))
    count = len(pairs) or 1
    return len(near) / count, len(adjacent) / count, longest / max(1, len(ordered))


def _longest_run(ordered: Sequence[str], sentence: Sequence[str], places: dict[str, list[int]]) -> int:
    """Return the length of the longest run of terms that the question and a sentence share."""
    longest = 0
    for start, term in enumerate(ordered):
        for place in places.get(term, ()):
            length = 1
            while (
                start + length < len(ordered)
                and place + length < len(sentence)
                and ordered[start + length] == sentence[place + length]
            ):
                length += 1
            longest = max(longest, length)
    return longest


def _sentences(passage: Passage) -> tuple[str, ...]:
    """Return the lines above a text (title, names, headings) and the sentences of the text."""
    return _cut(passage.search_text, passage.text)


@lru_cache(maxsize=_TEXTS)
def _cut(whole: str, text: str) -> tuple[str, ...]:
    above = whole[: len(whole) - len(text)].splitlines()
    return (*above, *(text[start:end] for start, end in split_sentences(text))) or (whole,)


def _recency(hits: Sequence[Hit]) -> NDArray[np.float64]:
    """Return decades from the median year of the list, at most 1 either way; 0 where the year is unknown."""
    years = [hit.passage.metadata.get("year") for hit in hits]
    known = [year for year in years if isinstance(year, int)]
    middle = float(np.median(known)) if known else 0.0
    return np.asarray(
        [max(-1.0, min(1.0, (year - middle) / _YEARS)) if isinstance(year, int) else 0.0 for year in years]
    )


def _level(types: Any) -> float:
    """Return how much the strongest design among publication types weighs; 0 where none is known."""
    names = [types] if isinstance(types, str) else types if isinstance(types, list | tuple) else []
    levels = [_LEVELS[name.lower()] for name in names if isinstance(name, str) and name.lower() in _LEVELS]
    return max(levels, default=0.0)
