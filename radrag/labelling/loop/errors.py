"""Where a labeller errs: how often, which labels for which, in which notes, and what a round changed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radrag.labelling.loop.columns import slice_names, word_counts
from radrag.labelling.loop.files import check_same_notes, note_ids
from radrag.labelling.loop.report import report_lines
from radrag.metrics.resampling import Estimate, McNemar, bootstrap, mcnemar, paired_bootstrap
from radrag.metrics.slices import Slice, by_slice, wilson
from radrag.types import LabelledNote, LabelResult

USUAL_COLUMNS = ("modality", "region", "year")
_MOST_NAMES = 5


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """How well one label is found.

    Attributes:
        label: Its id.
        given: Notes that have it.
        predicted: Notes that were given it.
        right: Notes of both kinds.
        precision: Share of the predicted that are right, with Wilson's interval; None if there are none.
        recall: Share of the given that were found, with Wilson's interval; None if there are none.
        f1: Their harmonic mean; None if the label is neither given nor predicted.
    """

    label: str
    given: int
    predicted: int
    right: int
    precision: Estimate | None
    recall: Estimate | None
    f1: float | None


@dataclass(frozen=True, slots=True)
class ConfusedPair:
    """A label that is taken for another.

    Attributes:
        given: Id of the right label.
        predicted: Id of the label predicted for it.
        notes: How many.
        of: Notes that have the right label.
        note_ids: Names of some, the surest errors first.
    """

    given: str
    predicted: str
    notes: int
    of: int
    note_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WrongNote:
    """A note with a wrong prediction.

    Attributes:
        note_id: Its name.
        given: Id of its label.
        predicted: Id of the predicted label.
        probability: The probability that it was given.
        given_probability: The probability that the right label was given; None if the result ranks no labels.
        evidence: What in the note spoke for the prediction.
        text: The note.
    """

    note_id: str
    given: str
    predicted: str
    probability: float
    given_probability: float | None
    evidence: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class RoundChange:
    """What changed since the last round, on the same notes and judged by the labels of now.

    Attributes:
        before: Accuracy of the last round.
        difference: Accuracy of now less that of before, paired.
        test: McNemar's test; ``system_only`` are the fixed, ``baseline_only`` the broken notes.
        fixed: Names of notes that were wrong and are right.
        broken: Names of notes that were right and are wrong.
    """

    before: float
    difference: Estimate
    test: McNemar
    fixed: tuple[str, ...]
    broken: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ErrorAnalysis:
    """Where a labeller errs.

    Attributes:
        accuracy: Share of right labels; whole groups are drawn where notes come in groups.
        macro_f1: Mean F1 of the labels that notes have.
        labels: Figures of every label, the most errors first.
        confusions: Which label was taken for which, the most notes first.
        slices: Accuracy by length, and by each column, the worst first, each against the rest.
        wrong: Some wrong notes, the surest first: what is wrong with confidence does most harm.
        change: What changed since the last round, None if it was not given.
        warnings: What a reader should know.
    """

    accuracy: Estimate
    macro_f1: float
    labels: tuple[LabelFigures, ...]
    confusions: tuple[ConfusedPair, ...]
    slices: tuple[Slice, ...]
    wrong: tuple[WrongNote, ...]
    change: RoundChange | None
    warnings: tuple[str, ...] = ()

    def to_dict(self, *, texts: bool = True) -> dict[str, Any]:
        """Return it as plain JSON values; without ``texts`` no words of notes are in it."""
        values = asdict(self)
        if not texts:
            for note in values["wrong"]:
                del note["text"], note["evidence"]
        for one in values["slices"]:
            one["rest"] = None if one["rest"] != one["rest"] else one["rest"]  # nan is not JSON
        return values

    def to_markdown(self, *, texts: bool = True) -> str:
        """Return a report to read; without ``texts`` no words of notes are in it."""
        return "\n".join(report_lines(self, texts)) + "\n"

    def __str__(self) -> str:
        return self.to_markdown()


@dataclass(frozen=True, slots=True)
class _Judged:
    """Notes with their names and what was predicted for them.

    Attributes:
        ids: Their names.
        given: Their labels; a prediction that is right as well counts as the label.
        predicted: What was predicted.
        results: The results.
    """

    ids: list[str]
    given: list[str]
    predicted: list[str]
    results: Sequence[LabelResult]

    @property
    def correct(self) -> NDArray[np.bool_]:
        return np.asarray([one == other for one, other in zip(self.given, self.predicted, strict=True)], dtype=bool)

    def surest_errors(self) -> list[int]:
        rows = np.flatnonzero(~self.correct).tolist()
        return sorted(rows, key=lambda row: (-self.results[row].probability, self.ids[row]))


def error_analysis(
    notes: Sequence[LabelledNote],
    results: Sequence[LabelResult],
    previous: Sequence[LabelResult] | None = None,
    *,
    columns: Mapping[str, Sequence[object]] | None = None,
    examples: int = 20,
    seed: int = 0,
) -> ErrorAnalysis:
    """Look for what the errors of a labeller have in common.

    Args:
        notes: Notes with their right labels; at least two. A prediction among ``also`` is right.
        results: What the labeller says of them, in their order; of notes that it was not fitted on, or ``out_of_fold``.
        previous: What the labeller of the last round said of the same notes.
        columns: What else to part the notes by: a value for each note [n], by name. Modality, region and year are
            taken from the notes' metadata where they are there.
        examples: Most wrong notes to show.
        seed: Seed of the bootstrap.

    Raises:
        ValueError: If results are not of these notes, a note has no label, a column has another length, or there are
            fewer than two notes (or groups, where notes come in groups).
    """
    check_same_notes(notes, results)
    for place, note in enumerate(notes):
        if not note.label:
            raise ValueError(f"note {place} has no label; errors can be told on labelled notes only")
    judged = _judged(notes, results)
    correct = judged.correct
    groups = _groups(notes)
    figures = _figures(judged)
    warnings = []
    if groups is not None:
        warnings.append("notes come in groups; McNemar's test takes them for independent, so go by the paired interval")
    small = sum(figure.given < 20 for figure in figures if figure.given)
    if small:
        warnings.append(f"{small} of {len(figures)} labels have fewer than 20 notes; their figures are rough")
    f1 = [figure.f1 for figure in figures if figure.given and figure.f1 is not None]
    return ErrorAnalysis(
        accuracy=bootstrap(correct.astype(float), seed=seed, groups=groups),
        macro_f1=float(np.mean(f1)),
        labels=figures,
        confusions=_confusions(judged),
        slices=_slices(_columns(notes, columns or {}), correct, groups, seed),
        wrong=tuple(_wrong(judged, row, notes[row].text) for row in judged.surest_errors()[:examples]),
        change=None if previous is None else _change(notes, previous, judged, groups, seed),
        warnings=tuple(warnings),
    )


def _judged(notes: Sequence[LabelledNote], results: Sequence[LabelResult]) -> _Judged:
    predicted = [result.label for result in results]
    given = [label if label in note.also else note.label for note, label in zip(notes, predicted, strict=True)]
    return _Judged(note_ids(notes), given, predicted, results)


def _groups(notes: Sequence[LabelledNote]) -> list[str] | None:
    """Return the group of each note, those without one alone; None if no group has two notes."""
    names = [note.group or f"\0{place}" for place, note in enumerate(notes)]
    return names if len(set(names)) < len(names) else None


def _columns(notes: Sequence[LabelledNote], given: Mapping[str, Sequence[object]]) -> dict[str, Sequence[object]]:
    columns: dict[str, Sequence[object]] = {"length in words": word_counts(notes)}
    kept: list[Mapping[str, object]] = [getattr(note, "metadata", {}) for note in notes]
    for name in USUAL_COLUMNS:
        if name not in given and any(name in one for one in kept):
            columns[name] = [one.get(name) for one in kept]
    return {**columns, **given}


def _slices(
    columns: Mapping[str, Sequence[object]], correct: NDArray[np.bool_], groups: list[str] | None, seed: int
) -> tuple[Slice, ...]:
    parted = {}
    for name, values in columns.items():
        if len(values) != len(correct):
            raise ValueError(f"column {name!r} has {len(values)} values, but there are {len(correct)} notes")
        parted[name] = slice_names(values)
    found = by_slice(parted, correct.astype(float), groups=groups, seed=seed)
    order = {name: place for place, name in enumerate(parted)}
    return tuple(sorted(found, key=lambda one: (order[one.attribute], one.estimate.value, -one.estimate.n, one.name)))


def _figures(judged: _Judged) -> tuple[LabelFigures, ...]:
    given, predicted = Counter(judged.given), Counter(judged.predicted)
    right = Counter(one for one, other in zip(judged.given, judged.predicted, strict=True) if one == other)
    found = [_figure(label, given[label], predicted[label], right[label]) for label in given.keys() | predicted.keys()]
    return tuple(sorted(found, key=lambda one: (2 * one.right - one.given - one.predicted, one.label)))


def _figure(label: str, given: int, predicted: int, right: int) -> LabelFigures:
    return LabelFigures(
        label=label,
        given=given,
        predicted=predicted,
        right=right,
        precision=wilson(right, predicted) if predicted else None,
        recall=wilson(right, given) if given else None,
        f1=2 * right / (given + predicted),
    )


def _confusions(judged: _Judged) -> tuple[ConfusedPair, ...]:
    of, pairs = Counter(judged.given), defaultdict(list)
    for row in judged.surest_errors():
        pairs[judged.given[row], judged.predicted[row]].append(judged.ids[row])
    found = [
        ConfusedPair(given, predicted, len(ids), of[given], tuple(ids[:_MOST_NAMES]))
        for (given, predicted), ids in pairs.items()
    ]
    return tuple(sorted(found, key=lambda pair: (-pair.notes, pair.given, pair.predicted)))


def _wrong(judged: _Judged, row: int, text: str) -> WrongNote:
    result = judged.results[row]
    return WrongNote(
        note_id=judged.ids[row],
        given=judged.given[row],
        predicted=judged.predicted[row],
        probability=result.probability,
        given_probability=dict(result.ranking).get(judged.given[row], 0.0) if result.ranking else None,
        evidence=tuple(span.text for span in result.evidence),
        text=text,
    )


def _change(
    notes: Sequence[LabelledNote],
    previous: Sequence[LabelResult],
    judged: _Judged,
    groups: list[str] | None,
    seed: int,
) -> RoundChange:
    check_same_notes(notes, previous)
    now, before = judged.correct, _judged(notes, previous).correct

    def names(mask: NDArray[np.bool_]) -> Iterator[str]:
        return (judged.ids[row] for row in np.flatnonzero(mask))

    return RoundChange(
        before=float(before.mean()),
        difference=paired_bootstrap(now.astype(float), before.astype(float), seed=seed, groups=groups),
        test=mcnemar(now, before),
        fixed=tuple(names(now & ~before)),
        broken=tuple(names(before & ~now)),
    )
