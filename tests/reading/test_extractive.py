from typing import NoReturn

import numpy as np
import pytest

from radrag.indexes.encoders import StaticEncoder
from radrag.reading import extractive
from radrag.reading.extractive import ExtractiveReader
from radrag.reading.sentence_model import Rarity, SentenceModel
from radrag.reading.verdict import WIDTH, VerdictModel
from radrag.types import Draft, Hit, Passage

TEXTS = (
    "# Stones\n\nLow dose CT finds ureteral\nstones in most adults. Radiation was 1.2 mSv. Is that low?",
    "Ultrasound is the first test in pregnancy. It misses distal ureteral stones.",
)
HITS = [Hit(Passage(f"d{n}", 10, 10 + len(text), text), 1.0) for n, text in enumerate(TEXTS)]


@pytest.fixture(autouse=True)
def _fake_verdicts(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = {"evidence": [0.7, 0.2, 0.1], "document": [0.2, 0.7, 0.1], "question": [0.1, 0.2, 0.7]}
    models = {name: VerdictModel(np.zeros((3, WIDTH)), np.log(share), {}) for name, share in shares.items()}
    monkeypatch.setattr(VerdictModel, "load", models.__getitem__)


@pytest.fixture(scope="module")
def reader() -> ExtractiveReader:
    return ExtractiveReader(encoder=StaticEncoder())


def test_every_claim_stands_in_the_passage_it_names(reader: ExtractiveReader) -> None:
    draft = reader.read(["Does CT find ureteral stones?"], [HITS])[0]
    assert len(draft.claims) == 3
    assert "Low dose CT finds ureteral stones in most adults." in [claim.text for claim in draft.claims]
    for claim in draft.claims:
        (key,) = claim.keys
        assert claim.text in " ".join(TEXTS[key - 1].split())


def test_best_sentence_comes_first_and_count_is_obeyed() -> None:
    draft = ExtractiveReader(1).read(["Which test comes first in pregnancy?"], [HITS])[0]
    assert [claim.text for claim in draft.claims] == ["Ultrasound is the first test in pregnancy."]
    assert draft.claims[0].keys == (2,)
    assert draft.verdict is None


def test_verdict_only_for_yes_no_questions(reader: ExtractiveReader) -> None:
    yes_no, open_question = reader.read(["Is CT good for stones?", "What is CT good for?"], [HITS, HITS])
    assert yes_no.verdict is not None
    assert yes_no.verdict.answer == "yes"
    assert yes_no.verdict.probability["yes"] == pytest.approx(0.7)
    assert open_question.verdict is None


def test_one_document_alone_has_a_model_of_its_own(reader: ExtractiveReader) -> None:
    verdicts = [reader.read(["Is CT good for stones?"], [hits])[0].verdict for hits in (HITS, HITS[:1], HITS[:1] * 2)]
    assert [verdict.answer for verdict in verdicts if verdict] == ["yes", "no", "no"]


def test_evidence_and_scores_are_of_the_sentences_found(reader: ExtractiveReader) -> None:
    question = "Is ultrasound the first test in pregnancy?"
    found = reader.scored(question, HITS)
    assert {one.text for one in found} >= set(reader.evidence(question, HITS))
    assert reader.evidence(question, HITS)[0] == "Ultrasound is the first test in pregnancy."
    assert max(found, key=lambda one: one.score).text == "Ultrasound is the first test in pregnancy."
    assert all(-1 <= one.cosine <= 1 for one in found)
    assert reader.scored(question, []) == []


def test_given_sentence_model_decides(reader: ExtractiveReader) -> None:
    last = SentenceModel((0.0,) * 7 + (1.0,), Rarity(9, {}), {})
    longest = ExtractiveReader(1, encoder=StaticEncoder(), model=last)
    assert longest.read(["Which test?"], [HITS])[0].claims[0].text.startswith("Low dose CT finds")
    assert last.fingerprint in longest.fingerprint


def test_nothing_readable_gives_an_empty_draft(reader: ExtractiveReader) -> None:
    headings = [Hit(Passage("d", 0, 8, "# Stones"), 1.0)]
    assert reader.read(["Is it?", "Is CT good?"], [[], headings]) == [Draft(), Draft()]


def test_alone_it_gives_verdicts_only_and_needs_no_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> NoReturn:
        raise AssertionError("no encoder is needed")

    monkeypatch.setattr(extractive, "StaticEncoder", refuse)
    first, second = ExtractiveReader().read_alone(["Is CT safe?", "What is CT?"])
    assert first.verdict is not None
    assert first.verdict.answer == "maybe"
    assert first.claims == ()
    assert second == Draft()


def test_given_encoder_is_the_one_that_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    given = StaticEncoder()
    monkeypatch.setattr(extractive, "StaticEncoder", None)
    reader = ExtractiveReader(encoder=given)
    assert reader.read(["Is CT good?"], [HITS])[0].claims
    assert given.fingerprint in reader.fingerprint


def test_fingerprint_names_what_decides() -> None:
    assert ExtractiveReader(2).fingerprint != ExtractiveReader(3).fingerprint
    assert ExtractiveReader().fingerprint.startswith("extractive:3:static:")


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="at least 1, got 0"):
        ExtractiveReader(0)
    with pytest.raises(ValueError, match="shorter"):
        ExtractiveReader().read(["Is it?"], [])
