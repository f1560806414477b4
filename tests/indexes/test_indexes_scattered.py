"""Rows read one by one from a large file are the rows of the file."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from radrag.indexes import dense, scattered
from radrag.indexes.bm25 import BM25, Statistics
from radrag.indexes.dense import DenseSegment
from radrag.indexes.postings import build_postings, read_postings, write_postings
from radrag.indexes.scattered import Ahead, ScatteredRows


@pytest.mark.parametrize(("rows", "dim"), [(1, 8), (40_000, 64), (3_000, 768), (200, 6_000)])
def test_rows_are_those_of_the_file(tmp_path: Path, rows: int, dim: int) -> None:
    rng = np.random.default_rng(0)
    array = rng.random((rows, dim)).astype(np.float16)
    np.save(tmp_path / "vectors.npy", array)
    single = ScatteredRows(tmp_path / "vectors.npy")
    for wanted in ([], [0], [rows - 1], rng.integers(0, rows, 100).tolist(), range(rows)):
        chosen = np.asarray(list(wanted), dtype=np.int64)
        np.testing.assert_array_equal(single.take(chosen), array[chosen])


class Watched:
    """In the place of a memory map: notes which of its bytes were asked for."""

    def __init__(self) -> None:
        self.asked: set[int] = set()

    def madvise(self, advice: int, start: int, size: int) -> None:
        assert advice == mmap.MADV_WILLNEED
        assert start % mmap.PAGESIZE == 0
        self.asked.update(range(start, start + size))


advised = pytest.mark.skipif(not hasattr(mmap, "MADV_RANDOM"), reason="this system takes no advice on memory maps")


@advised
def test_every_page_of_a_row_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "vectors.npy", np.zeros((5_000, 700), dtype=np.float16))
    single, watched = ScatteredRows(tmp_path / "vectors.npy"), Watched()
    monkeypatch.setattr(single, "_map", watched)
    rows = np.arange(3, 5_000, 331)
    single.take(rows)
    header = (tmp_path / "vectors.npy").stat().st_size - 5_000 * 1_400
    assert all(header + row * 1_400 + byte in watched.asked for row in rows.tolist() for byte in range(1_400))
    assert len(watched.asked) <= len(rows) * 2 * mmap.PAGESIZE


def mapped(path: Path, array: NDArray[Any]) -> NDArray[Any]:
    np.save(path, array)
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


@advised
def test_every_byte_of_a_slice_is_asked_for_in_its_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scattered, "LARGE", 100_000)
    rows = mapped(tmp_path / "rows.npy", np.arange(30_000, dtype=np.int32))
    codes = mapped(tmp_path / "codes.npy", np.arange(30_000, dtype=np.uint16))
    ahead, watched = Ahead(rows, codes), (Watched(), Watched())
    ahead._maps = [(start, end, one) for (start, end, _), one in zip(ahead._maps, watched, strict=True)]  # type: ignore[misc]
    header = (tmp_path / "rows.npy").stat().st_size - rows.nbytes
    for low, high in ((0, 1), (7_001, 7_900), (29_999, 30_000)):
        for one in watched:
            one.asked.clear()
        ahead.fetch(rows[low:high], codes[low:high])
        for one, size in zip(watched, (4, 2), strict=True):
            assert set(range(header + low * size, header + high * size)) <= one.asked
            assert len(one.asked) < (high - low) * size + mmap.PAGESIZE


@advised
def test_what_is_small_or_in_memory_or_hardly_needed_is_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = mapped(tmp_path / "rows.npy", np.arange(30_000, dtype=np.int32))
    assert Ahead(file)._maps == []
    monkeypatch.setattr(scattered, "LARGE", 100_000)
    assert Ahead(np.arange(30_000, dtype=np.int32))._maps == []
    ahead, watched = Ahead(file), Watched()
    ahead._maps = [(*ahead._maps[0][:2], watched)]  # type: ignore[list-item]
    ahead.fetch(file[:20_000], finding=2)
    assert not watched.asked
    ahead.fetch(file[:20_000], finding=3)
    assert len(watched.asked) >= 80_000


def test_large_postings_are_searched_like_small_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    words = [f"w{number}" for number in range(50)]
    rows = [[words[int(i)] for i in np.minimum(rng.zipf(1.5, 20) - 1, 49)] for _ in range(3_000)]
    write_postings(build_postings(rows), tmp_path)
    statistics = Statistics(len(rows), sum(map(len, rows)), lambda terms: {})
    small = BM25([read_postings(tmp_path)], 0.6, 0.5)
    monkeypatch.setattr(scattered, "LARGE", 1)
    large = BM25([read_postings(tmp_path)], 0.6, 0.5)
    for query in (["w0"], ["w1", "w9", "w30"], ["w2", "w2", "w49", "none"]):
        found, expected = (engine.top(query, 10, [None], statistics) for engine in (large, small))
        assert dict(zip(*(part.tolist() for part in found), strict=True)) == dict(
            zip(*(part.tolist() for part in expected), strict=True)
        )


def test_a_large_segment_gives_the_same_cosines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    array = rng.normal(size=(500, 32)).astype(np.float16)
    np.save(tmp_path / "vectors.npy", array)
    query = rng.normal(size=32).astype(np.float32)
    rows = np.sort(rng.choice(500, 60, replace=False))
    small = DenseSegment(array, tmp_path, None)
    monkeypatch.setattr(dense, "LARGE", 1)
    large = DenseSegment(array, tmp_path, None)
    assert small._scattered is None
    assert large._scattered is not None
    np.testing.assert_array_equal(large.at(query, rows), small.at(query, rows))
    expected = array[rows].astype(np.float64) @ query.astype(np.float64)
    np.testing.assert_allclose(large.at(query, rows), expected, rtol=1e-12)
