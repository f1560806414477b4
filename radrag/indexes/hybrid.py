"""The hybrid index: BM25 and FAISS over the same passages, in one folder that is always in one whole state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload

from radrag.corpora import Chunking
from radrag.corpora.versions import Version
from radrag.errors import IndexStateError
from radrag.indexes.changes import Changes, discard
from radrag.indexes.creation import create_store, refuse_full
from radrag.indexes.database import Database
from radrag.indexes.encoders import load_encoder
from radrag.indexes.facets import facet_fields
from radrag.indexes.filters import Where
from radrag.indexes.fusion import Fusion
from radrag.indexes.hits import Request, SearchOptions, find
from radrag.indexes.ledger import Ledger
from radrag.indexes.searcher import Mode, SearchSettings
from radrag.indexes.settings import check_settings, chosen_reranker, default_weight, make_settings, reranker_settings
from radrag.indexes.state import State, States
from radrag.indexes.store import Store
from radrag.indexes.verification import verify_index
from radrag.protocols import Encoder
from radrag.types import Document, Hit, Notice, Passage

if TYPE_CHECKING:
    from llama_index.core.base.base_retriever import BaseRetriever
    from llama_index.core.schema import BaseNode

    from radrag.indexes.rerank import Reranker

T = TypeVar("T")


class HybridIndex:
    """Passages that can be found by their words and by their meaning; ``encoder`` makes their vectors.

    Make one with ``create`` or ``open``; both are context managers. Ids of passages are given once and never reused.
    What a batch writes becomes visible at once or not at all, also if the process is killed. One process writes at a
    time; others, and other threads, search meanwhile, and each search sees the last whole state.
    """

    def __init__(self, path: Path, database: Database, encoder: Encoder, reranker: Any = None) -> None:
        self._path, self._db, self.encoder = path, database, encoder
        self._store, self._open = Store(database), True
        self._states = States(path, database, encoder)
        self._changes = Changes(path, database, encoder)
        self._given_reranker = reranker

    @classmethod
    def create(
        cls, path: str | Path, *, encoder: str | Path | Encoder = "static", chunking: Chunking | None = None,
        lexical: str = "bm25", k1: float = 0.6, b: float = 0.5, fusion: Fusion | str = Fusion.ZSCORE,
        dense_weight: float | None = None, facets: Sequence[str] = (), reranker: Any = None,
        cache_embeddings: bool | None = None,
    ) -> Self:  # fmt: skip
        """Make an empty index.

        Args:
            path: A folder that does not exist or is empty.
            encoder: ``"static"`` (ships, no torch), ``"minilm"``, ``"medcpt"``, a sentence-transformers name or folder,
                a llama-index embedding, or any ``Encoder``.
            chunking: How documents are cut into passages.
            lexical: ``"bm25"``, or ``"rank-bm25"`` (all in memory; small indexes).
            k1: BM25 saturation.
            b: BM25 length normalisation.
            fusion: ``"zscore"``, ``"minmax"`` or ``"rrf"``.
            dense_weight: Weight of the vectors, 0 to 1; by default 0.4 for static encoders, 0.55 for others.
            facets: Metadata fields, besides ``radrag.indexes.facets.FACETS``, that filters shall find quickly.
            reranker: None, ``"learned"``, ``"late"`` (both ship), the name of a cross-encoder, or a ``Reranker``.
            cache_embeddings: Keep every vector by the text it was made from, so that none is computed twice, also
                after a document was deleted; by default for all encoders but static ones, which are as fast as a disk.
        """
        folder = Path(path)
        refuse_full(folder)  # before the encoder is loaded, which may take long
        asked = {"facets": facet_fields(facets), **reranker_settings(reranker)}
        loaded = load_encoder(encoder)
        weight = default_weight(loaded) if dense_weight is None else dense_weight
        search = SearchSettings(lexical=lexical, k1=k1, b=b, fusion=Fusion(fusion), dense_weight=weight)
        cached = not loaded.fingerprint.startswith("static:") if cache_embeddings is None else cache_embeddings
        settings = make_settings(encoder, loaded, chunking or Chunking(), search) | asked | {"cache_embeddings": cached}
        return cls(folder, create_store(folder, settings), loaded, reranker)

    @classmethod
    def open(cls, path: str | Path, *, encoder: str | Path | Encoder | None = None, reranker: Any = None) -> Self:
        """Open an index.

        Args:
            path: Its folder.
            encoder: Needed only if the index was made with an encoder object rather than a name.
            reranker: Another one than the index was made with, or that one if it was an object; see ``create``.

        Raises:
            IndexStateError: If there is none.
            IndexMismatchError: If it was made with another format, tokenizer or encoder than the one at hand.
            IndexCorruptError: If files are missing or cannot be read.
        """
        folder = Path(path)
        database = Database(folder / "store.sqlite")
        try:
            settings = database.get("settings")
            loaded = check_settings(folder, settings, encoder)
            index = cls(folder, database, loaded, chosen_reranker(folder, settings, reranker))
            index._read(lambda state: state.revision)
        except BaseException:
            database.close()
            raise
        return index

    @classmethod
    def from_nodes(cls, path: str | Path, nodes: Iterable[BaseNode], **options: Any) -> Self:
        """Make an index of llama-index nodes, a document each; options are those of ``create``."""
        from radrag.indexes.retriever import documents_of

        documents = list(documents_of(nodes))  # what cannot be a document is refused before anything is written
        index = cls.create(path, **options)
        try:
            index.add(documents)
        except BaseException:
            index.close()
            discard(Path(path))  # unless something of it was stored
            raise
        return index

    def close(self) -> None:
        """Close its files; calling it twice does no harm."""
        if self._open:
            self._open = False
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self._read(lambda state: len(state.searcher))

    def __repr__(self) -> str:
        return f"HybridIndex({str(self._path)!r}, encoder={self.encoder.fingerprint!r})"

    def add(
        self, documents: Iterable[Document], *, skip_existing: bool = False, batch_size: int = 1024,
        progress: bool = False, total: int | None = None,
    ) -> dict[str, int]:  # fmt: skip
        """Add documents, a batch at a time; after an interruption run it again with ``skip_existing=True``.

        Args:
            documents: Any iterable; it is streamed.
            skip_existing: Leave out documents that are stored already with the same content.
            batch_size: Documents that become visible together.
            progress: Show a bar.
            total: Number of documents for the bar, if known.

        Returns:
            How many documents were ``added``, ``skipped``, and ``empty`` (stored without a passage), and ``passages``.

        Raises:
            ValueError: If a document's id is stored already (with other content, if ``skip_existing``) or occurs twice.
        """
        self._check_open()
        return self._changes.add(documents, skip_existing, batch_size, "indexing" if progress else None, total)

    def update(
        self, documents: Iterable[Document], *, batch_size: int = 1024, progress: bool = False, total: int | None = None
    ) -> dict[str, int]:  # fmt: skip
        """Store documents, each in the place of the one with its id; new ids are added.

        A document that says what is stored, or an older version or revision of it, is skipped: an interrupted update
        is simply repeated. Arguments are those of ``add``; of several documents with one id in a batch the last counts.

        Returns:
            How many documents were ``added``, ``updated``, ``skipped`` and ``empty``, and ``passages`` written.
        """
        self._check_open()
        return self._changes.update(documents, batch_size, "indexing" if progress else None, total)

    def delete(self, ids: Iterable[str], *, keep_notices: bool = True) -> dict[str, int]:
        """Delete documents, all at once; return how many were ``deleted`` and how many were ``missing``.

        Unless ``keep_notices`` is False, what they published about others stays true until they are added again.
        """
        self._check_open()
        return self._changes.delete([ids] if isinstance(ids, str) else list(ids), keep_notices)

    def set_notices(self, origin: str, notices: Iterable[Notice]) -> int:
        """Put notices in the place of all of one origin, such as ``"retraction-watch"``; return how many there are."""
        self._check_open()
        return self._changes.set_notices(origin, notices)

    def set_notices_of(self, notices: Mapping[str, Iterable[Notice]]) -> dict[str, int]:
        """Put notices in the place of all of their origins, at once; return how many each origin has."""
        self._check_open()
        return self._changes.set_notices_of(notices)

    def compact(self) -> None:
        """Join all segments into one, without what was deleted, and give the space back."""
        self._check_open()
        self._changes.compact()

    def get_note(self, key: str) -> Any:
        """Return what was kept under a name, or None."""
        self._check_open()
        return self._db.get(f"note:{key}")

    def set_note(self, key: str, value: Any) -> None:
        """Keep a small JSON value with the index, such as which files were applied to it."""
        self._check_open()
        self._changes.set(f"note:{key}", value)

    @overload
    def search(  # type: ignore[overload-overlap]  # a str is a Sequence[str] too; the first that fits counts
        self, queries: str, k: int = ..., where: Where | None = ..., **options: Unpack[SearchOptions]
    ) -> list[Hit]: ...
    @overload
    def search(
        self, queries: Sequence[str], k: int = ..., where: Where | None = ..., **options: Unpack[SearchOptions]
    ) -> list[list[Hit]]: ...
    def search(
        self, queries: str | Sequence[str], k: int = 10, where: Where | None = None, *,
        mode: Mode | str = Mode.HYBRID, include_retracted: bool = False, exact: bool = False,
        per_document: int | None = None, settings: SearchSettings | None = None, rerank: bool = True,
    ) -> list[Hit] | list[list[Hit]]:  # fmt: skip
        """Find passages.

        Args:
            queries: One query, or several.
            k: Most hits for each query.
            where: Metadata filter; see ``radrag.indexes.filters.compile_where``.
            mode: ``"hybrid"``, ``"lexical"`` or ``"dense"``.
            include_retracted: Also return retracted documents and notices of retraction or concern, with their flags.
            exact: Compare with every vector, not approximately in large segments (their recall is in the manifest).
            per_document: Most passages of one document.
            settings: Fusion, weight and depth for this search; by default those of the index.
            rerank: Let the index's re-ranker, if it has one, put the best hits in order.

        Returns:
            Hits, best first, ties by document id and then start; for several queries a list of such lists.

        Raises:
            IndexCorruptError: If a text that was found is not the one that was stored.
        """
        batch = [queries] if isinstance(queries, str) else list(queries)
        reranker = self._reranker if rerank else None
        asked = Request(k, where or {}, Mode(mode), include_retracted, exact, per_document, settings, reranker)
        results = self._read(lambda state: find(state, self._store, batch, asked))
        return results[0] if isinstance(queries, str) else results

    def measure(self, queries: Sequence[str]) -> list[dict[str, Any]]:
        """Measure the recall of approximate search with one's own questions; search as deep as they ask from now on."""
        self._check_open()
        self._changes.measure(queries)
        return list(self.manifest["segments"])

    def as_retriever(self, **options: Any) -> BaseRetriever:
        """Return a llama-index retriever over this index; see ``radrag.indexes.retriever.as_retriever``."""
        from radrag.indexes.retriever import as_retriever

        return as_retriever(self, **options)

    def document(self, document_id: str) -> Document:
        """Return a stored document as given, checked against its hash; ``KeyError`` if there is none of that id."""
        self._check_open()
        return self._store.document(document_id)

    def flags(self, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return what was published against documents, stored here or not, by id; see ``Passage.flags``."""
        return self._read(lambda state: self._store.flags(names))

    def versions(self, names: Sequence[str]) -> dict[str, Version]:
        """Return the PMID version, with its date of revision, of those of these documents that are stored, by id."""
        self._check_open()
        return {name: version for name, (_, version) in self._store.known(names).items()}

    def documents(self) -> Iterator[Document]:
        """Yield every document once in the order they were added; one replaced meanwhile as it was or as it is now."""
        self._check_open()
        return self._store.documents()

    def passage(self, passage_id: int) -> Passage:
        """Return a stored passage, checked as ``document`` checks; ids that are gone raise ``KeyError``."""
        return self.passages([passage_id])[0]

    def passages(self, ids: Sequence[int]) -> list[Passage]:
        """Return stored passages of one state in the order of their ids given; see ``passage``."""
        self._check_open()
        found = self._store.passages(ids)
        if missing := [number for number in ids if number not in found]:
            raise KeyError(f"no passage {missing[0]} in {self._path}")
        return [found[number] for number in ids]

    def neighbours(self, passage_id: int, before: int = 1, after: int = 1) -> list[Passage]:
        """Return a passage with those of its document that stand before and after it, in the order of the text."""
        if before < 0 or after < 0:
            raise ValueError(f"before and after must be at least 0, got {before} and {after}")
        self._check_open()
        with self._db.snapshot():
            siblings = self._store.siblings(passage_id) or [passage_id]
            place = siblings.index(passage_id)
            return self.passages(siblings[max(0, place - before) : place + after + 1])

    def rarity(self, terms: Sequence[str]) -> dict[str, float]:
        """Return how rare each index term is among the passages: its inverse document frequency."""
        return self._read(lambda state: state.searcher.rarity(terms))

    def values(self, field: str) -> list[str]:
        """Return the texts that passages have in a facet (``create``), such as every MeSH heading, sorted."""
        return self._read(lambda state: state.values(field))

    @property
    def settings(self) -> SearchSettings:
        """How it searches unless told otherwise."""
        return SearchSettings(**self._read(lambda state: state.settings["search"]))

    def use(self, settings: SearchSettings) -> None:
        """Search with other settings from now on, also after it is opened again; nothing is built anew."""
        self._check_open()
        self._changes.set("settings", {**self._db.get("settings"), "search": asdict(settings)})

    @property
    def manifest(self) -> dict[str, Any]:
        """What it is: settings, fingerprints, counts, segments with their recall, and a hash of its content."""
        self._check_open()
        with self._db.snapshot():
            return {**self._db.get("settings"), **self._store.counts(), **Ledger(self._db).facts()}

    def verify(self) -> list[str]:
        """Check every byte against the recorded hashes; return what is wrong, a line each; see ``verify_index``."""
        self._check_open()
        return verify_index(self._path, self._db)

    def _check_open(self) -> None:
        if not self._open:
            raise IndexStateError(f"the index {self._path} is closed; open it again with HybridIndex.open")

    @cached_property
    def _reranker(self) -> Reranker | None:
        from radrag.indexes.rerank import load_reranker

        return load_reranker(self._given_reranker)

    def _read(self, use: Callable[[State], T]) -> T:
        self._check_open()
        return self._states.read(use)
