"""Reading the files of benchmarks: whole, hashed, and checked against a hash that is known."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from radrag.corpora.rows import unique_keys
from radrag.errors import CorpusError

_GZIP = b"\x1f\x8b"


def read_json(path: str | Path, sha256: str | None = None) -> tuple[Any, str]:
    """Read a JSON or JSON Lines file (``.jsonl``), gzipped or not.

    Args:
        path: The file.
        sha256: What its hash must be; None takes any.

    Returns:
        The value (a list of records for JSON Lines), and the sha256 of the file as it is.

    Raises:
        CorpusError: If it cannot be read, is not JSON, or has another hash.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CorpusError(
            f"cannot be read ({error.strerror}); get it from the benchmark's own page", file=path
        ) from error
    digest = hashlib.sha256(raw).hexdigest()
    if sha256 is not None and digest != sha256.lower():
        raise CorpusError(
            f"its sha256 is {digest}, expected {sha256}; figures on another file are of another benchmark", file=path
        )
    try:
        text = (gzip.decompress(raw) if raw[:2] == _GZIP else raw).decode("utf-8")
        if path.name.removesuffix(".gz").endswith(".jsonl"):
            return [
                json.loads(line, object_pairs_hook=unique_keys) for line in text.split("\n") if line.strip()
            ], digest
        return json.loads(text, object_pairs_hook=unique_keys), digest
    except (OSError, EOFError, ValueError) as error:
        raise CorpusError(f"is not JSON ({error}); fetch it again", file=path) from error


def field(record: Any, key: str, kind: type, path: object, name: object) -> Any:
    """Return a field of a record that must be there and of a kind."""
    value = record.get(key) if isinstance(record, Mapping) else None
    if not isinstance(value, kind):
        raise CorpusError(f"must be {kind.__name__}, got {value!r:.80}", file=path, record=name, field=key)
    return value
