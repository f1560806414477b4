"""Notices that a user sets take effect however they are written, or are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from radrag.indexes.hybrid import HybridIndex
from radrag.types import Document, Notice

DOCUMENTS = [
    Document("PMID:1", "A chest film.", metadata={"doi": "10.1000/AbC"}),
    Document("own", "A chest film."),
]


def left(index: HybridIndex) -> set[str]:
    return {hit.passage.document_id for hit in index.search("chest film")}


@pytest.mark.parametrize(
    "target",
    [
        *("PMID:1", "pmid:1", "PMID 1", "1", "doi:10.1000/abc", "doi:10.1000/AbC", "DOI:10.1000/ABC", "10.1000/abc"),
        *("https://doi.org/10.1000/abc", "http://dx.doi.org/10.1000%2FABC", " doi: 10.1000/abc. "),
    ],
)
@pytest.mark.parametrize("kind", ["retracted", "Retracted", "RETRACTED"])
def test_a_notice_takes_effect_however_it_is_written(tmp_path: Path, toy: Any, target: str, kind: str) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add(DOCUMENTS)
        assert index.set_notices("list", [Notice(target, kind)]) >= 1
        assert left(index) == {"own"}
        assert index.flags(["PMID:1"]) == {"PMID:1": ("retracted",)}
        index.set_notices("list", [])
        assert left(index) == {"PMID:1", "own"}
        assert index.verify() == []


def test_an_id_of_digits_is_still_an_id(tmp_path: Path, toy: Any) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add([Document("77", "A chest film.", metadata={"pmid": 123}), Document("own", "A chest film.")])
        index.set_notices("list", [Notice("77", "retracted")])
        assert left(index) == {"own"}


@pytest.mark.parametrize("kind", ["retraction", "withdrawn", "", " retracted"])
def test_an_unknown_kind_is_refused(tmp_path: Path, toy: Any, kind: str) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add(DOCUMENTS)
        with pytest.raises(ValueError, match=r"notices\[1\] of 'list': kind must be one of 'retracted', .* got"):
            index.set_notices("list", [Notice("own", "retracted"), Notice("own", kind)])
        assert left(index) == {"PMID:1", "own"}


@pytest.mark.parametrize("target", ["", " ", "doi:abc", "https://doi.org/", "doi:10.1000", "own ", "a\ud800"])
def test_what_is_neither_an_id_nor_a_doi_is_refused(tmp_path: Path, toy: Any, target: str) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add(DOCUMENTS)
        with pytest.raises(ValueError, match=r"notices\[0\] of 'list'"):
            index.set_notices("list", [Notice(target, "retracted")])
        with pytest.raises(TypeError, match=r"notices\[0\] of 'list' must be a Notice, got dict"):
            index.set_notices("list", [{"target": "own"}])  # type: ignore[list-item]
        with pytest.raises(TypeError, match=r"notices\[0\] of 'list': target must be text, got 5"):
            index.set_notices("list", [Notice(5, "retracted")])  # type: ignore[arg-type]
        assert left(index) == {"PMID:1", "own"}
