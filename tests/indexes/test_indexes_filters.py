from __future__ import annotations

import operator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

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
                found = index.search("nodule", k=10, where=where, mode=mode)
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


@pytest.mark.parametrize(
    ("stored", "wanted"),
    [([[1]], "[1]"), ([{"a": 1}], '{"a":1}'), ({"a": 1}, 1), ({"a": [1]}, "[1]"), ("1", 1), (1, "1"), (None, "")],
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
