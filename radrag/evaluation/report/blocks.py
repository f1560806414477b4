"""What a report is made of, before it is HTML or Markdown."""

from __future__ import annotations

from dataclasses import dataclass

from radrag.evaluation.records import Case
from radrag.metrics import Estimate


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """A table; the first cell of a row names it.

    Attributes:
        caption: What it shows.
        columns: Names of the columns.
        rows: Cells as text.
        folded: Whether a screen shows it only when asked, as a chart above says the same; paper always shows it.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing.

    Attributes:
        title: Its heading.
        svg: The drawing, safe to put into a page.
        alt: What it shows, in a sentence.
    """

    title: str
    svg: str
    alt: str


@dataclass(frozen=True, slots=True)
class Cases:
    """Items with what both sides said, under a heading of their own."""

    title: str
    note: str
    cases: tuple[Case, ...]
    names: tuple[str, str]


Block = Text | Grid | Chart | Cases


@dataclass(frozen=True, slots=True)
class Section:
    """A headed part of a report.

    Attributes:
        id: Where links go.
        title: Its heading.
        blocks: What is in it.
    """

    id: str
    title: str
    blocks: tuple[Block, ...]


def figure(estimate: Estimate | None, *, signed: bool = False) -> str:
    """Show a figure with its interval; one without width, as all items scored alike, is shown as a dash."""
    if estimate is None:
        return "–"
    sign = "+" if signed else ""
    if estimate.low == estimate.high:
        return f"{estimate.value:{sign}.3f} [–]"
    return f"{estimate.value:{sign}.3f} [{estimate.low:{sign}.3f}, {estimate.high:{sign}.3f}]"


def count(estimate: Estimate) -> str:
    """Show what a figure rests on."""
    return str(estimate.n) if estimate.groups is None else f"{estimate.n} in {estimate.groups} groups"


def chance(p: float | None) -> str:
    """Show a p-value; what is below 0.001 is not told apart."""
    if p is None:
        return "–"
    return "<0.001" if p < 0.001 else f"{p:.3f}"
