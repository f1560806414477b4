"""Label quality on the hand-written test notes: each scorer, all combined, promises kept and broken, few examples.

Fitted on the made notes; the hand-written calibration notes calibrate. Where a row says so they are learnt from too;
as some cases of the calibration and the test notes resemble each other, that row is too high. A label in a note's
``also`` counts as right. The made notes come from templates, so the rows that never leave the templates are far above
what hand-written notes show.

python tests/benchmarks/label_quality.py [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import arguments, report
from numpy.typing import NDArray

import radrag as rr
from radrag.calibration import Sample, drift
from radrag.labelling.groups import group_notes, grouped_folds
from radrag.metrics import (
    aurc,
    bootstrap,
    bootstrap_statistic,
    expected_calibration_error,
    f1,
    mcnemar,
    paired_bootstrap,
    risk_coverage,
)

Notes = Sequence[rr.LabelledNote]
COLUMNS = ["system", "accuracy", "macro-F1", "ECE, 15 bins", "set holds the label", "mean set size"]
COVERAGE = 0.95
RISKS = (0.02, 0.05, 0.1)
SPLITS = 100


@dataclass(frozen=True)
class Bench:
    """What every table needs."""

    index: rr.HybridIndex
    labels: rr.LabelSet
    train: Notes
    apart: Notes
    test: Notes
    args: argparse.Namespace

    def pipeline(self, **settings: Any) -> rr.LabelPipeline:
        """Return an unfitted pipeline without a generator."""
        return rr.LabelPipeline(self.index, None, labels=self.labels, coverage=COVERAGE, **settings)


@dataclass(frozen=True)
class Outcome:
    """Results on notes, and what of them is right."""

    results: Sequence[rr.LabelResult]
    right: NDArray[np.float64]

    @classmethod
    def of(cls, pipeline: rr.LabelPipeline, notes: Notes) -> Outcome:
        """Label the notes."""
        results = pipeline.batch([note.text for note in notes])
        right = [r.label in (n.label, *n.also) for n, r in zip(notes, results, strict=True)]
        return cls(results, np.asarray(right, dtype=float))


def main() -> None:
    """Print the tables."""
    args = arguments(__doc__ or "").parse_args()
    train, apart, test = (list(rr.load_notes(split)) for split in ("train", "calibration", "test"))
    if args.quick:
        train, apart, test = _sample(train, 800), _sample(apart, 150), _sample(test, 80)
    with tempfile.TemporaryDirectory() as folder, rr.HybridIndex.create(Path(folder) / "index") as index:
        index.add(rr.load_protocols())
        labels = rr.LabelSet.from_protocols(index.documents())
        bench = Bench(index, labels, train, apart, test, args)
        started = time.perf_counter()
        fitted = bench.pipeline().fit(train, apart)
        took = time.perf_counter() - started
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        print(f"fit on {len(train):,} made notes, calibrated on {len(apart)}: {took:.0f} s, peak {memory:.2f} GiB")
        print(f"weights: { {name: round(w, 2) for name, w in fitted.manifest['weights'].items()} }")
        whole = Outcome.of(fitted, test)
        _scorers(bench, fitted, whole)
        _confidence(bench, fitted, whole)
        _shifted(bench, fitted)
        _abstaining(bench, fitted, whole)
        _few(bench)
        _made(bench)


def _sample(notes: Notes, count: int) -> list[rr.LabelledNote]:
    chosen = np.random.default_rng(0).choice(len(notes), min(count, len(notes)), replace=False)
    return [notes[row] for row in sorted(chosen)]


def _scorers(bench: Bench, fitted: rr.LabelPipeline, whole: Outcome) -> None:
    """Compare all scorers combined with each alone, on the same notes."""
    words = Outcome.of(bench.pipeline(use=["text"]).fit(bench.train, bench.apart), bench.test)
    rivals = {
        "linear text model (words)": words,
        "no retrieval (words and characters)": Outcome.of(fitted.without_retrieval(), bench.test),
        "zero-shot, guidelines": Outcome.of(bench.pipeline(), bench.test),
        "zero-shot, names and definitions": Outcome.of(bench.pipeline().without_retrieval(), bench.test),
        "combined, calibration notes learnt too": Outcome.of(
            bench.pipeline().fit(bench.train, bench.apart, learn=True), bench.test
        ),
    }
    alone = {f"{name} alone": _alone(bench, fitted, name) for name in ("characters", "neighbours")}
    title = f"{len(bench.test)} hand-written test notes, {len(bench.train):,} made, {len(bench.apart)} to calibrate"
    rows = [_row(name, bench.test, made) for name, made in {"combined": whole, **rivals}.items()]
    rows += [[name, bootstrap(right, seed=0), *[""] * 4] for name, right in alone.items()]
    report(f"Labels, {title}", COLUMNS, rows, bench.args)
    columns = ["combined against", "difference in accuracy, paired", "p (McNemar)"]
    rights = {name: made.right for name, made in rivals.items()} | alone
    report(
        f"Paired, {title}",
        columns,
        [
            [name, paired_bootstrap(whole.right, right, seed=0), f"{mcnemar(whole.right, right).p_value:.2g}"]
            for name, right in rights.items()
        ],
        bench.args,
    )


def _alone(bench: Bench, fitted: rr.LabelPipeline, name: str) -> NDArray[np.float64]:
    """Return what one scorer of a fitted pipeline gets right; one weight would not change the order of its labels."""
    assert fitted._ensemble is not None
    best = fitted._ensemble.scores([note.text for note in bench.test], name).argmax(axis=1)
    ids = bench.labels.ids
    return np.asarray([ids[b] in (n.label, *n.also) for n, b in zip(bench.test, best, strict=True)], dtype=float)


def _confidence(bench: Bench, fitted: rr.LabelPipeline, whole: Outcome) -> None:
    """Compare confidence with accuracy, held out among the calibration notes and on the test notes.

    The error of few notes in many bins is above 0 however good the probabilities are: the last column is its mean if
    they were exactly right.
    """
    assert fitted._ensemble is not None
    kept = fitted._ensemble.calibration(retrieval=True)
    sides = {
        "calibration notes, held out": (kept.top, kept.right.astype(float)),
        "test notes": (np.asarray([result.probability for result in whole.results]), whole.right),
    }
    rows, rng = [], np.random.default_rng(0)
    for name, (sure, right) in sides.items():
        ideal = [expected_calibration_error(sure, rng.uniform(size=len(sure)) < sure) for _ in range(200)]
        ece = bootstrap_statistic((sure, right), expected_calibration_error, seed=0)
        rows.append([name, bootstrap(sure, seed=0), bootstrap(right, seed=0), ece, float(np.mean(ideal))])
    columns = ["notes", "mean probability", "accuracy", "ECE, 15 bins", "ECE if exactly right"]
    report("Confidence", columns, rows, bench.args)


def _shifted(bench: Bench, fitted: rr.LabelPipeline) -> None:
    """Show promises where they hold and where they do not, and whether the drift test tells the two apart."""
    texts = [note.text for note in bench.test]
    made = bench.pipeline().fit(bench.train)
    rows = []
    for name, pipeline in (("hand-written", fitted), ("made", made)):
        found, outcome = pipeline.drift(texts), Outcome.of(pipeline, bench.test)
        _, accuracy, _, ece, held, size = _row("", bench.test, outcome)
        warned = any("drift" in warning for warning in outcome.results[0].warnings)
        told = ", ".join(f"{part} {p:.2g}" for part, p in found.parts.items())
        rows.append([name, accuracy, ece, held, size, told, "yes" if warned else "no"])
    columns = ["calibrated on", "accuracy", "ECE", "set holds the label", "mean set size", "drift p", "warned"]
    report(f"Shift, {len(texts)} hand-written test notes", columns, rows, bench.args)
    fired = _false_alarms(made, bench)
    title = "Drift warnings on random halves of exchangeable made notes, level 0.05"
    report(title, ["splits", "share that warned"], [[len(fired), bootstrap(fired, seed=0)]], bench.args)


def _false_alarms(pipeline: rr.LabelPipeline, bench: Bench) -> NDArray[np.float64]:
    """Return for random splits of the made notes, one of each group, whether the test fired."""
    assert pipeline._ensemble is not None
    known = pipeline._ensemble.known(retrieval=True)
    fired = []
    for seed in range(20 if bench.args.quick else SPLITS):
        order = np.random.default_rng(seed).permutation(len(known.confidence))
        sides = [Sample(known.vectors[rows], known.confidence[rows]) for rows in np.array_split(order, 2)]
        fired.append(float(drift(sides[0], sides[1], level=0.05, seed=seed).drifted))
    return np.asarray(fired)


def _abstaining(bench: Bench, fitted: rr.LabelPipeline, whole: Outcome) -> None:
    """Show risk against coverage, and what abstention at a chosen risk keeps."""
    sure = [result.probability for result in whole.results]
    rows: list[list[Any]] = [
        [f"{row.coverage:.0%}", row.n, row.threshold, f"{row.risk:.3f} [{row.low:.3f}, {row.high:.3f}]"]
        for row in risk_coverage(sure, whole.right)
    ]
    area = bootstrap_statistic((sure, whole.right), aurc, seed=0)
    report(f"Risk and coverage, AURC {area}", ["most confident", "n", "threshold", "wrong"], rows, bench.args)
    rows = []
    for risk in RISKS:
        results = fitted.at_risk(risk).batch([note.text for note in bench.test])
        kept = np.asarray([not result.abstained for result in results])
        wrong = bootstrap(1 - whole.right[kept], seed=0) if kept.sum() > 1 else "none given"
        rows.append([risk, bootstrap(kept.astype(float), seed=0), wrong])
    report("Abstention at a chosen risk, 9 times in 10", ["risk asked", "labelled", "wrong of them"], rows, bench.args)
    each = bench.pipeline(sets="per-label")
    each._ensemble = fitted._ensemble
    outcome = Outcome.of(each, bench.test)
    _, _, _, _, held, size = _row("", bench.test, outcome)
    assert fitted._ensemble is not None
    own = fitted._ensemble.calibration(retrieval=True).thresholds(COVERAGE, len(bench.labels), per_label=True).own.sum()
    rows = [[f"per label ({own} of {len(bench.labels)} with their own)", held, size]]
    report("Sets by label", ["sets", "set holds the label", "mean set size"], rows, bench.args)


def _few(bench: Bench) -> None:
    """Learn from a few made notes of each label, without any hand-written one."""
    rows = [_row("0, guidelines (not calibrated)", bench.test, Outcome.of(bench.pipeline(), bench.test))]
    for count in (8,) if bench.args.quick else (8, 16, 64):
        some = _of_each(bench.train, count)
        started = time.perf_counter()
        pipeline = bench.pipeline().fit(some)
        took = f"{time.perf_counter() - started:.0f} s"
        whole, alone = Outcome.of(pipeline, bench.test), Outcome.of(pipeline.without_retrieval(), bench.test)
        gain = paired_bootstrap(whole.right, alone.right, seed=0)
        rows.append(_row(f"{count} ({len(some)} notes, {took}); against no retrieval {gain}", bench.test, whole))
    report("Made notes of each label, hand-written test notes", COLUMNS, rows, bench.args)


def _of_each(notes: Notes, count: int) -> list[rr.LabelledNote]:
    kept: dict[str, int] = {}
    order = np.random.default_rng(0).permutation(len(notes))
    chosen = []
    for row in order:
        label = notes[row].label
        if kept.get(label, 0) < count:
            kept[label] = kept.get(label, 0) + 1
            chosen.append(notes[row])
    return chosen


def _made(bench: Bench) -> None:
    """Stay within the templates: grouped folds of made notes."""
    notes = _sample(bench.train, 400 if bench.args.quick else 3_000)
    groups = group_notes(notes)
    true = np.asarray([bench.labels.ids.index(note.label) for note in notes])
    held = grouped_folds(groups, true) == 0
    rest, wanted = ([n for n, out in zip(notes, held, strict=True) if bool(out) is side] for side in (False, True))
    pipeline = bench.pipeline().fit(rest)
    sides = {"combined": pipeline, "no retrieval": pipeline.without_retrieval()}
    rows = [_row(name, wanted, Outcome.of(side, wanted), groups[held]) for name, side in sides.items()]
    report(f"Within the templates, {len(rest):,} made notes, one grouped fifth apart", COLUMNS, rows, bench.args)


def _row(name: str, notes: Notes, outcome: Outcome, groups: Any = None) -> list[Any]:
    true = [note.label for note in notes]
    given = [n.label if r.label in n.also else r.label for n, r in zip(notes, outcome.results, strict=True)]
    sure = np.asarray([result.probability for result in outcome.results])

    def macro(gold: Any, predicted: Any) -> float:  # of the labels that occur; one that a resample lacks has none
        names = sorted(set(gold.tolist()))
        return float(f1(gold.tolist(), predicted.tolist(), labels=names, average="macro", zero_division=0.0))

    resamples = 300  # macro-F1 is slow
    figures: list[Any] = [
        bootstrap(outcome.right, seed=0, groups=groups),
        bootstrap_statistic((true, given), macro, seed=0, groups=groups, n_resamples=resamples),
        bootstrap_statistic((sure, outcome.right), expected_calibration_error, seed=0, groups=groups),
    ]
    if not all(result.set for result in outcome.results):
        return [name, *figures, "not fitted", "not fitted"]
    held = [bool({n.label, *n.also} & set(r.set)) for n, r in zip(notes, outcome.results, strict=True)]
    sizes = [len(result.set) for result in outcome.results]
    return [name, *figures, bootstrap(np.asarray(held, float), seed=0, groups=groups),
            bootstrap(np.asarray(sizes, float), seed=0, groups=groups)]  # fmt: skip


if __name__ == "__main__":
    main()
