from __future__ import annotations

import operator
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from radrag.errors import ModelError
from radrag.indexes.filters import Range
from radrag.indexes.hybrid import HybridIndex
from radrag.types import Document

SCALAR = st.one_of(
    st.booleans(), st.integers(-2, 3), st.sampled_from([0.5, 2.0]), st.sampled_from(["", "a", "b", "2", "[1]"])
)
VALUE = st.one_of(
    SCALAR, st.none(), st.lists(SCALAR, max_size=3), st.just([[1]]), st.dictionaries(st.just("a"), SCALAR, max_size=1)
)
METADATA = st.dictionaries(st.sampled_from(["year", "mesh"]), VALUE)
NUMBER = st.one_of(st.integers(-2, 3), st.just(0.5))
RANGE = st.one_of(
    st.builds(Range, NUMBER, st.none() | NUMBER),
    st.builds(Range, st.none() | st.sampled_from(["a", "b"]), st.sampled_from(["a", "b"])),
).filter(lambda one: None in (one.low, one.high) or one.low <= one.high)
WANTED = st.one_of(SCALAR, st.lists(SCALAR, max_size=3), st.frozensets(SCALAR, max_size=2), RANGE)
TEXTS = st.one_of(st.sampled_from(["note", "text"]), st.lists(st.sampled_from(["note", "text"]), max_size=2))
WHERE = st.fixed_dictionaries({}, optional={"year": WANTED, "mesh": WANTED, "kind": TEXTS})


def admits(value: Any, wanted: Any) -> bool:
    """What the filter promises, without SQL."""
    if isinstance(value, dict) or value is None:
        return False
    if isinstance(value, list):
        return any(admits(member, wanted) for member in value if not isinstance(member, list))
    if isinstance(wanted, Range):
        sides = [(operator.ge, wanted.low), (operator.le, wanted.high)]
        given = [(test, side) for test, side in sides if side is not None]
        return all(isinstance(value, str) == isinstance(side, str) and test(value, side) for test, side in given)
    return value in wanted if isinstance(wanted, list | frozenset) else value == wanted


@hypothesis_settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(metadata=st.lists(METADATA, min_size=1, max_size=6), wheres=st.lists(WHERE, min_size=1, max_size=6))
def test_a_filter_never_leaks_nor_loses(
    tmp_path_factory: pytest.TempPathFactory, toy: Any, metadata: list, wheres: list
) -> None:
    documents = [
        Document(f"d{number}", "Chest nodule.", "", "note" if number % 2 else "text", (), values)
        for number, values in enumerate(metadata)
    ]
    with HybridIndex.create(tmp_path_factory.mktemp("filter") / "i", encoder=toy()) as index:
        index.add(documents)
        for where in wheres:
            expected = [
                document.id
                for document in documents
                if all(admits({"kind": document.kind, **document.metadata}.get(f), w) for f, w in where.items())
            ]
            for mode in ("hybrid", "lexical", "dense"):
                try:
                    found = index.search("nodule", k=10, where=where, mode=mode)
                except ValueError as error:  # of another type than all that the field holds
                    if not re.search(r"holds (numbers|text), got", str(error)):
                        raise
                    found = []
                assert [hit.passage.document_id for hit in found] == expected


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ({"ye ar": 1}, "plain name"),
        ({"a') OR 1 --": 1}, "plain name"),
        ({"a.b": 1}, "plain name"),
        ({3: 1}, "plain name"),
        ({"year": None}, "NoneType"),
        ({"year": {"a": 1}}, "dict"),
        ({"year": [[1]]}, "list"),
        ({"year": b"1"}, "bytes"),
        ({"year": Range()}, "at least one side"),
        ({"year": Range(1, "b")}, "both sides"),
        ({"year": Range([1])}, "list"),
        ({"year": 2**70}, "64 bits"),
        ({"year": Range(2020, 2010)}, "2020 to 2010; swap"),
        ({"kind": Range("b", "a")}, "lower side"),
        ({"kind": 1}, "holds text"),
        ({"title": Range(1, 2)}, "holds text"),
        ({"title": ["a", 1]}, "holds text"),
        ({"site": "x\x00y"}, r"'x\\x00y' holds a NUL, at which SQLite stops; remove it"),
        ({"document_id": ["x\x00y"]}, "holds a NUL"),
        ({"site": ["a", "x\udcffy"]}, r"'x\\udcffy' holds half of a surrogate pair at 1; give it as UTF-8"),
        ({"year": "\udcff"}, "half of a surrogate pair"),
    ],
)
def test_malformed_filters(tmp_path: Path, toy: Any, where: dict, reason: str) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add([Document("a", "Chest.")])
        for _ in range(2):
            with pytest.raises(ValueError, match=reason):
                index.search("chest", where=where)


def test_columns_and_quotes(tmp_path: Path, toy: Any) -> None:
    names = ["a", "b' OR 1 --", 'c"']
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add([Document(name, "Chest.", f"Title {name}") for name in names])
        for name in names:
            for where in ({"document_id": name}, {"title": f"Title {name}"}):
                assert [hit.passage.document_id for hit in index.search("chest", where=where)] == [name]
        found = index.search("chest", where={"document_id": Range("b", None)})
        assert sorted(hit.passage.document_id for hit in found) == names[1:]


def test_more_values_than_sqlite_has_variables(tmp_path: Path, toy: Any) -> None:
    many = [str(number) for number in range(260_000)]
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add([Document(name, "Chest.", f"T{name}", metadata={"site": name}) for name in ("7", "-1")])
        for where in ({"document_id": many}, {"site": many}, {"title": ["T7"], "document_id": many}):
            assert [hit.passage.document_id for hit in index.search("chest", where=where)] == ["7"]


@pytest.mark.parametrize("wanted", [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, 2**63 - 1, -(2**63), True, "1", "é\n"])
def test_a_listed_value_is_the_value_itself(tmp_path: Path, toy: Any, wanted: Any) -> None:
    others = [0.10000000000000002, 2.0, 2**62, False, "true", "", "0.1"]
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        values = [wanted, *others]
        index.add([Document(f"d{place}", "Chest.", metadata={"dose": one}) for place, one in enumerate(values)])
        for where in (wanted, [wanted], [wanted, float("nan"), float("inf")]):
            assert [hit.passage.document_id for hit in index.search("chest", where={"dose": where})] == ["d0"]


def test_a_facet_with_a_nul_is_refused(tmp_path: Path, toy: Any) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=toy(), facets=["ward"]) as index:
        for ward in ("x\x00y", ["a", "x\x00y"]):
            with pytest.raises(ValueError, match="document 'a': 'ward' holds a NUL"):
                index.add([Document("a", "Chest.", metadata={"ward": ward})])
        assert len(index) == 0
        index.add([Document("a", "Chest.", metadata={"ward": "x"})])


def test_a_question_that_is_no_utf_8_is_refused(tmp_path: Path, toy: Any) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add([Document("a", "Chest.")])
        for mode in ("hybrid", "lexical", "dense"):
            with pytest.raises(ValueError, match=r"the query 'chest\\udcff' holds half of a surrogate pair at 5; give"):
                index.search(["chest", "chest\udcff"], mode=mode)


@pytest.mark.parametrize(
    ("stored", "wanted"),
    [([[1]], "[1]"), ([{"a": 1}], '{"a":1}'), ({"a": 1}, 1), ({"a": [1]}, "[1]"), (None, "")],
)
def test_what_is_inside_or_looks_alike_does_not_match(tmp_path: Path, toy: Any, stored: Any, wanted: Any) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add([Document("a", "Chest.", metadata={"field": stored})])
        assert index.search("chest", where={"field": wanted}) == []
        assert index.search("chest", where={"field": [wanted]}) == []


def test_a_field_that_no_document_has_is_refused(tmp_path: Path, toy: Any) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=toy(), facets=["ward"]) as index:
        assert index.search("chest", where={"yeer": 3}) == []  # nothing is known of an empty index
        index.add([Document("a", "Chest.", metadata={"site": "north", "year": 2020}), Document("b", "Chest.")])
        for where in ({"yeer": 2020}, {"yeer": 2020, "site": "north"}, {"year": 2020, "yeer": []}):
            for _ in range(2):
                with pytest.raises(ValueError, match=r"filter field 'yeer'; expected one of .*site.*ward.*year"):
                    index.search("chest", where=where)
        for where in ({"site": "south"}, {"ward": "3"}, {"mesh": "Kidney"}, {"document_id": "c"}, {"title": "T"}):
            assert index.search("chest", where=where) == []


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"year": "2020"}, "filter field 'year' holds numbers, got '2020'"),
        ({"year": ["2020", "2021"]}, "filter field 'year' holds numbers"),
        ({"year": Range("a", "b")}, "filter field 'year' holds numbers"),
        ({"mesh": 7}, "filter field 'mesh' holds text, got 7"),
        ({"pmid": 5}, "filter field 'pmid' holds text, got 5"),
        ({"sizes": ["7"]}, "filter field 'sizes' holds numbers"),
    ],
)
def test_values_of_a_type_that_no_document_has_are_refused(
    tmp_path: Path, toy: Any, where: dict[str, Any], said: str
) -> None:
    with HybridIndex.create(tmp_path / "i", encoder=toy()) as index:
        index.add(
            [
                Document("a", "chest", metadata={"year": 2020, "mesh": ["Thorax"], "pmid": "5", "sizes": [7, 9]}),
                Document("b", "chest"),
            ]
        )
        with pytest.raises(ValueError, match=said):
            index.search("chest", where=where)
        assert index.search("chest", where={"year": [2020, "2020"]})
        assert index.search("chest", where={"journal": 7}) == []  # no document has one
        assert index.search("chest", where={"pmid": "6"}) == []
        assert index.search("chest", where={"sizes": 7})


def test_a_query_without_a_known_word_finds_nothing(tmp_path: Path) -> None:
    with HybridIndex.create(tmp_path / "i") as index:
        index.add([Document("a", "Chest pain after surgery."), Document("b", "A stone in the kidney.")])
        for mode in ("dense", "hybrid", "lexical"):
            assert index.search("肺癌", mode=mode) == []
            nothing, hits = index.search(["肺癌", "chest pain"], mode=mode)
            assert (nothing, hits[0].passage.document_id) == ([], "a")


def test_a_question_whose_vector_is_not_finite_is_refused(tmp_path: Path, toy: Any) -> None:
    encoder = toy()
    with HybridIndex.create(tmp_path / "i", encoder=encoder) as index:
        index.add([Document("a", "chest pain")])
        encoder.encode = lambda texts, kind: np.full((len(texts), encoder.dim), np.nan, dtype=np.float32)
        with pytest.raises(ModelError, match="not finite"):
            index.search("chest")
        assert index.search("chest", mode="lexical")
