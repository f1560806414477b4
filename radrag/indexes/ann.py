"""Approximate neighbours: four bits for every two or more dimensions, in inverted lists, written once.

Product quantisation (Jegou et al., IEEE TPAMI 33(1), 2011) with 16 centroids for each part, its tables held in
registers (FastScan: Andre et al., VLDB 2015). Parts are coded as they are, not as residuals, so one table serves all
lists. The rows found this way are candidates; ``radrag.indexes.dense`` scores them again from their vectors.

RaBitQ (Gao and Long, SIGMOD 2024) takes 24 bytes a row less, as long or longer, and finds fewer: see DECISIONS.md and
``tests/benchmarks/vector_codes.py``. FAISS can map neither, so the codes stay in memory.
"""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radrag.errors import IndexCorruptError
from radrag.indexes.arrays import file_sha256

FILE = "ann.faiss"
KIND = "ivf-pq4-fastscan"
_LIST = 1_024  # rows of a list
_LISTS = 16  # at least
_POINTS = 40  # training rows a list; FAISS asks for 39
_CODED = 20_000  # training rows of the codes, at least
_ROUNDS = 10
_BLOCK = 8_192
_PARTS, _BITS = 128, 4  # at most: 64 bytes a row


def train(
    vectors: NDArray[np.float16], folder: Path, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> int:
    """Train on a sample, add every row in blocks, and write ``folder / "ann.faiss"``.

    Args:
        vectors: float16 ``[n, dim]``, n at least 2, not all equal.
        folder: Where the file goes.
        seed: Of the sample and the clustering.
        progress: Called with the rows added so far and n.

    Returns:
        How many lists were made.
    """
    library = _faiss()
    rows, dim = vectors.shape
    # Recall depends on the share of the rows that is looked at, so lists are small; from a million rows on sqrt(n) of
    # them keep what assigning rows to them costs in bounds.
    lists: int = max(1, min(max(_LISTS, rows // _LIST), math.isqrt(rows), rows // _POINTS))
    parts, width = shape(dim)
    drawn = np.random.default_rng(seed).choice(
        rows, min(rows, max(_CODED, _POINTS * lists)), replace=False, shuffle=False
    )
    sample = _padded(vectors[np.sort(drawn)], width)
    clustering = library.Kmeans(width, lists, niter=_ROUNDS, seed=seed, spherical=True, min_points_per_centroid=1)
    clustering.train(sample)
    quantizer = library.IndexFlatIP(width)
    quantizer.add(clustering.centroids)
    index = library.IndexIVFPQFastScan(quantizer, width, lists, parts, _BITS, library.METRIC_INNER_PRODUCT)
    index.by_residual = False
    index.quantizer_trains_alone = 2  # the centroids are there
    index.pq.cp.min_points_per_centroid = 1  # or it warns of what only tests are as small as
    index.train(np.resize(sample, (max(len(sample), 1 << _BITS), width)))
    del clustering, sample
    for start in range(0, rows, _BLOCK):
        index.add(_padded(vectors[start : start + _BLOCK], width))
        if progress is not None:
            progress(min(rows, start + _BLOCK), rows)
    library.write_index(index, str(folder / FILE))
    return lists


def shape(dim: int) -> tuple[int, int]:
    """Return how many parts vectors of this length are coded in, and the length that zeros fill them up to."""
    size = max(2, math.ceil(dim / _PARTS))
    parts = math.ceil(dim / size)
    return parts, parts * size


def _padded(vectors: NDArray[np.floating], width: int) -> NDArray[np.float32]:
    if vectors.shape[1] == width:
        return vectors.astype(np.float32)
    padded = np.zeros((len(vectors), width), dtype=np.float32)
    padded[:, : vectors.shape[1]] = vectors
    return padded


class Approximate:
    """What ``train`` wrote, opened.

    Args:
        folder: The folder given to ``train``.
        rows: Rows it must hold.
        dim: Length of its vectors.
        sha256: What was recorded of the file; None where it has just been written.

    Raises:
        FileNotFoundError: If the file is gone.
        IndexCorruptError: If it is not such an index, or was altered.
    """

    def __init__(self, folder: Path, rows: int, dim: int, sha256: str | None = None) -> None:
        self._file = file = folder / FILE
        if not file.is_file():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(file))
        # FAISS trusts the sizes and offsets in the file: one altered bit can end the process in its search. At 73 bytes
        # a row and 1.4 GB/s this takes 26 ms for 500k rows and 0.5 s for 10 million, once a segment is first searched.
        if sha256 is not None and file_sha256(file) != sha256:
            raise IndexCorruptError(
                f"{file} was altered: its sha256 is not the one recorded; restore the file or rebuild the index"
            )
        library = _faiss()
        with _reported(file, "read"):
            self._index: Any = library.read_index(str(file), library.IO_FLAG_MMAP_IFC)
        self._width = shape(dim)[1]
        if (self._index.ntotal, self._index.d) != (rows, self._width):
            raise IndexCorruptError(
                f"{file} holds {self._index.ntotal} rows of {self._index.d}, expected {rows} of {self._width}; "
                "rebuild the index"
            )

    @property
    def lists(self) -> int:
        """How many lists there are."""
        return int(self._index.nlist)

    def candidates(
        self, query: NDArray[np.float32], count: int, nprobe: int, selector: Any = None
    ) -> NDArray[np.int64]:
        """Return up to ``count`` rows that look nearest, best first.

        One query a call: FAISS breaks ties among its coarse scores differently in a batch.

        Args:
            query: float32 ``[dim]``.
            count: Rows wanted.
            nprobe: Lists to look into.
            selector: What ``admit`` returned; None admits every row.

        Raises:
            IndexCorruptError: If FAISS cannot search what it read.
        """
        library = _faiss()
        parameters = library.IVFSearchParameters(nprobe=nprobe, sel=selector)
        with _one_thread(library), _reported(self._file, "searched"):
            _, found = self._index.search(_padded(query[np.newaxis], self._width), count, params=parameters)
        rows: NDArray[np.int64] = found[0]
        return rows[rows >= 0]


def admit(mask: NDArray[np.bool_]) -> Any:
    """Return the FAISS selector of the rows that a mask admits."""
    return _faiss().IDSelectorBitmap(np.packbits(mask, bitorder="little"))


@contextmanager
def _reported(file: Path, done: str) -> Iterator[None]:
    """Say of which file FAISS gave up; sizes that were altered ask for more memory than there is."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        short = " if memory is not short," if isinstance(error, MemoryError) else ""
        raise IndexCorruptError(f"{file} cannot be {done} ({error!r});{short} rebuild the index") from error


@contextmanager
def _one_thread(library: Any) -> Iterator[None]:
    """Search on the calling thread alone.

    One query is too little work to share: on two busy cores FAISS's threads spin, and 3 ms become 31. The setting is
    the calling thread's own, and what it was comes back.
    """
    before = library.omp_get_max_threads()
    library.omp_set_num_threads(1)
    try:
        yield
    finally:
        library.omp_set_num_threads(before)


def _faiss() -> Any:
    import faiss

    library: Any = faiss  # its stubs know only the C++ signatures
    return library
