"""What a labeller says of notes that it was not fitted on, for every note of a labelled set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np

from radrag.labelling.groups import group_notes, grouped_folds
from radrag.types import LabelledNote, LabelResult


class Fitted(Protocol):
    """What labels notes after a fit."""

    def batch(self, notes: Iterable[str]) -> list[LabelResult]:
        """Return a result for each note, in order."""


def out_of_fold(
    notes: Sequence[LabelledNote],
    fit: Callable[[list[LabelledNote]], Fitted],
    *,
    folds: int = 5,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[LabelResult]:
    """Label every note by a labeller fitted on the other folds.

    Copies and notes of one ``group`` are in one fold, so no note is labelled by its own label or that of its copy.

    Args:
        notes: The labelled notes.
        fit: Makes a labeller from notes, such as ``lambda some: LabelPipeline(index, labels=labels).fit(some)``.
        folds: How many; each costs one fit.
        seed: Seed of the folds.
        progress: Told the folds done and their number.

    Returns:
        A result for each note, in order.

    Raises:
        ValueError: If there are fewer groups of notes than folds.
    """
    names = sorted({note.label for note in notes})
    numbers = {name: place for place, name in enumerate(names)}
    labels = np.asarray([numbers[note.label] for note in notes], dtype=np.int64)
    dealt = grouped_folds(group_notes(notes), labels, folds, seed)
    results: dict[int, LabelResult] = {}
    for fold in range(folds):
        held = np.flatnonzero(dealt == fold).tolist()
        labeller = fit([notes[row] for row in np.flatnonzero(dealt != fold).tolist()])
        results.update(zip(held, labeller.batch([notes[row].text for row in held]), strict=True))
        if progress is not None:
            progress(fold + 1, folds)
    return [results[row] for row in range(len(notes))]
