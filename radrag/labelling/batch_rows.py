"""Records of a file one after the other, those that cannot be read among them, with what is wrong."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, time
from pathlib import Path
from typing import Any

from radrag.corpora.files import GZIP_ERRORS, open_bytes
from radrag.errors import CorpusError, require

LONGEST_CELL = 1 << 24  # characters; the csv module refuses notes of more than 131,072 unless told otherwise
FORMATS = (".csv", ".jsonl", ".parquet")


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a file.

    Attributes:
        values: Its values by column or key; empty if it could not be read.
        error: What is wrong with it, "" if nothing is.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""


def format_of(path: Path) -> str:
    """Return ``.csv``, ``.jsonl`` or ``.parquet``, by the name without ``.gz``.

    Raises:
        CorpusError: If it is none of them.
    """
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix not in FORMATS or (suffix == ".parquet" and path.name.endswith(".gz")):
        raise CorpusError(
            f"cannot tell the format from {path.name!r}; expected .csv or .jsonl (or these with .gz) or .parquet",
            file=path,
        )
    return suffix


def read_records(path: Path, columns: Sequence[str]) -> Iterator[Record]:
    """Yield the records of a file in order; one that cannot be read comes with its error instead of ending it.

    Args:
        path: A ``.csv`` (with a header line) or ``.jsonl`` file, gzipped or not, or a ``.parquet`` file. Blank lines
            are no records.
        columns: Those that are needed; no others are read from Parquet.

    Raises:
        CorpusError: If the file itself cannot be used: it is not there, has no header, lacks a column, or is cut off.
    """
    readers = {".csv": _csv_records, ".jsonl": _json_records, ".parquet": _parquet_records}
    yield from readers[format_of(path)](path, columns)


def _lines(path: Path) -> Iterator[str]:
    """Yield lines; bytes that are not UTF-8 become half surrogates, which ``_readable`` tells."""
    with open_bytes(path) as file, io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="") as lines:
        try:
            yield from lines
        except GZIP_ERRORS as error:
            raise CorpusError(
                f"the gzip data is cut off or damaged ({error}); fetch the file again", file=path
            ) from error


def _unreadable(text: str) -> str:
    """Say what of a text is not text; "" if it is."""
    if "\0" in text:
        return "holds a NUL character"
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            return "holds bytes that are not UTF-8, or half of a surrogate pair"
    return ""


def _csv_records(path: Path, columns: Sequence[str]) -> Iterator[Record]:
    with _long_cells():
        reader = csv.reader(_lines(path), strict=True)
        try:
            header = next((row for row in reader if row), None)
        except csv.Error as error:
            raise CorpusError(f"the header line is not valid CSV: {error}", file=path, record=1) from error
        _check_columns(path, header or [], columns)
        assert header is not None
        places = {name: header.index(name) for name in columns}
        while True:
            try:
                row = next(reader, None)
            except csv.Error as error:
                yield Record(error=f"not valid CSV: {error}")
                continue
            if row is None:
                return
            if row:
                yield _csv_record(row, len(header), places)


def _csv_record(row: Sequence[str], width: int, places: Mapping[str, int]) -> Record:
    if len(row) != width:
        return Record(error=f"has {len(row)} columns, expected {width} as in the header")
    values = {name: row[place] for name, place in places.items()}
    for name, value in values.items():
        if wrong := _unreadable(value):
            return Record(error=f"column {name!r} {wrong}")
    return Record(values)


@contextmanager
def _long_cells() -> Iterator[None]:
    before = csv.field_size_limit()
    csv.field_size_limit(max(before, LONGEST_CELL))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _check_columns(path: Path, header: Sequence[str], columns: Sequence[str]) -> None:
    if not header:
        raise CorpusError("the file has no header line with the column names", file=path)
    for name in columns:
        if list(header).count(name) != 1:
            raise CorpusError(
                f"expected one column {name!r}, the file has {', '.join(map(repr, header))}; name the right column",
                file=path,
                field=name,
            )


def _json_records(path: Path, columns: Sequence[str]) -> Iterator[Record]:
    for line in _lines(path):
        if line.strip():
            yield _json_record(line, columns)


def _json_record(line: str, columns: Sequence[str]) -> Record:
    try:
        value = json.loads(line)
    except ValueError as error:
        return Record(error=f"not a JSON object on one line: {getattr(error, 'msg', error)}")
    except RecursionError:
        return Record(error="not a JSON object on one line: nested too deeply")
    if not isinstance(value, dict):
        return Record(error=f"expected a JSON object, got {type(value).__name__}")
    values = {name: value[name] for name in columns if name in value}
    if wrong := _unreadable(json.dumps(values, ensure_ascii=False)):
        return Record(error=wrong)
    if any("\0" in one for one in values.values() if isinstance(one, str)):
        return Record(error="holds a NUL character")
    missing = [name for name in columns if name not in values]
    return Record(values, f"has no {missing[0]!r}" if missing else "")


def _parquet_records(path: Path, columns: Sequence[str]) -> Iterator[Record]:
    parquet = require("pyarrow.parquet", extra="train")
    pyarrow = require("pyarrow", extra="train")
    try:
        with parquet.ParquetFile(path) as file:
            _check_columns(path, file.schema_arrow.names, columns)
            for batch in file.iter_batches(batch_size=1024, columns=list(columns)):
                for values in batch.to_pylist():
                    yield _parquet_record(values)
    except FileNotFoundError as error:
        raise CorpusError("there is no such file; check the path", file=path) from error
    except (pyarrow.ArrowException, OSError) as error:
        raise CorpusError(f"not a readable Parquet file: {error}", file=path) from error


def _parquet_record(values: Mapping[str, Any]) -> Record:
    try:
        plain = {name: _plain(value) for name, value in values.items()}
    except TypeError as error:
        return Record(error=str(error))
    for name, value in plain.items():
        if isinstance(value, str) and (wrong := _unreadable(value)):
            return Record(error=f"column {name!r} {wrong}")
    return Record(plain)


def _plain(value: Any) -> Any:
    """Return a value of a table as one of JSON."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, date | time):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    raise TypeError(f"a value of type {type(value).__name__} cannot be written; leave its column out of keep")
