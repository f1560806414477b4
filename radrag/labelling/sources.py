"""Where scores come from besides labelled notes, and what they say where there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from radrag.indexes.hybrid import HybridIndex
from radrag.labelling.candidate_scorer import FROM, CandidateScorer
from radrag.labelling.default import DEFAULT_WEIGHT
from radrag.labelling.label_set import LabelSet
from radrag.labelling.rules import Rules
from radrag.labelling.writer import Writer
from radrag.labelling.zero_shot import ZeroShot, guidelines_of
from radrag.protocols import Encoder

SCORERS = ("text", "characters", "neighbours", "guidelines", "rules", "generator")


@dataclass(frozen=True, slots=True)
class Sources:
    """Where scores come from besides the examples.

    Attributes:
        labels: The labels.
        encoder: Encoder of notes.
        index: Where guidelines are.
        zero_shot: Scorer by guidelines.
        writer: The generator, if it scores.
        rules: The user's rules, if any.
        use: Which of ``SCORERS`` take part.
    """

    labels: LabelSet
    encoder: Encoder
    index: HybridIndex
    zero_shot: ZeroShot | CandidateScorer
    writer: Writer | None
    rules: Rules | None = None
    use: tuple[str, ...] = SCORERS


def checked_use(use: Sequence[str] | None, rules: bool) -> tuple[str, ...]:
    """Return the scorers that may take part, in order.

    Raises:
        ValueError: If one is unknown, there is none, or rules are wanted and not there.
    """
    if use is None:
        return SCORERS
    if isinstance(use, str) or not use or not set(use) <= set(SCORERS):
        raise ValueError(f"use must list some of {', '.join(SCORERS)}, got {use!r}")
    if "rules" in use and not rules:
        raise ValueError("use names 'rules', but none were given; pass rules=...")
    return tuple(name for name in SCORERS if name in use)


def by_definition(labels: LabelSet, encoder: Encoder, index: HybridIndex | None) -> ZeroShot | CandidateScorer:
    """Return what scores labels without examples, in large sets only candidates.

    Args:
        labels: The labels.
        encoder: Encoder of notes.
        index: Where guidelines are; None for names and definitions alone.
    """
    if len(labels) > FROM:
        return CandidateScorer(labels, encoder)
    return ZeroShot(labels, encoder, None if index is None else guidelines_of(labels, index))


def unfitted_probabilities(
    sources: Sources, notes: Sequence[str], default: Writer | None, names_only: ZeroShot | CandidateScorer | None
) -> NDArray[np.float64]:
    """Score labels without labelled notes; the scores sum to 1 and are not calibrated.

    Args:
        sources: The sources.
        notes: Texts.
        default: The generator that takes part beside the guidelines.
        names_only: What takes the guidelines' place where nothing may be retrieved.

    Raises:
        ValueError: If nothing that is used can score.
    """
    index = sources.index if names_only is None else None
    scores: list[NDArray[np.float64]] = []
    if sources.writer is not None:
        scores.append(sources.writer.scores(notes, index=index))
    elif "guidelines" in sources.use:
        scores.append((names_only or sources.zero_shot).scores(notes))
    if default is not None:
        scores.append(DEFAULT_WEIGHT * default.scores(notes, index=index))
    if sources.rules is not None and "rules" in sources.use:
        scores.append(sources.rules.scores(notes))
    if not scores:
        raise ValueError(f"before fit nothing can score with use={list(sources.use)}; fit it, or add 'guidelines'")
    return np.asarray(softmax(np.sum(scores, axis=0), axis=1))
