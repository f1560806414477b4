"""Findings by a generator: how likely it finds each status as its reply to a question about one finding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from radrag.corpora.deidentify import deidentify
from radrag.errors import ModelError
from radrag.generation.prompts import finding_chat
from radrag.labelling.label_set import LabelSet
from radrag.protocols import Scorer, says_local
from radrag.types import Status

STATUSES = tuple(Status)
_CHATS = 64  # asked at once


def status_scores(scorer: Scorer, reports: Sequence[str], labels: LabelSet) -> NDArray[np.float64]:
    """Return log-probabilities ``[reports, findings, statuses]`` that sum to 1 over the statuses.

    Args:
        scorer: The generator. Unless its ``local`` is True it counts as running elsewhere, and identifiers are masked.
        reports: Texts without indication and technique.
        labels: The findings.

    Raises:
        ModelError: If the generator returns another shape or a score that is not finite.
    """
    texts = reports if says_local(scorer) else [deidentify(report).text for report in reports]
    chats = [finding_chat(text, label) for text in texts for label in labels]
    found = []
    for start in range(0, len(chats), _CHATS):
        part = chats[start : start + _CHATS]
        scores = np.asarray(scorer.score(part, [str(status) for status in STATUSES]), dtype=np.float64)
        if scores.shape != (len(part), len(STATUSES)) or not np.isfinite(scores).all():
            raise ModelError(
                f"the generator must score {len(part)} questions by {len(STATUSES)} statuses with finite numbers, got "
                f"shape {scores.shape}"
            )
        found.append(scores)
    whole = np.concatenate(found) if found else np.zeros((0, len(STATUSES)))
    return np.asarray(log_softmax(whole, axis=1)).reshape(len(reports), len(labels), len(STATUSES))


def log_odds(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return from ``status_scores`` the log-odds of present against all else ``[reports, findings]``."""
    place = STATUSES.index(Status.PRESENT)
    rest = np.delete(scores, place, axis=2)
    return np.asarray(scores[:, :, place] - np.logaddexp.reduce(rest, axis=2))
