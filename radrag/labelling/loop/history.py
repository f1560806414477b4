"""What went into each round of the loop and what came out, in numbered folders that are never changed."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radrag._version import __version__
from radrag.errors import CorpusError
from radrag.labelling.loop.corrections import now
from radrag.labelling.loop.files import file_hash

_RECORD = "round.json"


@dataclass(frozen=True, slots=True)
class Round:
    """One step of the loop.

    Attributes:
        folder: Where its files are.
        number: Its number, from 1.
        step: What was done: ``"issues"``, ``"correct"``, ``"errors"``, ``"pseudo"``.
        time: When, ISO 8601 in UTC.
        inputs: Path and SHA-256 of each file that went in, by its role.
        outputs: SHA-256 of each file that came out, by its name in the folder.
        settings: What was chosen.
        figures: What was counted or measured.
    """

    folder: Path
    number: int
    step: str
    time: str
    inputs: Mapping[str, Mapping[str, str]]
    outputs: Mapping[str, str]
    settings: Mapping[str, Any]
    figures: Mapping[str, Any]


def add_round(
    history: str | Path,
    step: str,
    inputs: Mapping[str, Path],
    write: Callable[[Path], Mapping[str, Any]],
    settings: Mapping[str, Any] | None = None,
) -> Round:
    """Write a new round, whole or not at all.

    Args:
        history: Folder of the history; ``0001`` and so on are made in it.
        step: What is done.
        inputs: The files that go in, by their role; they are hashed, not copied.
        write: Fills the folder it is given, and returns figures as JSON values.
        settings: What was chosen, JSON values.

    Returns:
        The round.
    """
    rounds = _place(Path(history))
    rounds.mkdir(parents=True, exist_ok=True)
    draft = rounds / f".new.{uuid.uuid4().hex[:8]}"
    draft.mkdir(mode=0o700)
    try:
        taken = {role: {"path": str(path), "sha256": file_hash(path)} for role, path in sorted(inputs.items())}
        figures = write(draft)
        record = {
            "step": step,
            "time": now(),
            "radrag": __version__,
            "inputs": taken,
            "outputs": {path.name: file_hash(path) for path in sorted(draft.iterdir())},
            "settings": dict(settings or {}),
            "figures": dict(figures),
        }
        text = json.dumps(record, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
        (draft / _RECORD).write_text(text, encoding="utf-8")
        return _read(_placed(draft, rounds))
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def read_rounds(history: str | Path) -> tuple[Round, ...]:
    """Read every round, the oldest first; none if there is no history yet.

    Raises:
        CorpusError: If a round cannot be read, or a file of it is missing or was changed.
    """
    return tuple(_read(folder) for folder in _folders(_place(Path(history))))


def _place(history: Path) -> Path:
    """Return where the rounds are: an older history has them one level down, in ``rounds``, and goes on there."""
    older = history / "rounds"
    return older if _folders(older) and not _folders(history) else history


def _folders(rounds: Path) -> list[Path]:
    if not rounds.is_dir():
        return []
    found = (path for path in rounds.iterdir() if path.name.isdigit() and path.is_dir())
    return sorted(found, key=lambda path: int(path.name))


def _placed(draft: Path, rounds: Path) -> Path:
    """Give the draft the next free number; another process may take one at the same time."""
    number = max((int(path.name) for path in _folders(rounds)), default=0) + 1
    while True:
        target = rounds / f"{number:04d}"
        try:
            os.rename(draft, target)  # fails on a folder that holds something
        except OSError:
            if not target.exists():
                raise
            number += 1
        else:
            return target


def _read(folder: Path) -> Round:
    path = folder / _RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        names = ("step", "time", "inputs", "outputs", "settings", "figures")
        found = Round(folder, int(folder.name), **{name: record[name] for name in names})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorpusError(f"no round can be read from it ({error}); restore the folder", file=path) from error
    for name, expected in found.outputs.items():
        if not (folder / name).is_file() or file_hash(folder / name) != expected:
            raise CorpusError("is missing or was changed since the round was written; restore it", file=folder / name)
    return found
