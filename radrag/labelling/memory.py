"""Searches over texts in memory, and what several scorers make of the same notes one after the other, made once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from radrag.indexes.bm25 import Statistics
from radrag.indexes.postings import build_postings
from radrag.indexes.searcher import Found, Masks, Mode, Searcher, SearchSettings
from radrag.indexes.segments import memory_segment
from radrag.indexes.tokens import passage_terms, token_spans
from radrag.protocols import Encoder, Kind

TermSpan = tuple[str, int, int]


class LastBatch:
    """An encoder that remembers its last batch, because several scorers encode the same notes one after the other.

    Args:
        encoder: The encoder.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._last: tuple[Kind, tuple[str, ...], NDArray[np.float32]] | None = None

    @property
    def fingerprint(self) -> str:
        """The encoder's."""
        return self._encoder.fingerprint

    @property
    def dim(self) -> int:
        """The encoder's."""
        return self._encoder.dim

    def encode(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        """Return the encoder's vectors; they must not be changed."""
        key, last = tuple(texts), self._last
        if last is None or last[:2] != (kind, key):
            last = self._last = (kind, key, self._encoder.encode(texts, kind))
        return last[2]


@lru_cache(maxsize=1)
def term_spans(notes: tuple[str, ...]) -> tuple[tuple[TermSpan, ...], ...]:
    """Return the terms of each note with where they stand; those of the last batch are kept."""
    return tuple(tuple(token_spans(note)) for note in notes)


def dense_weight(encoder: Encoder) -> float:
    """Return the weight of an encoder's vectors against the words: less for the static one."""
    return 0.3 if encoder.fingerprint.startswith("static:") else 0.6


def rounded(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return vectors as an index keeps them, in half precision, so that both kinds of search give the same scores."""
    return vectors.astype(np.float16).astype(np.float32)


class _Deep(Searcher):
    """A search in which all candidates set the scale of the scores, however many are asked for, as ``MatrixSearch``."""

    def search(
        self, queries: Sequence[str], k: int, masks: Masks | None = None, mode: Mode = Mode.HYBRID, *,
        exact: bool = False, settings: SearchSettings | None = None, heard: bool = False,
    ) -> list[list[Found]]:  # fmt: skip
        """Search as ``Searcher`` does, with a depth of ``k`` at least."""
        chosen = settings or self._settings
        deep = replace(chosen, depth=max(chosen.depth, k))
        return super().search(queries, k, masks, mode, exact=exact, settings=deep, heard=heard)


def memory_searcher(texts: Sequence[str], vectors: NDArray[np.float32], encoder: Encoder) -> Searcher:
    """Return a hybrid search over texts in memory; a hit's id is the position of the text."""
    segment = memory_segment(build_postings(passage_terms(text) for text in texts), vectors)
    statistics = Statistics(segment.rows, int(segment.postings.lengths.sum()), lambda terms: {})
    settings = SearchSettings(dense_weight=dense_weight(encoder))
    return _Deep([segment], [None], statistics, encoder, settings)
