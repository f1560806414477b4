"""Labels of large sets without examples: only the few candidates that a label index finds for a note are scored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from radrag.indexes.tokens import token_spans, tokenize
from radrag.labelling.candidates import LabelIndex
from radrag.labelling.evidence import phrases
from radrag.labelling.label_set import LabelSet, described
from radrag.protocols import Encoder
from radrag.types import Span

FROM = 1_000  # labels from which scoring each of them is slower than finding candidates
CANDIDATES = 50


class CandidateScorer:
    """Scores labels by names and definitions, as ``ZeroShot`` does; all that are no candidates score alike and last.

    Args:
        labels: The labels.
        encoder: Encoder of notes.
    """

    def __init__(self, labels: LabelSet, encoder: Encoder) -> None:
        self._labels, self._index = labels, LabelIndex(labels, encoder)
        self._last: tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.float64]] | None = None

    def candidates(self, notes: Sequence[str]) -> NDArray[np.bool_]:
        """Return which labels are candidates ``[n, labels]``."""
        found, _ = self._nearest(notes)
        mask = np.zeros((len(notes), len(self._labels)), dtype=np.bool_)
        np.put_along_axis(mask, found, True, axis=1)
        return mask

    def scores(self, notes: Sequence[str]) -> NDArray[np.float64]:
        """Return log-scores ``[n, labels]``."""
        found, scores = self._nearest(notes)
        # One standard deviation of the candidates' scores below the last of them.
        rest = scores.min(axis=1, keepdims=True) - scores.std(axis=1, keepdims=True)
        every = np.repeat(rest, len(self._labels), axis=1)
        np.put_along_axis(every, found, scores, axis=1)
        return np.asarray(log_softmax(every, axis=1), dtype=np.float64)

    def evidence(self, note: str, label: int) -> tuple[Span, ...]:
        """Return the phrases that a note shares with what is known about a label."""
        known = set(tokenize(described(self._labels[self._labels.ids[label]])))
        terms = token_spans(note)
        return phrases(note, terms, [float(term in known) for term, _, _ in terms])

    def evidences(self, notes: Sequence[str], labels: Sequence[int]) -> list[tuple[Span, ...]]:
        """Return the evidence for each note's label."""
        return [self.evidence(note, label) for note, label in zip(notes, labels, strict=True)]

    def _nearest(self, notes: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return candidates and their scores; the last ones are kept, for they are scored first and then named."""
        key, last = tuple(notes), self._last
        if last is None or last[0] != key:
            last = self._last = (key, *self._index.nearest(notes, min(CANDIDATES, len(self._labels))))
        return last[1], last[2]
