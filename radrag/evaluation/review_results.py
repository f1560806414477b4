"""What reviewers' ratings come to: shares of both sides, paired, and how far the reviewers agree."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from radrag.evaluation.figures import corrected, row_of
from radrag.evaluation.records import Row
from radrag.evaluation.scores import Measure
from radrag.metrics import kappa

LOWER_IS_BETTER = frozenset({"harmful"})


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far reviewers agree on one criterion.

    Attributes:
        criterion: Which.
        alpha: Krippendorff's alpha (nominal); None if undefined, as when all gave one value throughout.
        kappa: Cohen's kappa, of two reviewers who both rated the same; None otherwise.
        share: Share of pairs of ratings of one answer that agree.
        answers: Answers that at least two reviewers rated.
    """

    criterion: str
    alpha: float | None
    kappa: float | None
    share: float
    answers: int


@dataclass(frozen=True, slots=True)
class HumanReview:
    """What blinded reviewers said.

    Attributes:
        rows: Share of "yes" for each criterion, system against baseline; reviewers of an item are averaged first.
        agreement: How far they agree.
        reviewers: Who reviewed, and how many items.
        unrated: Ratings that were left empty or not applicable, by criterion.
        preferred: Items for which the system, neither, and the baseline did better by "correct".
    """

    rows: tuple[Row, ...]
    agreement: tuple[Agreement, ...]
    reviewers: Mapping[str, int]
    unrated: Mapping[str, int] = field(default_factory=dict)
    preferred: tuple[int, int, int] = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Rating:
    """What one reviewer said of one answer.

    Attributes:
        reviewer: Who.
        item: Number of the item in the sheet.
        side: ``"system"`` or ``"baseline"``.
        criterion: Which criterion.
        value: ``"yes"``, ``"no"``, ``"na"``, or "" if it was left empty.
    """

    reviewer: str
    item: str
    side: str
    criterion: str
    value: str


def krippendorff_alpha(units: Iterable[Sequence[Hashable]]) -> float:
    """Return Krippendorff's alpha of nominal ratings: 1 less observed over expected disagreement.

    Source: Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011, section D; any number of raters, any
    ratings missing.

    Args:
        units: For each unit the ratings that it got; units with fewer than 2 say nothing of agreement.

    Returns:
        At most 1; 0 is chance.

    Raises:
        ValueError: If no unit has 2 ratings, or all ratings are the same, which leaves nothing to agree on.
    """
    pairable = [list(values) for values in units if len(values) > 1]
    totals = Counter(value for values in pairable for value in values)
    n = sum(totals.values())
    if not pairable:
        raise ValueError("alpha needs a unit that two raters rated, got none")
    expected = sum(count * (n - count) for count in totals.values()) / (n - 1)
    if expected == 0:
        raise ValueError("alpha is undefined, as all ratings are the same; report that instead")
    observed = 0.0
    for values in pairable:
        counts = Counter(values)
        observed += sum(count * (len(values) - count) for count in counts.values()) / (len(values) - 1)
    return 1 - observed / expected


def results(ratings: Sequence[Rating], criteria: Sequence[str], groups: Mapping[str, str], seed: int) -> HumanReview:
    """Return shares of "yes" with intervals and tests, and agreement.

    The ratings of an answer are averaged over reviewers first, so that an item counts once however many reviewed it;
    items that a side was not rated on are left out and counted.

    Raises:
        ValueError: If there is no rating at all, as of a sheet that nobody filled in.
    """
    if not any(one.value for one in ratings):
        raise ValueError("there is no rating in any sheet; give sheets in which reviewers wrote yes, no or na")
    shares: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    unrated: Counter[str] = Counter()
    for one in ratings:
        if one.value in ("yes", "no"):
            shares[one.criterion, one.item, one.side].append(float(one.value == "yes"))
        else:
            unrated[f"{one.criterion}: {'not applicable' if one.value == 'na' else 'left empty'}"] += 1
    items = list(dict.fromkeys(one.item for one in ratings))
    rows = []
    for criterion in criteria:
        row = _row(criterion, items, shares, groups, seed)
        if row is None:
            unrated[f"{criterion}: fewer than 2 items rated on both sides"] += 1
        else:
            rows.append(row)
    done = Counter(one.reviewer for one in {(r.reviewer, r.item): r for r in ratings if r.value}.values())
    agreement = [made for criterion in criteria if (made := _agreement(criterion, ratings)) is not None]
    return HumanReview(corrected(rows), tuple(agreement), dict(done), dict(unrated), _preferred(items, shares))


def _row(
    criterion: str,
    items: Sequence[str],
    shares: Mapping[tuple[str, str, str], list[float]],
    groups: Mapping[str, str],
    seed: int,
) -> Row | None:
    both = [item for item in items if all((criterion, item, side) in shares for side in ("system", "baseline"))]
    units = [groups.get(item) or f"alone:{item}" for item in both]
    if len(set(units)) < 2:
        return None
    ours, theirs = (
        np.asarray([np.mean(shares[criterion, item, side]) for item in both]) for side in ("system", "baseline")
    )
    measure = Measure(criterion, lambda *_: None, criterion not in LOWER_IS_BETTER, share=True)
    return row_of(measure, ours, theirs, units if len(set(units)) < len(units) else None, seed)


def _agreement(criterion: str, ratings: Sequence[Rating]) -> Agreement | None:
    units: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for one in ratings:
        if one.criterion == criterion and one.value:
            units[one.item, one.side][one.reviewer] = one.value
    shared = [values for values in units.values() if len(values) > 1]
    if not shared:
        return None
    pairs = [
        (values[i], values[j])
        for values in map(list, (one.values() for one in shared))
        for i in range(len(values))
        for j in range(i)
    ]
    try:
        alpha = krippendorff_alpha([list(values.values()) for values in shared])
    except ValueError:
        alpha = None
    share = sum(one == other for one, other in pairs) / len(pairs)
    return Agreement(criterion, alpha, _cohen(shared), share, len(shared))


def _cohen(shared: Sequence[Mapping[str, str]]) -> float | None:
    """Return Cohen's kappa if just two reviewers rated these answers, and not all alike."""
    names = sorted({name for values in shared for name in values})
    if len(names) != 2:
        return None
    try:
        return kappa([values[names[0]] for values in shared], [values[names[1]] for values in shared])
    except ValueError:
        return None


def _preferred(items: Sequence[str], shares: Mapping[tuple[str, str, str], list[float]]) -> tuple[int, int, int]:
    counts = [0, 0, 0]
    for item in items:
        ours, theirs = (shares.get(("correct", item, side)) for side in ("system", "baseline"))
        if ours and theirs:
            gain = float(np.mean(ours) - np.mean(theirs))
            counts[0 if gain > 0 else 1 if gain == 0 else 2] += 1
    return counts[0], counts[1], counts[2]
