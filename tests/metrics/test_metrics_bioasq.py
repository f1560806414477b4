"""Measures of BioASQ against sets of characters, numbers of its program, and by hand.

The figures "of the program" were printed by EvaluatorTask1b -e 8 for the questions shown.
"""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radrag.metrics.bioasq import (
    FactoidScore,
    RetrievalScore,
    Snippet,
    YesNoScore,
    bioasq_documents,
    bioasq_factoid,
    bioasq_list,
    bioasq_snippets,
    bioasq_yes_no,
    geometric_map,
    merge_snippets,
)
from radrag.metrics.prf import PrecisionRecallF1

Characters = set[tuple[str, str, int]]


def characters(snippet: Snippet) -> Characters:
    return {(snippet.document, snippet.section, i) for i in range(snippet.begin, snippet.end + 1)}


def parts(snippets: list[Snippet]) -> list[Characters]:
    """Merge sets of characters until none share any, the earliest place kept."""
    merged: list[Characters] = []
    for held in map(characters, snippets):
        near = [other for other in merged if other & held]
        whole = held.union(*near)
        place = merged.index(near[0]) if near else len(merged)
        merged = [other for other in merged if other not in near]
        merged.insert(place, whole)
    return merged


def expected_snippets(found: list[Snippet], gold: list[Snippet], by_overlap: bool) -> RetrievalScore:
    """Count characters as elements of sets."""
    ranked, wanted = parts(found), parts(gold)
    every = set().union(*wanted)
    documents = {document for document, _, _ in every}
    if not ranked:
        return RetrievalScore(0.0, 0.0, 0.0, 0.0)
    total = 0.0
    for rank, held in enumerate(ranked, start=1):
        so_far = set().union(*ranked[:rank])
        relevant = bool(held & every) if by_overlap else next(iter(held))[0] in documents
        total += relevant * len(so_far & every) / len(so_far)
    shown = set().union(*ranked)
    precision, recall = len(shown & every) / len(shown), len(shown & every) / len(every)
    f1 = 2 * precision * recall / (precision + recall) if precision else 0.0
    return RetrievalScore(precision, recall, f1, total / min(10, len(wanted)))


def random_snippets(rng: random.Random, n: int) -> list[Snippet]:
    begins = [rng.randrange(60) for _ in range(n)]
    sections = ("abstract", "title")
    return [Snippet(rng.choice("abcd"), begin, begin + rng.randrange(30), rng.choice(sections)) for begin in begins]


def values(made: Any) -> list[float]:
    return [getattr(made, name) for name in made.__slots__]


@pytest.mark.parametrize("by_overlap", [False, True])
def test_snippets_agree_with_sets_of_characters(by_overlap: bool) -> None:
    rng = random.Random(6)
    for _ in range(1000):
        found, gold = random_snippets(rng, rng.randrange(11)), random_snippets(rng, rng.randrange(1, 14))
        expected = expected_snippets(found, gold, by_overlap)
        assert values(bioasq_snippets(found, gold, by_overlap=by_overlap)) == pytest.approx(values(expected), abs=1e-9)


def test_snippets_by_hand() -> None:
    # Found: 10 characters, 5 of them gold, then 10 of a document without gold. Gold: 10 + 10 characters.
    found = [Snippet("a", 5, 14), Snippet("x", 0, 9)]
    gold = [Snippet("a", 0, 9), Snippet("b", 0, 9)]
    made = bioasq_snippets(found, gold)
    assert values(made) == pytest.approx([5 / 20, 5 / 20, 5 / 20, (5 / 10) / 2])


def test_the_program_counts_a_snippet_of_a_gold_document_as_relevant() -> None:
    # The second one shares nothing with gold; the program still adds the precision up to it, 10 / 20.
    found, gold = [Snippet("a", 0, 9), Snippet("a", 50, 59)], [Snippet("a", 0, 9)]
    assert bioasq_snippets(found, gold).average_precision == 1.5
    assert bioasq_snippets(found, gold, by_overlap=True).average_precision == 1.0


def test_merging() -> None:
    # The third joins the first and the last; touching ones (9 and 10) share nothing.
    given = [Snippet("a", 0, 9), Snippet("b", 0, 9), Snippet("a", 20, 29), Snippet("a", 10, 12), Snippet("a", 9, 20)]
    assert merge_snippets(given) == [Snippet("a", 0, 29), Snippet("b", 0, 9)]
    assert merge_snippets(given[:2] + given[3:4]) == [Snippet("a", 0, 9), Snippet("b", 0, 9), Snippet("a", 10, 12)]
    assert merge_snippets([Snippet("a", 0, 9), Snippet("a", 0, 9, "title")])[1].section == "title"


def test_documents_by_hand() -> None:
    # Relevant at ranks 1 and 3: (1 + 2/3) / min(10, 3).
    made = bioasq_documents(["a", "x", "b", "y"], {"a", "b", "c"})
    assert values(made) == pytest.approx([1 / 2, 2 / 3, 4 / 7, (1 + 2 / 3) / 3])
    # 20 gold, 10 found, all right: recall is 1/2, average precision 1.
    names = [str(i) for i in range(20)]
    assert values(bioasq_documents(names[:10], names)) == pytest.approx([1.0, 0.5, 2 / 3, 1.0])
    assert values(bioasq_documents([], {"a"})) == [0.0, 0.0, 0.0, 0.0]


def test_gmap_by_hand() -> None:
    assert geometric_map([0.5, 0.0]) == pytest.approx(math.sqrt(0.50001 * 1e-5))
    assert geometric_map([1.0, 1.0]) == pytest.approx(1.00001)


def test_factoid_by_hand() -> None:
    gold = [["Tumour necrosis factor", "TNF"], ["cachectin"]]
    assert bioasq_factoid(["tnf"], gold) == FactoidScore(1.0, 1.0, 1.0)
    assert bioasq_factoid(["IL-6", "TNF-alpha", "Cachectin"], gold) == FactoidScore(0.0, 1.0, 1 / 3)
    assert bioasq_factoid(["TNF "], gold) == bioasq_factoid([], gold) == FactoidScore(0.0, 0.0, 0.0)


def test_list_by_hand() -> None:
    gold = [["BRCA1", "breast cancer 1"], ["BRCA2"], ["PALB2"]]
    # BRCA1 is right once; its synonym finds it taken, so 1 of 3 given and 1 of 3 wanted.
    made = bioasq_list(["brca1", "Breast Cancer 1", "TP53"], gold)
    assert made == PrecisionRecallF1(1 / 3, 1 / 3, pytest.approx(1 / 3))
    assert bioasq_list(["BRCA2", "brca1"], gold) == PrecisionRecallF1(1.0, 2 / 3, pytest.approx(4 / 5))
    assert bioasq_list([], gold) == PrecisionRecallF1(0.0, 0.0, 0.0)


def test_two_entities_of_one_name_follow_the_program() -> None:
    # It counts no miss for the second entity, as the answer given has its name too: recall 1, not 1/2.
    assert bioasq_list(["a"], [["a", "b"], ["a", "c"]]) == PrecisionRecallF1(1.0, 1.0, 1.0)


def test_yes_no_by_hand() -> None:
    true = ["yes", "yes", "yes", "no"]
    # yes: 2 TP, 1 miss, 0 false alarms: 4/5; no: 1 TP, 1 false alarm: 2/3.
    expected = YesNoScore(0.75, pytest.approx(4 / 5), pytest.approx(2 / 3), pytest.approx(11 / 15))
    assert bioasq_yes_no(true, ["yes", "yes", "no", "no"]) == expected
    # An answer that is neither counts as "no" where "yes" is right.
    assert bioasq_yes_no(true, ["yes", "yes", None, "no"]) == expected
    assert bioasq_yes_no(["yes", "yes"], ["yes", "yes"]) == YesNoScore(1.0, 1.0, 0.0, 0.5)


# Documents: mean precision, recall, F1, MAP, GMAP; snippets: the same; lists: mean precision, recall, F1.
PROGRAM = [
    *(0.3333333333333333, 0.3333333333333333, 0.3333333333333333, 0.27777777777777773, 0.0023570438170631342),
    *(0.1111111111111111, 0.2222222222222222, 0.14814814814814814, 0.20192307692307693, 0.0020096172616848053),
    *(0.6666666666666666, 0.75, 0.7),
]


def test_the_program_agrees() -> None:
    documents = [bioasq_documents(["d1", "d9", "d2"], ["d1", "d2", "d3"]), bioasq_documents(["d7"], ["d1"])]
    found = [Snippet("d1", 5, 20), Snippet("d1", 40, 49), Snippet("d9", 0, 9)]
    gold = [Snippet("d1", 0, 9), Snippet("d1", 8, 12), Snippet("d2", 3, 7)]
    snippets = [bioasq_snippets(found, gold), bioasq_snippets([], [Snippet("d1", 0, 3)])]
    lists = [bioasq_list(["x", "b", "x"], [["X", "y"], ["c"]]), bioasq_list(["q"], [["q"]])]
    ours: list[float] = []
    for retrieved in (documents, snippets):
        ours += np.mean([values(one) for one in retrieved], axis=0).tolist()
        ours.append(geometric_map([one.average_precision for one in retrieved]))
    ours += np.mean([values(one) for one in lists], axis=0).tolist()
    assert ours == pytest.approx(PROGRAM, abs=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bioasq_documents([str(i) for i in range(11)], {"1"}), "at most 10"),
        (lambda: bioasq_documents(["a"], []), "cannot be scored"),
        (lambda: bioasq_documents(["a", "a"], ["a"]), "again at rank 2"),
        (lambda: bioasq_documents(["a"], "a"), "got the string 'a'"),
        (lambda: bioasq_snippets([], []), "cannot be scored"),
        (lambda: bioasq_snippets([Snippet("a", 0, 1)] * 11, [Snippet("a", 0, 1)]), "at most 10"),
        (lambda: Snippet("a", 5, 4), "got 5, 4"),
        (lambda: Snippet("a", -1, 4), "got -1, 4"),
        (lambda: geometric_map([]), "non-empty"),
        (lambda: geometric_map([-0.5]), "at least 0"),
        (lambda: bioasq_factoid(["a"] * 6, [["a"]]), "at most 5"),
        (lambda: bioasq_factoid(["a"], []), "cannot be scored"),
        (lambda: bioasq_factoid(["a"], [[]]), "at least one name"),
        (lambda: bioasq_factoid(["a"], ["a"]), "got the string 'a'"),
        (lambda: bioasq_factoid("a", [["a"]]), "got the string 'a'"),
        (lambda: bioasq_list(["a"], []), "cannot be scored"),
        (lambda: bioasq_yes_no(["maybe"], ["yes"]), "got 'maybe'"),
        (lambda: bioasq_yes_no(["yes"], []), "true 1, predicted 0"),
        (lambda: bioasq_yes_no([], []), "at least one label"),
    ],
)
def test_unusable_arguments(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 20), st.integers(0, 9)), max_size=10))
def test_merging_keeps_every_character_once(given_snippets: list[tuple[str, int, int]]) -> None:
    snippets = [Snippet(document, begin, begin + more) for document, begin, more in given_snippets]
    merged = merge_snippets(snippets)
    assert set().union(*map(characters, merged)) == set().union(*map(characters, snippets))
    assert sum(snippet.size for snippet in merged) == len(set().union(*map(characters, snippets)))
