"""The labels that a pipeline chooses from, with what is known about each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from radrag.corpora import load_finding_sets
from radrag.errors import CorpusError
from radrag.labelling.label_checks import check_parents, checked_labels, upwards
from radrag.labelling.label_diff import LabelSetDiff, diff_labels
from radrag.labelling.label_files import (
    csv_labels,
    label_values,
    labels_from_values,
    markdown_labels,
    protocol_label,
    write_csv,
    write_yaml,
    yaml_labels,
)
from radrag.types import Document, Label

# What fingerprints were made of before labels had a parent and examples; they are left out where empty, so that
# fingerprints of then still hold.
_LATER = {"parent": "", "examples": ()}


@dataclass(frozen=True, slots=True)
class SharedName:
    """A name or synonym that several labels have, so that it tells none of them apart.

    Attributes:
        name: As the first of them writes it.
        ids: The labels that have it, in the order of the set.
    """

    name: str
    ids: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name!r} names {', '.join(self.ids)}"


class LabelSet:
    """Labels in a fixed order, each with its own id. It is never changed.

    Args:
        labels: At least one label.
        exclusive: Whether a note has exactly one of them (protocols) or any number (findings).

    Raises:
        ValueError: If there is none, an id is blank or occurs twice, a field is not of its type or a name is blank, or
            a parent is not in the set or is its own ancestor.
    """

    def __init__(self, labels: Iterable[Label], *, exclusive: bool = True) -> None:
        if not isinstance(exclusive, bool):
            raise ValueError(f"exclusive must be True (one label a note) or False (any number), got {exclusive!r}")
        self._labels = {label.id: label for label in checked_labels(labels)}
        self._exclusive = exclusive
        check_parents(self._labels)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a set by what the path is: ``.csv``, ``.yaml`` or ``.yml``, a Markdown file, or a folder of guidelines.

        Raises:
            CorpusError: If it is none of these, or cannot be read.
        """
        place = Path(path)
        kind = place.suffix.lower()
        if kind == ".csv":
            return cls.from_csv(place)
        if kind in (".yaml", ".yml"):
            return cls.from_yaml(place)
        if kind == ".md" or place.is_dir():
            return cls.from_markdown(place)
        raise CorpusError("expected a .csv, .yaml or .md file of labels, or a folder of guidelines", file=place)

    @classmethod
    def from_csv(
        cls,
        path: str | Path,
        *,
        id: str = "id",
        name: str = "name",
        definition: str | None = None,
        synonyms: str | None = None,
        parent: str | None = None,
        examples: str | None = None,
        exclusive: bool = True,
    ) -> Self:
        """Read labels from a CSV file with a header line; other columns are not read.

        Args:
            path: The file, UTF-8.
            id: Column of the id, which must not be empty.
            name: Column of the name, which must not be empty.
            definition: Column of the definition; None takes ``definition`` where there is one.
            synonyms: Column of other names, separated by ``;``; None takes ``synonyms`` where there is one.
            parent: Column of the parent's id; None takes ``parent`` where there is one.
            examples: Column of example texts, separated by ``|``; None takes ``examples`` where there is one.
            exclusive: Whether a note has exactly one of the labels; a CSV file cannot say.

        Raises:
            CorpusError: If the file or a row cannot be read, a column is missing, an id occurs twice, or the labels
                make no set.
        """
        columns = {
            "id": id, "name": name, "definition": definition, "synonyms": synonyms, "parent": parent,
            "examples": examples,
        }  # fmt: skip
        return cls._read(csv_labels(Path(path), columns), path, exclusive)

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """Read a set from YAML: ``exclusive`` (true if left out) and ``labels``, or only a list of labels.

        Args:
            path: Each label has ``id`` and, if wanted, ``name``, ``definition``, ``synonyms`` (a list), ``parent`` and
                ``examples`` (a list). What YAML would read as a number, a date or yes or no must be quoted.

        Raises:
            CorpusError: If the file is not of that form, or the labels make no set.
        """
        labels, exclusive = yaml_labels(Path(path))
        return cls._read(labels, path, exclusive)

    @classmethod
    def from_markdown(cls, path: str | Path, *, exclusive: bool = True) -> Self:
        """Read a folder of guidelines, one for each label, or one file with a ``##`` heading for each label.

        Args:
            path: A folder as ``read_markdown`` and ``from_protocols`` read it; or a file, where the text under a
                heading up to the next is the definition, except lines ``Id:``, ``Synonyms:`` (separated by ``;``),
                ``Parent:`` and ``Example:`` (may be repeated). The id is the heading in lower case with hyphens if no
                line gives it.
            exclusive: Whether a note has exactly one of the labels.

        Raises:
            CorpusError: If a file cannot be read or is not of that form, or the labels make no set.
        """
        return cls._read(markdown_labels(Path(path)), path, exclusive)

    @classmethod
    def from_protocols(cls, documents: Iterable[Document], *, exclusive: bool = True) -> Self:
        """Make a label of each guideline: its id and title, and what its metadata says.

        Args:
            documents: Guidelines as ``read_markdown`` and ``load_protocols`` give them. From the metadata come
                ``definition``, ``parent`` and ``examples``; other names are the lists ``synonyms`` and
                ``order_abbreviations``.
            exclusive: Whether a note has exactly one of the labels.

        Raises:
            CorpusError: If metadata is not of that form.
            ValueError: If there is no document, an id occurs twice, or the labels make no set.
        """
        return cls((protocol_label(document) for document in documents), exclusive=exclusive)

    @classmethod
    def from_findings(cls, name: str = "chest") -> Self:
        """Return a shipped set of findings; a report has any number of them.

        Args:
            name: ``"chest"`` for the 14 common findings of chest x-rays, ``"head"``, or another of
                ``load_finding_sets``.

        Raises:
            ValueError: If there is no such set.
        """
        sets = load_finding_sets()
        if name not in sets:
            raise ValueError(f"there is no finding set {name!r}; choose one of {', '.join(sets)}")
        return cls(sets[name], exclusive=False)

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """Read what ``to_dict`` gave, or the bare list of labels that older versions stored.

        Raises:
            ValueError: If it is neither.
        """
        labels, exclusive = labels_from_values(values)
        return cls(labels, exclusive=exclusive)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values: ``exclusive`` and ``labels``; empty fields are left out."""
        return {"exclusive": self._exclusive, "labels": [label_values(label) for label in self]}

    def to_csv(self, path: str | Path) -> None:
        """Write it as ``from_csv`` reads it; whether it is exclusive must be said again when it is read.

        Raises:
            ValueError: If a label has no name, or a synonym holds ``;`` or an example ``|``; use ``to_yaml``.
        """
        write_csv(self, Path(path))

    def to_yaml(self, path: str | Path) -> None:
        """Write it as ``from_yaml`` reads it."""
        write_yaml(self.to_dict(), Path(path))

    def diff(self, other: LabelSet) -> LabelSetDiff:
        """Say what changes from this set to another: added, removed, renamed and changed labels."""
        return diff_labels(self, other)

    @property
    def exclusive(self) -> bool:
        """Whether a note has exactly one of the labels."""
        return self._exclusive

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Ids in order."""
        return tuple(self._labels)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of every label, in order, and of whether they exclude each other."""
        labels = [_unless_empty(asdict(label)) for label in self]
        text = json.dumps(labels if self._exclusive else [labels, "not exclusive"], ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    @cached_property
    def shared_names(self) -> tuple[SharedName, ...]:
        """Names and synonyms that more than one label has, whatever their case and spaces, in order of the labels.

        They are allowed, as abbreviations do mean several things, but a note that uses one is not decided by it.
        """
        owners: dict[str, dict[str, str]] = {}
        for label in self:
            for name in (label.name or label.id, *label.synonyms):
                owners.setdefault(" ".join(name.casefold().split()), {}).setdefault(label.id, name)
        return tuple(SharedName(next(iter(ids.values())), tuple(ids)) for ids in owners.values() if len(ids) > 1)

    def children(self, id: str) -> tuple[str, ...]:
        """Return the ids of the labels whose parent this is, in order."""
        return self._children.get(self[id].id, ())

    def ancestors(self, id: str) -> tuple[str, ...]:
        """Return the ids of a label's parent, its parent's parent and so on."""
        return tuple(upwards(self._labels, self[id].id))

    @cached_property
    def _children(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {}
        for label in self:
            found.setdefault(label.parent, []).append(label.id)
        return {parent: tuple(ids) for parent, ids in found.items()}

    @classmethod
    def _read(cls, labels: Iterable[Label], path: str | Path, exclusive: bool) -> Self:
        try:
            return cls(labels, exclusive=exclusive)
        except CorpusError:
            raise
        except ValueError as error:
            raise CorpusError(str(error), file=path) from error

    def __len__(self) -> int:
        return len(self._labels)

    def __iter__(self) -> Iterator[Label]:
        return iter(self._labels.values())

    def __getitem__(self, id: str) -> Label:
        if id not in self._labels:
            raise KeyError(f"no label {id!r} among {', '.join(self.ids[:20])}{', ...' if len(self) > 20 else ''}")
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


def _unless_empty(values: dict[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in values.items() if field not in _LATER or value != _LATER[field]}
