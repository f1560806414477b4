"""The labels that a pipeline chooses from, with what is known about each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Self

from radrag.corpora.rows import Row, csv_rows
from radrag.errors import CorpusError
from radrag.types import Document, Label

_LISTS = ("synonyms", "order_abbreviations")


class LabelSet:
    """Labels in a fixed order, each with its own id. It is never changed.

    Args:
        labels: At least one label.

    Raises:
        ValueError: If there is none, an id is blank or an id occurs twice.
    """

    def __init__(self, labels: Iterable[Label]) -> None:
        self._labels = {label.id: label for label in _checked(labels)}

    @classmethod
    def from_csv(
        cls,
        path: str | Path,
        *,
        id: str = "id",
        name: str = "name",
        definition: str | None = None,
        synonyms: str | None = None,
    ) -> Self:
        """Read labels from a CSV file with a header line; other columns are not read.

        Args:
            path: The file, UTF-8.
            id: Column of the id, which must not be empty.
            name: Column of the name, which must not be empty.
            definition: Column of the definition; None takes ``definition`` where there is one.
            synonyms: Column of other names, separated by ``;``; None takes ``synonyms`` where there is one.

        Raises:
            CorpusError: If the file or a row cannot be read, a column is missing, or an id occurs twice.
        """
        file = Path(path)
        labels: dict[str, Label] = {}
        for row in csv_rows(file):
            others = _optional(row, synonyms, "synonyms").split(";")
            label = Label(
                id=row.filled(id).strip(),
                name=row.filled(name).strip(),
                definition=_optional(row, definition, "definition").strip(),
                synonyms=tuple(part.strip() for part in others if part.strip()),
            )
            if label.id in labels:
                row.fail(f"the id {label.id!r} occurs twice; ids must be unique", id)
            labels[label.id] = label
        if not labels:
            raise CorpusError("holds no label, expected a header line and a row for each label", file=file)
        return cls(labels.values())

    @classmethod
    def from_protocols(cls, documents: Iterable[Document]) -> Self:
        """Make a label of each guideline: its id and title, and from its metadata ``definition`` and other names.

        Args:
            documents: Guidelines as ``read_markdown`` and ``load_protocols`` give them. Other names are the lists
                ``synonyms`` and ``order_abbreviations``.

        Raises:
            CorpusError: If metadata is not of that form.
            ValueError: If there is no document or an id occurs twice.
        """
        return cls(_label(document) for document in documents)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids in order."""
        return tuple(self._labels)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of every label, in order."""
        text = json.dumps([asdict(label) for label in self], ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def __len__(self) -> int:
        return len(self._labels)

    def __iter__(self) -> Iterator[Label]:
        return iter(self._labels.values())

    def __getitem__(self, id: str) -> Label:
        if id not in self._labels:
            raise KeyError(f"no label {id!r} among {', '.join(self.ids)}")
        return self._labels[id]

    def __contains__(self, id: object) -> bool:
        return id in self._labels

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LabelSet) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return f"LabelSet({len(self)} labels: {', '.join(self.ids[:3])}{', ...' if len(self) > 3 else ''})"


def described(label: Label) -> str:
    """Return all that is known about a label, a line each."""
    return "\n".join(part for part in (label.name or label.id, label.definition, *label.synonyms) if part)


def _checked(labels: Iterable[Label]) -> Iterator[Label]:
    seen: set[str] = set()
    for label in labels:
        if not isinstance(label.id, str) or not label.id.strip():
            raise ValueError(f"a label's id must be text that is not blank, got {label.id!r}")
        if label.id in seen:
            raise ValueError(f"the label {label.id!r} occurs twice; ids must be unique")
        seen.add(label.id)
        yield label
    if not seen:
        raise ValueError("a label set must hold at least 1 label, got none")


def _optional(row: Row, column: str | None, default: str) -> str:
    if column is None and default not in row.values:
        return ""
    return row.string(column or default)


def _label(document: Document) -> Label:
    definition = document.metadata.get("definition") or ""
    if not isinstance(definition, str):
        raise CorpusError(f"expected text, got {definition!r:.60}", record=document.id, field="definition")
    names: list[str] = []
    for field in _LISTS:
        value = document.metadata.get(field) or []
        if not isinstance(value, list | tuple) or not all(isinstance(part, str) for part in value):
            raise CorpusError(f"expected a list of names, got {value!r:.60}", record=document.id, field=field)
        names.extend(value)
    return Label(document.id, document.title, definition, tuple(dict.fromkeys(names)))
