"""What weights are known by, and when a kept digest is believed."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from radrag.errors import ModelError
from radrag.generation import _digests, _loading


def write_weights(folder: Path, values: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"a": np.asarray(values, dtype=np.float32)}, folder / "model.safetensors")


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], int]:
    """Counts how often a file was hashed; every weight counts as large."""
    hashed: list[str] = []
    plain = _digests.hashlib.file_digest

    def counting(opened: Any, name: str) -> Any:
        hashed.append(opened.name)
        return plain(opened, name)

    monkeypatch.setattr(_digests, "_SMALL", 0)
    monkeypatch.setattr(_digests.hashlib, "file_digest", counting)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return lambda: len(hashed)


def test_a_digest_is_kept_while_the_files_are_the_same(tmp_path: Path, read: Callable[[], int]) -> None:
    folder = tmp_path / "model"
    write_weights(folder, np.arange(100))
    first = _digests.weights_digest(folder)
    assert _digests.weights_digest(folder) == first
    assert read() == 1
    stat = (folder / "model.safetensors").stat()
    changed = np.arange(100)
    changed[50] = 0
    write_weights(folder, changed)
    os.utime(folder / "model.safetensors", ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    second = _digests.weights_digest(folder)
    assert second != first  # one value in the middle
    assert read() == 2
    write_weights(folder, np.arange(101))
    assert _digests.weights_digest(folder) not in (first, second)
    write_weights(folder / "copy", np.arange(100))
    assert _digests.weights_digest(folder / "copy") == first
    (folder / _digests.NAME).write_text("{")
    assert _digests.weights_digest(folder) not in (first, second)


def test_a_digest_of_a_folder_that_cannot_be_written_is_kept_elsewhere(
    tmp_path: Path, read: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    write_weights(folder, np.arange(10))
    plain = _digests.tempfile.mkstemp

    def refusing(*given: Any, **named: Any) -> Any:
        if Path(named["dir"]) == folder:
            raise PermissionError
        return plain(*given, **named)

    monkeypatch.setattr(_digests.tempfile, "mkstemp", refusing)
    first = _digests.weights_digest(folder)
    assert [path.name for path in folder.iterdir()] == ["model.safetensors"]
    assert _digests.weights_digest(folder) == first
    assert read() == 1
    assert len(list((tmp_path / "cache").rglob("*.json"))) == 1


def test_a_snapshot_is_known_by_its_commit(tmp_path: Path) -> None:
    commit = "0e9e39f249a16976918f6564b8830bc894c89659"
    folder = tmp_path / "models--meta-llama--Llama-3.1-8B-Instruct" / "snapshots" / commit
    assert _digests.snapshot_revision(folder) == commit
    assert _digests.snapshot_revision(tmp_path / "snapshots" / commit) is None
    assert _digests.snapshot_revision(folder.with_name("main")) is None


def test_an_adapter_is_checked_by_commit_and_else_by_digest(tmp_path: Path, read: Callable[[], int]) -> None:
    commit, other = "0" * 40, "1" * 40
    snapshots = tmp_path / "models--a--b" / "snapshots"
    write_weights(snapshots / commit, np.arange(5))
    write_weights(snapshots / other, np.arange(6))
    digest = _digests.weights_digest(snapshots / commit)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    record = {"base": {"name": "a/b", "revision": commit, "digest": digest}}
    (adapter / "radrag.json").write_text(json.dumps(record))

    def check(folder: Path) -> None:
        _loading._check_base(_loading.Source(str(adapter)), _loading.Source(str(folder)), "a/b")

    before = read()
    check(snapshots / commit)
    assert read() == before  # nothing was read
    with pytest.raises(ModelError, match=f"was made for a/b at {commit} with weights {digest}"):
        check(snapshots / other)
    write_weights(tmp_path / "copy", np.arange(5))
    check(tmp_path / "copy")
    write_weights(tmp_path / "copy", np.arange(5) + 1)
    with pytest.raises(ModelError, match="Load the model it was made for"):
        check(tmp_path / "copy")
