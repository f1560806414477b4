"""Rows read one by one from a large file are the rows of the file."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
import pytest

from radrag.indexes import dense
from radrag.indexes.dense import DenseSegment
from radrag.indexes.scattered import ScatteredRows


@pytest.mark.parametrize(("rows", "dim"), [(1, 8), (40_000, 64), (3_000, 768), (200, 6_000)])
def test_rows_are_those_of_the_file(tmp_path: Path, rows: int, dim: int) -> None:
    rng = np.random.default_rng(0)
    array = rng.random((rows, dim)).astype(np.float16)
    np.save(tmp_path / "vectors.npy", array)
    scattered = ScatteredRows(tmp_path / "vectors.npy")
    for wanted in ([], [0], [rows - 1], rng.integers(0, rows, 100).tolist(), range(rows)):
        chosen = np.asarray(list(wanted), dtype=np.int64)
        np.testing.assert_array_equal(scattered.take(chosen), array[chosen])


def test_every_page_of_a_row_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(mmap, "MADV_WILLNEED"):
        pytest.skip("this system takes no advice on memory maps")
    np.save(tmp_path / "vectors.npy", np.zeros((5_000, 700), dtype=np.float16))
    scattered = ScatteredRows(tmp_path / "vectors.npy")
    asked: set[int] = set()

    class Watched:
        def madvise(self, advice: int, start: int, size: int) -> None:
            assert advice == mmap.MADV_WILLNEED
            asked.update(range(start, start + size))

    monkeypatch.setattr(scattered, "_map", Watched())
    rows = np.arange(3, 5_000, 331)
    scattered.take(rows)
    header = (tmp_path / "vectors.npy").stat().st_size - 5_000 * 1_400
    assert all(header + row * 1_400 + byte in asked for row in rows.tolist() for byte in range(1_400))
    assert len(asked) <= len(rows) * 2 * mmap.PAGESIZE


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
