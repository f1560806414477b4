"""Metrics against scikit-learn, or a definition written out anew, on 1,000 random cases each: ties and empties too."""

from __future__ import annotations

import re
import string
from collections import Counter
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as reference
from sklearn.metrics.pairwise import paired_cosine_distances

from radrag.metrics import (
    SetScore,
    aurc,
    bioasq_documents,
    bioasq_factoid,
    bioasq_list,
    bioasq_yes_no,
    brier,
    cosine_similarity,
    exact_match,
    expected_calibration_error,
    multilabel_f1,
    set_scores,
    token_f1,
)

CASES = 1000


def test_set_scores_by_hand() -> None:
    made = set_scores([("a",), ("a", "b"), (), ("c",)], ["a", "b", "a", "a"])
    assert made == SetScore(coverage=0.5, size=1.0, empty=0.25, single=0.5, n=4)


@pytest.mark.parametrize(
    ("sets", "true", "message"),
    [
        ([], [], "at least one label"),
        ([("a",)], ["a", "b"], "sets 1, true 2"),
        (["ab"], ["a"], "set 0 must be a collection"),
        ("ab", ["a", "b"], "sets must be a collection"),
        ([("a", "a")], ["a"], "holds a label twice"),
    ],
)
def test_unusable_sets(sets: Any, true: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        set_scores(sets, true)


def test_set_scores_on_indicators() -> None:
    rng = np.random.default_rng(20)
    for _ in range(CASES):
        n, labels = int(rng.integers(1, 30)), int(rng.integers(1, 6))
        table = rng.random((n, labels)) < rng.random()
        true = rng.integers(0, labels, size=n)
        made = set_scores([np.flatnonzero(row).tolist() for row in table], true)
        assert made.coverage == pytest.approx(table[np.arange(n), true].mean(), abs=1e-9)
        assert made.size == pytest.approx(table.sum(axis=1).mean(), abs=1e-9)
        assert made.empty == pytest.approx((~table.any(axis=1)).mean(), abs=1e-9)
        assert made.single == pytest.approx((table.sum(axis=1) == 1).mean(), abs=1e-9)


def test_calibration_error_as_guo_et_al_define_it() -> None:
    """Sum over bins (low, high] of their share of items times the gap (Guo et al., ICML 2017, equation 3)."""
    rng = np.random.default_rng(21)
    for _ in range(CASES):
        n, bins = int(rng.integers(1, 40)), int(rng.choice([5, 10, 15]))
        sure = rng.integers(0, 9, size=n) / 8 if rng.random() < 0.5 else rng.random(n)  # 8ths tie
        right = rng.integers(0, 2, size=n)
        # A probability at an edge, and 0, belong to the bin below; np.digitize counts edges at or above it so.
        place = np.digitize(sure, np.arange(1, bins) / bins, right=True)
        expected = sum(
            abs(right[place == one].mean() - sure[place == one].mean()) * (place == one).mean() for one in set(place)
        )
        assert expected_calibration_error(sure, right, bins) == pytest.approx(expected, abs=1e-9)


def test_brier_agrees_with_sklearn() -> None:
    rng = np.random.default_rng(22)
    for _ in range(CASES):
        n, labels = int(rng.integers(2, 12)), int(rng.integers(2, 5))
        shares = rng.dirichlet(np.full(labels, 0.3), size=n)
        true = rng.integers(0, labels, size=n)
        expected = reference.brier_score_loss(true, shares, labels=list(range(labels)), scale_by_half=False)
        assert brier(shares, true) == pytest.approx(expected, abs=1e-9)


def test_aurc_is_the_mean_over_the_orders_of_ties() -> None:
    rng = np.random.default_rng(23)
    orders = {n: np.asarray(list(permutations(range(n)))) for n in range(1, 6)}
    for _ in range(CASES):
        n = int(rng.integers(1, 6))
        sure, right = rng.integers(0, 3, size=n) / 2, rng.integers(0, 2, size=n)
        every = orders[n]
        sorted_ones = every[(np.diff(sure[every], axis=1) <= 0).all(axis=1)]
        risks = np.cumsum(1 - right[sorted_ones], axis=1) / np.arange(1, n + 1)
        assert aurc(sure, right) == pytest.approx(risks.mean(), abs=1e-9)


WORDS = ("the", "a", "an", "Acute", "acute", "embolism", "lung,", "lung", "(right)", "no", "-", "theatre")


def squad_normal(text: str) -> list[str]:
    """As the official program of SQuAD 2.0 does: lower case, no punctuation, no articles, single spaces."""
    kept = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", kept).split()


def squad_f1(predicted: str, gold: str) -> float:
    left, right = squad_normal(predicted), squad_normal(gold)
    if not left or not right:
        return float(left == right)
    shared = sum((Counter(left) & Counter(right)).values())
    if not shared:
        return 0.0
    precision, recall = shared / len(left), shared / len(right)
    return 2 * precision * recall / (precision + recall)


def test_answers_agree_with_the_program_of_squad() -> None:
    rng = np.random.default_rng(24)
    for _ in range(CASES):
        predicted, *gold = (" ".join(rng.choice(WORDS, size=rng.integers(0, 6))) for _ in range(3))
        assert token_f1(predicted, gold) == pytest.approx(max(squad_f1(predicted, one) for one in gold), abs=1e-9)
        assert exact_match(predicted, gold) == max(squad_normal(predicted) == squad_normal(one) for one in gold)


def test_multilabel_f1_agrees_with_sklearn() -> None:
    rng = np.random.default_rng(25)
    for _ in range(CASES):
        true, predicted = rng.integers(0, 2, size=(2, int(rng.integers(1, 10)), int(rng.integers(2, 5))))
        each = reference.f1_score(true, predicted, average=None, zero_division=0)
        assert multilabel_f1(true, predicted, None, zero_division=0.0) == pytest.approx(each, abs=1e-9)
        assert multilabel_f1(true, predicted, zero_division=0.0) == pytest.approx(each.mean(), abs=1e-9)
        both, all_of_them = int((true & predicted).sum()), int(true.sum() + predicted.sum())
        micro = 2 * both / all_of_them if all_of_them else 0.0
        assert multilabel_f1(true, predicted, "micro", zero_division=0.0) == pytest.approx(micro, abs=1e-9)


def test_cosines_agree_with_sklearn() -> None:
    rng = np.random.default_rng(26)
    for _ in range(CASES):
        left, right = rng.normal(size=(2, int(rng.integers(1, 8)), 5))
        right[0] = -2 * left[0]
        assert cosine_similarity(left, right) == pytest.approx(1 - paired_cosine_distances(left, right), abs=1e-9)


def test_bioasq_factoids_lists_and_documents_by_their_definitions() -> None:
    """Entities share no synonym and no answer stands twice: then sets say it all."""
    rng = np.random.default_rng(27)
    for _ in range(CASES):
        owner = rng.integers(0, 4, size=12)  # each of twelve names belongs to one of four entities
        gold = [[f"N{i}" for i in np.flatnonzero(owner == e)] for e in range(3) if (owner == e).any()]
        if not gold:
            continue
        wanted = {i for i in range(12) if owner[i] < 3}
        said = rng.permutation(14)[: rng.integers(0, 6)].tolist()  # 12 and 13 are nobody's
        places = [rank for rank, i in enumerate(said, start=1) if i in wanted]
        names = [f"n{i}" for i in said]
        made = bioasq_factoid(names, gold)
        assert made.strict == float(1 in places)
        assert made.lenient == float(bool(places))
        assert made.reciprocal_rank == pytest.approx(1 / places[0] if places else 0.0, abs=1e-9)
        first = list({owner[i]: name for i, name in zip(said[::-1], names[::-1], strict=True) if i in wanted}.values())
        others = [name for i, name in zip(said, names, strict=True) if i not in wanted]
        listed = bioasq_list([*first, *others], gold)  # of each entity one name, and what is wrong
        total = len(first) + len(others)
        assert listed.precision == pytest.approx(len(first) / total if total else 0.0, abs=1e-9)
        assert listed.recall == pytest.approx(len(first) / len(gold), abs=1e-9)
        relevant = {f"n{i}" for i in wanted}
        found = bioasq_documents(names, relevant)
        hits = [name in relevant for name in names]
        cumulative = np.cumsum(hits) / np.arange(1, len(hits) + 1)
        average = float(cumulative[hits].sum()) / min(10, len(relevant)) if names else 0.0
        assert found.average_precision == pytest.approx(average, abs=1e-9)


def test_yes_no_agrees_with_sklearn() -> None:
    rng = np.random.default_rng(28)
    for _ in range(CASES):
        n = int(rng.integers(1, 20))
        true, said = (np.asarray(["yes", "no"])[rng.integers(0, 2, size=n)] for _ in range(2))
        made = bioasq_yes_no(true.tolist(), said.tolist())
        yes, no = reference.f1_score(true, said, labels=["yes", "no"], average=None, zero_division=0)
        assert (made.f1_yes, made.f1_no) == pytest.approx((yes, no), abs=1e-9)
        assert made.accuracy == pytest.approx((true == said).mean(), abs=1e-9)
        assert made.macro_f1 == pytest.approx((yes + no) / 2, abs=1e-9)
