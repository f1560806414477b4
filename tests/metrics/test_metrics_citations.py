"""Citation scores against another way of counting them, and by hand."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radrag.metrics.citations import CitationScore, CitedClaim, citation_scores, quote_exactness, unsupported_rate

KNOWN = {"1", "2", "3", "4"}


def needs(*words: str) -> frozenset[str]:
    return frozenset(words)


def reads(facts: dict[str, frozenset[str]]) -> Any:
    """Sources carry a claim if together they hold each of its words."""

    def supports(keys: tuple[str, ...], claim: str) -> bool:
        return set(claim.split()) <= set().union(*(facts[key] for key in keys))

    return supports


FACTS = {"1": needs("a"), "2": needs("b"), "3": needs("a", "b"), "4": needs()}


def test_by_hand() -> None:
    claims = [
        CitedClaim("a", ("1",)),  # carried: 1 of 1
        CitedClaim("a b", ("1", "2")),  # carried together, each needed: 2 of 2
        CitedClaim("a b", ("3", "4")),  # carried, 4 carries nothing and is not needed: 1 of 2
        CitedClaim("b", ("1",)),  # not carried: 0 of 1
        CitedClaim("a"),  # no citation
        CitedClaim("a", ("1", "9")),  # 9 does not exist: not carried, not counted
    ]
    made = citation_scores(claims, reads(FACTS), KNOWN)
    assert made == CitationScore(3 / 6, 4 / 6, claims=6, citations=6, unknown=1, overcited=1)


def test_a_citation_that_carries_the_claim_alone_is_never_too_many() -> None:
    made = citation_scores([CitedClaim("a", ("1", "3"))], reads(FACTS), KNOWN)
    assert (made.precision, made.overcited) == (1.0, 0)


def test_nothing_cited_scores_0() -> None:
    assert citation_scores([CitedClaim("a")], reads(FACTS), KNOWN) == CitationScore(0.0, 0.0, 1, 0, 0, 0)


def counted_otherwise(claims: list[CitedClaim], supports: Any) -> tuple[float, float]:
    """Count as section 4 of the paper says: a citation is irrelevant if it fails alone and the rest does without it."""
    valid = [claim for claim in claims if claim.cited and set(claim.cited) <= KNOWN]
    carried = [claim for claim in valid if supports(claim.cited, claim.text)]
    precise = 0
    for claim in carried:
        for key in claim.cited:
            rest = tuple(sorted(set(claim.cited) - {key}))
            irrelevant = not supports((key,), claim.text) and bool(rest) and supports(rest, claim.text)
            precise += not irrelevant
    total = sum(len(claim.cited) for claim in valid)
    return len(carried) / len(claims), precise / total if total else 0.0


def test_agrees_with_the_definition() -> None:
    rng = random.Random(8)
    words = "abcd"
    for _ in range(1000):
        facts = {key: frozenset(rng.sample(words, rng.randrange(4))) for key in KNOWN}
        claims = [
            CitedClaim(" ".join(rng.sample(words, rng.randrange(1, 4))), tuple(rng.sample("12349", rng.randrange(5))))
            for _ in range(rng.randrange(1, 7))
        ]
        made = citation_scores(claims, reads(facts), KNOWN)
        assert (made.recall, made.precision) == pytest.approx(counted_otherwise(claims, reads(facts)), abs=1e-9)


def test_quotes_by_hand() -> None:
    source = "No focal consolidation. Heart size is normal."
    quotes = [("focal consolidation", source), ("focal  consolidation", source), ("", source), ("Normal", source)]
    assert quote_exactness(quotes) == 0.25


def test_unsupported_rate_by_hand() -> None:
    assert unsupported_rate([True, False, False, True]) == 0.5
    assert unsupported_rate([1, 1]) == 0.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: citation_scores([], reads(FACTS), KNOWN), "at least one, got none"),
        (lambda: CitedClaim("a", ("1", "1")), "each source once"),
        (lambda: CitedClaim("a", "12"), "got the string '12'"),  # type: ignore[arg-type]
        (lambda: quote_exactness([]), "at least one, got none"),
        (lambda: unsupported_rate([]), "non-empty"),
        (lambda: unsupported_rate([0.5]), "0 or 1"),
    ],
)
def test_unusable_arguments(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@given(st.text(min_size=1), st.text(), st.text())
def test_a_part_of_the_source_is_exact(quote: str, before: str, after: str) -> None:
    assert quote_exactness([(quote, before + quote + after)]) == 1.0
