from __future__ import annotations

from math import log
from pathlib import Path

import numpy as np
import pytest
import rank_bm25
from hypothesis import given
from hypothesis import strategies as st

from radrag.indexes.bm25 import BM25, ENGINES, RankBM25
from radrag.indexes.postings import Postings, build_postings, merge_postings, read_postings, write_postings

CORPUS = [
    ["ct", "chest", "nodule", "nodule"],
    ["mri", "brain"],
    [],
    ["ct", "brain", "ct", "ct", "infarct"],
    ["chest", "ct"],
    ["ct"],
]
QUERY = ["ct", "nodule", "nodule", "unknown", "brain"]
CORPORA = st.lists(st.lists(st.sampled_from("abcdef"), max_size=8), min_size=1, max_size=12)


def same(one: Postings, other: Postings) -> None:
    assert list(one.vocabulary.items()) == list(other.vocabulary.items())
    for name in ("indptr", "rows", "frequencies", "lengths"):
        left, right = getattr(one, name), getattr(other, name)
        np.testing.assert_array_equal(left, right)
        assert left.dtype == right.dtype


def lucene(corpus: list[list[str]], query: list[str], k1: float, b: float) -> np.ndarray:
    """``rank_bm25`` with its idf replaced."""
    okapi = rank_bm25.BM25Okapi(corpus, k1=k1, b=b)
    for term in okapi.idf:
        holders = sum(term in tokens for tokens in corpus)
        okapi.idf[term] = log(1 + (len(corpus) - holders + 0.5) / (holders + 0.5))
    return okapi.get_scores(query)


def test_bm25_by_hand() -> None:
    found = BM25([build_postings([["a", "a", "b"], ["b"]])], 1.2, 0.75).scores(["a"])
    # N 2, n 1: idf log(1 + 1.5 / 1.5) = 0.693147; tf 2, length 3, mean 2: norm 1.2 (0.25 + 0.75 * 1.5) = 1.65
    np.testing.assert_allclose(found, [0.6931472 * 2.2 * 2 / (2 + 1.65), 0], rtol=1e-6)


@pytest.mark.parametrize(("k1", "b"), [(0.6, 0.5), (1.5, 0.75), (0.0, 0.0), (2.0, 0.9)])
def test_bm25_equals_rank_bm25_with_our_idf(k1: float, b: float) -> None:
    found = BM25([build_postings(CORPUS)], k1, b).scores(QUERY)
    if k1 == 0:  # rank_bm25 divides 0 by 0 there
        assert found[3] == pytest.approx(log(1 + 2.5 / 4.5) + log(1 + 4.5 / 2.5))
        return
    np.testing.assert_allclose(found, lucene(CORPUS, QUERY, k1, b), rtol=1e-5, atol=1e-7)


@given(CORPORA.filter(any), st.lists(st.sampled_from("abcdefg"), max_size=5))
def test_bm25_equals_the_reference_on_any_corpus(corpus: list[list[str]], query: list[str]) -> None:
    found = BM25([build_postings(corpus)], 0.6, 0.5).scores(query)
    np.testing.assert_allclose(found, lucene(corpus, query, 0.6, 0.5), rtol=1e-5, atol=1e-7)


@given(CORPORA, st.integers(0, 12), st.integers(0, 12))
def test_segments_score_like_one(corpus: list[list[str]], one: int, other: int) -> None:
    low, high = sorted((one, other))
    parts = [build_postings(part) for part in (corpus[:low], corpus[low:high], corpus[high:])]
    for engine in (BM25, RankBM25):
        whole = engine([build_postings(corpus)], 0.6, 0.5).scores(["a", "b", "b", "g"])
        np.testing.assert_allclose(engine(parts, 0.6, 0.5).scores(["a", "b", "b", "g"]), whole, rtol=1e-6)
    same(merge_postings(parts), build_postings(corpus))


def test_rank_bm25_engine_is_rank_bm25() -> None:
    found = ENGINES["rank-bm25"]([build_postings(CORPUS)], 1.5, 0.75).scores(QUERY)
    expected = rank_bm25.BM25Okapi(CORPUS, k1=1.5, b=0.75).get_scores(QUERY)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    assert (found < 0).any() or (expected >= 0).all()


@pytest.mark.parametrize("engine", ENGINES.values())
def test_nothing_to_score(engine: type) -> None:
    assert engine([], 0.6, 0.5).scores(["a"]).shape == (0,)
    np.testing.assert_array_equal(engine([build_postings([[], []])], 0.6, 0.5).scores(["a"]), [0, 0])


@pytest.mark.parametrize("engine", ENGINES.values())
@pytest.mark.parametrize(("k1", "b", "name"), [(-0.1, 0.5, "k1"), (1, -0.1, "b"), (1, 1.1, "b")])
def test_parameters_are_checked(engine: type, k1: float, b: float, name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} must be"):
        engine([], k1, b)


@given(CORPORA)
def test_postings_give_the_documents_back(corpus: list[list[str]]) -> None:
    assert build_postings(corpus).documents() == [sorted(tokens) for tokens in corpus]


@pytest.mark.parametrize("corpus", [CORPUS, [[], []], [["β", "ca2+"]]])
def test_postings_round_trip(tmp_path: Path, corpus: list[list[str]]) -> None:
    write_postings(build_postings(corpus), tmp_path)
    same(read_postings(tmp_path), build_postings(corpus))
