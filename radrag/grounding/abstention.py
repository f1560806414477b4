"""Why there is no answer: one of a few reasons, told by what was measured of the evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

from radrag.corpora.retractions import is_evidence
from radrag.grounding.confidence import FEATURES
from radrag.types import Hit

# Of questions below the shipped threshold, .4 names 61 % of those from outside the corpora off topic, and 32 % of near
# misses; of answerable ones 13 % lie below it.
OFF_TOPIC = 0.4
_TOPIC = FEATURES.index("passage cosine")


class Reason(StrEnum):
    """Why a question was not answered; its value is what ``Answer.reason`` says: ``Reason(answer.reason)``."""

    NOTHING_FOUND = "nothing was found for this question"
    OFF_TOPIC = "nothing found is on the topic of this question"
    TOO_LITTLE = "the passages found cover too little of the question"
    RETRACTED_ONLY = "only retracted sources, or notices of retraction or concern, speak to this question"
    CONFLICTING = "the sources contradict every statement of the draft"
    UNSUPPORTED = "no statement of the draft is supported by the passages"
    NO_ROOM = "the question and one sentence of the best passage do not fit the model's context window"
    DECLINED = "the reader found no answer in the passages"
    SOURCELESS = "without sources this reader cannot answer"


def weak_reason(features: Sequence[float]) -> Reason:
    """Say why evidence below the threshold does not suffice.

    Args:
        features: What ``evidence_features`` returned; all zero if nothing was found.
    """
    if not any(features):
        return Reason.NOTHING_FOUND
    return Reason.OFF_TOPIC if features[_TOPIC] < OFF_TOPIC else Reason.TOO_LITTLE


def evidence_reason(
    hits: Sequence[Hit],
    with_retracted: Sequence[Hit],
    measure: Callable[[Sequence[Hit]], Sequence[float]],
    suffices: Callable[[Sequence[float]], bool],
) -> Reason:
    """Say why the hits do not suffice, and whether sources that are retracted, or notices about others, would have.

    Args:
        hits: What was found, without what is no evidence.
        with_retracted: What is found when they count.
        measure: Gives the ``evidence_features`` of hits.
        suffices: Whether such features reach the threshold.
    """
    if not all(is_evidence(hit.passage) for hit in with_retracted) and suffices(measure(with_retracted)):
        return Reason.RETRACTED_ONLY
    return weak_reason(measure(hits)) if hits else Reason.NOTHING_FOUND


def draft_reason(verdicts: Sequence[str], supported: bool) -> Reason | None:
    """Say why a draft made from passages is no answer; None if it is one.

    Args:
        verdicts: Verdict of the verifier for each statement.
        supported: Whether any statement is supported.
    """
    if supported:
        return None
    if not verdicts:
        return Reason.DECLINED
    return Reason.CONFLICTING if set(verdicts) == {"contradicted"} else Reason.UNSUPPORTED
