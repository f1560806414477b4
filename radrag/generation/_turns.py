"""A chat as tokens, the same for inference and training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from radrag.errors import ModelError, require
from radrag.types import Chat, Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Turns:
    """Writes chats as the tokens a model reads and writes.

    A template without a system role gets the system message at the head of the first user turn. A control token of the
    tokenizer that stands inside a message is broken by a space, so that text cannot end a turn.

    Args:
        tokenizer: A tokenizer with a chat template.
        ends: Tokens that the checkpoint names as ends of a text, besides what the template writes after a reply.

    Raises:
        ModelError: If there is no token that ends a turn.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, ends: Sequence[int | None] = ()) -> None:
        self._tokenizer = tokenizer
        self._specials = sorted((t for t in tokenizer.all_special_tokens if len(t) > 2), key=len, reverse=True)
        self._system_role = _takes_system_role(tokenizer)
        self.ends = _end_ids(tokenizer, ends or [tokenizer.eos_token_id])

    def render(self, chat: Chat, *, reply: bool) -> str:
        """Return a chat as the template writes it, with the header of the reply if asked."""
        turns = list(chat)
        if not self._system_role and turns and turns[0].role == "system":
            head, first, *rest = turns if len(turns) > 1 else [*turns, Message("user", "")]
            turns = [Message(first.role, f"{head.content}\n\n{first.content}".strip()), *rest]
        messages = [{"role": turn.role, "content": self._safe(turn.content)} for turn in turns]
        text = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=reply)
        return str(text)

    def prompt(self, chat: Chat) -> list[int]:
        """Return the tokens of a prompt, up to where the reply begins."""
        return self._ids(self.render(chat, reply=True))

    def prompts(self, chats: Sequence[Chat]) -> list[list[int]]:
        """Return the tokens of many prompts."""
        if not chats:
            return []
        texts = [self.render(chat, reply=True) for chat in chats]
        return [list(ids) for ids in self._tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]]

    def reply(self, text: str) -> list[int]:
        """Return the tokens of a reply as the template writes it, up to and including the end of turn."""
        turn = (Message("user", "?"),)
        prompt = self.prompt(turn)
        whole = self._ids(self.render((*turn, Message("assistant", text)), reply=False))
        ids = whole[len(prompt) :]
        if whole[: len(prompt)] != prompt or not any(token in self.ends for token in ids):
            return [*self._ids(self._safe(text)), self.ends[0]]
        return ids[: next(n for n, token in enumerate(ids) if token in self.ends) + 1]

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def _safe(self, content: str) -> str:
        for token in self._specials:
            content = content.replace(token, f"{token[0]} {token[1:]}")
        return content


def _takes_system_role(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Return whether the chat template accepts a system message and shows it."""
    jinja2 = require("jinja2", extra="llama")
    turns = [{"role": "system", "content": "radrag-system"}, {"role": "user", "content": "?"}]
    try:
        return "radrag-system" in str(tokenizer.apply_chat_template(turns, tokenize=False))
    except jinja2.TemplateError:
        return False


def _end_ids(tokenizer: PreTrainedTokenizerBase, named: Sequence[int | None]) -> tuple[int, ...]:
    """Tokens that end a turn: what the template writes after a reply, and what the checkpoint names."""
    marker = "radrag"
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": marker}]
    tail = tokenizer.apply_chat_template(turns, tokenize=False).rpartition(marker)[2]
    after = tokenizer(tail, add_special_tokens=False, verbose=False)["input_ids"] if tail else []
    specials = set(tokenizer.all_special_ids)
    ends = [token for token in after[:1] if token in specials] + [int(token) for token in named if token is not None]
    if not ends:
        raise ModelError("The tokenizer names no end-of-turn token: set eos_token in tokenizer_config.json.")
    return tuple(dict.fromkeys(ends))
