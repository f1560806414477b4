"""The shipped claims: balance, splits, wording; and what the reader refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from radrag.corpora import load_claims, load_evidence, read_claims, verify
from radrag.errors import CorpusError

FOLDER = Path(__file__).resolve().parents[2] / "corpora" / "claims"
SPLITS = {split: load_claims(split) for split in ("development", "test")}
RECORD = {"id": "a", "document_id": "PMID:7", "text": "It works.", "supported": True, "kind": "summary", "writer": "T"}


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def test_the_claims_are_what_their_card_says_and_half_are_supported() -> None:
    assert verify(FOLDER) == []
    for claims in SPLITS.values():
        assert sum(claim.supported for claim in claims) * 2 == len(claims)
        assert len({(claim.document_id, claim.text) for claim in claims}) == len(claims)
        assert len({claim.id for claim in claims}) == len(claims)


def test_the_splits_share_no_document_and_no_writer_but_the_earliest() -> None:
    development, test = SPLITS.values()
    assert not {claim.document_id for claim in development} & {claim.document_id for claim in test}
    assert {claim.writer for claim in development} & {claim.writer for claim in test} == {"E"}


@pytest.mark.parametrize("split", SPLITS)
def test_true_and_false_claims_are_alike_in_length_negation_and_words_shared(split: str) -> None:
    texts = {document.id: set(words(document.text)) for document in load_evidence()}
    negated = re.compile(r"\b(?:no|not|never|without|neither|nor|less|fewer)\b")
    figures = {}
    for supported in (True, False):
        chosen = [claim for claim in SPLITS[split] if claim.supported is supported and claim.writer != "E"]
        sizes = [len(words(claim.text)) for claim in chosen]
        known = [claim for claim in chosen if claim.document_id in texts]
        shared = [sum(w in texts[c.document_id] for w in words(c.text)) / len(words(c.text)) for c in known]
        negations = [bool(negated.search(claim.text.lower())) for claim in chosen]
        figures[supported] = [sum(row) / len(row) for row in (sizes, shared, negations)]
    length, share, negation = (abs(a - b) for a, b in zip(figures[True], figures[False], strict=True))
    assert length < 2
    assert share < 0.06
    assert negation < 0.08


def test_no_claim_copies_ten_words_of_its_digest() -> None:
    texts = {document.id: " ".join(words(document.text)) for document in load_evidence()}
    for claim in (claim for claims in SPLITS.values() for claim in claims if claim.document_id in texts):
        own = words(claim.text)
        runs = (" ".join(own[n : n + 10]) for n in range(len(own) - 9))
        assert not any(run in texts[claim.document_id] for run in runs), claim.id


@pytest.mark.parametrize(("change", "message"), [({"supported": 1}, "true or false, got 1"), ({"text": " "}, "text")])
def test_a_wrong_record_is_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "claims.jsonl"
    path.write_text(json.dumps(RECORD | change) + "\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=message):
        list(read_claims(path))


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="'development' or 'test', got 'train'"):
        load_claims("train")  # type: ignore[arg-type]
