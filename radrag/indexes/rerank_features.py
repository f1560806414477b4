"""What the learned re-ranker sees of a question and the passages found for it. No length, title or section is among it.

Every feature is relative to the other passages of the same list or a share between 0 and 1, so that weights carry over
from one index, encoder or corpus to another.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radrag.corpora import split_sentences
from radrag.indexes.rerank_late import standard
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
Places = Mapping[str, Sequence[int]]
_TEXTS = 1 << 11  # some 30 KB each for an abstract
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
    scores = [standard(values) for values in (fused, lexical, dense)]
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


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 for the highest value, falling with the number of higher ones; equal values have equal ranks."""
    above = np.searchsorted(np.sort(-values), -values)
    return np.asarray(1 / (1 + above / _RANK_SCALE))


def _word_features(query: str, hits: Sequence[Hit]) -> NDArray[np.float64]:
    times = Counter(query_terms(query))
    ordered = [term for term in tokenize(query) if term in times]
    asked = list(times)
    texts = [_found(asked, hit.passage) for hit in hits]
    held = [{term for places in sentences for term in places} for sentences in texts]
    # Rare among the passages found: what tells them apart. Half of the weight is even, for lists of one or two.
    counts = np.asarray([sum(term in terms for terms in held) for term in asked])
    rarity = 0.5 + np.log1p((len(hits) - counts + 0.5) / (counts + 0.5))
    weights = {term: times[term] * float(rare) for term, rare in zip(asked, rarity, strict=True)}
    pairs = list(dict.fromkeys(pairwise(ordered)))
    named = [term for term in asked if _NAMED.fullmatch(term)] or asked
    rows = []
    for sentences, terms in zip(texts, held, strict=True):
        best = max((_share(asked, places, weights) for places in sentences), default=0.0)
        near, adjacent, phrase = _order_features(ordered, pairs, sentences)
        rows.append([_share(asked, terms, weights), best, adjacent, near, phrase, _share(named, terms, weights)])
    return np.asarray(rows)


def _share(asked: Sequence[str], held: Container[str], weights: dict[str, float]) -> float:
    total = sum(weights[term] for term in asked)
    return sum(weights[term] for term in asked if term in held) / total if total else 0.0


def _order_features(
    ordered: list[str], pairs: list[tuple[str, str]], sentences: Sequence[Places]
) -> tuple[float, float, float]:
    """Return the shares of neighbouring terms that stand near and next to each other, and the longest run."""
    near, adjacent, longest = set(), set(), 0
    for places in sentences:
        for pair in pairs:
            if pair[0] in places and pair[1] in places:
                gaps = [b - a for a in places[pair[0]] for b in places[pair[1]]]
                if any(0 < abs(gap) <= _NEAR for gap in gaps):
                    near.add(pair)
                if 1 in gaps:
                    adjacent.add(pair)
        longest = max(longest, _longest_run(ordered, places))
    count = len(pairs) or 1
    return len(near) / count, len(adjacent) / count, longest / max(1, len(ordered))


def _longest_run(ordered: Sequence[str], places: Places) -> int:
    """Return the length of the longest run of terms that the question and a sentence share."""
    longest = 0
    for start, term in enumerate(ordered):
        for place in places.get(term, ()):
            length = 1
            while start + length < len(ordered) and place + length in places.get(ordered[start + length], ()):
                length += 1
            longest = max(longest, length)
    return longest


def _found(asked: Sequence[str], passage: Passage) -> list[dict[str, list[int]]]:
    """Return for each sentence of a passage that holds a term asked for, where its terms asked for stand."""
    sentences = _sentences(passage.search_text, passage.text)
    found = [{term: places[term] for term in asked if term in places} for places in sentences]
    return [places for places in found if places]


@lru_cache(maxsize=_TEXTS)
def _sentences(whole: str, text: str) -> tuple[dict[str, list[int]], ...]:
    """Return the places of each term in each line above a text (title, names, headings) and each sentence of it."""
    above = whole[: len(whole) - len(text)].splitlines()
    parts = (*above, *(text[start:end] for start, end in split_sentences(text))) or (whole,)
    sentences = []
    for part in parts:
        places: dict[str, list[int]] = {}
        for place, term in enumerate(passage_terms(part)):
            places.setdefault(term, []).append(place)
        sentences.append(places)
    return tuple(sentences)


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
