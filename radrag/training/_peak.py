"""The most memory that a block of code took, as torch's allocator or the operating system counted it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from radrag.errors import require

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Peak:
    """Measures the block that it is the context of.

    On CUDA it is the highest mark of torch's allocator, of the device in use. Elsewhere it is the highest resident size
    of the process above the level at the start (Linux), and 0 where its mark cannot be set back and read.

    Attributes:
        bytes: The measurement, 0 until the block has ended.
    """

    bytes: int = 0

    def __enter__(self) -> Self:
        self._cuda = require("torch", extra="llama").cuda
        self._start = _status("VmRSS")
        self._known = forget()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._cuda.is_available():
            self.bytes = int(self._cuda.max_memory_allocated())
        else:
            self.bytes = max(0, _status("VmHWM") - self._start) if self._known else 0


def forget() -> bool:
    """Set the highest mark back to what is in use now: after loading, pages of the files that were read count in it.

    Returns:
        Whether that was possible.
    """
    cuda = require("torch", extra="llama").cuda
    if cuda.is_available():
        cuda.reset_peak_memory_stats()
        return True
    try:
        _CLEAR.write_text("5")  # see proc_pid_clear_refs(5)
    except OSError:
        return False
    return True


def _status(field: str) -> int:
    """Bytes of a field of the process's status, 0 where there is none."""
    with suppress(OSError):
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(":")
            if name == field:
                return int(value.split()[0]) * 1024
    return 0
