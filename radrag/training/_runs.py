"""What pretraining and tuning share: checkpoints that resume, and only into the run that they are of."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from radrag.training._files import write_json


class Run:
    """The work folder of one training run, beside the folder it will write.

    Args:
        out: Folder the finished model goes to; checkpoints are in ``<out>.work``.
        settings: Everything that decides the result, as JSON values.

    Raises:
        ValueError: If the work folder holds checkpoints of other settings.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        self.folder = out.with_name(out.name + ".work")
        self._digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode("utf-8")).hexdigest()
        self._file = self.folder / "run.json"
        known = json.loads(self._file.read_text(encoding="utf-8")) if self._file.is_file() else None
        if known is not None and known["settings"] != self._digest:
            raise ValueError(
                f"{self.folder} holds checkpoints of a run with other settings or data. Finish that run, delete the "
                "folder, or choose another out."
            )
        self.steps: int | None = None if known is None else known["steps"]

    def begin(self, steps: int) -> None:
        """Record how many steps the run takes, so that a resumed run keeps its schedule."""
        self.steps = steps
        if not is_main():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        staging = self._file.with_suffix(".tmp")
        write_json(staging, {"settings": self._digest, "steps": steps})
        os.replace(staging, self._file)

    @property
    def checkpoint(self) -> str | None:
        """The latest checkpoint that was written to its end, if there is one."""
        found = sorted(self.folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
        return next((str(path) for path in reversed(found) if _is_whole(path)), None)

    def finish(self) -> None:
        """Delete the checkpoints; TensorBoard's curves move to ``<out>.runs``."""
        if is_main():
            curves = self.folder / "runs"
            if curves.is_dir():
                shutil.copytree(curves, self.folder.with_suffix(".runs"), dirs_exist_ok=True)
            shutil.rmtree(self.folder, ignore_errors=True)


def is_main() -> bool:
    """Whether this process, of those that ``accelerate launch`` started, is the one that writes."""
    return os.environ.get("RANK", "0") == "0"


def _is_whole(folder: Path) -> bool:
    """Whether a checkpoint's files are complete; the trainer writes ``trainer_state.json`` last."""
    try:
        json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
        archives = [*folder.glob("*.pt"), *folder.glob("*.pth"), *folder.glob("*.bin")]
        readable = all(map(zipfile.is_zipfile, archives))
        tensors = list(folder.glob("*.safetensors"))
        return readable and bool(tensors) and all(_is_whole_safetensors(file) for file in tensors)
    except (OSError, ValueError, KeyError):
        return False


def _is_whole_safetensors(file: Path) -> bool:
    """Whether a file has the length that its header (8 bytes of size, then JSON) states."""
    with file.open("rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        if size > file.stat().st_size:
            return False
        header = json.loads(opened.read(size))
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    return file.stat().st_size == 8 + size + max(ends, default=0)
