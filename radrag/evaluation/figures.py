"""From scores of items to figures with intervals, paired differences and exact tests."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radrag.evaluation.records import Row
from radrag.evaluation.scores import Measure
from radrag.metrics import (
    Estimate,
    bootstrap,
    bootstrap_statistic,
    holm,
    mcnemar,
    paired_bootstrap,
    permutation_test,
)
from radrag.metrics.slices import wilson
from radrag.types import LabelledNote, Question

Groups = Sequence[Hashable] | None
Scores = dict[str, list[float | None]]
SWAPS = 1000


@dataclass(frozen=True, slots=True)
class SetStatistic:
    """A figure of all items together, such as macro-F1.

    Attributes:
        name: What it is called.
        columns: For each side the arrays it is computed from [n].
        statistic: Takes one side's arrays.
        higher_is_better: Whether more is better.
    """

    name: str
    columns: tuple[tuple[NDArray[Any], ...], tuple[NDArray[Any], ...]]
    statistic: Callable[..., float]
    higher_is_better: bool = True


def groups_of(items: Sequence[Any]) -> list[str] | None:
    """Return a group for each item, or None if every item stands alone.

    Questions are of one group if a chain of shared gold documents links them; notes, if their ``group`` is the same, or
    without one their text.
    """
    if all(isinstance(item, LabelledNote) for item in items):
        names = [note.group or f"text:{note.text}" for note in items]
    else:
        names = _linked(items)
    return None if len(set(names)) == len(names) else names


def _linked(questions: Sequence[Question]) -> list[str]:
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    sources = [sorted({span.document_id for span in question.gold}) for question in questions]
    for documents in sources:
        for document in documents[1:]:
            one, other = sorted((root(documents[0]), root(document)))
            parent[other] = one
    return [root(documents[0]) if documents else f"alone:{place}" for place, documents in enumerate(sources)]


def rows_of(
    measures: Sequence[Measure], ours: Scores, theirs: Scores, groups: Groups, seed: int
) -> tuple[list[Row], dict[str, int]]:
    """Return a row for each measure, and how many items each measure that has none could score."""
    rows: list[Row] = []
    unscored: dict[str, int] = {}
    for measure in measures:
        left, right = ours[measure.name], theirs[measure.name]
        if measure.absent and (not _any(left) or not _any(right)):
            unscored[measure.absent] = len(left)
            continue
        chosen = [i for i, pair in enumerate(zip(left, right, strict=True)) if None not in pair]
        if lost := sum((a is None) != (b is None) for a, b in zip(left, right, strict=True)):
            unscored[f"{measure.name}: one side has no score"] = lost
        if not chosen:
            if not lost:
                unscored[f"{measure.name}: applies to none of these items"] = 0
            continue
        units = len(chosen) if groups is None else len({groups[i] for i in chosen})
        if units < 2:
            what = "items" if groups is None or len(chosen) < 2 else "groups of items"
            unscored[f"{measure.name}: fewer than 2 {what}"] = len(chosen)
            continue
        pairs = np.asarray([(left[i], right[i]) for i in chosen], dtype=np.float64).T
        rows.append(row_of(measure, pairs[0], pairs[1], chosen_groups(groups, chosen), seed))
    return rows, unscored


def _any(values: Sequence[float | None]) -> bool:
    return any(value is not None for value in values)


def row_of(measure: Measure, ours: NDArray[np.float64], theirs: NDArray[np.float64], groups: Groups, seed: int) -> Row:
    """Return the row of one measure.

    Right or wrong by items that stand alone: McNemar's exact test. Else signs are flipped, of whole groups if there are
    any.
    """
    counts = mcnemar(ours, theirs) if np.isin([ours, theirs], (0, 1)).all() else None
    alone = counts is not None and groups is None
    p = counts.p_value if counts is not None and alone else permutation_test(
        ours, theirs, groups=groups, seed=seed
    ).p_value  # fmt: skip
    name = "McNemar, exact" if alone else "sign flips" if groups is None else "sign flips (groups)"
    return Row(
        measure.name,
        estimate(ours, groups, seed, share=measure.share),
        estimate(theirs, groups, seed, share=measure.share),
        paired_bootstrap(ours, theirs, seed=seed, groups=groups), counts, measure.higher_is_better, p, None, name,
    )  # fmt: skip


def estimate(values: NDArray[np.float64], groups: Groups, seed: int, *, share: bool) -> Estimate:
    """Return the mean of items' scores with its interval; of a share that of ``share_with_width``.

    Args:
        values: Score of each item [n].
        groups: Group of each item, or None.
        seed: Seed of the resampling.
        share: Whether scores are 0 or 1, for wrong or right.
    """
    made = bootstrap(values, seed=seed, groups=groups)
    return share_with_width(made) if share else made


def share_with_width(made: Estimate) -> Estimate:
    """Return a share of items with an interval that has a width.

    Where it is 0 or 1 all resamples are alike. Wilson's interval of as many items (or groups, as items of a group are
    not independent) then takes the place of the bootstrap's.
    """
    if made.low < made.high or made.value not in (0.0, 1.0):
        return made
    units = made.groups or made.n
    bounds = wilson(int(made.value) * units, units)
    return replace(made, low=bounds.low, high=bounds.high)


def statistic_row(given: SetStatistic, groups: Groups, seed: int) -> Row:
    """Return the row of a figure of all items together; the test swaps the sides' outputs, whole groups at once."""
    ours, theirs = given.columns
    width = len(ours)

    def difference(*columns: Any) -> float:
        return given.statistic(*columns[:width]) - given.statistic(*columns[width:])

    return Row(
        given.name,
        bootstrap_statistic(ours, given.statistic, seed=seed, groups=groups),
        bootstrap_statistic(theirs, given.statistic, seed=seed, groups=groups),
        bootstrap_statistic((*ours, *theirs), difference, seed=seed, groups=groups),
        None, given.higher_is_better, _swapped(given, groups, seed), None, "swapped outputs",
    )  # fmt: skip


def _swapped(given: SetStatistic, groups: Groups, seed: int) -> float:
    """Return the p of approximate randomisation (Noreen, Computer-Intensive Methods, 1989, chapter 2)."""
    ours, theirs = given.columns
    codes = (
        np.arange(len(ours[0])) if groups is None else np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1]
    )
    seen = abs(given.statistic(*ours) - given.statistic(*theirs))
    rng, far = np.random.default_rng(seed), 0
    for _ in range(SWAPS):
        swap = rng.integers(0, 2, size=int(codes.max()) + 1).astype(bool)[codes]
        first = [np.where(swap, b, a) for a, b in zip(ours, theirs, strict=True)]
        second = [np.where(swap, a, b) for a, b in zip(ours, theirs, strict=True)]
        far += abs(given.statistic(*first) - given.statistic(*second)) >= seen - 1e-12
    return (far + 1) / (SWAPS + 1)


def corrected(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Return the rows with Holm's correction over all that were tested."""
    tested = [row.p_value for row in rows if row.p_value is not None]
    adjusted = iter(holm(tested).tolist() if tested else [])
    return tuple(row if row.p_value is None else replace(row, adjusted=next(adjusted)) for row in rows)


def chosen_groups(groups: Groups, chosen: Sequence[int]) -> Groups:
    """Return the groups of the chosen items, or None if each of them stands alone."""
    if groups is None:
        return None
    some = [groups[i] for i in chosen]
    return some if len(set(some)) < len(some) else None
