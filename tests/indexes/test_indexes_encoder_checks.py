"""What a user's own encoder or re-ranker does wrong is refused before it is stored, and its errors stay its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radrag.errors import IndexCorruptError, IndexMismatchError, ModelError
from radrag.indexes.bm25 import BM25
from radrag.indexes.dense import DenseSegment
from radrag.indexes.embedding_cache import CachedEncoder
from radrag.indexes.encoders import LlamaIndexEncoder
from radrag.indexes.hybrid import HybridIndex
from radrag.indexes.searcher import SearchSettings
from radrag.types import Document, Hit

DOCUMENTS = [Document(f"d{number}", f"chest radiograph {number}") for number in range(5)]


class Own:
    """Vectors by a rule, the same for queries unless there is a rule for them."""

    fingerprint = "own"

    def __init__(self, dim: Any = 4, length: float = 1.0, asked: Callable[[int], Any] | None = None) -> None:
        self.dim, self._length, self._asked = dim, length, asked

    def encode(self, texts: Sequence[str], kind: str) -> Any:
        if kind == "query" and self._asked is not None and texts == ["which chest"]:
            return self._asked(len(texts))
        return np.full((len(texts), int(self.dim)), self._length / np.sqrt(int(self.dim)))


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any) -> Any:
        raise error

    return fail


def test_another_length_of_vector_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=Own(4)) as index:
        index.add(DOCUMENTS[:1])
    with pytest.raises(IndexMismatchError, match="holds vectors of 4 numbers, but own gives 5"):
        HybridIndex.open(tmp_path / "i", encoder=Own(5))
    encoder = Own(4)
    with HybridIndex.open(tmp_path / "i", encoder=encoder) as index:
        encoder.dim = 5
        with pytest.raises(IndexMismatchError, match="holds vectors of 4 numbers, but own gives 5"):
            index.add(DOCUMENTS[1:])
        encoder.dim = 4
        assert index.add(DOCUMENTS[1:])["added"] == 4
        assert index.verify() == []


def test_a_length_of_vector_may_be_a_numpy_number(tmp_path: Path) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=Own(np.int64(4))) as index:
        assert index.add(DOCUMENTS)["added"] == 5
    for wrong in (4.0, 0, "4"):
        with pytest.raises((TypeError, ValueError), match=r"the encoder own: dim must be .* got "):
            HybridIndex.create(tmp_path / "wrong", encoder=Own(wrong))


@pytest.mark.parametrize("length", [0.5, 0.98, 1.02, 60.0, 1e5])
@pytest.mark.parametrize("cached", [False, True])
def test_vectors_of_another_length_than_one_are_refused(tmp_path: Path, length: float, cached: bool) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=Own(length=length), cache_embeddings=cached) as index:
        with pytest.raises(ModelError, match=rf"the encoder own returned a vector of length {length:.6g}, .*normalise"):
            index.add(DOCUMENTS)
        assert len(index) == 0


@pytest.mark.parametrize("length", [0.0, 0.995, 1.0, 1.005])
def test_unit_vectors_and_zeros_are_taken(tmp_path: Path, length: float) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=Own(length=length)) as index:
        assert index.add(DOCUMENTS)["added"] == 5
        assert len(index.search("chest")) == 5


def test_a_query_of_another_length_than_one_is_refused(tmp_path: Path) -> None:
    encoder = Own(asked=lambda count: np.full((count, 4), 30.0))
    with HybridIndex.create(tmp_path / "i", encoder=encoder) as index:
        index.add(DOCUMENTS)
        with pytest.raises(ModelError, match="the encoder own returned a vector of length 60, expected 1 or all zeros"):
            index.search("which chest")
        assert len(index.search("which chest", mode="lexical")) == 5


def test_embeddings_of_llama_index_need_not_be_normalised(tmp_path: Path) -> None:
    class Long:
        model_name = "long"

        def get_query_embedding(self, text: str) -> list[float]:
            return [3.0, 4.0, float(len(text))]

        def get_text_embedding_batch(self, texts: list[str]) -> list[list[float]]:
            return [self.get_query_embedding(text) for text in texts]

    assert LlamaIndexEncoder(Long()).dim == 3
    with HybridIndex.create(tmp_path / "i", encoder=Long()) as index:  # type: ignore[arg-type]
        index.add(DOCUMENTS)
        assert all(0.9 < (hit.dense or 0) <= 1.001 for hit in index.search("chest radiograph"))


ERRORS = [
    IndexError("list index out of range"),
    FileNotFoundError("no weights"),
    FileNotFoundError(2, "No such file", "/models/x.bin"),
    UnicodeDecodeError("utf8", b"x", 0, 1, "bad"),
    sqlite3.OperationalError("the encoder's own file"),
]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("mode", ["hybrid", "dense"])
def test_errors_of_an_encoder_pass_untouched(tmp_path: Path, error: Exception, mode: str) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=Own(asked=raising(error))) as index:
        index.add(DOCUMENTS)
        with pytest.raises(type(error)) as caught:
            index.search("which chest", mode=mode)
    assert caught.value is error


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_errors_of_a_reranker_pass_untouched(tmp_path: Path, error: Exception) -> None:
    calls = []

    class Broken:
        def rerank(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
            calls.append(query)
            raise error

    with HybridIndex.create(tmp_path / "i", encoder=Own(), reranker=Broken()) as index:
        index.add(DOCUMENTS)
        with pytest.raises(type(error)) as caught:
            index.search("which chest")
    assert caught.value is error
    assert calls == ["which chest"]


@pytest.mark.parametrize(("owner", "name"), [(DenseSegment, "top"), (DenseSegment, "at"), (BM25, "top"), (BM25, "at")])
@pytest.mark.parametrize("error", [ERRORS[0], ERRORS[3]], ids=repr)
def test_the_same_errors_of_an_index_are_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, error: Exception
) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=Own()) as index:
        index.add([*DOCUMENTS, Document("other", "liver")])
        monkeypatch.setattr(owner, name, raising(error))
        with pytest.raises(IndexCorruptError, match="a segment names rows or terms that it cannot hold"):
            index.search("chest", settings=SearchSettings(depth=1))


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_errors_of_an_encoder_pass_through_the_cache(tmp_path: Path, error: Exception) -> None:
    cached = CachedEncoder(Own(asked=raising(error)), tmp_path / "cache.sqlite")
    with pytest.raises(type(error)) as caught:
        cached.encode(["which chest"], "query")
    assert caught.value is error
