"""Merging postings on disk, with memory that does not grow with how many postings there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from radrag.indexes.postings import Postings, code_type

_POSTINGS = 1 << 20
_TERMS = 1 << 16


def merge_postings(parts: Sequence[Postings], keep: Sequence[NDArray[np.bool_] | None], folder: Path) -> dict[str, int]:
    """Write the postings of all kept rows into an existing folder, as if they had been built together.

    Args:
        parts: Postings; the rows of each follow those of the parts before it.
        keep: bool ``[n]`` for each part, the rows that stay; None for all. Later rows move up.
        folder: Where ``radrag.indexes.postings.FILES`` are written.

    Returns:
        How many of the rows that vanish held each term, without the terms that none of them held.
    """
    sources, pairs = _sources(parts, keep)
    lengths = [part.lengths if kept is None else part.lengths[kept] for part, kept in zip(parts, keep, strict=True)]
    np.save(folder / "lengths.npy", np.concatenate([np.empty(0, np.int32), *lengths]), allow_pickle=False)
    np.save(folder / "pairs.npy", pairs, allow_pickle=False)
    with _Output(folder, pairs) as output:
        for below, pivot in _ranges(parts):
            _write_terms(output, sources, below)
            _write_pivot(output, sources, [b.stop for b in below], pivot)
    return _vanished(sources)


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """A part, with what its postings become.

    Attributes:
        part: Its postings.
        keep: bool ``[n]``, or None for all.
        rows: int32 ``[n]``, the new number of each row that stays, or None where rows move by ``offset``.
        offset: Rows of the parts before it.
        codes: The new code of each pair.
        lost: int64 ``[t]``, postings that vanish of each term, or None for none.
    """

    part: Postings
    keep: NDArray[np.bool_] | None
    rows: NDArray[np.int32] | None
    offset: int
    codes: NDArray[np.unsignedinteger]
    lost: NDArray[np.int64] | None

    def counts(self, low: int, high: int) -> NDArray[np.int64]:
        """Return how many postings stay of each term in a range."""
        counts = np.diff(self.part.indptr[low : high + 1])
        return counts if self.lost is None else counts - self.lost[low:high]

    def postings(self, low: int, high: int) -> tuple[NDArray[np.int32], NDArray[np.unsignedinteger]]:
        """Return the new rows and codes of the postings in a range that stay."""
        rows, codes = self.part.rows[low:high], self.part.codes[low:high]
        if self.keep is None or self.rows is None:
            return rows + np.int32(self.offset), self.codes[codes]
        stays = self.keep[rows]
        return self.rows[rows[stays]], self.codes[codes[stays]]


class _Output:
    """The files that grow with the vocabulary and the postings.

    Args:
        folder: Where they are.
        pairs: int32 ``[p, 2]`` of the merged postings.
    """

    def __init__(self, folder: Path, pairs: NDArray[np.int32]) -> None:
        self._tf = pairs[:, 0]
        self._text = (folder / "terms.bin").open("wb")
        self._files = {
            "term_ends": _Growing(folder / "term_ends.npy", np.int64),
            "indptr": _Growing(folder / "indptr.npy", np.int64),
            "rows": _Growing(folder / "rows.npy", np.int32),
            "codes": _Growing(folder / "codes.npy", code_type(len(pairs))),
            "max_tf": _Growing(folder / "max_tf.npy", np.int32),
        }
        self._text_size = self._postings = 0
        self._files["indptr"].append(np.zeros(1, dtype=np.int64))

    def terms(self, terms: Sequence[bytes], counts: NDArray[np.int64], top: NDArray[Any]) -> None:
        """Append terms, how many postings each has, and the highest code of each."""
        ends = np.cumsum(np.fromiter(map(len, terms), dtype=np.int64, count=len(terms))) + self._text_size
        self._text.write(b"".join(terms))
        self._files["term_ends"].append(ends)
        self._files["indptr"].append(np.cumsum(counts) + self._postings)
        self._files["max_tf"].append(self._tf[top])  # pairs are sorted: the highest code has the highest tf
        self._text_size, self._postings = int(ends[-1]), self._postings + int(counts.sum())

    def postings(self, rows: NDArray[np.int32], codes: NDArray[Any]) -> None:
        """Append postings."""
        self._files["rows"].append(rows)
        self._files["codes"].append(codes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._text.close()
        for file in self._files.values():
            file.close()


class _Growing:
    """A ``.npy`` file of one dimension whose length is known when it is closed.

    Args:
        path: The file.
        dtype: Of its items.
    """

    def __init__(self, path: Path, dtype: type[np.generic]) -> None:
        self._stream = path.open("wb")
        self._dtype = np.dtype(dtype)
        self._length = 0
        self._header()

    def append(self, items: NDArray[Any]) -> None:
        """Write items at the end."""
        self._stream.write(np.ascontiguousarray(items, dtype=self._dtype).data)
        self._length += len(items)

    def close(self) -> None:
        """Write the length into the header, which NumPy pads so that any length fits."""
        self._stream.seek(0)
        self._header()
        self._stream.close()

    def _header(self) -> None:
        described = {"descr": npy.dtype_to_descr(self._dtype), "fortran_order": False, "shape": (self._length,)}
        npy.write_array_header_1_0(self._stream, described)


def _sources(
    parts: Sequence[Postings], keep: Sequence[NDArray[np.bool_] | None]
) -> tuple[list[_Source], NDArray[np.int32]]:
    """Return the parts with what becomes of them, and the pairs that still occur."""
    surveys = [_survey(part, kept) for part, kept in zip(parts, keep, strict=True)]
    keys = [part.pairs[:, 0].astype(np.int64) << 32 | part.pairs[:, 1] for part in parts]
    used = [part_keys[still] for part_keys, (still, _) in zip(keys, surveys, strict=True)]
    merged = np.unique(np.concatenate([np.empty(0, np.int64), *used]))
    sources, offset = [], 0
    for part, kept, part_keys, (_, lost) in zip(parts, keep, keys, surveys, strict=True):
        codes = np.searchsorted(merged, part_keys).astype(code_type(len(merged)))
        rows = None if kept is None else (np.cumsum(kept, dtype=np.int32) + np.int32(offset - 1))
        sources.append(_Source(part, kept, rows, offset, codes, lost))
        offset += part.count if kept is None else int(np.count_nonzero(kept))
    return sources, np.stack([merged >> 32, merged & 0xFFFFFFFF], axis=1).astype(np.int32)


def _survey(part: Postings, keep: NDArray[np.bool_] | None) -> tuple[NDArray[np.bool_], NDArray[np.int64] | None]:
    """Return which pairs still occur, and how many postings of each term vanish."""
    if keep is None:
        return np.ones(len(part.pairs), dtype=bool), None
    used = np.zeros(len(part.pairs), dtype=bool)
    lost = np.zeros(len(part.term_ends), dtype=np.int64)
    for low in range(0, len(part.rows), _POSTINGS):
        stays = keep[part.rows[low : low + _POSTINGS]]
        used[part.codes[low : low + _POSTINGS][stays]] = True
        places = np.flatnonzero(~stays) + low
        terms, times = np.unique(np.searchsorted(part.indptr, places, side="right") - 1, return_counts=True)
        lost[terms] += times
    return used, lost


def _ranges(parts: Sequence[Postings]) -> Any:
    """Yield ranges of the vocabulary that are small in every part, each with the term that follows them all.

    The pivot itself may have any number of postings, so it is left out of the ranges.
    """
    live = [part for part in parts]
    starts = [0] * len(live)
    total = sum(len(part.rows) for part in parts)
    while True:
        pivots = []
        for part, start in zip(live, starts, strict=True):
            if start < len(part.term_ends):
                share = max(1, int(_POSTINGS * max(len(part.rows) / total, 1 / len(live))))
                end = int(np.searchsorted(part.indptr, part.indptr[start] + share, side="right")) - 1
                terms = max(1, _TERMS // len(live))
                pivots.append(part.term(min(end, start + terms, len(part.term_ends) - 1)))
        if not pivots:
            return
        pivot = min(pivots)
        ends = [part.bisect(pivot, start) for part, start in zip(live, starts, strict=True)]
        yield [slice(a, b) for a, b in zip(starts, ends, strict=True)], pivot
        starts = [
            end + (end < len(part.term_ends) and part.term(end) == pivot) for part, end in zip(live, ends, strict=True)
        ]


def _write_terms(output: _Output, sources: Sequence[_Source], ranges: Sequence[slice]) -> None:
    """Write a range of the vocabulary: term by term, and within a term part by part."""
    slices = [source.part.slice(at.start, at.stop) for source, at in zip(sources, ranges, strict=True)]
    terms = sorted(set().union(*slices))
    if not terms:
        return
    position = {term: i for i, term in enumerate(terms)}
    targets = [np.fromiter(map(position.__getitem__, own), dtype=np.int64, count=len(own)) for own in slices]
    counts = [source.counts(at.start, at.stop) for source, at in zip(sources, ranges, strict=True)]
    sizes = np.zeros(len(terms), dtype=np.int64)
    for target, count in zip(targets, counts, strict=True):
        sizes[target] += count
    filled = np.cumsum(sizes) - sizes
    starts = filled.copy()
    rows = np.empty(int(sizes.sum()), dtype=np.int32)
    codes = np.empty(len(rows), dtype=sources[0].codes.dtype)
    for source, at, target, count in zip(sources, ranges, targets, counts, strict=True):
        if not len(target):
            continue
        low, high = source.part.indptr[[at.start, at.stop]]
        places = np.repeat(filled[target] - (np.cumsum(count) - count), count)
        places += np.arange(len(places))
        rows[places], codes[places] = source.postings(low, high)
        filled[target] += count
    stays = np.flatnonzero(sizes)
    if len(stays):
        output.postings(rows, codes)
        top = np.maximum.reduceat(codes, starts[stays])
        output.terms([terms[i] for i in stays.tolist()], sizes[stays], top)


def _write_pivot(output: _Output, sources: Sequence[_Source], positions: Sequence[int], pivot: bytes) -> None:
    """Write one term, in blocks."""
    size, top = 0, 0
    for source, position in zip(sources, positions, strict=True):
        part = source.part
        if position == len(part.term_ends) or part.term(position) != pivot:
            continue
        low, high = (int(place) for place in part.indptr[position : position + 2])
        for start in range(low, high, _POSTINGS):
            rows, codes = source.postings(start, min(start + _POSTINGS, high))
            output.postings(rows, codes)
            size, top = size + len(rows), max(top, int(codes.max(initial=0)))
    if size:
        output.terms([pivot], np.asarray([size]), np.asarray([top]))


def _vanished(sources: Sequence[_Source]) -> dict[str, int]:
    """Return how many of the rows that vanish held each term."""
    held: dict[str, int] = {}
    for source in sources:
        if source.lost is not None:
            for position in np.flatnonzero(source.lost).tolist():
                term = source.part.term(position).decode()
                held[term] = held.get(term, 0) + int(source.lost[position])
    return held
