"""From rows that a search found to hits that can be cited: passages read and checked, re-ranked, limited."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from radrag.corpora.retractions import NO_EVIDENCE
from radrag.corpora.values import whole_number
from radrag.errors import IndexCorruptError
from radrag.indexes.filters import Where, refuse_surrogates
from radrag.indexes.searcher import Mode, SearchSettings
from radrag.indexes.segments import damage_told
from radrag.indexes.state import State
from radrag.indexes.store import Store
from radrag.types import Hit

_RERANKED = 50
_GROWTH = 4


class SearchOptions(TypedDict, total=False):
    """The further options of ``HybridIndex.search``."""

    mode: Mode | str
    include_retracted: bool
    exact: bool
    per_document: int | None
    settings: SearchSettings | None
    rerank: bool


@dataclass(frozen=True, slots=True)
class Request:
    """What a search is asked for; see ``HybridIndex.search``."""

    k: int
    where: Where
    mode: Mode
    include_retracted: bool
    exact: bool
    per_document: int | None
    settings: SearchSettings | None
    reranker: Any

    def __post_init__(self) -> None:
        for name in ("k", "per_document"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, value := whole_number(name, value))
                if value < 1:
                    raise ValueError(f"{name} must be at least 1, got {value}")
        if not isinstance(self.where, Mapping):
            raise TypeError(f"where must be a mapping such as {{'kind': 'abstract'}}, got {self.where!r:.200}")


def find(state: State, store: Store, queries: Sequence[str], asked: Request) -> list[list[Hit]]:
    """Search one state; the caller holds the snapshot that it was read in."""
    if any(not isinstance(query, str) or not query.strip() for query in queries):
        raise ValueError(f"a query must be text that is not blank, got {queries!r}")
    for query in queries:
        refuse_surrogates(f"the query {query!r:.80}", query)
    depth = getattr(asked.reranker, "depth", _RERANKED)
    wanted = asked.k if asked.reranker is None else max(asked.k, depth)
    results = []
    for query, hits in zip(queries, _ranked(state, store, queries, wanted, asked), strict=True):
        most = wanted
        kept = _finish(query, hits, asked)
        while asked.per_document is not None and len(kept) < asked.k and len(hits) >= most:
            most *= _GROWTH
            (hits,) = _ranked(state, store, [query], most, asked)
            kept = _finish(query, hits, asked)
        results.append(kept[: asked.k])
    return results


def _ranked(state: State, store: Store, queries: Sequence[str], wanted: int, asked: Request) -> list[list[Hit]]:
    """Return the ``wanted`` best hits of each query, ties by document id and then start."""
    with damage_told():
        masks = state.masks(asked.where, asked.include_retracted)
    options: dict[str, Any] = {"exact": asked.exact, "settings": asked.settings, "heard": True}
    found = state.searcher.search(queries, wanted, masks, asked.mode, **options)
    passages = store.passages(list({number for rows in found for number, *_ in rows}))
    if asked.where:
        _refuse_leaks(store, {passage.document_id for passage in passages.values()}, asked.where)
    results = []
    for rows in found:
        numbers = {number for number, *_ in rows}
        if len(numbers) < len(rows) or not numbers <= passages.keys():
            missing = sorted(numbers - passages.keys())
            raise IndexCorruptError(
                f"passages were indexed twice, or are not in the store ({missing}); rebuild the index"
            )
        hits = [Hit(passages[number], score, lexical, dense) for number, score, lexical, dense in rows]
        hits.sort(key=lambda hit: (-hit.score, hit.passage.document_id, hit.passage.start))
        results.append(hits[:wanted])
    return results


def _refuse_leaks(store: Store, names: set[str], where: Where) -> None:
    """Compare what facets admitted with the documents themselves, whose metadata carry a checksum."""
    wrong = sorted(names - store.admitted(where, sorted(names)))
    if wrong:
        raise IndexCorruptError(f"the filter {where} does not admit {wrong[0]}, but it was found; rebuild the index")


def _finish(query: str, hits: list[Hit], asked: Request) -> list[Hit]:
    for hit in hits:
        flag = next((one for one in hit.passage.flags if one in NO_EVIDENCE), None)
        if flag is not None and not asked.include_retracted:
            raise IndexCorruptError(
                f"{hit.passage.document_id} is left out for {flag!r} but was not marked so; rebuild the index before "
                "using it"
            )
    if asked.reranker is not None and hits:
        hits = list(asked.reranker.rerank(query, hits))
    if asked.per_document is None:
        return hits
    seen: Counter[str] = Counter()
    kept = []
    for hit in hits:
        seen[hit.passage.document_id] += 1
        if seen[hit.passage.document_id] <= asked.per_document:
            kept.append(hit)
    return kept
