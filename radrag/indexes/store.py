"""Documents, passages and notices of an index: who they are, what they say, and the checksums that prove it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from radrag.corpora.article_names import known_as
from radrag.corpora.retractions import NO_EVIDENCE, RETRACTED, by_severity, notices_of, own_flags
from radrag.corpora.versions import Version
from radrag.errors import IndexCorruptError
from radrag.indexes.database import Database, dump
from radrag.indexes.filters import IS_RETRACTED, Where, compile_where
from radrag.indexes.walking import once_each
from radrag.types import Document, Notice, Passage, Section

_COLUMNS = "id, name, title, kind, text, sections, metadata, sha256, flags, seal"
_OTHERS = "other_names CROSS JOIN documents ON documents.id = other_names.document"
_NOTICE = "origin, target, kind, source, date"
_BATCH = 500
_MODULUS = 1 << 256


class Row(NamedTuple):
    """A stored document, its text checked.

    Attributes:
        number: The index's number of it, never reused.
        name: Its id.
        title: Its title.
        kind: Its kind.
        text: Its text.
        sections: Its sections, as JSON.
        metadata: Its metadata.
        sha256: Hash of what it says.
        flags: What it and the notices say was published against it, the gravest first.
    """

    number: int
    name: str
    title: str
    kind: str
    text: str
    sections: str
    metadata: dict[str, Any]
    sha256: bytes
    flags: tuple[str, ...]


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

    def known(self, names: Sequence[str]) -> dict[str, tuple[bytes, Version]]:
        """Return content hash and version of each of these documents that is stored, by id."""
        columns = "name, sha256, version, json_extract(metadata, '$.revised')"
        rows = self._db.among(f"SELECT {columns} FROM documents WHERE name IN", names)
        return {name: (sha256, Version.of(number, revised)) for name, sha256, number, revised in rows}

    def insert(
        self, documents: Sequence[Document], cut: Sequence[Sequence[Passage]]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Store documents with their passages.

        Returns:
            Id of each passage and number of its document, int64 ``[n]`` each, in the order given.
        """
        first_document, next_passage = self._db.get("next ids") or (1, 1)
        touched: set[str] = set()
        speaking = self.speaking([document.id for document in documents])
        for document in documents:
            if (published := notices_of(document)) or document.id in speaking:
                touched |= self._put_notices(f"document:{document.id}", published)
        flags = self._flags([(document.id, document.metadata) for document in documents])
        rows, passage_rows, other_names = [], [], []
        for number, (document, passages) in enumerate(zip(documents, cut, strict=True), start=first_document):
            sections = dump([[list(section.path), section.start, section.end] for section in document.sections])
            metadata = dump(document.metadata)
            sha256 = _digest(document.id, document.title, document.kind, document.text, sections, metadata)
            said = dump(flags[document.id])
            rows.append(
                (
                    number, document.id, document.title, document.kind, document.text, sections, metadata,
                    document_version(document).number, not NO_EVIDENCE.isdisjoint(flags[document.id]),
                    sha256, said, _seal((number, said), sha256),
                )
            )  # fmt: skip
            other_names += [(name, number) for name in known_as(document.id, document.metadata)[1:]]
            for passage in passages:
                place = (next_passage, number, passage.start, passage.end, dump(list(passage.path)))
                passage_rows.append((*place, _seal(place, sha256)))
                next_passage += 1
        self._db.run_many("INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        self._db.run_many("INSERT INTO other_names VALUES (?, ?)", other_names)
        self._db.run_many("INSERT INTO passages VALUES (?, ?, ?, ?, ?, ?)", passage_rows)
        self._db.set("next ids", [first_document + len(rows), next_passage])
        self._refresh_flags(touched)
        table = np.asarray([row[:2] for row in passage_rows], dtype=np.int64).reshape(-1, 2)
        return table[:, 0].copy(), table[:, 1].copy()

    def remove(self, names: Sequence[str], keep_notices: bool) -> Iterator[tuple[Row, list[Passage]]]:
        """Delete documents that are stored; yield each with its passages as they were.

        What they published about others goes with them unless it is kept, also if they were deleted before.
        """
        rows = self._db.among(f"SELECT {_COLUMNS} FROM documents WHERE name IN", names)
        for row in map(self._checked, rows):
            found = self._db.all("SELECT id FROM passages WHERE document = ? ORDER BY id", (row.number,))
            passages = self.passages([number for (number,) in found])
            yield row, [passages[number] for (number,) in found]
            self._db.run("DELETE FROM passages WHERE document = ?", (row.number,))
            self._db.run("DELETE FROM documents WHERE id = ?", (row.number,))
            other_names = [(name, row.number) for name in known_as(row.name, row.metadata)[1:]]
            self._db.run_many("DELETE FROM other_names WHERE other_name = ? AND document = ?", other_names)
        for name in () if keep_notices else sorted(self.speaking(names)):
            self.set_notices(f"document:{name}", ())

    def set_notices(self, origin: str, notices: Iterable[Notice]) -> int:
        """Put notices in the place of all of the same origin; return how many."""
        self._refresh_flags(self._put_notices(origin, notices))
        return int(self._db.one("SELECT COUNT(*) FROM notices WHERE origin = ?", (origin,))[0])

    def speaking(self, names: Sequence[str]) -> set[str]:
        """Return which documents published something about others that counts, stored still or not."""
        origins = [f"document:{name}" for name in names]
        found = self._db.among("SELECT DISTINCT origin FROM notices WHERE origin IN", origins)
        return {origin.removeprefix("document:") for (origin,) in found}

    def document(self, name: str) -> Document:
        """Return a document as it was given, checked against the hash it was stored with.

        Raises:
            KeyError: If there is none of that id.
            IndexCorruptError: If it was altered on disk.
        """
        found = self._db.one(f"SELECT {_COLUMNS} FROM documents WHERE name = ?", (name,))
        if found is None:
            raise KeyError(f"no document {name!r} in {self._db.path.parent}")
        return _document(self._checked(found))

    def flags(self, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return what was published against documents, the gravest first, by id; of one not stored, by its notices."""
        rows = self._db.among(f"SELECT {_COLUMNS} FROM documents WHERE name IN", names)
        stored = {row.name: row.flags for row in map(self._checked, rows)}
        return self._flags([(name, {}) for name in names if name not in stored]) | stored

    def documents(self) -> Iterator[Document]:
        """Yield every document once in the order they were added; one replaced meanwhile as it was or as it is now."""
        (end,) = self._db.one("SELECT COALESCE(MAX(id), 0) FROM documents")
        batches = self._batches(_COLUMNS)
        yield from map(_document, once_each((self._checked(values) for batch in batches for values in batch), end))

    def passages(self, ids: Sequence[int]) -> dict[int, Passage]:
        """Return passages by id; text and offsets of each were checked.

        Raises:
            IndexCorruptError: If something was altered on disk.
        """
        columns = "SELECT id, document, first, last, path, seal FROM passages WHERE id IN"
        with self._db.snapshot():  # a document replaced in between is no damage
            rows = self._db.among(columns, [int(number) for number in ids])
            numbers = list({row[1] for row in rows})
            stored = self._db.among(f"SELECT {_COLUMNS} FROM documents WHERE id IN", numbers)
        documents = {row.number: row for row in map(self._checked, stored)}
        found = {}
        for *place, seal in rows:
            number, owner, first, last, path = place
            row = documents.get(owner)
            if row is None or seal != _seal(place, row.sha256) or not 0 <= first <= last <= len(row.text):
                raise IndexCorruptError(
                    f"passage {number} in {self._db.path} was altered on disk; rebuild the index, or restore a copy"
                )
            found[number] = Passage(
                row.name, first, last, row.text[first:last], _listed(path), row.title, number,
                row.metadata | ({"retracted": True} if RETRACTED in row.flags else {}), row.flags,
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

    def admitted(self, where: Where, names: Sequence[str]) -> set[str]:
        """Return which of these documents a filter admits."""
        condition, parameters = compile_where(where)
        found: set[str] = set()
        for start in range(0, len(names), _BATCH):
            part = names[start : start + _BATCH]
            marks = ", ".join("?" * len(part))
            rows = self._db.all(
                f"SELECT name FROM documents WHERE {condition} AND name IN ({marks})", (*parameters, *part)
            )
            found.update(name for (name,) in rows)
        return found

    def passages_left_out(self) -> NDArray[np.int64]:
        """Return the ids of the passages of documents that are no evidence, int64 ``[n]`` ascending."""
        rows = self._db.all(
            # CROSS keeps the order of the tables: SQLite would scan all passages to have them sorted
            "SELECT passages.id FROM documents CROSS JOIN passages ON passages.document = documents.id"
            " WHERE left_out ORDER BY passages.id"
        )
        return np.asarray(rows, dtype=np.int64).reshape(-1)

    def counts(self) -> dict[str, int]:
        """Return how many documents, retracted ones and passages are stored."""
        (documents,) = self._db.one("SELECT COUNT(*) FROM documents")
        (retracted,) = self._db.one(f"SELECT COUNT(*) FROM documents WHERE left_out AND {IS_RETRACTED}")
        (passages,) = self._db.one("SELECT COUNT(*) FROM passages")
        return {"documents": documents, "retracted": retracted, "passages": passages}

    def rows(self) -> Iterator[tuple[Row, bool]]:
        """Yield every document, and whether what is noted beside it agrees with its metadata and the notices."""
        for values in self._batches(f"{_COLUMNS}, version, left_out"):
            rows = [self._checked(one[:-2]) for one in values]
            due = {row.number: {(name, row.number) for name in known_as(row.name, row.metadata)[1:]} for row in rows}
            asked = [name for others in due.values() for name, _ in others]
            names = set(self._db.among("SELECT other_name, document FROM other_names WHERE other_name IN", asked))
            flags = self._flags([(row.name, row.metadata) for row in rows])
            for row, (*_, version, left_out) in zip(rows, values, strict=True):
                noted, said = (row.flags, version, left_out), flags[row.name]
                agrees = noted == (said, _version(row.metadata).number, not NO_EVIDENCE.isdisjoint(said))
                yield row, agrees and due[row.number] <= names

    def notices_are_whole(self) -> bool:
        """Return whether the notices are those that were put here."""
        rows = self._db.all(f"SELECT {_NOTICE} FROM notices")
        return sum(map(_notice_hash, rows)) % _MODULUS == int(self._db.get("notices") or "0", 16)

    def _batches(self, columns: str) -> Iterator[list[Any]]:
        """Yield all documents by number, a batch at a time, each read when it is asked for."""
        statement, last = f"SELECT {columns} FROM documents WHERE id > ? ORDER BY id LIMIT {_BATCH}", 0
        while rows := self._db.all(statement, (last,)):
            if rows[-1][0] <= last:
                raise IndexCorruptError(f"{self._db.path} holds documents out of order; rebuild the index")
            last = rows[-1][0]
            yield rows

    def _checked(self, values: Sequence[Any]) -> Row:
        number, name, title, kind, text, sections, metadata, sha256, flags, seal = values
        said = (name, title, kind, text, sections, metadata)
        whole = {*map(type, said), type(flags)} == {str} and isinstance(sha256, bytes)
        if not whole or _digest(*said) != sha256 or _seal((number, flags), sha256) != seal:
            raise IndexCorruptError(
                f"document {name!r} in {self._db.path} was altered on disk; rebuild the index, or restore a copy"
            )
        return Row(number, name, title, kind, text, sections, json.loads(metadata), sha256, _listed(flags))

    def _flags(self, documents: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, tuple[str, ...]]:
        """Return what was published against each document, given by name and metadata, by its name."""
        keys = {name: known_as(name, metadata) for name, metadata in documents}
        said: dict[str, list[str]] = {}
        asked = list({key for found in keys.values() for key in found})
        for target, kind in self._db.among("SELECT target, kind FROM notices WHERE target IN", asked):
            said.setdefault(target, []).append(kind)
        return {
            name: by_severity([*own_flags(metadata), *(kind for key in keys[name] for kind in said.get(key, ()))])
            for name, metadata in documents
        }

    def _put_notices(self, origin: str, notices: Iterable[Notice]) -> set[str]:
        """Put notices in the place of those of an origin; return the targets of both."""
        old = self._db.all(f"SELECT {_NOTICE} FROM notices WHERE origin = ?", (origin,))
        kept = {(one.target, one.kind, one.source): one.date for one in notices}
        new = [(origin, *key, date) for key, date in kept.items()]
        if not old and not new:
            return set()
        self._db.run("DELETE FROM notices WHERE origin = ?", (origin,))
        self._db.run_many("INSERT INTO notices VALUES (?, ?, ?, ?, ?)", new)
        total = int(self._db.get("notices") or "0", 16) + sum(map(_notice_hash, new)) - sum(map(_notice_hash, old))
        self._db.set("notices", f"{total % _MODULUS:064x}")
        return {row[1] for row in (*old, *new)}

    def _refresh_flags(self, targets: Iterable[str]) -> None:
        """Note beside documents what notices now say; targets are ids, ``PMID:...`` and ``doi:...``."""
        kept = sorted(targets)
        for start in range(0, len(kept), _BATCH):
            names = kept[start : start + _BATCH]
            found = self._db.among(f"SELECT {_COLUMNS} FROM documents WHERE name IN", names)
            found += self._db.among(f"SELECT {_COLUMNS} FROM {_OTHERS} WHERE other_name IN", names)
            rows = {row.number: row for row in map(self._checked, found)}
            flags = self._flags([(row.name, row.metadata) for row in rows.values()])
            changes = []
            for row in rows.values():
                said = flags[row.name]
                seal = _seal((row.number, dump(said)), row.sha256)
                changes.append((not NO_EVIDENCE.isdisjoint(said), dump(said), seal, row.number))
            self._db.run_many("UPDATE documents SET left_out = ?, flags = ?, seal = ? WHERE id = ?", changes)


def document_version(document: Document) -> Version:
    """Return which version it is of what has its id."""
    return _version(document.metadata)


def _document(row: Row) -> Document:
    sections = tuple(Section(tuple(path), start, end) for path, start, end in json.loads(row.sections))
    return Document(row.name, row.text, row.title, row.kind, sections, row.metadata)


def _version(metadata: Mapping[str, Any]) -> Version:
    return Version.of(metadata.get("pmid_version"), metadata.get("revised"))


def _notice_hash(row: Sequence[Any]) -> int:
    return int.from_bytes(hashlib.sha256(repr(tuple(row)).encode("utf-8", "surrogatepass")).digest())


def _digest(*parts: str) -> bytes:
    return hashlib.sha256("\x00".join(parts).encode("utf-8", "surrogatepass")).digest()


def _listed(text: str) -> tuple[str, ...]:
    """Return the JSON list as a tuple; most are empty, and reading one costs as much as hashing it."""
    return () if text == "[]" else tuple(json.loads(text))


def _seal(place: Sequence[Any], sha256: bytes) -> bytes:
    """Bind a passage's id, owner, offsets and path, or what is noted beside a document, to the text."""
    return hashlib.blake2b(sha256 + repr(tuple(place)).encode("utf-8", "surrogatepass"), digest_size=8).digest()
