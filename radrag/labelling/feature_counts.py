"""How often features occur in notes, counted once for all models that are fitted on parts of the notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from radrag.labelling.features import features


@dataclass(frozen=True, slots=True)
class FeatureCounts:
    """How often each feature occurs in each note.

    Attributes:
        names: The features in alphabetical order.
        counts: float32 ``[notes, features]``.
    """

    names: tuple[str, ...]
    counts: csr_array

    @classmethod
    def of(cls, terms: Sequence[Sequence[str]]) -> FeatureCounts:
        """Count the features of notes that are given as lists of terms."""
        numbers: dict[str, int] = {}
        columns: list[int] = []
        times: list[int] = []
        ends = [0]
        for note in terms:
            counts = Counter(features(note))
            columns.extend([numbers.setdefault(name, len(numbers)) for name in counts])
            times.extend(counts.values())
            ends.append(len(columns))
        names = sorted(numbers)
        order = np.empty(len(names), dtype=np.int32)
        order[[numbers[name] for name in names]] = np.arange(len(names))
        values = np.asarray(times, dtype=np.float32), order[columns], np.asarray(ends)
        return cls(tuple(names), csr_array(values, shape=(len(terms), len(names))))

    def take(self, rows: NDArray[np.int64]) -> FeatureCounts:
        """Return the counts of some notes, in that order."""
        return FeatureCounts(self.names, self.counts[rows])

    def known(self) -> FeatureCounts:
        """Return the counts without features that no note has."""
        held = np.flatnonzero(self.holders())
        if len(held) == len(self.names):
            return self
        places = np.zeros(len(self.names), dtype=np.int32)
        places[held] = np.arange(len(held))
        given = self.counts
        counts = csr_array((given.data, places[given.indices], given.indptr), shape=(given.shape[0], len(held)))
        return FeatureCounts(tuple(self.names[column] for column in held.tolist()), counts)

    def holders(self) -> NDArray[np.int64]:
        """Return how many notes have each feature."""
        return np.bincount(self.counts.indices, minlength=len(self.names))

    def idf(self) -> NDArray[np.float32]:
        """Return ``log((1 + n) / (1 + notes with it)) + 1`` of each feature, as ``fit_vocabulary`` does."""
        idf = np.log((1 + self.counts.shape[0]) / (1 + self.holders().astype(np.float64))) + 1
        return np.asarray(idf, dtype=np.float32)


def weighted(counts: csr_array, idf: NDArray[np.float32]) -> csr_array:
    """Return rows of ``(1 + log count) idf``, brought to unit length; an empty row stays empty.

    Args:
        counts: float32 ``[notes, features]``.
        idf: Weight of each feature.
    """
    values = (1 + np.log(counts.data)) * idf[counts.indices]
    owners = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    norms = np.sqrt(np.bincount(owners, weights=values.astype(np.float64) ** 2, minlength=counts.shape[0]))
    unit = (values / norms[owners]).astype(np.float32)
    return csr_array((unit, counts.indices.astype(np.int32), counts.indptr.astype(np.int32)), shape=counts.shape)
