"""What changed between two reports: regressions first, paired item by item where both hold the same items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from radrag.evaluation.cases import words
from radrag.evaluation.comparison import Comparison, interval, written
from radrag.evaluation.plain import to_plain
from radrag.evaluation.records import Case, Row
from radrag.metrics import Estimate, holm, paired_bootstrap, permutation_test

_SHOWN = 10
_NAMED = 3
PAIRED, APART = "paired", "intervals of both"


@dataclass(frozen=True, slots=True)
class Change:
    """One figure of the system in two reports.

    Attributes:
        metric: Which.
        before: In the first report.
        after: In the second.
        change: After less before; with an interval if both hold the items' scores.
        gain: The same with its sign turned where lower is better: below 0 is a regression.
        p_value: Two-sided, from the same items; None if it could not be paired.
        adjusted: After Holm's correction over all figures.
        basis: ``"paired"``, or ``"intervals of both"`` where the items' scores are not there.
        verdict: ``"regression"``, ``"gain"`` or ``"no change shown"``.
    """

    metric: str
    before: Estimate
    after: Estimate
    change: Estimate | None
    gain: float
    p_value: float | None
    adjusted: float | None
    basis: str
    verdict: str


@dataclass(frozen=True, slots=True)
class Flip:
    """An item that was right in one report and wrong in the other."""

    id: str
    text: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Difference:
    """Two reports compared.

    Attributes:
        rows: Every figure that both have, regressions first, the largest first.
        in_one_only: Figures that one of them lacks.
        items: Items paired; 0 if the reports are not on the same items.
        lost: Items that were right and are wrong.
        won: Items that were wrong and are right.
        settings: What differs in the manifests: both values, by name.
    """

    rows: tuple[Change, ...]
    in_one_only: tuple[str, ...]
    items: int
    lost: tuple[Flip, ...]
    won: tuple[Flip, ...]
    settings: Mapping[str, tuple[str, str]]

    @property
    def regressions(self) -> tuple[Change, ...]:
        """Figures that got worse by more than chance."""
        return tuple(row for row in self.rows if row.verdict == "regression")

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        made: dict[str, Any] = to_plain(self)
        return made

    def to_markdown(self) -> str:
        """Return it in Markdown."""
        from radrag.evaluation.report.markdown import render_difference

        return render_difference(self)

    def to_html(self, path: str | Path | None = None) -> str:
        """Return it as one HTML page that loads nothing; write it too if a path is given."""
        from radrag.evaluation.report.page import render_difference

        return written(render_difference(self), path)

    def __str__(self) -> str:
        paired = f"{self.items} items paired" if self.items else "not the same items: figures are not paired"
        lines = [f"regressions: {len(self.regressions)}; {paired}; items lost: {len(self.lost)}, won: {len(self.won)}"]
        for row in self.rows:
            change = f"{row.after.value - row.before.value:+.3f}" if row.change is None else interval(row.change)
            p = "" if row.p_value is None else f", p {row.p_value:.2g} ({row.adjusted:.2g} corrected)"
            lines.append(f"  {row.metric}: {row.before.value:.3f} → {row.after.value:.3f}, {change}{p}: {row.verdict}")
        lines += [f"  {metric}: in one of the two only" for metric in self.in_one_only]
        lines += [f"  lost: {flip.id}: {flip.text[:80]}" for flip in self.lost[:_SHOWN]]
        if len(self.lost) > _SHOWN:
            lines.append(f"  ... and {len(self.lost) - _SHOWN} more items lost")
        lines += [f"  {name}: {before} → {after}" for name, (before, after) in self.settings.items()]
        return "\n".join(lines)


Report = Comparison | Mapping[str, Any] | str | Path


def diff(a: Report, b: Report, *, seed: int = 0) -> Difference:
    """Compare the systems of two reports.

    Where both hold the same items with the same texts, figures of single items are paired, and whole groups are drawn
    if there are any; else a figure only counts as changed if the two intervals do not meet.

    Args:
        a: The report before: a comparison, what its ``to_dict`` returned, or a file of ``to_json``.
        b: The report after.
        seed: Seed of the resampling.

    Raises:
        ValueError: If one is not a report, or the two have no figure and not the same items.
    """
    first, second = _report(a), _report(b)
    pairs = _paired(first.cases, second.cases)
    sides = [{row.metric: row for row in report.rows} for report in (first, second)]
    made = [_change(sides[0][name], sides[1][name], pairs, seed) for name in sides[0] if name in sides[1]]
    if not made and not pairs:
        have = " and ".join(
            f"{list(side)[:_NAMED] or 'none'} of {n} items"
            for side, n in zip(sides, (first.items, second.items), strict=True)
        )
        raise ValueError(
            f"the two reports have no figure in common ({have}) and are not on the same items, so nothing of them can "
            "be compared; give two reports of one task"
        )
    rows = sorted(_judged(made), key=lambda row: (_ORDER[row.verdict], row.gain, row.metric))
    flips = [(one, other) for one, other in pairs if None not in (one.system.right, other.system.right)]
    return Difference(
        tuple(rows),
        tuple(sorted(sides[0].keys() ^ sides[1].keys())),
        len(pairs),
        tuple(_flip(*pair) for pair in flips if pair[0].system.right and not pair[1].system.right),
        tuple(_flip(*pair) for pair in flips if pair[1].system.right and not pair[0].system.right),
        _settings(first, second),
    )


_ORDER = {"regression": 0, "no change shown": 1, "gain": 2}


def _report(given: Report) -> Comparison:
    if isinstance(given, Comparison):
        return given
    return Comparison.from_dict(given) if isinstance(given, Mapping) else Comparison.read(given)


def _paired(first: Sequence[Case], second: Sequence[Case]) -> list[tuple[Case, Case]]:
    """Return the cases in pairs; none if the two are not on the same items, or names are not unique."""
    one, other = ({case.id: case for case in cases} for cases in (first, second))
    if not one or one.keys() != other.keys() or len(one) < len(first) or len(other) < len(second):
        return []
    pairs = [(case, other[name]) for name, case in one.items()]
    same = all(a.text == b.text or not a.text or not b.text for a, b in pairs)
    return pairs if same else []


def _change(before: Row, after: Row, pairs: Sequence[tuple[Case, Case]], seed: int) -> Change:
    change, p, name = None, None, before.metric
    both = [(a, b) for a, b in pairs if name in a.system.scores and name in b.system.scores]
    groups = [a.group or f"alone:{i}" for i, (a, _) in enumerate(both)]
    if len(set(groups)) > 1:
        old, new = (np.asarray([pair[side].system.scores[name] for pair in both]) for side in (0, 1))
        units = groups if any(a.group for a, _ in both) else None
        change = paired_bootstrap(new, old, groups=units, seed=seed)
        p = permutation_test(new, old, groups=units, seed=seed).p_value
    gain = (after.system.value - before.system.value) * (1 if before.higher_is_better else -1)
    return Change(name, before.system, after.system, change, gain, p, None, APART if p is None else PAIRED, "")


def _judged(rows: Sequence[Change]) -> list[Change]:
    values = [row.p_value for row in rows if row.p_value is not None]
    adjusted = iter(holm(values).tolist() if values else [])
    made = [row if row.p_value is None else replace(row, adjusted=next(adjusted)) for row in rows]
    return [replace(row, verdict=_verdict(row)) for row in made]


def _verdict(row: Change) -> str:
    if row.change is not None and row.adjusted is not None:
        shown = row.adjusted <= 0.05 and not row.change.low <= 0 <= row.change.high
    else:
        shown = row.after.low > row.before.high or row.after.high < row.before.low
    return "no change shown" if not shown or row.gain == 0 else "gain" if row.gain > 0 else "regression"


def _flip(before: Case, after: Case) -> Flip:
    return Flip(before.id, before.text, words(before.system), words(after.system))


def _settings(first: Comparison, second: Comparison) -> dict[str, tuple[str, str]]:
    one, other = (dict(_flat(report.manifest, "")) for report in (first, second))
    names = dict.fromkeys([*one, *other])
    absent = "(not there)"
    found = {name: (one.get(name, absent), other.get(name, absent)) for name in names}
    return {name: values for name, values in found.items() if values[0] != values[1]}


def _flat(value: Mapping[str, Any], path: str) -> list[tuple[str, str]]:
    made: list[tuple[str, str]] = []
    for key, one in value.items():
        name = f"{path}.{key}" if path else str(key)
        made += _flat(one, name) if isinstance(one, Mapping) else [(name, str(to_plain(one)))]
    return made
