"""Texts read by a static encoder, token by token; what transformers read is tested with late interaction."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from radrag.errors import ModelError
from radrag.indexes.encoders import STATIC, StaticEncoder
from radrag.indexes.rerank import LearnedReranker
from radrag.indexes.token_states import StaticTokens, load_reader
from radrag.types import Hit, Passage

TEXTS = ["Renal calculi are seen on CT.", "renal calculus", "", "Chest pain, chest pain!", "\u0001", "漢字 stone"]


@pytest.fixture(scope="module")
def reader() -> StaticTokens:
    return StaticTokens(kept_tokens=0)


def words(reader: StaticTokens, text: str) -> list[str]:
    return [reader._tokenizer.id_to_token(int(token)) for token in reader.question(text).tokens]


def test_a_state_is_the_vector_of_its_token(reader: StaticTokens) -> None:
    for word in ("stone", "renal", "chest"):
        (read,) = reader.passages([word])
        assert len(read.tokens) == 1
        (alone,) = StaticEncoder().encode([word], "passage")
        np.testing.assert_allclose(read.states[0].astype(np.float32), alone, atol=1e-3)
        (within,) = reader.passages([f"A {word} in a longer text with a {word}."])
        np.testing.assert_array_equal(within.states[within.tokens == read.tokens[0]], read.states)


def test_the_whole_is_the_vector_of_the_text(reader: StaticTokens) -> None:
    expected = StaticEncoder().encode(TEXTS, "passage")
    for vector, read in zip(expected, reader.passages(TEXTS), strict=True):
        np.testing.assert_allclose(read.whole, vector, atol=2e-3)
    np.testing.assert_allclose(reader.question(TEXTS[0]).whole, expected[0], atol=2e-3)


def test_each_token_once_and_none_that_is_unknown(reader: StaticTokens) -> None:
    twice, unknown, nothing = reader.passages(["chest pain chest", "\U0001faa8 stone \U0001faa8", ""])
    assert len(twice.tokens) == len(twice.states) == 2
    assert len(unknown.tokens) == 1
    assert nothing.states.shape == (0, 256)
    assert not nothing.whole.any()
    assert words(reader, "\U0001faa8 stone") == ["stone"]


def test_long_texts_are_read_to_their_end(reader: StaticTokens) -> None:
    (read,) = reader.passages(["chest pain " * 800 + "stone"])
    (stone,) = reader.passages(["stone"])
    assert len(read.tokens) == 3
    assert stone.tokens[0] in read.tokens


def test_a_question_keeps_what_it_asks_about(reader: StaticTokens) -> None:
    assert words(reader, "Which stone is renal?") == ["stone", "renal"]
    assert words(reader, "which is?") == ["which", "is", "?"]
    assert words(reader, "") == []


def test_what_is_read_beside_a_text_changes_nothing(reader: StaticTokens) -> None:
    alone = {text: reader.passages([text])[0] for text in TEXTS}
    keeping = StaticTokens(kept_tokens=8)

    def work(turn: int) -> None:
        order = [*TEXTS[turn:], *TEXTS[:turn], TEXTS[turn]]
        for one in (reader, keeping):
            for text, read in zip(order, one.passages(order), strict=True):
                np.testing.assert_array_equal(read.tokens, alone[text].tokens)
                np.testing.assert_array_equal(read.states, alone[text].states)
                np.testing.assert_array_equal(read.whole, alone[text].whole)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, list(range(len(TEXTS))) * 5))
    assert keeping._remembered._held <= 8


def test_a_reader_by_name_or_folder(tmp_path: Path, reader: StaticTokens) -> None:
    copy = tmp_path / "encoder"
    shutil.copytree(STATIC, copy)
    for made in (load_reader("static"), load_reader(copy, kept_tokens=0)):
        assert isinstance(made, StaticTokens)
        np.testing.assert_array_equal(made.question("renal stone").states, reader.question("renal stone").states)
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"no static encoder in .*encoder"):
        load_reader(copy)
    with pytest.raises(ValueError, match="kept_tokens must be at least 0, got -1"):
        StaticTokens(kept_tokens=-1)


@pytest.mark.torch
def test_other_folders_are_transformers(tmp_path: Path) -> None:
    for content in (None, "[]", "{", json.dumps({"model_type": "bert"})):
        if content is not None:
            (tmp_path / "config.json").write_text(content)
        with pytest.raises(ModelError, match="no transformer can be loaded"):
            load_reader(tmp_path)


def test_the_shipped_weights_find_another_word_for_it() -> None:
    texts = ["The liver was of normal size.", "Nephrolithiasis was seen on CT.", "The aorta was dissected."]
    hits = [Hit(Passage(name, 0, len(text), text), 1.0) for name, text in zip("abc", texts, strict=True)]
    made = LearnedReranker().rerank("Which scan shows kidney stones?", hits)
    assert made[0].passage.document_id == "b"
