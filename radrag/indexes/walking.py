"""Going through documents while another process writes them, without holding it up."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar


class _Row(Protocol):
    @property
    def number(self) -> int: ...
    @property
    def name(self) -> str: ...


R = TypeVar("R", bound=_Row)


def once_each(rows: Iterable[R], end: int) -> Iterator[R]:
    """Leave out rows of documents that were given already under an earlier number.

    One transaction around a walk of hours would let the store's log grow all the while, so that each batch is of
    another state. A document that is replaced gets a new number at the end: its row there is left out if the old one
    was given, and is the only one if not. Names are kept as hashes of 64 bits, 8 bytes a document.

    Args:
        rows: Rows in the order of their numbers, each read when it is reached.
        end: Largest number when the walk began; up to it no name occurs twice.
    """
    given, known = array("q"), set[int]()
    for row in rows:
        key = hash(row.name)
        if row.number <= end:
            given.append(key)
        else:
            known = known or set(given)
            if key in known:
                continue
            known.add(key)
        yield row
