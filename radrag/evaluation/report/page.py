"""A report as one HTML page that loads nothing and runs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from importlib.resources import files

from radrag._version import __version__
from radrag.evaluation.cases import words
from radrag.evaluation.comparison import Comparison
from radrag.evaluation.diff import Difference
from radrag.evaluation.records import LEVEL, Case, Said, Source
from radrag.evaluation.report import changes
from radrag.evaluation.report.blocks import Block, Cases, Chart, Grid, Section, Text
from radrag.evaluation.report.sections import sections

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_SIGNS = {
    **{"better": "good", "gain": "good", "worse": "bad", "regression": "bad"},
    **{LEVEL: "level", "no change shown": "level"},
}
_JUDGED = {
    **{"label": ("right label", "wrong label"), "verdict": ("right verdict", "no right verdict")},
    **{"source": ("cites a gold source", "cites no gold source"), "abstention": ("rightly declines", "should decline")},
}
_FIGURE = re.compile(r"\[[-+.\d]+, [-+.\d]+\]|(?:&lt;|[-+])?\d[\d.,]*")  # not broken over two lines
_SHORT = 60
_FITS = 3  # tables of so few columns stay tables on a phone


def render(made: Comparison, *, title: str = "", cases: int = 5) -> str:
    """Return a comparison as a page.

    Args:
        made: The comparison.
        title: Heading; by default the names of both sides.
        cases: Cases of each kind to show.
    """
    heading = title or f"{made.system} against {made.baseline}"
    return _page(heading, f"{made.items:,} items.", sections(made, cases))


def render_difference(made: Difference, *, title: str = "Two reports compared") -> str:
    """Return two reports compared as a page."""
    return _page(title, f"{changes.heading(made)}.", changes.sections(made))


def _page(title: str, line: str, parts: Sequence[Section]) -> str:
    body = "".join(_section(section) for section in parts)
    links = "".join(f'<li><a href="#{one.id}">{escape(one.title)}</a></li>' for one in parts)
    return document(
        title,
        f'<header><h1>{escape(title)}</h1><p class="quiet">{escape(line)} Made by radrag {__version__}.</p>'
        f'<nav aria-label="Sections"><ul>{links}</ul></nav></header><main>{body}</main>',
    )


def document(title: str, body: str, *, policy: str = _POLICY, style: str = "") -> str:
    """Return a whole page around a body that is HTML already."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
        f"<title>{escape(title)}</title><style>{stylesheet()}{style}</style></head><body>{body}</body></html>\n"
    )


@cache
def stylesheet() -> str:
    """Return the style that ships."""
    return (files("radrag") / "assets" / "report" / "report.css").read_text(encoding="utf-8")


def _section(section: Section) -> str:
    inner = "".join(part for place, block in enumerate(section.blocks) for part in _block(block, section.id, place))
    kind = ' class="headline"' if section.id == "headline" else ""
    return (
        f'<section id="{section.id}"{kind} aria-labelledby="{section.id}-title">'
        f'<h2 id="{section.id}-title">{escape(section.title)}</h2>{inner}</section>'
    )


def _block(block: Block, section: str, place: int) -> Iterator[str]:
    match block:
        case Text(text, strong):
            yield f'<p class="lead">{escape(text)}</p>' if strong else f"<p>{escape(text)}</p>"
        case Grid():
            yield _folded(block) if block.folded else table(block)
        case Chart(title, svg, alt):
            name = f"{section}-chart-{place}"
            yield (
                f'<figure role="img" aria-labelledby="{name}" aria-describedby="{name}-alt">'
                f'<figcaption id="{name}">{escape(title)}</figcaption>{svg}'
                f'<p class="hidden" id="{name}-alt">{escape(alt)}</p></figure>'
            )
        case Cases(title, note, cases, names):
            yield f'<h3>{escape(title)}</h3><p class="quiet">{escape(note)}</p>'
            yield from (_case(case, names) for case in cases)


def _folded(grid: Grid) -> str:
    return f"<details><summary>{escape(grid.caption)}</summary>{table(grid)}</details>"


def table(grid: Grid) -> str:
    """Return a table; roles are spelt out, as browsers drop them where a phone shows rows as cards."""
    wide = " wide" if len(grid.columns) > _FITS else " narrow"
    heads = "".join(f'<th role="columnheader" scope="col">{escape(column)}</th>' for column in grid.columns)
    rows = "".join(_row(grid.columns, row) for row in grid.rows)
    return (
        f'<table role="table" class="grid{wide}"><caption>{escape(grid.caption)}</caption>'
        f'<thead role="rowgroup"><tr role="row">{heads}</tr></thead><tbody role="rowgroup">{rows}</tbody></table>'
    )


def _row(columns: Sequence[str], row: Sequence[str]) -> str:
    first = f'<th role="rowheader" scope="row">{escape(row[0])}</th>'
    cells = (
        f'<td role="cell" data-label="{escape(column)}"><span>{_cell(cell)}</span></td>'
        for column, cell in zip(columns[1:], row[1:], strict=True)
    )
    return f'<tr role="row">{first}{"".join(cells)}</tr>'


def _cell(text: str) -> str:
    sign = _SIGNS.get(text)
    if sign is not None:
        return f'<span class="badge {sign}">{escape(text)}</span>'
    if text.startswith(("better ", "worse ")) and text.endswith(("not after it", "not by its test")):
        return f'<span class="level">{escape(text)}</span>'
    return _FIGURE.sub(r'<span class="figure">\g<0></span>', escape(text)) if len(text) < _SHORT else escape(text)


def _case(case: Case, names: tuple[str, str]) -> str:
    sides = "".join(
        _side(name, said, style, case.basis)
        for name, said, style in zip(names, (case.system, case.baseline), ("system", "baseline"), strict=True)
    )
    return (
        f'<article class="case"><h4>{escape(case.id)}</h4><p class="asked">{escape(case.text)}</p>'
        f"<p><b>Expected:</b> {escape(case.expected)}</p>{sides}</article>"
    )


def _judged(right: bool | None, basis: str) -> str:
    if right is None:
        return ""
    good, bad = _JUDGED.get(basis, ("right", "wrong"))
    return f'<span class="badge good">{good}</span>' if right else f'<span class="badge bad">{bad}</span>'


def _side(name: str, said: Said, style: str, basis: str) -> str:
    kind = escape(said.confidence_kind or "score")
    sure = "" if said.confidence is None else f' <span class="quiet">{kind} {said.confidence:.2f}</span>'
    sources = "".join(_source(source) for source in said.sources)
    notes = "".join(f"<li>{escape(note)}</li>" for note in said.notes)
    return (
        f'<div class="side {style}"><p><b>{escape(name)}</b> {_judged(said.right, basis)}'
        f"{sure}</p><p>{escape(words(said))}</p>"
        + (f'<ul class="sources">{sources}</ul>' if sources else "")
        + (f'<ul class="quiet">{notes}</ul>' if notes else "")
        + "</div>"
    )


def _source(source: Source) -> str:
    """Return a source with what was cited marked; only web addresses become links."""
    title = escape(source.title)
    if source.url.startswith(("https://", "http://")):
        title = f'<a href="{escape(source.url)}" rel="noreferrer noopener">{title}</a>'
    flags = f' <span class="badge bad">{escape(", ".join(source.flags))}</span>' if source.flags else ""
    shown = f"{_cut(source.before, start=True)}<mark>{escape(source.quote)}</mark>{_cut(source.after, start=False)}"
    return f'<li><span class="quiet">[{source.key}]</span> {title}{flags}<br><q>{shown}</q></li>'


def _cut(text: str, *, start: bool) -> str:
    if not text:
        return ""
    return f"… {escape(text)}" if start else f"{escape(text)} …"
