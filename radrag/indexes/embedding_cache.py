"""Vectors kept on disk by the text they were made from, so that a slow encoder never sees a text twice."""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radrag.errors import IndexCorruptError, IndexMismatchError, ModelError
from radrag.indexes.connections import not_damage
from radrag.indexes.forking import connect
from radrag.protocols import Encoder, Kind

CACHE = "embeddings.sqlite"
_AT_ONCE = 256
_LENGTHS_DIFFER = 1e-2  # half precision makes some 1e-3 of that
_SEAL = 4  # bytes after each vector
_SCHEMA = """
CREATE TABLE IF NOT EXISTS encoder (fingerprint TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID;
"""


def checked_vectors(encoder: Encoder, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
    """Return an encoder's vectors, float32 ``[n, dim]``.

    Raises:
        ModelError: If it returned anything else, or a vector whose length is neither about 1 nor 0: its products with
            others would be no cosines.
    """
    vectors = np.asarray(encoder.encode(texts, kind), dtype=np.float32)
    if vectors.shape != (expected := (len(texts), encoder.dim)):
        raise ModelError(f"the encoder returned vectors of shape {vectors.shape}, expected {expected}")
    if not np.isfinite(vectors).all():
        raise ModelError("the encoder returned a vector that is not finite; check its weights and its input")
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    wrong = lengths[(np.abs(lengths - 1) > _LENGTHS_DIFFER) & vectors.any(axis=1)]
    if wrong.size:
        raise ModelError(
            f"the encoder {encoder.fingerprint} returned a vector of length {wrong[0]:.6g}, expected 1 or all zeros; "
            "let it normalise what it returns: vectors / numpy.linalg.norm(vectors, axis=1, keepdims=True)"
        )
    return vectors


def holds_vectors(path: Path) -> bool:
    """Return whether a file of cached vectors holds any."""
    if not path.is_file():
        return False
    with _Closing(path) as database:
        tables = database.execute("SELECT COUNT(*) FROM sqlite_schema WHERE name = 'vectors'").fetchone()
        return bool(tables[0]) and database.execute("SELECT 1 FROM vectors LIMIT 1").fetchone() is not None


class CachedEncoder:
    """An encoder that looks its vectors up before it makes them. What was made survives if the process is killed.

    Args:
        encoder: The encoder.
        path: A SQLite file, made if it is not there; it holds no text, only hashes and float32 vectors.

    Raises:
        IndexMismatchError: If the file holds the vectors of another encoder.
    """

    def __init__(self, encoder: Encoder, path: Path) -> None:
        self._encoder, self._path = encoder, path
        with self._open() as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.executescript(_SCHEMA)
            known = database.execute("SELECT fingerprint FROM encoder").fetchone()
            if known is None:
                database.execute("INSERT INTO encoder VALUES (?)", (encoder.fingerprint,))
            elif known[0] != encoder.fingerprint:
                raise IndexMismatchError(
                    f"{path} holds vectors of encoder {known[0]}, but {encoder.fingerprint} was given; delete the file"
                )

    @property
    def fingerprint(self) -> str:
        """The encoder's."""
        return self._encoder.fingerprint

    @property
    def dim(self) -> int:
        """The encoder's."""
        return self._encoder.dim

    def encode(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        """Return the encoder's vectors, from disk where they are; each text that is not there is encoded once."""
        keys = [hashlib.sha256(f"{kind}\x00{text}".encode("utf-8", "surrogatepass")).digest() for text in texts]
        first = dict(zip(reversed(keys), reversed(texts), strict=True))
        wanted = list(dict.fromkeys(keys))
        with self._open() as database:
            known = self._stored(database, wanted)
        missing = [key for key in wanted if key not in known]
        for start in range(0, len(missing), _AT_ONCE):
            part = missing[start : start + _AT_ONCE]
            vectors = checked_vectors(self._encoder, [first[key] for key in part], kind).astype("<f4", copy=False)
            made = [(key, _sealed(key, vector.tobytes())) for key, vector in zip(part, vectors, strict=True)]
            with self._open() as database:  # not while the encoder runs, whose errors are its own
                database.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", made)
            known.update(made)
        table = np.frombuffer(b"".join(known[key][:-_SEAL] for key in keys), dtype="<f4")
        return table.reshape(len(keys), self.dim).astype(np.float32)

    def _stored(self, database: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        known: dict[bytes, bytes] = {}
        for start in range(0, len(keys), _AT_ONCE):
            part = keys[start : start + _AT_ONCE]
            marks = ", ".join("?" * len(part))
            rows = database.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", part)
            known.update((key, kept) for key, kept in rows if self._whole(key, kept))
        return known

    def _whole(self, key: bytes, kept: object) -> bool:
        return isinstance(kept, bytes) and len(kept) == 4 * self.dim + _SEAL and kept == _sealed(key, kept[:-_SEAL])

    def _open(self) -> _Closing:
        return _Closing(self._path)


class _Closing:
    """A connection for one ``with`` block, committed at its end and closed; a fork waits for that."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> sqlite3.Connection:
        self._connection = connect(self._path, seconds=30, autocommit=False)
        self._connection.lock.acquire()
        return self._connection

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if kind is None:
                self._connection.commit()
        finally:
            self._connection.close()
            self._connection.lock.release()
        if isinstance(error, sqlite3.DatabaseError):
            raise not_damage(error, self._path) or IndexCorruptError(
                f"{self._path} cannot be read ({error}); delete the file"
            ) from error


def _sealed(key: bytes, vector: bytes) -> bytes:
    return vector + zlib.crc32(key + vector).to_bytes(_SEAL)
