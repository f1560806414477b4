"""The sections of a report that experts look for: curves, failures, cost, methods, manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from radrag.evaluation.comparison import Comparison
from radrag.evaluation.records import Reliability, Risk
from radrag.evaluation.report import charts
from radrag.evaluation.report.blocks import Block, Chart, Grid, Text, figure
from radrag.metrics.slices import wilson


def calibration(made: Comparison) -> Iterator[Block]:
    """Yield reliability diagrams and risk-coverage curves of both sides."""
    if made.calibration:
        series = tuple(_reliability(one, _style(made, one.side)) for one in made.calibration)
        svg = charts.lines(series, ("stated probability", "share that was right"), diagonal=True)
        alt = " ".join(f"{one.side}: calibration error {figure(one.error)}." for one in made.calibration)
        yield Chart("Stated probability against the share that was right", svg, f"{alt} On the diagonal both agree.")
        rows = tuple(
            (
                f"{one.side}, {cell.low:.2f} to {cell.high:.2f}",
                str(cell.n),
                f"{cell.confidence:.3f}",
                figure(wilson(round(cell.accuracy * cell.n), cell.n)),
            )
            for one in made.calibration
            for cell in one.bins
            if cell.confidence is not None and cell.accuracy is not None
        )
        yield Grid("Calibration in bins", ("bin", "n", "mean probability", "share right"), rows, folded=True)
        errors = "; ".join(f"{one.side} {figure(one.error)}, n = {one.error.n}" for one in made.calibration)
        yield Text(
            f"Expected calibration error in {len(made.calibration[0].bins)} bins: {errors}. The probability is the one "
            "stated for a verdict or a label. Intervals of bins are Wilson's and take items as independent; a bin of a "
            "few items says little."
        )
    if made.risk:
        risks = tuple(_risk(one, _style(made, one.side)) for one in made.risk)
        kind = made.risk[0].kind or "score"
        svg = charts.lines(risks, (f"share kept, the highest {kind} first", "share of those that is wrong"))
        alt = " ".join(
            f"{one.side}: {point.risk:.3f} wrong of the {point.coverage:.0%} with the highest {one.kind or 'score'}."
            for one in made.risk
            for point in (one.points[0], one.points[len(one.points) // 2])
        )
        yield Chart("Risk against coverage", svg, alt)
        points = tuple(
            (f"{one.side}, {point.coverage:.0%}", str(point.n), f"{point.threshold:.3f}",
             f"{point.risk:.3f} [{point.low:.3f}, {point.high:.3f}]")
            for one in made.risk
            for point in one.points
        )  # fmt: skip
        columns = ("kept", "n", f"{kind} at least", "wrong")
        yield Grid("Risk at each coverage", columns, points, folded=True)
        areas = "; ".join(f"{one.side} {one.aurc:.3f}, n = {one.n} answered items" for one in made.risk)
        yield Text(f"Area under the risk-coverage curve (low is good): {areas}.")
        if any(one.kind == "evidence score" for one in made.risk):
            yield Text(
                "The evidence score rates how far what was retrieved bears on the question, and decides whether it is "
                "answered; it is not the probability of the verdict."
            )


def retrieval(made: Comparison) -> Iterator[Block]:
    """Yield how early a gold source is found."""
    if not made.retrieval:
        return
    points = tuple(charts.Point(float(f.k), f.share.value, f.share.low, f.share.high) for f in made.retrieval)
    if len(points) > 1:
        ticks = [point.x for point in points]
        svg = charts.lines((charts.Series(made.system, points),), ("passages", "gold source found"), ticks=ticks)
        alt = "; ".join(f"among {point.x:g}: {point.y:.3f}" for point in points)
        yield Chart("Share of questions with a gold source among the first passages", svg, alt)
    rows = tuple((f"first {f.k}", figure(f.share), str(f.share.n)) for f in made.retrieval)
    yield Grid("A gold source is among the passages", ("passages", "share", "n"), rows, folded=len(points) > 1)


def failures(made: Comparison) -> Iterator[Block]:
    """Yield what went wrong, and what could not be scored."""
    if made.failures:
        rows = tuple((one.what, str(one.system), str(one.baseline)) for one in made.failures)
        yield Grid(f"Times, in {made.items} items", ("what", made.system, made.baseline), rows)
    else:
        yield Text("Neither side abstained, warned, or cited what does not exist.")
    if made.unscored:
        lost = tuple((reason, str(number or "none")) for reason, number in made.unscored.items())
        yield Grid("Figures left out, or not of all items", ("figure, and why", "items that this is about"), lost)
    else:
        yield Text("Every figure could be computed.")


def cost(made: Comparison) -> Iterator[Block]:
    """Yield time, tokens and memory."""
    gpu = any(one.gpu_bytes for one in made.cost)
    rows = tuple(
        (
            one.side, f"{one.seconds:.1f}", f"{one.seconds / max(one.items, 1):.3f}",
            "–" if one.prompt_tokens is None else f"{one.prompt_tokens:,}",
            "–" if one.new_tokens is None else f"{one.new_tokens:,}",
            _mebibytes(one.peak_bytes),
            *([_mebibytes(one.gpu_bytes)] if gpu else []),
        )
        for one in made.cost
    )  # fmt: skip
    if rows:
        columns = ("side", "seconds", "seconds an item", "tokens read", "tokens written", "peak memory, MiB")
        yield Grid("What the runs took", (*columns, "peak GPU memory, MiB") if gpu else columns, rows)
        own = all(one.own_peak for one in made.cost if one.peak_bytes)
        peak = (
            "the peak is the most that the process held while that side ran, loaded models and indexes included"
            if own
            else "the peak is that of the process so far, as this system cannot measure a side alone"
        )
        yield Text(
            f"Sides ran one after the other in one process: the second may find models and indexes loaded, and {peak}. "
            "A dash: there was no generator, it does not count, or all answers were kept from an earlier run."
        )


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:,.0f}" if count else "–"


def methods(made: Comparison) -> Iterator[Block]:
    """Yield how figures, intervals and tests were made."""
    if made.groups is None:
        yield Text(
            "Each item stands alone: intervals come from drawing items, and right or wrong is tested by McNemar."
        )
    else:
        yield Text(
            f"The {made.items} items come in {made.groups} groups (questions that share a source document, notes of "
            "one patient or template). Whole groups are drawn for the intervals and flipped in the tests."
        )
    yield Text(
        "Intervals hold 95 %, from 2,000 bootstrap resamples. Both sides are scored on the same items and the same "
        "draws. p is two-sided and corrected by Holm's method over all rows of its table (over all variants; over all "
        "parts), so that the whole table errs at most as often as one test. A figure counts as better or worse only if "
        "its corrected p is at most 0.05 and its interval leaves out 0; where only the interval does, that is said. A "
        "share of 0 or 1 has Wilson's interval (of as many groups, if items come in groups), as resampling gives it "
        "none; [–] marks any other figure whose items all scored alike, of which resampling cannot say how sure it is."
    )


def manifest(made: Comparison) -> Iterator[Block]:
    """Yield what produced the outputs."""
    rows = tuple(_flat(made.manifest, ""))
    if rows:
        yield Grid("What produced the outputs", ("what", "value"), rows)


def _style(made: Comparison, side: str) -> str:
    return "baseline" if side == made.baseline else "system"


def _reliability(one: Reliability, style: str) -> charts.Series:
    points = tuple(
        charts.Point(cell.confidence, cell.accuracy, *_bounds(cell.accuracy, cell.n))
        for cell in one.bins
        if cell.confidence is not None and cell.accuracy is not None
    )
    return charts.Series(one.side, points, style)


def _bounds(share: float, n: int) -> tuple[float, float]:
    made = wilson(round(share * n), n)
    return made.low, made.high


def _risk(one: Risk, style: str) -> charts.Series:
    points = (charts.Point(point.coverage, point.risk, point.low, point.high) for point in one.points)
    return charts.Series(one.side, tuple(sorted(points, key=lambda point: point.x)), style)


def _flat(value: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for key, one in value.items():
        name = f"{path}.{key}" if path else str(key)
        if isinstance(one, Mapping):
            yield from _flat(one, name)
        else:
            yield name, one if isinstance(one, str) else json.dumps(one, ensure_ascii=False, default=str)
