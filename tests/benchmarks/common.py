"""What the benchmarks share: development data, cached embeddings, tables and JSON."""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import platform
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from radrag.protocols import Encoder, Kind

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("RADRAG_DATA", ROOT.parent / "shared" / "data"))
CACHE = Path(os.environ.get("RADRAG_CACHE", ROOT / "indexes" / "benchmarks"))


def arguments(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="a small part, to see that it runs")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser


def records(name: str) -> Iterator[dict[str, Any]]:
    """Yield the records of a development file, or stop with how to get it."""
    path = DATA / name
    if not path.is_file():
        sys.exit(f"{path} is not there. Set RADRAG_DATA to the folder of development data (see CONTRIBUTING.md).")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def report(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], args: argparse.Namespace) -> None:
    """Print a table and, if asked, write it as JSON."""
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*(f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in row))
    Console(width=160).print(table)
    if args.json is not None:
        known = json.loads(args.json.read_text()) if args.json.is_file() else {}
        known[title] = {"machine": platform.processor() or platform.machine(), "quick": args.quick}
        known[title]["rows"] = [dict(zip(columns, map(_plain, row), strict=True)) for row in rows]
        args.json.write_text(json.dumps(known, indent=1) + "\n")


def _plain(cell: Any) -> Any:
    if isinstance(cell, int | float | str) or cell is None:
        return cell
    return {name: getattr(cell, name) for name in ("value", "low", "high", "n")} if hasattr(cell, "low") else str(cell)


class CachedEncoder:
    """An encoder whose vectors are kept on disk by text, so that a slow one runs once and resumes when stopped."""

    def __init__(self, encoder: Encoder, folder: Path = CACHE) -> None:
        self._encoder = encoder
        folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(encoder.fingerprint.encode()).hexdigest()[:12]
        self._db = sqlite3.connect(folder / f"vectors-{name}.sqlite")
        self._db.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL)")

    @property
    def fingerprint(self) -> str:
        """The encoder's own."""
        return self._encoder.fingerprint

    @property
    def dim(self) -> int:
        """The encoder's own."""
        return self._encoder.dim

    def encode(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        """Return the encoder's vectors, from disk where they are."""
        keys = [hashlib.sha256(f"{kind}\x00{text}".encode()).digest() for text in texts]
        known = {}
        for start in range(0, len(keys), 500):
            part = keys[start : start + 500]
            marks = ",".join("?" * len(part))
            known.update(self._db.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", part))
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if missing:
            made = self._encoder.encode(list(missing.values()), kind)
            fresh = [(key, vector.tobytes()) for key, vector in zip(missing, made, strict=True)]
            with self._db:
                self._db.executemany("INSERT INTO vectors VALUES (?, ?)", fresh)
            known.update(fresh)
        table = np.frombuffer(b"".join(known[key] for key in keys), dtype=np.float32)
        return table.reshape(len(keys), self.dim).copy()
