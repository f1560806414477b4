from collections.abc import Callable
from dataclasses import replace

import pytest

from radrag.errors import IndexCorruptError
from radrag.grounding import ground
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


@pytest.mark.parametrize("kind", ["Retraction of Publication", "Expression of Concern"])
def test_a_notice_never_supports(kind: str) -> None:
    passage = replace(HITS[0].passage, metadata={"publication_types": [kind]})
    grounded = ground(draft((HITS[0].passage.text, (1,))), [replace(HITS[0], passage=passage)], lookup)
    assert [claim.supported for claim in grounded.claims] == [False]


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
