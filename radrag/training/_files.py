"""Writing a trained model: whole folders or nothing, digests, versions."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any


@contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """Give an empty folder to write into; it takes the target's place if the block ends without an error.

    Args:
        target: The folder to make or replace. It must not hold anything but a model (a folder with a config).

    Raises:
        FileExistsError: If the target holds something that is not a model.
    """
    if target.exists() and any(target.iterdir()) and not _is_model(target):
        raise FileExistsError(f"{target} holds files but no model. Name an empty or new folder.")
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield staging
        staging.chmod(0o755)
        for file in staging.iterdir():
            file.chmod(0o644)  # safetensors writes for the owner alone
        old = staging.with_name(staging.name + "-old")
        if target.exists():
            os.replace(target, old)
        os.replace(staging, target)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file that people can read and git can compare."""
    path.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def texts_sha256(texts: Iterable[str]) -> str:
    """Return one digest of texts in order."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(hashlib.sha256(text.encode("utf-8")).digest())
    return digest.hexdigest()


def package_versions(*names: str) -> dict[str, str]:
    """Return the installed version of each package, build tags (``+cpu``) included."""
    return {name: metadata.version(name) for name in names}


def _is_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("config.json", "adapter_config.json", "tokenizer_config.json"))
