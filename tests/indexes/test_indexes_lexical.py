from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from math import log, log1p
from typing import Any

import numpy as np
import pytest
import rank_bm25
from hypothesis import given, settings
from hypothesis import strategies as st

from radrag.indexes import bm25, maxscore
from radrag.indexes.bm25 import BM25, Statistics
from radrag.indexes.maxscore import Sums
from radrag.indexes.okapi import RankBM25
from radrag.indexes.postings import build_postings
from radrag.indexes.searcher import ENGINES

CORPUS = [
    ["ct", "chest", "nodule", "nodule"],
    ["mri", "brain"],
    [],
    ["ct", "brain", "ct", "ct", "infarct"],
    ["chest", "ct"],
    ["ct"],
]
QUERY = ["ct", "nodule", "nodule", "unknown", "brain"]
WORDS = st.sampled_from("aaaaabbbccdef")
CORPORA = st.lists(st.lists(WORDS, max_size=8), min_size=1, max_size=12)
ROWS = st.lists(st.tuples(st.lists(WORDS, max_size=8), st.booleans(), st.booleans()), max_size=40)


def statistics(corpus: list[list[str]], live: Sequence[bool] | None = None) -> Statistics:
    live = [True] * len(corpus) if live is None else live
    dead = Counter(term for tokens, alive in zip(corpus, live, strict=True) if not alive for term in set(tokens))
    total = sum(len(tokens) for tokens, alive in zip(corpus, live, strict=True) if alive)
    return Statistics(sum(live), total, lambda terms: {term: dead[term] for term in terms if dead[term]})


def split(values: Any, cuts: Sequence[int]) -> list[Any]:
    ends = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
    return [values[low:high] for low, high in pairwise(ends)]


def scores(engine: Any, corpus: list[list[str]], query: list[str], known: Statistics | None = None) -> np.ndarray:
    return engine.at(query, np.arange(len(corpus)), known or statistics(corpus))


def best(engine: Any, query: list[str], k: int, masks: Sequence[Any], known: Statistics) -> dict[int, float]:
    rows, values = engine.top(query, k, masks, known)
    assert rows.dtype == np.int64
    assert values.dtype == np.float32
    assert len(set(rows.tolist())) == len(rows)
    return dict(zip(rows.tolist(), values.tolist(), strict=True))


def lucene(corpus: list[list[str]], query: list[str], k1: float, b: float) -> np.ndarray:
    """``rank_bm25`` with its idf replaced."""
    okapi = rank_bm25.BM25Okapi(corpus, k1=k1, b=b)
    for term in okapi.idf:
        holders = sum(term in tokens for tokens in corpus)
        okapi.idf[term] = log(1 + (len(corpus) - holders + 0.5) / (holders + 0.5))
    return okapi.get_scores(query)


def by_formula(corpus: list[list[str]], live: Sequence[bool], query: list[str], k1: float, b: float) -> list[float]:
    """BM25 in float64, of all rows with the statistics of the live ones."""
    alive = [tokens for tokens, there in zip(corpus, live, strict=True) if there]
    mean = sum(map(len, alive)) / len(alive) if any(alive) else 1.0
    held = {term: sum(term in tokens for tokens in alive) for term in query}
    return [
        sum(
            log1p((len(alive) - held[t] + 0.5) / (held[t] + 0.5))
            * (k1 + 1) * tokens.count(t) / (tokens.count(t) + k1 * (1 - b + b * len(tokens) / mean))
            for t in query
            if held[t] and t in tokens
        )
        for tokens in corpus
    ]  # fmt: skip


def test_bm25_by_hand() -> None:
    corpus = [["a", "a", "b"], ["b"]]
    engine = BM25([build_postings(corpus)], 1.2, 0.75)
    # N 2, n 1: idf log(1 + 1.5 / 1.5) = 0.693147; tf 2, length 3, mean 2: norm 1.2 (0.25 + 0.75 * 1.5) = 1.65
    expected = 0.6931472 * 2.2 * 2 / (2 + 1.65)
    np.testing.assert_allclose(scores(engine, corpus, ["a"]), [expected, 0], rtol=1e-6)
    assert best(engine, ["a"], 5, [None], statistics(corpus)) == {0: pytest.approx(expected, rel=1e-6)}


def test_bm25_by_hand_with_a_dead_row() -> None:
    corpus = [["a", "a", "b"], ["b"], ["a", "c"]]
    known = statistics(corpus, [True, True, False])
    engine = BM25([build_postings(corpus[:1]), build_postings(corpus[1:])], 1.2, 0.75)
    expected = pytest.approx(0.6931472 * 2.2 * 2 / (2 + 1.65), rel=1e-6)
    assert best(engine, ["a", "c"], 5, [None, np.asarray([True, False])], known) == {0: expected}
    assert engine.holders(["a", "b", "c", "d"], known) == {"a": 1, "b": 2, "c": 0, "d": 0}


@pytest.mark.parametrize(("k1", "b"), [(0.6, 0.5), (1.5, 0.75), (0.0, 0.0), (2.0, 0.9)])
def test_bm25_equals_rank_bm25_with_our_idf(k1: float, b: float) -> None:
    found = scores(BM25([build_postings(CORPUS)], k1, b), CORPUS, QUERY)
    if k1 == 0:  # rank_bm25 divides 0 by 0 there
        assert found[3] == pytest.approx(log(1 + 2.5 / 4.5) + log(1 + 4.5 / 2.5))
        return
    np.testing.assert_allclose(found, lucene(CORPUS, QUERY, k1, b), rtol=1e-5, atol=1e-7)


@given(CORPORA.filter(any), st.lists(st.sampled_from("abcdefg"), max_size=5))
def test_bm25_equals_the_reference_on_any_corpus(corpus: list[list[str]], query: list[str]) -> None:
    found = scores(BM25([build_postings(corpus)], 0.6, 0.5), corpus, query)
    np.testing.assert_allclose(found, lucene(corpus, query, 0.6, 0.5), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("lookup", [0, 1, 1 << 30])
@given(
    ROWS,
    st.lists(st.sampled_from("aabbcdefg"), max_size=6),
    st.integers(1, 9),
    st.lists(st.integers(0, 40), max_size=3),
    st.sampled_from([(0.6, 0.5), (0.0, 0.5), (1.5, 0.0), (1.2, 1.0)]),
    st.sampled_from([0, 10, 4_096]),
    st.sampled_from([0, 1_000]),
    st.booleans(),
)
@settings(deadline=None)
def test_top_is_exactly_the_best_admitted_rows(
    lookup: int,
    rows: list[tuple[list[str], bool, bool]],
    query: list[str],
    k: int,
    cuts: list[int],
    parameters: tuple[float, float],
    small: int,
    filled: int,
    usual: bool,
) -> None:
    corpus, live = [tokens for tokens, _, _ in rows], [alive for _, alive, _ in rows]
    admitted = np.asarray([alive and wanted for _, alive, wanted in rows], dtype=bool)
    known = statistics(corpus, live)
    whole = scores(BM25([build_postings(corpus)], *parameters), corpus, query, known)
    np.testing.assert_allclose(whole, by_formula(corpus, live, query, *parameters), rtol=1e-5, atol=1e-7)
    matched = np.flatnonzero(np.where(admitted, whole, 0))
    least = np.sort(whole[matched])[-k] if len(matched) > k else 0
    expected = {row: whole[row] for row in matched.tolist() if whole[row] >= least}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maxscore, "_LOOKUP", lookup)
        patch.setattr(maxscore, "_BLOCK", 3)
        patch.setattr(maxscore, "_FILLED", filled)
        patch.setattr(bm25, "_SMALL", small)
        for ends in (cuts, []):
            masks = split(admitted, ends)
            postings = [build_postings(part) for part in split(corpus, ends)]
            engine = BM25(postings, *parameters, usual=masks if usual else ())
            for _ in range(2):  # the second time with used accumulators
                assert best(engine, query, k, masks, known) == expected
                assert best(engine, query, k, [mask.copy() for mask in masks], known) == expected
            assert (scores(engine, corpus, query, known) == whole).all()


@pytest.fixture(scope="module")
def long() -> list[list[str]]:
    """3,000 rows in which terms are as uneven as in text, so that most of the rows are pruned."""
    draw = np.random.default_rng(0)
    weights = 1 / np.arange(1, 2001)
    drawn = [draw.choice(2000, size, p=weights / weights.sum()) for size in draw.integers(1, 120, 3000)]
    return [[f"t{term}" for term in row.tolist()] for row in drawn]


@pytest.mark.parametrize("cuts", [[], [1000, 1700], [2990]])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.01])
@pytest.mark.parametrize("usual", [False, True])
def test_pruning_loses_nothing(
    long: list[list[str]], cuts: list[int], share: float, usual: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bm25, "_SMALL", 500)
    draw = np.random.default_rng(1)
    admitted = draw.random(len(long)) < share
    known = statistics(long)
    masks = [None] * (len(cuts) + 1) if share == 1 else split(admitted, cuts)
    engine = BM25([build_postings(part) for part in split(long, cuts)], 0.6, 0.5, usual=masks if usual else ())
    for size in (1, 2, 3, 5, 8, 12, 30):
        query = [f"t{int(term)}" for term in 2000 * draw.random(size) ** 3]
        values = scores(engine, long, query, known)
        matched = np.flatnonzero(np.where(admitted, values, 0))
        for k in (1, 10, 100):
            least = np.sort(values[matched])[-k] if len(matched) > k else 0
            expected = {row: values[row] for row in matched.tolist() if values[row] >= least}
            assert best(engine, query, k, masks, known) == expected


def test_most_postings_are_never_read(long: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    gains = maxscore.TermList.gains
    monkeypatch.setattr(bm25, "_SMALL", 0)
    monkeypatch.setattr(
        maxscore.TermList, "gains", lambda self, codes: (read.append(len(codes)), gains(self, codes))[1]
    )
    engine = BM25([build_postings(long)], 0.6, 0.5)
    query = ["t1500", "t700", "t300", "t0", "t1"]
    best(engine, query, 3, [None], statistics(long))
    assert 0 < sum(read) < 0.2 * sum(engine.holders(query, statistics(long)).values())


def test_threads_do_not_share_sums(long: list[list[str]]) -> None:
    engine, known = BM25([build_postings(long)], 0.6, 0.5), statistics(long)
    queries = [[f"t{i}", f"t{i + 1}", "t0", f"t{i * 7}"] for i in range(60)]
    expected = [best(engine, query, 20, [None], known) for query in queries]
    found: dict[int, list[dict[int, float]]] = {}

    def work(number: int) -> None:
        found[number] = [best(engine, query, 20, [None], known) for query in queries]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in range(4)] == [expected] * 4


def test_an_interrupted_search_leaves_no_sums(long: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    engine, known = BM25([build_postings(long)], 0.6, 0.5), statistics(long)
    query = ["t1900", "t1000", "t700", "t500"]
    expected = best(engine, query, 1000, [None], known)
    monkeypatch.setattr(maxscore, "_BLOCK", 2)
    gains = maxscore.TermList.gains
    for fail_at in range(1, 5):
        left = [fail_at]

        def failing(self: Any, codes: Any, left: list[int] = left) -> Any:
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt
            return gains(self, codes)

        with monkeypatch.context() as patch:
            patch.setattr(maxscore.TermList, "gains", failing)
            with pytest.raises(KeyboardInterrupt):
                engine.top(query, 1000, [None], known)
        assert best(engine, query, 1000, [None], known) == expected


def test_an_interrupted_clearing_leaves_no_sums(long: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    engine, known = BM25([build_postings(long)], 0.6, 0.5), statistics(long)
    query = ["t1900", "t1000", "t700", "t500"]
    for small in (0, 4_096):
        monkeypatch.setattr(bm25, "_SMALL", small)
        expected = best(engine, query, 10, [None], known)

        def failing(*_: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Sums, "clear", failing)
            with pytest.raises(KeyboardInterrupt):
                engine.top(query, 10, [None], known)
        assert best(engine, query, 10, [None], known) == expected


def test_rows_that_tie_across_segments_are_all_returned() -> None:
    corpus = [["a", "b", "c"]] * 6
    engine = BM25([build_postings([tokens]) for tokens in corpus], 0.6, 0.5)
    assert sorted(best(engine, ["a", "b", "c"], 1, [None] * 6, statistics(corpus))) == list(range(6))


def test_scores_do_not_depend_on_the_order_of_the_query(long: list[list[str]]) -> None:
    engine = BM25([build_postings(long)], 0.6, 0.5)
    query = [f"t{term}" for term in range(0, 60, 3)]
    np.testing.assert_array_equal(scores(engine, long, query), scores(engine, long, query[::-1]))


def test_new_statistics_give_new_scores() -> None:
    engine = BM25([build_postings(CORPUS)], 0.6, 0.5)
    before = scores(engine, CORPUS, QUERY)
    live = [True, True, True, False, True, True]
    after = scores(engine, CORPUS, QUERY, statistics(CORPUS, live))
    np.testing.assert_allclose(after, by_formula(CORPUS, live, QUERY, 0.6, 0.5), rtol=1e-5)
    assert not np.allclose(after, before)
    np.testing.assert_array_equal(scores(engine, CORPUS, QUERY), before)


@given(CORPORA, st.lists(st.integers(0, 12), max_size=2))
def test_segments_score_like_one(corpus: list[list[str]], cuts: list[int]) -> None:
    query = ["a", "b", "b", "g"]
    parts = [build_postings(part) for part in split(corpus, cuts)]
    for engine in (BM25, RankBM25):
        whole = scores(engine([build_postings(corpus)], 0.6, 0.5), corpus, query)
        np.testing.assert_array_equal(scores(engine(parts, 0.6, 0.5), corpus, query), whole)


def test_rank_bm25_engine_is_rank_bm25() -> None:
    engine = ENGINES["rank-bm25"]([build_postings(CORPUS)], 1.5, 0.75)
    expected = rank_bm25.BM25Okapi(CORPUS, k1=1.5, b=0.75).get_scores(QUERY)
    found = scores(engine, CORPUS, QUERY)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    assert (found < 0).any() or (expected >= 0).all()
    leading = np.argsort(-expected)[:2].tolist()
    assert sorted(best(engine, QUERY, 2, [None], statistics(CORPUS))) == sorted(leading)


def test_rank_bm25_knows_only_live_rows_and_returns_only_admitted_ones() -> None:
    live = [True, True, True, False, True, True]
    kept = [tokens for tokens, alive in zip(CORPUS, live, strict=True) if alive]
    parts, masks = [build_postings(CORPUS[:2]), build_postings(CORPUS[2:])], [None, np.asarray(live[2:])]
    engine, known = RankBM25(parts, 1.5, 0.75, masks), statistics(CORPUS, live)
    expected = rank_bm25.BM25Okapi(kept, k1=1.5, b=0.75).get_scores(QUERY)
    found = scores(engine, CORPUS, QUERY, known)
    np.testing.assert_allclose(found[live], expected, rtol=1e-6)
    assert found[3] == 0
    admitted = [np.asarray([False, True]), masks[1]]
    rows = best(engine, QUERY, 10, admitted, known)
    assert sorted(rows) == [row for row in (1, 4, 5) if found[row]]
    assert all(rows[row] == found[row] for row in rows)
    assert engine.holders(["ct", "infarct"], known) == {"ct": 3, "infarct": 0}


@pytest.mark.parametrize(("k1", "b"), [(0.0, 0.0), (0.0, 1.0), (1.5, 1.0)])
def test_rank_bm25_is_finite_where_the_library_divides_nothing_by_nothing(k1: float, b: float) -> None:
    engine, near = (RankBM25([build_postings(CORPUS)], *how) for how in ((k1, b), (k1 + 1e-9, b - 1e-9 if b else b)))
    np.testing.assert_allclose(scores(engine, CORPUS, QUERY), scores(near, CORPUS, QUERY), rtol=1e-6, atol=1e-7)
    rows = best(engine, QUERY, 10, [None], statistics(CORPUS))
    assert sorted(rows) == [0, 1, 3, 4, 5]


def test_rank_bm25_finds_a_term_that_half_of_the_rows_hold() -> None:
    corpus = [["renal", "stone"], ["renal", "mass"], ["chest", "nodule"], ["liver", "lesion"]]
    engine = RankBM25([build_postings(corpus[:1]), build_postings(corpus[1:])], 1.5, 0.75)
    assert best(engine, ["renal"], 10, [None, None], statistics(corpus)) == {0: 0, 1: 0}  # its idf is 0
    assert best(engine, ["renal"], 10, [np.asarray([False]), None], statistics(corpus)) == {1: 0}


@pytest.mark.parametrize("engine", ENGINES.values())
def test_nothing_to_score(engine: type) -> None:
    empty = Statistics(0, 0, lambda terms: {})
    assert best(engine([], 0.6, 0.5), ["a"], 3, [], empty) == {}
    assert engine([], 0.6, 0.5).at(["a"], np.arange(0), empty).shape == (0,)
    blank = engine([build_postings([[], []])], 0.6, 0.5)
    assert best(blank, ["a"], 3, [None], statistics([[], []])) == {}
    np.testing.assert_array_equal(scores(blank, [[], []], ["a"]), [0, 0])
    some = engine([build_postings([["a"], ["b"]])], 0.6, 0.5)
    assert best(some, [], 3, [None], statistics([["a"], ["b"]])) == {}


@pytest.mark.parametrize("engine", ENGINES.values())
@pytest.mark.parametrize(("k1", "b", "name"), [(-0.1, 0.5, "k1"), (1, -0.1, "b"), (1, 1.1, "b")])
def test_parameters_are_checked(engine: type, k1: float, b: float, name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} must be"):
        engine([], k1, b)
