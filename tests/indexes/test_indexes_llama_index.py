import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from radrag.corpora import Chunking
from radrag.indexes.filters import Member, Range
from radrag.indexes.hybrid import HybridIndex
from radrag.indexes.retriever import as_retriever, documents_of, where_of
from radrag.types import Document, Hit, Notice, Passage, Section

core = pytest.importorskip("llama_index.core")

from llama_index.core.llms import MockLLM  # noqa: E402
from llama_index.core.query_engine import CitationQueryEngine, RetrieverQueryEngine  # noqa: E402
from llama_index.core.retrievers import QueryFusionRetriever  # noqa: E402
from llama_index.core.schema import (  # noqa: E402
    MetadataMode,
    NodeRelationship,
    NodeWithScore,
    ObjectType,
    QueryBundle,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores import (  # noqa: E402
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

STONE = "Low-dose CT finds a ureteric stone. Ultrasound comes first in pregnancy."
DOCUMENTS = [
    Document(
        "ct-stone", STONE, "Renal colic", "guideline", (Section(("Renal colic", "Imaging"), 0, len(STONE)),),
        {"year": 2021, "mesh": ["Urolithiasis", "Tomography"], "start": "spring"},
    ),
    Document("mr-stone", "MR urography shows a stone poorly.", "", "abstract", metadata={"year": 2015}),
    Document("old-stone", "Plain films miss a stone.", "Films", "abstract", metadata={"year": 1990, "retracted": True}),
]  # fmt: skip


@pytest.fixture
def index(tmp_path: Path, toy: Callable[..., Any]) -> Iterator[HybridIndex]:
    with HybridIndex.create(tmp_path / "index", encoder=toy(), chunking=Chunking(max_words=6, overlap=0)) as made:
        made.add(DOCUMENTS)
        yield made


def test_nodes_are_the_hits_of_search(index: HybridIndex) -> None:
    hits = index.search("CT of a stone", k=3)
    nodes = as_retriever(index, k=3).retrieve("CT of a stone")
    assert len(nodes) == 3
    assert [(one.node.text, one.score) for one in nodes] == [(hit.passage.text, hit.score) for hit in hits]


def test_a_node_says_where_it_stands(index: HybridIndex) -> None:
    (found,) = as_retriever(index, k=1, mode="lexical").retrieve("pregnancy ultrasound")
    node = found.node
    start, end = STONE.index("Ultrasound"), len(STONE)
    assert node.node_id == f"ct-stone#{start}-{end}"
    assert node.text == STONE[start:end]
    assert (node.start_char_idx, node.end_char_idx) == (start, end)
    assert node.source_node.node_id == node.ref_doc_id == "ct-stone"
    assert node.source_node.node_type is ObjectType.DOCUMENT
    passage = index.passage(node.metadata["passage_id"])
    assert passage.text == node.text
    assert {key: value for key, value in node.metadata.items() if key != "passage_id"} == {
        "document_id": "ct-stone",
        "start": start,
        "end": end,
        "title": "Renal colic",
        "path": ["Renal colic", "Imaging"],
        "flags": [],
        "year": 2021,
        "mesh": ["Urolithiasis", "Tomography"],
        "source_start": "spring",  # the document's own, kept beside the offset
    }
    assert found.score == index.search("pregnancy ultrasound", k=1, mode="lexical")[0].score


def test_a_language_model_sees_the_source_and_no_offsets(index: HybridIndex) -> None:
    (found,) = as_retriever(index, k=1, mode="lexical").retrieve("pregnancy ultrasound")
    shown = found.node.get_content(MetadataMode.LLM)
    assert shown.splitlines() == [
        "year: 2021",
        "document_id: ct-stone",
        "title: Renal colic",
        "path: ['Renal colic', 'Imaging']",
        "",
        found.node.text,
    ]
    assert found.node.get_content(MetadataMode.EMBED) == shown


def test_flags_reach_the_node_and_the_language_model() -> None:
    class Flagged:
        def search(self, queries: str, k: int, where: Any) -> list[Hit]:
            return [Hit(Passage("d", 0, 4, "Text", flags=("retracted", "corrected")), 1.5)]

    (found,) = as_retriever(Flagged()).retrieve("text")
    assert found.node.metadata["flags"] == ["retracted", "corrected"]
    assert "flags: ['retracted', 'corrected']" in found.node.get_content(MetadataMode.LLM)


def test_a_node_does_not_contradict_its_flags(tmp_path: Path, toy: Callable[..., Any]) -> None:
    with HybridIndex.create(tmp_path / "own", encoder=toy()) as own:
        own.add([Document("PMID:5", "Tea cures renal colic.", metadata={"retracted": False})])
        own.set_notices("list", [Notice("PMID:5", "retracted")])
        (found,) = as_retriever(own, include_retracted=True).retrieve("tea")
        assert (found.node.metadata["retracted"], found.node.metadata["flags"]) == (True, ["retracted"])


def test_options_reach_search(index: HybridIndex) -> None:
    def found(**options: Any) -> set[str]:
        return {one.node.ref_doc_id for one in as_retriever(index, **options).retrieve("stone")}

    assert found() == {"ct-stone", "mr-stone"}
    assert found(include_retracted=True) == {"ct-stone", "mr-stone", "old-stone"}
    assert found(where={"year": Range(2020)}) == {"ct-stone"}
    assert found(filters=_filters(("year", "<=", 2020))) == {"mr-stone"}
    assert found(where={"kind": "guideline"}, filters=_filters(("year", "<=", 2020))) == set()


def test_wrong_options_are_refused_before_the_first_query(index: HybridIndex) -> None:
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        as_retriever(index, k=0)
    with pytest.raises(TypeError, match="top_k"):
        as_retriever(index, top_k=3)


def test_a_query_bundle_and_async(index: HybridIndex) -> None:
    retriever = as_retriever(index, k=2)
    plain = [one.node.node_id for one in retriever.retrieve(QueryBundle("stone on CT"))]
    later = [one.node.node_id for one in asyncio.run(retriever.aretrieve("stone on CT"))]
    assert plain == later == [one.node.node_id for one in retriever.retrieve("stone on CT")]


def test_async_retrieval_does_not_block_the_event_loop() -> None:
    reached = threading.Event()

    class Waiting:
        def search(self, queries: str, k: int, where: Any) -> list[Hit]:
            if not reached.wait(timeout=10):
                raise AssertionError("the event loop stood still")
            return []

    async def both() -> None:
        retrieval = asyncio.create_task(as_retriever(Waiting()).aretrieve("stone"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        reached.set()
        assert await retrieval == []

    asyncio.run(both())


def test_a_query_engine_answers_from_the_passages(index: HybridIndex) -> None:
    engine = RetrieverQueryEngine.from_args(as_retriever(index, k=2, mode="lexical"), llm=MockLLM())
    response = engine.query("Which imaging comes first in pregnancy?")
    assert "Ultrasound comes first in pregnancy." in str(response)  # MockLLM repeats its prompt
    assert "document_id: ct-stone" in str(response)
    assert response.source_nodes[0].node.ref_doc_id == "ct-stone"
    later = asyncio.run(engine.aquery("Which imaging comes first in pregnancy?"))
    assert [one.node.node_id for one in later.source_nodes] == [one.node.node_id for one in response.source_nodes]


def _filters(*conditions: tuple[str, str, Any], condition: str = "and") -> MetadataFilters:
    made = [MetadataFilter(key=key, operator=FilterOperator(sign), value=value) for key, sign, value in conditions]
    return MetadataFilters(filters=made, condition=FilterCondition(condition))


def test_filters_translate() -> None:
    filters = _filters(
        ("kind", "==", "abstract"),
        ("source", "in", ["a", "b"]),
        ("mesh", "contains", "Humans"),
        ("design", "any", ["trial", "cohort"]),
        ("year", "<=", 2020),
        ("score", ">=", 0.5),
    )
    inner = _filters(("year", ">=", 2010))
    both = MetadataFilters(filters=[*filters.filters, inner])
    expected = {
        "kind": "abstract",
        "source": ["a", "b"],
        "mesh": Member("Humans"),
        "design": ["trial", "cohort"],
        "year": Range(2010, 2020),
        "score": Range(low=0.5),
    }
    assert where_of(both) == expected
    assert where_of(MetadataFilters(filters=[])) == {}
    assert where_of(_filters(("year", "==", 3), condition="or")) == {"year": 3}


def test_contains_finds_members_of_lists_and_no_parts_of_texts(index: HybridIndex) -> None:
    def found(field: str, value: Any) -> list[str]:
        nodes = as_retriever(index, filters=_filters((field, "contains", value))).retrieve("stone")
        return [one.node.metadata["document_id"] for one in nodes]

    index.add([Document("file", "A stone.", metadata={"file": "report_a.pdf", "codes": [1, 2], "own": ["x"]})])
    assert set(found("mesh", "Tomography")) == {"ct-stone"}
    assert found("codes", 2) == ["file"]
    assert found("own", "x") == ["file"]
    assert found("own", "y") == []
    for field in ("file", "start"):
        for value in ("report", "spring", "report_a.pdf"):
            with pytest.raises(ValueError, match=rf"'{field}': 'contains' finds members of lists, but document"):
                found(field, value)
    for field in ("title", "kind", "document_id"):
        with pytest.raises(ValueError, match=f"'{field}': 'contains' finds members of lists"):
            found(field, "stone")
    index.update([Document("film", "A stone.", metadata={"mesh": "Tomography, X-Ray"})])
    with pytest.raises(ValueError, match="'mesh': 'contains' finds members of lists, but document 'film' has text"):
        found("mesh", "Tomography")
    index.delete(["film"])
    assert set(found("mesh", "Tomography")) == {"ct-stone"}


@pytest.mark.parametrize("sign", ["<", ">", "!=", "nin", "all", "text_match", "text_match_insensitive", "is_empty"])
def test_operators_without_translation_are_refused(sign: str) -> None:
    with pytest.raises(ValueError, match=f"filter on 'year': the operator '{sign}' cannot be translated") as caught:
        where_of(_filters(("year", sign, ["2"] if sign == "all" else 2)))
    assert str(caught.value).endswith("filter the nodes afterwards")


@pytest.mark.parametrize(("sign", "said", "instead"), [(">", "'>=' and the next", 2021), ("<", "'<=' and the", 2019)])
def test_the_remedy_for_an_open_side_finds_the_same_years(sign: str, said: str, instead: int) -> None:
    with pytest.raises(ValueError, match=f"for whole numbers say {said} number"):
        where_of(_filters(("year", sign, 2020)))
    assert where_of(_filters(("year", f"{sign}=", instead))) in ({"year": Range(low=2021)}, {"year": Range(high=2019)})


@pytest.mark.parametrize("condition", ["or", "not"])
def test_conditions_other_than_and_are_refused(condition: str) -> None:
    with pytest.raises(ValueError, match=f"joined by 'and', got '{condition}'"):
        where_of(_filters(("year", "==", 1), ("kind", "==", "a"), condition=condition))
    with pytest.raises(ValueError, match="joined by 'and', got 'not'; filter the nodes afterwards"):
        where_of(_filters(("year", "==", 1), condition="not"))
    with pytest.raises(ValueError, match="got 'or'; for several values of one field say 'in' and a list; else filter"):
        where_of(_filters(("year", "==", 1), ("year", "==", 2), condition="or"))


@pytest.mark.parametrize(
    ("sign", "value", "expected"),
    [("==", None, "one value"), ("==", ["a"], "one value"), ("in", "abc", "a list"), (">=", [1], "one value")],
)
def test_values_of_the_wrong_form_are_refused(sign: str, value: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=f"filter on 'year': '{sign}' needs {expected}"):
        where_of(_filters(("year", sign, value)))


@pytest.mark.parametrize("conditions", [((">=", 1), (">=", 2)), (("==", 1), ("<=", 2)), (("==", 1), ("==", 1))])
def test_two_conditions_of_a_field_are_refused(conditions: tuple[tuple[str, int], ...]) -> None:
    with pytest.raises(ValueError, match="filter on 'year' is given twice"):
        where_of(_filters(*(("year", sign, value) for sign, value in conditions)))


def test_where_and_filters_may_not_name_the_same_field(index: HybridIndex) -> None:
    with pytest.raises(ValueError, match="filter on 'kind' is given twice, 'note' and 'abstract'"):
        as_retriever(index, where={"kind": "note"}, filters=_filters(("kind", "==", "abstract")))


def test_where_is_not_changed(index: HybridIndex) -> None:
    where = {"kind": "guideline"}
    as_retriever(index, where=where, filters=_filters(("year", ">=", 2000)))
    assert where == {"kind": "guideline"}


def test_a_mapping_is_no_filters_of_llama_index(index: HybridIndex) -> None:
    filters: Any = {"year": 2000}
    with pytest.raises(TypeError, match=r"must be MetadataFilters of llama-index, got \{'year': 2000\}; .* where="):
        as_retriever(index, filters=filters)


def test_fusion_of_two_retrievers_has_the_nodes_of_both(index: HybridIndex) -> None:
    both = [index.as_retriever(k=2, mode="lexical"), index.as_retriever(k=2, mode="dense")]
    expected = {found.node_id for retriever in both for found in retriever.retrieve("stone")}
    for use_async in (False, True):
        fusion = QueryFusionRetriever(
            both, llm=MockLLM(), num_queries=1, mode="reciprocal_rerank", similarity_top_k=9, use_async=use_async
        )
        assert {found.node_id for found in fusion.retrieve("stone")} == expected


def test_a_citation_engine_numbers_our_passages(index: HybridIndex) -> None:
    engine = CitationQueryEngine.from_args(None, retriever=index.as_retriever(k=2), llm=MockLLM())
    wanted = index.search("stone", k=2)
    cited = engine.query("stone").source_nodes
    assert [node.metadata["document_id"] for node in cited] == [hit.passage.document_id for hit in wanted]
    assert all(hit.passage.text in node.text for hit, node in zip(wanted, cited, strict=True))


def test_threads_get_what_one_gets(index: HybridIndex) -> None:
    retriever = index.as_retriever(k=2)
    questions = ["stone", "films", "pregnancy", "urography"] * 4
    alone = [[found.node_id for found in retriever.retrieve(question)] for question in questions]
    with ThreadPoolExecutor(8) as pool:
        together = pool.map(lambda question: [found.node_id for found in retriever.retrieve(question)], questions)
        assert list(together) == alone


@pytest.mark.parametrize(("made", "name"), [(lambda node: NodeWithScore(node=node), "NodeWithScore"), (str, "str")])
def test_what_is_no_node_is_refused(made: Callable[[TextNode], Any], name: str) -> None:
    with pytest.raises(TypeError, match=rf"nodes\[1\] must be a node of llama-index, got {name};"):
        list(documents_of([TextNode(text="a"), made(TextNode(text="x"))]))


def test_documents_of_nodes() -> None:
    source = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id="file-1")}
    metadata = {"title": "Stones", "kind": "guideline", "year": 2021}
    nodes = [
        TextNode(id_="a", text="CT finds stones.", metadata=metadata, relationships=source, embedding=[1.0]),
        TextNode(id_="b", text="No metadata.", metadata={"title": None}),
    ]
    assert list(documents_of(nodes)) == [
        Document("a", "CT finds stones.", "Stones", "guideline", metadata={"year": 2021, "ref_doc_id": "file-1"}),
        Document("b", "No metadata.", metadata={"title": None}),
    ]
    assert metadata["title"] == "Stones"


def test_documents_of_llama_index_documents() -> None:
    documents = [core.Document(id_="a", text="CT finds stones.", metadata={"title": "Stones", "year": 2021})]
    assert list(documents_of(documents)) == [Document("a", "CT finds stones.", "Stones", metadata={"year": 2021})]


@pytest.mark.parametrize("value", [date(2021, 1, 1), float("nan"), {"a": b"x"}])
def test_metadata_that_are_not_json_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"node 'a': metadata 'when' must hold JSON values, got .*remove it"):
        list(documents_of([TextNode(id_="a", text="x", metadata={"when": value})]))


def test_nodes_make_an_index_that_finds_them(tmp_path: Path, toy: Callable[..., Any]) -> None:
    texts = ["CT finds stones.", "MR shows the liver.", "Ultrasound in pregnancy."]
    nodes = [TextNode(id_=f"n{i}", text=text, metadata={"page": i}) for i, text in enumerate(texts)]
    with HybridIndex.from_nodes(tmp_path / "index", nodes, encoder=toy()) as index:
        assert index.manifest["documents"] == 3
        retriever = index.as_retriever(k=1, mode="lexical", filters=_filters(("page", ">=", 1)))
        (found,) = retriever.retrieve("liver stones")
    assert (found.node.ref_doc_id, found.node.text, found.node.metadata["page"]) == ("n1", texts[1], 1)


def test_importing_the_module_loads_no_llama_index() -> None:
    code = "import sys, radrag.indexes.retriever; print('llama_index' in {name.split('.')[0] for name in sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"False\n"
