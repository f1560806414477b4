"""A comparison as one record: printed, kept as JSON, and written as a report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from radrag.evaluation.plain import from_plain, to_plain
from radrag.evaluation.records import (
    Ablation,
    Case,
    Cost,
    Failure,
    Found,
    LeakControl,
    Reliability,
    Repeats,
    Risk,
    Row,
    SliceRow,
    Table,
)
from radrag.evaluation.review_results import HumanReview
from radrag.metrics import Estimate


@dataclass(frozen=True, slots=True)
class Comparison:
    """A system against its baseline.

    It holds the items' texts (unless they were left out): keep it as you keep them.

    Attributes:
        rows: The figures.
        items: Items given.
        unscored: What could not be scored, and how many, by reason.
        system: Name of the system.
        baseline: Name of the baseline.
        manifest: What produced the outputs of both, and the seed.
        groups: Groups that items came in, such as questions on one document; None if each stands alone.
        slices: The figures on parts of the data.
        calibration: The probability each side stated against how often it was right.
        risk: How often each side is wrong where its score is highest.
        retrieval: How often a gold source is among the first passages.
        leak: The control without each question's own source; None if it was not asked for.
        ablations: The system with one part changed.
        repeats: Spread over seeds; None if there was one.
        cost: Time, tokens and memory of both.
        failures: What went wrong, by kind.
        cases: Every item with what both said.
        review: What blinded reviewers said; None until it is imported.
        tables: Tables made elsewhere.
    """

    rows: tuple[Row, ...]
    items: int
    unscored: Mapping[str, int] = field(default_factory=dict)
    system: str = "system"
    baseline: str = "baseline"
    manifest: Mapping[str, Any] = field(default_factory=dict)
    groups: int | None = None
    slices: tuple[SliceRow, ...] = ()
    calibration: tuple[Reliability, ...] = ()
    risk: tuple[Risk, ...] = ()
    retrieval: tuple[Found, ...] = ()
    leak: LeakControl | None = None
    ablations: tuple[Ablation, ...] = ()
    repeats: Repeats | None = None
    cost: tuple[Cost, ...] = ()
    failures: tuple[Failure, ...] = ()
    cases: tuple[Case, ...] = ()
    review: HumanReview | None = None
    tables: tuple[Table, ...] = ()

    def with_review(self, review: HumanReview) -> Self:
        """Return it with what reviewers said."""
        return replace(self, review=review)

    def with_table(self, table: Table) -> Self:
        """Return it with one more table made elsewhere."""
        return replace(self, tables=(*self.tables, table))

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        made: dict[str, Any] = to_plain(self)
        return made

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Build it from what ``to_dict`` returned.

        Raises:
            ValueError: If the value is something else; it says where.
        """
        return from_plain(cls, value)

    def to_json(self, path: str | Path) -> None:
        """Write it as JSON."""
        Path(path).write_text(json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read what ``to_json`` wrote.

        Raises:
            ValueError: If the file is something else.
        """
        try:
            value = json.loads(Path(path).read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} is not JSON ({error}); expected a file that Comparison.to_json wrote") from error
        return cls.from_dict(value)

    def to_markdown(self, path: str | Path | None = None) -> str:
        """Return the report in Markdown; write it too if a path is given."""
        from radrag.evaluation.report.markdown import render

        return written(render(self), path)

    def to_html(self, path: str | Path | None = None, *, title: str = "", cases: int = 5) -> str:
        """Return the report as one HTML page that loads nothing; write it too if a path is given.

        Args:
            path: Where to write it.
            title: Its heading; by default the names of both sides.
            cases: How many of the best, the worst and the twice wrong cases to show.
        """
        from radrag.evaluation.report.page import render

        return written(render(self, title=title, cases=cases), path)

    def to_svg(self, path: str | Path | None = None, *, title: str = "") -> str:
        """Return the chart of all figures between 0 and 1 as one SVG file; write it too if a path is given.

        Args:
            path: Where to write it.
            title: Heading, before the names of both sides.

        Raises:
            ValueError: If no figure lies between 0 and 1.
        """
        from radrag.evaluation.report.chart_file import render

        return written(render(self, title=title), path)

    def __str__(self) -> str:
        lines = [f"{self.system} against {self.baseline}, {self.items} items"]
        for row in self.rows:
            lines.append(
                f"  {row.metric}: {row.system} against {row.baseline}, difference {interval(row.difference)}{_p(row)}"
            )
        lines += [
            f"  not scored: {count} ({reason})" if count else f"  not scored: {reason}"
            for reason, count in self.unscored.items()
        ]
        return "\n".join(lines)


def interval(estimate: Estimate) -> str:
    """Show a difference with its sign and interval."""
    return f"{estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]"


def _p(row: Row) -> str:
    if row.p_value is None:
        return ""
    corrected = "" if row.adjusted is None else f" ({row.adjusted:.2g} corrected)"
    return f", p {row.p_value:.2g}{corrected}"


def written(text: str, path: str | Path | None) -> str:
    """Write a text to a file if there is one, and return it."""
    if path is not None:
        Path(path).write_text(text, encoding="utf-8")
    return text
