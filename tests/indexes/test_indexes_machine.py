"""Whatever is done to an index, in whatever order, it answers as one that was built of the same documents at once."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from conftest import ToyEncoder
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from numpy.typing import NDArray

from radrag.corpora import Chunking
from radrag.corpora.retractions import notices_of
from radrag.indexes import dense, merging
from radrag.indexes.filters import Range
from radrag.indexes.hybrid import HybridIndex
from radrag.types import Document, Notice

IDS = [
    "a",
    "a1",
    "a11",
    "A",
    "é",
    "e\u0301",
    "文",
    "a b",
    "a/b",
    "a\u200b",
    "PMID:1",
    "PMID:11",
    "PMID:1 ",
    "%",
    "_",
    "'",
]
SENTENCE = "Chest nodule of the renal stone seen. "
TEXTS = [
    "", " \n ", "chest", "chest chest", "nil", "the of and", SENTENCE, SENTENCE * 6, SENTENCE * 3 + "Liver mass. " * 5,
    "IL-6 and α-synuclein in brain infarct.", "Liver mass with contrast.", "Liver mass with contrast. Biopsy!", "Ж 0 %",
]  # fmt: skip
METADATA: list[dict[str, Any]] = [
    {}, {"year": 2001}, {"year": 2002, "mesh": ["chest", "liver"]}, {"mesh": ["liver"], "language": "eng"},
    {"retracted": True, "year": 2002}, {"retraction_of": ["1"]}, {"retraction_of": ["1"], "year": 2002},
    {"retraction_in": ["9"]}, {"doi": "10.1/X"},
    {"pmid_version": 2}, {"pmid_version": 1, "year": 2003}, {"own": "x"}, {"own": ["x", "y"], "year": 2003},
]  # fmt: skip
DOCUMENTS = st.builds(
    Document, st.sampled_from(IDS), st.sampled_from(TEXTS), st.sampled_from(["", "Chest", "Report of liver"]),
    st.sampled_from(["text", "abstract"]), st.just(()), st.sampled_from(METADATA),
)  # fmt: skip
NOTICES = st.lists(
    st.builds(
        Notice, st.sampled_from(["PMID:1", "a", "A", "文", "doi:10.1/x", "gone"]),
        st.sampled_from(["retracted", "corrected", "expression of concern"]), st.sampled_from(["", "x"]),
    ),
    max_size=4,
)  # fmt: skip
QUERIES = ["chest nodule", "liver", "α-synuclein IL-6", "the of", "nil", "unknown word", "renal stone contrast biopsy"]
WHERE = [None, {"year": Range(2002, 2003)}, {"mesh": ["liver"]}, {"own": "x"}, {"kind": "abstract", "language": "eng"}]


class SomeZero(ToyEncoder):
    """Gives a text of which it knows nothing no direction."""

    def encode(self, texts: Sequence[str], kind: str) -> NDArray[np.float32]:
        return super().encode([text.replace("nil", "") for text in texts], kind)


class Machine(RuleBasedStateMachine):
    """Keeps in a dictionary what the index should hold."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.held: dict[str, Document] = {}
        self.notices: dict[str, list[Notice]] = {}
        self.left: dict[str, tuple[Notice, ...]] = {}  # what deleted documents said of others
        self.highest = 0
        self.patches = [
            mock.patch.object(merging, "MIN_ANN_ROWS", 12),
            mock.patch.object(dense, "MIN_ANN_ROWS", 12),
            mock.patch.object(merging, "_FAN_IN", 3),
            mock.patch.object(merging, "_SHARE", 2),
            mock.patch.object(merging, "_MAX_DEAD", 0.6),
            mock.patch.object(merging, "_ANN_WHILE_WRITING", 16),
        ]
        for patch in self.patches:
            patch.start()

    @initialize(
        fusion=st.sampled_from(["zscore", "rrf", "minmax"]), documents=st.lists(DOCUMENTS, min_size=8, max_size=30)
    )
    def create(self, fusion: str, documents: list[Document]) -> None:
        self.options: dict[str, Any] = {"chunking": Chunking(8, 1), "fusion": fusion, "facets": ["own"]}
        self.index = HybridIndex.create(self.folder / "i", encoder=SomeZero(), **self.options)
        self.update(documents, 50)

    @rule(documents=st.lists(DOCUMENTS, min_size=1, max_size=12), size=st.integers(1, 5))
    def add(self, documents: list[Document], size: int) -> None:
        fresh = list({one.id: one for one in documents if one.id not in self.held}.values())
        stored = [self.held[one.id] for one in documents if one.id in self.held]
        report = self.index.add([*stored, *fresh], skip_existing=True, batch_size=size)
        assert (report["added"], report["skipped"]) == (len(fresh), len(stored))
        self.held.update({one.id: one for one in fresh})
        self._speak(fresh)

    @rule(documents=st.lists(DOCUMENTS, min_size=1, max_size=12), size=st.integers(1, 5))
    def update(self, documents: list[Document], size: int) -> None:
        self.index.update(documents, batch_size=size)
        for start in range(0, len(documents), size):
            newest: dict[str, Document] = {}
            for one in documents[start : start + size]:
                if one.id not in newest or version(one) >= version(newest[one.id]):
                    newest[one.id] = one
            for one in newest.values():
                if one.id not in self.held or version(one) >= version(self.held[one.id]):
                    self.held[one.id] = one
            self._speak(newest.values())

    def _speak(self, documents: Iterable[Document]) -> None:
        for one in documents:
            self.left.pop(one.id, None)

    @rule(names=st.lists(st.sampled_from([*IDS, "gone", ""]), max_size=8, unique=True), keep=st.booleans())
    def delete(self, names: list[str], keep: bool) -> None:
        report = self.index.delete(names, keep_notices=keep)
        there = [name for name in names if name in self.held]
        assert report == {"deleted": len(there), "missing": len(names) - len(there)}
        for name in names:
            one = self.held.pop(name, None)
            if not keep:
                self.left.pop(name, None)
            elif one is not None:
                self.left[name] = notices_of(one)

    @rule(origin=st.sampled_from(["watch", "other"]), notices=NOTICES)
    def set_notices(self, origin: str, notices: list[Notice]) -> None:
        self.index.set_notices(origin, notices)
        self.notices[origin] = notices

    @rule()
    def compact(self) -> None:
        self.index.compact()
        assert self.index.manifest["dead"] == 0
        assert len(self.index.manifest["segments"]) <= 1

    @rule()
    def reopen(self) -> None:
        self.index.close()
        self.index = HybridIndex.open(self.folder / "i", encoder=SomeZero())

    @precondition(lambda self: len(self.held) > 5)
    @rule()
    def measure(self) -> None:
        self.index.measure(QUERIES[:3])

    @invariant()
    def is_whole(self) -> None:
        if hasattr(self, "index"):
            assert self.index.verify() == []
            assert {one.id: one for one in self.index.documents()} == self.held

    @rule(
        where=st.sampled_from(WHERE), retracted=st.booleans(), most=st.sampled_from([None, None, 1, 2]),
        k=st.sampled_from([5, 9, 200]),
    )  # fmt: skip
    def equals_a_fresh_build(self, where: Any, retracted: bool, most: int | None, k: int) -> None:
        with HybridIndex.create(self.folder / "fresh", encoder=SomeZero(), **self.options) as fresh:
            fresh.add(self.held[name] for name in sorted(self.held))
            left = {f"left by {name}": said for name, said in self.left.items()}
            for origin, notices in (self.notices | left).items():
                fresh.set_notices(origin, notices)
            names = ("documents", "retracted", "passages", "content")
            assert [self.index.manifest[name] for name in names] == [fresh.manifest[name] for name in names]
            for mode in ("hybrid", "lexical", "dense"):
                given: dict[str, Any] = {"mode": mode, "include_retracted": retracted, "per_document": most, "k": k}
                compare(self.index, fresh, where, given)
        shutil.rmtree(self.folder / "fresh")

    def teardown(self) -> None:
        try:
            if hasattr(self, "index"):
                self.equals_a_fresh_build(None, True, None, 200)
                self.index.close()
        finally:
            for patch in self.patches:
                patch.stop()
            shutil.rmtree(self.folder)


def compare(index: HybridIndex, fresh: HybridIndex, where: Any, given: dict[str, Any]) -> None:
    found: list[Any] = []
    for one in (index, fresh):
        try:
            found.append(one.search(QUERIES, where=where, exact=True, **given))
        except ValueError as error:  # of a field that no document has
            found.append(str(error))
    ours, theirs = found
    if isinstance(ours, str) or isinstance(theirs, str):
        assert "no document has the filter field" in ours
        assert ours == theirs
        return
    for query, left, right in zip(QUERIES, ours, theirs, strict=True):
        assert list(map(place, left)) == list(map(place, right)), (query, where, given)
        np.testing.assert_allclose(numbers(left), numbers(right), atol=1e-6, err_msg=query)
    if given["mode"] == "dense":
        assert recall(index.search(QUERIES, where=where, **given), theirs) > 0.9


def version(document: Document) -> int:
    return int(document.metadata.get("pmid_version", 0))


def place(hit: Any) -> tuple[Any, ...]:
    passage = hit.passage
    return passage.document_id, passage.start, passage.end, passage.text, passage.flags, passage.metadata


def numbers(hits: Sequence[Any]) -> NDArray[np.float64]:
    values = [
        [hit.score, -1 if hit.lexical is None else hit.lexical, -9 if hit.dense is None else hit.dense] for hit in hits
    ]
    return np.asarray(values, dtype=np.float64).reshape(len(hits), 3)


def recall(found: Sequence[Sequence[Any]], exact: Sequence[Sequence[Any]]) -> float:
    """Share of the exact search's best hits that were found; any of an equal score does."""
    shares = []
    for some, best in zip(found, exact, strict=True):
        scores = sorted((hit.score for hit in some), reverse=True)
        good = sum(mine >= hit.score - 1e-6 for mine, hit in zip(scores, best, strict=False))
        shares.append(good / len(best) if best else 1.0)
    return float(np.mean(shares))


Machine.TestCase.settings = settings(
    max_examples=12,
    stateful_step_count=12,
    phases=[Phase.generate],
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestMachine = Machine.TestCase
