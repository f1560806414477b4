"""A report in Markdown: the same sections as the page, with every table and without the drawings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from radrag.evaluation.comparison import Comparison
from radrag.evaluation.diff import Difference
from radrag.evaluation.records import Case, Said
from radrag.evaluation.report import changes
from radrag.evaluation.report.blocks import Block, Cases, Chart, Grid, Section, Text
from radrag.evaluation.report.sections import sections

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~])")


def render(made: Comparison, *, cases: int = 5) -> str:
    """Return a comparison in Markdown."""
    return _document(f"{made.system} against {made.baseline}, {made.items} items", sections(made, cases))


def render_difference(made: Difference) -> str:
    """Return two reports compared in Markdown."""
    return _document(changes.heading(made), changes.sections(made))


def _document(title: str, found: Iterable[Section]) -> str:
    parts = [f"# {plain(title)}"]
    for section in found:
        parts.append(f"## {plain(section.title)}")
        parts += [part for block in section.blocks for part in _block(block)]
    return "\n\n".join(parts) + "\n"


def plain(text: str) -> str:
    """Return text that Markdown shows as it is, in one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _block(block: Block) -> Iterator[str]:
    match block:
        case Text(text, strong):
            yield f"**{plain(text)}**" if strong else plain(text)
        case Grid(caption, columns, rows):
            yield f"### {plain(caption)}"
            yield _table(columns, rows)
        case Chart(title, _, alt):
            yield f"{plain(title)}: {plain(alt)}"
        case Cases(title, note, cases, names):
            yield f"### {plain(title)}"
            yield plain(note)
            yield from (_case(case, names) for case in cases)


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = [plain(column) for column in columns]
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    lines += [f"| {' | '.join(plain(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)


def _case(case: Case, names: tuple[str, str]) -> str:
    lines = [f"- {plain(case.id)}: {plain(case.text)}", f"  - expected: {plain(case.expected)}"]
    for name, said in zip(names, (case.system, case.baseline), strict=True):
        lines += [f"  - {plain(name)}: {plain(words(said))}"]
        for source in said.sources:
            flags = f" ({', '.join(source.flags).upper()})" if source.flags else ""
            lines.append(
                f"    - \\[{source.key}\\] {plain(source.title)}{plain(flags)}: {plain(source.before[-60:])} "
                f"**{plain(source.quote)}** {plain(source.after[:60])}"
            )
    return "\n".join(lines)


def words(said: Said) -> str:
    """Return what a side said, with what it withheld."""
    if said.abstained:
        return f"no answer ({said.reason})" if said.reason else f"withheld: {said.text or said.verdict}"
    if said.verdict and not said.text.startswith(said.verdict):
        return f"{said.verdict.capitalize()}. {said.text}".strip()
    return said.text or "(nothing)"
