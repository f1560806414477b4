"""What a pipeline learns from labelled notes: scorers, how far each is trusted, and how sure the result is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from radrag.calibration import apply_pool, conformal_threshold, fit_pool
from radrag.indexes.hybrid import HybridIndex
from radrag.labelling.groups import group_notes, grouped_folds
from radrag.labelling.label_set import LabelSet
from radrag.labelling.neighbours import Neighbours
from radrag.labelling.stored import read_json, write_json
from radrag.labelling.text_model import TextModel
from radrag.labelling.writer import EXAMPLES, Writer
from radrag.labelling.zero_shot import ZeroShot
from radrag.protocols import Encoder
from radrag.types import LabelledNote

FOLDS = 5
SAMPLE = 300  # notes that a generator is asked about: it is slow, and its weight is one number
Scores = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Calibration:
    """How scores become probabilities and sets.

    Attributes:
        weights: Weight of each scorer in the pool, by its name.
        threshold: Probability that a label of the conformal set reaches.
        notes: Labelled notes that it was fitted on.
    """

    weights: Mapping[str, float]
    threshold: float
    notes: int


@dataclass(frozen=True, slots=True)
class Sources:
    """Where scores come from besides the examples.

    Attributes:
        labels: The labels.
        encoder: Encoder of notes.
        index: Where guidelines are.
        zero_shot: Scorer by guidelines.
        writer: The generator, if it scores.
    """

    labels: LabelSet
    encoder: Encoder
    index: HybridIndex
    zero_shot: ZeroShot
    writer: Writer | None


class Ensemble:
    """Scorers fitted on labelled notes, with a calibration for labels with retrieval and one for without.

    Make one with ``fit`` or ``load``.
    """

    def __init__(
        self, sources: Sources, text: TextModel, neighbours: Neighbours, calibrations: Mapping[str, Calibration]
    ) -> None:
        self._sources, self.text, self._neighbours, self._calibrations = sources, text, neighbours, calibrations

    @classmethod
    def fit(
        cls,
        sources: Sources,
        examples: Sequence[LabelledNote],
        coverage: float,
        seed: int,
        calibration: Sequence[LabelledNote] | None = None,
    ) -> Self:
        """Fit on the examples, and calibrate on notes of their own, or else on the examples out of fold.

        Raises:
            ValueError: If a label is unknown, there are fewer than 2 labels, fewer than 5 groups to calibrate on, or a
                note is in both.
        """
        if calibration is not None:
            return cls._fit_apart(sources, examples, calibration, coverage, seed)
        true = _positions(examples, sources.labels)
        folds = grouped_folds(group_notes(examples), true, FOLDS, seed)
        notes = [note.text for note in examples]
        vectors = sources.encoder.encode(notes, "passage")
        rows = _sample(len(notes), seed) if sources.writer is not None else np.arange(len(notes))
        asked = {name: np.zeros((len(rows), len(sources.labels))) for name in _names(sources)}
        for fold in range(FOLDS):
            known, wanted = np.flatnonzero(folds != fold), np.flatnonzero(folds[rows] == fold)
            model = cls._on(sources, [notes[row] for row in known], true[known], vectors[known], {}, seed)
            if len(wanted):
                scored = model._scores([notes[row] for row in rows[wanted]], list(asked))
                for name, values in scored.items():
                    asked[name][wanted] = values
        calibrations = {
            kind: _calibrated({name: asked[name] for name in names}, true[rows], folds[rows], coverage)
            for kind, names in _kinds(sources).items()
        }
        return cls._on(sources, notes, true, vectors, calibrations, seed)

    @classmethod
    def _fit_apart(
        cls,
        sources: Sources,
        examples: Sequence[LabelledNote],
        calibration: Sequence[LabelledNote],
        coverage: float,
        seed: int,
    ) -> Self:
        """Fit on all examples, score the other notes, and calibrate on these scores."""
        groups = group_notes([*examples, *calibration])
        both = set(groups[: len(examples)]) & set(groups[len(examples) :])
        if both:
            row = next(row for row, group in enumerate(groups[len(examples) :]) if group in both)
            raise ValueError(
                f"calibration note {row} is among the examples too, or of one group with one; keep them apart, or the "
                "probabilities come out too high"
            )
        true, held = _positions(examples, sources.labels), _positions(calibration, sources.labels, "calibration note")
        notes = [note.text for note in examples]
        model = cls._on(sources, notes, true, sources.encoder.encode(notes, "passage"), {}, seed)
        rows = _sample(len(held), seed) if sources.writer is not None else np.arange(len(held))
        scores = model._scores([calibration[row].text for row in rows], _names(sources))
        folds = grouped_folds(groups[len(examples) :][rows], held[rows], FOLDS, seed)
        model._calibrations = {
            kind: _calibrated({name: scores[name] for name in names}, held[rows], folds, coverage)
            for kind, names in _kinds(sources).items()
        }
        return model

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many examples each label has, ``[labels]``."""
        return np.bincount(self._neighbours.true, minlength=len(self._sources.labels))

    def calibration(self, *, retrieval: bool) -> Calibration:
        """Return the calibration for labels with or without retrieval."""
        return self._calibrations[_kind(retrieval)]

    def probabilities(self, notes: Sequence[str], *, retrieval: bool) -> NDArray[np.float64]:
        """Return calibrated probabilities ``[n, labels]``."""
        weights = self.calibration(retrieval=retrieval).weights
        scores = self._scores(notes, list(weights))
        return apply_pool(np.stack([scores[name] for name in weights]), list(weights.values()))

    def save(self, folder: Path) -> None:
        """Write it into an existing folder; the labelled notes are in it."""
        self.text.save(folder)
        self._neighbours.save(folder)
        write_json(folder / "calibration.json", {kind: asdict(value) for kind, value in self._calibrations.items()})

    @classmethod
    def load(cls, folder: Path, sources: Sources) -> Self:
        """Read what ``save`` wrote."""
        kept = {kind: Calibration(**value) for kind, value in read_json(folder / "calibration.json").items()}
        return cls(sources, TextModel.load(folder), Neighbours.load(folder, sources.encoder), kept)

    @classmethod
    def _on(
        cls,
        sources: Sources,
        notes: Sequence[str],
        true: NDArray[np.int64],
        vectors: NDArray[np.float32],
        calibrations: Mapping[str, Calibration],
        seed: int,
    ) -> Self:
        size = len(sources.labels)
        text = TextModel.fit(notes, true, size, seed=seed)
        return cls(sources, text, Neighbours(notes, true, size, sources.encoder, vectors), calibrations)

    def _scores(self, notes: Sequence[str], names: Sequence[str]) -> Scores:
        makers = {
            "text": self.text.scores,
            "neighbours": self._neighbours.scores,
            "guidelines": self._sources.zero_shot.scores,
            "generator": self._written,
            "generator alone": self._written_alone,
        }
        found: Scores = {}
        for name in names:
            same = name == "generator alone" and self._sources.writer is not None and self._sources.writer.tuned is True
            found[name] = found["generator"] if same and "generator" in found else makers[name](notes)
        return found

    def _written(self, notes: Sequence[str]) -> NDArray[np.float64]:
        assert self._sources.writer is not None
        kept, ids = self._neighbours, self._sources.labels.ids
        shown = [
            [(kept.notes[row], ids[kept.true[row]]) for row, _ in reversed(hits)]  # the most similar stands last
            for hits in kept.nearest(notes, EXAMPLES)
        ]
        return self._sources.writer.scores(notes, shown, self._sources.index)

    def _written_alone(self, notes: Sequence[str]) -> NDArray[np.float64]:
        assert self._sources.writer is not None
        return self._sources.writer.scores(notes)


def _sample(count: int, seed: int) -> NDArray[np.int64]:
    """Return the rows that a generator is asked about, in order."""
    if count <= SAMPLE:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, SAMPLE, replace=False))


def _kind(retrieval: bool) -> str:
    return "retrieval" if retrieval else "alone"


def _kinds(sources: Sources) -> dict[str, list[str]]:
    """Return the scorers that take part with and without retrieval."""
    written = sources.writer is not None
    return {
        _kind(True): ["text", "neighbours", "guidelines", *(["generator"] if written else [])],
        _kind(False): ["text", *(["generator alone"] if written else [])],
    }


def _names(sources: Sources) -> list[str]:
    return list(dict.fromkeys(name for names in _kinds(sources).values() for name in names))


def _positions(examples: Sequence[LabelledNote], labels: LabelSet, what: str = "example") -> NDArray[np.int64]:
    numbers = {id: position for position, id in enumerate(labels.ids)}
    for place, note in enumerate(examples):
        if not isinstance(note.text, str) or not note.text.strip():
            raise ValueError(f"{what} {place} has no text, got {note.text!r}; leave it out or give its note")
        if note.label not in numbers:
            raise ValueError(
                f"{what} {place} has the label {note.label!r}, which is not in the label set ({labels!r}); correct it "
                "or add the label"
            )
    true = np.asarray([numbers[note.label] for note in examples], dtype=np.int64)
    if len(np.unique(true)) < 2:
        raise ValueError(f"{what}s must hold at least 2 different labels, got {len(np.unique(true))}; add notes")
    return true


def _calibrated(scores: Scores, true: NDArray[np.int64], folds: NDArray[np.int64], coverage: float) -> Calibration:
    """Fit the pool, and the threshold on probabilities by pools that did not see the note's fold."""
    stacked = np.stack(list(scores.values()))
    held = np.zeros(len(true))
    for fold in np.unique(folds):
        wanted, known = folds == fold, folds != fold
        weights = fit_pool(stacked[:, known], true[known])
        held[wanted] = apply_pool(stacked[:, wanted], weights)[np.arange(wanted.sum()), true[wanted]]
    weights = fit_pool(stacked, true)
    return Calibration(
        weights={name: float(weight) for name, weight in zip(scores, weights, strict=True)},
        threshold=conformal_threshold(held, 1 - coverage),
        notes=len(true),
    )
