"""Documents as a user gives them, made what the index will give back; or refused by their names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from radrag.corpora.values import plain, whole_number
from radrag.indexes.database import dump
from radrag.indexes.filters import refuse_surrogates
from radrag.indexes.store import document_version
from radrag.types import Document, Section
from radrag.types.documents import NAMES


def read_document(document: Document, place: int) -> Document:
    """Return a document with NumPy numbers and members of enums as the plain values that they stand for.

    Args:
        document: It, as it was given.
        place: Which of those given it is, from 0, for messages if it has no name.

    Raises:
        TypeError: If it is no document, or a part of it of another type than it must be.
        ValueError: If a part of it could not be stored.
    """
    name = _name(document, place)
    texts = {field: getattr(document, field) for field in ("id", "title", "kind", "text")}
    for field, value in texts.items():
        if not isinstance(value, str):
            raise TypeError(f"{name}: {field} must be text, got {value!r:.80}")
    if not isinstance(document.metadata, Mapping):
        raise TypeError(f"{name}: metadata must be a mapping, got {document.metadata!r:.80}")
    try:
        metadata = dump(document.metadata)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    for field, value in {**texts, "metadata": metadata}.items():
        refuse_surrogates(f"the {field} of {name}", value)
    sections = tuple(_section(name, number, section) for number, section in enumerate(document.sections))
    made = replace(
        document, **{k: plain(v) for k, v in texts.items()}, sections=sections, metadata=json.loads(metadata)
    )
    _refuse_names(name, made.metadata)
    if abs(version := document_version(made).number) >= 1 << 63:
        raise ValueError(f"{name} has pmid_version {version}, expected a number below 2**63")
    return made


def _name(document: Document, place: int) -> str:
    if not isinstance(document, Document):
        raise TypeError(
            f"documents[{place}] must be a Document, got {type(document).__name__}; make it Document(id=..., text=...)"
        )
    if not isinstance(document.id, str):
        raise TypeError(f"documents[{place}]: id must be text, got {document.id!r:.80}")
    if not document.id:
        raise ValueError(f"documents[{place}] has an empty id; every document needs a unique one")
    return f"document {plain(document.id)!r}"


def _section(name: str, number: int, section: Section) -> Section:
    if not isinstance(section, Section):
        raise TypeError(f"{name}: sections[{number}] must be a Section, got {section!r:.80}")
    path = section.path
    if not isinstance(path, list | tuple) or not all(isinstance(part, str) for part in path):
        raise TypeError(f"{name}: the path of sections[{number}] must be a tuple of texts, got {path!r:.80}")
    for part in path:
        refuse_surrogates(f"the path of sections[{number}] of {name}", part)
    start, end = (
        whole_number(f"{name}: {side} of sections[{number}]", getattr(section, side)) for side in ("start", "end")
    )
    return Section(tuple(map(plain, path)), start, end)


def _refuse_names(name: str, metadata: Mapping[str, Any]) -> None:
    for field in NAMES:
        value = metadata.get(field)
        if not (
            value is None
            or isinstance(value, str)
            or (isinstance(value, list) and all(isinstance(one, str) for one in value))
        ):
            raise TypeError(f"{name}: {field!r} must be a list of texts, got {value!r:.80}")
