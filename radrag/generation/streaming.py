"""Text while it is written. What is streamed is the same text that ``generate`` returns, in pieces."""

from __future__ import annotations

from collections.abc import Generator as Pieces
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from radrag.types import Chat, Generation, GenerationParams

if TYPE_CHECKING:
    from radrag.generation.llama import LlamaGenerator

Stream = Pieces[str, None, Generation]


def stream(generator: Any, chat: Chat, params: GenerationParams) -> Stream:
    """Yield the reply to a chat piece by piece, and return it whole.

    A generator with a method ``stream(chat, params)`` is asked by it; what any other generator writes
    comes in one piece.

    Args:
        generator: Any ``Generator``.
        chat: The prompt.
        params: How to decode.

    Returns:
        The generation, as the value of the finished iterator.
    """
    own = getattr(generator, "stream", None)
    if callable(own):
        return _collected(own(chat, params))
    return _at_once(generator, chat, params)


def stream_llama(generator: LlamaGenerator, chat: Chat, params: GenerationParams) -> Stream:
    """Decode one token at a time with the model's cache; the pieces join to the text of ``generate``.

    Raises:
        PromptError: If the prompt leaves no room for a reply.
        ModelError: If memory runs out.
    """
    from radrag.generation.llama import _GumbelNoise, _memory_errors

    torch = generator._torch
    prompt = generator._checked(chat, 0, 1)
    limit = min(params.max_new_tokens, generator.context - len(prompt))
    ids, _ = generator._padded([prompt], left=True)
    noise = _GumbelNoise(torch, params.temperature, params.seed) if params.temperature > 0 else None
    written: list[int] = []
    sent, cache = "", None
    while len(written) < limit:
        with _memory_errors(), torch.inference_mode():
            made = generator.model(input_ids=ids, past_key_values=cache, use_cache=True)
            scores = made.logits[:, -1].float()
            token = int((noise(ids, scores) if noise else scores).argmax(dim=-1))
        cache, ids = made.past_key_values, ids.new_tensor([[token]])
        written.append(token)
        whole = generator._generation(written, len(prompt), params.stop)
        ready = whole.text if whole.finished else _certain(whole.text, params.stop)
        if ready.startswith(sent) and len(ready) > len(sent):
            yield ready[len(sent) :]
            sent = ready
        if whole.finished:
            break
    whole = generator._generation(written, len(prompt), params.stop)
    if len(whole.text) > len(sent):
        yield whole.text[len(sent) :]
    return whole


def _certain(text: str, stop: tuple[str, ...]) -> str:
    """Return what no further token can change: no half character, no white space at the end, no half stop string."""
    text = text.rstrip("\ufffd")
    longest = max(map(len, stop), default=0)
    for length in range(min(longest, len(text)), 0, -1):
        if any(string.startswith(text[-length:]) for string in stop):
            text = text[:-length]
            break
    return text.rstrip()


def _collected(pieces: Iterator[str]) -> Stream:
    parts: list[str] = []
    while True:
        try:
            part = next(pieces)
        except StopIteration as end:
            whole = end.value
            return whole if isinstance(whole, Generation) else Generation("".join(parts))
        parts.append(part)
        yield part


def _at_once(generator: Any, chat: Chat, params: GenerationParams) -> Stream:
    (whole,) = generator.generate([chat], params)
    if whole.text:
        yield whole.text
    return whole  # type: ignore[no-any-return]
