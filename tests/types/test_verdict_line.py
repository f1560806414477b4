"""How sure a verdict is decides how it is worded."""

from __future__ import annotations

import pytest

from radrag.types import Answer, Verdict


@pytest.mark.parametrize(
    ("yes", "line"),
    [
        (0.47, "Unsure: leans to yes (probability 0.47); read the sources"),
        (0.5, "Unsure: leans to yes (probability 0.50); read the sources"),
        (0.51, "Yes (probability 0.51)"),
    ],
)
def test_a_verdict_that_is_as_likely_wrong_only_leans(yes: float, line: str) -> None:
    verdict = Verdict("yes", {"yes": yes, "no": 0.4 * (1 - yes), "maybe": 0.6 * (1 - yes)})
    answer = Answer("Does it help?", verdict=verdict)
    assert line in str(answer).splitlines()
    assert line in answer.to_html()
    assert "(probability not stated)" in str(Answer("Does it help?", verdict=Verdict("yes", {})))
