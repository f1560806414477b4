"""A reader's text while it is written: its prompt is taken, streamed, and the reply handed back to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from radrag.generation.streaming import stream
from radrag.protocols import Reader
from radrag.reading.prompted import PromptedReader
from radrag.types import Answer, Chat, Generation, GenerationParams


def streamed(
    reader: Reader, params: GenerationParams | None, answer: Callable[[Reader], Answer]
) -> Iterator[str | Answer]:
    """Yield what a reader's generator writes, then the answer that comes of it.

    The question is answered twice: the first time ends where the generator is asked, so that its prompt is known; the
    second gets what was streamed as the reply. A reader that prompts no generator is asked once, and its text comes
    whole.

    Args:
        reader: The pipeline's reader.
        params: How to decode.
        answer: Answers with a given reader.
    """
    if not isinstance(reader, PromptedReader):
        whole = answer(reader)
        if whole.text:
            yield whole.text
        yield whole
        return
    generator, decoding = reader._generator, reader._params if params is None else params
    try:
        yield answer(reader.writing(_Asked(generator), decoding))  # it abstained before it asked
        return
    except _PromptTakenError as taken:
        chat = taken.chat
    reply = yield from stream(generator, chat, decoding)
    yield answer(reader.writing(_Replied(generator, reply), decoding))


class _PromptTakenError(Exception):
    def __init__(self, chat: Chat) -> None:
        super().__init__("the prompt was taken")
        self.chat = chat


class _Stand:
    """A generator in the place of another, which still says what fits and how likely replies are."""

    def __init__(self, generator: Any) -> None:
        for name in ("fits", "score", "local", "fingerprint"):
            if hasattr(generator, name):
                setattr(self, name, getattr(generator, name))


class _Asked(_Stand):
    def generate(self, chats: Sequence[Chat], params: GenerationParams) -> list[Generation]:
        raise _PromptTakenError(chats[0])


class _Replied(_Stand):
    def __init__(self, generator: Any, reply: Generation) -> None:
        super().__init__(generator)
        self._reply = reply

    def generate(self, chats: Sequence[Chat], params: GenerationParams) -> list[Generation]:
        return [self._reply] * len(chats)
