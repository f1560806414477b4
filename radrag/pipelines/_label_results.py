"""From probabilities to label results: sets, abstention, evidence, and what a reader should know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from radrag.calibration import LabelThresholds, RiskThreshold
from radrag.labelling.calibrated import Calibration
from radrag.labelling.candidate_scorer import CandidateScorer
from radrag.labelling.label_set import LabelSet
from radrag.labelling.sources import Sources
from radrag.types import Citation, LabelResult, Span


class Explainer(Protocol):
    """Shows what in a note spoke for a label."""

    def evidences(self, notes: Sequence[str], labels: Sequence[int]) -> list[tuple[Span, ...]]:
        """Return for each note the spans that spoke for its label, strongest first."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Some notes, and what was found for each.

    Attributes:
        notes: Texts ``[n]``.
        probabilities: ``[n, labels]``.
        citations: What backs the most probable label of each.
        evidence: The spans that spoke for it.
    """

    notes: Sequence[str]
    probabilities: NDArray[np.float64]
    citations: Sequence[Citation | None]
    evidence: Sequence[tuple[Span, ...]]


@dataclass(frozen=True, slots=True)
class Judge:
    """What the results of one batch are made with.

    Attributes:
        labels: The labels.
        thresholds: Conformal threshold of each label; None before fit.
        risk: When to abstain; None for never.
        manifest: What produced the results.
        cites: Whether guidelines are cited.
        notices: What holds for the whole batch.
    """

    labels: LabelSet
    thresholds: LabelThresholds | None
    risk: RiskThreshold | None
    manifest: Mapping[str, Any]
    cites: bool
    notices: tuple[str, ...]

    def results(self, seen: Seen) -> list[LabelResult]:
        """Return the result of each note; a probability of 0 is no candidate."""
        ids, given = self.labels.ids, seen.probabilities
        order = np.argsort(-given, axis=1, kind="stable")
        ranked = np.take_along_axis(given, order, axis=1)
        candidates = (ranked > 0).sum(axis=1).tolist()
        within = self._in_set(order, ranked)
        found = []
        for row, (note, evidence, citation) in enumerate(zip(seen.notes, seen.evidence, seen.citations, strict=True)):
            names = [ids[place] for place in order[row, : candidates[row]].tolist()]
            values = ranked[row, : candidates[row]].tolist()
            sure = values[0]
            result = LabelResult(
                note=note,
                label=names[0],
                probability=sure,
                ranking=tuple(zip(names, values, strict=True)),
                set=tuple(name for name, kept in zip(names, within[row], strict=False) if kept),
                evidence=evidence,
                citations=() if citation is None else (citation,),
                calibrated=self.thresholds is not None,
                warnings=(*self.notices, *self._warnings(int(order[row, 0]), evidence, citation)),
                manifest=self.manifest,
                abstained=self.risk is not None and sure <= self.risk.threshold,
            )
            found.append(result)
        return found

    def _in_set(self, order: NDArray[np.int64], ranked: NDArray[np.float64]) -> list[list[bool]]:
        """Return which of the ranked labels are in the set, up to the last that is, as ``conformal_set`` chooses."""
        if self.thresholds is None:
            return [[]] * len(order)
        reached = (ranked > 0) & (ranked >= self.thresholds.thresholds[order])
        reached[:, 0] |= ~reached.any(axis=1)
        last = reached.shape[1] - reached[:, ::-1].argmax(axis=1)
        return [row[:end].tolist() for row, end in zip(reached, last.tolist(), strict=True)]

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


def calibrated_judge(
    labels: LabelSet,
    kept: Calibration,
    settings: Mapping[str, Any],
    manifest: Mapping[str, Any],
    cites: bool,
    told: Sequence[str],
) -> Judge:
    """Return the judge of a fitted pipeline.

    Args:
        labels: The labels.
        kept: What was found on calibration notes.
        settings: The pipeline's ``coverage``, ``sets``, ``risk`` and ``delta``.
        manifest: What produced the results.
        cites: Whether guidelines are cited.
        told: What holds for the whole batch.
    """
    thresholds = kept.thresholds(settings["coverage"], len(labels), per_label=settings["sets"] == "per-label")
    risk = None if settings["risk"] is None else kept.at_risk(settings["risk"], settings["delta"])
    if risk is not None and not risk.coverage:
        hopeless = (
            f"no threshold keeps the risk at {risk.risk:g} for sure on {risk.n} calibration notes, so every label is "
            "withheld; give more calibration notes or allow a higher risk"
        )
        told = [hopeless, *told]
    return Judge(labels, thresholds, risk, manifest, cites, tuple(told))


def notices(sources: Sources, counts: NDArray[np.int64] | None, generator: object) -> Iterator[str]:
    """Yield what a reader should know about every result.

    Args:
        sources: Where scores come from besides the examples.
        counts: How many examples each label has ``[labels]``; None before fit.
        generator: The generator that was given.
    """
    labels = sources.labels
    if counts is None:
        yield "not calibrated: no labelled notes were given; the scores only rank the labels"
    elif not counts.all():
        unseen = [id for id, count in zip(labels.ids, counts, strict=True) if not count]
        told = ", ".join(unseen[:5]) + (", ..." if len(unseen) > 5 else "")
        yield f"{len(unseen)} of {len(labels)} labels had no example: {told}"
    if isinstance(sources.zero_shot, CandidateScorer):
        yield f"of {len(labels):,} labels only the candidates found for the note are ranked"
    if sources.writer is not None and sources.writer.masks:
        yield "the generator runs elsewhere; identifiers that were found in notes and examples were masked for it"
    if generator is not None and not hasattr(generator, "score"):
        yield "the generator has no score method and took no part"


def check_settings(labels: LabelSet, coverage: float, sets: str) -> None:
    """Refuse settings that no pipeline can have.

    Raises:
        ValueError: If there are fewer than 2 labels, a note may have several of them, or a setting is out of range.
    """
    if len(labels) < 2:
        raise ValueError(f"labels must hold at least 2 labels to choose from, got {len(labels)}")
    if not labels.exclusive:
        raise ValueError(
            f"a LabelPipeline gives each note exactly one label, but {labels!r} is not exclusive (a note may have any "
            "number of its labels); use FindingsPipeline, or make the set with exclusive=True"
        )
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must lie between 0 and 1, got {coverage}; 0.9 is usual")
    if sets not in ("marginal", "per-label"):
        raise ValueError(f"sets must be 'marginal' or 'per-label', got {sets!r}")
