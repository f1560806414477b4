"""What a pipeline learns from labelled notes: scorers, how far each is trusted, and how sure the result is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from radrag.calibration import Sample
from radrag.errors import ModelError
from radrag.indexes.tokens import passage_terms
from radrag.labelling.calibrated import Calibration, calibrated, stored_calibration
from radrag.labelling.candidate_scorer import CandidateScorer
from radrag.labelling.characters import CharacterModel, count_pieces
from radrag.labelling.feature_counts import FeatureCounts
from radrag.labelling.groups import group_notes, grouped_folds
from radrag.labelling.label_set import LabelSet
from radrag.labelling.neighbours import Neighbours
from radrag.labelling.reference import Reference, drawn, reference_of
from radrag.labelling.sources import SCORERS, Sources
from radrag.labelling.stored import read_arrays, read_json, write_arrays, write_json
from radrag.labelling.term_counts import TermCounts, count_terms
from radrag.labelling.text_model import TextModel
from radrag.labelling.writer import EXAMPLES
from radrag.types import LabelledNote

_ALONE = ("text", "characters", "rules", "generator")  # what can score without retrieving anything
FOLDS = 5
SAMPLE = 300  # notes that a generator is asked about: it is slow, and its weight is one number
MOST = 5_000  # notes that calibrate: more would change neither weights nor thresholds, and each must be scored
_CELLS = 4_000_000  # of a scorer's table of notes and labels: of large sets fewer notes calibrate
_NOTES = 1_000
# Linear models of more labels than this would not fit into memory; neighbours and definitions carry such sets.
MOST_LABELS = 1_000
Scores = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class _Known:
    """Labelled notes to learn from, with all that models of parts of them share.

    Attributes:
        notes: Texts ``[n]``.
        true: Position of each note's label ``[n]``.
        vectors: Their vectors ``[n, dim]``.
        terms: Their terms.
        features: Their features, where a text model is wanted.
        pieces: Their pieces of words, where a model of them is wanted.
    """

    notes: list[str]
    true: NDArray[np.int64]
    vectors: NDArray[np.float32]
    terms: TermCounts
    features: FeatureCounts | None
    pieces: csr_array | None

    @classmethod
    def of(cls, sources: Sources, notes: list[str], true: NDArray[np.int64]) -> _Known:
        terms = [passage_terms(note) for note in notes]
        few = len(np.unique(true)) <= MOST_LABELS
        return cls(
            notes,
            true,
            sources.encoder.encode(notes, "passage"),
            count_terms(terms),
            FeatureCounts.of(terms) if "text" in sources.use and few else None,
            count_pieces(notes) if "characters" in sources.use and few else None,
        )

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> _Known:
        chosen: NDArray[np.int64] = np.flatnonzero(rows) if rows.dtype == np.bool_ else np.asarray(rows, np.int64)
        return _Known(
            [self.notes[row] for row in chosen.tolist()],
            self.true[chosen],
            self.vectors[chosen],
            self.terms.take(chosen),
            None if self.features is None else self.features.take(chosen),
            None if self.pieces is None else self.pieces[chosen],
        )


class Ensemble:
    """Scorers fitted on labelled notes, with a calibration for labels with retrieval and one for without.

    Make one with ``fit`` or ``load``.
    """

    def __init__(
        self,
        sources: Sources,
        text: TextModel | None,
        characters: CharacterModel | None,
        neighbours: Neighbours,
        calibrations: Mapping[str, Calibration],
        reference: Reference | None,
    ) -> None:
        self._sources, self.text, self._characters, self._neighbours = sources, text, characters, neighbours
        self._calibrations, self._reference = calibrations, reference

    @classmethod
    def fit(
        cls,
        sources: Sources,
        examples: Sequence[LabelledNote],
        seed: int,
        calibration: Sequence[LabelledNote] | None = None,
        *,
        learn: bool = False,
    ) -> Self:
        """Fit on the examples, and calibrate on notes of their own, or else on the examples out of fold.

        Args:
            sources: Where scores come from.
            examples: Notes to learn from.
            seed: Seed of folds, samples and solver.
            calibration: Notes to calibrate on; the examples if left out.
            learn: Whether to learn from these too, each fold from the others.

        Raises:
            ValueError: If a label is unknown, there are fewer than 2 labels, fewer than 5 groups to calibrate on, or a
                note is in both.
        """
        learn = learn or calibration is None
        given, groups = _together(sources.labels, examples, calibration)
        first = len(examples) if calibration is not None else 0
        true = _positions(given, sources.labels)
        notes = [note.text for note in given]
        known = _Known.of(sources, notes, true)
        rows = first + drawn(len(given) - first, _most(sources), seed)
        folds = np.full(len(given), -1, dtype=np.int64)
        folds[first:] = grouped_folds(groups[first:], true[first:], FOLDS, seed)
        whole = cls._on(sources, known if learn else known.take(np.arange(first)), seed)
        asked = whole._held_out(known, rows, folds, seed, learn=learn)
        right = np.zeros((len(rows), len(sources.labels)), dtype=np.bool_)
        for place, row in enumerate(rows):
            also = (id for id in given[row].also if id in sources.labels)
            right[place, [true[row], *(sources.labels.ids.index(id) for id in also)]] = True
        whole._calibrations = {
            kind: calibrated({name: asked[name] for name in names}, true[rows], right, folds[rows])
            for kind, names in whole._kinds().items()
            if names
        }
        whole._reference = reference_of(sources.encoder, [notes[row] for row in rows], groups[rows], seed)
        return whole

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many examples each label has, ``[labels]``."""
        return np.bincount(self._neighbours.true, minlength=len(self._sources.labels))

    def calibration(self, *, retrieval: bool) -> Calibration:
        """Return the calibration for labels with or without retrieval.

        Raises:
            ValueError: If no scorer that is used does without retrieval.
        """
        kind = _kind(retrieval)
        if kind not in self._calibrations:
            raise ValueError(
                f"without retrieval nothing is left to score with of use={self._sources.use}; add 'text' to use"
            )
        return self._calibrations[kind]

    def probabilities(self, notes: Sequence[str], *, retrieval: bool) -> NDArray[np.float64]:
        """Return calibrated probabilities ``[n, labels]``."""
        calibration = self.calibration(retrieval=retrieval)
        return calibration.probabilities(self._scores(notes, list(calibration.weights)))

    def known(self, *, retrieval: bool) -> Sample:
        """Return the calibration notes as one side of a drift test."""
        assert self._reference is not None
        return self._reference.sample(self.calibration(retrieval=retrieval))

    def scores(self, notes: Sequence[str], name: str) -> NDArray[np.float64]:
        """Return the log-scores of one scorer ``[n, labels]``."""
        return self._scores(notes, [name])[name]

    def candidates(self, notes: Sequence[str], names_only: CandidateScorer) -> NDArray[np.bool_]:
        """Return which labels of a large set are worth naming ``[n, labels]``: found by name, or by similar notes."""
        return names_only.candidates(notes) | self._neighbours.voted(notes)

    def save(self, folder: Path) -> None:
        """Write it into an existing folder; the labelled notes are in it."""
        for model in (self.text, self._characters):
            if model is not None:
                model.save(folder)
        self._neighbours.save(folder)
        write_json(folder / "calibration.json", {kind: one.values() for kind, one in self._calibrations.items()})
        arrays = {f"{kind}.{name}": array for kind, one in self._calibrations.items()
                  for name, array in one.arrays().items()}  # fmt: skip
        if self._reference is not None:
            kept = self._reference
            arrays |= {"reference.rows": kept.rows, "reference.vectors": kept.vectors}
        write_arrays(folder / "calibration.safetensors", arrays)

    @classmethod
    def load(cls, folder: Path, sources: Sources) -> Self:
        """Read what ``save`` wrote.

        Raises:
            ModelError: If a file is missing or not what was saved.
        """
        values, arrays = read_json(folder / "calibration.json"), read_arrays(folder / "calibration.safetensors")
        try:
            kept = {
                kind: stored_calibration(value, {key.removeprefix(f"{kind}."): array for key, array in arrays.items()})
                for kind, value in values.items()
            }
            reference = Reference(*(arrays[f"reference.{name}"] for name in ("rows", "vectors")))
        except KeyError as error:
            raise ModelError(f"{folder} lacks {error} of its calibration; save the pipeline again") from error
        text = TextModel.load(folder) if (folder / "text_model.json").is_file() else None
        characters = CharacterModel.load(folder) if (folder / "characters.safetensors").is_file() else None
        return cls(sources, text, characters, Neighbours.load(folder, sources.encoder), kept, reference)

    @classmethod
    def _on(cls, sources: Sources, known: _Known, seed: int) -> Self:
        given, counted = (known.notes, known.true, len(sources.labels)), known.features
        text = None if counted is None else TextModel.fit(*given, seed=seed, counted=counted)
        pieces = known.pieces
        characters = None if pieces is None else CharacterModel.fit(*given, seed=seed, counted=pieces)
        neighbours = Neighbours(*given, sources.encoder, known.vectors, known.terms)
        return cls(sources, text, characters, neighbours, {}, None)

    def _held_out(
        self, known: _Known, rows: NDArray[np.int64], folds: NDArray[np.int64], seed: int, *, learn: bool
    ) -> Scores:
        """Score calibration notes by models that have seen none of their group: every scorer ``[rows, labels]``."""
        names = list(dict.fromkeys(name for names in self._kinds().values() for name in names))
        if not learn:
            return self._in_parts([known.notes[row] for row in rows.tolist()], names)
        found = {name: np.zeros((len(rows), len(self._sources.labels))) for name in names}
        for fold in range(FOLDS):
            wanted = np.flatnonzero(folds[rows] == fold)
            if len(wanted):
                model = self._on(self._sources, known.take(folds != fold), seed)
                for name, values in model._in_parts([known.notes[row] for row in rows[wanted].tolist()], names).items():
                    found[name][wanted] = values
        return found

    def _in_parts(self, notes: Sequence[str], names: Sequence[str]) -> Scores:
        """Score some notes at a time: what scorers make of the last ones is kept."""
        parts = [self._scores(notes[start : start + _NOTES], names) for start in range(0, len(notes), _NOTES)]
        return {name: np.concatenate([part[name] for part in parts]) for name in names}

    def _kinds(self) -> dict[str, list[str]]:
        """Return the scorers that take part with and without retrieval, in order."""
        there = {
            "text": self.text is not None,
            "characters": self._characters is not None,
            "rules": self._sources.rules is not None,
            "generator": _writes(self._sources),
        }
        used = [name for name in SCORERS if name in self._sources.use and there.get(name, True)]
        alone = {**dict.fromkeys(_ALONE, ""), "generator": " alone"}
        return {_kind(True): used, _kind(False): [name + alone[name] for name in used if name in alone]}

    def _scores(self, notes: Sequence[str], names: Sequence[str]) -> Scores:
        sources = self._sources
        makers: dict[str, Callable[[Sequence[str]], NDArray[np.float64]]] = {
            "neighbours": self._neighbours.scores,
            "guidelines": sources.zero_shot.scores,
            "generator": self._written,
            "generator alone": self._written_alone,
        }
        if self.text is not None:
            makers["text"] = self.text.scores
        if self._characters is not None:
            makers["characters"] = self._characters.scores
        if sources.rules is not None:
            makers["rules"] = sources.rules.scores
        found: Scores = {}
        for name in names:
            same = name == "generator alone" and sources.writer is not None and sources.writer.tuned is True
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


def _most(sources: Sources) -> int:
    return SAMPLE if _writes(sources) else max(SAMPLE, min(MOST, _CELLS // len(sources.labels)))


def _writes(sources: Sources) -> bool:
    return sources.writer is not None and "generator" in sources.use


def _kind(retrieval: bool) -> str:
    return "retrieval" if retrieval else "alone"


def _together(
    labels: LabelSet, examples: Sequence[LabelledNote], calibration: Sequence[LabelledNote] | None
) -> tuple[list[LabelledNote], NDArray[np.int64]]:
    """Check all notes, and return them with their groups."""
    _positions(examples, labels)
    given = list(examples)
    if calibration is not None:
        _positions(calibration, labels, "calibration note")
        given += calibration
    groups = group_notes(given)
    both = set(groups[: len(examples)]) & set(groups[len(examples) :])
    if both:
        row = next(row for row, group in enumerate(groups[len(examples) :]) if group in both)
        raise ValueError(
            f"calibration note {row} is among the examples too, or of one group with one; keep them apart, or the "
            "probabilities come out too high"
        )
    return given, groups


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
