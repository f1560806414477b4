"""Metadata filters over arrays: which rows of a segment have a value, kept as postings beside the words.

A filter on a facet costs a union of posting lists; one on any other field looks at every document in SQLite.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radrag.errors import IndexCorruptError
from radrag.indexes.filters import COLUMNS, FIELD, Range, Where, compile_where, values_of
from radrag.indexes.postings import Postings
from radrag.types import Document

# Those that people filter by and that many documents share; ids, links and DOIs would only fill the vocabulary.
FACETS = (
    *("kind", "year", "language", "publication_types", "mesh", "journal", "source", "has_abstract", "design"),
    *("modality", "body_region", "population", "topic"),
)
_SEPARATOR = "\x1f"
NUMBER, TEXT = "n", "t"
_NAMES = {NUMBER: "numbers", TEXT: "text"}


def facet_fields(more: Sequence[str]) -> list[str]:
    """Return ``FACETS`` and a user's own, sorted.

    Raises:
        TypeError: If these are no names.
        ValueError: If one cannot be a field of metadata that a filter names.
    """
    fields = [more] if isinstance(more, str) else list(more)
    if isinstance(more, str) or not all(isinstance(field, str) for field in fields):
        raise TypeError(f"facets must be a list of names of metadata fields, such as ['ward'], got {more!r}")
    for field in fields:
        if field in COLUMNS and field not in FACETS:
            raise ValueError(f"facets must be metadata fields, got {field!r}; filters find it as it is, leave it out")
        if not FIELD.fullmatch(field):
            raise ValueError(f"facets must be plain names such as 'ward', got {field!r}; name the metadata field so")
    return sorted({*FACETS, *fields})


def facet_terms(document: Document, fields: Sequence[str]) -> list[str]:
    """Return a term for each value that a document has in these fields: a scalar, or the scalars of a list.

    Raises:
        ValueError: If one of them holds a NUL, which SQLite takes for its end.
    """
    terms = []
    for field in fields:
        value = document.kind if field == "kind" else document.metadata.get(field)
        members = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(member, str) and "\x00" in member for member in members):
            raise ValueError(f"document {document.id!r}: {field!r} holds a NUL, got {value!r:.80}; remove it")
        terms += [_term(field, member) for member in members if isinstance(member, str | int | float)]
    return sorted(set(terms))


def split_where(where: Where, fields: Sequence[str]) -> tuple[Where, Where]:
    """Split a filter into the part that facets answer and the part that SQLite must; refuse what neither can."""
    compile_where(where)
    quick = {field: wanted for field, wanted in where.items() if field in fields}
    return quick, {field: wanted for field, wanted in where.items() if field not in fields}


def refuse_types(segments: Sequence[tuple[Postings, NDArray[np.bool_] | None]], where: Where) -> None:
    """Refuse a filter that asks a field of numbers for text, or one of text for numbers: nothing could match it.

    Args:
        segments: Facets of each segment, and bool ``[rows]``, which of its rows count; None for all.
        where: The filter.

    Raises:
        ValueError: If all values that a field has are of the other type than those asked for.
    """
    for field, wanted in where.items():
        held = {kind for facets, rows in segments for kind in _NAMES if _holds(facets, rows, field, kind)}
        refuse_type(field, wanted, held)


def refuse_type(field: str, wanted: Any, held: AbstractSet[str]) -> None:
    """Refuse what a field shall be if it has only values of the other type (``NUMBER``, ``TEXT``)."""
    asked = {TEXT if isinstance(value, str) else NUMBER for value in values_of(wanted)}
    if held and asked and not asked & held:
        raise ValueError(f"filter field {field!r} holds {_NAMES[next(iter(held))]}, got {wanted!r}")


def facet_mask(facets: Postings, where: Where) -> NDArray[np.bool_]:
    """Return which rows a filter admits, bool ``[rows]``: every field must match, by any of its values."""
    mask = np.ones(facets.count, dtype=np.bool_)
    try:
        for field, wanted in where.items():
            one = np.zeros(facets.count, dtype=np.bool_)
            for position in _positions(facets, field, wanted):
                one[facets.of(position)[0]] = True
            mask &= one
    except (ValueError, IndexError) as error:
        raise IndexCorruptError(f"the metadata of a segment cannot be read ({error}); rebuild the index") from error
    return mask


def facet_values(facets: Postings, field: str) -> list[str]:
    """Return the texts that rows have in a field, in bytewise order."""
    skipped, span = len(f"{field}{_SEPARATOR}{TEXT}".encode()), _span(facets, field, TEXT)
    try:
        return [term[skipped:].decode() for term in facets.slice(span.start, span.stop)]
    except (ValueError, IndexError) as error:
        raise IndexCorruptError(f"the metadata of a segment cannot be read ({error}); rebuild the index") from error


def _positions(facets: Postings, field: str, wanted: Any) -> Iterator[int]:
    if isinstance(wanted, Range):
        yield from _within(facets, field, wanted)
        return
    for value in values_of(wanted):
        position = facets.find(_term(field, value))
        if position >= 0:
            yield position


def _span(facets: Postings, field: str, kind: str) -> range:
    """Return the positions of a field's values that are numbers, or text."""
    prefix = f"{field}{_SEPARATOR}{kind}".encode()
    return range(facets.bisect(prefix), facets.bisect(prefix[:-1] + bytes([prefix[-1] + 1])))


def _holds(facets: Postings, rows: NDArray[np.bool_] | None, field: str, kind: str) -> bool:
    return any(rows is None or rows[facets.of(position)[0]].any() for position in _span(facets, field, kind))


def _within(facets: Postings, field: str, wanted: Range) -> Iterator[int]:
    kind = TEXT if isinstance(values_of(wanted)[0], str) else NUMBER
    skipped = len(f"{field}{_SEPARATOR}{kind}".encode())
    for position in _span(facets, field, kind):
        text = facets.term(position)[skipped:].decode("utf-8", "surrogatepass")
        value: Any = text if kind == TEXT else _number(text)
        if (wanted.low is None or value >= wanted.low) and (wanted.high is None or value <= wanted.high):
            yield position


def _term(field: str, value: str | float) -> str:
    if isinstance(value, str):
        return f"{field}{_SEPARATOR}{TEXT}{value}"
    # SQLite too holds 1, 1.0 and true for equal.
    whole = int(value) if isinstance(value, int) or value.is_integer() else value
    return f"{field}{_SEPARATOR}{NUMBER}{whole!r}"


def _number(text: str) -> int | float:
    return int(text) if text.lstrip("-").isdigit() else float(text)
