"""Mapped arrays, against ``np.load``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from radrag.indexes.arrays import open_array


@pytest.mark.parametrize("shape", [(0,), (1,), (7,), (3, 4), (0, 5), (2, 3, 4), ()])
@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<i8", "<u2", "|u1", "<U3"])
def test_array_equals_numpys_own(tmp_path: Path, shape: tuple[int, ...], dtype: str) -> None:
    if dtype == "<U3":
        np.save(tmp_path / "a.npy", np.full(shape, "abc", dtype=dtype))
        with pytest.raises(ValueError, match="array of numbers"):
            open_array(tmp_path / "a.npy")
        return
    written = np.arange(np.prod(shape, dtype=int)).astype(dtype).reshape(shape)
    np.save(tmp_path / "a.npy", written)
    read, expected = open_array(tmp_path / "a.npy"), np.load(tmp_path / "a.npy")
    assert (read.dtype, read.shape) == (expected.dtype, expected.shape)
    assert np.array_equal(read, expected)
    assert not read.flags.writeable


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.arange(12.0).reshape(3, 4))
    whole = path.read_bytes()
    for broken in (b"", whole[:5], whole[:40], whole[:-1], b"x" + whole[1:], whole.replace(b"'<f8'", b"'<f9'")):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"magic|EOF|cut off|array of numbers|unknown type"):
            open_array(path)
    np.save(path, np.asfortranarray(np.ones((3, 4))))
    with pytest.raises(ValueError, match="array of numbers"):
        open_array(path)
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"objects|numbers"):
        open_array(path)
