"""What is no evidence is left out of every search: retracted articles, and notices that withdraw or doubt others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_pubmed import article, article_set, deletion

from radrag.corpora import read_pubmed
from radrag.errors import IndexCorruptError
from radrag.indexes.database import Database
from radrag.indexes.hybrid import HybridIndex
from radrag.types import Document, Hit, Notice

RETRACTS = "Retraction of Publication"
CLAIM = "Tea cures renal colic."


@pytest.fixture
def index(tmp_path: Path, toy: Callable[..., Any]) -> Iterator[HybridIndex]:
    with HybridIndex.create(tmp_path / "index", encoder=toy()) as made:
        yield made


def put(index: HybridIndex, folder: Path, *records: str) -> dict[str, int]:
    path = folder / "records.xml"
    path.write_bytes(article_set(*records))
    return index.update(read_pubmed(path))


def found(index: HybridIndex, **options: Any) -> dict[str, tuple[str, ...]]:
    return {hit.passage.document_id: hit.passage.flags for hit in index.search("tea renal colic", **options)}


@pytest.mark.parametrize(
    ("kind", "link", "flags"),
    [
        (RETRACTS, (), ("retraction notice",)),
        ("Retraction Notice", (), ("retraction notice",)),
        ("Journal Article", (("RetractionOf", 5),), ("retraction notice",)),
        ("Journal Article", (("PartialRetractionOf", 5),), ("retraction notice",)),
        ("Expression of Concern", (("ExpressionOfConcernFor", 5),), ("notice of concern",)),
    ],
)
def test_a_notice_is_no_evidence(
    index: HybridIndex, tmp_path: Path, kind: str, link: tuple[tuple[str, int], ...], flags: tuple[str, ...]
) -> None:
    put(index, tmp_path, article(1, "Milk and renal colic."), article(9, CLAIM, types=(kind,), links=link))
    for mode in ("hybrid", "lexical", "dense"):
        for where in (None, {"year": 2020}, {"retracted": False}):
            assert set(found(index, mode=mode, where=where)) == {"PMID:1"}
            assert found(index, mode=mode, where=where, include_retracted=True) == {"PMID:1": (), "PMID:9": flags}
    assert index.flags(["PMID:9"]) == {"PMID:9": flags}
    assert (index.manifest["documents"], index.manifest["retracted"]) == (2, 0)
    assert index.verify() == []
    assert put(index, tmp_path, article(9, CLAIM, revised="2026-01-01"))["updated"] == 1
    assert found(index) == {"PMID:1": (), "PMID:9": ()}


def test_an_article_that_is_published_anew_or_doubts_another_is_evidence(index: HybridIndex, tmp_path: Path) -> None:
    put(
        index, tmp_path, article(1, CLAIM, links=(("RetractedandRepublishedFrom", 5),)),
        article(2, CLAIM, links=(("ExpressionOfConcernFor", 5), ("ErratumFor", 5))),
        article(3, CLAIM, types=("Published Erratum",)),
    )  # fmt: skip
    assert found(index) == {"PMID:1": (), "PMID:2": (), "PMID:3": ()}


def test_a_notice_that_is_not_marked_as_left_out_is_refused(index: HybridIndex, tmp_path: Path) -> None:
    put(index, tmp_path, article(9, CLAIM, types=(RETRACTS,)))
    database = Database(tmp_path / "index" / "store.sqlite")
    with database.transaction():
        database.run("UPDATE documents SET left_out = 0")
    database.close()
    with pytest.raises(IndexCorruptError, match="PMID:9 is left out for 'retraction notice' but was not marked so"):
        found(index)
    assert len(index.verify()) == 1


@pytest.mark.parametrize("ids", [["PMID:900"], ["PMID:901", "PMID:900"]])
def test_what_a_deleted_notice_said_stays_true(index: HybridIndex, tmp_path: Path, ids: list[str]) -> None:
    said = article(900, "", types=(RETRACTS,), links=(("RetractionOf", 5), ("ExpressionOfConcernFor", 6)))
    put(index, tmp_path, article(5, CLAIM), article(6, CLAIM), said)
    expected = {"PMID:5": ("retracted",), "PMID:6": ("expression of concern",)}
    for _ in range(2):
        assert index.delete(ids)["deleted"] == 1
        assert found(index, include_retracted=True) == expected
        assert index.verify() == []
        put(index, tmp_path, said)
        assert index.verify() == []
        assert found(index, include_retracted=True) == expected | {"PMID:900": ("retraction notice",)}
    index.delete(ids)
    put(index, tmp_path, article(900, "Tea and renal colic, a comment."))
    assert found(index) == {"PMID:5": (), "PMID:6": (), "PMID:900": ()}
    assert index.verify() == []


@pytest.mark.parametrize("first", [True, False])
def test_a_deletion_that_takes_the_notices_along(index: HybridIndex, tmp_path: Path, first: bool) -> None:
    put(index, tmp_path, article(5, CLAIM), article(900, "", types=(RETRACTS,), links=(("RetractionOf", 5),)))
    if first:
        index.delete("PMID:900")
    assert found(index) == {}
    assert index.delete(["PMID:900", "PMID:7"], keep_notices=False) == {"deleted": 1 - first, "missing": 1 + first}
    assert found(index) == {"PMID:5": ()}
    assert index.verify() == []


def test_pubmed_itself_withdraws_what_a_deleted_notice_said(index: HybridIndex, tmp_path: Path) -> None:
    from radrag.corpora.pubmed_selection import Selection
    from radrag.indexes.pubmed_apply import Applier

    def applied(*records: str) -> None:
        path = tmp_path / "file.xml"
        path.write_bytes(article_set(*records))
        Applier(index, Selection()).apply(path)

    applied(article(5, CLAIM), article(900, "", types=(RETRACTS,), links=(("RetractionOf", 5),)))
    index.delete(["PMID:900"])
    applied(article(6, "Knee."))
    assert found(index, where={"pmid": "5"}, include_retracted=True) == {"PMID:5": ("retracted",)}
    applied(deletion(900))
    assert found(index, where={"pmid": "5"}) == {"PMID:5": ()}


def test_metadata_say_what_the_flags_say(index: HybridIndex) -> None:
    given = [
        Document("PMID:5", CLAIM, metadata={"retracted": False, "year": 2020}),
        Document("own", CLAIM, metadata={"retracted": "yes"}),
        Document("linked", CLAIM, metadata={"retraction_in": ["1"]}),
        Document("sound", CLAIM),
    ]
    index.add(given)
    assert sorted(found(index, where={"retracted": False})) == ["PMID:5", "sound"]
    index.set_notices("list", [Notice("PMID:5", "retracted"), Notice("sound", "partially retracted")])
    hits: list[Hit] = index.search("tea", include_retracted=True)
    assert {hit.passage.document_id: hit.passage.metadata.get("retracted") for hit in hits} == {
        "PMID:5": True, "own": True, "linked": True, "sound": None,
    }  # fmt: skip
    for hit in hits:
        assert index.passage(hit.passage.id) == hit.passage
        assert (hit.passage.metadata.get("retracted") is True) == ("retracted" in hit.passage.flags)
    for wanted in (True, 1, [True], [1, 7]):
        where = {"retracted": wanted}
        assert sorted(found(index, where=where, include_retracted=True)) == ["PMID:5", "linked", "own"]
        assert found(index, where=where) == {}
    for wanted in (False, 0, [False]):
        where = {"retracted": wanted}
        assert sorted(found(index, where=where, include_retracted=True)) == ["sound"]
    assert len(found(index, where={"retracted": [True, False]}, include_retracted=True)) == 4
    assert list(index.documents()) == given
    assert index.document("PMID:5").metadata["retracted"] is False
    assert index.add(given, skip_existing=True)["skipped"] == 4
    index.set_notices("list", [])
    assert index.search("tea", where={"document_id": "PMID:5"})[0].passage.metadata["retracted"] is False


def test_a_filter_on_retracted_finds_nothing_where_nothing_is_retracted(index: HybridIndex) -> None:
    index.add([Document("a", CLAIM)])
    assert found(index, where={"retracted": True}, include_retracted=True) == {}
    for wanted in ("false", ["no"]):
        with pytest.raises(ValueError, match="filter field 'retracted' holds true or false, got"):
            found(index, where={"retracted": wanted})


def test_retracted_is_no_facet_of_its_own(tmp_path: Path, toy: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="filters find it as it is"):
        HybridIndex.create(tmp_path / "other", encoder=toy(), facets=["retracted"])


def test_an_undated_record_of_the_same_version_replaces_none_with_a_date(index: HybridIndex, tmp_path: Path) -> None:
    dated = article(5, CLAIM, revised="2026-01-01", types=("Retracted Publication",))
    assert put(index, tmp_path, dated)["added"] == 1
    assert put(index, tmp_path, article(5, CLAIM))["skipped"] == 1
    assert put(index, tmp_path, dated, article(5, CLAIM))["skipped"] == 2
    assert index.flags(["PMID:5"]) == {"PMID:5": ("retracted",)}
    assert put(index, tmp_path, article(5, "Milk cures renal colic.", version=2))["updated"] == 1
    assert put(index, tmp_path, article(5, "Milk helps in renal colic.", version=2))["updated"] == 1
    assert found(index) == {"PMID:5": ()}
