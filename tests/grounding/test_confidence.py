import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from radrag.errors import ModelError
from radrag.grounding import Confidence, evidence_features
from radrag.grounding.abstention import OFF_TOPIC, Reason, draft_reason, weak_reason
from radrag.grounding.asked import asked_clause, asked_for, says_absent
from radrag.grounding.confidence import FEATURES, RiskPoint
from radrag.grounding.coverage import WordMatcher, content_words, rank, specificity, telling_words
from radrag.indexes.encoders import StaticEncoder
from radrag.types import Hit, Passage

TEXT = "Low-dose CT detected 96% of stones. Reintubation is not reported. Fasting lasts 6 hours."


def hit(text: str, name: str = "a", **scores: float) -> Hit:
    return Hit(Passage(name, 0, len(text), text, ("Results",), "Stones", 7), 1.0, **scores)


def rarity(terms: list[str]) -> dict[str, float]:
    return dict.fromkeys(terms, 1.0)


def measured(question: str, *hits: Hit) -> dict[str, float]:
    return dict(zip(FEATURES, evidence_features(question, hits, rarity, StaticEncoder()), strict=True))


@pytest.mark.parametrize(
    ("question", "kinds"),
    [
        ("How many mSv is a CTPA?", ("radiation dose", "number")),
        ("What radiation dose does it give?", ("radiation dose",)),
        ("What percentage did well on 20 mg?", ("share",)),
        ("She takes 20 mg. How long must she fast?", ("time",)),
        ("How many weeks after surgery?", ("week", "number")),
        ("At how many mL per second is it injected?", ("flow", "volume", "number")),
        ("Is CT better than ultrasound?", ()),
        ("When is gadolinium called for?", ()),
    ],
)
def test_kind_of_answer_asked_for(question: str, kinds: tuple[str, ...]) -> None:
    assert asked_for(question).kinds == kinds


@pytest.mark.parametrize(
    ("question", "text", "held"),
    [
        ("How many mSv is it?", "The dose is 1.2 mSv.", 1.0),
        ("How many mSv is it?", "It lasts 3 weeks.", 0.5),
        ("What share was open?", "Patency was 89% at one year.", 1.0),
        ("What share was open?", "18 of 90 patients had it.", 1.0),
        ("What share was open?", "Patency was better.", 0.0),
        ("How many hours of fasting?", "Fast for six hours.", 1.0),
        ("How many hours of fasting?", "Fast for 2 days.", 0.5),
        ("Is it safe?", "Anything.", 1.0),
    ],
)
def test_whether_a_sentence_holds_the_kind(question: str, text: str, held: float) -> None:
    assert asked_for(question).held(text) == held


def test_the_clause_that_asks() -> None:
    assert asked_clause("Wheezy man, 60. Is metoprolol right?") == "Is metoprolol right?"
    assert asked_clause("After PE, how long is it given?") == "how long is it given?"
    assert asked_clause("Stroke: which arm?") == "which arm?"
    assert asked_clause("stones in pregnancy") == "stones in pregnancy"


@pytest.mark.parametrize(
    ("sentence", "absent"),
    [
        ("Reintubation and survival are not reported.", True),
        ("The abstract gives no p values.", True),
        ("Transfusion rates are missing.", True),
        ("Survival did not differ.", False),
        ("It lasted 3 days.", False),
    ],
)
def test_what_a_source_says_it_does_not_report(sentence: str, absent: bool) -> None:
    assert says_absent(sentence) is absent


def test_words_of_a_question() -> None:
    assert content_words("Is CT of the stones safe?") == ["CT", "stones", "safe"]
    assert telling_words("How many patients had 3 stones?") == ["stones"]
    assert telling_words("How many patients?") == ["many", "patients"]
    assert rank("the") < rank("kidney") < rank("retinopathy") == 40_000
    assert 0 <= specificity("the") < specificity("kidney") < specificity("retinopathy") == 1.0


def test_words_are_held_by_term_or_by_likeness() -> None:
    class Axes:
        def encode(self, texts: list[str], kind: str) -> NDArray[np.float32]:
            known = {"stones": [1, 0], "calculi": [0.6, 0.8], "penguins": [-1, 0]}
            return np.asarray([known.get(text, [0, 1]) for text in texts], dtype=np.float32)

    held = WordMatcher(Axes()).held(["stones"], ["A stone.", "Two calculi.", "penguins", ""])  # type: ignore[arg-type]
    assert held == pytest.approx(np.asarray([[1.0], [0.6], [0.0], [0.0]]))


@pytest.mark.parametrize("question", ["Does CT find stones?", "Is it?", "penguins", "How many mSv?"])
@pytest.mark.parametrize("count", [0, 1, 3, 9])
def test_features_are_bounded(question: str, count: int) -> None:
    row = evidence_features(question, [hit(TEXT)] * count, rarity, StaticEncoder())
    assert len(row) == len(FEATURES)
    assert all(-1 - 1e-6 <= value <= 1 + 1e-6 for value in row)
    assert all(value >= 0 for value in row[2:])
    if count == 0 or question == "Is it?":
        assert row == (0.0,) * len(FEATURES)


def test_a_near_miss_scores_below_its_answerable_twin() -> None:
    asked = measured("For how many hours is fasting needed?", hit(TEXT))
    missed = measured("For how many months is anticoagulation needed?", hit(TEXT))
    assert asked["right kind in the document"] == 1.0 > missed["right kind in the document"]
    assert asked["words of the clause"] > missed["words of the clause"]
    assert asked["no rare word of the clause missing"] == 1.0 > missed["no rare word of the clause missing"]


def test_what_is_said_to_be_absent_does_not_count() -> None:
    assert measured("Was reintubation rarer?", hit(TEXT))["nothing said to be absent"] < 0.5
    assert measured("Was reintubation rarer?", hit(TEXT.replace("is not", "was")))["nothing said to be absent"] == 1.0


def test_agreement_by_hand() -> None:
    first, second = hit(TEXT, "a", lexical=8.0, dense=0.9), hit(TEXT, "b", lexical=6.0, dense=0.5)
    assert measured("stones", first, second)["agreement"] == 1.0
    assert measured("stones", replace(first, dense=0.4), second)["agreement"] == 0.0
    assert measured("stones", hit(TEXT))["agreement"] == 0.0


def test_only_the_best_five_hits_count() -> None:
    hits = [hit("Nothing here.", "b")] * 5 + [hit(TEXT)]
    assert measured("Does CT detect stones?", *hits)["words of the clause"] < 1.0
    assert measured("Does CT detect stones?", *hits[1:])["words of the clause"] == 1.0


def test_reasons_for_weak_evidence() -> None:
    assert weak_reason((0.0,) * len(FEATURES)) is Reason.NOTHING_FOUND
    assert weak_reason((OFF_TOPIC - 0.01, *(1.0,) * (len(FEATURES) - 1))) is Reason.OFF_TOPIC
    assert weak_reason((OFF_TOPIC, *(1.0,) * (len(FEATURES) - 1))) is Reason.TOO_LITTLE
    assert Reason("nothing was found for this question") is Reason.NOTHING_FOUND


def test_reasons_for_a_draft() -> None:
    assert draft_reason(["supported", "unsupported"], True) is None
    assert draft_reason([], False) is Reason.DECLINED
    assert draft_reason(["contradicted", "contradicted"], False) is Reason.CONFLICTING
    assert draft_reason(["contradicted", "unsupported"], False) is Reason.UNSUPPORTED


def test_confidence_is_logistic() -> None:
    model = Confidence((1.0, -2.0), 0.5, 0.4, {})
    assert model((1.0, 0.5)) == pytest.approx(1 / (1 + np.exp(-0.5)))
    assert Confidence((0.0,), 1e6, 0.5, {})((0.0,)) == 1.0
    assert Confidence((0.0,), -1e6, 0.5, {})((0.0,)) == 0.0
    with pytest.raises(ValueError, match="shorter"):
        model((1.0,))


CURVE = (RiskPoint(0.2, 1.0, 0.4, 0.45), RiskPoint(0.5, 0.6, 0.15, 0.19), RiskPoint(0.8, 0.2, 0.02, 0.05))


def test_threshold_for_a_risk() -> None:
    model = Confidence((1.0,), 0.0, 0.5, {}, CURVE)
    assert model.threshold_for(0.5) == 0.2
    assert model.threshold_for(0.2) == 0.5
    assert model.threshold_for(0.1) == 0.8
    with pytest.raises(ValueError, match=r"the least that can be promised is 0\.05"):
        model.threshold_for(0.01)
    for value in (0.0, 1.0, -1.0):
        with pytest.raises(ValueError, match="risk must lie between 0 and 1"):
            model.threshold_for(value)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=len(FEATURES), max_size=len(FEATURES)), st.integers(0, len(FEATURES) - 1))
def test_more_evidence_never_lowers_the_score(row: list[float], which: int) -> None:
    model = Confidence.load()
    more = [value + 0.5 * (place == which) for place, value in enumerate(row)]
    assert model(more) >= model(row)


GOOD = {
    "weights": [1] * len(FEATURES), "bias": -2.0, "threshold": 0.3, "facts": {"n": 4}, "curve": [[0.2, 1.0, 0.4, 0.45]]
}  # fmt: skip


def test_confidence_loads_what_was_stored(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(json.dumps(GOOD))
    stored = Confidence.load(tmp_path / "c.json")
    assert stored == Confidence((1,) * len(FEATURES), -2.0, 0.3, {"n": 4}, (CURVE[0],))


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", json.dumps({**GOOD, "weights": 3}), json.dumps({**GOOD, "weights": [1]}),
     json.dumps({**GOOD, "curve": [[1]]})],
)  # fmt: skip
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
    assert 0 <= model((0.0,) * len(FEATURES)) < model((1.0,) * len(FEATURES)) <= 1
    assert 0 < model.threshold_for(0.4) <= model.threshold_for(0.3) == pytest.approx(model.threshold)
