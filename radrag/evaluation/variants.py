"""A pipeline with one part changed: another view of its index, fewer passages, another seed, its generator counted."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from radrag.indexes.filters import Where
from radrag.types import Chat, Generation, GenerationParams, Hit, Passage

if TYPE_CHECKING:
    from radrag.pipelines.qa import QAPipeline

Refuse = Callable[[str, Passage], bool]
_GROWTH = 4


@dataclass(frozen=True)
class View:
    """An index that searches otherwise, or never shows some passages.

    Passages are taken out of the ranking after the search, so that word statistics stay those of the whole index; as
    many as were asked for come back if there are as many.

    Attributes:
        index: The index, or a view of one.
        name: What is different; it becomes part of the manifest.
        options: Options of ``HybridIndex.search``, such as ``{"mode": "lexical"}``.
        refuse: Takes a query and a passage; true if the passage must not be found for it.
    """

    index: Any
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    refuse: Refuse | None = None

    def search(self, queries: str | Sequence[str], k: int = 10, where: Where | None = None, **options: Any) -> Any:
        """Find passages as ``HybridIndex.search`` does."""
        batch = [queries] if isinstance(queries, str) else list(queries)
        made = {**self.options, **options}
        found = [list(hits) for hits in self.index.search(batch, k, where, **made)] if batch else []
        if self.refuse is not None:
            found = [self._kept(query, hits, k, where, made) for query, hits in zip(batch, found, strict=True)]
        return found[0] if isinstance(queries, str) else found

    def _kept(self, query: str, hits: list[Hit], k: int, where: Where | None, options: dict[str, Any]) -> list[Hit]:
        refuse, asked = self.refuse, k
        assert refuse is not None
        kept = [hit for hit in hits if not refuse(query, hit.passage)]
        while len(kept) < k and len(hits) >= asked:
            asked *= _GROWTH
            hits = list(self.index.search([query], asked, where, **options)[0])
            kept = [hit for hit in hits if not refuse(query, hit.passage)]
        return kept[:k]

    def __getattr__(self, name: str) -> Any:
        """Documents, encoder, word statistics and all else are those of the index."""
        if name == "index":
            raise AttributeError(name)  # asked for before it is set, by what copies a view
        return getattr(self.index, name)

    @property
    def manifest(self) -> dict[str, Any]:
        """The index's manifest, with the view's name in the hash of its content."""
        inner = dict(self.index.manifest)
        changed = hashlib.sha256(f"{inner['content']}\n{self.name}".encode()).hexdigest()
        return {**inner, "content": changed, "view": self.name}


class Meter:
    """A generator that counts the tokens it reads and writes.

    Args:
        generator: Any ``Generator``.
    """

    def __init__(self, generator: Any) -> None:
        self._generator = generator
        self.prompt_tokens: int | None = 0
        self.new_tokens: int | None = 0

    def generate(self, chats: Sequence[Chat], params: GenerationParams) -> list[Generation]:
        """Write, and count; one reply without a count makes the whole count unknown."""
        made: list[Generation] = list(self._generator.generate(chats, params))
        self.prompt_tokens = _sum(self.prompt_tokens, [one.prompt_tokens for one in made])
        self.new_tokens = _sum(self.new_tokens, [one.new_tokens for one in made])
        return made

    @property
    def fingerprint(self) -> str:
        """That of the generator: counting changes nothing."""
        return str(getattr(self._generator, "fingerprint", type(self._generator).__name__))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._generator, name)


def _sum(total: int | None, counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return None if total is None or len(known) < len(counts) else total + sum(known)


def variant(system: QAPipeline, *, index: Any = None, k: int | None = None) -> QAPipeline:
    """Return a pipeline that shares everything with another but its index or the number of passages.

    Raises:
        TypeError: If the system is no ``QAPipeline``.
        ValueError: If k is below 1.
    """
    from radrag.pipelines.qa import QAPipeline

    if not isinstance(system, QAPipeline):
        raise TypeError(
            f"only a QAPipeline can be varied so, got {type(system).__name__}; make the variants yourself and pass them"
            " by name, as compare(..., ablations={'fewer passages': other})"
        )
    return system.with_(index=index, k=k)


def index_of(system: Any) -> Any:
    """Return the index that a pipeline looks in, or None if it is not one of ours."""
    found = getattr(system, "_index", None)
    return getattr(getattr(system, "_sources", None), "index", None) if found is None else found


def reranks(index: Any) -> bool:
    """Whether an index puts its hits in order with a re-ranker, also one that its manifest cannot name."""
    return getattr(index, "_given_reranker", None) is not None or index.manifest.get("reranker") is not None


def passages_of(system: Any) -> int:
    """Return how many passages a ``QAPipeline`` retrieves."""
    return int(getattr(system, "_k", 0))


def _with_reader(system: Any, change: Callable[[Any], None]) -> Any:
    other = copy.copy(system)
    other._reader = copy.copy(system._reader)
    change(other._reader)
    other.__dict__.pop("_reader_fingerprint", None)  # it was computed from the other reader
    return other


def metered(system: Any) -> tuple[Any, Meter | None]:
    """Return the pipeline with its generator counted; as it is, and None, if it has none.

    A system whose generator is not in a reader of ours counts it by a method ``metered`` of its own.
    """
    own = getattr(system, "metered", None)
    if own is not None:
        found: tuple[Any, Meter | None] = own()
        return found
    generator = getattr(getattr(system, "_reader", None), "_generator", None)
    if generator is None:
        return system, None
    meter = Meter(generator)
    return _with_reader(system, lambda reader: setattr(reader, "_generator", meter)), meter


def reseeded(system: Any, seed: int) -> Any:
    """Return the pipeline with another seed of its sampling.

    Raises:
        ValueError: If it does not sample: repeats would be copies, and their spread of 0 would mislead.
    """
    params = getattr(getattr(system, "_reader", None), "_params", None)
    if not isinstance(params, GenerationParams) or params.temperature <= 0:
        raise ValueError(
            "repeats need a generator that samples (temperature above 0); this pipeline gives the same output every "
            "time, so leave repeats at 1"
        )
    return _with_reader(system, lambda reader: setattr(reader, "_params", replace(params, seed=seed)))


def samples(system: Any) -> bool:
    """Whether a pipeline draws its words."""
    params = getattr(getattr(system, "_reader", None), "_params", None)
    return isinstance(params, GenerationParams) and params.temperature > 0
