from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radrag.corpora.versions import Version
from radrag.errors import IndexMismatchError, IndexStateError, ModelError
from radrag.indexes.encoders import STATIC
from radrag.indexes.fusion import Fusion
from radrag.indexes.hybrid import HybridIndex
from radrag.indexes.rerank import LEARNED
from radrag.indexes.tokens import tokenize
from radrag.types import Document, Hit

QUERIES = ["chest nodule", "renal stone contrast", "biopsy of a liver mass"]


def flat(hits: list[Hit]) -> list[tuple]:
    return [(hit.passage.id, hit.passage.document_id, hit.score, hit.lexical, hit.dense) for hit in hits]


def halves(vectors: np.ndarray) -> np.ndarray:
    """Vectors as an index keeps them."""
    return vectors.astype(np.float16).astype(np.float64)


def bm25(texts: list[str], query: str, k1: float = 0.6, b: float = 0.5) -> np.ndarray:
    """Robertson's formula, term by term."""
    counts = [Counter(tokenize(text)) for text in texts]
    lengths = np.asarray([count.total() for count in counts], dtype=float)
    scores = np.zeros(len(texts))
    for term in tokenize(query):
        tf = np.asarray([count[term] for count in counts], dtype=float)
        n = np.count_nonzero(tf)
        idf = np.log(1 + (len(texts) - n + 0.5) / (n + 0.5))
        scores += idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * lengths / lengths.mean()))
    return scores


def texts_of(index: HybridIndex) -> list[str]:
    return [index.passage(number).search_text for number in range(1, len(index) + 1)]


def scaled(scores: np.ndarray, fusion: str) -> np.ndarray:
    if fusion == "minmax":
        return (scores - scores.min()) / (scores.max() - scores.min())
    if fusion == "zscore":
        return (scores - scores.mean()) / scores.std()
    return 1 / np.asarray([61 + np.count_nonzero(scores > score) for score in scores])  # equal scores share the rank


@pytest.mark.parametrize("query", QUERIES)
def test_dense_equals_numpy(tmp_path: Path, toy: Any, reports: list[Document], query: str) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add(reports, batch_size=7)
        cosines = halves(toy().encode(texts_of(index), "passage")) @ toy().encode([query], "query")[0].astype(float)
        hits = index.search(query, k=15, mode="dense", include_retracted=True)
    assert [hit.passage.id for hit in hits] == (np.argsort(-cosines)[:15] + 1).tolist()
    np.testing.assert_allclose([hit.dense for hit in hits], np.sort(cosines)[::-1][:15], atol=1e-12)
    assert all(hit.score == hit.dense and hit.lexical is None for hit in hits)


@pytest.mark.parametrize("fusion", list(Fusion))
@pytest.mark.parametrize("query", QUERIES)
def test_hybrid_equals_numpy(tmp_path: Path, toy: Any, reports: list[Document], fusion: str, query: str) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=toy(), fusion=fusion, dense_weight=0.4) as index:
        index.add(reports, batch_size=7)
        texts = texts_of(index)
        hits = index.search(query, k=40, include_retracted=True)
    lexical = bm25(texts, query)
    dense = halves(toy().encode(texts, "passage")) @ toy().encode([query], "query")[0].astype(float)
    by_words = scaled(lexical, fusion)
    if fusion == "rrf":
        by_words = np.where(lexical > 0, by_words, 0)  # rows without a query word are in no ranking of words
    expected = 0.6 * by_words + 0.4 * scaled(dense, fusion)
    assert [hit.passage.id for hit in hits] == (np.argsort(-expected, kind="stable") + 1).tolist()
    np.testing.assert_allclose([hit.score for hit in hits], np.sort(expected)[::-1], atol=1e-5)
    assert all((hit.lexical is None) == (lexical[hit.passage.id - 1] == 0) for hit in hits)


@pytest.mark.parametrize("fusion", ["zscore", "minmax", "rrf"])
def test_more_hits_leave_the_scores_of_the_first_ones(tmp_path: Path, toy: Any, fusion: str) -> None:
    """The scale on which scores are fused is set by the nearest candidates, however many more are asked for."""
    draw = np.random.default_rng(0)
    words = [f"word{number}" for number in range(60)]
    texts = [" ".join(draw.choice(words, 12)) for _ in range(300)]
    with HybridIndex.create(tmp_path / "i", encoder=toy(), fusion=fusion) as index:
        index.add(Document(f"d{number:03}", text) for number, text in enumerate(texts))
        settings = replace(index.settings, depth=20)
        for number in range(12):
            query = " ".join(draw.choice(words, 3)) + f" {number}"
            few = index.search(query, 5, settings=settings)
            many = index.search(query, 150, settings=settings)
            known = {hit.passage.id: hit.score for hit in many}
            assert [known[hit.passage.id] for hit in few] == pytest.approx([hit.score for hit in few])
            assert many[0].passage.id == few[0].passage.id
            assert len(many) == 150


def test_round_trip(tmp_path: Path, toy: Any, reports: list[Document]) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        assert index.add(reports, batch_size=9) == {"added": 40, "skipped": 0, "empty": 0, "passages": 40}
        before = [flat(hits) for hits in index.search(QUERIES, k=20)]
        manifest = index.manifest
    with HybridIndex.open(tmp_path / "i", encoder=toy()) as index:
        assert [flat(hits) for hits in index.search(QUERIES, k=20)] == before
        assert [flat(index.search(query, k=20)) for query in QUERIES] == before
        assert index.manifest == manifest
        assert list(index.documents()) == reports
        assert index.document("r03") == reports[3]
        assert index.verify() == []
    assert manifest["documents"] == 40
    assert manifest["retracted"] == 8


def test_many_batches_equal_one_and_segments_are_merged(tmp_path: Path, toy: Any, reports: list[Document]) -> None:
    found = []
    for size in (1, 40):
        with HybridIndex.create(tmp_path / str(size), encoder=toy()) as index:
            index.add(reports, batch_size=size)
            found.append([[(h.passage, h.score) for h in hits] for hits in index.search(QUERIES, k=10)])
        assert len(list((tmp_path / str(size) / "segments").iterdir())) == 1
    for one, other in zip(*found, strict=True):
        assert [passage for passage, _ in one] == [passage for passage, _ in other]
        np.testing.assert_allclose([s for _, s in one], [s for _, s in other], atol=1e-6)


def test_ids_are_never_reused(tmp_path: Path, toy: Any, reports: list[Document]) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add(reports[:3])
        first = [index.passage(number) for number in (1, 2, 3)]
        index.add(reports[3:5])
        assert [index.passage(number) for number in (1, 2, 3)] == first
        assert [index.passage(number).document_id for number in (4, 5)] == ["r03", "r04"]
        with pytest.raises(KeyError, match="no passage 6"):
            index.passage(6)
        with pytest.raises(KeyError, match="no document 'r39'"):
            index.document("r39")
        index.delete(["r04", "r03"])
        index.compact()  # nothing in the index remembers 4 and 5 but what counts them
    with HybridIndex.open(tmp_path / "i", encoder=toy()) as index:
        index.add(reports[5:6])
        assert index.passage(6).document_id == "r05"
        index.delete(["r00", "r01", "r02", "r05"])
        index.compact()
        assert index.verify() == []
        index.add(reports[6:7])
        assert index.passage(7).document_id == "r06"


def test_duplicates(tmp_path: Path, toy: Any, reports: list[Document]) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add(reports[:10])
        with pytest.raises(ValueError, match=r"'r09' is in the index already.*\(--skip-existing\).*\(--update\)"):
            index.add(reports[9:12])
        with pytest.raises(ValueError, match="'r20' is in the index already"):
            index.add([reports[20], reports[20]])
        with pytest.raises(ValueError, match="'r00' is in the index with other content"):
            index.add([Document("r00", "Something else.")], skip_existing=True)
        with pytest.raises(ValueError, match="empty id"):
            index.add([Document("", "Text.")])
        with pytest.raises(ValueError, match="batch_size must be at least 1"):
            index.add([], batch_size=0)
        with pytest.raises(ValueError, match="metadata must be JSON values"):
            index.add([Document("x", "Text.", metadata={"a": float("nan")})])
        assert len(index) == 10
        report = index.add(reports, skip_existing=True, batch_size=6)
        assert report == {"added": 30, "skipped": 10, "empty": 0, "passages": 30}
        assert list(index.documents()) == reports
        assert index.verify() == []


def test_more_documents_than_sqlite_has_variables(tmp_path: Path, toy: Any) -> None:
    documents = [Document(f"d{number}", "") for number in range(33_000)]
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        assert index.add(documents, batch_size=33_000)["empty"] == 33_000
        assert index.search("chest") == []


def test_documents_of_function_words_only(tmp_path: Path, toy: Any) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add([Document("a", "the and of")])
    with HybridIndex.open(tmp_path / "i", encoder=toy()) as index:
        assert index.search("the and", mode="lexical") == []
        assert [hit.passage.document_id for hit in index.search("and of")] == ["a"]
        assert index.verify() == []


@pytest.mark.parametrize("mode", ["hybrid", "lexical", "dense"])
def test_ties_go_by_document_then_start(tmp_path: Path, toy: Any, mode: str) -> None:
    same = "Chest nodule seen. " * 3
    documents = [Document(name, same) for name in ("c", "a", "b", "e", "d")]
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add(documents)
        hits = index.search("nodule", k=4, mode=mode)
    assert [hit.passage.document_id for hit in hits] == ["a", "b", "c", "d"]
    assert len({hit.score for hit in hits}) == 1


def test_retracted_are_left_out_unless_asked_for(tmp_path: Path, toy: Any, reports: list[Document]) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add(reports)
        for mode in ("hybrid", "lexical", "dense"):
            hits = index.search("chest nodule liver mass stone", k=40, mode=mode)
            assert hits
            assert not any(hit.passage.metadata["retracted"] for hit in hits)
            hits = index.search("chest nodule liver mass stone", k=40, mode=mode, include_retracted=True)
            assert any(hit.passage.metadata["retracted"] for hit in hits)


def test_arguments_of_search(tmp_path: Path, toy: Any, reports: list[Document]) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        assert index.search("chest") == []
        index.add(reports[:4])
        for k in (0, -1):
            with pytest.raises(ValueError, match=f"k must be at least 1, got {k}"):
                index.search("chest", k=k)
        for blank in ("", " \n", ["chest", ""]):
            with pytest.raises(ValueError, match="not blank"):
                index.search(blank)
        with pytest.raises(ValueError, match="fuzzy"):
            index.search("chest", mode="fuzzy")
        assert index.search([]) == []
        assert len(index.search("chest", k=1000, include_retracted=True)) == 4


def test_closed(tmp_path: Path, toy: Any, reports: list[Document]) -> None:
    index = HybridIndex.create(tmp_path / "i", encoder=toy())
    index.add(reports[:2])
    index.close()
    index.close()
    calls = [
        lambda: index.search("chest"),
        lambda: index.add([]),
        lambda: index.document("r00"),
        lambda: index.documents(),
        lambda: index.passage(1),
        lambda: index.rarity(["chest"]),
        lambda: index.manifest,
        lambda: index.verify(),
    ]
    for call in calls:
        with pytest.raises(IndexStateError, match="is closed"):
            call()


def test_create_refuses(tmp_path: Path, toy: Any) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(IndexStateError, match="not empty"):
        HybridIndex.create(tmp_path / "full", encoder=toy())
    wrong = {"k1": -1, "b": 2, "dense_weight": 1.1, "lexical": "grep", "fusion": "sum"}
    for name, value in wrong.items():
        with pytest.raises(ValueError, match=str(value)):
            HybridIndex.create(tmp_path / "i", encoder=toy(), **{name: value})
        assert not (tmp_path / "i").exists()


@pytest.mark.parametrize(
    ("facets", "error", "reason"),
    [
        ("ward", TypeError, r"a list of names of metadata fields, such as \['ward'\], got 'ward'"),
        ([3], TypeError, r"got \[3\]"),
        (["ward", "title"], ValueError, "must be metadata fields, got 'title'; filters find it as it is"),
        (["document_id"], ValueError, "got 'document_id'"),
        (["the ward"], ValueError, "plain names such as 'ward', got 'the ward'"),
    ],
)
def test_facets_that_no_filter_could_use_are_refused(
    tmp_path: Path, toy: Any, facets: Any, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        HybridIndex.create(tmp_path / "i", encoder=toy(), facets=facets)
    assert not (tmp_path / "i").exists()
    HybridIndex.create(tmp_path / "i", encoder=toy(), facets=["kind", "ward"]).close()


def test_a_path_that_an_index_was_made_with_holds_from_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(STATIC, tmp_path / "enc")
    shutil.copyfile(LEARNED, tmp_path / "rr.json")
    for shadow in ("static", "learned"):  # a name stays a name
        (tmp_path / shadow).mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with HybridIndex.create("i", encoder="enc", reranker=Path("rr.json")) as index:
        index.add([Document("a", "Chest nodule."), Document("b", "Renal stone.")])
    HybridIndex.create("j", reranker="learned").close()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with HybridIndex.open(tmp_path / "i") as index:
        assert index.search("renal stone")[0].passage.document_id == "b"
        assert [index.manifest[name] for name in ("encoder", "reranker")] == [
            str(tmp_path / "enc"), str(tmp_path / "rr.json"),
        ]  # fmt: skip
    with HybridIndex.open(tmp_path / "j") as index:
        assert [index.manifest[name] for name in ("encoder", "reranker")] == ["static", "learned"]


class LastFirst:
    def rerank(self, query: str, hits: Any) -> list[Any]:
        return [replace(hit, score=float(place)) for place, hit in enumerate(hits)][::-1]


def test_a_reranker_object_is_asked_for_when_the_index_is_opened(tmp_path: Path, toy: Any) -> None:
    documents = [Document("a", "Chest nodule."), Document("b", "Renal stone.")]
    with HybridIndex.create(tmp_path / "i", encoder=toy(), reranker=LastFirst()) as index:
        index.add(documents)
        best = index.search("renal stone")[0].passage.document_id
        assert best == "a"
    with pytest.raises(IndexMismatchError, match=r"with a re-ranker object \(LastFirst\); pass it, or another: rerank"):
        HybridIndex.open(tmp_path / "i", encoder=toy())
    with HybridIndex.open(tmp_path / "i", encoder=toy(), reranker=LastFirst()) as index:
        assert index.search("renal stone")[0].passage.document_id == best
    with HybridIndex.open(tmp_path / "i", encoder=toy(), reranker="learned") as index:
        assert index.search("renal stone")[0].passage.document_id == "b"


def test_what_cannot_rerank_is_refused_before_anything_is_written(tmp_path: Path, toy: Any) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "w.json").write_text('{"weights": {"fused": 1.0}}')
    (tmp_path / "notes.txt").touch()
    wrong = {
        "nope.json": "holds no weights of a re-ranker",
        str(tmp_path / "w.json"): "has other features",
        "leanred": "'leanred' is no re-ranker; expected 'learned', 'late'",
        str(tmp_path / "empty"): "is no re-ranker",
        str(tmp_path / "notes.txt"): "is no re-ranker",
    }
    for reranker, reason in wrong.items():
        with pytest.raises(ModelError, match=reason):
            HybridIndex.create(tmp_path / "i", encoder=toy(), reranker=reranker)
    with pytest.raises(TypeError, match="object with rerank, got 3"):
        HybridIndex.create(tmp_path / "i", encoder=toy(), reranker=3)
    assert not (tmp_path / "i").exists()
    for place, reranker in enumerate(("learned", "late", "cross-encoder/ms-marco-MiniLM-L-6-v2", LEARNED)):
        HybridIndex.create(tmp_path / f"{place}", encoder=toy(), reranker=reranker).close()


def test_an_encoder_with_wrong_vectors_writes_nothing(tmp_path: Path, toy: Any, reports: list[Document]) -> None:
    encoder = toy()
    with HybridIndex.create(tmp_path / "i", encoder=encoder) as index:
        index.add(reports[:2])
        good = encoder.encode
        for spoil in (lambda v: v[:, :3], lambda v: v[:1], lambda v: v * np.nan):
            encoder.encode = lambda texts, kind, spoil=spoil: spoil(good(texts, kind))
            with pytest.raises(ModelError, match="encoder returned"):
                index.add(reports[2:6])
        encoder.encode = good
        assert len(index) == 2
        assert index.verify() == []
        index.add(reports[2:6])  # nothing wrong was kept by the cache of vectors either
        assert index.verify() == []


def test_rarity_is_the_idf(tmp_path: Path, toy: Any) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add([Document("a", "Chest nodule."), Document("b", "Chest.")])
        assert index.rarity(["chest", "nodul", "x"]) == pytest.approx(
            {"chest": np.log1p(0.5 / 2.5), "nodul": np.log(2), "x": np.log1p(5)}
        )


def test_versions_of_what_is_stored(tmp_path: Path, toy: Any) -> None:
    stated: dict[str, dict[str, Any]] = {
        "a": {"pmid_version": 3, "revised": "2026-03-01"},
        "b": {"pmid_version": 1, "revised": "last spring"},
        "c": {"revised": "2026-03-01"},
    }
    documents = [Document(name, "chest", metadata=metadata) for name, metadata in stated.items()]
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add(documents)
        expected = {"a": Version(3, "2026-03-01"), "b": Version(1), "c": Version()}
        assert index.versions(["c", "a", "none", "b"]) == expected
        index.delete(["a"])
        assert index.versions(["a"]) == index.versions([]) == {}
    with pytest.raises(IndexStateError, match="is closed"):
        index.versions(["a"])
