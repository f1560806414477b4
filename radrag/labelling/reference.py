"""Calibration notes that later ones are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radrag.calibration import Sample
from radrag.labelling.calibrated import Calibration
from radrag.protocols import Encoder

MOST = 1_000  # notes of each side: more would not tell more, and each batch is compared


@dataclass(frozen=True, slots=True)
class Reference:
    """Calibration notes that later ones are compared with, one of each group.

    Attributes:
        rows: Which of the calibration notes they are ``[n]``.
        vectors: Their vectors, as of queries ``[n, dim]``.
    """

    rows: NDArray[np.int64]
    vectors: NDArray[np.float32]

    def sample(self, calibration: Calibration) -> Sample:
        """Return them as one side of a drift test."""
        return Sample(self.vectors, calibration.top[self.rows])


def reference_of(encoder: Encoder, notes: Sequence[str], groups: NDArray[np.int64], seed: int) -> Reference:
    """Keep one calibration note of each group: notes of a group are no independent draws."""
    _, first = np.unique(groups, return_index=True)
    rows = np.sort(first)[drawn(len(first), MOST, seed)]
    chosen = [notes[row] for row in rows.tolist()]
    return Reference(rows, encoder.encode(chosen, "query").copy())


def sample_of(notes: Sequence[str], probabilities: NDArray[np.float64], encoder: Encoder, seed: int) -> Sample:
    """Return notes as the other side of a drift test.

    Args:
        notes: Texts.
        probabilities: Their probabilities ``[n, labels]``.
        encoder: Encoder of notes.
        seed: Seed of the sample, where they are many.
    """
    rows = drawn(len(notes), MOST, seed)
    vectors = encoder.encode([notes[row] for row in rows.tolist()], "query")
    return Sample(vectors, probabilities[rows].max(axis=1))


def drawn(count: int, most: int, seed: int) -> NDArray[np.int64]:
    """Return all rows, or a seeded sample of them in order."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))
