"""Labels by retrieval: the labelled notes most like a note vote for their labels.

Source: Yang, "An Evaluation of Statistical Approaches to Text Categorization", Information Retrieval 1999, section 3;
the votes are weighted by a softmax of the fused score.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from radrag.errors import IndexMismatchError
from radrag.indexes.searcher import Mode
from radrag.labelling.matrix_search import MatrixSearch
from radrag.labelling.memory import dense_weight, memory_searcher, rounded
from radrag.labelling.stored import read_arrays, read_json, write_arrays, write_json
from radrag.labelling.term_counts import TermCounts
from radrag.protocols import Encoder

# Chosen out of fold on the shipped training notes, for the pool with the text model.
VOTERS = 50
TEMPERATURE = 0.5
SMOOTHING = 0.003
# Labelled notes from which an approximate search for each note costs less than comparing a batch with all of them.
MOST_COMPARED = 50_000


class Neighbours:
    """Scores labels by the votes of similar notes.

    Args:
        notes: Labelled notes, at least one.
        true: Position of each note's label ``[n]``.
        labels: How many labels there are.
        encoder: Encoder of notes.
        vectors: The notes' vectors, if they were made before, float32 ``[n, dim]``.
        counted: The notes' terms, if they were counted before.
    """

    def __init__(
        self,
        notes: Sequence[str],
        true: NDArray[np.int64],
        labels: int,
        encoder: Encoder,
        vectors: NDArray[np.float32] | None = None,
        counted: TermCounts | None = None,
    ) -> None:
        self.notes, self.true, self._labels, self._encoder = tuple(notes), true, labels, encoder
        self._vectors = encoder.encode(notes, "passage") if vectors is None else vectors
        self._matrix: MatrixSearch | None = None
        if len(self.notes) <= MOST_COMPARED:
            self._matrix = MatrixSearch(counted or self.notes, rounded(self._vectors), encoder, dense_weight(encoder))
        else:
            self._searcher = memory_searcher(self.notes, self._vectors, encoder)

    def nearest(self, notes: Sequence[str], k: int = VOTERS) -> list[list[tuple[int, float]]]:
        """Return for each note the rows of the ``k`` most similar labelled notes, best first, with fused scores."""
        rows, scores = self._nearest(notes, k)
        return [
            [(row, score) for row, score in zip(*pair, strict=True) if score > -np.inf]
            for pair in zip(rows.tolist(), scores.tolist(), strict=True)
        ]

    def scores(self, notes: Sequence[str]) -> NDArray[np.float64]:
        """Return log-scores ``[n, labels]``: the log of smoothed shares of the vote."""
        rows, scores = self._nearest(notes, VOTERS)
        weights = softmax(scores / TEMPERATURE, axis=1)
        cells = np.arange(len(notes))[:, None] * self._labels + self.true[rows]
        shares = np.bincount(cells.ravel(), weights.ravel(), len(notes) * self._labels)
        found = np.log((shares + SMOOTHING) / (1 + SMOOTHING * self._labels))
        return np.asarray(found.reshape(len(notes), self._labels), dtype=np.float64)

    def voted(self, notes: Sequence[str]) -> NDArray[np.bool_]:
        """Return which labels the most similar labelled notes have ``[n, labels]``."""
        rows, scores = self._nearest(notes, VOTERS)
        mask = np.zeros((len(notes), self._labels), dtype=np.bool_)
        places, kept = np.nonzero(scores > -np.inf)
        mask[places, self.true[rows[places, kept]]] = True
        return mask

    def _nearest(self, notes: Sequence[str], k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return rows and fused scores ``[n, k]``, best first, the first of equals; -inf fills up."""
        if self._matrix is not None:
            return self._matrix.nearest(notes, k)
        rows, scores = np.zeros((len(notes), k), dtype=np.int64), np.full((len(notes), k), -np.inf)
        for place, hits in enumerate(self._searcher.search(notes, k, None, Mode.HYBRID)):
            best = sorted(((-score, row) for row, score, *_ in hits))[:k]
            rows[place, : len(best)] = [row for _, row in best]
            scores[place, : len(best)] = [-score for score, _ in best]
        return rows, scores

    def save(self, folder: Path) -> None:
        """Write it into an existing folder; the notes themselves are in it."""
        write_json(
            folder / "neighbours.json",
            {"notes": list(self.notes), "labels": self._labels, "encoder": self._encoder.fingerprint},
        )
        write_arrays(folder / "neighbours.safetensors", {"true": self.true, "vectors": self._vectors})

    @classmethod
    def load(cls, folder: Path, encoder: Encoder) -> Self:
        """Read what ``save`` wrote.

        Raises:
            IndexMismatchError: If the vectors are another encoder's.
        """
        kept, arrays = read_json(folder / "neighbours.json"), read_arrays(folder / "neighbours.safetensors")
        if kept["encoder"] != encoder.fingerprint:
            raise IndexMismatchError(
                f"{folder} holds vectors of encoder {kept['encoder']}, but {encoder.fingerprint} was given; pass "
                "encoder=... as when the pipeline was made, or fit it again"
            )
        return cls(kept["notes"], arrays["true"], kept["labels"], encoder, arrays["vectors"])
