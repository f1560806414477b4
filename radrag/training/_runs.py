"""What pretraining and tuning share: checkpoints that resume, and only into the run that they are of."""

from __future__ import annotations

import hashlib
import json
import shutil
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
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self._file, {"settings": self._digest, "steps": steps})
        self.steps = steps

    @property
    def checkpoint(self) -> str | None:
        """The latest checkpoint, if there is one."""
        found = sorted(self.folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
        whole = [path for path in found if (path / "trainer_state.json").is_file()]
        return str(whole[-1]) if whole else None

    def finish(self) -> None:
        """Delete the checkpoints."""
        shutil.rmtree(self.folder, ignore_errors=True)
