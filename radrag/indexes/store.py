"""Documents, passages and notices of an index: who they are, what they say, and the checksums that prove it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radrag.corpora.retractions import RETRACTED, by_severity, notices_of, own_flags
from radrag.errors import IndexCorruptError
from radrag.indexes.database import Database, dump
from radrag.indexes.filters import Where, compile_where
from radrag.types import Document, Notice, Passage, Section

_COLUMNS = "id, name, title, kind, text, sections, metadata, doi, sha256"
_BY_ITSELF, _BY_NOTICE = 1, 2


@dataclass(frozen=True, slots=True)
class Row:
    """A stored document, its text checked.

    Attributes:
        number: The index's number of it, never reused.
        name: Its id.
        title: Its title.
        kind: Its kind.
        text: Its text.
        sections: Its sections, as JSON.
        metadata: Its metadata.
        doi: Its DOI in lower case, or None.
        sha256: Hash of what it says.
    """

    number: int
    name: str
    title: str
    kind: str
    text: str
    sections: str
    metadata: Mapping[str, Any]
    doi: str | None
    sha256: bytes


def content_sha256(document: Document) -> bytes:
    """Hash what a document says: id, title, kind, text, sections and metadata."""
    sections = [[list(section.path), section.start, section.end] for section in document.sections]
    return _digest(document.id, document.title, document.kind, document.text, dump(sections), dump(document.metadata))


class Store:
    """Documents, passages and notices in the index's database. Whoever changes them holds a transaction.

    Args:
        database: The database.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    def known(self, names: Sequence[str]) -> dict[str, tuple[bytes, int]]:
        """Return content hash and version of each of these documents that is stored, by id."""
        rows = self._db.among("SELECT name, sha256, version FROM documents WHERE name IN", names)
        return {name: (sha256, version or 0) for name, sha256, version in rows}

    def insert(
        self, documents: Sequence[Document], cut: Sequence[Sequence[Passage]]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Store documents with their passages.

        Returns:
            Id of each passage and number of its document, int64 ``[n]`` each, in the order given.
        """
        first_document, next_passage = self._db.next_id("documents"), self._db.next_id("passages")
        rows, passage_rows = [], []
        for number, (document, passages) in enumerate(zip(documents, cut, strict=True), start=first_document):
            sections = dump([[list(section.path), section.start, section.end] for section in document.sections])
            metadata = dump(document.metadata)
            sha256 = _digest(document.id, document.title, document.kind, document.text, sections, metadata)
            retracted = _BY_ITSELF if document.retracted or RETRACTED in own_flags(document.metadata) else 0
            rows.append(
                (
                    number, document.id, document.title, document.kind, document.text, sections, metadata,
                    document_version(document), _doi(document), retracted, sha256,
                )
            )  # fmt: skip
            for passage in passages:
                place = (next_passage, number, passage.start, passage.end, dump(list(passage.path)))
                passage_rows.append((*place, _seal(place, sha256)))
                next_passage += 1
        self._db.run_many("INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        self._db.run_many("INSERT INTO passages VALUES (?, ?, ?, ?, ?, ?)", passage_rows)
        touched = {document.id for document in documents}
        for document in documents:
            touched |= self._keep_notices(f"document:{document.id}", notices_of(document))
        self._refresh_retracted(touched)
        table = np.asarray([row[:2] for row in passage_rows], dtype=np.int64).reshape(-1, 2)
        return table[:, 0].copy(), table[:, 1].copy()

    def remove(self, names: Sequence[str]) -> Iterator[tuple[Row, list[Passage]]]:
        """Delete documents that are stored; yield each with its passages as they were."""
        rows = self._db.among(f"SELECT {_COLUMNS} FROM documents WHERE name IN", names)
        for row in map(self._checked, rows):
            found = self._db.all("SELECT id FROM passages WHERE document = ? ORDER BY id", (row.number,))
            passages = self.passages([number for (number,) in found])
            yield row, [passages[number] for (number,) in found]
            origin = f"document:{row.name}"
            touched = {target for (target,) in self._db.all("SELECT target FROM notices WHERE origin = ?", (origin,))}
            self._db.run("DELETE FROM notices WHERE origin = ?", (origin,))
            self._db.run("DELETE FROM passages WHERE document = ?", (row.number,))
            self._db.run("DELETE FROM documents WHERE id = ?", (row.number,))
            self._refresh_retracted(touched)

    def set_notices(self, origin: str, notices: Iterable[Notice]) -> int:
        """Put notices in the place of all of the same origin; return how many."""
        touched = {target for (target,) in self._db.all("SELECT target FROM notices WHERE origin = ?", (origin,))}
        self._db.run("DELETE FROM notices WHERE origin = ?", (origin,))
        touched |= self._keep_notices(origin, notices)
        self._refresh_retracted(touched)
        return int(self._db.one("SELECT COUNT(*) FROM notices WHERE origin = ?", (origin,))[0])

    def document(self, name: str) -> Document:
        """Return a document, checked against the hash it was stored with.

        Raises:
            KeyError: If there is none of that id.
            IndexCorruptError: If it was altered on disk.
        """
        found = self._db.one(f"SELECT {_COLUMNS} FROM documents WHERE name = ?", (name,))
        if found is None:
            raise KeyError(f"no document {name!r} in {self._db.path.parent}")
        row = self._checked(found)
        sections = tuple(Section(tuple(path), start, end) for path, start, end in json.loads(row.sections))
        return Document(row.name, row.text, row.title, row.kind, sections, row.metadata)

    def names(self) -> Iterator[str]:
        """Yield every document's id in the order they were added."""
        last = 0
        while rows := self._db.all("SELECT id, name FROM documents WHERE id > ? ORDER BY id LIMIT 1000", (last,)):
            last = rows[-1][0]
            yield from (name for _, name in rows)

    def passages(self, ids: Sequence[int]) -> dict[int, Passage]:
        """Return passages by id; text and offsets of each were checked.

        Raises:
            IndexCorruptError: If something was altered on disk.
        """
        columns = "SELECT id, document, first, last, path, seal FROM passages WHERE id IN"
        rows = self._db.among(columns, [int(number) for number in ids])
        numbers = list({row[1] for row in rows})
        stored = self._db.among(f"SELECT {_COLUMNS} FROM documents WHERE id IN", numbers)
        documents = {row.number: row for row in map(self._checked, stored)}
        flags = self._flags(documents.values())
        found = {}
        for *place, seal in rows:
            number, owner, first, last, path = place
            row = documents.get(owner)
            if row is None or seal != _seal(place, row.sha256) or not 0 <= first <= last <= len(row.text):
                raise IndexCorruptError(
                    f"passage {number} in {self._db.path} was altered on disk; rebuild the index, or restore a copy"
                )
            found[number] = Passage(
                row.name, first, last, row.text[first:last], tuple(json.loads(path)), row.title, number, row.metadata,
                flags[owner],
            )  # fmt: skip
        return found

    def siblings(self, passage_id: int) -> list[int]:
        """Return the ids of all passages of a passage's document, in the order of the text."""
        rows = self._db.all(
            "SELECT id FROM passages WHERE document = (SELECT document FROM passages WHERE id = ?)"
            " ORDER BY first, last, id",
            (passage_id,),
        )
        return [number for (number,) in rows]

    def matching(self, where: Where) -> NDArray[np.int64]:
        """Return the numbers of the documents that a filter admits, by looking at every document."""
        condition, parameters = compile_where(where)
        rows = self._db.all(f"SELECT id FROM documents WHERE {condition}", parameters)
        return np.asarray(rows, dtype=np.int64).reshape(-1)

    def retracted_passages(self) -> NDArray[np.int64]:
        """Return the ids of the passages of retracted documents, int64 ``[n]`` ascending."""
        rows = self._db.all(
            "SELECT passages.id FROM documents JOIN passages ON passages.document = documents.id"
            " WHERE retracted ORDER BY passages.id"
        )
        return np.asarray(rows, dtype=np.int64).reshape(-1)

    def counts(self) -> dict[str, int]:
        """Return how many documents, retracted ones and passages are stored."""
        (documents,) = self._db.one("SELECT COUNT(*) FROM documents")
        (retracted,) = self._db.one("SELECT COUNT(*) FROM documents WHERE retracted")
        (passages,) = self._db.one("SELECT COUNT(*) FROM passages")
        return {"documents": documents, "retracted": retracted, "passages": passages}

    def wrong_marks(self) -> Iterator[str]:
        """Yield the ids of documents whose mark as retracted is not what their metadata and the notices say."""
        for name in self.names():
            (mark,) = self._db.one("SELECT retracted FROM documents WHERE name = ?", (name,))
            row = self._checked(self._db.one(f"SELECT {_COLUMNS} FROM documents WHERE name = ?", (name,)))
            says = RETRACTED in self._flags([row])[row.number] or bool(row.metadata.get("retracted"))
            if bool(mark) != says:
                yield name

    def _checked(self, values: Sequence[Any]) -> Row:
        number, name, title, kind, text, sections, metadata, doi, sha256 = values
        if _digest(name, title, kind, text, sections, metadata) != sha256:
            raise IndexCorruptError(
                f"document {name!r} in {self._db.path} was altered on disk; rebuild the index, or restore a copy"
            )
        return Row(number, name, title, kind, text, sections, json.loads(metadata), doi, sha256)

    def _flags(self, rows: Iterable[Row]) -> dict[int, tuple[str, ...]]:
        """Return what was published against each document, by its number."""
        kept = list(rows)
        keys = [key for row in kept for key in _keys(row)]
        said: dict[str, list[str]] = {}
        for target, kind in self._db.among("SELECT target, kind FROM notices WHERE target IN", keys):
            said.setdefault(target, []).append(kind)
        return {
            row.number: by_severity(
                [*own_flags(row.metadata), *(kind for key in _keys(row) for kind in said.get(key, ()))]
            )
            for row in kept
        }

    def _keep_notices(self, origin: str, notices: Iterable[Notice]) -> set[str]:
        rows = [(origin, one.target, one.kind, one.source, one.date) for one in notices]
        self._db.run_many("INSERT OR REPLACE INTO notices VALUES (?, ?, ?, ?, ?)", rows)
        return {row[1] for row in rows}

    def _refresh_retracted(self, targets: Iterable[str]) -> None:
        """Set the mark of documents that notices concern or no longer concern; targets are ids and ``doi:...``."""
        statement = (
            "UPDATE documents SET retracted = (retracted & 1) | ? * EXISTS (SELECT 1 FROM notices WHERE kind = ?"
            " AND target IN (documents.name, 'doi:' || documents.doi))"
        )
        parameters = (_BY_NOTICE, RETRACTED)
        kept = sorted(targets)
        self._db.run_many(f"{statement} WHERE name = ?", ((*parameters, target) for target in kept))
        dois = [target.removeprefix("doi:") for target in kept if target.startswith("doi:")]
        self._db.run_many(f"{statement} WHERE doi = ?", ((*parameters, doi) for doi in dois))


def document_version(document: Document) -> int:
    """Return its PMID version, 0 if it has none."""
    version = document.metadata.get("pmid_version")
    return version if isinstance(version, int) else 0


def _doi(document: Document) -> str | None:
    doi = document.metadata.get("doi")
    return doi.lower() if isinstance(doi, str) and doi else None


def _keys(row: Row) -> tuple[str, ...]:
    return (row.name,) if row.doi is None else (row.name, f"doi:{row.doi}")


def _digest(*parts: str) -> bytes:
    return hashlib.sha256("\x00".join(parts).encode("utf-8", "surrogatepass")).digest()


def _seal(place: Sequence[Any], sha256: bytes) -> bytes:
    """Bind a passage's id, owner, offsets and path to the text that they cut."""
    return hashlib.blake2b(sha256 + repr(tuple(place)).encode("utf-8", "surrogatepass"), digest_size=8).digest()
