"""The index inside llama-index: a retriever for its query engines, its filters translated, and its nodes as documents.

llama-index takes a second or more to import, so nothing of it is loaded before a retriever is asked for.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from radrag.corpora.values import json_value, whole_number
from radrag.errors import require
from radrag.indexes.filters import Member, Range, Where
from radrag.types import Document, Hit

if TYPE_CHECKING:
    from llama_index.core.base.base_retriever import BaseRetriever
    from llama_index.core.schema import BaseNode
    from llama_index.core.vector_stores.types import MetadataFilters

_SHOWN = ("document_id", "title", "path", "flags", "year")
_AFTERWARDS = "filter the nodes afterwards"
_REMEDIES = {
    ">": f"for whole numbers say '>=' and the next number, or where={{field: Range(low=...)}}; else {_AFTERWARDS}",
    "<": f"for whole numbers say '<=' and the number before, or where={{field: Range(high=...)}}; else {_AFTERWARDS}",
    "nin": f"list the values that may be, with 'in'; else {_AFTERWARDS}",
    "or": f"for several values of one field say 'in' and a list; else {_AFTERWARDS}",
}


class Searchable(Protocol):
    """What a retriever needs of an index."""

    @property
    def search(self) -> Callable[..., Any]:
        """The method that searches."""


def as_retriever(
    index: Searchable,
    *,
    k: int = 10,
    where: Where | None = None,
    filters: MetadataFilters | None = None,
    **options: Any,
) -> BaseRetriever:
    """Return a llama-index retriever that searches an index; it works in any query engine, also asynchronously.

    A node is a passage. Its id is ``document_id#start-end``; ``start_char_idx`` and ``end_char_idx`` are its offsets in
    the document, which is its source relationship. Its metadata are the document's and ``document_id``,
    ``passage_id``, ``start``, ``end``, ``title``, ``path`` and ``flags``; metadata of the document with one of these
    names come as ``source_`` and the name. A language model sees only id, title, path, flags and year.

    Args:
        index: The index; it must stay open.
        k: Most nodes for a query.
        where: Metadata filter, as in ``search``.
        filters: The same as llama-index writes it, see ``where_of``; both may be given if they name different fields.
        options: Further arguments of ``search``, such as ``mode="lexical"`` or ``include_retracted=True``.

    Raises:
        ValueError: If ``k`` is below 1, or a filter cannot be translated.
        TypeError: If ``search`` has no such option, ``k`` is no whole number, or ``filters`` are not those of
            llama-index.
    """
    k = whole_number("k", k)
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    joined = dict(where or {})
    for field, wanted in (where_of(filters) if filters is not None else {}).items():
        _put(joined, field, wanted)
    arguments = {"k": k, "where": joined, **options}
    inspect.signature(index.search).bind("query", **arguments)
    retriever: BaseRetriever = _retriever_class()(index, arguments)
    return retriever


def where_of(filters: MetadataFilters) -> dict[str, Any]:
    """Translate llama-index filters to a ``where`` mapping.

    Args:
        filters: Filters joined by AND, nested or not. ``==``, ``in``, ``>=`` and ``<=`` can be said; ``any`` too, for
            a list in the metadata matches if one of its members does; and ``contains``, for lists: a search refuses it
            where a document has text in the field that is in no list.

    Raises:
        ValueError: If a filter has another operator or condition, or a field has conditions that one cannot say.
        TypeError: If it is something else, such as a mapping.
    """
    if not hasattr(filters, "filters"):
        raise TypeError(f"filters must be MetadataFilters of llama-index, got {filters!r}; pass a mapping as where=...")
    condition = "and" if filters.condition is None else filters.condition.value
    if condition != "and" and not (condition == "or" and len(filters.filters) == 1):
        raise ValueError(f"filters must be joined by 'and', got {condition!r}; {_REMEDIES.get(condition, _AFTERWARDS)}")
    where: dict[str, Any] = {}
    for one in filters.filters:
        inner = where_of(one) if hasattr(one, "filters") else {one.key: _wanted(one)}
        for field, wanted in inner.items():
            _put(where, field, wanted)
    return where


def documents_of(nodes: Iterable[BaseNode]) -> Iterator[Document]:
    """Yield a document for each llama-index node, to be added to an index.

    The id is the node's; the text is the node's own, without its metadata. ``title`` and ``kind`` in the metadata, if
    they are text, become the document's; the rest is kept, and the id of the node's source as ``ref_doc_id``.
    Embeddings and other relationships are left behind.

    Raises:
        ValueError: If the metadata hold something that is not JSON.
        TypeError: If something is not a node.
    """
    for number, node in enumerate(nodes):
        if not hasattr(node, "ref_doc_id"):
            raise TypeError(
                f"nodes[{number}] must be a node of llama-index, got {type(node).__name__}; of a NodeWithScore give"
                " .node, for text TextNode(text=...)"
            )
        metadata = dict(node.metadata)
        for key, value in metadata.items():
            _check_json(node.node_id, key, value)
        fields = {key: metadata.pop(key) for key in ("title", "kind") if isinstance(metadata.get(key), str)}
        if node.ref_doc_id is not None:
            metadata.setdefault("ref_doc_id", node.ref_doc_id)
        yield Document(node.node_id, node.get_content(metadata_mode="none"), metadata=metadata, **fields)


def _check_json(name: str, key: str, value: Any) -> None:
    try:
        json.dumps(value, allow_nan=False, default=json_value)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"node {name!r}: metadata {key!r} must hold JSON values, got {value!r} ({error}); convert or remove it"
        ) from error


def _wanted(one: Any) -> Any:
    """Translate one filter to what its field must be."""
    translations: Mapping[str, Callable[[Any], Any]] = {
        "==": lambda value: value,
        "contains": Member,
        "in": list,
        "any": list,
        ">=": lambda value: Range(low=value),
        "<=": lambda value: Range(high=value),
    }
    operator = one.operator.value
    if operator not in translations:
        raise ValueError(
            f"filter on {one.key!r}: the operator {operator!r} cannot be translated, expected one of"
            f" {', '.join(translations)}; {_REMEDIES.get(operator, _AFTERWARDS)}"
        )
    if one.value is None or isinstance(one.value, list) != (operator in ("in", "any")):
        expected = "a list" if operator in ("in", "any") else "one value"
        raise ValueError(f"filter on {one.key!r}: {operator!r} needs {expected}, got {one.value!r}")
    return translations[operator](one.value)


def _put(where: dict[str, Any], field: str, wanted: Any) -> None:
    """Add a condition; two open ranges of one field make one closed range, any other pair is refused."""
    if field not in where:
        where[field] = wanted
        return
    known = where[field]
    if isinstance(known, Range) and isinstance(wanted, Range):
        lows = [side for side in (known.low, wanted.low) if side is not None]
        highs = [side for side in (known.high, wanted.high) if side is not None]
        if len(lows) < 2 and len(highs) < 2:
            where[field] = Range(*lows or (None,), *highs)
            return
    raise ValueError(f"filter on {field!r} is given twice, {known!r} and {wanted!r}; give one condition for a field")


@cache
def _retriever_class() -> Any:
    require("llama_index.core", extra="llama")
    from llama_index.core.base.base_retriever import BaseRetriever

    class IndexRetriever(BaseRetriever):  # type: ignore[misc]
        """Searches an index for llama-index."""

        def __init__(self, index: Searchable, arguments: Mapping[str, Any]) -> None:
            super().__init__()
            self._index, self._arguments = index, arguments

        def _retrieve(self, query_bundle: Any) -> list[Any]:
            hits = self._index.search(query_bundle.query_str, **self._arguments)
            return [node_of(hit) for hit in hits]

        async def _aretrieve(self, query_bundle: Any) -> list[Any]:
            return await asyncio.to_thread(self._retrieve, query_bundle)

    return IndexRetriever


def node_of(hit: Hit) -> Any:
    """Return a hit as a llama-index node with its score."""
    schema = require("llama_index.core.schema", extra="llama")
    passage = hit.passage
    own = {
        "document_id": passage.document_id,
        "passage_id": passage.id,
        "start": passage.start,
        "end": passage.end,
        "title": passage.title,
        "path": list(passage.path),
        "flags": list(passage.flags),
    }
    metadata = {(f"source_{key}" if key in own else key): value for key, value in passage.metadata.items()} | own
    hidden = [key for key, value in metadata.items() if key not in _SHOWN or value in ("", [])]
    source = schema.RelatedNodeInfo(node_id=passage.document_id, node_type=schema.ObjectType.DOCUMENT)
    node = schema.TextNode(
        id_=f"{passage.document_id}#{passage.start}-{passage.end}",
        text=passage.text,
        start_char_idx=passage.start,
        end_char_idx=passage.end,
        metadata=metadata,
        excluded_llm_metadata_keys=hidden,
        excluded_embed_metadata_keys=hidden,
        relationships={schema.NodeRelationship.SOURCE: source},
    )
    return schema.NodeWithScore(node=node, score=hit.score)
