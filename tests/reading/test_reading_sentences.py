import math

import numpy as np
import pytest
from numpy.typing import NDArray

from radrag.indexes.tokens import tokenize
from radrag.reading.sentences import Sentence, score_sentences, select, sentences_of
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
    return Sentence(key, text, frozenset(tokenize(text)), frozenset(tokenize(context)), score, concludes)


def test_headings_questions_and_fragments_are_left_out() -> None:
    text = (
        "# CT urography protocol notes\n\nIs hydration needed before scanning?\n\nSee below.\n\n"
        "Hydration before the\n scan improves opacification."
    )
    found = sentences_of([hit(text)])
    assert [one.text for one in found] == ["Hydration before the scan improves opacification."]


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


def test_score_is_the_weighted_share_of_the_question() -> None:
    rows = [sentence("stone lasts", key=1), sentence("dose matters", key=1)]
    scores = score_sentences("stone dose?", rows, FlatEncoder())
    assert scores == pytest.approx([0.5 + 1.0, 0.5 + 1.0])


def test_rare_terms_count_more() -> None:
    rows = [sentence("stone lasts"), sentence("stone grows"), sentence("dose matters")]
    common, rare = math.log(1 + 4 / 3), math.log(1 + 4 / 2)
    scores = score_sentences("stone dose?", rows, FlatEncoder())
    assert scores == pytest.approx([1 + common / (common + rare)] * 2 + [1 + rare / (common + rare)])


def test_heading_terms_count_half_conclusions_more_and_later_passages_less() -> None:
    rows = [
        sentence("stone", context="other"),
        sentence("something", context="stone"),
        sentence("stone", concludes=True),
        sentence("stone", key=3),
    ]
    assert score_sentences("stone?", rows, FlatEncoder()) == pytest.approx([2.0, 1.5, 2.1, 1.94])


def test_question_without_terms_is_scored_by_meaning_alone() -> None:
    assert score_sentences("is it?", [sentence("stone lasts")], FlatEncoder()) == pytest.approx([1.0])


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
