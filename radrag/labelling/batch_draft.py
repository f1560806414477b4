"""The output of a long run: a draft that survives a kill, and files that appear whole or not at all."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from radrag.errors import CorpusError, require
from radrag.labelling.batch_columns import as_json, flat
from radrag.labelling.batch_rows import format_of

_TABLE_ROWS = 10_000  # rows of a Parquet row group
_TYPES = {"row": "int64", "probability": "float64", "abstained": "bool_"}


@dataclass(slots=True)
class Progress:
    """How far a run has come; what a later run needs to go on.

    Attributes:
        rows: Records done.
        bytes: Length of the draft that holds them.
        errors: How many of them have an error, by what it says.
        complete: Whether these are all.
    """

    rows: int = 0
    bytes: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    complete: bool = False


class Draft:
    """The unfinished output of a run beside its target, with a checkpoint of what is in it for certain.

    Args:
        target: The file it will become.
        names: Its columns.
        key: What the run does; a draft of another run is refused.
        resume: Whether to go on with a draft; otherwise it is begun anew.

    Raises:
        CorpusError: If a draft is there that was made from something else, or that another process is writing.
    """

    def __init__(self, target: Path, names: Sequence[str], key: Mapping[str, Any], *, resume: bool) -> None:
        self._target, self._names, self._key = target, list(names), dict(key)
        self.path = target.with_name(f".{target.name}.part")
        self._state = target.with_name(f".{target.name}.part.json")
        self._format = format_of(target)
        self._packed = target.name.endswith(".gz")
        target.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = open(self.path, "a+b")
        try:
            _lock(self._file, target)
            self.progress = self._known() if resume else Progress()
            self._file.truncate(self.progress.bytes)
        except BaseException:
            self._file.close()
            raise
        if not self.progress.rows and self._format == ".csv":
            self._file.truncate(0)
            self.write([], {}, header=True)

    def write(self, rows: Sequence[Mapping[str, Any]], errors: Mapping[str, int], *, header: bool = False) -> None:
        """Add rows and note that they are there."""
        text = self._csv(rows, header=header) if self._format == ".csv" else self._json(rows)
        data = text.encode("utf-8")
        # A gzip file may consist of several members: each write is one, the same in every run.
        self._file.write(gzip.compress(data, 6, mtime=0) if self._packed else data)
        self._file.flush()
        os.fsync(self._file.fileno())
        self.progress.rows += len(rows)
        self.progress.bytes = self._file.seek(0, os.SEEK_END)
        for kind, count in errors.items():
            self.progress.errors[kind] = self.progress.errors.get(kind, 0) + count
        self._note()

    def finish(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Put output and manifest in their places, and return the manifest with the hash of the output."""
        self.progress.complete = True
        self._note()
        made = self.path
        if self._format == ".parquet":
            made = self.path.with_name(f"{self.path.name}.parquet")
            _as_parquet(self.path, made, self._names)
        whole = {**manifest, "output": {"name": self._target.name, **file_digest(made)}}
        write_whole(manifest_path(self._target), json.dumps(whole, ensure_ascii=False, indent=1) + "\n")
        os.replace(made, self._target)
        self.close()
        self.path.unlink(missing_ok=True)
        self._state.unlink(missing_ok=True)
        return whole

    def close(self) -> None:
        """Leave the draft as it is, for a later run."""
        self._file.close()

    def _note(self) -> None:
        progress = self.progress
        state = {
            "key": self._key,
            "rows": progress.rows,
            "bytes": progress.bytes,
            "errors": progress.errors,
            "complete": progress.complete,
        }
        write_whole(self._state, json.dumps(state, ensure_ascii=False) + "\n")

    def _known(self) -> Progress:
        try:
            state = json.loads(self._state.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return Progress()
        except ValueError as error:
            raise CorpusError(f"not a checkpoint ({error}); {_ANEW}", file=self._state) from error
        changed = sorted(name for name in self._key if state["key"].get(name) != self._key[name])
        if changed:
            raise CorpusError(f"the run that began it had another {', '.join(changed)}; {_ANEW}", file=self._state)
        if self.path.stat().st_size < state["bytes"]:
            raise CorpusError(f"is shorter than its checkpoint says; {_ANEW}", file=self.path)
        return Progress(state["rows"], state["bytes"], state["errors"], state["complete"])

    def _csv(self, rows: Sequence[Mapping[str, Any]], *, header: bool) -> str:
        stream = io.StringIO(newline="")
        writer = csv.DictWriter(stream, self._names, lineterminator="\n")
        if header:
            writer.writeheader()
        writer.writerows(flat(row, self._names) for row in rows)
        return stream.getvalue()

    def _json(self, rows: Sequence[Mapping[str, Any]]) -> str:
        return "".join(as_json({name: row.get(name) for name in self._names}) + "\n" for row in rows)


_ANEW = "finish it as it was begun, choose another target, or pass resume=False (--anew) to begin anew"


def manifest_path(target: Path) -> Path:
    """Return where the manifest of an output stands."""
    return target.with_name(f"{target.name}.manifest.json")


def finished(target: Path, key: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the manifest of an output that is there already, made from the same; None if there is no output.

    Raises:
        CorpusError: If there is one that was made from something else, or was altered.
    """
    if not target.exists():
        return None
    try:
        manifest = json.loads(manifest_path(target).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError) as error:
        raise CorpusError(
            "exists and has no manifest of such a run; choose another target, or pass resume=False (--anew) to "
            "replace it",
            file=target,
        ) from error
    same = isinstance(manifest, dict) and manifest.get("key") == dict(key)
    if not same or {name: manifest["output"][name] for name in ("sha256", "bytes")} != file_digest(target):
        raise CorpusError(
            "exists and was made from something else, or altered; choose another target, or pass resume=False "
            "(--anew) to replace it",
            file=target,
        )
    return dict(manifest)


def file_digest(path: Path) -> dict[str, Any]:
    """Return the sha256 and the length of a file."""
    try:
        with path.open("rb") as stream:
            return {"sha256": hashlib.file_digest(stream, "sha256").hexdigest(), "bytes": path.stat().st_size}
    except (FileNotFoundError, IsADirectoryError) as error:
        raise CorpusError("there is no such file; check the path", file=path) from error


def write_whole(path: Path, text: str) -> None:
    """Write a small file so that it is there whole or not at all."""
    draft = path.with_name(f"{path.name}.new")
    with draft.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(draft, path)


def _lock(file: IO[bytes], target: Path) -> None:
    """Refuse to write what another process is writing; the lock ends with the process, however it ends."""
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows
        return
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise CorpusError("another process is writing this file; wait for it, or stop it", file=target) from error


def _as_parquet(draft: Path, made: Path, names: Sequence[str]) -> None:
    """Turn a draft of JSON lines into a Parquet file; kept columns become texts where their values differ in type."""
    pyarrow, parquet = require("pyarrow", extra="train"), require("pyarrow.parquet", extra="train")
    kinds = _column_types(draft, names)
    schema = pyarrow.schema([(name, getattr(pyarrow, kinds[name])()) for name in names])
    with parquet.ParquetWriter(made, schema) as writer, draft.open(encoding="utf-8") as lines:
        rows: list[dict[str, Any]] = []
        for line in lines:
            row = flat(json.loads(line), names)
            rows.append({name: _cast(value, kinds[name]) for name, value in row.items()})
            if len(rows) == _TABLE_ROWS:
                writer.write_table(pyarrow.Table.from_pylist(rows, schema))
                rows = []
        if rows:
            writer.write_table(pyarrow.Table.from_pylist(rows, schema))


def _column_types(draft: Path, names: Sequence[str]) -> dict[str, str]:
    """Return a type for each column: what all its values are, or text."""
    seen: dict[str, set[type]] = {name: set() for name in names}
    with draft.open(encoding="utf-8") as lines:
        for line in lines:
            for name, value in json.loads(line).items():
                if value is not None:
                    seen[name].add(type(value))
    known: dict[frozenset[type], str] = {
        frozenset({bool}): "bool_",
        frozenset({int}): "int64",
        frozenset({float}): "float64",
    }
    known[frozenset({int, float})] = "float64"
    return {name: _TYPES.get(name) or known.get(frozenset(types), "string") for name, types in seen.items()}


def _cast(value: Any, kind: str) -> Any:
    if value is None or kind != "string" or isinstance(value, str):
        return value
    return as_json(value)
