"""From probabilities to label results: sets, abstention, evidence, and what a reader should know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from radrag.calibration import LabelThresholds, RiskThreshold, conformal_set
from radrag.indexes.hybrid import HybridIndex
from radrag.labelling.cite import cite
from radrag.labelling.label_set import LabelSet
from radrag.types import Citation, LabelResult, Span


class Explainer(Protocol):
    """Shows what in a note spoke for a label."""

    def evidence(self, note: str, label: int) -> tuple[Span, ...]:
        """Return the spans, strongest first."""


@dataclass(frozen=True, slots=True)
class Judge:
    """What the results of one batch are made with.

    Attributes:
        labels: The labels.
        explainer: Shows evidence.
        thresholds: Conformal threshold of each label; None before fit.
        risk: When to abstain; None for never.
        manifest: What produced the results.
        cites: Whether guidelines are cited.
        notices: What holds for the whole batch.
    """

    labels: LabelSet
    explainer: Explainer
    thresholds: LabelThresholds | None
    risk: RiskThreshold | None
    manifest: Mapping[str, Any]
    cites: bool
    notices: tuple[str, ...]

    def result(self, note: str, probabilities: NDArray[np.float64], citation: Citation | None) -> LabelResult:
        """Return the result for one note from its probabilities ``[labels]``; 0 is no candidate."""
        ids, best = self.labels.ids, int(probabilities.argmax())
        evidence = self.explainer.evidence(note, best)
        order = np.argsort(-probabilities, kind="stable")
        order = order[probabilities[order] > 0]
        chosen: tuple[int, ...] = ()
        if self.thresholds is not None:
            chosen = conformal_set(probabilities[order], self.thresholds.thresholds[order])
        return LabelResult(
            note=note,
            label=ids[best],
            probability=float(probabilities[best]),
            ranking=tuple((ids[place], float(probabilities[place])) for place in order),
            set=tuple(ids[order[place]] for place in chosen),
            evidence=evidence,
            citations=() if citation is None else (citation,),
            calibrated=self.thresholds is not None,
            warnings=(*self.notices, *self._warnings(best, evidence, citation)),
            manifest=self.manifest,
            abstained=self.risk is not None and bool(probabilities[best] <= self.risk.threshold),
        )

    def _warnings(self, best: int, evidence: Sequence[Span], citation: Citation | None) -> Iterator[str]:
        own = self.thresholds is None or "per-label" != self.manifest.get("sets") or self.thresholds.own[best]
        if not own:
            yield (
                f"too few calibration notes of {self.labels.ids[best]!r} for a threshold of its own; that of all "
                "labels is used"
            )
        if not evidence:
            yield "no word of the note speaks for the label"
        if self.cites and citation is None:
            yield f"the index has no guideline {self.labels.ids[best]!r} that can be cited"


def cited(index: HybridIndex, notes: Sequence[str], best: NDArray[np.int64], labels: LabelSet) -> list[Citation | None]:
    """Return for each note the sentence of its label's guideline that fits it, or None.

    Args:
        index: Where guidelines are.
        notes: Texts.
        best: Position of each note's label ``[n]``.
        labels: The labels.
    """
    found: list[Citation | None] = [None] * len(notes)
    for label in np.unique(best):
        rows = np.flatnonzero(best == label).tolist()
        quotes = cite(index, [notes[row] for row in rows], labels[labels.ids[label]])
        for row, quote in zip(rows, quotes, strict=True):
            found[row] = quote
    return found


def risk_notice(risk: RiskThreshold) -> str | None:
    """Return what to say where no label is safe enough at the risk that was asked for."""
    if risk.coverage:
        return None
    return (
        f"no threshold keeps the risk at {risk.risk:g} for sure on {risk.n} calibration notes, so every label is "
        "withheld; give more calibration notes or allow a higher risk"
    )


def notices(labels: LabelSet, counts: NDArray[np.int64] | None) -> Iterator[str]:
    """Yield what a reader should know about every result.

    Args:
        labels: The labels.
        counts: How many examples each has ``[labels]``; None before fit.
    """
    if counts is None:
        yield "not calibrated: no labelled notes were given; the scores only rank the labels"
    elif not counts.all():
        unseen = [id for id, count in zip(labels.ids, counts, strict=True) if not count]
        told = ", ".join(unseen[:5]) + (", ..." if len(unseen) > 5 else "")
        yield f"{len(unseen)} of {len(labels)} labels had no example: {told}"
