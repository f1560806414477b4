"""The sections of two reports compared."""

from __future__ import annotations

from collections.abc import Iterator

from radrag.evaluation.comparison import interval
from radrag.evaluation.diff import Difference
from radrag.evaluation.report.blocks import Block, Grid, Section, Text, chance


def heading(made: Difference) -> str:
    """Say in a line what changed."""
    return f"Regressions: {len(made.regressions)}; items lost: {len(made.lost)}, won: {len(made.won)}"


def sections(made: Difference) -> list[Section]:
    """Return the sections that have something to show, regressions first."""
    parts = [
        Section("figures", "Figures", tuple(_figures(made))),
        Section("items", "Items", tuple(_items(made))),
        Section("settings", "Settings that differ", tuple(_settings(made))),
    ]
    return [part for part in parts if part.blocks]


def _figures(made: Difference) -> Iterator[Block]:
    yield Text(
        f"Both reports are on the same {made.items} items, and figures are paired item by item."
        if made.items
        else "The reports are not on the same items: a figure counts as changed only if the two intervals do not meet."
    )
    rows = tuple(
        (
            row.metric, f"{row.before.value:.3f}", f"{row.after.value:.3f}",
            f"{row.after.value - row.before.value:+.3f}" if row.change is None else interval(row.change),
            chance(row.p_value), chance(row.adjusted), row.verdict,
        )
        for row in made.rows
    )  # fmt: skip
    if rows:
        columns = ("figure", "before", "after", "change", "p", "p corrected", "verdict")
        yield Grid(f"{len(rows)} figures, regressions first", columns, rows)
    if made.in_one_only:
        yield Text(f"In one of the two only: {', '.join(made.in_one_only)}.")


def _items(made: Difference) -> Iterator[Block]:
    for title, flips in (("Right before, wrong now", made.lost), ("Wrong before, right now", made.won)):
        if flips:
            rows = tuple((flip.id, flip.text, flip.before, flip.after) for flip in flips)
            yield Grid(f"{title}: {len(flips)}", ("item", "text", "before", "after"), rows)


def _settings(made: Difference) -> Iterator[Block]:
    if made.settings:
        rows = tuple((name, *values) for name, values in made.settings.items())
        yield Grid("Manifests", ("what", "before", "after"), rows)
