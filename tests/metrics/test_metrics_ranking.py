"""Ranking metrics against numbers worked out by hand, scikit-learn, and properties."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score

from radrag.metrics import average_precision, hit, ndcg, precision, recall, reciprocal_rank

RANKED = ["a", "b", "c", "d", "e"]
AT_3: dict[str, Callable[..., float]] = {
    "ndcg": partial(ndcg, k=3),
    "average_precision": partial(average_precision, k=3),
    "recall": partial(recall, k=3),
    "precision": partial(precision, k=3),
    "hit": partial(hit, k=3),
    "reciprocal_rank": partial(reciprocal_rank, k=3),
}
every_metric = pytest.mark.parametrize("metric", AT_3.values(), ids=AT_3.keys())


def test_ndcg_takes_gains_as_they_are() -> None:
    # DCG = 1/log2(2) + 0 + 3/log2(4) = 1 + 1.5 = 2.5
    # ideal: 3, 2, 1 = 3/1 + 2/log2(3) + 1/2 = 3 + 1.2618595 + 0.5 = 4.7618595; 2.5 / 4.7618595 = 0.5250050
    gains = {"a": 1, "c": 3, "z": 2, "b": 0}
    assert ndcg(RANKED, gains, k=3) == pytest.approx(2.5 / (3 + 2 / math.log2(3) + 0.5))
    assert ndcg(RANKED, gains, k=3) == pytest.approx(0.5250050, abs=1e-7)


def test_ndcg_ideal_stops_at_k() -> None:
    # Four relevant, k = 2: both ranks are right, DCG = ideal = 1 + 1/log2(3).
    assert ndcg(["a", "b", "x"], {"a", "b", "c", "d"}, k=2) == 1.0
    # k = None: DCG = 1 + 1/log2(3) = 1.6309298, ideal of 4 = 1.6309298 + 0.5 + 1/log2(5) = 2.5616063
    assert ndcg(["a", "b", "x"], {"a", "b", "c", "d"}, k=None) == pytest.approx(1.6309298 / 2.5616063, abs=1e-7)


def test_average_precision_divides_by_all_relevant() -> None:
    # Relevant at ranks 1, 3, 5; one of four never found: (1/1 + 2/3 + 3/5 + 0) / 4 = 2.2666667 / 4 = 0.5666667
    assert average_precision(RANKED, {"a", "c", "e", "z"}) == pytest.approx(34 / 60)
    # k = 3: (1/1 + 2/3) / 4 = 0.4166667, though three ranks can hold three only
    assert average_precision(RANKED, {"a", "c", "e", "z"}, k=3) == pytest.approx(25 / 60)


def test_average_precision_reachable_divides_by_what_fits() -> None:
    # BioASQ: (1/1 + 2/3) / min(3, 4) = 0.5555556
    assert average_precision(RANKED, {"a", "c", "e", "z"}, k=3, reachable=True) == pytest.approx(5 / 9)
    # Fewer relevant than k: the same as trec_eval, (1/1 + 2/3) / 2
    assert average_precision(RANKED, {"a", "c"}, k=3, reachable=True) == pytest.approx(5 / 6)
    assert average_precision(RANKED, {"a", "c"}, reachable=True) == pytest.approx(5 / 6)


def test_recall_precision_hit_and_reciprocal_rank() -> None:
    relevant = {"b", "c", "y", "z"}
    assert recall(RANKED, relevant, 3) == 2 / 4
    assert precision(RANKED, relevant, 3) == 2 / 3
    assert hit(RANKED, relevant, 1) == 0.0
    assert hit(RANKED, relevant, 2) == 1.0
    assert reciprocal_rank(RANKED, relevant) == 1 / 2
    assert reciprocal_rank(RANKED, relevant, k=1) == 0.0


def test_precision_counts_empty_ranks() -> None:
    # Two found, both relevant, ten ranks: 2 / 10, as trec_eval has it.
    assert precision(["a", "b"], {"a", "b"}, 10) == 0.2


@every_metric
def test_nothing_found_scores_0(metric: Callable[..., float]) -> None:
    assert metric([], {"a"}) == 0.0


@every_metric
def test_a_gain_of_0_is_not_relevant(metric: Callable[..., float]) -> None:
    assert metric(RANKED, {"a": 0, "b": 1.0}) == metric(RANKED, {"b"})


@every_metric
def test_inputs_are_left_alone(metric: Callable[..., float]) -> None:
    ranked, relevant = ["b", "a"], {"a": 2.0, "b": 0.0}
    metric(ranked, relevant)
    assert (ranked, relevant) == (["b", "a"], {"a": 2.0, "b": 0.0})


@every_metric
@pytest.mark.parametrize(
    ("ranked", "relevant", "message"),
    [
        (["a"], set(), "cannot be scored"),
        (["a"], {"a": 0.0}, "1 judged and none relevant"),
        (["a", "b", "c", "d", "a"], {"a"}, "'a' again at rank 5"),
        (["a"], {"a": -1.0}, "at least 0, got -1"),
        (["a"], {"a": math.nan}, "finite"),
        ("abc", {"a"}, "got the string 'abc'"),
        (["a"], "a", "got the string 'a'"),
    ],
)
def test_unusable_arguments(metric: Callable[..., float], ranked: object, relevant: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metric(ranked, relevant)


@pytest.mark.parametrize("metric", [ndcg, average_precision, recall, precision, hit, reciprocal_rank])
def test_k_is_a_positive_integer(metric: Callable[..., float]) -> None:
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        metric(["a"], {"a"}, k=0)
    with pytest.raises(ValueError, match=r"k must be an integer, got 2\.5"):
        metric(["a"], {"a"}, k=2.5)


@given(st.data())
def test_agrees_with_sklearn(data: st.DataObject) -> None:
    gains = data.draw(st.lists(st.integers(0, 3), min_size=2, max_size=30).filter(any))
    k = data.draw(st.integers(1, 30))
    ranked, qrels = list(range(len(gains))), dict(enumerate(gains))
    scores = -np.arange(len(gains), dtype=float)
    assert ndcg(ranked, qrels, k) == pytest.approx(ndcg_score([gains], [scores], k=k))
    binary = np.array(gains) > 0
    assert average_precision(ranked, qrels) == pytest.approx(average_precision_score(binary, scores))


@given(st.dictionaries(st.integers(0, 50), st.floats(0.1, 5), min_size=1), st.integers(1, 60))
def test_a_perfect_ranking_scores_1(gains: dict[int, float], k: int) -> None:
    ranked = [*sorted(gains, key=lambda item: -gains[item]), *range(100, 140)]
    assert ndcg(ranked, gains, k) == 1.0
    assert average_precision(ranked, gains) == 1.0
    assert average_precision(ranked, gains, k, reachable=True) == 1.0
    assert recall(ranked, gains, len(gains)) == 1.0
    assert precision(ranked, gains, len(gains)) == 1.0
    assert hit(ranked, gains, 1) == 1.0
    assert reciprocal_rank(ranked, gains) == 1.0


@every_metric
@given(
    ranked=st.permutations(range(8)),
    relevant=st.sets(st.integers(0, 12), min_size=1),
    names=st.permutations(range(13)),
)
def test_names_do_not_matter_and_the_score_is_a_share(
    metric: Callable[..., float], ranked: list[int], relevant: set[int], names: list[int]
) -> None:
    score = metric(ranked, relevant)
    assert 0 <= score <= 1
    assert metric([f"PMID:{names[i]}" for i in ranked], {f"PMID:{names[i]}" for i in relevant}) == score


@every_metric
@given(ranked=st.permutations(range(8)), relevant=st.sets(st.integers(0, 7), min_size=1), rank=st.integers(0, 6))
def test_moving_a_relevant_id_up_never_hurts(
    metric: Callable[..., float], ranked: list[int], relevant: set[int], rank: int
) -> None:
    better = list(ranked)
    if better[rank] not in relevant and better[rank + 1] in relevant:
        better[rank], better[rank + 1] = better[rank + 1], better[rank]
    assert metric(better, relevant) >= metric(ranked, relevant)
