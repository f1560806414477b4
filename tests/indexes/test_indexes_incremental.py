"""An index after any sequence of changes is the index that the same documents would make from nothing."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from radrag.indexes import merging, searcher
from radrag.indexes.hybrid import HybridIndex
from radrag.types import Document, Hit

WORDS = "chest nodule contrast liver mass fracture renal stone brain infarct spine lesion biopsy the of IL-6".split()
QUERIES = ["chest nodule", "renal stone contrast", "IL-6 brain infarct of the spine", "biopsy biopsy mass", "unknown"]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "update", "delete", "compact", "reopen"]),
        st.lists(st.tuples(st.integers(0, 14), st.integers(0, 5)), min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=8,
)


def document(number: int, variant: int) -> Document:
    """One of a few texts, so that equal texts under different names are common; some are long, some empty."""
    rng = np.random.default_rng(variant)
    sentences = [" ".join(rng.choice(WORDS, size=int(rng.integers(3, 9)))).capitalize() + "." for _ in range(variant)]
    metadata: dict[str, Any] = {"year": 2000 + variant, "mesh": [WORDS[variant]], "doi": f"10.1/{number}"}
    if variant == 4:
        metadata["retraction_of"] = [str(number + 1)]
    return Document(f"PMID:{number}", " ".join(sentences), f"Title {variant % 2}", "abstract", (), metadata)


def found(index: HybridIndex, **options: Any) -> list[list[tuple[Any, ...]]]:
    results = index.search(QUERIES, k=7, exact=True, **options)
    return [[(*place(hit), hit.score, hit.lexical, hit.dense, hit.passage.flags) for hit in one] for one in results]


def place(hit: Hit) -> tuple[Any, ...]:
    return (hit.passage.document_id, hit.passage.start, hit.passage.end)


def assert_same(one: HybridIndex, other: HybridIndex) -> None:
    assert len(one) == len(other)
    names = ("documents", "retracted", "passages", "content")
    assert [one.manifest[name] for name in names] == [other.manifest[name] for name in names]
    for mode in ("hybrid", "lexical", "dense"):
        for where in (None, {"year": [2001, 2003]}, {"mesh": "chest", "doi": "10.1/3"}):
            for retracted in (False, True):
                options = {"mode": mode, "where": where, "include_retracted": retracted}
                for left, right in zip(found(one, **options), found(other, **options), strict=True):
                    assert [hit[:3] for hit in left] == [hit[:3] for hit in right]
                    assert [hit[6] for hit in left] == [hit[6] for hit in right]
                    for one_hit, other_hit in zip(left, right, strict=True):
                        assert one_hit[3:6] == pytest.approx(other_hit[3:6], abs=1e-9)


def play(folder: Path, toy: Any, steps: Any, fusion: str) -> None:
    from radrag.corpora import Chunking

    options = {"encoder": toy(), "chunking": Chunking(8, 1), "fusion": fusion}
    index = HybridIndex.create(folder / "i", **options)
    expected: dict[str, Document] = {}
    for action, items in steps:
        documents = list({number: document(number, variant) for number, variant in items}.values())
        if action == "add":
            fresh = [one for one in documents if one.id not in expected]
            assert index.add(fresh, batch_size=3)["added"] == len(fresh)
            expected.update({one.id: one for one in fresh})
        elif action == "update":
            index.update(documents, batch_size=3)
            for one in documents:
                expected.pop(one.id, None)
                expected[one.id] = one
        elif action == "delete":
            names = [one.id for one in documents]
            assert index.delete(names, keep_notices=False)["deleted"] == len(set(names) & set(expected))
            for name in names:
                expected.pop(name, None)
        elif action == "compact":
            index.compact()
            assert index.manifest["dead"] == 0
            assert len(index.manifest["segments"]) <= 1
        else:
            index.close()
            index = HybridIndex.open(folder / "i", encoder=toy())
    assert index.verify() == []
    with index, HybridIndex.create(folder / "fresh", **options) as fresh:
        fresh.add(sorted(expected.values(), key=lambda one: one.id))
        assert_same(index, fresh)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, fusion=st.sampled_from(["zscore", "rrf", "minmax"]))
def test_any_sequence_equals_a_fresh_build(toy: Any, steps: Any, fusion: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        play(Path(folder), toy, steps, fusion)


def test_a_newer_version_replaces_and_an_older_one_does_not(tmp_path: Path, toy: Any) -> None:
    def version(number: int, text: str) -> Document:
        return Document("PMID:1", text, metadata={"pmid_version": number})

    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add([version(2, "renal stone")])
        first = index.search("stone")[0].passage.id
        assert index.update([version(1, "older text")])["skipped"] == 1
        assert index.update([version(2, "renal stone")])["skipped"] == 1
        assert index.document("PMID:1").text == "renal stone"
        assert index.update([version(2, "a revision"), version(3, "liver mass"), version(1, "old")]) == {
            "added": 0, "updated": 1, "skipped": 2, "empty": 0, "passages": 1,
        }  # fmt: skip
        (hit,) = index.search("liver stone")
        assert hit.passage.text == "liver mass"
        assert hit.passage.id > first
        with pytest.raises(KeyError):
            index.passage(first)
        index.delete(["PMID:1"])
        index.add([version(1, "back again")])
        assert index.search("again")[0].passage.id > hit.passage.id


def test_segments_stay_few(tmp_path: Path, toy: Any, reports: list[Document], monkeypatch: pytest.MonkeyPatch) -> None:
    assert merging.crowded([1000, *[1] * 15]) is None
    assert merging.crowded([1000, *[1] * 16]) == 1
    assert merging.crowded([16, *[1] * 16]) == 1
    assert merging.crowded([15, *[1] * 15]) == 0
    assert merging.surplus([]) is None
    assert merging.surplus([5]) is None
    assert merging.surplus([80, 10]) is None
    assert merging.surplus([79, 10]) == 0
    assert merging.surplus([800, 80, 2, 1]) == 2
    assert merging.surplus([800, 10, 80]) == 1
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add(reports, batch_size=1)
        assert len(index.manifest["segments"]) == 1
        many = [replace(one, id=f"new {one.id}") for one in reports[:3]]
        index.add(many, batch_size=1)
        assert [one["rows"] for one in index.manifest["segments"]] == [40, 3]
        assert len(list((tmp_path / "i" / "segments").iterdir())) == 2
        index.delete([one.id for one in reports[:20]])
        assert index.manifest["dead"] == 0  # much had died, so it was rewritten
        assert index.verify() == []


def test_recall_is_measured_with_own_questions(tmp_path: Path, toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "MIN_ANN_ROWS", 30)
    rng = np.random.default_rng(3)
    texts = [" ".join(rng.choice(WORDS, size=12)) for _ in range(300)]
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add(Document(f"d{number}", text) for number, text in enumerate(texts))
        index.delete(["d3", "d4"])
        other = HybridIndex.open(tmp_path / "i", encoder=toy())
        before = other.search("chest nodule", mode="dense")
        (segment,) = index.measure([f"{one} {two}" for one in WORDS[:6] for two in WORDS[:6]])
        assert segment["vectors"]["probes"] == 36
        assert segment["vectors"]["recall@10"] >= 0.9
        assert index.manifest["dead"] == 2  # nothing was rewritten
        assert other.manifest["segments"] == [segment]
        exact = other.search("chest nodule", mode="dense", exact=True)
        found = {hit.passage.id for hit in other.search("chest nodule", mode="dense")}
        assert len(found & {hit.passage.id for hit in exact}) >= 8
        assert len(before) == 10
        assert index.verify() == []


def test_two_threads_find_what_one_finds(
    tmp_path: Path, toy: Any, reports: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add(reports)
        alone = found(index)
        monkeypatch.setattr(searcher, "_TWO_THREADS", 1)
        assert found(index) == alone
