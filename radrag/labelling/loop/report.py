"""An error analysis as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from radrag.labelling.loop.errors import ErrorAnalysis, RoundChange
    from radrag.metrics.resampling import Estimate

_MOST_ROWS = 30


def report_lines(analysis: ErrorAnalysis, texts: bool) -> Iterator[str]:
    """Yield the lines of the report; without ``texts`` no words of notes are in it."""
    yield "# Error analysis"
    yield ""
    yield f"Accuracy {analysis.accuracy}, macro-F1 {analysis.macro_f1:.3f}."
    yield from (f"\nNote: {warning}." for warning in analysis.warnings)
    if analysis.change is not None:
        yield from _change(analysis.change)
    yield from _table(
        "Confusions",
        ("label", "predicted", "notes", "of", "some of them"),
        [
            (pair.given, pair.predicted, str(pair.notes), str(pair.of), ", ".join(pair.note_ids))
            for pair in analysis.confusions
        ],
    )
    yield from _table(
        "Slices",
        ("by", "value", "n", "accuracy (95 %)", "p", "p, Holm", ""),
        [
            (one.attribute, one.name, str(one.estimate.n), _share(one.estimate), _p(one.p_value), _p(one.adjusted),
             "few notes" if one.small else "")
            for one in analysis.slices
        ],
        most=None,
    )  # fmt: skip
    yield from _table(
        "Labels",
        ("label", "notes", "predicted", "precision (95 %)", "recall (95 %)", "F1"),
        [
            (one.label, str(one.given), str(one.predicted), _share(one.precision), _share(one.recall),
             "" if one.f1 is None else f"{one.f1:.3f}")
            for one in analysis.labels
        ],
        most=None,
    )  # fmt: skip
    heads = ("note", "label", "predicted", "probability", "of the label")
    yield from _table(
        "Wrong notes, the surest first",
        (*heads, "because of", "text") if texts else heads,
        [
            (one.note_id, one.given, one.predicted, f"{one.probability:.2f}", _probability(one.given_probability),
             *((" · ".join(one.evidence), one.text) if texts else ()))
            for one in analysis.wrong
        ],
        most=None,
    )  # fmt: skip


def _change(change: RoundChange) -> Iterator[str]:
    yield ""
    yield "## Since the last round"
    yield ""
    yield (
        f"Accuracy before {change.before:.3f}; difference {change.difference}; {len(change.fixed)} notes fixed, "
        f"{len(change.broken)} broken, McNemar p {_p(change.test.p_value)}."
    )
    for name, ids in (("Fixed", change.fixed), ("Broken", change.broken)):
        if ids:
            yield f"\n{name}: {', '.join(map(_cell, ids[:_MOST_ROWS]))}{_rest(len(ids))}."


def _table(
    title: str, head: Sequence[str], rows: Sequence[Sequence[str]], most: int | None = _MOST_ROWS
) -> Iterator[str]:
    yield ""
    yield f"## {title}"
    yield ""
    if not rows:
        yield "None."
        return
    yield _row(head)
    yield _row(["---"] * len(head))
    yield from (_row(row) for row in rows[:most])
    if most is not None and len(rows) > most:
        yield f"\nAnd {len(rows) - most} more."


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(map(_cell, cells)) + " |"


def _cell(text: str) -> str:
    """Keep the words of a note from being read as a table or as markup."""
    safe = " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("`", "\\`")
    return safe.replace("&", "&amp;").replace("<", "&lt;")


def _rest(count: int) -> str:
    return f" and {count - _MOST_ROWS} more" if count > _MOST_ROWS else ""


def _share(value: Estimate | None) -> str:
    return "" if value is None else f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return "<.001" if value < 0.001 else f"{value:.3f}".removeprefix("0")


def _probability(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
