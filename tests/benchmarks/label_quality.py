"""Label quality on the hand-written test notes, fitted on the made ones: with retrieval and without.

Probabilities and sets are calibrated on the hand-written calibration notes; a row shows what they are worth when the
made notes calibrate. A label in a note's ``also`` counts as right. The made notes come from templates, so the grouped
5-fold row, which never leaves the templates, is far above what hand-written notes show; it stands here for contrast.

python tests/benchmarks/label_quality.py [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from common import arguments, report

import radrag as rr
from radrag.labelling.groups import group_notes, grouped_folds
from radrag.metrics import bootstrap, bootstrap_statistic, expected_calibration_error, f1

Notes = Sequence[rr.LabelledNote]
Results = Sequence[rr.LabelResult]
COLUMNS = ["system", "accuracy", "macro-F1", "ECE, 15 bins", "set holds the label", "mean set size"]


class Replay:
    """Gives results that were made before, so that nothing is labelled twice."""

    def __init__(self, results: Results) -> None:
        self._results = list(results)

    def batch(self, notes: Sequence[str]) -> list[rr.LabelResult]:
        """Return them all, for the notes they were made of."""
        assert [result.note for result in self._results] == list(notes)
        return self._results


def main() -> None:
    """Print the tables."""
    args = arguments(__doc__ or "").parse_args()
    train, apart, test = (rr.load_notes(split) for split in ("train", "calibration", "test"))
    if args.quick:
        train, apart, test = _sample(train, 2000), _sample(apart, 100), _sample(test, 60)
    with tempfile.TemporaryDirectory() as folder, rr.HybridIndex.create(Path(folder) / "index") as index:
        index.add(rr.load_protocols())
        labels = rr.LabelSet.from_protocols(index.documents())
        made = _systems(index, labels, train, apart, [note.text for note in test])
        hand = f"{len(test)} hand-written test notes, fitted on {len(train):,} made ones"
        report(f"Labels, {hand}", COLUMNS, [_row(name, test, results) for name, results in made.items()], args)
        for name in ("fitted", "zero-shot"):
            _against(f"{name}, {hand}", test, made[f"{name}, RAG"], made[f"{name}, no RAG"], args)
        rows = _folds(index, labels, train)
        report(f"Labels, grouped 5-fold on {len(train):,} made notes, groups resampled", COLUMNS, rows, args)


def _sample(notes: Notes, count: int) -> list[rr.LabelledNote]:
    chosen = np.random.default_rng(0).choice(len(notes), count, replace=False)
    return [notes[row] for row in sorted(chosen)]


def _systems(
    index: rr.HybridIndex, labels: rr.LabelSet, train: Notes, apart: Notes, texts: list[str]
) -> dict[str, Results]:
    made: dict[str, Results] = {}
    pipeline = rr.LabelPipeline(index, None, labels=labels)
    made["zero-shot, RAG"], made["zero-shot, no RAG"] = _both(pipeline, texts)
    if find_spec("torch") is not None:
        llama = rr.LlamaGenerator("small-llama", "small-llama-protocols", quantize="nf4", local_files_only=True)
        tuned = rr.LabelPipeline(index, llama, labels=labels, tuned=True)
        made["small Llama alone, by likelihood"] = tuned.without_retrieval().batch(texts)
        made["fitted, with the small Llama, RAG"] = tuned.fit(train, apart).batch(texts)
    fitted = _both(rr.LabelPipeline(index, labels=labels).fit(train, apart), texts)
    made["fitted, calibrated on the made notes, RAG"] = rr.LabelPipeline(index, labels=labels).fit(train).batch(texts)
    return {"fitted, RAG": fitted[0], "fitted, no RAG": fitted[1], **made}


def _both(pipeline: rr.LabelPipeline, texts: list[str]) -> tuple[Results, Results]:
    return pipeline.batch(texts), pipeline.without_retrieval().batch(texts)


def _folds(index: rr.HybridIndex, labels: rr.LabelSet, notes: Notes) -> list[list[Any]]:
    groups = group_notes(notes)
    folds = grouped_folds(groups, np.asarray([labels.ids.index(note.label) for note in notes]))
    made: list[list[Any]] = [[None] * len(notes) for _ in range(2)]
    for fold in range(5):
        rest = [note for note, one in zip(notes, folds, strict=True) if one != fold]
        rows = np.flatnonzero(folds == fold)
        pipeline = rr.LabelPipeline(index, labels=labels).fit(rest)
        for side, results in zip(made, _both(pipeline, [notes[row].text for row in rows]), strict=True):
            for row, result in zip(rows, results, strict=True):
                side[row] = result
    return [_row(name, notes, side, groups) for name, side in zip(("fitted, RAG", "fitted, no RAG"), made, strict=True)]


def _row(name: str, notes: Notes, results: Results, groups: Any = None) -> list[Any]:
    true = [note.label for note in notes]
    given = [n.label if r.label in n.also else r.label for n, r in zip(notes, results, strict=True)]
    right = np.asarray([a == b for a, b in zip(true, given, strict=True)], dtype=float)
    sure = np.asarray([result.probability for result in results])

    def macro(gold: Any, predicted: Any) -> float:  # of the labels that occur; one that a resample lacks has none
        names = sorted(set(gold.tolist()))
        return float(f1(gold.tolist(), predicted.tolist(), labels=names, average="macro", zero_division=0.0))

    figures: list[Any] = [
        bootstrap(right, seed=0, groups=groups),
        bootstrap_statistic((true, given), macro, seed=0, groups=groups),
        bootstrap_statistic((sure, right), expected_calibration_error, seed=0, groups=groups),
    ]
    if not all(result.set for result in results):
        return [name, *figures, "not fitted", "not fitted"]
    held = [bool({n.label, *n.also} & set(r.set)) for n, r in zip(notes, results, strict=True)]
    sizes = [len(result.set) for result in results]
    return [name, *figures, bootstrap(np.asarray(held, float), seed=0, groups=groups),
            bootstrap(np.asarray(sizes, float), seed=0, groups=groups)]  # fmt: skip


def _against(title: str, notes: Notes, system: Results, baseline: Results, args: argparse.Namespace) -> None:
    made = rr.compare(Replay(system), Replay(baseline), notes)
    rows = [
        [row.metric, row.system, row.baseline, row.difference, "" if row.test is None else f"{row.test.p_value:.2g}"]
        for row in made.rows
    ]
    report(f"RAG against no RAG, {title}", ["", "RAG", "no RAG", "difference, paired", "p (McNemar)"], rows, args)


if __name__ == "__main__":
    main()
