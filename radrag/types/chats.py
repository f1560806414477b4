"""What generators read and write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: Role
    content: str


Chat = tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class GenerationParams:
    """How to decode.

    Attributes:
        max_new_tokens: Upper bound on generated tokens.
        temperature: 0 is greedy; above 0 samples.
        seed: Seed of the sampler; the same seed, model and prompt give the same text.
        stop: Strings that end the text; they are not part of it.
    """

    max_new_tokens: int = 512
    temperature: float = 0.0
    seed: int = 0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Generation:
    """What a generator wrote.

    Attributes:
        text: The text, without special tokens.
        finished: False if it stopped because ``max_new_tokens`` was reached.
        prompt_tokens: Tokens read, if known.
        new_tokens: Tokens written, if known.
    """

    text: str
    finished: bool = True
    prompt_tokens: int | None = None
    new_tokens: int | None = None
