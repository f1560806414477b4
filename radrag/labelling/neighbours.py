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
from radrag.labelling.memory import memory_searcher
from radrag.labelling.stored import read_arrays, read_json, write_arrays, write_json
from radrag.protocols import Encoder

# Chosen out of fold on the shipped training notes, for the pool with the text model.
VOTERS = 50
TEMPERATURE = 0.5
SMOOTHING = 0.003


class Neighbours:
    """Scores labels by the votes of similar notes.

    Args:
        notes: Labelled notes, at least one.
        true: Position of each note's label ``[n]``.
        labels: How many labels there are.
        encoder: Encoder of notes.
        vectors: The notes' vectors, if they were made before, float32 ``[n, dim]``.
    """

    def __init__(
        self,
        notes: Sequence[str],
        true: NDArray[np.int64],
        labels: int,
        encoder: Encoder,
        vectors: NDArray[np.float32] | None = None,
    ) -> None:
        self.notes, self.true, self._labels, self._encoder = tuple(notes), true, labels, encoder
        self._vectors = encoder.encode(notes, "passage") if vectors is None else vectors
        self._searcher = memory_searcher(self.notes, self._vectors, encoder)

    def nearest(self, notes: Sequence[str], k: int = VOTERS) -> list[list[tuple[int, float]]]:
        """Return for each note the rows of the ``k`` most similar labelled notes, best first, with fused scores."""
        found = self._searcher.search(notes, k, None, Mode.HYBRID)
        return [
            sorted(((row, score) for row, score, *_ in hits), key=lambda hit: (-hit[1], hit[0]))[:k] for hits in found
        ]

    def scores(self, notes: Sequence[str]) -> NDArray[np.float64]:
        """Return log-scores ``[n, labels]``: the log of smoothed shares of the vote."""
        shares = np.zeros((len(notes), self._labels))
        for place, hits in enumerate(self.nearest(notes)):
            weights = softmax(np.asarray([score for _, score in hits]) / TEMPERATURE)
            np.add.at(shares[place], self.true[[row for row, _ in hits]], weights)
        return np.asarray(np.log((shares + SMOOTHING) / (1 + SMOOTHING * self._labels)), dtype=np.float64)

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
