from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radrag.errors import IndexMismatchError
from radrag.indexes.embedding_cache import CachedEncoder


class Counted:
    """Passes on to an encoder and remembers what it was asked; it may stop at some text."""

    def __init__(self, encoder: Any, stop_at: str | None = None) -> None:
        self._encoder, self._stop_at = encoder, stop_at
        self.fingerprint, self.dim = encoder.fingerprint, encoder.dim
        self.asked: list[tuple[str, str]] = []

    def encode(self, texts: Sequence[str], kind: Any) -> Any:
        if self._stop_at in texts:
            raise KeyboardInterrupt
        self.asked += [(kind, text) for text in texts]
        return self._encoder.encode(texts, kind)


def test_no_text_is_encoded_twice(toy: Any, tmp_path: Path) -> None:
    counted = Counted(toy())
    cached = CachedEncoder(counted, tmp_path / "cache.sqlite")
    texts = ["chest", "liver", "chest", "", "chest mass"]
    np.testing.assert_array_equal(cached.encode(texts, "passage"), toy().encode(texts, "passage"))
    assert counted.asked == [("passage", text) for text in ("chest", "liver", "", "chest mass")]
    np.testing.assert_array_equal(
        cached.encode(["mass", "liver"], "passage"), toy().encode(["mass", "liver"], "passage")
    )
    assert counted.asked[4:] == [("passage", "mass")]
    cached.encode(["liver"], "query")
    assert counted.asked[5:] == [("query", "liver")]
    assert cached.encode([], "query").shape == (0, 16)
    again = Counted(toy())
    CachedEncoder(again, tmp_path / "cache.sqlite").encode(texts, "passage")
    assert again.asked == []


def test_what_was_made_before_an_interruption_is_kept(toy: Any, tmp_path: Path) -> None:
    texts = [f"word{number}" for number in range(600)]
    with pytest.raises(KeyboardInterrupt):
        CachedEncoder(Counted(toy(), stop_at="word599"), tmp_path / "c").encode(texts, "passage")
    counted = Counted(toy())
    table = CachedEncoder(counted, tmp_path / "c").encode(texts, "passage")
    np.testing.assert_array_equal(table, toy().encode(texts, "passage"))
    assert [text for _, text in counted.asked] == texts[512:]


def test_another_encoder_is_refused(toy: Any, tmp_path: Path) -> None:
    CachedEncoder(toy(), tmp_path / "c")
    with pytest.raises(IndexMismatchError, match="holds vectors of encoder toy:16, but toy:8 was given"):
        CachedEncoder(toy(dim=8), tmp_path / "c")


def test_a_damaged_vector_is_made_again(toy: Any, tmp_path: Path) -> None:
    cached = CachedEncoder(toy(), tmp_path / "c")
    expected = cached.encode(["chest", "liver"], "passage")
    with sqlite3.connect(tmp_path / "c") as database:
        database.execute("UPDATE vectors SET vector = x'00'")
    database.close()
    np.testing.assert_array_equal(cached.encode(["chest", "liver"], "passage"), expected)
