"""Term postings of a batch of passages: which rows hold which term how often. Written once, then memory-mapped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FILES = ("terms.txt", "indptr.npy", "rows.npy", "frequencies.npy", "lengths.npy")


@dataclass(frozen=True, slots=True)
class Postings:
    """Postings of ``n`` rows over ``t`` terms, compressed by term.

    Attributes:
        vocabulary: Term to its position in ``indptr``.
        indptr: int64 ``[t + 1]``; term ``i`` owns ``rows[indptr[i]:indptr[i + 1]]``.
        rows: int32 row numbers, ascending within a term.
        frequencies: int32 occurrences of the term in that row.
        lengths: int32 ``[n]`` terms in each row.
    """

    vocabulary: dict[str, int]
    indptr: NDArray[np.int64]
    rows: NDArray[np.int32]
    frequencies: NDArray[np.int32]
    lengths: NDArray[np.int32]

    def of(self, term: str) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return the rows that hold a term and how often each does; empty arrays if none does."""
        position = self.vocabulary.get(term)
        if position is None:
            return self.rows[:0], self.frequencies[:0]
        low, high = self.indptr[position], self.indptr[position + 1]
        return self.rows[low:high], self.frequencies[low:high]

    def documents(self) -> list[list[str]]:
        """Return each row's terms as a list, in alphabetical order of term."""
        lists: list[list[str]] = [[] for _ in range(len(self.lengths))]
        for term in sorted(self.vocabulary):
            for row, frequency in zip(*self.of(term), strict=True):
                lists[row].extend([term] * int(frequency))
        return lists


def build_postings(token_lists: Iterable[Sequence[str]]) -> Postings:
    """Invert token lists; row ``i`` of the result is list ``i``."""
    vocabulary: dict[str, int] = {}
    terms: list[int] = []
    rows: list[int] = []
    frequencies: list[int] = []
    lengths: list[int] = []
    for row, tokens in enumerate(token_lists):
        counts = Counter(tokens)
        terms.extend(vocabulary.setdefault(term, len(vocabulary)) for term in counts)
        rows.extend([row] * len(counts))
        frequencies.extend(counts.values())
        lengths.append(len(tokens))
    of_term = np.asarray(terms, dtype=np.int64)
    order = np.argsort(of_term, kind="stable")
    indptr = np.zeros(len(vocabulary) + 1, dtype=np.int64)
    np.cumsum(np.bincount(of_term, minlength=len(vocabulary)), out=indptr[1:])
    return Postings(
        vocabulary=vocabulary,
        indptr=indptr,
        rows=np.asarray(rows, dtype=np.int32)[order],
        frequencies=np.asarray(frequencies, dtype=np.int32)[order],
        lengths=np.asarray(lengths, dtype=np.int32),
    )


def merge_postings(parts: Sequence[Postings]) -> Postings:
    """Join postings, the rows of each part after those of the parts before it."""
    vocabulary: dict[str, int] = {}
    terms, rows = [], []
    offset = 0
    for part in parts:
        renumbered = np.asarray([vocabulary.setdefault(t, len(vocabulary)) for t in part.vocabulary], dtype=np.int64)
        terms.append(np.repeat(renumbered, np.diff(part.indptr)))
        rows.append(np.asarray(part.rows) + np.int32(offset))
        offset += len(part.lengths)
    of_term = np.concatenate(terms)
    order = np.argsort(of_term, kind="stable")
    indptr = np.zeros(len(vocabulary) + 1, dtype=np.int64)
    np.cumsum(np.bincount(of_term, minlength=len(vocabulary)), out=indptr[1:])
    return Postings(
        vocabulary=vocabulary,
        indptr=indptr,
        rows=np.concatenate(rows)[order],
        frequencies=np.concatenate([part.frequencies for part in parts])[order],
        lengths=np.concatenate([part.lengths for part in parts]),
    )


def write_postings(postings: Postings, folder: Path) -> None:
    """Write postings into an existing folder (``FILES``)."""
    (folder / "terms.txt").write_text("\n".join(postings.vocabulary), encoding="utf-8")
    np.save(folder / "indptr.npy", postings.indptr)
    np.save(folder / "rows.npy", postings.rows)
    np.save(folder / "frequencies.npy", postings.frequencies)
    np.save(folder / "lengths.npy", postings.lengths)


def read_postings(folder: Path) -> Postings:
    """Open postings written by ``write_postings``; the arrays are memory-mapped."""
    text = (folder / "terms.txt").read_text(encoding="utf-8")
    arrays = [np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in FILES[1:]]
    return Postings({term: i for i, term in enumerate(text.split("\n"))} if text else {}, *arrays)
