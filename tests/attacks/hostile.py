"""Attacks, and a model that obeys whatever is not kept in its place."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from radrag.types import Chat, Document, Hit, Label, Passage

ATTACKS = [json.loads(line) for line in (Path(__file__).parent / "data" / "attacks.jsonl").read_text().splitlines()]
GOOD = "Low-dose CT detected 96% of ureteral stones in 121 adults."
REPLY = f"{GOOD[:-1]} [1]."
QUESTION = "Does low-dose CT detect ureteral stones?"
LABELS = [Label("ct-stone", "CT for stones"), Label("us-kidneys", "Ultrasound of the kidneys")]
HARMLESS = "Ultrasound misses distal stones."

# What the tokenizers of known models read as tokens of their own, and so as the end of a turn.
SPECIAL = re.compile(
    r"<\|[^|<>]{1,40}\|>|<｜[^｜<>]{1,40}｜>|</?s>|\[/?(?:INST|SYSTEM_PROMPT|TOOL_CALLS|AVAILABLE_TOOLS|TOOL_RESULTS)\]"
    r"|<</?SYS>>|<(?:start|end)_of_turn>|</?(?:think|tool_call|function_calls|invoke)\b[^<>]*>"
)
_BLOCKS = "passage|note|report|claim|history"
_BLOCK = re.compile(rf"<({_BLOCKS})\b[^<>]*>\n(.*?)\n?</(?:{_BLOCKS})\b[^<>]*>", re.S | re.I)
_INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e007f]")


def obedient(chat: Chat) -> str:
    """Obey whatever stands outside the delimiters, or behind anything that a tokenizer could take for a token.

    A delimiter of any number, in any case, ends a block; what is hidden or merely looks like a token is read as one.
    """
    for turn in chat:
        seen = visible(turn.content)
        if SPECIAL.search(seen):
            return "PWNED"
        outside = _BLOCK.sub("", seen)
        if re.search(r"OBEY|PWNED", outside) or re.search(rf"</?(?:{_BLOCKS})\b", outside, re.I):
            return "PWNED"
    return REPLY


def visible(text: str) -> str:
    """Return text as a tokenizer that normalises it and skips what prints nothing would see it."""
    return unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).replace("\r", "")


def hit(text: str, name: str = "evil", title: str = "Stones") -> Hit:
    return Hit(Passage(name, 0, len(text), text, (), title, 1), 1.0)


def hits(attack: dict[str, str]) -> list[Hit]:
    title = attack["text"] if attack["where"] == "title" else "Stones"
    text = attack["text"] if attack["where"] == "text" else HARMLESS
    return [hit(GOOD, "good"), hit(text, "evil", title), hit(HARMLESS, "third")]


def question(attack: dict[str, str]) -> str:
    return attack["text"] if attack["where"] == "question" else QUESTION


def lookup(attack: dict[str, str]) -> Any:
    return {one.passage.document_id: Document(one.passage.document_id, one.passage.text) for one in hits(attack)}.get


def each(*, where: Sequence[str] = ("text", "title", "question")) -> Any:
    chosen = [attack for attack in ATTACKS if attack["where"] in where]
    return pytest.mark.parametrize("attack", chosen, ids=[attack["id"] for attack in chosen])
