from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radrag.indexes.fusion import Fusion, reciprocal_rank_fusion, score_fusion

METHODS = [Fusion.ZSCORE, Fusion.MINMAX]
ROW = st.lists(st.integers(-1000, 1000).map(lambda n: n / 8), min_size=6, max_size=6)
TABLE = st.lists(ROW, min_size=1, max_size=4).map(np.asarray)


def test_rrf_by_hand() -> None:
    fused = reciprocal_rank_fusion([[3, 1], [1, 2]], [1, 2], k=10)
    assert fused == pytest.approx({3: 1 / 11, 1: 1 / 12 + 2 / 11, 2: 2 / 12})


def test_scores_by_hand() -> None:
    scores = np.array([[0.0, 1.0, 2.0], [4.0, 4.0, 4.0]])
    np.testing.assert_allclose(score_fusion(scores, [0.5, 9.0]), [-0.5 * 1.5**0.5, 0, 0.5 * 1.5**0.5])
    np.testing.assert_allclose(score_fusion(scores, [0.5, 9.0], Fusion.MINMAX), [0, 0.25, 0.5])


@pytest.mark.parametrize("method", METHODS)
@given(table=TABLE, data=st.data())
def test_order_of_searches_and_of_candidates_does_not_matter(
    method: Fusion, table: np.ndarray, data: st.DataObject
) -> None:
    weights = np.arange(1.0, len(table) + 1)
    before = table.copy()
    fused = score_fusion(table, weights.tolist(), method)
    rows = data.draw(st.permutations(range(len(table))))
    columns = data.draw(st.permutations(range(table.shape[1])))
    moved = score_fusion(table[rows][:, columns], weights[rows].tolist(), method)
    np.testing.assert_allclose(moved, fused[columns], atol=1e-9)
    np.testing.assert_array_equal(table, before)


@given(st.lists(st.permutations(range(6)), min_size=1, max_size=4), st.data())
def test_rrf_ignores_the_order_of_searches(rankings: list[list[int]], data: st.DataObject) -> None:
    before = [list(ranking) for ranking in rankings]
    order = data.draw(st.permutations(range(len(rankings))))
    weights = list(range(1, len(rankings) + 1))
    moved = reciprocal_rank_fusion([rankings[i] for i in order], [weights[i] for i in order])
    assert moved == pytest.approx(reciprocal_rank_fusion(rankings, weights))
    assert rankings == before


@pytest.mark.parametrize("method", METHODS)
@given(table=TABLE, level=st.floats(-1e6, 1e6), weight=st.floats(0, 10))
def test_a_flat_search_adds_nothing(method: Fusion, table: np.ndarray, level: float, weight: float) -> None:
    flat = np.full((1, table.shape[1]), level)
    with_flat = score_fusion(np.concatenate([table, flat]), [*[1.0] * len(table), weight], method)
    np.testing.assert_allclose(with_flat, score_fusion(table, None, method), atol=1e-9)


def test_a_method_may_be_its_name() -> None:
    scores = np.array([[0.0, 1.0, 5.0]])
    for method in METHODS:
        np.testing.assert_array_equal(score_fusion(scores, None, str(method)), score_fusion(scores, None, method))


def test_no_candidates() -> None:
    assert score_fusion(np.zeros((2, 0))).shape == (0,)
    assert reciprocal_rank_fusion([[], []]) == {}


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        reciprocal_rank_fusion([[1]], k=0)
    with pytest.raises(ValueError, match="weights must be 2 numbers"):
        score_fusion(np.zeros((2, 3)), [1.0])
    with pytest.raises(ValueError, match="weights must be 1 numbers"):
        reciprocal_rank_fusion([[1]], [-1.0])
    with pytest.raises(ValueError, match="zscore or minmax, got rrf"):
        score_fusion(np.zeros((2, 3)), None, Fusion.RRF)
