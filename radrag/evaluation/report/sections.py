"""The sections of a report, in order: what is read first comes first."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from radrag.evaluation.comparison import Comparison
from radrag.evaluation.records import LEVEL, Case, Row
from radrag.evaluation.report import charts
from radrag.evaluation.report.blocks import Block, Cases, Chart, Grid, Section, Text, chance, count, figure
from radrag.evaluation.report.details import calibration, cost, failures, manifest, methods, retrieval
from radrag.metrics import Estimate

_JUDGED = (
    "What counts as right is shallow: the gold label or verdict; of a question without one, that a gold source is "
    "cited, whatever is said of it; of a question that nothing answers, an abstention. Read the words."
)


def sections(made: Comparison, cases: int) -> list[Section]:
    """Return the sections that have something to show."""
    parts = [
        Section("headline", "Headline", tuple(_headline(made))),
        Section("figures", "All figures", tuple(_figures(made))),
        Section("leak", "Without each question's own source", tuple(_leak(made))),
        Section("ablations", "What each part is worth", tuple(_ablations(made))),
        Section("repeats", "Repeats with other seeds", tuple(_repeats(made))),
        Section("calibration", "Calibration, and risk against coverage", tuple(calibration(made))),
        Section("retrieval", "Retrieval", tuple(retrieval(made))),
        Section("slices", "Parts of the data", tuple(_slices(made))),
        Section("review", "Human review", tuple(_review(made))),
        Section("tables", "Further tables", tuple(_tables(made))),
        Section("cases", "Cases", tuple(_cases(made, cases))),
        Section("failures", "Failures, and what could not be scored", tuple(failures(made))),
        Section("cost", "Cost", tuple(cost(made))),
        Section("methods", "How to read this", tuple(methods(made))),
        Section("manifest", "Manifest", tuple(manifest(made))),
    ]
    return [part for part in parts if part.blocks]


def sentence(row: Row, names: tuple[str, str]) -> str:
    """Say one figure in words."""
    p = "" if row.adjusted is None else f", corrected p {chance(row.adjusted)}"
    return (
        f"{row.metric}: {names[0]} {figure(row.system)}, {names[1]} {figure(row.baseline)}; difference "
        f"{figure(row.difference, signed=True)}{p}, n = {count(row.system)}: {row.verdict()}."
    )


def grid_of(caption: str, rows: Sequence[Row], names: tuple[str, str]) -> Grid:
    """Return figures as a table."""
    columns = ("figure", names[0], names[1], "difference", "n", "p", "p corrected", "test", "verdict")
    return Grid(
        caption,
        columns,
        tuple(
            (
                row.metric + ("" if row.higher_is_better else " (lower is better)"),
                figure(row.system), figure(row.baseline), figure(row.difference, signed=True), count(row.system),
                chance(row.p_value), chance(row.adjusted), row.tested_by or "–", row.verdict(),
            )
            for row in rows
        ),
    )  # fmt: skip


def _headline(made: Comparison) -> Iterator[Block]:
    names = (made.system, made.baseline)
    if not made.rows:
        yield Text("No figure could be computed; see what could not be scored.", strong=True)
        return
    first = sentence(made.rows[0], names)
    yield Text(first[:1].upper() + first[1:], strong=True)
    yield from _declined(made)
    yield Text(_counted(made))
    yield Text("Machine-made figures on a set of test items; not a clinical validation.")


def _counted(made: Comparison) -> str:
    """Say how many figures differ, and apart from them how many do so by their interval alone."""
    said = [row.verdict() for row in made.rows]
    better, worse, level = (said.count(one) for one in ("better", "worse", LEVEL))
    apart = [one for one in said if one not in ("better", "worse", LEVEL)]
    ahead = sum(one.startswith("better") for one in apart)
    unsure = (
        f"the intervals of {len(apart)} more leave out 0, but the corrected p does not bear them out (better on "
        f"{ahead}, worse on {len(apart) - ahead}); "
        if apart
        else ""
    )
    return (
        f"Of {len(said)} figures {made.system} is better than {made.baseline} on {better} and worse on {worse}; "
        f"{unsure}{level} show no difference."
    )


def _declined(made: Comparison) -> Iterator[Text]:
    """Say how many questions with a gold verdict each side declined, which counts as no right verdict."""
    cases = [case for case in made.cases if case.basis == "verdict"]
    sides = [(made.system, [case.system for case in cases]), (made.baseline, [case.baseline for case in cases])]
    if not any(said.abstained for _, side in sides for said in side):
        return
    told = []
    for name, side in sides:
        answered = [said for said in side if not said.abstained]
        right = sum(bool(said.right) for said in answered)
        told.append(
            f"{name} declined {len(side) - len(answered)}, and was right on {right} of {len(answered)} answered"
        )
    yield Text(
        f"Of {len(cases)} questions with a gold verdict {'; '.join(told)}. Declining counts as no right verdict. Each "
        "chose which to answer, so the shares among those answered are of other questions."
    )


def _figures(made: Comparison) -> Iterator[Block]:
    if not made.rows:
        return
    names = (made.system, made.baseline)
    alt = " ".join(
        f"{row.metric}: {names[0]} {row.system.value:.3f}, {names[1]} {row.baseline.value:.3f}." for row in made.rows
    )
    title = f"{made.system} against {made.baseline}, with 95 % intervals"
    yield Chart(title, charts.intervals(made.rows, names), alt)
    yield grid_of(f"All figures, {made.items} items; p corrected over these {len(made.rows)}", made.rows, names)


def _leak(made: Comparison) -> Iterator[Block]:
    if made.leak is None:
        return
    yield Text(
        f"{made.leak.questions} questions name the document they were written from; {made.system} had found it for "
        f"{made.leak.reached} of them. Here no passage of it could be found, and it declined to answer "
        f"{made.leak.declined} of them, where it had declined {made.leak.declined_before}; "
        "declining counts as no right verdict, though without the source it may be right. What gain is left does not "
        "come from finding the question's own article again."
    )
    names = (f"{made.system}, own source removed", made.baseline)
    yield grid_of("The system without own sources, against the baseline", made.leak.rows, names)


def _ablations(made: Comparison) -> Iterator[Block]:
    if not made.ablations:
        return
    by_metric: dict[str, list[tuple[str, ...]]] = {}
    for one in made.ablations:
        for cell in one.cells:
            row = (
                one.name, figure(cell.value), figure(cell.difference, signed=True), count(cell.value),
                chance(cell.p_value), chance(cell.adjusted),
            )  # fmt: skip
            by_metric.setdefault(cell.metric, []).append(row)
    cells = sum(len(one.cells) for one in made.ablations)
    yield Text(
        f"{made.system} with one part changed at a time, on the same items. Differences are variant less "
        f"{made.system}; p is corrected over all {cells} cells."
    )
    yield from _sweep(made)
    for metric, rows in by_metric.items():
        columns = ("variant", "figure", f"against {made.system}", "n", "p", "p corrected")
        yield Grid(metric, columns, tuple(rows), folded=metric != next(iter(by_metric)))


def _sweep(made: Comparison) -> Iterator[Block]:
    """Yield a chart of the first figure over the number of passages."""
    known = sorted((one for one in made.ablations if one.k is not None and one.cells), key=lambda one: one.k or 0)
    if len(known) < 2:
        return
    metric = known[0].cells[0].metric
    points = []
    for one in known:
        value = next((cell.value for cell in one.cells if cell.metric == metric), None)
        if value is not None:
            points.append(charts.Point(float(one.k or 0), value.value, value.low, value.high))
    own = made.manifest.get(made.system, {}).get("k")
    row = next((row for row in made.rows if row.metric == metric), None)
    if isinstance(own, int) and row is not None:
        points.append(charts.Point(float(own), row.system.value, row.system.low, row.system.high))
    points.sort(key=lambda point: point.x)
    series = (charts.Series(metric, tuple(points)),)
    svg = charts.lines(series, ("passages", metric), ticks=[point.x for point in points])
    alt = "; ".join(f"k = {point.x:g}: {point.y:.3f}" for point in points)
    yield Chart(f"{metric} by number of passages", svg, alt)


def _repeats(made: Comparison) -> Iterator[Block]:
    if made.repeats is None:
        return
    runs = made.repeats
    yield Text(
        f"{len(runs.seeds)} runs with seeds {', '.join(map(str, runs.seeds))}; all other tables show the first. "
        f"The output of {made.system} changed on {runs.changed_system} of {made.items} items, that of {made.baseline} "
        f"on {runs.changed_baseline}."
    )
    rows = tuple((one.metric, _spread(one.system), _spread(one.baseline)) for one in runs.spread)
    yield Grid("Mean ± standard deviation (least to most) over runs", ("figure", made.system, made.baseline), rows)


def _spread(values: Sequence[float]) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):.3f} ± {deviation:.3f} ({min(values):.3f} to {max(values):.3f})"


def _slices(made: Comparison) -> Iterator[Block]:
    if not made.slices:
        return
    found = [row for row in made.slices if row.adjusted is not None and row.adjusted <= 0.05]
    names = "; ".join(f"{row.metric}, {row.attribute} {row.name}" for row in found)
    told = f"differ from the rest after correction: {names}" if found else "none differs from the rest after correction"
    yield Text(
        f"Each part is tested against all other items, and p is corrected over all parts and figures: {told}. "
        "Parts marked small have too few items to say much and are not tested. No difference shown is not the same as "
        "no difference: the intervals say how large one may be."
    )
    for metric in dict.fromkeys(row.metric for row in made.slices):
        rows = tuple(
            (
                f"{row.attribute}: {row.name}{' (small)' if row.small else ''}", _part(row.system, row.n),
                _part(row.baseline, row.n), figure(row.difference, signed=True),
                "–" if row.rest is None else f"{row.rest:.3f}", str(row.n), chance(row.p_value), chance(row.adjusted),
            )
            for row in made.slices
            if row.metric == metric
        )  # fmt: skip
        columns = ("part", made.system, made.baseline, "difference", f"{made.system} on the rest", "n", "p",
                   "p corrected")  # fmt: skip
        yield Grid(metric, columns, rows, folded=metric != made.slices[0].metric)


def _part(estimate: Estimate | None, n: int) -> str:
    return f"too few items ({n})" if estimate is None else figure(estimate)


def _review(made: Comparison) -> Iterator[Block]:
    review = made.review
    if review is None:
        return
    done = ", ".join(f"{name} ({items} items)" for name, items in review.reviewers.items())
    ahead, level, behind = review.preferred
    yield Text(
        f"Blinded review by {done}. By “correct”, {made.system} did better on {ahead} items, equally well on {level}, "
        f"and {made.baseline} did better on {behind}."
    )
    yield from review_grids(made)
    if not review.agreement:
        yield Text("No answer was rated by two reviewers, so nothing is known of their agreement.")


def review_grids(made: Comparison) -> Iterator[Grid]:
    """Yield what reviewers said as tables: shares, how far they agree, and what did not count."""
    review = made.review
    if review is None:
        return
    yield grid_of("Share of “yes”", review.rows, (made.system, made.baseline))
    rows = tuple(
        (
            one.criterion, "–" if one.alpha is None else f"{one.alpha:.3f}",
            "–" if one.kappa is None else f"{one.kappa:.3f}", f"{one.share:.3f}", str(one.answers),
        )
        for one in review.agreement
    )  # fmt: skip
    if rows:
        columns = ("criterion", "Krippendorff's alpha", "Cohen's kappa", "same rating", "answers")
        yield Grid("Agreement of reviewers", columns, rows)
    if review.unrated:
        lost = tuple((name, str(times)) for name, times in review.unrated.items())
        yield Grid("Ratings that did not count", ("criterion", "times"), lost)


def _tables(made: Comparison) -> Iterator[Block]:
    for table in made.tables:
        if table.note:
            yield Text(table.note)
        yield Grid(table.title, table.columns, table.rows)


def _cases(made: Comparison, most: int) -> Iterator[Block]:
    judged = [case for case in made.cases if case.text and None not in (case.system.right, case.baseline.right)]
    best = [case for case in judged if case.system.right and not case.baseline.right]
    worst = [case for case in judged if case.baseline.right and not case.system.right]
    wrong = [case for case in judged if not case.system.right and not case.baseline.right]
    names = (made.system, made.baseline)
    if judged and most:
        yield Text(_JUDGED)
    parts = (
        (f"Only {made.system} is right", best),
        (f"Only {made.baseline} is right", worst),
        ("Both are wrong", wrong),
    )
    for title, found in parts:
        if found and most:
            shown = tuple(sorted(found, key=_by_score)[:most])
            note = f"{len(found)} of {len(judged)} judged items; {_chosen(shown, made.system)}."
            yield Cases(title, note, shown, names)


def _chosen(shown: Sequence[Case], name: str) -> str:
    """Say by what these cases were chosen."""
    kind = next((case.system.confidence_kind or "score" for case in shown if case.system.confidence is not None), "")
    return f"shown: {len(shown)}, by the highest {kind} of {name}" if kind else f"shown: {len(shown)}, by name"


def _by_score(case: Case) -> tuple[float, str]:
    return -(case.system.confidence or 0.0), case.id
