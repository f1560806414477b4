"""Ranking metrics against trec_eval itself on random runs with ties and empties, and by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from radrag.metrics.ranking import average_precision, hit, ndcg, precision, recall, reciprocal_rank
from radrag.metrics.trec import bpref, r_precision, trec_gmap, trec_order

MEASURES = {"ndcg", "ndcg_cut.5,10", "map", "map_cut.5,10", "recall.5,10", "P.5,10", "success.5,10", "recip_rank"}
CASES = 1000


def random_cases() -> tuple[dict[str, dict[str, int]], dict[str, dict[str, float]]]:
    """Return graded judgements and runs whose scores tie often; some runs hold nothing that was judged."""
    rng = np.random.default_rng(11)
    qrels, runs = {}, {}
    for case in range(CASES):
        judged = rng.choice(40, size=rng.integers(1, 20), replace=False)
        gains = rng.integers(0, 4, size=len(judged))
        gains[0] = rng.integers(1, 4)
        found = rng.choice(60, size=rng.integers(1, 30), replace=False)
        qrels[f"q{case}"] = {f"d{i}": int(gain) for i, gain in zip(judged, gains, strict=True)}
        runs[f"q{case}"] = {f"d{i}": float(rng.integers(0, 8)) for i in found}
    return qrels, runs


def test_agrees_with_trec_eval() -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval")
    qrels, runs = random_cases()
    theirs = pytrec_eval.RelevanceEvaluator(qrels, {*MEASURES, "Rprec", "bpref", "gm_map"}).evaluate(runs)
    assert len(theirs) == CASES
    for query, expected in theirs.items():
        ranked, judged = trec_order(runs[query]), qrels[query]
        ours = {
            "ndcg": ndcg(ranked, judged, None),
            "map": average_precision(ranked, judged),
            "recip_rank": reciprocal_rank(ranked, judged),
            "Rprec": r_precision(ranked, judged),
            "bpref": bpref(ranked, judged),
        }
        for k in (5, 10):
            ours |= {
                f"ndcg_cut_{k}": ndcg(ranked, judged, k),
                f"map_cut_{k}": average_precision(ranked, judged, k),
                f"recall_{k}": recall(ranked, judged, k),
                f"P_{k}": precision(ranked, judged, k),
                f"success_{k}": hit(ranked, judged, k),
            }
        assert ours == pytest.approx({name: expected[name] for name in ours}, abs=1e-9, rel=0), query
    # pytrec_eval reports the logarithm of each query; its own aggregate is exp of their mean.
    logs = [values["gm_map"] for values in theirs.values()]
    ours_gmap = trec_gmap([average_precision(trec_order(runs[query]), qrels[query]) for query in theirs])
    assert ours_gmap == pytest.approx(math.exp(np.mean(logs)), abs=1e-9)


def test_trec_order_by_hand() -> None:
    assert trec_order({"a": 1.0, "c": 2.0, "b": 2.0, "d": -1.0}) == ["c", "b", "a", "d"]
    with pytest.raises(ValueError, match="got nan for 'b'"):
        trec_order({"a": 1.0, "b": math.nan})


def test_bpref_by_hand() -> None:
    # R = 2, N = 3. n above r1 is 1: 1 - 1/2; r2 is below two of them: 1 - 2/2. The unjudged u changes nothing.
    judged = {"r1": 1, "r2": 2, "n1": 0, "n2": 0, "n3": 0}
    assert bpref(["n1", "u", "r1", "n2", "r2", "n3"], judged) == pytest.approx((0.5 + 0.0) / 2)
    assert bpref(["r1", "n1"], judged) == 0.5
    assert bpref(["r1", "r2"], {"r1": 1, "r2": 1}) == 1.0


def test_r_precision_by_hand() -> None:
    assert r_precision(["a", "x", "b"], {"a", "b"}) == 0.5
    assert r_precision(["a"], {"a", "b", "c", "d"}) == 0.25


def test_trec_gmap_by_hand() -> None:
    assert trec_gmap([1.0, 0.0]) == pytest.approx(math.sqrt(1e-5))
    assert trec_gmap([0.25, 1.0]) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bpref(["a"], {"a": 0}), "cannot be scored"),
        (lambda: bpref(["a", "a"], {"a": 1}), "again at rank 2"),
        (lambda: r_precision(["a"], set()), "cannot be scored"),
        (lambda: trec_gmap([]), "non-empty"),
        (lambda: trec_gmap([-0.1]), "at least 0"),
    ],
)
def test_unusable_arguments(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
