from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radrag.errors import ModelError
from radrag.indexes.rerank import LEARNED, CrossEncoderReranker, LearnedReranker, load_reranker
from radrag.indexes.rerank_features import FEATURES, feature_table
from radrag.indexes.rerank_late import LATE_FEATURES
from radrag.types import Hit, Passage

SHIPPED = LearnedReranker()


def hit(
    name: str, text: str, score: float, lexical: float | None = None, dense: float | None = None, **meta: Any
) -> Hit:
    return Hit(Passage(name, 0, len(text), text, metadata=meta), score, lexical, dense)


def columns(query: str, hits: Sequence[Hit]) -> dict[str, Any]:
    return dict(zip(FEATURES, feature_table(query, hits).T, strict=True))


def write(path: Path, **weights: float) -> Path:
    path.write_text(json.dumps({"weights": {name: weights.get(name.replace(" ", "_"), 0.0) for name in FEATURES}}))
    return path


def test_features_by_hand() -> None:
    hits = [
        hit(
            "a", "Renal stones need CT. Contrast is not given.", 3.0, 4.0, 0.5, year=2020, publication_types=["Review"]
        ),
        hit("b", "CT. Stones of the renal pelvis are common.", 1.0, None, 0.1, year=2010),
        hit("c", "Chest radiograph.", -1.0, 2.0, None, publication_types=["Letter", "Randomized Controlled Trial"]),
    ]
    found = columns("renal stones CT", hits)
    spread = np.sqrt(8 / 3)
    np.testing.assert_allclose(found["fused"], [2 / spread, 0, -2 / spread])
    np.testing.assert_allclose(found["lexical"], np.asarray([4, -2, -2]) / np.sqrt(8))  # no score: the lowest
    np.testing.assert_allclose(found["lexical rank"], [1, 1 / 1.1, 1 / 1.1])
    np.testing.assert_allclose(found["fused rank"], [1, 1 / 1.1, 1 / 1.2])
    np.testing.assert_allclose(found["terms"], [1, 1, 0])
    # The three terms stand in two of three passages; CT, a name, counts three times and the others twice.
    np.testing.assert_allclose(found["terms in a sentence"], [1, 4 / 7, 0])
    np.testing.assert_allclose(found["pairs"], [1 / 2, 0, 0])  # "need" stands between stones and CT
    np.testing.assert_allclose(found["near pairs"], [1, 1 / 2, 0])
    np.testing.assert_allclose(found["phrase"], [2 / 3, 1 / 3, 0])
    np.testing.assert_allclose(found["recency"], [0.5, -0.5, 0])
    np.testing.assert_allclose(found["publication type"], [0.2, 0, 0.7])


def test_rare_terms_of_a_list_weigh_more() -> None:
    hits = [hit("a", "stones sarcoidosis", 1.0), *(hit(f"b{i}", "stones here", 0.5) for i in range(5))]
    found = columns("stones sarcoidosis", hits)
    common = 0.5 + np.log1p(0.5 / 6.5)
    rare = 0.5 + np.log1p(5.5 / 1.5)
    np.testing.assert_allclose(found["terms"], [1] + [common / (common + rare)] * 5)


@pytest.mark.parametrize("metadata", [{}, {"year": None}, {"year": "2001", "publication_types": None}])
def test_unknown_metadata_is_neutral(metadata: dict[str, Any]) -> None:
    hits = [hit("a", "Stone.", 1.0), Hit(Passage("b", 0, 6, "Stent.", metadata=metadata), 0.5)]
    found = columns("stone", hits)
    assert found["recency"].tolist() == found["publication type"].tolist() == [0, 0]


def test_one_hit_and_none() -> None:
    assert feature_table("stone", []).shape == (0, len(FEATURES))
    assert np.isfinite(feature_table("?", [hit("a", "...", 1.0)])).all()


def test_weights_order_the_hits(tmp_path: Path) -> None:
    hits = [hit("c", "liver", 3.0), hit("b", "stone", 2.0, year=2000), hit("a", "stone", 1.0, year=2024)]
    by_words = LearnedReranker(write(tmp_path / "w.json", terms=1.0)).rerank("stone", hits)
    assert [one.passage.document_id for one in by_words] == ["a", "b", "c"]  # a tie goes by document id
    assert [one.score for one in by_words] == [1, 1, 0]
    assert [one.score for one in hits] == [3, 2, 1]
    by_search = LearnedReranker(write(tmp_path / "s.json", fused=1.0)).rerank("stone", hits)
    assert [one.passage.document_id for one in by_search] == ["c", "b", "a"]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.text(max_size=40), st.floats(-5, 5)), max_size=6), st.text(min_size=1, max_size=30))
def test_nothing_is_lost_and_order_does_not_matter(parts: list[tuple[str, float]], query: str) -> None:
    hits = [hit(f"d{row}", text, score, score, None) for row, (text, score) in enumerate(parts)]
    made = SHIPPED.rerank(query, hits)
    assert sorted(one.passage.document_id for one in made) == sorted(one.passage.document_id for one in hits)
    assert [one.score for one in made] == sorted((one.score for one in made), reverse=True)
    back = SHIPPED.rerank(query, hits[::-1])
    np.testing.assert_allclose([one.score for one in back], [one.score for one in made], atol=1e-5)


def test_the_shipped_weights_are_not_negative_and_hold_no_length() -> None:
    stored = json.loads(LEARNED.read_text())
    assert set(stored["weights"]) == {*FEATURES, *LATE_FEATURES}
    assert stored["late"] == "static"
    assert min(stored["weights"].values()) >= 0 < stored["weights"]["fused"]
    assert stored["weights"]["late interaction"] > 0
    # Their questions have one right document each: nothing tells whether right passages are alike.
    assert stored["weights"]["like the best"] == stored["weights"]["apart"] == 0
    text = "Ureteric stones are seen on unenhanced CT."
    other = "Gall bladder wall is thin."
    short, long = hit("a", text, 1.0), hit("b", " ".join([text, *[other] * 8]), 1.0)
    found = columns("liver biopsy needle", [short, long])
    for name in ("terms", "terms in a sentence", "pairs", "near pairs", "phrase", "numbers and names"):
        assert found[name].tolist() == [0, 0], name


def test_wrong_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    for content in ("", "[]", '{"weights": {"fused": "much"}}', '{"weights": null}'):
        path.write_text(content)
        with pytest.raises(ModelError, match="radrag train reranker"):
            LearnedReranker(path)
    path.write_text('{"weights": {"fused": 1.0, "length": 1.0}}')
    with pytest.raises(ModelError, match=r"other features.*'length'"):
        LearnedReranker(path)
    nan = json.loads(write(path).read_text())
    nan["weights"]["fused"] = float("nan")
    path.write_text(json.dumps(nan))
    with pytest.raises(ModelError, match="not finite"):
        LearnedReranker(path).rerank("a", [hit("a", "b", 1.0)])
    with pytest.raises(ValueError, match="depth must be at least 1, got 0"):
        LearnedReranker(depth=0)


def test_load_reranker(tmp_path: Path) -> None:
    assert load_reranker(None) is None
    assert isinstance(load_reranker("learned"), LearnedReranker)
    assert isinstance(load_reranker(write(tmp_path / "w.json")), LearnedReranker)
    own = LearnedReranker()
    assert load_reranker(own) is own
    with pytest.raises(TypeError, match="object with rerank, got 3"):
        load_reranker(3)  # type: ignore[arg-type]


def cross_encoder(folder: Path, labels: int = 1) -> Path:
    """A small random cross-encoder."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    pytest.importorskip("sentence_transformers")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "chest", "nodule", "renal", "stone"]
    torch.manual_seed(3)
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=32, num_labels=labels, initializer_range=1.0,
    )  # fmt: skip
    folder.mkdir()
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizer(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


@pytest.mark.torch
def test_a_cross_encoder_against_its_forward_pass(tmp_path: Path) -> None:
    folder = cross_encoder(tmp_path / "model")
    import torch
    from transformers import BertForSequenceClassification

    ids = {"renal stone": [6, 7], "chest nodule": [4, 5], "nodule": [5]}
    hits = [hit(f"d{row}", text, 1.0) for row, text in enumerate(ids)]
    made = CrossEncoderReranker(folder, local_files_only=True, device="cpu", depth=7)
    found = made.rerank("stone", hits)
    model = BertForSequenceClassification.from_pretrained(folder).eval()
    expected = {}
    for one, tokens in zip(hits, ids.values(), strict=True):
        inputs = torch.tensor([[2, 7, 3, *tokens, 3]])
        types = torch.tensor([[0, 0, 0, *[1] * len(tokens), 1]])
        with torch.no_grad():
            logit = model(input_ids=inputs, token_type_ids=types).logits[0, 0]
        expected[one.passage.document_id] = float(torch.sigmoid(logit))
    assert {one.passage.document_id: one.score for one in found} == pytest.approx(expected, abs=1e-5)
    assert [one.score for one in found] == pytest.approx(sorted(expected.values(), reverse=True), abs=1e-5)
    assert made.depth == 7
    assert made.rerank("stone", []) == []


@pytest.mark.torch
def test_a_cross_encoder_must_rank(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="gives 3 scores a pair, expected 1"):
        CrossEncoderReranker(cross_encoder(tmp_path / "model", labels=3), local_files_only=True)
    with pytest.raises(ModelError, match="no cross-encoder can be loaded"):
        CrossEncoderReranker(tmp_path / "none", local_files_only=True)
