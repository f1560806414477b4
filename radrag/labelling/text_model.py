"""The linear text model: TF-IDF of terms and pairs of terms, one linear support vector machine for each label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import log_softmax

from radrag.indexes.tokens import tokenize
from radrag.labelling.evidence import phrases
from radrag.labelling.feature_counts import FeatureCounts, weighted
from radrag.labelling.features import features
from radrag.labelling.linear import fit_linear
from radrag.labelling.memory import TermSpan, term_spans
from radrag.labelling.stored import read_arrays, read_json, write_arrays, write_json
from radrag.types import Span


@dataclass(frozen=True, slots=True)
class _Read:
    """Notes as the model reads them.

    Attributes:
        notes: The notes ``[n]``.
        terms: Their terms with offsets.
        rows: Their features, weighed ``[n, features]``.
        places: For each occurrence of a feature, terms of a note before its pairs, the position in ``rows.data`` of
            what it counts towards; the position after the last for unknown ones.
        ends: Where the occurrences of each note end ``[n + 1]``.
        times: How often each feature of ``rows.data`` occurs.
    """

    notes: tuple[str, ...]
    terms: tuple[tuple[TermSpan, ...], ...]
    rows: csr_array
    places: NDArray[np.int64]
    ends: NDArray[np.int64]
    times: NDArray[np.int64]


class TextModel:
    """Scores labels by the words of a note. Make one with ``fit`` or ``load``.

    Args:
        vocabulary: Feature to column.
        idf: Weight of each column, float32 ``[features]``.
        weights: float32 ``[labels, features]``.
        bias: float32 ``[labels]``.
    """

    def __init__(
        self,
        vocabulary: dict[str, int],
        idf: NDArray[np.float32],
        weights: NDArray[np.float32],
        bias: NDArray[np.float32],
    ) -> None:
        self._vocabulary, self._idf, self._bias = vocabulary, idf, bias
        self._weights = np.ascontiguousarray(weights.T)  # a product with sparse rows would copy it otherwise
        self._last: _Read | None = None

    @classmethod
    def fit(
        cls,
        notes: Sequence[str],
        true: NDArray[np.int64],
        labels: int,
        *,
        seed: int = 0,
        counted: FeatureCounts | None = None,
    ) -> Self:
        """Learn from labelled notes.

        Args:
            notes: Texts.
            true: Position of each note's label ``[n]``.
            labels: How many labels there are; one without a note gets the score of a label that is certainly absent.
            seed: Seed of the solver.
            counted: The notes' features, if they were counted before.
        """
        known = (counted or FeatureCounts.of([tokenize(note) for note in notes])).known()
        idf = known.idf()
        weights, bias = fit_linear(weighted(known.counts, idf), true, labels, seed)
        return cls({name: column for column, name in enumerate(known.names)}, idf, weights, bias)

    def scores(self, notes: Sequence[str]) -> NDArray[np.float64]:
        """Return log-scores ``[n, labels]``: the log-softmax of the margins."""
        margins = np.asarray(self._read(notes).rows @ self._weights, dtype=np.float64) + self._bias
        return np.asarray(log_softmax(margins, axis=1), dtype=np.float64)

    def evidence(self, note: str, label: int) -> tuple[Span, ...]:
        """Return the phrases of a note that spoke most for a label.

        A term contributes its part of the label's margin, above the mean of all labels; of a pair each term has half.

        Returns:
            At most 3 spans, strongest first. If no term speaks for the label more than for the mean label, terms that
            speak for it more than for the weakest; empty if no term of the note is known, or none does even that.
        """
        return self.evidences([note], [label])[0]

    def evidences(self, notes: Sequence[str], labels: Sequence[int]) -> list[tuple[Span, ...]]:
        """Return the evidence for each note's label; see ``evidence``."""
        read = self._read(notes)
        own = np.repeat(np.asarray(labels, dtype=np.int64), np.diff(read.rows.indptr))
        given = self._weights[read.rows.indices, own]
        found: list[tuple[Span, ...]] = [()] * len(notes)
        missing: Sequence[int] = range(len(notes))
        for reference in ("_mean", "_least"):
            if not missing:
                break
            parts = read.rows.data * (given - getattr(self, reference)[read.rows.indices])
            shares = np.append((parts / read.times).astype(np.float64), 0.0)[read.places]
            for row in missing:
                terms = read.terms[row]
                found[row] = phrases(notes[row], terms, _by_term(shares[read.ends[row] : read.ends[row + 1]], terms))
            missing = [row for row in missing if not found[row] and read.rows.indptr[row] < read.rows.indptr[row + 1]]
        return found

    def save(self, folder: Path) -> None:
        """Write it into an existing folder."""
        weights = np.ascontiguousarray(self._weights.T)
        write_json(folder / "text_model.json", {"vocabulary": list(self._vocabulary)})
        write_arrays(folder / "text_model.safetensors", {"idf": self._idf, "weights": weights, "bias": self._bias})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote."""
        names = read_json(folder / "text_model.json")["vocabulary"]
        arrays = read_arrays(folder / "text_model.safetensors")
        vocabulary = {name: position for position, name in enumerate(names)}
        return cls(vocabulary, arrays["idf"], arrays["weights"], arrays["bias"])

    @cached_property
    def _mean(self) -> NDArray[np.float32]:
        return np.asarray(self._weights.mean(axis=1))

    @cached_property
    def _least(self) -> NDArray[np.float32]:
        return np.asarray(self._weights.min(axis=1))

    def _read(self, notes: Sequence[str]) -> _Read:
        """Return notes as the model reads them; the last ones are kept, for evidence follows scores."""
        key, last = tuple(notes), self._last
        if last is None or last.notes != key:
            last = self._last = self._read_anew(key)
        return last

    def _read_anew(self, notes: tuple[str, ...]) -> _Read:
        known, terms = self._vocabulary, term_spans(notes)
        columns: list[int] = []
        ends = [0]
        for one in terms:
            columns.extend([known.get(name, -1) for name in features([term for term, _, _ in one])])
            ends.append(len(columns))
        found, bounds = np.asarray(columns, dtype=np.int64), np.asarray(ends)
        owners = np.repeat(np.arange(len(notes)), np.diff(bounds))
        there, size = found >= 0, max(1, len(known))
        keys, inverse, times = np.unique(owners[there] * size + found[there], return_inverse=True, return_counts=True)
        places = np.full(len(found), len(keys), dtype=np.int64)
        places[there] = inverse
        indptr = np.searchsorted(keys, np.arange(len(notes) + 1) * size)
        shape = (len(notes), len(known))
        counts = csr_array((times.astype(np.float32), (keys % size).astype(np.int32), indptr), shape=shape)
        return _Read(notes, terms, weighted(counts, self._idf), places, bounds, times)


def _by_term(shares: NDArray[np.float64], terms: Sequence[TermSpan]) -> list[float]:
    """Give each term its own share and half of each pair it is in."""
    scores = shares[: len(terms)].copy()
    pairs = shares[len(terms) :] / 2
    scores[:-1] += pairs
    scores[1:] += pairs
    found: list[float] = scores.tolist()
    return found
