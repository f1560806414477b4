"""The hybrid index: BM25 and FAISS over the same passages, in one folder that is always in one whole state."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from radrag.corpora import Chunking
from radrag.errors import IndexCorruptError, IndexStateError
from radrag.indexes.encoders import load_encoder
from radrag.indexes.filters import Where
from radrag.indexes.fusion import Fusion
from radrag.indexes.searcher import Mode, Searcher, SearchSettings
from radrag.indexes.segments import retry_missing
from radrag.indexes.settings import check_settings, default_weight, make_settings
from radrag.indexes.store import Store
from radrag.indexes.verification import verify_index
from radrag.indexes.writing import Writer, read_segments
from radrag.protocols import Encoder
from radrag.types import Document, Hit, Passage

_MAX_MASKS = 64


class HybridIndex:
    """Passages that can be found by their words and by their meaning.

    Make one with ``create`` or ``open``; both are context managers. Ids of passages are given once and never reused.
    Every batch that ``add`` writes becomes visible at once or not at all, also if the process is killed.
    """

    def __init__(self, path: Path, store: Store, encoder: Encoder) -> None:
        self._path, self._store, self._encoder = path, store, encoder
        self._open = True
        self._settings: dict[str, Any] = store.get("settings")
        self._chunking = Chunking(**self._settings["chunking"])
        self._load()

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        encoder: str | Path | Encoder = "static",
        chunking: Chunking | None = None,
        lexical: str = "bm25",
        k1: float = 0.6,
        b: float = 0.5,
        fusion: Fusion | str = Fusion.ZSCORE,
        dense_weight: float | None = None,
    ) -> Self:
        """Make an empty index.

        Args:
            path: A folder that does not exist or is empty.
            encoder: ``"static"`` (ships, no torch), ``"minilm"``, a sentence-transformers name or folder, a llama-index
                embedding, or any ``Encoder``.
            chunking: How documents are cut into passages.
            lexical: ``"bm25"``, or ``"rank-bm25"`` (all in memory; small indexes).
            k1: BM25 saturation.
            b: BM25 length normalisation.
            fusion: ``"zscore"``, ``"minmax"`` or ``"rrf"``.
            dense_weight: Weight of the vectors, 0 to 1; by default 0.4 for static encoders, 0.6 for others.
        """
        folder = Path(path)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise IndexStateError(f"{folder} exists and is not empty; open it, or choose another folder")
        loaded = load_encoder(encoder)
        weight = default_weight(loaded) if dense_weight is None else dense_weight
        search = SearchSettings(lexical=lexical, k1=k1, b=b, fusion=Fusion(fusion), dense_weight=weight)
        name = str(encoder) if isinstance(encoder, str | Path) else None
        settings = make_settings(name, loaded, chunking or Chunking(), search)
        folder.mkdir(parents=True, exist_ok=True)
        store = Store(folder / "store.sqlite", create=True)
        with store.transaction():
            store.set("settings", settings)
            store.set("content", hashlib.sha256().hexdigest())
        return cls(folder, store, loaded)

    @classmethod
    def open(cls, path: str | Path, *, encoder: str | Path | Encoder | None = None) -> Self:
        """Open an index.

        Args:
            path: Its folder.
            encoder: Needed only if the index was made with an encoder object rather than a name.

        Raises:
            IndexStateError: If there is none.
            IndexMismatchError: If it was made with another format, tokenizer or encoder than the one at hand.
            IndexCorruptError: If files are missing or cannot be read.
        """
        folder = Path(path)
        store = Store(folder / "store.sqlite")
        try:
            settings = store.get("settings")
            loaded = check_settings(folder, settings, encoder)
            return cls(folder, store, loaded)
        except BaseException:
            store.close()
            raise

    def close(self) -> None:
        """Close its files; calling it twice does no harm."""
        if self._open:
            self._open = False
            self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._searcher)

    def __repr__(self) -> str:
        return (
            f"HybridIndex({str(self._path)!r}, passages={len(self)}, encoder={self._settings['encoder_fingerprint']!r})"
        )

    def add(
        self,
        documents: Iterable[Document],
        *,
        skip_existing: bool = False,
        batch_size: int = 512,
        progress: bool = False,
        total: int | None = None,
    ) -> dict[str, int]:
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
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        report = {"added": 0, "skipped": 0, "empty": 0, "passages": 0}
        writer = Writer(self._path, self._store, self._encoder, self._chunking)
        stream = iter(documents)
        with _bar(progress) as bar:
            task = bar.add_task("indexing", total=total)
            try:
                while batch := list(islice(stream, batch_size)):
                    for name, count in writer.write(batch, skip_existing).items():
                        report[name] += count
                    bar.advance(task, len(batch))
            finally:
                if report["added"]:
                    try:
                        writer.tidy()
                    finally:
                        self._load()
        return report

    @overload
    def search(  # type: ignore[overload-overlap]  # a str is a Sequence[str] too; the first that fits counts
        self,
        queries: str,
        k: int = ...,
        where: Where | None = ...,
        *,
        mode: Mode | str = ...,
        include_retracted: bool = ...,
    ) -> list[Hit]: ...
    @overload
    def search(
        self,
        queries: Sequence[str],
        k: int = ...,
        where: Where | None = ...,
        *,
        mode: Mode | str = ...,
        include_retracted: bool = ...,
    ) -> list[list[Hit]]: ...
    def search(
        self,
        queries: str | Sequence[str],
        k: int = 10,
        where: Where | None = None,
        *,
        mode: Mode | str = Mode.HYBRID,
        include_retracted: bool = False,
    ) -> list[Hit] | list[list[Hit]]:
        """Find passages.

        Args:
            queries: One query, or several.
            k: Most hits for each query.
            where: Metadata filter; see ``radrag.indexes.filters.compile_where``.
            mode: ``"hybrid"``, ``"lexical"`` or ``"dense"``.
            include_retracted: Also return passages of retracted documents.

        Returns:
            Hits, best first, ties by document id and then start; for several queries a list of such lists.
        """
        self._check_open()
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        batch = [queries] if isinstance(queries, str) else list(queries)
        if any(not isinstance(query, str) or not query.strip() for query in batch):
            raise ValueError(f"a query must be text that is not blank, got {batch!r}")
        found = self._searcher.search(batch, k, self._mask(where or {}, include_retracted), Mode(mode))
        passages = self._store.passages([number for hits in found for number, *_ in hits])
        results = []
        for hits in found:
            made = [Hit(passages[number], score, lexical, dense) for number, score, lexical, dense in hits]
            made.sort(key=lambda hit: (-hit.score, hit.passage.document_id, hit.passage.start))
            results.append(made[:k])
        return results[0] if isinstance(queries, str) else results

    def document(self, document_id: str) -> Document:
        """Return a stored document; its text is checked against its hash.

        Raises:
            KeyError: If there is none of that id.
            IndexCorruptError: If it was altered on disk.
        """
        self._check_open()
        return self._store.document(document_id)

    def documents(self) -> Iterator[Document]:
        """Yield every document in the order they were added."""
        self._check_open()
        return (self._store.document(name) for name in self._store.document_names())

    def passage(self, passage_id: int) -> Passage:
        """Return a stored passage.

        Raises:
            KeyError: If there is none of that id.
        """
        self._check_open()
        found = self._store.passages([passage_id])
        if passage_id not in found:
            raise KeyError(f"no passage {passage_id} in {self._path}")
        return found[passage_id]

    def rarity(self, terms: Sequence[str]) -> dict[str, float]:
        """Return how rare each index term is among the passages: its inverse document frequency."""
        self._check_open()
        return self._searcher.rarity(terms)

    @property
    def encoder(self) -> Encoder:
        """The encoder of its vectors."""
        return self._encoder

    @property
    def manifest(self) -> dict[str, Any]:
        """What it is: format, encoder, tokenizer, chunking, search settings, counts and a hash of its content."""
        self._check_open()
        return {**self._settings, **self._store.counts(), "content": self._store.get("content")}

    def verify(self) -> list[str]:
        """Check every byte against the recorded hashes; return what is wrong, a line each."""
        self._check_open()
        return verify_index(self._path, self._store)

    def _check_open(self) -> None:
        if not self._open:
            raise IndexStateError(f"the index {self._path} is closed; open it again with HybridIndex.open")

    def _mask(self, where: Where, include_retracted: bool) -> NDArray[np.bool_] | None:
        """Which rows a filter admits, or None if it admits all; the last few filters are remembered."""
        key = f"{include_retracted} {sorted(where.items(), key=repr)!r}"
        if key not in self._masks:
            mask = np.isin(self._searcher.owners, self._store.matching(where, include_retracted))
            while len(self._masks) >= _MAX_MASKS:
                del self._masks[next(iter(self._masks))]
            self._masks[key] = None if mask.all() else mask
        return self._masks[key]

    def _load(self) -> None:
        def read() -> Searcher:
            with self._store.snapshot():
                ids, owners = self._store.passage_rows()
                segments = read_segments(self._path, self._store, self._settings["dim"])
            if sum(len(segment.vectors) for segment in segments) != len(ids):
                raise IndexCorruptError(f"{self._path}: segments and passages differ in number; rebuild the index")
            return Searcher(segments, ids, owners, self._encoder, SearchSettings(**self._settings["search"]))

        self._searcher = retry_missing(read)
        self._masks: dict[str, NDArray[np.bool_] | None] = {}


def _bar(shown: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, disable=not shown)
