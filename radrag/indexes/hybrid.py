"""The hybrid index: BM25 and FAISS over the same passages, in one folder that is always in one whole state."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from radrag.corpora import Chunking
from radrag.errors import IndexCorruptError, IndexMismatchError, IndexStateError
from radrag.indexes.bm25 import ENGINES
from radrag.indexes.encoders import load_encoder
from radrag.indexes.filters import Where
from radrag.indexes.fusion import Fusion
from radrag.indexes.postings import build_postings, merge_postings
from radrag.indexes.searcher import Mode, Searcher, SearchSettings
from radrag.indexes.segments import (
    Segment,
    read_segment,
    remove_unnamed,
    retry_missing,
    verify_segment,
    write_segment,
)
from radrag.indexes.store import Store, text_sha256
from radrag.indexes.tokens import fingerprint as tokenizer_fingerprint
from radrag.indexes.tokens import tokenize
from radrag.protocols import Encoder
from radrag.types import Document, Hit, Passage

FORMAT = 1
_MAX_SEGMENTS = 8
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
            dense_weight: Weight of the vectors against the words, 0 to 1; by default the one measured for the encoder.
        """
        folder = Path(path)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise IndexStateError(f"{folder} exists and is not empty; open it, or choose another folder")
        loaded = load_encoder(encoder)
        weight = _default_weight(loaded) if dense_weight is None else dense_weight
        search = SearchSettings(lexical=lexical, k1=k1, b=b, fusion=Fusion(fusion), dense_weight=weight)
        settings = {
            "format": FORMAT,
            "encoder": str(encoder) if isinstance(encoder, str | Path) else None,
            "encoder_fingerprint": loaded.fingerprint,
            "dim": loaded.dim,
            "tokenizer": tokenizer_fingerprint(),
            "chunking": asdict(chunking or Chunking()),
            "search": asdict(search),
        }
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
            _check_settings(folder, settings)
            wanted = settings["encoder"] if encoder is None else encoder
            if wanted is None:
                raise IndexMismatchError(
                    f"{folder} was made with an encoder object ({settings['encoder_fingerprint']}); pass it: encoder=..."
                )
            loaded = load_encoder(wanted)
            if loaded.fingerprint != settings["encoder_fingerprint"]:
                raise IndexMismatchError(
                    f"{folder} holds vectors of encoder {settings['encoder_fingerprint']}, but {loaded.fingerprint} was "
                    "loaded; pass the encoder it was made with, or build the index again"
                )
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
        return f"HybridIndex({str(self._path)!r}, passages={len(self)}, encoder={self._settings['encoder_fingerprint']!r})"

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
            ValueError: If a document's id is stored already (with other content, if ``skip_existing``), or occurs twice.
        """
        self._check_open()
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        report = {"added": 0, "skipped": 0, "empty": 0, "passages": 0}
        stream = iter(documents)
        with _bar(progress) as bar:
            task = bar.add_task("indexing", total=total)
            try:
                while batch := list(islice(stream, batch_size)):
                    fresh = self._fresh(batch, skip_existing)
                    report["skipped"] += len(batch) - len(fresh)
                    if fresh:
                        self._add_batch(fresh, report)
                    bar.advance(task, len(batch))
            finally:
                if report["added"]:
                    self._merge_segments()
                    self._load()
        return report

    @overload
    def search(self, queries: str, k: int = ..., where: Where | None = ..., **options: Any) -> list[Hit]: ...
    @overload
    def search(
        self, queries: Sequence[str], k: int = ..., where: Where | None = ..., **options: Any
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
        problems = []
        if (state := self._store.integrity()) != "ok":
            problems.append(f"store.sqlite: {state}")
        digest = hashlib.sha256().hexdigest()
        try:
            for document in self.documents():
                digest = _chain(digest, document)
        except (IndexCorruptError, ValueError) as error:
            problems.append(str(error))
        else:
            if digest != self._store.get("content"):
                problems.append("the documents are not the ones recorded: one was removed, added or altered")
        for folder, _, files in self._store.segments():
            problems.extend(verify_segment(self._path / "segments" / folder, files))
        return problems

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

    def _fresh(self, batch: list[Document], skip_existing: bool) -> list[Document]:
        seen: dict[str, str] = {}
        fresh = []
        stored = self._store.has([document.id for document in batch])
        for document in batch:
            if not document.id:
                raise ValueError("a document has an empty id; every document needs a unique one")
            known = stored.get(document.id) or seen.get(document.id)
            if known is None:
                seen[document.id] = text_sha256(document)
                fresh.append(document)
            elif not skip_existing:
                raise ValueError(f"document {document.id!r} is in the index already; pass skip_existing=True to go on")
            elif known != text_sha256(document):
                raise ValueError(f"document {document.id!r} is in the index with other content; build the index again")
        return fresh

    def _add_batch(self, documents: list[Document], report: dict[str, int]) -> None:
        cut = [list(self._chunking.passages(document)) for document in documents]
        texts = [passage.search_text for passages in cut for passage in passages]
        folder = None
        if texts:
            vectors = self._encoder.encode(texts, "passage")
            postings = build_postings(tokenize(text) for text in texts)
            folder, hashes = write_segment(Segment(postings, vectors), self._path / "segments")
        with self._store.transaction():
            digest = self._store.get("content")
            for document, passages in zip(documents, cut, strict=True):
                self._store.insert(document, passages)
                digest = _chain(digest, document)
            if folder is not None:
                self._store.add_segment(folder, len(texts), hashes)
            self._store.set("content", digest)
        report["added"] += len(documents)
        report["passages"] += len(texts)
        report["empty"] += sum(not passages for passages in cut)

    def _segments(self) -> list[Segment]:
        dim = self._settings["dim"]
        return [read_segment(self._path / "segments" / name, rows, dim) for name, rows, _ in self._store.segments()]

    def _merge_segments(self) -> None:
        listed = self._store.segments()
        if len(listed) > _MAX_SEGMENTS:
            parts = self._segments()
            vectors = np.concatenate([part.vectors for part in parts])
            merged = Segment(merge_postings([part.postings for part in parts]), vectors)
            folder, hashes = write_segment(merged, self._path / "segments")
            with self._store.transaction():
                if self._store.segments() != listed:
                    raise IndexStateError(f"{self._path} was written by another process meanwhile; open it again")
                self._store.replace_segments(folder, len(vectors), hashes)
        remove_unnamed(self._path / "segments", {folder for folder, *_ in self._store.segments()})

    def _load(self) -> None:
        def read() -> Searcher:
            with self._store.snapshot():
                ids, owners = self._store.passage_rows()
                segments = self._segments()
            if sum(len(segment.vectors) for segment in segments) != len(ids):
                raise IndexCorruptError(f"{self._path}: segments and passages differ in number; rebuild the index")
            return Searcher(segments, ids, owners, self._encoder, SearchSettings(**self._settings["search"]))

        self._searcher = retry_missing(read)
        self._masks: dict[str, NDArray[np.bool_] | None] = {}


def _default_weight(encoder: Encoder) -> float:
    """Weight of the vectors that measured best for this kind of encoder (tests/benchmarks/retrieval_quality.py)."""
    return 0.3 if encoder.fingerprint.startswith("static:") else 0.6


def _check_settings(folder: Path, settings: Mapping[str, Any] | None) -> None:
    if settings is None:
        raise IndexCorruptError(f"{folder} was never finished; delete the folder and build the index again")
    if settings["format"] != FORMAT:
        raise IndexMismatchError(
            f"{folder} has format {settings['format']}, this version reads {FORMAT}; build the index again"
        )
    if settings["tokenizer"] != tokenizer_fingerprint():
        raise IndexMismatchError(
            f"{folder} was made with tokenizer {settings['tokenizer']}, this version has {tokenizer_fingerprint()}; "
            "build the index again"
        )
    if settings["search"]["lexical"] not in ENGINES:
        raise IndexMismatchError(f"{folder} wants the lexical engine {settings['search']['lexical']!r}, which is unknown")


def _chain(digest: str, document: Document) -> str:
    return hashlib.sha256(f"{digest} {text_sha256(document)}".encode()).hexdigest()


def _bar(shown: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, disable=not shown)
