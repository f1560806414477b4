"""Term postings of passages: which rows hold which term how often. Written once, then memory-mapped.

A posting names its row and, by a code, the pair (occurrences of the term in the row, terms in the row). A segment has
few distinct pairs, so BM25 looks a posting's impact up in a short table, exactly and without touching the row's length.
"""

from __future__ import annotations

import mmap
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radrag.indexes.arrays import open_array
from radrag.indexes.scattered import Ahead

ARRAYS = ("term_ends", "indptr", "rows", "codes", "pairs", "max_tf", "lengths")
FILES = ("terms.bin", *(f"{name}.npy" for name in ARRAYS))
Held = tuple[NDArray[np.int32], NDArray[np.unsignedinteger], int]
_REMEMBERED = 1 << 14
_FEW = 1 << 14  # terms that are kept in memory: read in some milliseconds, then found twenty times as fast
_HALVINGS = 11  # of a search for a term, whose 2,048 stops are kept in memory
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class Postings:
    """Postings of ``n`` rows over ``t`` terms, compressed by term.

    Attributes:
        text: UTF-8 of all terms, concatenated in bytewise order.
        term_ends: int64 ``[t]``; where each term ends in ``text``.
        indptr: int64 ``[t + 1]``; term ``i`` owns the postings from ``indptr[i]`` to ``indptr[i + 1]``.
        rows: int32, the row of each posting, ascending within a term.
        codes: uint16 (uint32 above 65,536 pairs), the position of each posting's pair in ``pairs``.
        pairs: int32 ``[p, 2]``, the distinct (occurrences of a term in a row, terms in that row), sorted.
        max_tf: int32 ``[t]``, the most occurrences of each term in one row.
        lengths: int32 ``[n]``, terms in each row.
    """

    text: memoryview
    term_ends: NDArray[np.int64]
    indptr: NDArray[np.int64]
    rows: NDArray[np.int32]
    codes: NDArray[np.unsignedinteger]
    pairs: NDArray[np.int32]
    max_tf: NDArray[np.int32]
    lengths: NDArray[np.int32]
    _held: dict[str, Held | None] = field(default_factory=dict, init=False, repr=False)
    _places: dict[bytes, int] = field(default_factory=dict, init=False, repr=False)
    _waymarks: dict[int, bytes] = field(default_factory=dict, init=False, repr=False)
    _highest: dict[int, int] = field(default_factory=dict, init=False, repr=False)
    _ahead: list[Ahead] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        terms, postings = len(self.term_ends), len(self.rows)
        if not (
            len(self.text) == (self.term_ends[-1] if terms else 0)
            and len(self.indptr) == terms + 1 == len(self.max_tf) + 1
            and self.indptr[-1] == postings == len(self.codes)
        ):
            raise ValueError(
                f"postings do not fit together: {terms} terms in {len(self.text)} bytes, {len(self.indptr)} places for "
                f"{postings} rows, {len(self.codes)} codes and {len(self.max_tf)} maxima; rebuild the index"
            )

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self.lengths)

    @property
    def ahead(self) -> Ahead:
        """What begins to read rows and codes of a term; from its first use on nothing else is read ahead."""
        if not self._ahead:
            self._ahead.append(Ahead(self.rows, self.codes))
        return self._ahead[0]

    def find(self, term: str) -> int:
        """Return the position of a term, or -1 if no row holds it."""
        wanted = term.encode("utf-8", "surrogatepass")  # a query may hold what no stored text can
        if len(self.term_ends) <= _FEW:
            if not self._places:
                self._places.update({found: place for place, found in enumerate(self.slice(0, len(self.term_ends)))})
            return self._places.get(wanted, -1)
        low, high, marks = 0, len(self.term_ends), self._waymarks
        near = high >> _HALVINGS
        while high - low > near:  # where every search passes
            middle = (low + high) // 2
            mark = marks.get(middle)
            if mark is None:
                mark = marks[middle] = self.term(middle)
            if mark < wanted:
                low = middle + 1
            else:
                high = middle
        position = self.bisect(wanted, low, high)
        return position if position < len(self.term_ends) and self.term(position) == wanted else -1

    def holders(self, term: str) -> Held | None:
        """Return a term's rows, their codes and the highest code they can have, or None if no row holds it.

        The terms asked for last are remembered.
        """
        held = self._held.get(term, ...)
        if held is not ...:
            return held
        position, held = self.find(term), None
        if position >= 0:
            held = (*self.of(position), self._highest_code(int(self.max_tf[position])))
        if len(self._held) >= _REMEMBERED:
            self._held.clear()
        self._held[term] = held
        return held

    def _highest_code(self, tf: int) -> int:
        """Return the highest code of a pair with so many occurrences or fewer."""
        highest = self._highest.get(tf)
        if highest is None:
            highest = self._highest[tf] = int(np.searchsorted(self.pairs[:, 0], tf, side="right")) - 1
        return highest

    def bisect(self, wanted: bytes, low: int = 0, high: int | None = None) -> int:
        """Return the first position, from ``low`` on and before ``high``, whose term is not before ``wanted``."""
        ends, text = self.term_ends.data, self.text  # much faster than NumPy for single items
        high = len(ends) if high is None else high
        while low < high:
            middle = (low + high) // 2
            if bytes(text[ends[middle - 1] if middle else 0 : ends[middle]]) < wanted:
                low = middle + 1
            else:
                high = middle
        return low

    def term(self, position: int) -> bytes:
        """Return the UTF-8 of the term at a position."""
        start = self.term_ends[position - 1] if position else 0
        return bytes(self.text[start : self.term_ends[position]])

    def of(self, position: int) -> tuple[NDArray[np.int32], NDArray[np.unsignedinteger]]:
        """Return the rows that hold the term at a position, and the code of each."""
        low, high = self.indptr[position], self.indptr[position + 1]
        return self.rows[low:high], self.codes[low:high]

    def slice(self, low: int, high: int) -> list[bytes]:
        """Return the UTF-8 of the terms at the positions from ``low`` up to ``high``."""
        if low >= high:
            return []
        start = int(self.term_ends[low - 1]) if low else 0
        ends = (self.term_ends[low:high] - start).tolist()
        piece = bytes(self.text[start : start + ends[-1]])
        return [piece[a:b] for a, b in zip([0, *ends], ends, strict=False)]

    def terms(self) -> Iterator[str]:
        """Yield the terms in order."""
        for low in range(0, len(self.term_ends), _BLOCK):
            for term in self.slice(low, min(low + _BLOCK, len(self.term_ends))):
                yield term.decode()

    def documents(self, keep: NDArray[np.bool_] | None = None) -> list[list[str]]:
        """Return each row's terms as a list, in order of term, repeated as often as they occur.

        Args:
            keep: bool ``[n]``, the rows wanted; None for all.
        """
        lists: list[list[str]] = [[] for _ in range(self.count)]
        for position, term in enumerate(self.terms()):
            rows, codes = self.of(position)
            for row, frequency in zip(rows.tolist(), self.pairs[codes, 0].tolist(), strict=True):
                lists[row].extend([term] * frequency)
        return lists if keep is None else [lists[row] for row in np.flatnonzero(keep).tolist()]


def build_postings(token_lists: Iterable[Sequence[str]]) -> Postings:
    """Invert token lists; row ``i`` of the result is list ``i``."""
    vocabulary: defaultdict[str, int] = defaultdict(count().__next__)
    sizes: list[int] = []

    def measured() -> Iterator[Sequence[str]]:
        for tokens in token_lists:
            sizes.append(len(tokens))
            yield tokens

    seen = np.fromiter(map(vocabulary.__getitem__, chain.from_iterable(measured())), dtype=np.int64)
    lengths = np.asarray(sizes, dtype=np.int32)
    terms = sorted(vocabulary)  # by code point, which is also the order of the UTF-8
    rank = np.empty(len(terms), dtype=np.int64)
    rank[np.fromiter(map(vocabulary.__getitem__, terms), dtype=np.int64, count=len(terms))] = np.arange(len(terms))
    rows_of = np.repeat(np.arange(len(lengths)), lengths)
    keys = np.sort(rank[seen] * len(lengths) + rows_of)
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    frequencies = np.diff(starts, append=len(keys))
    of_term, rows = np.divmod(keys[starts], max(len(lengths), 1))
    indptr = np.zeros(len(terms) + 1, dtype=np.int64)
    np.cumsum(np.bincount(of_term, minlength=len(terms)), out=indptr[1:])
    pairs, codes = _pairs(frequencies, lengths[rows])
    encoded = [term.encode() for term in terms]
    ends = np.cumsum(np.fromiter(map(len, encoded), dtype=np.int64, count=len(terms)))
    max_tf = np.maximum.reduceat(frequencies, indptr[:-1]) if terms else frequencies
    return Postings(
        text=memoryview(b"".join(encoded)),
        term_ends=ends,
        indptr=indptr,
        rows=rows.astype(np.int32),
        codes=codes,
        pairs=pairs,
        max_tf=max_tf.astype(np.int32),
        lengths=lengths,
    )


def code_type(pairs: int) -> type[np.unsignedinteger]:
    """Return the type of codes that tell so many pairs apart."""
    return np.uint16 if pairs <= 1 << 16 else np.uint32


def write_postings(postings: Postings, folder: Path) -> None:
    """Write postings into an existing folder (``FILES``)."""
    (folder / "terms.bin").write_bytes(postings.text)
    for name in ARRAYS:
        np.save(folder / f"{name}.npy", getattr(postings, name), allow_pickle=False)


def read_postings(folder: Path) -> Postings:
    """Open postings written by ``write_postings``; everything is memory-mapped.

    Raises:
        ValueError: The files do not fit together.
    """
    with (folder / "terms.bin").open("rb") as stream:
        size = stream.seek(0, 2)  # an empty file cannot be mapped
        text = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) if size else b"")
    arrays = (open_array(folder / f"{name}.npy") for name in ARRAYS)
    return Postings(text, *map(np.asarray, arrays))  # slicing a plain view is several times faster than a memmap


def _pairs(
    frequencies: NDArray[np.int64], lengths: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.unsignedinteger]]:
    """Return the distinct pairs, sorted, and the position of each posting's pair."""
    keys = frequencies << 32 | lengths
    distinct = np.unique(keys)
    pairs = np.stack([distinct >> 32, distinct & 0xFFFFFFFF], axis=1).astype(np.int32)
    return pairs, np.searchsorted(distinct, keys).astype(code_type(len(distinct)))
