"""Documents, filters and settings of the wrong types are refused by name; NumPy numbers and enums mean their values."""

from __future__ import annotations

import enum
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radrag.corpora import Chunking
from radrag.indexes.filters import Range
from radrag.indexes.hybrid import HybridIndex
from radrag.indexes.searcher import SearchSettings
from radrag.types import Document, Section


class Modality(str, enum.Enum):  # noqa: UP042  # the text of a StrEnum is its value
    """An enum of texts as people write them; ``format`` shows its name, not its value."""

    CT_SCAN = "CT"
    MR_SCAN = "MR"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


def found(index: HybridIndex, **where: Any) -> list[str]:
    return sorted(hit.passage.document_id for hit in index.search("chest", where=where))


PLAIN = [
    {"score": 0.5, "count": 3, "sure": True, "modality": "CT", "level": 1, "codes": [1, 2]},
    {"score": 0.75, "count": 4, "sure": False, "modality": "MR", "level": 2, "codes": [3]},
]
TYPED = [
    {
        "score": np.float64(0.5), "count": np.int64(3), "sure": np.True_, "modality": Modality.CT_SCAN,
        "level": Level.LOW, "codes": [np.int32(1), np.int8(2)],
    },
    {
        "score": np.float32(0.75), "count": np.uint8(4), "sure": np.False_, "modality": Modality.MR_SCAN,
        "level": Level.HIGH, "codes": (np.int64(3),),
    },
]  # fmt: skip


@pytest.mark.parametrize("facets", [(), ("score", "count", "sure", "level", "codes")])
@pytest.mark.parametrize("stored", [PLAIN, TYPED], ids=["plain", "typed"])
def test_numpy_numbers_and_enums_mean_their_values(tmp_path: Path, toy: Any, stored: Any, facets: Any) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=toy(), facets=facets) as index:
        index.add(Document(f"d{n}", "A chest scan.", metadata=metadata) for n, metadata in enumerate(stored))
        assert [document.metadata for document in index.documents()] == PLAIN
        for metadata in (PLAIN[0], TYPED[0]):
            for field in ("score", "count", "sure", "modality", "level"):
                assert found(index, **{field: metadata[field]}) == ["d0"], field
                assert found(index, **{field: [metadata[field]]}) == ["d0"], field
        assert found(index, score=Range(0, 1)) == ["d0", "d1"]
        assert found(index, score=Range(np.float64(0.6), np.float64(1))) == ["d1"]
        assert found(index, modality=Range(Modality.CT_SCAN, Modality.CT_SCAN)) == ["d0"]
        assert found(index, codes=np.int64(2)) == ["d0"]
        assert index.verify() == []
        again = [Document(f"d{n}", "A chest scan.", metadata=metadata) for n, metadata in enumerate(PLAIN)]
        assert index.add(again, skip_existing=True)["skipped"] == 2


def test_texts_of_a_document_may_be_enums(tmp_path: Path, toy: Any) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add([Document(Modality.CT_SCAN, np.str_("A chest scan."), kind=Modality.MR_SCAN)])
        assert index.document("CT") == Document("CT", "A chest scan.", kind="MR")
        assert found(index, kind="MR") == found(index, kind=Modality.MR_SCAN) == ["CT"]
        assert index.update([Document(Modality.CT_SCAN, "A chest film.")])["updated"] == 1


GOOD = Document("good", "A chest scan.")
WRONG: dict[str, tuple[Any, type[Exception], str]] = {
    "a dict": ({"id": "a"}, TypeError, r"documents\[1\] must be a Document, got dict"),
    "a text": ("abc", TypeError, r"documents\[1\] must be a Document, got str"),
    "id": (Document(5, "t"), TypeError, r"documents\[1\]: id must be text, got 5"),  # type: ignore[arg-type]
    "text": (Document("n", None), TypeError, "document 'n': text must be text, got None"),  # type: ignore[arg-type]
    "title": (Document("n", "t", None), TypeError, "document 'n': title must be text, got"),  # type: ignore[arg-type]
    "kind": (Document("n", "t", kind=3), TypeError, "document 'n': kind must be text, got 3"),  # type: ignore[arg-type]
    "metadata": (
        Document("n", "t", metadata=None), TypeError, "document 'n': metadata must be a mapping, got None",  # type: ignore[arg-type]
    ),
    "no JSON": (Document("n", "t", metadata={"a": {1}}), ValueError, "document 'n': metadata must be JSON values"),
    "NaN": (Document("n", "t", metadata={"a": np.float32("nan")}), ValueError, "document 'n': metadata must be JSON"),
    "sections": (
        Document("n", "t", sections=("x",)), TypeError, r"document 'n': sections\[0\] must be a Section, got 'x'",  # type: ignore[arg-type]
    ),
    "path": (
        Document("n", "t", sections=(Section(("a", 1), 0, 1),)), TypeError,  # type: ignore[arg-type]
        r"document 'n': the path of sections\[0\] must be a tuple of texts, got \('a', 1\)",
    ),
    "path of one text": (
        Document("n", "t", sections=(Section("ab", 0, 1),)), TypeError,  # type: ignore[arg-type]
        r"document 'n': the path of sections\[0\] must be a tuple of texts, got 'ab'",
    ),
    "path with half a pair": (
        Document("n", "t", sections=(Section(("a\ud800",), 0, 1),)), ValueError,
        r"the path of sections\[0\] of document 'n' holds half of a surrogate pair at 1",
    ),
    "synonyms": (
        Document("n", "t", metadata={"synonyms": 5}), TypeError,
        "document 'n': 'synonyms' must be a list of texts, got 5",
    ),
    "a synonym": (
        Document("n", "t", metadata={"order_abbreviations": ["a", None]}), TypeError,
        "document 'n': 'order_abbreviations' must be a list of texts",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_document_is_named(tmp_path: Path, toy: Any, case: str) -> None:
    document, error, message = WRONG[case]
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        for write in (index.add, index.update):
            with pytest.raises(error, match=message):
                write([GOOD, document])
            assert len(index) == 0


def test_the_place_of_a_document_counts_through_batches(tmp_path: Path, toy: Any) -> None:
    many: list[Any] = [Document(f"d{n}", "A chest scan.") for n in range(5)]
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        with pytest.raises(TypeError, match=r"documents\[5\] must be a Document, got int"):
            index.add([*many, 7], batch_size=2)
        assert len(index) == 4


def test_one_synonym_may_be_given_alone(tmp_path: Path, toy: Any) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add([Document("a", "A scan.", metadata={"synonyms": "PE"}), Document("b", "A scan.")])
        assert index.search("pe", mode="lexical")[0].passage.search_text == "PE\nA scan."


REQUESTS: list[tuple[dict[str, Any], str]] = [
    ({"k": 2.5}, "k must be a whole number, got 2.5"),
    ({"k": "3"}, "k must be a whole number, got '3'"),
    ({"per_document": 1.5}, "per_document must be a whole number, got 1.5"),
    ({"where": [("kind", "a")]}, r"where must be a mapping such as .* got \[\('kind', 'a'\)\]"),
]


@pytest.mark.parametrize(("options", "message"), REQUESTS)
def test_a_wrong_request_is_named(tmp_path: Path, toy: Any, options: dict[str, Any], message: str) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add([GOOD])
        with pytest.raises(TypeError, match=message):
            index.search("chest", **options)
        assert len(index.search("chest", k=np.int64(3))) == 1


def test_what_is_no_id_is_not_deleted(tmp_path: Path, toy: Any) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add([GOOD])
        for wrong in (GOOD, 5):
            with pytest.raises(TypeError, match="ids must be texts, got "):
                index.delete(["good", wrong])  # type: ignore[list-item]
        assert len(index) == 1


NAN = float("nan")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SearchSettings(k1=NAN), "k1 must be at least 0, got nan"),
        (lambda: SearchSettings(k1=float("inf")), "k1 must be at least 0, got inf"),
        (lambda: SearchSettings(b=NAN), "b must be between 0 and 1, got nan"),
        (lambda: SearchSettings(dense_weight=NAN), "dense_weight must be between 0 and 1, got nan"),
        (lambda: SearchSettings(depth=NAN), "depth must be a whole number, got nan"),  # type: ignore[arg-type]
        (lambda: SearchSettings(depth=2.5), "depth must be a whole number, got 2.5"),  # type: ignore[arg-type]
        (lambda: Chunking(max_words=NAN), "max_words must be a whole number, got nan"),  # type: ignore[arg-type]
        (lambda: Chunking(overlap=0.5), "overlap must be a whole number, got 0.5"),  # type: ignore[arg-type]
    ],
)
def test_settings_that_are_no_numbers_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        make()
