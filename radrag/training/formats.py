"""Instruction files, read and written: Alpaca, ChatML text, Llama-3 text, messages, and prompt with completion.

All are JSON Lines, one record a line, or one JSON array, as Alpaca's own file is. What the formats have no place for is
kept in the keys ``id``, ``groups`` and ``label``, which other readers leave alone:

* ``alpaca``: ``instruction``, ``input``, ``output`` (Taori et al., 2023); one user turn, or a system and a user turn
* ``chatml``: ``text`` with ``<|im_start|>role``, line break, content, ``<|im_end|>``, line break
* ``llama3``: ``text`` with ``<|begin_of_text|>``, then ``<|start_header_id|>role<|end_header_id|>``, two line breaks,
  content and ``<|eot_id|>`` for every turn
* ``messages``: ``messages``, a list of ``role`` and ``content``
* ``prompt-completion``: ``prompt`` and ``completion``, each text or a list of turns, as trl takes them
"""

from __future__ import annotations

import gzip
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from radrag.corpora.files import whole_text
from radrag.corpora.rows import Row, json_rows
from radrag.errors import CorpusError
from radrag.generation.prompts import alpaca_chat, neutralise_tokens
from radrag.training._layouts import FORMATS, Layout, alpaca_values
from radrag.training.records import ChatRecord
from radrag.types import Message

_SPACE = re.compile(r"\s*")


def read_instructions(path: str | Path, format: str | None = None) -> Iterator[ChatRecord]:
    """Read records from an instruction file, gzipped or not, one at a time (a JSON array is held as text).

    Every content passes through ``neutralise_tokens``, so that no text of a file can pass for a control token.

    Args:
        path: A ``.jsonl`` or ``.json`` file.
        format: One of ``FORMATS``; None takes the one that the first record is of.

    Yields:
        Records in the order of the file; a conversation's last turn, the assistant's, is the completion.

    Raises:
        ValueError: If there is no such format.
        CorpusError: With file and line, if a record cannot be read or is of another format.
    """
    layout = None if format is None else _layout(format)
    path = Path(path)
    for row in array_rows(path) if _is_array(path) else json_rows(path):
        layout = layout or _recognised(row)
        if not layout.fits(row.values):
            row.fail(f"is not of the format of the file; its keys are {', '.join(map(repr, row.values)) or '(none)'}")
        yield _record(row, layout.read(row))


def write_instructions(records: Iterable[ChatRecord], path: str | Path, format: str) -> int:
    """Write records to an instruction file, whole or not at all; ``read_instructions`` gives the same records back.

    Args:
        records: The records; they are streamed.
        path: File to write or replace: ``.jsonl``, ``.json`` (an array) or either with ``.gz``.
        format: One of ``FORMATS``.

    Returns:
        How many were written.

    Raises:
        ValueError: If there is no such format, or a record would not come back as it is: its text holds what could pass
            for a control token, or characters that UTF-8 text cannot hold, or its turns have no place in the format.
    """
    layout, target = _layout(format), Path(path)
    opening, between, closing = ("[\n", ",\n", "\n]\n") if _is_array(target) else ("", "\n", "\n")
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
    draft, count = Path(name), 0
    try:
        with os.fdopen(handle, "wb") as raw, _packed(raw, target) as file:
            for record in records:
                _refuse_lossy(record)
                values = json.dumps({**layout.write(record), **_extra(record)}, ensure_ascii=False)
                file.write(((between if count else opening) + values).encode("utf-8"))
                count += 1
            file.write((closing if count else opening.strip() + closing.strip()).encode("utf-8"))
        draft.chmod(0o644)  # mkstemp makes files for the owner alone
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)
    return count


def alpaca_text(record: ChatRecord) -> str:
    """Return a record in the words of Stanford Alpaca, up to and including the reply.

    Raises:
        ValueError: If it has other turns than one of the user, or a system and a user turn.
    """
    values = alpaca_values(record)
    return f"{alpaca_chat(values['instruction'], values['input'])[0].content}\n{values['output']}"


def array_rows(path: Path) -> Iterator[Row]:
    """Yield the objects of a JSON array with the line each begins on.

    Raises:
        CorpusError: If the file is not a JSON array of objects.
    """
    text, decoder = whole_text(path), json.JSONDecoder()

    def mark(at: int, expected: str) -> tuple[str, int]:
        at = _after_space(text, at)
        found = text[at : at + 1]
        if not found or found not in expected:
            shown = repr(found) if found else "the end of the file"
            _fail(path, text, at, f"expected {' or '.join(expected)}, got {shown}")
        return found, _after_space(text, at + 1)

    found, at = mark(0, "[")
    line, counted = 1, 0
    if text.startswith("]", at):
        found, at = mark(at, "]")
    while found != "]":
        line, counted = line + text.count("\n", counted, at), at
        try:
            values, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise CorpusError(f"not a JSON object: {error}", file=path, record=line) from error
        if not isinstance(values, dict):
            _fail(path, text, at, f"expected a JSON object, got {type(values).__name__}")
        yield Row(path, line, values)
        found, at = mark(end, ",]")
    if at < len(text):
        _fail(path, text, at, f"expected nothing behind the array, got {text[at : at + 20]!r}")


def _fail(path: Path, text: str, at: int, message: str) -> None:
    raise CorpusError(f"not a JSON array of objects: {message}", file=path, record=text.count("\n", 0, at) + 1)


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _is_array(path: Path) -> bool:
    return path.name.removesuffix(".gz").endswith(".json")


def _packed(raw: Any, path: Path) -> Any:
    """Write through gzip if the name ends in ``.gz``, without name and time, so that equal records give equal files."""
    return gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) if path.suffix == ".gz" else nullcontext(raw)


def _layout(name: str) -> Layout:
    if name not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {name!r}")
    return FORMATS[name]


def _recognised(row: Row) -> Layout:
    for layout in FORMATS.values():
        if layout.fits(row.values):
            return layout
    keys = ", ".join(map(repr, row.values)) or "(none)"
    row.fail(
        f"cannot tell the format from the keys {keys}; expected instruction and output, text with ChatML or Llama-3 "
        "markers, messages, or prompt and completion"
    )


def _record(row: Row, turns: list[Message]) -> ChatRecord:
    roles = [turn.role for turn in turns]
    if roles[-2:] != ["user", "assistant"]:
        row.fail(f"expected turns that end with the user's and the assistant's, got {', '.join(roles) or 'none'}")
    clean = [Message(turn.role, neutralise_tokens(turn.content)) for turn in turns]
    groups = row.values.get("groups") or []
    if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
        row.fail(f"expected a list of strings, got {groups!r:.60}", "groups")
    named = {key: "" if row.values.get(key) in (None, "") else row.name(key) for key in ("id", "label")}
    try:
        record = ChatRecord(tuple(clean[:-1]), clean[-1].content, groups=tuple(groups), **named)
        _refuse_unstorable(record)
    except ValueError as error:
        raise CorpusError(str(error), file=row.file, record=row.line) from error
    return record


def _extra(record: ChatRecord) -> dict[str, Any]:
    values = {"id": record.id, "groups": list(record.groups), "label": record.label}
    return {key: value for key, value in values.items() if value}


def _texts(record: ChatRecord) -> list[str]:
    return [*(turn.content for turn in record.prompt), record.completion]


def _refuse_unstorable(record: ChatRecord) -> None:
    for text in [*_texts(record), record.id, record.label, *record.groups]:
        if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
            raise ValueError(f"record {record.id!r} holds a NUL or half of a surrogate pair: {text!r:.80}; remove it")


def _refuse_lossy(record: ChatRecord) -> None:
    for text in _texts(record):
        if neutralise_tokens(text) != text:
            raise ValueError(
                f"record {record.id!r} holds what could pass for a control token, which would not come back: "
                f"{text!r:.80}. Pass it through radrag.generation.prompts.neutralise_tokens."
            )
    _refuse_unstorable(record)
    for name in (record.id, record.label):
        if name and not name.strip():
            raise ValueError(f"record {record.id!r} has an id or label of white space alone; name it or leave it empty")
