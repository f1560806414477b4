from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from radrag.cli import app
from radrag.corpora import Chunking, read_questions
from radrag.errors import CorpusError
from radrag.indexes.hybrid import HybridIndex
from radrag.indexes.rerank import LearnedReranker
from radrag.indexes.rerank_features import FEATURES
from radrag.indexes.rerank_late import LATE_FEATURES
from radrag.indexes.token_states import TokenStates
from radrag.training.reranker import Judged, fit_reranker, judged_lists
from radrag.training.reranker_lists import own_lists
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


class Reader:
    """Reads a text as the counts of two words; what late interaction does with that is tested with the features."""

    def question(self, text: str) -> TokenStates:
        counts = np.asarray([text.lower().count(word) for word in ("stone", "cyst")], dtype=np.float32)
        whole = counts / max(1.0, float(np.linalg.norm(counts)))
        held = np.flatnonzero(counts)
        return TokenStates(held, np.eye(2, dtype=np.float16)[held], whole)

    def passages(self, texts: list[str]) -> list[TokenStates]:
        return [self.question(text) for text in texts]


def test_lists_with_late_interaction_and_a_filter(tmp_path: Path) -> None:
    with HybridIndex.create(tmp_path / "i") as index:
        index.add(
            [
                Document("a", "Renal stones.", kind="short"),
                Document("b", "Renal cysts.", kind="short"),
                Document("c", "Renal stones, at length.", kind="long"),
            ]
        )
        asked = [("renal stones", lambda passage: passage.document_id == "a")]
        (found,) = judged_lists(index, asked, "made", late=Reader())  # type: ignore[arg-type]
        assert found.table.shape == (3, len(FEATURES) + len(LATE_FEATURES))
        (kept,) = judged_lists(index, asked, "made", where={"kind": "short"}, late=Reader())  # type: ignore[arg-type]
    assert kept.right.tolist() == [True, False]
    np.testing.assert_allclose(kept.table[:, len(FEATURES)], [1, -1])


def test_weights_of_late_interaction_are_fitted_and_name_their_model(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    made = []
    for one in lists(60, 5, FUSED):
        more = rng.normal(size=(8, len(LATE_FEATURES)))
        more[:, 0] += 4 * one.right
        made.append(Judged("made", np.hstack([one.table, more]), one.right))
    fit_reranker(made, tmp_path / "w.json", data="made", late="minilm", without=["apart"])
    stored = json.loads((tmp_path / "w.json").read_text())
    assert stored["late"] == "minilm"
    assert set(stored["weights"]) == {*FEATURES, *LATE_FEATURES}
    assert stored["weights"]["late interaction"] > 0.5 > stored["weights"]["apart"] == 0
    with pytest.raises(ValueError, match=r"lists with \[17\] features, expected 14"):
        fit_reranker(made, tmp_path / "w.json", data="made")


def test_facts_tell_how_it_was_made(tmp_path: Path) -> None:
    facts = fit_reranker(lists(20, 0, TERMS), tmp_path / "w.json", data="made", made={"command": "by hand"})
    assert facts["command"] == json.loads((tmp_path / "w.json").read_text())["facts"]["command"] == "by hand"


ORGANS = ("liver", "kidney", "spleen", "pancreas", "lung", "heart", "brain", "femur")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy index, and questions whose gold span is the second of a document's two passages."""
    folder = tmp_path_factory.mktemp("own")
    asked = []
    with HybridIndex.create(folder / "index", chunking=Chunking(12, 0)) as index:
        for name in ORGANS:
            first = f"The {name} is an organ of the body, of which this page tells what is known."
            second = f"Imaging of the {name} is done with contrast where a lesion is suspected."
            index.add([Document(name, f"{first}\n\n{second}")])
            span = {"document_id": name, "start": len(first) + 2, "end": len(first) + 2 + len(second), "quote": second}
            asked.append({"id": name, "question": f"How is imaging of the {name} done?", "gold": [span]})
    asked.append({"id": "none", "question": "Why?"})
    (folder / "asked.jsonl").write_text("".join(json.dumps(one) + "\n" for one in asked), encoding="utf-8")
    return folder


def test_own_questions_are_judged_by_passage(own: Path) -> None:
    with HybridIndex.open(own / "index") as index:
        hits = index.search("How is imaging of the liver done?", k=50, rerank=False)
        made = own_lists(index, read_questions(own / "asked.jsonl"), "mine")
    assert [one.source for one in made] == ["mine"] * len(ORGANS)
    # The gold document's first passage is wrong: it does not hold the span.
    expected = [hit.passage.document_id == "liver" and hit.passage.text.startswith("Imaging") for hit in hits]
    assert sum(hit.passage.document_id == "liver" for hit in hits) == 2
    assert made[0].right.tolist() == expected
    assert sum(expected) == 1


def command(*words: object) -> Any:
    return CliRunner().invoke(app, ["train", "reranker", *map(str, words)])


def test_the_command_fits_on_own_questions(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = ("--index", own / "index", "--questions", own / "asked.jsonl", "--out", tmp_path / "w.json", "--json")
    ran = command(*at)
    assert ran.exit_code == 0, ran.output
    stored = json.loads((tmp_path / "w.json").read_text())
    facts = json.loads(ran.stdout)
    assert stored["facts"] == facts
    assert (facts["questions"], facts["with gold spans"], facts["own questions"]["n"]) == (9, 8, 8)
    assert facts["command"] == "radrag train reranker --index index --questions asked.jsonl"
    assert "late" not in stored
    with HybridIndex.open(own / "index", reranker=tmp_path / "w.json") as index:
        best = index.search("How is imaging of the brain done?", k=1)[0].passage
    assert (best.document_id, best.text[:7]) == ("brain", "Imaging")

    class Late(Reader):
        dtype = "bfloat16"

    monkeypatch.setattr("radrag.indexes.token_states.TokenEncoder", lambda model, kept_tokens: Late())
    ran = command(*at, "--late", "minilm")
    assert ran.exit_code == 0, ran.output
    stored = json.loads((tmp_path / "w.json").read_text())
    assert stored["late"] == "minilm"
    assert set(stored["weights"]) == {*FEATURES, *LATE_FEATURES}
    assert stored["facts"]["read in"] == "bfloat16"
    assert stored["facts"]["command"].endswith("--questions asked.jsonl --late minilm")


def test_the_command_takes_one_kind_of_data(own: Path, tmp_path: Path) -> None:
    pair = ("--index", own / "index", "--questions", own / "asked.jsonl")
    for words in ((), pair[:2], pair[2:], (tmp_path, *pair)):
        ran = command(*words, "--out", tmp_path / "w.json")
        assert ran.exit_code == 2
        assert "--questions" in ran.output
    assert "--encoder" in command(*pair, "--encoder", "static").output
    (tmp_path / "bad.jsonl").write_text("{}\n")
    ran = command(*pair[:2], "--questions", tmp_path / "bad.jsonl", "--out", tmp_path / "w.json")
    assert isinstance(ran.exception, CorpusError)
    assert not (tmp_path / "w.json").exists()
