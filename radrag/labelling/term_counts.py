"""How often terms occur in texts, as sparse tables, and the BM25 parts of a text's score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from radrag.indexes.searcher import SearchSettings
from radrag.indexes.tokens import query_terms


@dataclass(frozen=True, slots=True)
class TermCounts:
    """How often each term occurs in each text.

    Attributes:
        vocabulary: Term to column.
        counts: float32 ``[texts, terms]``.
    """

    vocabulary: dict[str, int]
    counts: csr_array

    def __len__(self) -> int:
        return int(self.counts.shape[0])

    def take(self, rows: NDArray[np.int64]) -> TermCounts:
        """Return the counts of some texts, in that order, with the same columns."""
        return TermCounts(self.vocabulary, self.counts[rows])


@dataclass(frozen=True, slots=True)
class Asked:
    """What notes ask for: ``query_terms`` of each.

    Attributes:
        terms: The different terms of all notes.
        counts: How often each note asks for each ``[notes, terms]``.
    """

    terms: tuple[str, ...]
    counts: csr_array

    def columns(self, vocabulary: dict[str, int]) -> csr_array:
        """Return the counts in the columns of a vocabulary, with one more column for terms that it lacks."""
        unknown = len(vocabulary)
        places = np.fromiter((vocabulary.get(term, unknown) for term in self.terms), np.int32, len(self.terms))
        given = self.counts
        shape = (given.shape[0], unknown + 1)
        return csr_array((given.data, places[given.indices], given.indptr), shape=shape)


def count_terms(lists: Sequence[Sequence[str]]) -> TermCounts:
    """Count the terms of texts, given as what ``passage_terms`` made of each."""
    terms, counts = _counted(lists)
    return TermCounts({term: column for column, term in enumerate(terms)}, counts)


@lru_cache(maxsize=1)
def asked_terms(notes: tuple[str, ...]) -> Asked:
    """Count what notes ask for; of the last batch it is kept, for several searches ask one after the other."""
    return Asked(*_counted([query_terms(note) for note in notes]))


def impacts(counted: TermCounts, settings: SearchSettings | None = None) -> csr_array:
    """Return what each term, asked once, adds to the BM25 score of each text.

    Returns:
        float32 ``[terms + 1, texts]``; the last row, for unknown terms, is empty.
    """
    chosen, counts = settings or SearchSettings(), counted.counts
    lengths = np.asarray(counts.sum(axis=1), dtype=np.float64)
    mean = lengths.mean() if lengths.sum() else 1.0
    owners = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    tf = counts.data.astype(np.float64)
    parts = tf * (chosen.k1 + 1) / (tf + chosen.k1 * (1 - chosen.b + chosen.b * lengths[owners] / mean))
    held = np.bincount(counts.indices, minlength=counts.shape[1])
    rarity = np.log1p((counts.shape[0] - held + 0.5) / (held + 0.5)).astype(np.float32)
    values = parts.astype(np.float32) * rarity[counts.indices]
    shape = (counts.shape[1] + 1, counts.shape[0])
    return csr_array((values, (counts.indices, owners)), shape=shape, dtype=np.float32)


def _counted(lists: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], csr_array]:
    """Return the different terms of lists, and how often each list holds each."""
    numbers: dict[str, int] = {}
    found = [Counter(terms) for terms in lists]
    columns = [numbers.setdefault(term, len(numbers)) for term in chain.from_iterable(found)]
    times = np.fromiter(chain.from_iterable(one.values() for one in found), np.float32, len(columns))
    ends = np.cumsum([0, *map(len, found)], dtype=np.int64)
    shape = (len(lists), len(numbers))
    return tuple(numbers), csr_array((times, np.asarray(columns, dtype=np.int32), ends), shape=shape)
