"""Approximate neighbours: one bit a dimension in inverted lists, written once.

RaBitQ (Gao and Long, SIGMOD 2024, arXiv:2405.12497) keeps the signs of each rotated residual. The rows found this way
are candidates; ``radrag.indexes.dense`` scores them again from their vectors.

The FastScan layout (Andre et al., VLDB 2015) takes 3.4 ms where the plain one takes 5.6 (500k rows, 354 of 707 lists).
FAISS cannot map it, so it stays in memory with some 50 bytes a row at 256 dimensions.
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
_LIST = 4_096  # rows of a list
_LISTS = 16  # at least
_POINTS = 40  # training rows a list; FAISS asks for 39
_ROUNDS = 10
_BLOCK = 8_192
_QUERY_BITS = 4  # 8 found no more and took longer


def train(
    vectors: NDArray[np.float16], folder: Path, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> int:
    """Train on a sample, add every row in blocks, and write ``folder / "ann.faiss"``.

    Args:
        vectors: float16 ``[n, dim]``, n at least 1.
        folder: Where the file goes.
        seed: Of the sample, the rotation and the clustering.
        progress: Called with the rows added so far and n.

    Returns:
        How many lists were made.
    """
    library = _faiss()
    rows, dim = vectors.shape
    # Recall depends on the share of the rows that is looked at, hardly on the number of lists (64 to 707 lists at 500k
    # rows took 3.5 to 4.5 ms for the same recall). Each list costs as much as some 500 codes, so lists of 4,096 rows
    # are cheapest; beyond 16 million rows sqrt(n) keeps the centroids fewer.
    lists: int = max(1, min(max(_LISTS, rows // _LIST), math.isqrt(rows), rows // _POINTS))
    # Clustered by L2 the centroids are the means of their rows. Against the unit centroids that FAISS makes for inner
    # products, recall@100 with 800 of 500k rows re-scored was .935 instead of .878.
    clustering = library.Kmeans(dim, lists, niter=_ROUNDS, seed=seed, min_points_per_centroid=1)
    drawn = np.random.default_rng(seed).choice(rows, min(rows, _POINTS * lists), replace=False, shuffle=False)
    clustering.train(vectors[np.sort(drawn)].astype(np.float32))
    rotation = library.RandomRotationMatrix(dim, dim)
    rotation.init(seed)
    quantizer = library.IndexFlatL2(dim)
    quantizer.add(rotation.apply(clustering.centroids))
    inverted = library.IndexIVFRaBitQFastScan(quantizer, dim, lists, library.METRIC_INNER_PRODUCT)
    index = library.IndexPreTransform(rotation, inverted)
    index.train(vectors[:1].astype(np.float32))  # the centroids are there and the codes need none: this only marks it
    del clustering
    for start in range(0, rows, _BLOCK):
        index.add(vectors[start : start + _BLOCK].astype(np.float32))
        if progress is not None:
            progress(min(rows, start + _BLOCK), rows)
    library.write_index(index, str(folder / FILE))
    return lists


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
        # FAISS trusts the sizes and offsets in the file: one altered bit can end the process in its search. At 51 bytes
        # a row and 1.4 GB/s this takes 18 ms for 500k rows and 0.4 s for 10 million, once a segment is first searched.
        if sha256 is not None and file_sha256(file) != sha256:
            raise IndexCorruptError(
                f"{file} was altered: its sha256 is not the one recorded; restore the file or rebuild the index"
            )
        library = _faiss()
        with _reported(file, "read"):
            self._index: Any = library.read_index(str(file), library.IO_FLAG_MMAP_IFC)
        if (self._index.ntotal, self._index.d) != (rows, dim):
            raise IndexCorruptError(
                f"{file} holds {self._index.ntotal} rows of {self._index.d}, expected {rows} of {dim}; "
                "rebuild the index"
            )

    @property
    def lists(self) -> int:
        """How many lists there are."""
        return int(_faiss().downcast_index(self._index.index).nlist)

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
        parameters = library.IVFRaBitQSearchParameters(nprobe=nprobe, qb=_QUERY_BITS, sel=selector)
        with _one_thread(library), _reported(self._file, "searched"):
            _, found = self._index.search(
                query[np.newaxis], count, params=library.SearchParametersPreTransform(index_params=parameters)
            )
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
