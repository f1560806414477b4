import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from radrag.errors import ModelError
from radrag.grounding.alignment import Aligner
from radrag.grounding.measures import FEATURES as MEASURES
from radrag.grounding.measures import Passage as Measured
from radrag.grounding.measures import measure
from radrag.indexes.tokens import tokenize
from radrag.reading.sentence_model import FEATURES, Rarity, SentenceModel, sentences_fingerprint
from radrag.reading.sentences import Sentence, cosines_of, describe, select, sentences_of
from radrag.types import Hit, Passage


class FlatEncoder:
    """Every text has the same vector, so that only words count."""

    fingerprint = "flat"
    dim = 2

    def encode(self, texts: list[str], kind: str) -> NDArray[np.float32]:
        return np.tile(np.asarray([[1.0, 0.0]], dtype=np.float32), (len(texts), 1))


def hit(text: str, document: str = "d", start: int = 0, path: tuple[str, ...] = (), title: str = "") -> Hit:
    return Hit(Passage(document, start, start + len(text), text, path, title), 1.0)


def sentence(text: str, score: float = 0.0, key: int = 1, concludes: bool = False, context: str = "") -> Sentence:
    terms = frozenset(tokenize(text))
    return Sentence(key, text, terms, frozenset(tokenize(context)), score, concludes, terms)


def test_headings_questions_and_fragments_are_left_out() -> None:
    text = (
        "# CT urography protocol notes\n\nIs hydration needed before scanning?\n\nSee below.\n\n"
        "Hydration before the\n scan improves opacification."
    )
    found = sentences_of([hit(text)])
    assert [one.text for one in found] == ["Hydration before the scan improves opacification."]


@pytest.mark.parametrize("bullet", ["- ", "* ", "+ ", "\u2022 ", "\u2013 ", "-  "])
def test_a_bullet_is_no_part_of_its_sentence(bullet: str) -> None:
    item, other = "A negative scan makes stones unlikely.", "-5 degrees were measured before contrast."
    found = sentences_of([hit(f"Scans\n\n{bullet}{item}\n{bullet}{other}")])
    assert [one.text for one in found] == [item, other]
    whole = hit(f"{bullet}{item}", start=40)
    assert len(sentences_of([whole, hit(item, start=40 + len(bullet))])) == 1  # the same stretch of the document


def test_a_claim_from_a_bullet_is_a_whole_sentence_of_its_passage() -> None:
    text = "Scans\n\n- A negative scan makes stones unlikely.\n- Ultrasound comes first in pregnancy."
    for one in sentences_of([hit(text)]):
        found = measure(one.text, Measured(text), Aligner(None))
        assert found is not None
        assert dict(zip(MEASURES, found.values, strict=True))["exact"] == 1.0


def test_keys_are_positions_of_the_hits() -> None:
    found = sentences_of([hit("Low dose CT finds stones."), hit("Ultrasound finds many stones.", "e")])
    assert [(one.key, one.text) for one in found] == [
        (1, "Low dose CT finds stones."),
        (2, "Ultrasound finds many stones."),
    ]


def test_sentence_of_two_overlapping_passages_is_taken_once() -> None:
    first, second = "Low dose CT finds stones.", "Ultrasound finds many stones."
    whole = hit(f"{first} {second}")
    tail = hit(second, start=len(first) + 1)
    assert [one.key for one in sentences_of([whole, tail])] == [1, 1]


def test_same_words_of_another_document_are_kept() -> None:
    text = "Low dose CT finds stones."
    assert [one.key for one in sentences_of([hit(text), hit(text, "e")])] == [1, 2]


@pytest.mark.parametrize(
    ("text", "path", "concludes"),
    [
        ("In summary, low dose CT finds stones.", (), True),
        ("Our results show fewer stones missed.", (), True),
        ("Low dose CT finds stones.", ("Conclusions",), True),
        ("Low dose CT finds stones.", ("Results",), False),
    ],
)
def test_conclusions_are_known(text: str, path: tuple[str, ...], concludes: bool) -> None:
    assert sentences_of([hit(text, path=path)])[0].concludes is concludes


RARITY = Rarity(99, {"stone": 9, "dose": 49})


def table(question: str, rows: list[Sentence], scores: tuple[float, ...] = (1.0, 1.0, 1.0)) -> dict[str, list[float]]:
    hits = [Hit(Passage("d", 0, 1, "x"), score) for score in scores]
    made = describe(question, rows, hits, RARITY, np.full(len(rows), 0.5))
    return {name: made[:, column].tolist() for column, name in enumerate(FEATURES)}


def test_rarity_is_the_inverse_document_frequency() -> None:
    assert RARITY("stone") == pytest.approx(math.log(100 / 9.5))
    assert RARITY("unheard") == pytest.approx(math.log(100 / 2.5))
    assert Rarity(1, {"all": 90})("all") == 0.0
    weights = RARITY.weights(["dose", "stone", "dose"])
    assert sum(weights.values()) == pytest.approx(1)
    assert weights["stone"] / weights["dose"] == pytest.approx(math.log(100 / 9.5) / math.log(100 / 49.5))


def test_rare_terms_of_the_question_count_more() -> None:
    share = RARITY.weights(["stone", "dose"])
    found = table("stone dose?", [sentence("stone lasts"), sentence("dose matters"), sentence("stone dose")])
    assert found["covered"] == pytest.approx([share["stone"], share["dose"], 1.0])


def test_headings_count_apart_and_only_for_what_the_sentence_lacks() -> None:
    share = RARITY.weights(["stone", "dose"])
    found = table("stone dose?", [sentence("stone", context="stone dose"), sentence("other", context="stone")])
    assert found["above"] == pytest.approx([share["dose"], share["stone"]])


def test_passage_score_is_between_the_worst_and_the_best() -> None:
    rows = [sentence("stone", key=1), sentence("stone", key=2), sentence("stone", key=3)]
    found = table("stone?", rows, (9.0, 6.0, 5.0))
    assert found["passage score"] == pytest.approx([1.0, 0.25, 0.0])
    assert table("stone?", rows[:1], (9.0,))["passage score"] == [0.0]


def test_shared_is_what_the_others_say_too() -> None:
    rows = [sentence("stone dose"), sentence("stone dose"), sentence("gallium uptake")]
    shared = table("is it?", rows)["shared"]
    # Nothing is asked, so each is as near as its cosine: the two that say the same hold half of what is left.
    assert shared == pytest.approx([1 / 3, 1 / 3, 0.0])


def test_opening_definition_and_length() -> None:
    late = "It was seen in the first of all of these very many large groups that gallium took a stone"
    rows = [sentence("Gallium is a metal"), sentence(late), sentence(" ".join(f"word{n}" for n in range(99)))]
    found = table("gallium?", rows)
    assert found["opens with"] == [1.0, 0.0, 0.0]
    assert found["defines"] == [1.0, 0.0, 0.0]
    assert found["length"][0] == pytest.approx(2 / 40)
    assert found["length"][2] == 1.0


def test_question_without_terms_covers_nothing() -> None:
    found = table("is it?", [sentence("stone lasts")])
    assert found["covered"] == [0.0]
    assert found["cosine"] == [0.5]


def test_cosines_are_with_the_question() -> None:
    assert cosines_of("stone?", [sentence("stone"), sentence("dose")], FlatEncoder()).tolist() == [1.0, 1.0]


def test_an_abbreviation_that_a_passage_defines_stands_for_its_long_form_in_all() -> None:
    found = sentences_of(
        [
            hit("Amyotrophic lateral sclerosis (ALS) is rare here."),
            hit("Riluzole slows ALS a little.", "e"),
            hit("In amyotrophic lateral sclerosis riluzole helps.", "f"),
        ]
    )
    assert set(tokenize("amyotrophic lateral sclerosis")) <= found[1].known
    assert not set(tokenize("amyotrophic lateral sclerosis")) & found[1].terms
    assert set(tokenize("ALS")) <= found[2].known


@given(st.lists(st.sampled_from(["stone lasts", "dose matters", "stone dose", "other words here"]), max_size=6))
def test_no_feature_but_cosine_is_negative_or_above_one(texts: list[str]) -> None:
    rows = [sentence(text, key=1 + n % 3) for n, text in enumerate(texts)]
    for name, column in table("stone dose?", rows).items():
        assert all(0 <= value <= 1 + 1e-9 for value in column), name


GOOD = {"weights": dict.fromkeys(FEATURES, 1.0), "documents": 9, "counts": {"5": "a b"}, "facts": {"n": 1}}


def test_model_loads_what_was_stored(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(json.dumps(GOOD))
    model = SentenceModel.load(path)
    assert model.weights == (1.0,) * len(FEATURES)
    assert dict(model.rarity.counts) == {"a": 5, "b": 5}
    assert model.facts == {"n": 1}
    before = sentences_fingerprint(path)
    path.write_text(json.dumps({**GOOD, "documents": 8}))
    assert sentences_fingerprint(path) != before
    assert SentenceModel.load(path).fingerprint != model.fingerprint
    assert sentences_fingerprint(tmp_path / "none.json") == "none"


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "{}", json.dumps({**GOOD, "weights": {}}), json.dumps({**GOOD, "counts": {"x": "a"}}),
     json.dumps({**GOOD, "weights": {**GOOD["weights"], "more": 1.0}}), json.dumps({**GOOD, "counts": [1]})],
)  # fmt: skip
def test_unusable_model_says_how_to_make_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "s.json"
    path.write_text(content)
    with pytest.raises(ModelError, match="radrag train sentences"):
        SentenceModel.load(path)


def test_shipped_model_weighs_nothing_negatively() -> None:
    model = SentenceModel.load()
    assert min(model.weights) >= 0
    assert model.rarity("patient") < model.rarity("urography")


def test_select_takes_the_best_and_leaves_repeats_out() -> None:
    best = sentence("low dose ct finds ureteral stones", 3.0)
    again = sentence("low dose ct finds small ureteral stones", 2.0)
    other = sentence("ultrasound misses distal calculi", 1.0)
    assert select([other, again, best], 2) == [best, other]
    assert select([other, again, best], 2, overlap=1.0) == [best, again]


def test_select_stops_at_count_and_keeps_order_of_ties() -> None:
    rows = [sentence("alpha beta gamma", 1.0), sentence("delta epsilon zeta", 1.0), sentence("eta theta iota", 1.0)]
    assert select(rows, 2) == rows[:2]
    assert select([], 3) == []
