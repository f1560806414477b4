"""A question pipeline inside llama-index: a query engine that answers with source nodes."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING, Any

from radrag.errors import require
from radrag.indexes.retriever import node_of
from radrag.pipelines.asking import Options, ask_of
from radrag.types import Answer
from radrag.types.printing import headline

if TYPE_CHECKING:
    from llama_index.core.base.base_query_engine import BaseQueryEngine

    from radrag.pipelines.qa import QAPipeline

_SURE = 0.5  # probability up to which a verdict only leans, as it is printed too


def as_query_engine(qa: QAPipeline, form: str | None = None, options: Options = None) -> BaseQueryEngine:
    """Return a llama-index query engine; it also works asynchronously.

    A response is the answer's text, with its verdict or value in front, or ``No answer:`` and the reason. Its source
    nodes are the passages found, as ``HybridIndex.as_retriever`` gives them, each with the stretches that are cited as
    ``cited`` in its metadata: key, start and end in the document, and quote. The response's metadata hold the whole
    answer as ``answer``, as plain values for ``Answer.from_dict``.

    Args:
        qa: The pipeline.
        form: What to ask for in every query; see ``QAPipeline.batch``.
        options: Options by capital letter, for a choice.

    Raises:
        ValueError: If the form is unknown, or the options do not belong to it.
    """
    ask_of(form, options)
    engine: BaseQueryEngine = _engine_class()(qa, form, options)
    return engine


@cache
def _engine_class() -> Any:
    require("llama_index.core", extra="llama")
    from llama_index.core.base.base_query_engine import BaseQueryEngine
    from llama_index.core.base.response.schema import Response

    class QAQueryEngine(BaseQueryEngine):  # type: ignore[misc]
        """Answers llama-index queries with a question pipeline."""

        def __init__(self, qa: QAPipeline, form: str | None, options: Options) -> None:
            super().__init__(callback_manager=None)
            self._qa, self._form, self._options = qa, form, options

        def _query(self, query_bundle: Any) -> Any:
            answer = self._qa(query_bundle.query_str, self._form, self._options)
            nodes = [_cited(node_of(hit), answer) for hit in answer.evidence]
            text = f"No answer: {answer.reason}" if answer.abstained else _text(answer)
            return Response(text, source_nodes=nodes, metadata={"answer": answer.to_dict()})

        async def _aquery(self, query_bundle: Any) -> Any:
            return await asyncio.to_thread(self._query, query_bundle)

        def _get_prompt_modules(self) -> dict[str, Any]:
            return {}

    return QAQueryEngine


def _text(answer: Answer) -> str:
    head = headline(answer)  # the value, or what a verdict leans to
    verdict = answer.verdict
    if verdict is not None and verdict.probability.get(verdict.answer, 1.0) > _SURE:
        head = verdict.answer.capitalize()
    return " ".join(part for part in (head and f"{head}.", answer.text) if part)


def _cited(found: Any, answer: Answer) -> Any:
    own = found.node.metadata
    cited = [
        {"key": one.key, "start": one.start, "end": one.end, "quote": one.quote}
        for one in dict.fromkeys(answer.citations)
        if one.document_id == own["document_id"] and own["start"] <= one.start and one.end <= own["end"]
    ]
    found.node.metadata = {**own, "cited": cited}
    hidden = [*found.node.excluded_llm_metadata_keys, "cited"]
    found.node.excluded_llm_metadata_keys, found.node.excluded_embed_metadata_keys = hidden, list(hidden)
    return found
