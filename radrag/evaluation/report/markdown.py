"""A report in Markdown: the same sections as the page, with every table and without the drawings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from radrag.evaluation.cases import first_words, last_words, words
from radrag.evaluation.comparison import Comparison
from radrag.evaluation.diff import Difference
from radrag.evaluation.records import Case
from radrag.evaluation.report import changes
from radrag.evaluation.report.blocks import Block, Cases, Chart, Grid, Section, Text
from radrag.evaluation.report.sections import sections
from radrag.types.markdown import escaped

_CONTEXT = 60


def render(made: Comparison, *, cases: int = 5) -> str:
    """Return a comparison in Markdown."""
    return _document(f"{made.system} against {made.baseline}, {made.items} items", sections(made, cases))


def render_difference(made: Difference) -> str:
    """Return two reports compared in Markdown."""
    return _document(changes.heading(made), changes.sections(made))


def _document(title: str, found: Iterable[Section]) -> str:
    parts = [f"# {escaped(title)}"]
    for section in found:
        parts.append(f"## {escaped(section.title)}")
        parts += [part for block in section.blocks for part in _block(block)]
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> Iterator[str]:
    match block:
        case Text(text, strong):
            yield f"**{escaped(text)}**" if strong else escaped(text)
        case Grid(caption, columns, rows):
            yield f"### {escaped(caption)}"
            yield _table(columns, rows)
        case Chart(title, _, alt):
            yield f"{escaped(title)}: {escaped(alt)}"
        case Cases(title, note, cases, names):
            yield f"### {escaped(title)}"
            yield escaped(note)
            yield from (_case(case, names) for case in cases)


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = [_cell(column) for column in columns]
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    lines += [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Return text for a cell; at its head nothing begins a list, so that figures stay as they are."""
    return escaped(f"|{text}").removeprefix("\\|").strip()


def _case(case: Case, names: tuple[str, str]) -> str:
    lines = [f"- {escaped(case.id)}: {escaped(case.text)}", f"  - expected: {escaped(case.expected)}"]
    for name, said in zip(names, (case.system, case.baseline), strict=True):
        score = "" if said.confidence is None else f" ({said.confidence_kind or 'score'} {said.confidence:.2f})"
        lines += [f"  - {escaped(name)}{score}: {escaped(words(said))}"]
        for source in said.sources:
            flags = f" {escaped(', '.join(source.flags).upper())}" if source.flags else ""
            before, after = last_words(source.before, _CONTEXT), first_words(source.after, _CONTEXT)
            lines.append(
                f"    - \\[{source.key}\\] {escaped(source.title)}{flags}: {escaped(before)} "
                f"**{escaped(source.quote)}** {escaped(after)}"
            )
        lines += [f"    - note: {escaped(note)}" for note in said.notes]
    return "\n".join(lines)
