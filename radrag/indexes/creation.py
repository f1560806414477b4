"""How the store of a new index comes to be, or does not: whole under its name, or not there."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from radrag.errors import IndexStateError
from radrag.indexes.arrays import sync
from radrag.indexes.database import Database
from radrag.indexes.writer_lock import only_writer

_FILE, _DRAFT = "store.sqlite", ".new"
_UNFINISHED = {_DRAFT, "revision", "writer.lock", "writer.lock-journal"}  # what creation leaves if it is killed


def create_store(folder: Path, settings: Mapping[str, Any]) -> Database:
    """Make the database of a new index; until it is whole there is none under its name.

    Args:
        folder: A folder that does not exist, is empty, or holds what a creation that was killed left.
        settings: What the index keeps as its settings.

    Raises:
        IndexStateError: If there is something else in the folder, or the store cannot be written.
    """
    refuse_full(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with only_writer(folder):
        refuse_full(folder)  # another process may have been faster
        draft = folder / _DRAFT
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        try:
            made = Database(draft / _FILE, create=True)
            try:
                with made.transaction():
                    made.set("settings", settings)
                made.close_whole()
            finally:
                made.close()
            (draft / "revision").replace(folder / "revision")
            (draft / _FILE).replace(folder / _FILE)
            sync(folder)
        except IndexStateError as error:  # which may say that something is kept, but the draft is not
            raise IndexStateError(
                f"no index was made in {folder}: {error.__cause__ or error}; set that right and try again"
            ) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return Database(folder / _FILE)


def refuse_full(folder: Path) -> None:
    """Refuse to make an index where something else is.

    Raises:
        IndexStateError: If the folder is not empty, or is no folder.
    """
    if folder.exists() and (not folder.is_dir() or {one.name for one in folder.iterdir()} - _UNFINISHED):
        raise IndexStateError(f"{folder} exists and is not empty; open it, or choose another folder")
