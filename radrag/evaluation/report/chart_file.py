"""The chart of a comparison as one SVG file, for a README or a slide: it loads nothing, and brings its background.

Colours follow the reader's light or dark setting where the viewer knows it, and stay light elsewhere; both have a
background of their own, so that the text is readable on any page.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from radrag.evaluation.comparison import Comparison
from radrag.evaluation.records import Row
from radrag.evaluation.report.blocks import count, figure
from radrag.evaluation.report.charts import bounded, mark
from radrag.metrics import Estimate

_WIDTH, _PLOT, _END, _VALUE = 780, 300, 590, 612
_TOP, _ROW, _EDGE = 84, 50, 24
_HEADING, _NAME, _METRIC, _LETTER = 70, 44, 34, 7.5  # most letters that fit, and the width of one
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_LIGHT = ("#ffffff", "#1a1f26", "#57606a", "#d0d7de", "#0b5cad", "#9a4b00")
_DARK = ("#12161c", "#e6e9ee", "#a3adb8", "#3a434e", "#6cb6ff", "#f0a35e")


def render(made: Comparison, *, title: str = "") -> str:
    """Return both sides of every figure between 0 and 1, with intervals and values, as a whole SVG file.

    Args:
        made: The comparison.
        title: Heading; by default the names of both sides.

    Raises:
        ValueError: If no figure lies between 0 and 1.
    """
    rows = bounded(made.rows)
    if not rows:
        raise ValueError("no figure of this comparison lies between 0 and 1, so there is nothing to draw")
    names = (made.system, made.baseline)
    sides = f"{names[0]} against {names[1]}"
    heading = f"{title}: {sides}" if title else sides
    shown = heading if len(heading) <= _HEADING or not title else title  # the legend names the sides too
    height = _TOP + _ROW * len(rows) + 58
    bottom = height - 52
    items = f"{made.items:,} items" if made.groups is None else f"{made.items:,} items in {made.groups:,} groups"
    body = [
        f'<rect class="page" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1}" rx="8"/>',
        f'<text class="heading" x="{_EDGE}" y="34">{escape(_cut(shown, _HEADING))}</text>',
        *_legend(names),
        *_axis(bottom),
        *(part for place, row in enumerate(rows) for part in _drawn(row, _TOP + _ROW * place)),
        f'<text class="quiet" x="{_EDGE}" y="{height - 18}">{items}; points with 95 % intervals. '
        "Machine-made; not a clinical validation.</text>",
    ]
    told = " ".join(_said(row, names) for row in rows)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}"'
        f' role="img" aria-labelledby="title desc"><title id="title">{escape(heading)}</title>'
        f'<desc id="desc">{escape(told)}</desc><style>{_style()}</style>{"".join(body)}</svg>\n'
    )


def _legend(names: tuple[str, str]) -> list[str]:
    """Draw the sign and name of each side, above the plot, or from the edge if they are long."""
    words = [_cut(name, _NAME) for name in names]
    widths = [12 + _LETTER * len(name) + 28 for name in words]
    x = float(_PLOT if _PLOT + sum(widths) <= _WIDTH else _EDGE + 6)
    made = []
    for name, width, style in zip(words, widths, ("system", "baseline"), strict=True):
        made += [mark(style, x, 58), f'<text x="{x + 12:.0f}" y="62">{escape(name)}</text>']
        x += width
    return made


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _axis(bottom: int) -> list[str]:
    made = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = _across(tick)
        made.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 8}" y2="{bottom}"/>')
        made.append(f'<text class="quiet" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>')
    return made


def _drawn(row: Row, top: int) -> list[str]:
    better = "" if row.higher_is_better else ", lower is better"
    end = _PLOT - 22
    made = [
        f'<text class="name" x="{end}" y="{top + 15}" text-anchor="end">{escape(_cut(row.metric, _METRIC))}</text>',
        f'<text class="quiet" x="{end}" y="{top + 31}" text-anchor="end">n = {count(row.system)}{better}</text>',
    ]
    for style, one, y in (("system", row.system, top + 10), ("baseline", row.baseline, top + 27)):
        ends = f'x1="{_across(one.low):.1f}" x2="{_across(one.high):.1f}"'
        made.append(f'<line class="{style} bar" {ends} y1="{y}" y2="{y}"/>')
        made.append(mark(style, _across(one.value), y))
        made.append(f'<text class="value" x="{_VALUE}" y="{y + 4}">{_value(one)}</text>')
    return made


def _value(one: Estimate) -> str:
    return figure(one)


def _said(row: Row, names: Sequence[str]) -> str:
    return (
        f"{row.metric}: {names[0]} {row.system.value:.3f}, {names[1]} {row.baseline.value:.3f}, difference "
        f"{figure(row.difference, signed=True)}."
    )


def _across(value: float) -> float:
    return _PLOT + value * (_END - _PLOT)


def _style() -> str:
    fixed = (
        f"text{{font:13px {_FONT}}}.heading{{font-size:17px;font-weight:600}}.name{{font-weight:600}}"
        ".quiet{font-size:12px}.value{font-size:12px;font-variant-numeric:tabular-nums}.bar{stroke-width:3}"
        ".empty{stroke-width:2}.grid{stroke-width:1}"
    )
    return f"{fixed}{_colours(*_LIGHT)}@media (prefers-color-scheme:dark){{{_colours(*_DARK)}}}"


def _colours(page: str, text: str, quiet: str, line: str, system: str, baseline: str) -> str:
    return (
        f".page{{fill:{page};stroke:{line}}}text{{fill:{text}}}.quiet{{fill:{quiet}}}.grid{{stroke:{line}}}"
        f".system{{stroke:{system}}}.full{{fill:{system}}}.baseline{{stroke:{baseline}}}.empty{{fill:{page}}}"
    )
