"""Compare a pipeline with its baseline on the same items: paired, with n, intervals, tests and controls."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from radrag.evaluation.ablations import ablate, question_ablations
from radrag.evaluation.cases import cases_of, failures_of
from radrag.evaluation.comparison import Comparison, interval
from radrag.evaluation.curves import reliability, retrieval, risk
from radrag.evaluation.fairness import slice_rows, slices_of
from radrag.evaluation.figures import (
    Groups,
    Scores,
    SetStatistic,
    corrected,
    groups_of,
    rows_of,
    statistic_row,
)
from radrag.evaluation.leaks import leak_control as _leaks
from radrag.evaluation.leaks import with_sources
from radrag.evaluation.memory import PeakMemory
from radrag.evaluation.records import Cost, Repeats, Row, Spread
from radrag.evaluation.scores import (
    NOTE_MEASURES,
    QUESTION_MEASURES,
    Measure,
    label_right,
    macro_f1,
    resolved,
    score_all,
)
from radrag.evaluation.variants import index_of, metered, reseeded, samples, variant
from radrag.metrics import expected_calibration_error
from radrag.types import Answer, LabelledNote, LabelResult, Question

__all__ = ["Comparison", "Measure", "Row", "compare", "interval"]

Items = Sequence[Question] | Sequence[LabelledNote]


def compare(
    system: Any,
    baseline: Any,
    items: Items,
    *,
    seed: int = 0,
    names: tuple[str, str] = ("RAG", "no RAG"),
    measures: Sequence[Measure] | None = None,
    groups: Sequence[Hashable] | Literal["auto"] | None = "auto",
    slices: Mapping[str, Sequence[Hashable]] | Literal["auto"] | None = "auto",
    leak_control: bool = False,
    ablations: bool | Mapping[str, Any] = False,
    repeats: int = 1,
    texts: bool = True,
) -> Comparison:
    """Run two pipelines on the same items and compare them, paired.

    Questions are scored for: the right verdict (an abstention is wrong), token F1 with the gold answer, citing a
    document of the gold spans, answering what can be answered, and abstaining on what cannot. Notes are scored for:
    accuracy (any acceptable label is right), macro-F1, calibration error, and coverage of the label sets.

    Args:
        system: A ``QAPipeline`` or ``LabelPipeline``, or anything with ``batch``.
        baseline: The same, usually ``system.without_retrieval()``.
        items: ``Question`` or ``LabelledNote`` records, at least 2.
        seed: Seed of the resampling.
        names: What to call the two.
        measures: Other figures of single items in place of the usual ones.
        groups: Group of each item, drawn and tested as a whole. ``"auto"``: questions that share a gold document (also
            through others), notes of one ``group``. None: every item stands alone.
        slices: Attribute to its value for each item. ``"auto"``: what is known of items and their documents.
        leak_control: Score questions again without the documents of their gold spans.
        ablations: True for the usual variants of a ``QAPipeline``; or systems of your own, by name.
        repeats: Runs of generators that sample, with the seeds 0, 1, ...; the first run makes the tables.
        texts: Whether to keep the words of items and outputs as cases; without them there is no case to look at or
            review, and nothing of a patient is in the report.

    Raises:
        ValueError: If there are fewer than 2 items or they are of mixed kinds, or an option does not fit the system.
        TypeError: If a system is for the other kind of item, or a control needs a ``QAPipeline`` and it is none.
    """
    given = _checked(items, names)
    of_notes = isinstance(given[0], LabelledNote)
    if leak_control and of_notes:
        raise ValueError("leak_control removes the source of a question; notes have none, so leave it out")
    if leak_control or ablations is True:
        variant(system)  # what cannot be varied is refused before anything runs
    if leak_control:
        with_sources(given)
    for side in (system, baseline):
        _check_kind(side, of_notes)
    _check_repeats(repeats, (system, baseline))
    usual = NOTE_MEASURES if of_notes else QUESTION_MEASURES
    run = _Run(given, usual if measures is None else tuple(measures), _groups(groups, given), seed)
    done = [run.outputs(side, name) for side, name in zip((system, baseline), names, strict=True)]
    outputs = (done[0][0], done[1][0])
    scores = (score_all(run.measures, given, outputs[0]), score_all(run.measures, given, outputs[1]))
    rows, unscored = rows_of(run.measures, *scores, run.groups, seed)
    if of_notes:
        rows = _with_set_figures(rows, given, outputs, run.groups, seed)
    parted = slices_of(given, index_of(system)) if slices == "auto" else slices or {}
    variants = question_ablations(system) if ablations is True else ablations or {}
    sides = list(zip(names, outputs, strict=True))
    return Comparison(
        corrected(rows), len(given), unscored, *names,
        manifest=_manifest(outputs, names, seed),
        groups=None if run.groups is None else len(set(run.groups)),
        slices=slice_rows(parted, run.measures, *scores, run.groups, seed),
        calibration=_some(reliability(name, given, made, run.groups, seed) for name, made in sides),
        risk=_some(risk(name, given, made) for name, made in sides),
        retrieval=retrieval(given, outputs[0], run.groups, seed),
        leak=_leaks(system, given, run.measures, outputs[0], scores[1], run.groups, seed) if leak_control else None,
        ablations=ablate(variants, given, run.measures, scores[0], run.groups, seed),
        repeats=run.repeats((system, baseline), outputs, scores, repeats),
        cost=(done[0][1], done[1][1]), failures=failures_of(outputs),
        cases=cases_of(given, outputs, scores, run.groups, texts=texts),
    )  # fmt: skip


_PAIRS = "Questions go with a QAPipeline and LabelledNotes with a LabelPipeline"


def _check_kind(side: Any, of_notes: bool) -> None:
    from radrag.pipelines.label import LabelPipeline
    from radrag.pipelines.qa import QAPipeline

    if isinstance(side, QAPipeline if of_notes else LabelPipeline):
        items = "LabelledNotes" if of_notes else "Questions"
        raise TypeError(f"a {type(side).__name__} cannot be compared on {items}: {_PAIRS}")


def _check_repeats(count: int, sides: tuple[Any, Any]) -> None:
    if count < 1:
        raise ValueError(f"repeats must be at least 1, got {count}")
    if count > 1 and not any(samples(side) for side in sides):
        reseeded(sides[0], 0)  # raises, and says why there is nothing to repeat


def _groups(groups: Sequence[Hashable] | Literal["auto"] | None, given: Sequence[Any]) -> list[str] | None:
    if groups == "auto":
        return groups_of(given)
    units = None if groups is None else [str(one) for one in groups]
    if units is not None and len(units) != len(given):
        raise ValueError(f"groups must name a group for each of the {len(given)} items, got {len(units)}")
    return units


def _checked(items: Items, names: tuple[str, str]) -> list[Any]:
    given: list[Any] = list(items)
    if names[0] == names[1] or "seed" in names:
        raise ValueError(f"names must tell the two sides apart, and not be 'seed', got {names}")
    kinds = {type(item) for item in given}
    if len(given) < 2 or len(kinds) != 1 or not kinds <= {Question, LabelledNote}:
        found = ", ".join(sorted(kind.__name__ for kind in kinds)) or "none"
        raise ValueError(f"items must be at least 2 Questions or 2 LabelledNotes, got {len(given)} ({found})")
    return given


@dataclass(frozen=True, slots=True)
class _Run:
    items: list[Any]
    measures: tuple[Measure, ...]
    groups: Groups
    seed: int

    def outputs(self, side: Any, name: str) -> tuple[list[Any], Cost]:
        """Run one side on all items, and measure what that took."""
        counted, meter = metered(side)
        began = time.perf_counter()
        with PeakMemory() as peak:
            made = list(counted.batch([item.text for item in self.items]))
        seconds = time.perf_counter() - began
        if len(made) != len(self.items):
            raise ValueError(f"{name} gave {len(made)} outputs for {len(self.items)} items; batch must give one each")
        wanted: type = LabelResult if isinstance(self.items[0], LabelledNote) else Answer
        other = next((one for one in made if not isinstance(one, wanted)), None)
        if other is not None:
            raise TypeError(f"{name} gave {type(other).__name__} where {wanted.__name__} was expected: {_PAIRS}")
        tokens = (None, None) if meter is None else (meter.prompt_tokens, meter.new_tokens)
        return made, Cost(name, round(seconds, 3), len(made), *tokens, peak.bytes, peak.own, peak.gpu_bytes)

    def repeats(
        self, sides: tuple[Any, Any], first: Sequence[Any], scores: tuple[Scores, Scores], count: int
    ) -> Repeats | None:
        """Run both sides with more seeds. A side that does not sample stays as it is."""
        if count == 1:
            return None
        texts = [item.text for item in self.items]
        spread: dict[str, tuple[list[float], list[float]]] = {measure.name: ([], []) for measure in self.measures}
        changed: list[Counter[int]] = [Counter(), Counter()]
        for place in range(count):
            for side, system in enumerate(sides):
                again = place > 0 and samples(system)
                made = reseeded(system, place).batch(texts) if again else first[side]
                figures = score_all(self.measures, self.items, made) if again else scores[side]
                for name, values in figures.items():
                    known = [value for value in values if value is not None]
                    if known:
                        spread[name][side].append(float(np.mean(known)))
                changed[side].update(i for i, pair in enumerate(zip(made, first[side], strict=True)) if _differ(*pair))
        rows = tuple(Spread(name, tuple(ours), tuple(theirs)) for name, (ours, theirs) in spread.items() if ours)
        return Repeats(tuple(range(count)), rows, len(changed[0]), len(changed[1]))


def _with_set_figures(
    rows: Sequence[Row],
    notes: Sequence[LabelledNote],
    outputs: Sequence[Sequence[LabelResult]],
    groups: Groups,
    seed: int,
) -> list[Row]:
    """Put macro-F1 and calibration error after accuracy."""
    said = [[resolved(n, r.label) for n, r in zip(notes, made, strict=True)] for made in outputs]
    number = {name: code for code, name in enumerate(sorted({note.label for note in notes}.union(*said)))}
    true = np.asarray([number[note.label] for note in notes])
    sides = [np.asarray([number[name] for name in side]) for side in said]
    sure = [np.asarray([result.probability for result in made]) for made in outputs]
    right = [np.asarray([label_right(n, r) for n, r in zip(notes, made, strict=True)]) for made in outputs]
    figures = (
        SetStatistic("macro-F1", ((true, sides[0]), (true, sides[1])), macro_f1),
        SetStatistic(
            "calibration error (ECE)", ((sure[0], right[0]), (sure[1], right[1])), expected_calibration_error, False
        ),
    )
    made = [statistic_row(one, groups, seed) for one in figures]
    return [*rows[:1], *made, *rows[1:]]


def _manifest(outputs: Sequence[Sequence[Any]], names: Sequence[str], seed: int) -> dict[str, Any]:
    """Return what made the outputs; facts of single questions, such as the form it was asked in, are left out."""
    made: dict[str, Any] = {"seed": seed}
    for name, side in zip(names, outputs, strict=True):
        made[name] = {
            key: value
            for key, value in side[0].manifest.items()
            if key != "question_sha256" and all(key in one.manifest and one.manifest[key] == value for one in side)
        }
    return made


def _differ(one: Any, other: Any) -> bool:
    if isinstance(one, LabelResult):
        return bool(one.label != other.label)
    return bool((one.text, one.verdict, one.abstained) != (other.text, other.verdict, other.abstained))


def _some(values: Any) -> tuple[Any, ...]:
    return tuple(value for value in values if value is not None)
