"""Readers for what people have: CSV and JSON Lines files of documents, labelled notes and questions.

Every reader streams. To find an id that occurs twice they keep the ids seen, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from radrag.corpora.rows import Row, csv_rows, json_rows, rows
from radrag.types import VERDICTS, Document, GoldSpan, LabelledNote, Question
from radrag.types.documents import read_retracted

QUESTION_TYPES = ("yesno", "factoid", "list", "summary")


@dataclass(frozen=True, slots=True)
class Fields:
    """Which column or key of a record becomes what.

    Attributes:
        id: Names the document; whole numbers are read as their digits. None numbers the records ``"<file>:<line>"``.
        text: The text, a string; it may be empty.
        title: The title. None for no titles. A column called ``"title"`` may be absent; any other name must be there.
        kind: ``Document.kind`` of every document, not a column.
        metadata: What goes into the metadata; each must be there. None takes all that is not id, text or title. Of
            these, ``pmid``, ``doi``, ``year``, ``retracted`` and ``publication_types`` may be in capitals. A field
            ``retracted`` must be a boolean, or say true, yes or 1, or false, no, 0 or nothing; a ``year`` four digits,
            also as 2020.0, or nothing; ``publication_types`` in one text are cut at ``;`` and ``|``.
    """

    id: str | None = "id"
    text: str = "text"
    title: str | None = "title"
    kind: str = "text"
    metadata: tuple[str, ...] | None = None

    def document(self, row: Row) -> Document:
        """Return the document that a record describes."""
        own = {self.id, self.text, self.title}
        names = [name for name in row.values if name not in own] if self.metadata is None else self.metadata
        return Document(
            id=f"{row.file.name.partition('.')[0]}:{row.line}" if self.id is None else row.name(self.id),
            text=row.string(self.text),
            title=self._title(row),
            kind=self.kind,
            metadata=_metadata(row, names),
        )

    def _title(self, row: Row) -> str:
        if self.title is None or (self.title == "title" and row.values.get("title") is None):
            return ""
        return row.string(self.title)


def _year(row: Row, field: str) -> int | None:
    """Return a year as a number: spreadsheets and pandas write ``2020.0`` where another cell of the column is empty."""
    value = row.need(field)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    found = re.fullmatch(r"([1-9]\d{3})(?:\.0+)?", str(value).strip(), re.ASCII)
    if found is None:
        row.fail(f"expected a year of four digits, or nothing, got {value!r:.60}; correct the cell", field)
    return int(found[1])


def _publication_types(row: Row, field: str) -> object:
    value = row.need(field)
    return [part.strip() for part in re.split("[;|]", value) if part.strip()] if isinstance(value, str) else value


def _retracted(row: Row, field: str) -> bool | None:
    """Return whether a document is retracted, which CSV says in words; null of JSON stays what it is."""
    value = row.need(field)
    said = None if value is None else read_retracted(value)
    if said is None and value is not None:
        row.fail(f"expected true, yes or 1, or false, no, 0 or nothing, got {value!r:.60}; correct the cell", field)
    return said


# Fields that mean something to an index, whether in capitals or not, and how each is read.
_READ: dict[str, Callable[[Row, str], object]] = {
    "pmid": Row.need,
    "doi": Row.need,
    "year": _year,
    "retracted": _retracted,
    "publication_types": _publication_types,
}


def _metadata(row: Row, names: Iterable[str]) -> dict[str, object]:
    """Return what a record says in these fields; those that mean something to an index by their names in lower case."""
    metadata: dict[str, object] = {}
    for name in dict.fromkeys(names):
        known = name.lower() if name.lower() in _READ else name
        if known in metadata:
            row.fail(f"there is another field {known!r}, in capitals or not; rename or remove one", name)
        metadata[known] = _READ[known](row, name) if known in _READ else row.need(name)
    return metadata


class _Ids:
    """The ids of a file so far."""

    def __init__(self) -> None:
        self._line: dict[str, int] = {}

    def add(self, name: str, row: Row, field: str) -> None:
        if name in self._line:
            row.fail(f"the id {name!r} was used on line {self._line[name]} already; ids must be unique", field)
        self._line[name] = row.line


def _documents(records: Iterator[Row], fields: Fields) -> Iterator[Document]:
    ids = _Ids()
    for row in records:
        document = fields.document(row)
        ids.add(document.id, row, fields.id or "id")
        yield document


def read_jsonl(path: str | Path, fields: Fields | None = None) -> Iterator[Document]:
    """Read documents from a JSON Lines file, gzipped or not.

    Args:
        path: One JSON object a line, UTF-8.
        fields: Which key becomes what; by default ``id``, ``text`` and ``title``, all others metadata.

    Yields:
        Documents in the order of the file.

    Raises:
        CorpusError: If the file or a record of it cannot be read, or an id occurs twice.
    """
    yield from _documents(json_rows(Path(path)), fields or Fields())


def read_csv(path: str | Path, fields: Fields | None = None, delimiter: str = ",") -> Iterator[Document]:
    """Read documents from a CSV file with a header line, gzipped or not.

    Args:
        path: UTF-8, quoted as spreadsheets and pandas do.
        fields: Which column becomes what; by default ``id``, ``text`` and ``title``, all others metadata, as strings
            but for what ``Fields`` says of ``year``, ``retracted`` and ``publication_types``.
        delimiter: What separates the columns.

    Yields:
        Documents in the order of the file.

    Raises:
        CorpusError: If the file or a record of it cannot be read, or an id occurs twice.
    """
    yield from _documents(csv_rows(Path(path), delimiter), fields or Fields())


def _optional_name(row: Row, field: str | None, default: str) -> str:
    """Return a name from a field the caller gave, else from the default field if the record has it."""
    if field is None and row.values.get(default) in (None, ""):
        return ""
    return row.name(field or default)


def _also(row: Row, field: str | None) -> tuple[str, ...]:
    value = row.values.get("also") if field is None else row.need(field)
    if value is None or value == "":
        return ()
    labels = [part.strip() for part in value.split(";")] if isinstance(value, str) else value
    if not isinstance(labels, list) or not all(isinstance(label, str) and label for label in labels):
        row.fail(f"expected labels in a list or separated by ';', got {value!r:.60}", field or "also")
    return tuple(labels)


def read_labelled_notes(
    path: str | Path,
    text: str = "text",
    label: str = "label",
    id: str | None = None,
    group: str | None = None,
    also: str | None = None,
) -> Iterator[LabelledNote]:
    """Read notes with their labels from a ``.csv`` or ``.jsonl`` file, gzipped or not. Other columns are not read.

    Args:
        path: The file; a CSV needs a header line.
        text: Column of the note, which must not be empty.
        label: Column of the label, which must not be empty; whole numbers are read as their digits.
        id: Column of the note's name; None takes ``id`` where there is one.
        group: Column of the patient or template; None takes ``group`` where there is one.
        also: Column of other right labels, a list or separated by ``;``; None takes ``also`` where there is one.

    Yields:
        Notes in the order of the file.

    Raises:
        CorpusError: If the file or a record of it cannot be read, or an id occurs twice.
    """
    ids = _Ids()
    for row in rows(Path(path)):
        name = _optional_name(row, id, "id")
        if name:
            ids.add(name, row, id or "id")
        yield LabelledNote(
            text=row.filled(text),
            label=row.name(label),
            id=name,
            group=_optional_name(row, group, "group"),
            also=_also(row, also),
        )


def _one_of(row: Row, field: str, allowed: tuple[str, ...], default: str | None) -> str | None:
    value = row.values.get(field)
    if value is None:
        return default
    if value not in allowed:
        row.fail(f"expected one of {', '.join(allowed)}, got {value!r:.60}", field)
    return str(value)


def _gold_span(row: Row, value: object) -> GoldSpan:
    if not isinstance(value, Mapping):
        row.fail(f"expected objects with document_id, start, end and quote, got {value!r:.60}", "gold")
    inner = Row(row.file, row.line, {f"gold.{key}": part for key, part in value.items()})
    offsets: list[int] = []
    for field in ("gold.start", "gold.end"):
        offset = inner.need(field)
        if not isinstance(offset, int) or isinstance(offset, bool) or offset < 0:
            row.fail(f"expected an offset of at least 0, got {offset!r:.60}", field)
        offsets.append(offset)
    start, end = offsets
    quote = inner.filled("gold.quote")
    if end - start != len(quote):
        row.fail(f"spans {end - start} characters, but the quote has {len(quote)}", "gold")
    return GoldSpan(inner.filled("gold.document_id"), start, end, quote)


def _question(row: Row) -> Question:
    gold, answerable = row.values.get("gold") or [], row.values.get("answerable", True)
    if not isinstance(gold, list):
        row.fail(f"expected a list, got {gold!r:.60}", "gold")
    if not isinstance(answerable, bool):
        row.fail(f"expected true or false, got {answerable!r:.60}", "answerable")
    return Question(
        id=row.name("id"),
        text=row.filled("question"),
        type=_one_of(row, "type", QUESTION_TYPES, None) or "summary",
        verdict=_one_of(row, "verdict", VERDICTS, None),
        answer="" if row.values.get("answer") is None else row.string("answer"),
        gold=tuple(_gold_span(row, value) for value in gold),
        answerable=answerable,
    )


def read_questions(path: str | Path) -> Iterator[Question]:
    """Read questions from a JSON Lines file, gzipped or not.

    Args:
        path: Objects with ``id`` and ``question``, and optionally ``type``, ``verdict``, ``answer``, ``answerable`` and
            ``gold``, a list of objects with ``document_id``, ``start``, ``end`` and ``quote``. Other keys are not read.

    Yields:
        Questions in the order of the file.

    Raises:
        CorpusError: If the file or a record of it cannot be read, or an id occurs twice.
    """
    ids = _Ids()
    for row in json_rows(Path(path)):
        question = _question(row)
        ids.add(question.id, row, "id")
        yield question
