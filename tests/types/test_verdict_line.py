"""How sure a verdict is decides how it is worded."""

from __future__ import annotations

from dataclasses import replace

import pytest

from radrag.types import Answer, Verdict
from radrag.types.agreement import CONFLICT, SUPERSEDED, Agreement


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


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ((f"{CONFLICT}: A?",), "Sources conflict"),
        ((f"{SUPERSEDED}: A?",), "A source is superseded"),
        ((f"{SUPERSEDED}: A?", f"{CONFLICT}: B?"), "Sources conflict"),
    ],
)
def test_a_verdict_above_a_known_conflict_only_leans(known: tuple[str, ...], why: str) -> None:
    no = Verdict("no", {"yes": 0.3, "no": 0.53, "maybe": 0.17})
    made = (
        (Answer("Q?", verdict=no), f"{why}; leans to no (probability 0.53)"),
        (Answer("Q?", verdict=Verdict("no", {})), f"{why}; leans to no (probability not stated)"),
        (Answer("Q?", value="no"), f"{why}; leans to no"),
    )
    for answer, line in made:
        told = replace(answer, agreement=Agreement(known=known))
        assert str(told).splitlines()[1] == line
        assert f'<p class="verdict">{line}</p>' in told.to_html()
        assert f"**{line}**" in told.to_markdown()
        assert why not in str(replace(answer, agreement=Agreement(("a",), ("b",))))
