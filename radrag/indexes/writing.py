"""Writing to an index: each batch of additions, replacements and deletions becomes visible at once or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radrag.corpora import Chunking
from radrag.corpora.versions import Version
from radrag.indexes.database import Database
from radrag.indexes.embedding_cache import checked_vectors
from radrag.indexes.facets import facet_terms
from radrag.indexes.incoming import read_document
from radrag.indexes.ledger import Ledger
from radrag.indexes.postings import build_postings
from radrag.indexes.probes import draw_probes
from radrag.indexes.segments import entry, named, new_folder, write_arrays, write_rows
from radrag.indexes.store import Store, content_sha256, document_version
from radrag.indexes.tokens import passage_terms
from radrag.protocols import Encoder
from radrag.types import Document, Passage


class Writer:
    """Changes one index. Its owner holds the right to write (``only_writer``).

    Args:
        path: Folder of the index.
        database: Its database.
        encoder: Encoder of passages.
        chunking: How documents are cut.
        facets: Metadata fields that filters find quickly.
    """

    def __init__(
        self, path: Path, database: Database, encoder: Encoder, chunking: Chunking, facets: Sequence[str]
    ) -> None:
        self._parent = path / "segments"
        self._db, self._store, self._ledger, self._encoder = database, Store(database), Ledger(database), encoder
        self._chunking, self._facets, self._seen = chunking, facets, 0

    def add(self, batch: Sequence[Document], skip_existing: bool) -> dict[str, int]:
        """Store those documents of a batch that are not stored yet; return counts for ``HybridIndex.add``."""
        batch = self._taken(batch)
        known = self._store.known([document.id for document in batch])
        fresh: dict[str, Document] = {}
        for document in batch:
            stored = known.get(document.id)
            same = stored or ((content_sha256(fresh[document.id]), 0) if document.id in fresh else None)
            if same is None:
                fresh[document.id] = document
            elif not skip_existing:
                raise ValueError(
                    f"document {document.id!r} is in the index already; pass skip_existing=True (--skip-existing) to "
                    "leave such documents out, or use update (--update) to replace them"
                )
            elif same[0] != content_sha256(document):
                raise ValueError(f"document {document.id!r} is in the index with other content; use update (--update)")
        report = self._write(list(fresh.values()), [])
        return {"added": len(fresh), "skipped": len(batch) - len(fresh), **report}

    def update(self, batch: Sequence[Document]) -> dict[str, int]:
        """Store a batch, each document in the place of the one with its id; return counts for ``HybridIndex.update``.

        The last of several with one id counts, unless it is older: by its PMID version, within one by its date of
        revision. A document that says what is stored, or is older, is skipped.
        """
        batch = self._taken(batch)
        known = self._store.known([document.id for document in batch])
        newest: dict[str, Document] = {}
        for document in batch:
            before = newest.get(document.id)
            if before is None or not document_version(document).is_older(document_version(before)):
                newest[document.id] = document
        kept = [document for document in newest.values() if _is_news(document, known.get(document.id))]
        replaced = [document.id for document in kept if document.id in known]
        report = self._write(kept, replaced)
        counts = {"added": len(kept) - len(replaced), "updated": len(replaced), "skipped": len(batch) - len(kept)}
        return {**counts, **report}

    def delete(self, names: Sequence[str], keep_notices: bool) -> dict[str, int]:
        """Delete documents; return how many were there and how many were not."""
        known = self._store.known(names)
        gone = known.keys() if keep_notices else known.keys() | self._store.speaking(names)
        self._write([], [name for name in dict.fromkeys(names) if name in gone], keep_notices)
        return {"deleted": len(known), "missing": len(names) - len(known)}

    def _taken(self, batch: Sequence[Document]) -> list[Document]:
        """Return a batch as it will be stored, or refuse it; documents are counted through all batches."""
        taken = [read_document(document, place) for place, document in enumerate(batch, start=self._seen)]
        self._seen += len(batch)
        return taken

    def _write(
        self, documents: Sequence[Document], removed: Sequence[str], keep_notices: bool = False
    ) -> dict[str, int]:
        cut = [list(self._chunking.passages(document)) for document in documents]
        report = {"passages": sum(map(len, cut)), "empty": sum(not passages for passages in cut)}
        if not documents and not removed:
            return report
        if not report["passages"]:
            with self._db.transaction():
                self._replace(documents, cut, removed, keep_notices)
            return report
        texts = [passage.search_text for passages in cut for passage in passages]
        terms = [passage_terms(text) for text in texts]
        values = [
            facet_terms(one, self._facets) for one, passages in zip(documents, cut, strict=True) for _ in passages
        ]
        with new_folder(self._parent) as draft:
            vectors = checked_vectors(self._encoder, texts, "passage")
            write_arrays(draft, build_postings(terms), build_postings(values), vectors)
            with self._db.transaction():
                ids, owners = self._replace(documents, cut, removed, keep_notices)
                write_rows(draft, ids, owners)
                listed = entry(draft, ids, None)
                named(draft)
                self._ledger.add(listed)
                self._ledger.count(len(ids), sum(map(len, terms)))
                draw_probes(self._db, documents, self._encoder)
        return report

    def _replace(
        self, documents: Sequence[Document], cut: Sequence[Sequence[Passage]], removed: Sequence[str],
        keep_notices: bool,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:  # fmt: skip
        gone, dead = [], []
        for row, passages in self._store.remove(removed, keep_notices):
            gone.append(row.sha256)
            dead += [(passage.id, passage_terms(passage.search_text)) for passage in passages]
        if dead:
            self._ledger.bury(dead)
        made = self._store.insert(documents, cut)
        self._ledger.add_content(map(content_sha256, documents), gone)
        return made


def _is_news(document: Document, stored: tuple[bytes, Version] | None) -> bool:
    if stored is None:
        return True
    return not document_version(document).is_older(stored[1]) and content_sha256(document) != stored[0]
