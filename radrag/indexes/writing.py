"""Writing batches of documents to an index: each becomes visible at once or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radrag.corpora import Chunking
from radrag.errors import ModelError
from radrag.indexes.postings import build_postings, merge_postings
from radrag.indexes.segments import Segment, read_segment, remove_unnamed, write_segment
from radrag.indexes.store import Store, text_sha256
from radrag.indexes.tokens import tokenize
from radrag.protocols import Encoder
from radrag.types import Document

_MAX_SEGMENTS = 8


class Writer:
    """Adds documents to one index. Segment folders are made and removed only while its store is locked for writing.

    Args:
        path: Folder of the index.
        store: Its store.
        encoder: Encoder of passages.
        chunking: How documents are cut.
    """

    def __init__(self, path: Path, store: Store, encoder: Encoder, chunking: Chunking) -> None:
        self._path, self._store, self._encoder, self._chunking = path, store, encoder, chunking
        self._parent = path / "segments"

    def write(self, batch: Sequence[Document], skip_existing: bool) -> dict[str, int]:
        """Add those documents of a batch that are not stored yet; return counts for ``HybridIndex.add``."""
        documents = self._fresh(batch, skip_existing)
        report = {"skipped": len(batch) - len(documents)}
        if not documents:
            return report
        cut = [list(self._chunking.passages(document)) for document in documents]
        texts = [passage.search_text for passages in cut for passage in passages]
        segment = None
        if texts:
            segment = Segment(build_postings(tokenize(text) for text in texts), self._vectors(texts))
        with self._store.transaction():
            digest = self._store.get("content")
            for document, passages in zip(documents, cut, strict=True):
                self._store.insert(document, passages)
                digest = chain(digest, document)
            if segment is not None:
                folder, hashes = write_segment(segment, self._parent)
                self._store.add_segment(folder, len(texts), hashes)
            self._store.set("content", digest)
        empty = sum(not passages for passages in cut)
        return {**report, "added": len(documents), "passages": len(texts), "empty": empty}

    def tidy(self) -> None:
        """Join segments if there are many, and delete folders that no state names."""
        with self._store.transaction():
            listed = self._store.segments()
            if len(listed) > _MAX_SEGMENTS:
                parts = read_segments(self._path, self._store, self._encoder.dim)
                vectors = np.concatenate([part.vectors for part in parts])
                merged = Segment(merge_postings([part.postings for part in parts]), vectors)
                folder, hashes = write_segment(merged, self._parent)
                self._store.replace_segments(folder, len(vectors), hashes)
        with self._store.transaction():
            remove_unnamed(self._parent, {folder for folder, *_ in self._store.segments()})

    def _vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.asarray(self._encoder.encode(texts, "passage"), dtype=np.float32)
        expected = (len(texts), self._encoder.dim)
        if vectors.shape != expected:
            raise ModelError(f"the encoder returned vectors of shape {vectors.shape}, expected {expected}")
        if not np.isfinite(vectors).all():
            raise ModelError("the encoder returned a vector that is not finite; check its weights and its input")
        return vectors

    def _fresh(self, batch: Sequence[Document], skip_existing: bool) -> list[Document]:
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


def chain(digest: str, document: Document) -> str:
    """Return the hash of the content after a document is added to content with this hash."""
    return hashlib.sha256(f"{digest} {text_sha256(document)}".encode()).hexdigest()


def read_segments(path: Path, store: Store, dim: int) -> list[Segment]:
    """Open the segments of an index, in row order."""
    return [read_segment(path / "segments" / name, rows, dim) for name, rows, _ in store.segments()]
