"""The most memory that a process holds while something runs."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_open: list[PeakMemory] = []


class PeakMemory:
    """Measures the block that it is the context of, with all that the process held already (models, an index).

    On Linux the mark of the highest resident size is set back first, so that what ran before does not count; where it
    cannot be, the figure is that of the process since it began, and ``own`` is false. Blocks may stand within each
    other, in one thread.

    Attributes:
        bytes: Highest resident size, known at the end of the block; 0 if the system does not say.
        own: Whether ``bytes`` is of this block alone.
        gpu_bytes: Highest mark of torch's allocator on the device in use, of this block alone; 0 without CUDA.
    """

    def __init__(self) -> None:
        self.bytes, self.gpu_bytes, self.own = 0, 0, False

    def __enter__(self) -> Self:
        _note()  # blocks around this one keep what they have seen, for the marks are set back now
        self.own = _forget()
        _open.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _note()
        _open.remove(self)


def _note() -> None:
    """Raise the figures of all open blocks to the marks as they stand."""
    if not _open:
        return
    cuda = _cuda()
    held, on_gpu = _highest(), 0 if cuda is None else int(cuda.max_memory_allocated())
    for block in _open:
        block.bytes, block.gpu_bytes = max(block.bytes, held), max(block.gpu_bytes, on_gpu)


def _forget() -> bool:
    """Set the marks back to what is in use now; say whether that of the main memory could be."""
    cuda = _cuda()
    if cuda is not None:
        cuda.reset_peak_memory_stats()
    try:
        _CLEAR.write_text("5")  # see proc_pid_clear_refs(5)
    except OSError:
        return False
    return _status() > 0


def _highest() -> int:
    held = _status()
    if held:
        return held
    try:
        import resource
    except ImportError:
        return 0
    peak = int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return peak if sys.platform == "darwin" else peak * 1024


def _status() -> int:
    """Return the highest resident size in bytes as Linux tells it, 0 where it does not."""
    try:
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    found = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), "0")
    return int(found) * 1024


def _cuda() -> Any:
    """Return torch's CUDA if it is there and loaded already; to measure is no reason to load it."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    return cuda if cuda is not None and cuda.is_available() else None
