"""Order notes from a department's export: labelled notes whose other columns group and slice them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from radrag.corpora.rows import Row, rows
from radrag.types import LabelledNote


def read_order_notes(
    path: str | Path,
    *,
    text: str,
    label: str,
    id: str | None = None,
    group: str | Sequence[str] = (),
    metadata: Mapping[str, str] | Sequence[str] = (),
    keep_group: bool = False,
) -> Iterator[LabelledNote]:
    """Read labelled order notes from a ``.csv`` or ``.jsonl`` file, gzipped or not. Nothing else of it is read.

    Args:
        path: The file; a CSV needs a header line.
        text: Column of the note, which must not be empty.
        label: Column of the label, which must not be empty; whole numbers are read as their digits.
        id: Column of the order's name; None numbers the records ``"<file>:<line>"``.
        group: Column of the patient, or columns in order of preference, such as ``["patient_id", "accession"]``: the
            first that is filled in groups the note, so that no split puts a patient on both sides.
        metadata: Columns to keep, such as site, sex, age and modality; a mapping gives them other names, from name to
            column. Empty cells are left out.
        keep_group: Whether a group is called as in the file. By default it is a digest of it, so that the patient's
            number goes no further; the digest of a number can be found by trying all, so it is no de-identification.

    Yields:
        Notes in the order of the file.

    Raises:
        CorpusError: If the file or a record of it cannot be read, a column is missing, or an id occurs twice.
    """
    columns = [group] if isinstance(group, str) else list(group)
    named = dict(metadata) if isinstance(metadata, Mapping) else {name: name for name in _listed(metadata)}
    seen: dict[str, int] = {}
    for row in rows(Path(path)):
        name = f"{row.file.name.partition('.')[0]}:{row.line}" if id is None else row.name(id)
        if name in seen:
            row.fail(f"the id {name!r} was used on line {seen[name]} already; ids must be unique", id or "id")
        seen[name] = row.line
        yield LabelledNote(
            text=row.filled(text),
            label=row.name(label).strip(),
            id=name,
            group=_group(row, columns, plain=keep_group),
            metadata={key: value for key, column in named.items() if (value := _value(row, column)) is not None},
        )


def _listed(names: Sequence[str]) -> Sequence[str]:
    if isinstance(names, str):
        raise ValueError(f"metadata must be a list or a mapping of columns, got the text {names!r}; write [{names!r}]")
    return names


def _group(row: Row, columns: Sequence[str], *, plain: bool) -> str:
    for column in columns:
        value = _value(row, column)
        if value is not None:
            named = f"{column}:{value}"
            return named if plain else hashlib.sha256(named.encode("utf-8")).hexdigest()[:16]
    return ""


def _value(row: Row, column: str) -> Any | None:
    """Return a cell without white space around it; None if it is empty."""
    value = row.need(column)
    if isinstance(value, str):
        value = value.strip()
    return None if value in (None, "") else value
