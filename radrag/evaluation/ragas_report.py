"""What a RAGAS run found: figures with intervals, what was not scored and why, and whether the judge can be trusted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from radrag.evaluation.judge import FAILURES, Usage
from radrag.evaluation.judge_check import JudgeCheck
from radrag.evaluation.plain import to_plain
from radrag.evaluation.records import Table
from radrag.metrics import Estimate

NOT_BELIEVED = "not to be believed: the judge failed its check"
NOT_CHECKED = "the judge was not checked"
MUCH_LOST = 0.2  # share of items without a score above which the others no longer stand for all


@dataclass(frozen=True, slots=True)
class RagasRow:
    """One metric over all questions it applies to.

    Attributes:
        metric: Name in ragas.
        value: Mean over the scored items (of an item, over its repeats); None if none was scored.
        estimate: The same with its interval; None with fewer than 2 items or groups.
        n: Items with a score.
        asked: Items it applies to.
        failures: Scores that could not be had, by kind; a repeat counts for itself.
        left_out: Items it does not apply to, by reason.
        judged: Whether a judge was asked.
        higher_is_better: Whether more is better.
        repeats: Mean of each repeat over the items that all repeats scored; empty without repeats.
        spread: Standard deviation of those means; None with fewer than 2.
        item_spread: Mean standard deviation of an item's scores over the repeats; None likewise.
        note: What to know before the figure is used; "" if nothing.
    """

    metric: str
    value: float | None
    estimate: Estimate | None
    n: int
    asked: int
    failures: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    judged: bool = False
    higher_is_better: bool = True
    repeats: tuple[float, ...] = ()
    spread: float | None = None
    item_spread: float | None = None
    note: str = ""

    @property
    def shown(self) -> str:
        """The value with its interval."""
        if self.value is None:
            return "-"
        one = self.estimate
        return f"{self.value:.3f}" if one is None else f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"


@dataclass(frozen=True, slots=True)
class RagasItem:
    """The scores of one question; no words of it are kept.

    Attributes:
        id: Name of the question.
        scores: Metric to its score in each repeat, None where it could not be had; without metrics that do not apply.
        failures: Metric to the kind of failure in each repeat, "" where there is a score.
        apart: ``"abstained"``, ``"unanswerable but answered"``, ``"unanswerable and abstained"`` or "".
    """

    id: str
    scores: Mapping[str, tuple[float | None, ...]]
    failures: Mapping[str, tuple[str, ...]]
    apart: str = ""


@dataclass(frozen=True, slots=True)
class RagasReport:
    """A RAGAS run.

    Attributes:
        rows: A row a metric.
        items: Scores of every question.
        apart: How many questions were answered and how many not, by whether they can be answered. Unanswerable ones
            are in no row.
        check: How the judge did on statements whose truth is known; None without a judge or a check.
        usage: What the judge took; None without one.
        manifest: What produced this.
    """

    rows: tuple[RagasRow, ...]
    items: tuple[RagasItem, ...]
    apart: Mapping[str, int]
    check: JudgeCheck | None = None
    usage: Usage | None = None
    manifest: Mapping[str, Any] = field(default_factory=dict)

    @property
    def believed(self) -> bool | None:
        """Whether the judge passed its check; None if it was not checked."""
        return None if self.check is None else self.check.passed

    @property
    def failures(self) -> dict[str, int]:
        """Failures of all metrics together, by kind."""
        total: dict[str, int] = {}
        for row in self.rows:
            for kind, count in row.failures.items():
                total[kind] = total.get(kind, 0) + count
        return dict(sorted(total.items()))

    def __getitem__(self, metric: str) -> RagasRow:
        """Return the row of a metric."""
        for row in self.rows:
            if row.metric == metric:
                return row
        raise KeyError(f"no metric {metric!r} in this report, which has: {', '.join(row.metric for row in self.rows)}")

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        made: dict[str, Any] = to_plain(self)
        return made

    def to_table(self) -> Table:
        """Return it as a table that a comparison's report can show."""
        return Table("RAGAS", _COLUMNS, tuple(_cells(row) for row in self.rows), " ".join(self._notes()))

    def to_markdown(self) -> str:
        """Return it as Markdown."""
        lines = ["# RAGAS", "", *(f"- {note}" for note in self._notes()), ""]
        lines += [_markdown(_COLUMNS), "|---" * len(_COLUMNS) + "|", *(_markdown(_cells(row)) for row in self.rows)]
        if self.failures:
            lines += ["", "| failure | scores | meaning |", "|---|---|---|"]
            lines += [f"| {kind} | {count} | {FAILURES[kind]} |" for kind, count in self.failures.items()]
        lines += ["", *(f"- {name}: `{value}`" for name, value in self.manifest.items() if name != "answers")]
        return "\n".join(lines) + "\n"

    def __str__(self) -> str:
        table = [_COLUMNS, *(_cells(row) for row in self.rows)]
        widths = [max(len(row[i]) for row in table) for i in range(len(_COLUMNS))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
        ]
        return "\n".join([*lines, *self._notes()])

    def _notes(self) -> Iterator[str]:
        counts = ", ".join(f"{count} {what}" for what, count in self.apart.items())
        yield f"Questions: {counts}. Unanswerable questions are in no row; an abstention has no answer to score."
        if self.usage is not None:
            yield _used(self.usage)
        if self.manifest.get("masked"):
            yield f"{str(self.manifest['masked']).capitalize()}."
        if self.check is not None:
            yield f"Judge check {self.check}."
        if any(row.judged for row in self.rows) and not self.believed:
            yield "Judged figures are not to be believed." if self.check else "The judge was not checked."


_COLUMNS = ("metric", "mean [95 % interval]", "scored", "not scored", "left out", "over repeats", "note")


def _cells(row: RagasRow) -> tuple[str, ...]:
    """Return a row as it is shown."""
    over = "" if row.spread is None else f"SD {row.spread:.3f}, within items {row.item_spread or 0.0:.3f}"
    name = row.metric if row.higher_is_better else f"{row.metric} (lower is better)"
    counts = [", ".join(f"{what} {n}" for what, n in counts.items()) for counts in (row.failures, row.left_out)]
    return (name, row.shown, f"{row.n} of {row.asked}", *counts, over, row.note)


def _markdown(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _used(usage: Usage) -> str:
    about = "" if not usage.estimated else f" (estimated for {usage.estimated})"
    mended = ", ".join(f"{kind} {count}" for kind, count in (usage.mended or {}).items())
    again = f" Mended by another try: {mended}." if mended else ""
    return f"Judge: {usage.requests:,} requests, {usage.tokens:,} tokens{about}.{again}" + (
        f" Stopped: {usage.stopped}." if usage.stopped else ""
    )
