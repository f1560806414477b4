"""Peak memory of a block: against blocks of known size, and where the system's marks cannot be set back."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from radrag.evaluation import memory
from radrag.evaluation.memory import PeakMemory

MIB = 2**20
linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the marks are those of Linux")


def hold(size: int) -> None:
    """Hold so many MiB for a moment; pages count once they are written to."""
    np.ones(size * MIB, dtype=np.uint8)


@linux
def test_a_block_does_not_count_what_ran_before() -> None:
    hold(128)
    with PeakMemory() as small:
        hold(1)
    with PeakMemory() as large:
        hold(128)
    if not small.own:
        pytest.skip("this system does not let a process set its mark back")
    assert 100 * MIB < large.bytes - small.bytes < 160 * MIB


@linux
def test_a_block_within_another_takes_nothing_from_it() -> None:
    with PeakMemory() as outer:
        hold(128)
        with PeakMemory() as inner:
            hold(1)
        hold(1)
    if not outer.own:
        pytest.skip("this system does not let a process set its mark back")
    assert outer.bytes - inner.bytes > 100 * MIB
    assert memory._open == []


def test_without_marks_it_is_the_process_and_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("resource")
    monkeypatch.setattr(memory, "_CLEAR", tmp_path / "no" / "clear_refs")
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "status")
    with PeakMemory() as peak:
        hold(1)
    assert not peak.own
    assert peak.bytes > 10 * MIB


def test_a_block_that_fails_is_closed() -> None:
    with pytest.raises(KeyError), PeakMemory():
        raise KeyError
    assert memory._open == []


def test_without_torch_there_is_no_memory_of_a_gpu_and_torch_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    with PeakMemory() as peak:
        hold(1)
    assert peak.gpu_bytes == 0
    assert "torch" not in sys.modules


def test_without_a_gpu_its_marks_are_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = SimpleNamespace(is_available=lambda: False, max_memory_allocated=lambda: 900)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    with PeakMemory() as peak:
        hold(1)
    assert peak.gpu_bytes == 0


def test_memory_of_a_gpu_is_that_of_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for torch.cuda that keeps its highest mark, as the real one does."""
    mark = [900]
    cuda = SimpleNamespace(
        is_available=lambda: True,
        max_memory_allocated=lambda: mark[0],
        reset_peak_memory_stats=lambda: mark.__setitem__(0, 5),
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    with PeakMemory() as outer:
        mark[0] = 70
        with PeakMemory() as inner:
            mark[0] = 30
    assert (outer.gpu_bytes, inner.gpu_bytes) == (70, 30)
