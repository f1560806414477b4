"""What every encoder needs: vectors of unit length, and a name for the weights that made them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radrag.errors import ModelError

_WEIGHTS = ("*.safetensors", "*.bin", "tokenizer.json")
_MODULES = (*_WEIGHTS, "*.json", "*.txt", "*.model")


def unit_vectors(vectors: Any) -> NDArray[np.float32]:
    """Return rows scaled to unit length, float32; a row of zeros stays."""
    array = np.asarray(vectors, dtype=np.float32)
    if array.ndim != 2:
        array = array.reshape(0, 0) if array.size == 0 else np.atleast_2d(array)
    if not np.isfinite(array).all():
        raise ModelError("the encoder returned a vector that is not finite; check its weights and its input")
    norms = np.linalg.norm(array, axis=1, keepdims=True)
    unit: NDArray[np.float32] = np.divide(array, norms, out=np.zeros_like(array), where=norms > 0)
    return unit


def folder_hash(folder: Path) -> str:
    """Return a short hash of the weights and the tokenizer in a model's folder."""
    digest = hashlib.sha256()
    for file in sorted({path for pattern in _WEIGHTS for path in folder.glob(pattern)}):
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


def modules_hash(folder: Path) -> str:
    """Return a short hash of all that makes the vectors of a sentence-transformers folder.

    Pooling, dense layers and the like are modules, each in the folder that ``modules.json`` names; prompts, lengths and
    letter case are settings beside them.
    """
    listed = folder / "modules.json"
    modules = json.loads(listed.read_text(encoding="utf-8")) if listed.is_file() else []
    within = [folder / module["path"] for module in modules if module.get("path")]
    files = {path for pattern in _MODULES for path in folder.glob(pattern)}
    files |= {path for place in within for pattern in _MODULES for path in place.rglob(pattern)}
    digest = hashlib.sha256()
    for name, file in sorted((file.relative_to(folder).as_posix(), file) for file in files if file.is_file()):
        with file.open("rb") as stream:
            digest.update(f"{name}\x00".encode() + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]
