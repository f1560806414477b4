import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from radrag.errors import IndexCorruptError, ModelError
from radrag.grounding import Confidence, evidence_features, ground
from radrag.indexes.encoders import StaticEncoder
from radrag.types import Document, Draft, DraftClaim, Hit, Passage

DOCUMENTS = {
    "PMID:111": Document("PMID:111", "Intro here. Low-dose CT detected 96% of stones. Dose was 1.2 mSv.", "Stones"),
    "us": Document("us", "Ultrasound is the first test in pregnancy. It misses distal stones.", "Ultrasound"),
    "bad": Document("bad", "Gadolinium cures stones in every adult.", "Withdrawn", metadata={"retracted": True}),
}
CT, US = "Low-dose CT detected 96% of stones.", "Ultrasound is the first test in pregnancy."


def hit(name: str, start: int = 0, **metadata: object) -> Hit:
    document = DOCUMENTS[name]
    text = document.text[start:]
    facts = {**document.metadata, **metadata}
    return Hit(Passage(name, start, start + len(text), text, ("Results",), document.title, 7, facts), 1.0)


HITS = [hit("PMID:111", 12, year=2018, url="https://example.org/111"), hit("us"), hit("bad")]
lookup = DOCUMENTS.__getitem__


def draft(*claims: tuple[str, tuple[int, ...]]) -> Draft:
    return Draft(tuple(DraftClaim(text, keys) for text, keys in claims))


def test_quote_is_the_slice_of_the_document() -> None:
    grounded = ground(draft((CT, (1,)), (US, (2,))), HITS, lookup)
    assert grounded.unknown == ()
    first, second = grounded.claims
    assert first.supported
    assert first.support == 1.0
    (citation,) = first.citations
    assert citation.quote == DOCUMENTS["PMID:111"].text[citation.start : citation.end] == CT
    assert citation.start == 12
    assert (citation.key, citation.passage_id, citation.title, citation.path) == (1, 7, "Stones", ("Results",))
    assert (citation.year, citation.url) == (2018, "https://example.org/111")
    assert [one.key for one in second.citations] == [2]


def test_same_document_has_the_same_key() -> None:
    twice = [*HITS, hit("PMID:111", 48)]
    grounded = ground(draft((US, (2,)), (CT, (1,)), ("Dose was 1.2 mSv.", (4,))), twice, lookup)
    assert [[one.key for one in claim.citations] for claim in grounded.claims] == [[1], [2], [2]]
    assert [one.document_id for claim in grounded.claims for one in claim.citations] == ["us", "PMID:111", "PMID:111"]


def test_unknown_citations_are_listed_once() -> None:
    given = draft((CT, (1, 9)), (f"{US} (PMID:999)", (9, 0)), ("Seen in PMID 111 too.", ()))
    grounded = ground(given, HITS, lookup)
    assert grounded.unknown == ("[9]", "[0]", "PMID:999")
    assert grounded.claims[0].supported


def test_a_pmid_in_the_text_is_no_missing_number() -> None:
    (claim,) = ground(draft(("Low-dose CT detected 96% of stones (PMID 111).", (1,))), HITS, lookup).claims
    assert claim.supported
    assert claim.text == "Low-dose CT detected 96% of stones (PMID 111)."


def test_unsupported_claims_are_kept_and_marked() -> None:
    claims = ground(draft(("Penguins swim.", (1,)), (CT.replace("96", "95"), (1,)), (CT, ())), HITS, lookup).claims
    assert [claim.supported for claim in claims] == [False, False, True]
    assert claims[0].citations == claims[1].citations == ()
    assert claims[0].support == 0.0
    assert 0 < claims[1].support < 0.6


def test_wrong_citation_is_replaced_by_a_passage_that_carries_the_claim() -> None:
    (claim,) = ground(draft((CT, (2,))), HITS, lookup).claims
    assert claim.supported
    assert [one.document_id for one in claim.citations] == ["PMID:111"]


def test_of_several_citations_those_that_carry_stay() -> None:
    (claim,) = ground(draft((US, (1, 2, 2))), HITS, lookup).claims
    assert [one.document_id for one in claim.citations] == ["us"]


@pytest.mark.parametrize("keys", [(3,), ()])
def test_retracted_never_supports(keys: tuple[int, ...]) -> None:
    (claim,) = ground(draft((DOCUMENTS["bad"].text, keys)), HITS, lookup).claims
    assert not claim.supported
    assert claim.citations == ()


def test_a_passage_that_was_not_shown_cannot_be_cited() -> None:
    grounded = ground(replace(draft((US, (2,)), (CT, (1,))), shown=1), HITS, lookup)
    assert grounded.unknown == ("[2]",)
    assert [claim.supported for claim in grounded.claims] == [False, True]


def test_without_hits_nothing_is_supported() -> None:
    grounded = ground(draft((CT, (1,))), [], lookup)
    assert grounded.unknown == ("[1]",)
    assert not grounded.claims[0].supported


def test_altered_store_is_an_error() -> None:
    altered: Callable[[str], Document] = lambda name: replace(DOCUMENTS[name], text="X" + DOCUMENTS[name].text)  # noqa: E731
    with pytest.raises(IndexCorruptError, match="passage 7 of PMID:111"):
        ground(draft((CT, (1,))), HITS, altered)


def test_year_that_is_no_number_is_left_out() -> None:
    (claim,) = ground(draft((US, (1,))), [hit("us", year="2018", url=None)], lookup).claims
    assert (claim.citations[0].year, claim.citations[0].url) == (None, "")


def rarity(terms: list[str]) -> dict[str, float]:
    return {term: 3.0 if term == "stone" else 1.0 for term in terms}


class AxisEncoder:
    """The question points along x; a text with CT in it too, all others along y."""

    def encode(self, texts: list[str], kind: str) -> NDArray[np.float32]:
        rows = [[1.0, 0.0] if n == 0 or "CT" in text else [0.0, 1.0] for n, text in enumerate(texts)]
        return np.asarray(rows, dtype=np.float32)


def test_evidence_features_by_hand() -> None:
    # Terms of the question: stone (weight 3), pregnanc-y (1), penguin (1).
    found = evidence_features("Stones in pregnancy of penguins?", [HITS[0], HITS[1]], rarity, AxisEncoder())
    assert found == pytest.approx((4 / 5, 4 / 5, 3 / 5, 1.0, 1.0, 0.0, 0.0))
    only_us = evidence_features("Stones in pregnancy of penguins?", [HITS[1]], rarity, AxisEncoder())
    assert only_us == pytest.approx((4 / 5, 4 / 5, 3 / 5, 0.0, 0.0, 0.0, 0.0))


@pytest.mark.parametrize("question", ["Does CT find stones?", "Is it?", "penguins", "Ultrasound stones"])
@pytest.mark.parametrize("count", [0, 1, 3, 9])
def test_evidence_features_are_bounded(question: str, count: int) -> None:
    row = evidence_features(question, (HITS * 3)[:count], rarity, StaticEncoder())
    assert len(row) == 7
    assert all(0 <= value <= 1 + 1e-6 for value in row[:3])
    assert all(-1 - 1e-6 <= value <= 1 + 1e-6 for value in row[3:])
    if count == 0 or question == "Is it?":
        assert row == (0.0,) * 7


def test_agreement_and_lead_by_hand() -> None:
    def features(*scores: tuple[int, float | None, float | None]) -> tuple[float, ...]:
        hits = [replace(HITS[place], lexical=lexical, dense=dense) for place, lexical, dense in scores]
        return evidence_features("stones", hits, rarity, AxisEncoder())[5:]

    assert features((0, 8.0, 0.9), (1, 6.0, 0.5)) == pytest.approx((1.0, 2 / 8))
    assert features((0, 8.0, 0.5), (1, 6.0, 0.9)) == pytest.approx((0.0, 2 / 8))
    assert features((0, 8.0, None), (0, 6.0, 0.9)) == pytest.approx((1.0, 2 / 8))
    six = [(0, score, 0.1) for score in (10.0, 9.0, 8.0, 7.0, 6.0, 1.0)]
    assert features(*six)[1] == pytest.approx(4 / 10)
    assert features((0, None, 0.9)) == (0.0, 0.0)


def test_only_the_best_five_hits_count() -> None:
    hits = [HITS[1]] * 5 + [HITS[0]]
    assert evidence_features("mSv?", hits, rarity, AxisEncoder())[1] == 0.0
    assert evidence_features("mSv?", hits[1:], rarity, AxisEncoder())[1] == 1.0


def test_confidence_is_logistic() -> None:
    model = Confidence((1.0, -2.0), 0.5, 0.4, {})
    assert model((1.0, 0.5)) == pytest.approx(1 / (1 + np.exp(-0.5)))
    assert Confidence((0.0,), 1e6, 0.5, {})((0.0,)) == 1.0
    assert Confidence((0.0,), -1e6, 0.5, {})((0.0,)) == 0.0
    with pytest.raises(ValueError, match="shorter"):
        model((1.0,))


GOOD = {"weights": [1, 1, 1, 1, 1, 1, 1], "bias": -2.0, "threshold": 0.3, "facts": {"n": 4}}


def test_confidence_loads_what_was_stored(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(json.dumps(GOOD))
    assert Confidence.load(tmp_path / "c.json") == Confidence((1, 1, 1, 1, 1, 1, 1), -2.0, 0.3, {"n": 4})


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", json.dumps({**GOOD, "weights": 3}), json.dumps({**GOOD, "weights": [1]})]
)
def test_unusable_confidence_file_says_how_to_make_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(ModelError, match="radrag train confidence"):
        Confidence.load(tmp_path / "c.json")
    with pytest.raises(ModelError, match="radrag train confidence"):
        Confidence.load(tmp_path / "none.json")


def test_shipped_confidence_loads() -> None:
    model = Confidence.load()
    assert 0 < model.threshold < 1
    assert min(model.weights) >= 0
    assert 0 <= model((0.0,) * 7) < model((1.0,) * 7) <= 1
