"""A generator that says what it is told to: for tests, and to replay recorded replies."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from radrag.errors import ModelError
from radrag.types import Chat, Generation, GenerationParams


class ScriptedGenerator:
    """Replies from a list, in order, or from a function of the chat.

    Args:
        replies: The replies in the order they will be asked for, or a function that makes one from a chat.

    Attributes:
        chats: Every chat it was given, in order.
    """

    local = True
    fingerprint = "scripted"

    def __init__(self, replies: Sequence[str] | Callable[[Chat], str]) -> None:
        if isinstance(replies, str):
            raise TypeError(f"replies must be a sequence of texts or a function, got the text {replies!r}")
        self._replies = replies if callable(replies) else tuple(replies)
        self.chats: list[Chat] = []

    def generate(self, chats: Sequence[Chat], params: GenerationParams | None = None) -> list[Generation]:
        """Return the next replies; stop strings are obeyed, the length limit is not.

        Raises:
            ModelError: If the list has no reply left.
        """
        return [Generation(_cut(self._next(chat), params.stop if params else ())) for chat in chats]

    def _next(self, chat: Chat) -> str:
        position = len(self.chats)
        if callable(self._replies):
            reply = self._replies(chat)
        elif position < len(self._replies):
            reply = self._replies[position]
        else:
            raise ModelError(f"The script has {len(self._replies)} replies and was asked for one more.")
        self.chats.append(chat)
        return reply


def _cut(text: str, stop: Sequence[str]) -> str:
    cuts = [text.find(string) for string in stop if string in text]
    return text[: min(cuts)] if cuts else text
