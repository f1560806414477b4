"""Compare a pipeline with its baseline on the same items: paired, with n and intervals."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radrag.metrics import (
    Estimate,
    McNemar,
    bootstrap,
    bootstrap_statistic,
    expected_calibration_error,
    f1,
    mcnemar,
    paired_bootstrap,
    token_f1,
)
from radrag.types import Answer, LabelledNote, LabelResult, Question

Items = Sequence[Question] | Sequence[LabelledNote]
Flags = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of both sides.

    Attributes:
        metric: What was measured.
        system: The system's figure, with its interval and n.
        baseline: The baseline's, on the same items.
        difference: System less baseline, from paired resamples.
        test: Exact McNemar test, for figures that are right or wrong item by item.
        higher_is_better: Whether more is better.
    """

    metric: str
    system: Estimate
    baseline: Estimate
    difference: Estimate
    test: McNemar | None = None
    higher_is_better: bool = True


@dataclass(frozen=True, slots=True)
class Comparison:
    """A system against its baseline.

    Attributes:
        rows: The figures.
        items: Items given.
        unscored: What could not be scored, and how many, by reason.
        system: Name of the system.
        baseline: Name of the baseline.
        manifest: What produced the outputs of both, and the seed.
    """

    rows: tuple[Row, ...]
    items: int
    unscored: Mapping[str, int] = field(default_factory=dict)
    system: str = "system"
    baseline: str = "baseline"
    manifest: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        made: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return made

    def to_markdown(self) -> str:
        """Return the table in Markdown."""
        head = f"| | {self.system} | {self.baseline} | difference | p |\n| --- | --- | --- | --- | --- |\n"
        lines = []
        for row in self.rows:
            p = "" if row.test is None else f"{row.test.p_value:.3g}"
            lines.append(f"| {row.metric} | {row.system} | {row.baseline} | {interval(row.difference)} | {p} |")
        return head + "\n".join(lines) + "\n"

    def __str__(self) -> str:
        lines = [f"{self.system} against {self.baseline}, {self.items} items"]
        for row in self.rows:
            p = "" if row.test is None else f", p {row.test.p_value:.2g}"
            lines.append(
                f"  {row.metric}: {row.system} against {row.baseline}, difference {interval(row.difference)}{p}"
            )
        lines += [f"  not scored: {count} ({reason})" for reason, count in self.unscored.items()]
        return "\n".join(lines)


def interval(estimate: Estimate) -> str:
    """Show a difference with its sign and interval."""
    return f"{estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]"


def compare(
    system: Any, baseline: Any, items: Items, *, seed: int = 0, names: tuple[str, str] = ("RAG", "no RAG")
) -> Comparison:
    """Run two pipelines on the same items and compare them, paired.

    Questions are scored for: the right verdict (an abstention is wrong), token F1 with the gold answer, citing a
    document of the gold spans, answering what can be answered, and abstaining on what cannot. Notes are scored for:
    accuracy (any acceptable label is right), macro-F1, calibration error, and coverage of the label sets.

    Args:
        system: A ``QAPipeline`` or ``LabelPipeline``, or anything with ``batch``.
        baseline: The same, usually ``system.without_retrieval()``.
        items: ``Question`` or ``LabelledNote`` records, at least 2.
        seed: Seed of the resampling.
        names: What to call the two.

    Raises:
        ValueError: If there are fewer than 2 items or they are of mixed kinds.
    """
    given: list[Any] = list(items)
    kinds = {type(item) for item in given}
    if len(given) < 2 or len(kinds) != 1 or not kinds <= {Question, LabelledNote}:
        found = ", ".join(sorted(kind.__name__ for kind in kinds)) or "none"
        raise ValueError(f"items must be at least 2 Questions or 2 LabelledNotes, got {len(given)} ({found})")
    outputs = [side.batch([item.text for item in given]) for side in (system, baseline)]
    measure: Callable[..., tuple[list[Row], dict[str, int]]] = _questions if kinds == {Question} else _notes
    rows, unscored = measure(given, *outputs, seed)
    manifests = {name: dict(made[0].manifest) for name, made in zip(names, outputs, strict=True)}
    for made in manifests.values():
        made.pop("question_sha256", None)
    return Comparison(tuple(rows), len(given), unscored, *names, {"seed": seed, **manifests})


def _row(metric: str, pairs: Sequence[tuple[float, float]], seed: int, *, exact: bool = True) -> Row:
    ours, theirs = np.asarray(pairs, dtype=np.float64).T
    return Row(
        metric, bootstrap(ours, seed=seed), bootstrap(theirs, seed=seed), paired_bootstrap(ours, theirs, seed=seed),
        mcnemar(ours > 0, theirs > 0) if exact else None,
    )  # fmt: skip


def _questions(
    items: list[Question], ours: list[Answer], theirs: list[Answer], seed: int
) -> tuple[list[Row], dict[str, int]]:
    def cited(question: Question, answer: Answer) -> float:
        wanted = {span.document_id for span in question.gold}
        return float(any(citation.document_id in wanted for citation in answer.citations))

    answerable = [question.answerable for question in items]
    measures: list[tuple[str, list[bool], Callable[[Question, Answer], float], bool]] = [
        ("right verdict", [q.answerable and q.verdict is not None for q in items], _verdict_right, True),
        ("cites a gold source", [q.answerable and bool(q.gold) for q in items], cited, True),
        ("answer token F1", [q.answerable and bool(q.answer) for q in items], _overlap, False),
        ("answers what can be answered", answerable, lambda _, a: float(not a.abstained), True),
        ("abstains where nothing answers", [not can for can in answerable], lambda _, a: float(a.abstained), True),
    ]
    rows, unscored = [], {}
    for metric, scored, score, exact in measures:
        chosen = [i for i, one in enumerate(scored) if one]
        if len(chosen) < 2:
            unscored[f"{metric}: fewer than 2 items"] = len(chosen)
            continue
        pairs = [(score(items[i], ours[i]), score(items[i], theirs[i])) for i in chosen]
        rows.append(_row(metric, pairs, seed, exact=exact))
    return rows, unscored


def _verdict_right(question: Question, answer: Answer) -> float:
    return float(not answer.abstained and answer.verdict is not None and answer.verdict.answer == question.verdict)


def _overlap(question: Question, answer: Answer) -> float:
    said = " ".join(claim.text for claim in answer.claims) if not answer.abstained else ""
    if answer.verdict is not None:
        said = f"{answer.verdict.answer} {said}"
    return token_f1(said, question.answer)


def _notes(
    items: list[LabelledNote], ours: list[LabelResult], theirs: list[LabelResult], seed: int
) -> tuple[list[Row], dict[str, int]]:
    sides = [
        [_resolved(item, result.label) for item, result in zip(items, made, strict=True)] for made in (ours, theirs)
    ]
    true = np.asarray([item.label for item in items])
    right = [np.asarray([label == item.label for label, item in zip(side, items, strict=True)]) for side in sides]
    rows = [_row("accuracy", list(zip(*(side.astype(float) for side in right), strict=True)), seed)]

    def macro(gold: Any, predicted: Any) -> float:  # of the labels that occur; one that a resample lacks has none
        labels = sorted(set(gold.tolist()))
        return float(f1(gold.tolist(), predicted.tolist(), labels=labels, average="macro", zero_division=0.0))

    first, second = (np.asarray(side) for side in sides)
    rows.append(_statistic("macro-F1", (true, first), (true, second), macro, seed))
    sure = [np.asarray([result.probability for result in made]) for made in (ours, theirs)]
    calibration = _statistic(
        "calibration error (ECE)",
        (sure[0], right[0]),
        (sure[1], right[1]),
        expected_calibration_error,
        seed,
        better=False,
    )
    rows.append(calibration)
    unscored = {}
    if all(result.set for made in (ours, theirs) for result in made):
        held = [[_covered(i, r) for i, r in zip(items, made, strict=True)] for made in (ours, theirs)]
        rows.append(_row("set holds the label", list(zip(*held, strict=True)), seed))
        sizes = [[float(len(result.set)) for result in made] for made in (ours, theirs)]
        row = _row("size of the set", list(zip(*sizes, strict=True)), seed, exact=False)
        rows.append(Row(row.metric, row.system, row.baseline, row.difference, higher_is_better=False))
    else:
        unscored["label sets: not fitted"] = len(items)
    return rows, unscored


def _statistic(
    metric: str, ours: Any, theirs: Any, statistic: Callable[[Any, Any], float], seed: int, *, better: bool = True
) -> Row:
    def difference(a: Any, b: Any, c: Any, d: Any) -> float:
        return statistic(a, b) - statistic(c, d)

    return Row(
        metric, bootstrap_statistic(ours, statistic, seed=seed), bootstrap_statistic(theirs, statistic, seed=seed),
        bootstrap_statistic((*ours, *theirs), difference, seed=seed), None, better,
    )  # fmt: skip


def _resolved(item: LabelledNote, label: str) -> str:
    """Count any acceptable label as the right one."""
    return item.label if label in item.also else label


def _covered(item: LabelledNote, result: LabelResult) -> float:
    return float(bool({item.label, *item.also} & set(result.set)))
