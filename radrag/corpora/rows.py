"""Records of CSV and JSON Lines files as dictionaries with the line they begin on, and checks of their fields."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from radrag.corpora.files import lines
from radrag.errors import CorpusError

if TYPE_CHECKING:
    from _csv import Reader as CSVReader


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a file.

    Attributes:
        file: The file.
        line: 1-based line on which the record begins.
        values: Its values by column or key.
    """

    file: Path
    line: int
    values: Mapping[str, Any]

    def fail(self, message: str, field: str | None = None) -> NoReturn:
        """Raise a CorpusError that names file, record and field."""
        raise CorpusError(message, file=self.file, record=self.line, field=field)

    def need(self, field: str) -> object:
        """Return the value of a field that must be there."""
        if field not in self.values:
            self.fail(f"the field is missing, expected it beside {', '.join(map(repr, self.values))}", field)
        return self.values[field]

    def string(self, field: str) -> str:
        """Return a field that must be a string; it may be empty."""
        value = self.need(field)
        if not isinstance(value, str):
            self.fail(f"expected a string, got {type(value).__name__} {value!r:.60}", field)
        return value

    def filled(self, field: str) -> str:
        """Return a field that must be a string with more than white space in it."""
        value = self.string(field)
        if not value.strip():
            self.fail("is empty; fill it in or remove the record", field)
        return value

    def name(self, field: str) -> str:
        """Return a field that names something: a non-empty string, or a whole number as its digits."""
        value = self.need(field)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return self.filled(field)


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON; refuse one that says a key twice, of which ``json`` keeps the last."""
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} occurs twice")
    return record


def _not_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _refuse_unstorable(text: str, record: object) -> None:
    """Refuse escapes that decode to what UTF-8 text cannot hold: NUL and half surrogate pairs."""
    if "\\u0000" in text:
        raise ValueError("holds an escaped NUL character")
    if "\\ud" in text or "\\uD" in text:
        try:
            json.dumps(record, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError("holds half of a surrogate pair") from error


def json_rows(path: Path) -> Iterator[Row]:
    """Yield the records of a JSON Lines file; blank lines are not records."""
    for number, line in lines(path):
        if not line.strip():
            continue
        try:
            record = json.loads(line, object_pairs_hook=unique_keys, parse_constant=_not_json)
            _refuse_unstorable(line, record)
        except (ValueError, RecursionError) as error:
            raise CorpusError(f"not a JSON object on one line: {error}", file=path, record=number) from error
        if not isinstance(record, dict):
            raise CorpusError(f"expected a JSON object, got {type(record).__name__}", file=path, record=number)
        yield Row(path, number, record)


def _header(path: Path, header: list[str] | None) -> list[str]:
    if not header:
        raise CorpusError("the file has no header line with the column names", file=path)
    for name in header:
        if header.count(name) > 1:
            raise CorpusError("the header names this column twice; rename one", file=path, record=1, field=name)
    return header


def csv_rows(path: Path, delimiter: str = ",") -> Iterator[Row]:
    """Yield the records of a CSV file with a header line; blank lines are not records."""
    _, records = csv_table(path, (line for _, line in lines(path)), delimiter)
    yield from records


def csv_table(path: Path, content: Iterable[str], delimiter: str = ",") -> tuple[list[str], Iterator[Row]]:
    """Return the header of a CSV file of which the lines are given, and its records; blank lines are not records.

    Raises:
        CorpusError: If there is no header, it names a column twice, a quote is stray, or a record has more or fewer
            cells than the header.
    """
    reader = csv.reader(content, delimiter=delimiter, strict=True)
    try:
        header = _header(path, next(reader, None))
    except csv.Error as error:
        raise CorpusError(f"not valid CSV: {error}", file=path, record=1) from error
    return header, _csv_records(path, reader, header, delimiter)


def _csv_records(path: Path, reader: CSVReader, header: list[str], delimiter: str) -> Iterator[Row]:
    start = reader.line_num + 1
    try:
        for values in reader:
            if values and len(values) != len(header):
                raise CorpusError(
                    f"has {len(values)} columns, expected {len(header)} as in the header; quote cells that hold "
                    f"{delimiter!r} or line breaks",
                    file=path,
                    record=start,
                )
            if values:
                yield Row(path, start, dict(zip(header, values, strict=True)))
            start = reader.line_num + 1
    except csv.Error as error:
        raise CorpusError(f"not valid CSV: {error}", file=path, record=start) from error


def rows(path: Path) -> Iterator[Row]:
    """Yield the records of a ``.csv`` or ``.jsonl`` file, gzipped or not, chosen by the file's name."""
    readers = {".csv": csv_rows, ".jsonl": json_rows}
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix not in readers:
        raise CorpusError(f"cannot tell the format from {path.name!r}, expected .csv or .jsonl (or .gz)", file=path)
    yield from readers[suffix](path)
