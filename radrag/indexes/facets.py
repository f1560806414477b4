"""Metadata filters over arrays: which rows of a segment have a value, kept as postings beside the words.

A filter on a facet costs a union of posting lists; one on any other field looks at every document in SQLite.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radrag.errors import IndexCorruptError
from radrag.indexes.filters import Range, Where, compile_where
from radrag.indexes.postings import Postings
from radrag.types import Document

# Those that people filter by and that many documents share; ids, links and DOIs would only fill the vocabulary.
FACETS = (
    *("kind", "year", "language", "publication_types", "mesh", "journal", "source", "has_abstract", "design"),
    *("modality", "body_region", "population", "topic"),
)
_SEPARATOR = "\x1f"
_NUMBER, _TEXT = "n", "t"


def facet_terms(document: Document, fields: Sequence[str]) -> list[str]:
    """Return a term for each value that a document has in these fields: a scalar, or the scalars of a list."""
    terms = []
    for field in fields:
        value = document.kind if field == "kind" else document.metadata.get(field)
        members = value if isinstance(value, list | tuple) else [value]
        terms += [_term(field, member) for member in members if isinstance(member, str | int | float)]
    return sorted(set(terms))


def split_where(where: Where, fields: Sequence[str]) -> tuple[Where, Where]:
    """Split a filter into the part that facets answer and the part that SQLite must; refuse what neither can."""
    compile_where(where)
    quick = {field: wanted for field, wanted in where.items() if field in fields}
    return quick, {field: wanted for field, wanted in where.items() if field not in fields}


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


def _positions(facets: Postings, field: str, wanted: Any) -> Iterator[int]:
    if isinstance(wanted, Range):
        yield from _within(facets, field, wanted)
        return
    values = wanted if isinstance(wanted, list | tuple | set | frozenset) else [wanted]
    for value in values:
        position = facets.find(_term(field, value))
        if position >= 0:
            yield position


def _within(facets: Postings, field: str, wanted: Range) -> Iterator[int]:
    side = wanted.high if wanted.low is None else wanted.low
    kind = _TEXT if isinstance(side, str) else _NUMBER
    prefix = f"{field}{_SEPARATOR}{kind}".encode()
    start, stop = facets.bisect(prefix), facets.bisect(prefix[:-1] + bytes([prefix[-1] + 1]))
    for position in range(start, stop):
        text = facets.term(position)[len(prefix) :].decode("utf-8", "surrogatepass")
        value: Any = text if kind == _TEXT else _number(text)
        if (wanted.low is None or value >= wanted.low) and (wanted.high is None or value <= wanted.high):
            yield position


def _term(field: str, value: str | float) -> str:
    if isinstance(value, str):
        return f"{field}{_SEPARATOR}{_TEXT}{value}"
    # SQLite too holds 1, 1.0 and true for equal.
    whole = int(value) if isinstance(value, int) or value.is_integer() else value
    return f"{field}{_SEPARATOR}{_NUMBER}{whole!r}"


def _number(text: str) -> int | float:
    return int(text) if text.lstrip("-").isdigit() else float(text)
