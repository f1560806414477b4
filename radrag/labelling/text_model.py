"""The linear text model: TF-IDF of terms and pairs of terms, one linear support vector machine for each label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from radrag.indexes.tokens import token_spans, tokenize
from radrag.labelling.evidence import phrases
from radrag.labelling.features import features, fit_vocabulary, vectorise
from radrag.labelling.linear import fit_linear
from radrag.labelling.stored import read_arrays, read_json, write_arrays, write_json
from radrag.types import Span


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
        self._vocabulary, self._idf, self._weights, self._bias = vocabulary, idf, weights, bias

    @classmethod
    def fit(cls, notes: Sequence[str], true: NDArray[np.int64], labels: int, *, seed: int = 0) -> Self:
        """Learn from labelled notes.

        Args:
            notes: Texts.
            true: Position of each note's label ``[n]``.
            labels: How many labels there are; one without a note gets the score of a label that is certainly absent.
            seed: Seed of the solver.
        """
        vocabulary, idf = fit_vocabulary(notes)
        rows = vectorise([tokenize(note) for note in notes], vocabulary, idf)
        weights, bias = fit_linear(rows, true, labels, seed)
        return cls(vocabulary, idf, weights, bias)

    def scores(self, notes: Sequence[str]) -> NDArray[np.float64]:
        """Return log-scores ``[n, labels]``: the log-softmax of the margins."""
        rows = vectorise([tokenize(note) for note in notes], self._vocabulary, self._idf)
        margins = np.asarray(rows @ self._weights.T, dtype=np.float64) + self._bias
        return np.asarray(log_softmax(margins, axis=1), dtype=np.float64)

    def evidence(self, note: str, label: int) -> tuple[Span, ...]:
        """Return the phrases of a note that spoke most for a label.

        A term contributes its part of the label's margin, above the mean of all labels; of a pair each term has half.

        Returns:
            At most 3 spans, strongest first. If no term speaks for the label more than for the mean label, terms that
            speak for it more than for the weakest; empty if no term of the note is known, or none does even that.
        """
        terms = token_spans(note)
        names = [term for term, _, _ in terms]
        row = vectorise([names], self._vocabulary, self._idf)
        weights = self._weights[:, row.indices]
        for reference in (weights.mean(axis=0), weights.min(axis=0)):
            parts = dict(zip(row.indices.tolist(), (row.data * (weights[label] - reference)).tolist(), strict=True))
            found = phrases(note, terms, self._shared(names, parts))
            if found:
                return found
        return ()

    def save(self, folder: Path) -> None:
        """Write it into an existing folder."""
        write_json(folder / "text_model.json", {"vocabulary": list(self._vocabulary)})
        write_arrays(
            folder / "text_model.safetensors", {"idf": self._idf, "weights": self._weights, "bias": self._bias}
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote."""
        names = read_json(folder / "text_model.json")["vocabulary"]
        arrays = read_arrays(folder / "text_model.safetensors")
        vocabulary = {name: position for position, name in enumerate(names)}
        return cls(vocabulary, arrays["idf"], arrays["weights"], arrays["bias"])

    def _shared(self, terms: Sequence[str], parts: dict[int, float]) -> list[float]:
        """Divide what each feature contributed among its occurrences, and those of a pair among its two terms."""
        columns = [self._vocabulary.get(name, -1) for name in features(terms)]
        times = np.bincount(np.asarray(columns, dtype=np.int64) + 1, minlength=1)
        shares = [parts[column] / float(times[column + 1]) if column >= 0 else 0.0 for column in columns]
        scores = shares[: len(terms)]
        for place, share in enumerate(shares[len(terms) :]):
            scores[place] += share / 2
            scores[place + 1] += share / 2
        return scores
