from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from radrag.indexes.hybrid import HybridIndex
from radrag.indexes.rerank import LearnedReranker
from radrag.indexes.rerank_features import FEATURES
from radrag.training.reranker import Judged, fit_reranker, judged_lists
from radrag.types import Document

TERMS, FUSED = FEATURES.index("terms"), FEATURES.index("fused")


def lists(count: int, seed: int, informative: int, sign: float = 1.0) -> list[Judged]:
    """Lists of eight hits of which one is right; one feature says which, the others are noise."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        table = rng.normal(size=(8, len(FEATURES)))
        right = np.arange(8) == rng.integers(8)
        table[:, informative] += sign * 4 * right
        made.append(Judged("made", table, right))
    return made


def test_what_tells_right_from_wrong_gets_the_weight(tmp_path: Path) -> None:
    facts = fit_reranker(lists(80, 0, TERMS), tmp_path / "w.json", data="made")
    weights = json.loads((tmp_path / "w.json").read_text())["weights"]
    assert weights["terms"] == max(weights.values()) > 3 * weights["phrase"]
    assert min(weights.values()) >= 0
    assert facts["made"]["n"] == 80
    assert facts["made"]["mrr_after"] > 0.9 > 0.6 > facts["made"]["mrr_before"]
    assert LearnedReranker(tmp_path / "w.json").depth == 50


def test_no_weight_is_negative_and_without_evidence_the_search_decides(tmp_path: Path) -> None:
    fit_reranker(lists(80, 1, TERMS, sign=-1), tmp_path / "w.json", data="made")
    weights = json.loads((tmp_path / "w.json").read_text())["weights"]
    assert weights["terms"] == 0
    assert min(weights.values()) == 0
    nothing = [Judged("made", np.zeros((3, len(FEATURES))), np.asarray([True, False, False]))] * 5
    fit_reranker(nothing, tmp_path / "w.json", data="made")
    weights = json.loads((tmp_path / "w.json").read_text())["weights"]
    assert {name: value for name, value in weights.items() if value} == {
        "fused": 1, "recency": 0.05, "publication type": 0.05,
    }  # fmt: skip


def test_each_source_counts_alike(tmp_path: Path) -> None:
    many = [Judged("many", one.table, one.right) for one in lists(200, 2, FUSED)]
    few = [Judged("few", one.table, one.right) for one in lists(10, 3, TERMS)]
    fit_reranker([*many, *few], tmp_path / "w.json", data="made")
    weights = json.loads((tmp_path / "w.json").read_text())["weights"]
    assert weights["terms"] > 0.5 * weights["fused"]


def test_folds_are_held_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    noise = [Judged("noise", rng.normal(size=(8, len(FEATURES))), np.arange(8) == 3) for _ in range(10)]
    facts = fit_reranker(noise, tmp_path / "w.json", data="made")
    assert facts["noise"]["mrr_after"] < 0.6  # weights that saw their own lists reach .9


def test_lists_from_an_index(tmp_path: Path) -> None:
    with HybridIndex.create(tmp_path / "i") as index:
        index.add([Document("a", "Renal stones need CT."), Document("b", "Renal cysts."), Document("c", "Chest pain.")])
        asked = [
            ("renal stones", lambda passage: passage.document_id == "a"),
            ("renal", lambda passage: False),
            ("chest", lambda passage: True),
        ]
        (found,) = judged_lists(index, asked, "made")
    assert found.table.shape == (3, len(FEATURES))
    assert found.right.tolist() == [True, False, False]
    assert found.table[0, TERMS] == 1


def test_too_few_lists_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"at least 5 questions.*got 4"):
        fit_reranker(lists(4, 0, TERMS), tmp_path / "w.json", data="made")


def test_features_left_out_keep_no_weight(tmp_path: Path) -> None:
    facts = fit_reranker(lists(40, 0, TERMS), tmp_path / "w.json", data="made", without=["terms", "recency"])
    weights = json.loads((tmp_path / "w.json").read_text())["weights"]
    assert weights["terms"] == weights["recency"] == 0
    assert facts["without"] == ["terms", "recency"]
    assert facts["made"]["mrr_after"] < 0.6
    with pytest.raises(ValueError, match="no features \\['length'\\]"):
        fit_reranker(lists(40, 0, TERMS), tmp_path / "w.json", data="made", without=["length"])
