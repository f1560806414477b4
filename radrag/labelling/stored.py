"""Files of a saved pipeline: JSON and safetensors in a folder that appears whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radrag.errors import ModelError


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON values."""
    path.write_text(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read what ``write_json`` wrote.

    Raises:
        ModelError: If the file is missing or is not a JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing; give the folder that the pipeline was saved to") from error
    except ValueError as error:
        raise ModelError(f"{path} is not JSON ({error}); save the pipeline again") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} holds no JSON object; save the pipeline again")
    return value


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as safetensors."""
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read what ``write_arrays`` wrote.

    Raises:
        ModelError: If the file is missing or is not safetensors.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(path))
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing; give the folder that the pipeline was saved to") from error
    except SafetensorError as error:
        raise ModelError(f"{path} is not safetensors ({error}); save the pipeline again") from error


def write_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a folder that then takes this place at once.

    Args:
        folder: Where it goes; what an earlier save left there is replaced.
        write: Fills the folder it is given.

    Raises:
        ModelError: If something that is not a saved pipeline is in the way.
    """
    if folder.exists() and not (folder / "manifest.json").is_file() and (folder.is_file() or any(folder.iterdir())):
        raise ModelError(f"{folder} exists and is not a saved pipeline; choose another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft, old = (folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}" for _ in range(2))
    draft.mkdir()
    try:
        write(draft)
        if folder.exists():
            os.replace(folder, old)
        try:
            os.replace(draft, folder)
        except BaseException:
            if old.exists():
                os.replace(old, folder)
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
