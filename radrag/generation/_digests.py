"""What weights are known by: the commit of a hub snapshot, and a digest of every byte that is kept beside them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path

from radrag.errors import ModelError

NAME = ".radrag-digest.json"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SMALL = 64_000_000  # read in a tenth of a second: not worth a file


def snapshot_revision(folder: Path) -> str | None:
    """Return the commit of a folder in the hub's cache (``models--*/snapshots/<commit>``), None of any other."""
    inside = folder.parent.name == "snapshots" and folder.parent.parent.name.startswith("models--")
    return folder.name if inside and _COMMIT.fullmatch(folder.name) else None


def weights_digest(folder: Path) -> str:
    """Return a digest of a model's or adapter's weights that survives copying; every byte counts.

    Of large weights it is kept in ``.radrag-digest.json`` beside them, or in the user's cache where the folder cannot
    be written to, and read from there as long as the names, sizes and times of the files are the same.

    Raises:
        ModelError: If there are no safetensors files.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelError(f"{folder} holds no .safetensors file, so its weights cannot be identified.")
    state = _state(files)
    large = sum(size for _, size, _ in state) > _SMALL
    if large and (known := _kept(folder, state)) is not None:
        return known
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    found = "sha256:" + digest.hexdigest()
    if large and _state(files) == state:  # else a file changed while it was read
        _keep(folder, state, found)
    return found


def _state(files: list[Path]) -> list[tuple[str, int, int]]:
    return [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]


def _places(folder: Path) -> tuple[Path, Path]:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "radrag" / "digests"
    return folder / NAME, cache / f"{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()}.json"


def _kept(folder: Path, state: list[tuple[str, int, int]]) -> str | None:
    for place in _places(folder):
        with suppress(OSError, ValueError, KeyError, TypeError):
            record = json.loads(place.read_text(encoding="utf-8"))
            if [tuple(entry) for entry in record["files"]] == state:
                return str(record["digest"])
    return None


def _keep(folder: Path, state: list[tuple[str, int, int]], digest: str) -> None:
    text = json.dumps({"digest": digest, "files": state}, indent=1) + "\n"
    for place in _places(folder):
        with suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            handle, staging = tempfile.mkstemp(prefix=f"{place.name}-", dir=place.parent)
            with os.fdopen(handle, "w", encoding="utf-8") as opened:
                opened.write(text)
            os.replace(staging, place)
            return
