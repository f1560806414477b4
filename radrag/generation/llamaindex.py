"""Any llama-index LLM as a generator: OpenAI, Ollama, vLLM, Hugging Face and the rest of that ecosystem."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from radrag.errors import ModelError, require
from radrag.types import Chat, Generation, GenerationParams

if TYPE_CHECKING:
    from llama_index.core.llms import LLM


class LlamaIndexGenerator:
    """Wraps a llama-index LLM.

    Length, temperature and seed have no common name among these LLMs: they are the LLM's own settings, unless
    ``kwargs`` translates them. Stop strings are obeyed here, by cutting the reply.

    Args:
        llm: Any object with the llama-index ``chat`` method.
        local: Whether texts stay on this machine or in this house; False counts as remote, and the pipelines mask
            identifiers in what they send.
        kwargs: Makes the keyword arguments of ``llm.chat`` from the parameters of a call, such as
            ``lambda params: {"temperature": params.temperature, "max_tokens": params.max_new_tokens}``.
    """

    def __init__(
        self,
        llm: LLM,
        local: bool = False,
        *,
        kwargs: Callable[[GenerationParams], Mapping[str, Any]] | None = None,
    ) -> None:
        if not callable(getattr(llm, "chat", None)):
            raise TypeError(f"llm must be a llama-index LLM with a chat method, got {type(llm).__name__}")
        self._types = require("llama_index.core.llms", extra="llama")
        self._llm, self._kwargs, self.local = llm, kwargs, local

    @property
    def fingerprint(self) -> str:
        """Class and model name; the weights behind a server cannot be seen from here."""
        metadata = getattr(self._llm, "metadata", None)
        return f"llama-index:{type(self._llm).__name__}:{getattr(metadata, 'model_name', 'unknown')}"

    def generate(self, chats: Sequence[Chat], params: GenerationParams | None = None) -> list[Generation]:
        """Write the next turn of each chat, one call each.

        Raises:
            ModelError: If the LLM fails; the message says at which chat.
        """
        params = params or GenerationParams()
        keywords = dict(self._kwargs(params)) if self._kwargs else {}
        return [self._one(chat, n, params, keywords) for n, chat in enumerate(chats)]

    def stream(self, chat: Chat, params: GenerationParams | None = None) -> Generator[str, None, Generation]:
        """Yield the next turn of a chat as the LLM writes it, and return it whole.

        Raises:
            ModelError: If the LLM fails or cannot stream.
        """
        params = params or GenerationParams()
        keywords = dict(self._kwargs(params)) if self._kwargs else {}
        text, sent, raw = "", 0, None
        try:
            for response in self._llm.stream_chat(self._messages(chat), **keywords):
                # What is new comes as the delta; an LLM that leaves it out gives all there is so far as the message.
                so_far = response.message.content or ""
                text = text + response.delta if response.delta else max(text, so_far, key=len)
                raw = response.raw
                cuts = [text.find(string) for string in params.stop if string in text]
                ready = min(cuts) if cuts else len(text) - _held(text, params.stop)
                if ready > sent:
                    yield text[sent:ready]
                    sent = ready
                if cuts:
                    return Generation(text[: min(cuts)])
        except Exception as error:
            raise ModelError(f"{type(self._llm).__name__} failed while it streamed: {error}") from error
        if len(text) > sent:
            yield text[sent:]
        return Generation(text, finished=not _was_cut(raw))

    def _messages(self, chat: Chat) -> list[Any]:
        return [self._types.ChatMessage(role=turn.role, content=turn.content) for turn in chat]

    def _one(self, chat: Chat, position: int, params: GenerationParams, keywords: Mapping[str, Any]) -> Generation:
        messages = self._messages(chat)
        try:
            response = self._llm.chat(messages, **keywords)
        except Exception as error:
            raise ModelError(f"{type(self._llm).__name__} failed at chat {position}: {error}") from error
        text = response.message.content or ""
        cuts = [text.find(string) for string in params.stop if string in text]
        return Generation(text=text[: min(cuts)] if cuts else text, finished=bool(cuts) or not _was_cut(response.raw))


def _held(text: str, stop: Sequence[str]) -> int:
    """Return how many characters at the end may be the beginning of a stop string."""
    lengths = range(min(len(text), max(map(len, stop), default=0)), 0, -1)
    return next((n for n in lengths if any(string.startswith(text[-n:]) for string in stop)), 0)


def _was_cut(raw: object) -> bool:
    """Whether the server says that it stopped at the length limit (as OpenAI and Ollama report it)."""
    choices = _field(raw, "choices") or [raw]
    return "length" in (_field(choices[0], "finish_reason"), _field(choices[0], "done_reason"))


def _field(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
