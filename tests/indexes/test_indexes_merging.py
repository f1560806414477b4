"""A long write keeps few segments and no folders of those it joined."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from radrag.indexes import merging
from radrag.indexes.hybrid import HybridIndex
from radrag.types import Document


def test_what_was_joined_is_joined_in_turn(tmp_path: Path, toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "_FAN_IN", 2)
    folders: list[int] = []

    def documents() -> Iterator[Document]:
        for number in range(33):
            folders.append(len(list((tmp_path / "index" / "segments").glob("*"))))
            yield Document(f"d{number}", f"renal stone {number}")

    with HybridIndex.create(tmp_path / "index", encoder=toy()) as index:
        index.add(documents(), batch_size=1)
        assert len(index) == 33
    # With two of a size joined at once, as many segments are left as the number of documents has binary ones.
    assert folders == [bin(number).count("1") for number in range(33)]
