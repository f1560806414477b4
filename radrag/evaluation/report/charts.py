"""Charts as SVG that needs no script: colours come from the page, shapes tell the sides apart without them.

All are 360 units wide, so that their text can be read on a phone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from radrag.evaluation.records import Row

WIDTH = 360
_LEFT, _RIGHT = 10, 262
_ROW, _TOP = 62, 34
_STYLES = ("system", "baseline")


@dataclass(frozen=True, slots=True)
class Point:
    """A point with its interval; equal bounds draw none."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one side; ``style`` is ``"system"`` or ``"baseline"``."""

    name: str
    points: tuple[Point, ...]
    style: str = "system"


def mark(style: str, x: float, y: float, size: float = 4.5) -> str:
    """Draw the sign of a side: a full disc for the system, an empty square for the baseline."""
    if style == "system":
        return f'<circle class="{style} full" cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}"/>'
    side = 2 * size - 1
    return (
        f'<rect class="{style} empty" x="{x - side / 2:.1f}" y="{y - side / 2:.1f}" width="{side:.1f}"'
        f' height="{side:.1f}"/>'
    )


def bounded(rows: Sequence[Row]) -> list[Row]:
    """Return the figures that lie between 0 and 1 on both sides, intervals included."""
    return [
        row
        for row in rows
        if min(row.system.low, row.baseline.low) >= 0 and max(row.system.high, row.baseline.high) <= 1
    ]


def intervals(rows: Sequence[Row], names: tuple[str, str]) -> str:
    """Draw both sides of each figure between 0 and 1, with its interval; figures beyond 1 are left to the table."""
    shown = bounded(rows)
    height = _TOP + _ROW * len(shown) + 22
    parts = [_legend(tuple(zip(names, _STYLES, strict=True)))]
    bottom = height - 20
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = _scaled(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 4}" y2="{bottom}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{height - 5}" text-anchor="middle">{tick:g}</text>')
    for place, row in enumerate(shown):
        top = _TOP + _ROW * place
        better = "" if row.higher_is_better else " (lower is better)"
        parts.append(f'<text class="name" x="{_LEFT}" y="{top + 13}">{escape(row.metric + better)}</text>')
        for style, one, y in (("system", row.system, top + 28), ("baseline", row.baseline, top + 45)):
            ends = f'x1="{_scaled(one.low):.1f}" x2="{_scaled(one.high):.1f}"'
            parts.append(f'<line class="{style} bar" {ends} y1="{y}" y2="{y}"/>')
            parts.append(mark(style, _scaled(one.value), y))
            parts.append(f'<text class="value" x="{_RIGHT + 14}" y="{y + 4}">{one.value:.3f}</text>')
    return _svg(height, parts)


def lines(
    series: Sequence[Series],
    labels: tuple[str, str],
    *,
    diagonal: bool = False,
    ticks: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0),
    top: float = 1.0,
) -> str:
    """Draw shares over a quantity.

    Args:
        series: What to draw.
        labels: Names of the horizontal and the vertical axis.
        diagonal: Also draw where both are equal.
        ticks: Marks of the horizontal axis, ascending; they are its range.
        top: Upper end of the vertical axis.
    """
    left, right, up, down = 44, WIDTH - 14, _TOP, 236
    span = (ticks[-1] - ticks[0]) or 1.0

    def across(x: float) -> float:
        return left + (x - ticks[0]) / span * (right - left)

    def upward(y: float) -> float:
        return down - y / top * (down - up)

    parts = [_legend([(one.name, one.style) for one in series])]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = upward(share * top)
        parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{left - 5}" y="{y + 4:.1f}" text-anchor="end">{share * top:.2g}</text>')
    last = -100.0
    for tick in ticks:
        x = across(tick)
        if x - last >= 22:  # marks that would touch are left out
            parts.append(f'<text class="tick" x="{x:.1f}" y="{down + 16}" text-anchor="middle">{tick:g}</text>')
            last = x
    if diagonal:
        ends = f'x1="{left}" y1="{down}" x2="{right}" y2="{upward(1.0):.1f}"'
        parts.append(f'<line class="diagonal" {ends}/>')
    for one in series:
        parts.append(_drawn(one, across, upward))
    middle = (up + down) / 2
    parts.append(
        f'<text class="axis" x="{(left + right) / 2}" y="{down + 34}" text-anchor="middle">{escape(labels[0])}</text>'
    )
    parts.append(
        f'<text class="axis" x="11" y="{middle}" text-anchor="middle" transform="rotate(-90 11 {middle})">'
        f"{escape(labels[1])}</text>"
    )
    return _svg(down + 42, parts)


def _drawn(series: Series, across: Callable[[float], float], upward: Callable[[float], float]) -> str:
    style = series.style
    path = " ".join(f"{across(p.x):.1f},{upward(p.y):.1f}" for p in series.points)
    parts = [f'<polyline class="{style} path" points="{path}"/>']
    for p in series.points:
        x = across(p.x)
        if p.high > p.low:
            parts.append(
                f'<line class="{style} whisker" x1="{x:.1f}" x2="{x:.1f}" y1="{upward(p.low):.1f}"'
                f' y2="{upward(p.high):.1f}"/>'
            )
        parts.append(mark(style, x, upward(p.y), 3.5))
    return "".join(parts)


def _scaled(value: float) -> float:
    return _LEFT + value * (_RIGHT - _LEFT)


def _legend(pairs: Sequence[tuple[str, str]]) -> str:
    """Draw the sign of each side with its name, side by side."""
    x, parts = 10.0, []
    for name, style in pairs:
        words = name if len(name) <= 24 else f"{name[:23]}…"
        parts.append(mark(style, x + 4, 12))
        parts.append(f'<text class="legend" x="{x + 14:.0f}" y="16">{escape(words)}</text>')
        x += 14 + 7.2 * len(words) + 18
    return "".join(parts)


def _svg(height: float, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" aria-hidden="true" focusable="false">{"".join(parts)}</svg>'
