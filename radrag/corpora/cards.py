"""Data cards: what a corpus is, where it comes from, what it may be used for, and the hash of every file.

A card is ``card.toml`` in the corpus's folder. README.md, the card itself and ``__pycache__`` are not part of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from radrag.corpora.rows import csv_rows, json_rows
from radrag.errors import CorpusError

CARD = "card.toml"
_NOT_LISTED = frozenset({CARD, "README.md"})
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class DataCard:
    """What a reader must know before using a corpus.

    Attributes:
        name: Short name, the folder's.
        title: Name as people write it.
        what: What is in it.
        how_made: How it was made, by whom and from what.
        licence: Its licence.
        limits: What it is not, and not for.
        version: Its version.
        records: Number of records: Markdown files, lines of JSON Lines files, and rows of CSV files.
        files: SHA-256 of every file, by path relative to the folder.
    """

    name: str
    title: str
    what: str
    how_made: str
    licence: str
    limits: str
    version: str
    records: int
    files: Mapping[str, str]


def _listed(folder: Path) -> Iterator[str]:
    """Yield the paths of a corpus's files in order, relative to its folder."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and name.as_posix() not in _NOT_LISTED and "__pycache__" not in name.parts:
            yield name.as_posix()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _count_rows(reader: Callable[[Path], Iterator[object]]) -> Callable[[Path], int]:
    return lambda path: sum(1 for _ in reader(path))


_COUNTERS: dict[str, Callable[[Path], int]] = {
    ".md": lambda path: 1,
    ".jsonl": _count_rows(json_rows),
    ".csv": _count_rows(csv_rows),
}


def _count(folder: Path) -> int:
    total = 0
    for name in _listed(folder):
        counter = _COUNTERS.get(Path(name.removesuffix(".gz")).suffix)
        total += counter(folder / name) if counter else 0
    return total


def _checked(values: dict[str, Any], path: Path) -> DataCard:
    types = {"records": int, "files": dict}
    known = {field.name: types.get(field.name, str) for field in fields(DataCard)}
    for name in values:
        if name not in known:
            raise CorpusError(f"is not a field of a data card, expected {', '.join(known)}", file=path, field=name)
    for name, kind in known.items():
        if name not in values:
            raise CorpusError("the field is missing; write the card with write_card", file=path, field=name)
        if not isinstance(values[name], kind) or isinstance(values[name], bool):
            raise CorpusError(f"expected {kind.__name__}, got {values[name]!r:.60}", file=path, field=name)
    for name, digest in values["files"].items():
        if not isinstance(digest, str):
            raise CorpusError(f"expected a SHA-256 in hex, got {digest!r:.60}", file=path, field=f"files.{name}")
    return DataCard(**values)


def load_card(folder: str | Path) -> DataCard:
    """Load the data card of a corpus.

    Args:
        folder: The folder that holds ``card.toml``.

    Raises:
        CorpusError: If there is no card, it is not TOML, or a field is missing, unknown or of the wrong type.
    """
    path = Path(folder) / CARD
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CorpusError("the corpus has no data card; write one with write_card", file=path) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CorpusError(f"not TOML: {error}", file=path) from error
    return _checked(values, path)


def file_problem(folder: Path, card: DataCard, name: str) -> str | None:
    """Return what is wrong with one file of a corpus, or None if it is what the card says."""
    if name not in card.files:
        return f"{name}: not in the card"
    if not (folder / name).is_file():
        return f"{name}: missing"
    found = _sha256(folder / name)
    if found != card.files[name]:
        return f"{name}: changed, sha256 is {found}, the card says {card.files[name]}"
    return None


def verify(folder: str | Path) -> list[str]:
    """Compare a corpus with its data card.

    Args:
        folder: The folder that holds ``card.toml``.

    Returns:
        One line a problem: a file that is missing, changed or not in the card, or a wrong number of records. Empty if
        all is as the card says.

    Raises:
        CorpusError: If the card cannot be loaded.
    """
    folder = Path(folder)
    card = load_card(folder)
    names = sorted({*card.files, *_listed(folder)})
    problems = [problem for name in names if (problem := file_problem(folder, card, name)) is not None]
    try:
        found = _count(folder)
    except CorpusError as error:
        return [*problems, f"records: cannot be counted: {error}"]
    if found != card.records:
        problems.append(f"records: found {found}, the card says {card.records}")
    return problems


def _quoted(text: str) -> str:
    """Return a TOML basic string; JSON's escapes are TOML's, but TOML escapes DEL as well."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml(card: DataCard) -> str:
    lines = [
        f"{field.name} = {_quoted(value) if isinstance(value, str) else value}"
        for field in fields(card)
        if isinstance(value := getattr(card, field.name), (str, int))
    ]
    lines += ["", "[files]", *(f"{_quoted(name)} = {_quoted(digest)}" for name, digest in card.files.items())]
    return "\n".join(lines) + "\n"


def write_card(
    folder: str | Path,
    *,
    name: str,
    title: str,
    what: str,
    how_made: str,
    licence: str,
    limits: str,
    version: str,
) -> DataCard:
    """Write the data card of a corpus, with its records counted and its files hashed anew.

    The card is replaced in one step: a reader sees the old card or the new one.

    Args:
        folder: The corpus's folder.
        name: Short name, the folder's.
        title: Name as people write it.
        what: What is in it.
        how_made: How it was made, by whom and from what.
        licence: Its licence.
        limits: What it is not, and not for.
        version: Its version.

    Returns:
        The card as written.

    Raises:
        CorpusError: If the folder does not exist or a record in it cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CorpusError("there is no such folder; check the path", file=folder)
    card = DataCard(
        name=name,
        title=title,
        what=what,
        how_made=how_made,
        licence=licence,
        limits=limits,
        version=version,
        records=_count(folder),
        files={listed: _sha256(folder / listed) for listed in _listed(folder)},
    )
    unfinished = folder / f".{CARD}.{os.getpid()}"
    try:
        unfinished.write_text(_toml(card), encoding="utf-8", newline="\n")
        unfinished.replace(folder / CARD)
    finally:
        unfinished.unlink(missing_ok=True)
    return card
