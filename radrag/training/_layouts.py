"""How each instruction format lays out a record: as JSON values, or as text with markers in one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from radrag.corpora.rows import Row
from radrag.generation.prompts import instruction_chat
from radrag.training.records import ChatRecord
from radrag.types import Chat, Message, Role

_ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, slots=True)
class Layout:
    """How one format is recognised, read and written.

    Attributes:
        fits: Says of a file's record whether it is of this format.
        read: Returns its turns.
        write: Returns a record's JSON values.
    """

    fits: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Row], list[Message]]
    write: Callable[[ChatRecord], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Marked:
    """A format of marked text: what stands before and after all turns, and around the role and content of each."""

    first: str
    before: str
    between: str
    after: str
    last: str = ""

    def fits(self, values: Mapping[str, Any]) -> bool:
        return isinstance(values.get("text"), str) and self.before in values["text"]

    def read(self, row: Row) -> list[Message]:
        text = row.string("text").strip().removeprefix(self.first).removesuffix(self.last)
        closing = self.after.strip()
        turns: list[Message] = []
        while text := text.lstrip():
            head, between, rest = text.partition(self.between)
            role = next((role for role in _ROLES if head == self.before + role), None)
            content, closed, text = rest.partition(closing)
            if role is None or not between or not closed:
                expected = f"{self.before}role{self.between}content{closing}".replace("\n", "\\n")
                row.fail(f"turn {len(turns) + 1} is not {expected} with a role of {', '.join(_ROLES)}", "text")
            turns.append(Message(role, content))
        return turns

    def write(self, record: ChatRecord) -> dict[str, Any]:
        turns = (self.before + turn.role + self.between + turn.content + self.after for turn in _whole(record))
        return {"text": self.first + "".join(turns)}


def alpaca_values(record: ChatRecord) -> dict[str, Any]:
    """Return a record as instruction, input and output; a system turn before the user's is the instruction.

    Raises:
        ValueError: If it has other turns than one of the user, or a system and a user turn, or one of them is blank.
    """
    contents = [turn.content for turn in record.prompt]
    roles = [turn.role for turn in record.prompt]
    if roles not in (["user"], ["system", "user"]) or not all(text.strip() for text in contents):
        raise ValueError(
            f"record {record.id!r} has the turns {', '.join(roles)}, but Alpaca has place for one user turn, or a "
            "system and a user turn, none of them blank; write it as messages"
        )
    return {"instruction": contents[0], "input": contents[1] if len(contents) > 1 else "", "output": record.completion}


def _read_alpaca(row: Row) -> list[Message]:
    given = "" if row.values.get("input") is None else row.string("input")
    return [*instruction_chat(row.filled("instruction"), given), Message("assistant", row.string("output"))]


def _turn(row: Row, value: Any, field: str) -> Message:
    if not isinstance(value, dict) or not isinstance(value.get("content"), str) or value.get("role") not in _ROLES:
        row.fail(f"expected a role ({', '.join(_ROLES)}) and its content as text, got {value!r:.80}", field)
    return Message(value["role"], value["content"])


def _turns(row: Row, field: str) -> list[Message]:
    values = row.need(field)
    if not isinstance(values, list):
        row.fail(f"expected a list of turns, got {values!r:.60}", field)
    return [_turn(row, value, field) for value in values]


def _read_pair(row: Row) -> list[Message]:
    turns: list[Message] = []
    for field, role in (("prompt", "user"), ("completion", "assistant")):
        value = row.need(field)
        turns += [_turn(row, {"role": role, "content": value}, field)] if isinstance(value, str) else _turns(row, field)
    return turns


def _write_pair(record: ChatRecord) -> dict[str, Any]:
    return {"prompt": _listed(record.prompt), "completion": _listed(_whole(record)[-1:])}


def _listed(chat: Iterable[Message]) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": turn.content} for turn in chat]


def _whole(record: ChatRecord) -> Chat:
    return (*record.prompt, Message("assistant", record.completion))


_CHATML = _Marked("", "<|im_start|>", "\n", "<|im_end|>\n")
_LLAMA3 = _Marked(
    "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>", last="<|end_of_text|>"
)

FORMATS: dict[str, Layout] = {
    "messages": Layout(
        fits=lambda values: "messages" in values,
        read=lambda row: _turns(row, "messages"),
        write=lambda record: {"messages": _listed(_whole(record))},
    ),
    "prompt-completion": Layout(lambda values: {"prompt", "completion"} <= set(values), _read_pair, _write_pair),
    "alpaca": Layout(lambda values: {"instruction", "output"} <= set(values), _read_alpaca, alpaca_values),
    "chatml": Layout(_CHATML.fits, _CHATML.read, _CHATML.write),
    "llama3": Layout(_LLAMA3.fits, _LLAMA3.read, _LLAMA3.write),
}
