"""A generator that does not say it is local is shown reports without identifiers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from radrag.labelling import LabelSet
from radrag.labelling.findings.asked import STATUSES, status_scores
from radrag.types import Chat, Label

REPORT = "Mr John Smith, MRN 12345678: small left effusion."


class Recorder:
    """Remembers what it was asked; a ``local`` of its own says where it runs."""

    def __init__(self, **said: object) -> None:
        self.asked: list[Chat] = []
        vars(self).update(said)

    def score(self, chats: Sequence[Chat], options: Sequence[str]) -> NDArray[np.float64]:
        self.asked += chats
        return np.zeros((len(chats), len(options)))


@pytest.mark.parametrize(("said", "masked"), [({}, True), ({"local": False}, True), ({"local": True}, False)])
def test_reports_are_masked_unless_the_generator_is_local(said: dict[str, object], masked: bool) -> None:
    scorer = Recorder(**said)
    made = status_scores(scorer, [REPORT], LabelSet([Label("effusion", "Effusion"), Label("mass", "Mass")]))
    assert np.allclose(np.exp(made), 1 / len(STATUSES))
    sent = " ".join(turn.content for chat in scorer.asked for turn in chat)
    assert "small left effusion" in sent
    assert ("Smith" not in sent and "12345678" not in sent) is masked
