"""A generator that replays saved outputs, so that a system that cannot be run again stands beside one that can."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from radrag.errors import ModelError
from radrag.generation.prompts import neutralise
from radrag.types import Chat, Generation, GenerationParams

_ASKED = re.compile(r"^Question: (.+)$", re.MULTILINE)
_GZIP = b"\x1f\x8b"


def chat_key(chat: Chat) -> str:
    """Return the sha256 of a chat: its roles and texts, in order."""
    turns = [[message.role, message.content] for message in chat]
    return hashlib.sha256(json.dumps(turns, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()


def question_in(chat: Chat) -> str:
    """Return the question that a chat of ours asks, "" if its last turn holds none."""
    found = _ASKED.findall(chat[-1].content) if chat else []
    return str(found[-1]).strip() if found else ""


class RecordedGenerator:
    """Gives back what was recorded for a chat, or for the question in it, and counts what was not recorded.

    Nothing is made up: a chat without a record gets an empty text, which every reader takes as no answer, and stands in
    ``missing``.

    Args:
        rows: Objects with ``output`` and at least one of ``chat`` (``chat_key`` of the prompt), ``question`` (its
            words) and ``id``; optionally ``finished``, ``prompt_tokens`` and ``new_tokens``. Or the path of a JSON
            Lines file of them, gzipped or not.
        where: Values that a row must have to be read, such as ``{"model": "gpt-4-32k", "setting": "cot"}``.
        name: What made the outputs; it becomes part of the fingerprint.

    Attributes:
        missing: What was asked for and not recorded, once each.

    Raises:
        ModelError: If the file or a row cannot be read, no row is left, or two rows say different things of one key.
    """

    local = True

    def __init__(
        self, rows: str | Path | Iterable[Mapping[str, Any]], *, where: Mapping[str, Any] | None = None, name: str = ""
    ) -> None:
        self._chats: dict[str, Generation] = {}
        self._questions: dict[str, Generation] = {}
        self._ids: dict[str, Generation] = {}
        self._asked: dict[str, None] = {}
        digest, self._size = hashlib.sha256(), 0
        for number, row in _rows(rows):
            if any(row.get(key) != value for key, value in (where or {}).items()):
                continue
            self._add(row, number)
            digest.update(json.dumps(row, sort_keys=True, ensure_ascii=False, default=str).encode())
        if not self._size:
            chosen = f" with {dict(where)}" if where else ""
            raise ModelError(f"no recorded output{chosen} was found; check the file and what selects from it")
        self.fingerprint = f"recorded:{name or 'outputs'}:{digest.hexdigest()[:16]}"

    def __len__(self) -> int:
        return self._size

    @property
    def missing(self) -> tuple[str, ...]:
        """What was asked for and not recorded, in the order it was first asked."""
        return tuple(self._asked)

    def generate(self, chats: Sequence[Chat], params: GenerationParams | None = None) -> list[Generation]:
        """Return what was recorded for each chat; parameters change nothing, the outputs are what they are."""
        return [self._of(chat) for chat in chats]

    def by_id(self, id: str) -> Generation | None:
        """Return what was recorded under an id, or None, which counts as missing."""
        return self._known(self._ids.get(id), id)

    def _of(self, chat: Chat) -> Generation:
        question = question_in(chat)
        found = self._chats.get(chat_key(chat)) or self._questions.get(question)
        return self._known(found, question or chat_key(chat)) or Generation("")

    def _known(self, found: Generation | None, key: str) -> Generation | None:
        if found is None:
            self._asked.setdefault(key)
        return found

    def _add(self, row: Mapping[str, Any], number: int) -> None:
        text, finished = row.get("output"), row.get("finished", True)
        if not isinstance(text, str) or not isinstance(finished, bool):
            raise ModelError(
                f"record {number} must have a text 'output' (and 'finished' true or false), got {row!r:.200}"
            )
        made = Generation(text, finished, row.get("prompt_tokens"), row.get("new_tokens"))
        named = False
        for key, table in (("chat", self._chats), ("question", self._questions), ("id", self._ids)):
            value = row.get(key)
            if value is None:
                continue
            named = True
            place = neutralise(" ".join(str(value).split())) if key == "question" else str(value)
            if table.setdefault(place, made) != made:
                raise ModelError(f"record {number}: two outputs for the {key} {value!r}; select one system with where=")
        if not named:
            raise ModelError(f"record {number} names neither 'chat', 'question' nor 'id', so nothing can ask for it")
        self._size += 1


def _rows(rows: str | Path | Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if not isinstance(rows, str | Path):
        yield from enumerate(rows, start=1)
        return
    path = Path(rows)
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == _GZIP else raw).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} cannot be read: {error}; expected JSON Lines of recorded outputs") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ModelError(f"{path}, line {number}: not JSON ({error})") from error
        if not isinstance(row, dict):
            raise ModelError(f"{path}, line {number}: expected an object with 'output', got {type(row).__name__}")
        yield number, row
