"""A hybrid search over a handful of texts in memory, with the index's own machinery."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from radrag.indexes.bm25 import Statistics
from radrag.indexes.postings import build_postings
from radrag.indexes.searcher import Searcher, SearchSettings
from radrag.indexes.segments import memory_segment
from radrag.indexes.tokens import passage_terms
from radrag.protocols import Encoder, Kind


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


def memory_searcher(texts: Sequence[str], vectors: NDArray[np.float32], encoder: Encoder) -> Searcher:
    """Return a hybrid search over texts in memory; a hit's id is the position of the text."""
    segment = memory_segment(build_postings(passage_terms(text) for text in texts), vectors)
    weight = 0.3 if encoder.fingerprint.startswith("static:") else 0.6
    statistics = Statistics(segment.rows, int(segment.postings.lengths.sum()), lambda terms: {})
    return Searcher([segment], [None], statistics, encoder, SearchSettings(dense_weight=weight))
