"""Labels in files: CSV, YAML and Markdown."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

import yaml

from radrag.corpora import read_markdown
from radrag.corpora.files import whole_text
from radrag.corpora.guidelines import plain_yaml
from radrag.corpora.rows import Row, csv_rows
from radrag.errors import CorpusError
from radrag.types import Document, Label

FIELDS = ("id", "name", "definition", "synonyms", "parent", "examples")
SEPARATORS = {"synonyms": ";", "examples": "|"}
_NAMES = ("synonyms", "order_abbreviations")
_LINE = re.compile(r"\s*(?:[-*]\s+)?\**(id|synonyms?|parent|examples?)\**\s*:\**\s*(.*?)\s*", re.IGNORECASE)
_NO_SLUG = re.compile(r"[^a-z0-9]+")


def csv_labels(path: Path, columns: Mapping[str, str | None]) -> Iterator[Label]:
    """Yield the labels of a CSV file.

    Args:
        path: The file.
        columns: Column of each field; None for the one called like the field, if there is one.

    Raises:
        CorpusError: If the file or a row cannot be read, a column is missing, an id occurs twice, or there is no row.
    """
    seen: set[str] = set()
    for row in csv_rows(path):
        found: dict[str, Any] = {field: row.filled(columns[field] or field).strip() for field in ("id", "name")}
        for field in FIELDS[2:]:
            value = _optional(row, columns[field], field)
            found[field] = _parts(value, SEPARATORS[field]) if field in SEPARATORS else value.strip()
        if found["id"] in seen:
            row.fail(f"the id {found['id']!r} occurs twice; ids must be unique", columns["id"] or "id")
        seen.add(found["id"])
        yield Label(**found)
    if not seen:
        raise CorpusError("holds no label, expected a header line and a row for each label", file=path)


def write_csv(labels: Iterable[Label], path: Path) -> None:
    """Write labels as ``csv_labels`` reads them.

    Raises:
        ValueError: If a label has no name, or a part of a list holds what separates the parts.
    """
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(FIELDS)
    for label in labels:
        if not label.name:
            raise ValueError(f"the label {label.id!r} has no name, which a CSV file must have; give it one or use YAML")
        values: dict[str, Any] = asdict(label)
        for field, separator in SEPARATORS.items():
            held = [part for part in values[field] if separator in part]
            if held:
                raise ValueError(
                    f"{field} of {label.id!r} holds {separator!r}, got {held[0]!r:.60}; write YAML instead"
                )
            values[field] = separator.join(values[field])
        writer.writerow([values[field] for field in FIELDS])
    path.write_text(text.getvalue(), encoding="utf-8")


def yaml_labels(path: Path) -> tuple[list[Label], bool]:
    """Return the labels of a YAML file, and whether they exclude each other.

    Raises:
        CorpusError: If the file is not YAML or not of that form.
    """
    text = whole_text(path)
    try:
        values = plain_yaml(text)
    except ValueError as error:
        raise CorpusError(f"not YAML: {error}", file=path) from error
    try:
        return labels_from_values(values)
    except ValueError as error:
        raise CorpusError(str(error), file=path) from error


def write_yaml(values: Mapping[str, Any], path: Path) -> None:
    """Write what ``LabelSet.to_dict`` gave."""
    text = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=120)
    path.write_text(text, encoding="utf-8")


def label_values(label: Label) -> dict[str, Any]:
    """Return a label as JSON values without empty fields."""
    values = {field: getattr(label, field) for field in FIELDS}
    return {field: list(value) if isinstance(value, tuple) else value for field, value in values.items() if value}


def labels_from_values(values: Any) -> tuple[list[Label], bool]:
    """Return the labels of ``{"exclusive": ..., "labels": [...]}`` or of the list alone, and whether they exclude.

    Raises:
        ValueError: If it is of another form; it names the label.
    """
    if isinstance(values, list):
        values = {"labels": values}
    if not isinstance(values, dict) or "labels" not in values or not set(values) <= {"exclusive", "labels"}:
        raise ValueError(f"expected a list of labels, or the keys exclusive and labels, got {values!r:.80}")
    listed, exclusive = values["labels"], values.get("exclusive", True)
    if not isinstance(listed, list):
        raise ValueError(f"labels must be a list, got {listed!r:.80}")
    if not isinstance(exclusive, bool):
        raise ValueError(f"exclusive must be true or false, got {exclusive!r}")
    return [_label(value, number) for number, value in enumerate(listed, start=1)], exclusive


def _label(value: Any, number: int) -> Label:
    if not isinstance(value, dict):
        raise ValueError(f"label {number} must be a mapping with an id, got {value!r:.80}")
    unknown = sorted(str(key) for key in value if key not in FIELDS)
    if unknown or "id" not in value:
        what = f"has the unknown field {unknown[0]!r}" if unknown else "has no id"
        raise ValueError(f"label {number} {what}, expected {', '.join(FIELDS)}")
    for field in FIELDS:
        given, listed = value.get(field) or "", field in SEPARATORS
        if listed and given and not isinstance(given, list | tuple):
            raise ValueError(f"{field} of label {number} must be a list, got {given!r:.60}")
        parts = given if listed else [value.get(field, "")]
        odd = [part for part in parts if not isinstance(part, str)]
        if odd:
            raise ValueError(f"{field} of label {number} must be text, got {odd[0]!r:.60}; write it in quotes")
    lists = {field: tuple(value.get(field) or ()) for field in SEPARATORS}
    return Label(**{**value, **lists})


def markdown_labels(path: Path) -> Iterator[Label]:
    """Yield a label for each guideline of a folder, or for each ``##`` heading of a file.

    Raises:
        CorpusError: If a file cannot be read or is not of that form.
    """
    if path.is_dir():
        yield from map(protocol_label, read_markdown(path))
        return
    document = next(read_markdown(path))
    texts: dict[str, list[str]] = {}
    for section in document.sections:
        if len(section.path) == 2:
            texts.setdefault(section.path[1], []).append(document.text[section.start : section.end])
    if not texts:
        raise CorpusError("expected a # heading and below it a ## heading with text for each label", file=path)
    for name, parts in texts.items():
        if len(parts) > 1:
            raise CorpusError(f"the heading {name!r} occurs twice; names must be unique in a file", file=path)
        yield _headed(name, parts[0], path)


def protocol_label(document: Document) -> Label:
    """Return the label of a guideline.

    Raises:
        CorpusError: If its metadata is not of that form.
    """
    texts = {}
    for field in ("definition", "parent"):
        texts[field] = document.metadata.get(field) or ""
        if not isinstance(texts[field], str):
            raise CorpusError(f"expected text, got {texts[field]!r:.60}", record=document.id, field=field)
    names = [name for field in _NAMES for name in _listed(document, field)]
    examples = tuple(_listed(document, "examples"))
    return Label(document.id, document.title, synonyms=tuple(dict.fromkeys(names)), examples=examples, **texts)


def _headed(name: str, text: str, path: Path) -> Label:
    said: dict[str, list[str]] = {"id": [], "synonym": [], "parent": [], "example": []}
    rest = []
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match:
            said[match[1].lower().removesuffix("s")].append(match[2])
        else:
            rest.append(line)
    for field in ("id", "parent"):
        if len(said[field]) > 1:
            raise CorpusError(f"{name!r} has {len(said[field])} lines of it, expected one", file=path, field=field)
    id = next(iter(said["id"]), "") or _NO_SLUG.sub("-", name.casefold()).strip("-")
    synonyms = [part for line in said["synonym"] for part in _parts(line, ";")]
    return Label(
        id=id,
        name=name,
        definition=" ".join(" ".join(rest).split()),
        synonyms=tuple(dict.fromkeys(synonyms)),
        parent=next(iter(said["parent"]), ""),
        examples=tuple(line for line in said["example"] if line),
    )


def _optional(row: Row, column: str | None, default: str) -> str:
    if column is None and default not in row.values:
        return ""
    return row.string(column or default)


def _parts(value: str, separator: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(separator) if part.strip())


def _listed(document: Document, field: str) -> list[str]:
    value = document.metadata.get(field) or []
    if not isinstance(value, list | tuple) or not all(isinstance(part, str) for part in value):
        raise CorpusError(f"expected a list of names, got {value!r:.60}", record=document.id, field=field)
    return list(value)
