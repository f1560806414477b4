"""Llama, or any other causal language model: transformers, with a peft adapter and NF4 quantisation if asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from radrag.errors import ModelError, PromptError, require
from radrag.generation import _loading
from radrag.generation._scoring import ReplyScorer, like_batches, padded
from radrag.generation._turns import Turns
from radrag.types import Chat, Generation, GenerationParams

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import GenerationConfig, PreTrainedTokenizerBase

    from radrag.generation.streaming import Stream

_MEMORY = re.compile(r"out of memory|not enough memory|can't allocate memory|cannot allocate memory", re.IGNORECASE)


class LlamaGenerator:
    """A causal language model that writes the next turn of a chat, and scores given ones.

    A template without a system role gets the system message at the head of the first user turn. A control token of the
    model's own tokenizer that stands inside a message is broken by a space, so that text cannot end a turn.

    Args:
        model: Folder, name of a model that ships with radrag (``"small-llama"``), or name on the Hugging Face hub.
        adapter: Folder or name of a peft adapter made for that model.
        quantize: ``"nf4"`` loads the weights in 4 bits with double quantisation, None as they are.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"auto"`` (spread over devices); None takes cuda if there is one.
        dtype: Name of the dtype to compute in; None takes float32 on a CPU and bfloat16 elsewhere.
        batch_size: Rows run at once.
        context: Most tokens of prompt and reply together; None takes the model's own limit.
        revision: Revision on the hub.
        local_files_only: Whether to stay off the network.

    Raises:
        ModelError: If the model or the adapter cannot be loaded, or do not belong together.
        MissingExtraError: If torch, transformers, peft or bitsandbytes is needed and not installed.
    """

    local = True

    def __init__(
        self,
        model: str | Path,
        adapter: str | Path | None = None,
        *,
        quantize: Literal["nf4"] | None = None,
        device: str | None = None,
        dtype: str | None = None,
        batch_size: int = 8,
        context: int | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if quantize not in (None, "nf4"):
            raise ValueError(f"quantize must be None or 'nf4', got {quantize!r}")
        self._torch = require("torch", extra="llama")
        self._source = _loading.Source(str(model), revision, local_files_only)
        self._adapter = None if adapter is None else _loading.Source(str(adapter), None, local_files_only)
        self.tokenizer = _loading.load_tokenizer(self._source)
        with _memory_errors():
            self.model = _loading.load_model(self._source, quantize, device, dtype)
            named = self.model.generation_config.eos_token_id
            self._turns = Turns(
                self.tokenizer, named if isinstance(named, list) else [named, self.tokenizer.eos_token_id]
            )
            if self._adapter is not None:
                self.model = _loading.load_adapter(self.model, self._adapter, self._source)
        self.model.eval()
        self.quantize, self.batch_size = quantize, batch_size
        self.context = context or int(self.model.config.max_position_embeddings)
        self._ends = self._turns.ends
        self._pad = self._ends[0] if self.tokenizer.pad_token_id is None else int(self.tokenizer.pad_token_id)
        # Sampling defaults of the checkpoint would otherwise mix with the parameters of a call.
        self.model.generation_config = self._config(1)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of weights, adapter, chat template and numeric format."""
        numeric = [self.quantize or "", str(self.model.dtype), str(self.context)]
        return _loading.fingerprint(self._source, self._adapter, self.tokenizer, numeric)

    def count(self, chat: Chat) -> int:
        """Return how many tokens the prompt of a chat takes."""
        return len(self._turns.prompt(chat))

    def reply_tokens(self, text: str) -> list[int]:
        """Return the tokens of a reply, its end of turn included."""
        return self._turns.reply(text)

    def fits(self, chat: Chat, max_new_tokens: int) -> bool:
        """Return whether a prompt leaves room for a reply of that many tokens."""
        return self.count(chat) + max_new_tokens <= self.context

    def stream(self, chat: Chat, params: GenerationParams | None = None) -> Stream:
        """Yield the next turn of a chat in pieces, which join to what ``generate`` writes, and return it whole."""
        from radrag.generation.streaming import stream_llama

        return stream_llama(self, chat, params or GenerationParams())

    def generate(self, chats: Sequence[Chat], params: GenerationParams | None = None) -> list[Generation]:
        """Write the next turn of each chat; in float32 the batch a chat is in does not change its text.

        In 16 bits it can: rounding differs with the shape of a batch and decides between tokens that are near a tie.
        There ``batch_size=1`` writes the same text again.

        A reply ends at the end of turn, at a stop string, after ``max_new_tokens``, or where the context is full.

        Raises:
            PromptError: If a prompt leaves no room for a reply.
            ModelError: If memory runs out.
        """
        params = params or GenerationParams()
        prompts = [self._checked(chat, n, 1) for n, chat in enumerate(chats)]
        written: dict[int, Generation] = {}
        for rows in like_batches(prompts, self.batch_size):
            with _memory_errors(), self._torch.inference_mode():
                written.update(zip(rows, self._write([prompts[row] for row in rows], params), strict=True))
        return [written[row] for row in range(len(prompts))]

    def score(self, chats: Sequence[Chat], options: Sequence[str], *, floor: float = 0.0) -> NDArray[np.float64]:
        """Return the log-probability of each option as the whole next turn, its end of turn included.

        What all prompts begin with is computed once, and so is what options have in common.

        Args:
            chats: The prompts.
            options: Replies, none of them empty.
            floor: Share of the best option's probability, 0 to 1, below which an option need not be exact: it gets an
                upper bound of its log-probability, itself below that share. 0 makes all exact; 1 only the best, in far
                less time; with 0.001 a softmax over the options is off by very little.

        Returns:
            ``[len(chats), len(options)]`` natural logarithms.

        Raises:
            PromptError: If a prompt leaves no room for the longest option.
            ModelError: If memory runs out.
        """
        if isinstance(options, str) or not options or any(not option for option in options):
            raise ValueError(f"options must be non-empty texts, got {options!r:.200}")
        if not 0 <= floor <= 1:
            raise ValueError(f"floor must be between 0 (all options exact) and 1 (only the best), got {floor}")
        replies = [self._turns.reply(option) for option in options]
        prompts = [self._checked(chat, n, max(map(len, replies))) for n, chat in enumerate(chats)]
        with _memory_errors(), self._torch.inference_mode():
            return ReplyScorer(self.model, self._pad, self.batch_size, floor)(prompts, replies)

    def _checked(self, chat: Chat, position: int, room: int) -> list[int]:
        ids = self._turns.prompt(chat)
        if len(ids) + room > self.context:
            raise PromptError(
                f"chat {position}: the prompt takes {len(ids)} tokens and the reply at least {room}, but the context "
                f"holds {self.context}. Drop passages (see fits and count) or load a model with a longer context."
            )
        return ids

    def _padded(self, rows: Sequence[Sequence[int]], *, left: bool) -> tuple[Tensor, Tensor]:
        return padded(self._torch, rows, self._pad, self.model.device, left=left)

    def _config(self, new_tokens: int) -> GenerationConfig:
        config = require("transformers", extra="llama").GenerationConfig
        ends = list(self._ends)
        return config(max_new_tokens=new_tokens, do_sample=False, eos_token_id=ends, pad_token_id=self._pad)

    def _write(self, prompts: list[list[int]], params: GenerationParams) -> Iterator[Generation]:
        limits = [min(params.max_new_tokens, self.context - len(prompt)) for prompt in prompts]
        ids, mask = self._padded(prompts, left=True)
        width = ids.shape[1]
        processors, criteria = [], []
        if params.temperature > 0:
            processors.append(_GumbelNoise(self._torch, params.temperature, params.seed))
        if params.stop:
            criteria.append(_StopStrings(self._torch, self.tokenizer, params.stop, width))
        out = self.model.generate(
            input_ids=ids,
            attention_mask=mask,
            generation_config=self._config(max(limits)),
            logits_processor=processors,
            stopping_criteria=criteria,
        )
        for prompt, limit, row in zip(prompts, limits, out[:, width:].tolist(), strict=True):
            yield self._generation(row[:limit], len(prompt), params.stop)

    def _generation(self, ids: list[int], prompt_tokens: int, stop: Sequence[str]) -> Generation:
        end = next((n for n, token in enumerate(ids) if token in self._ends or token == self._pad), None)
        text = self.tokenizer.decode(ids if end is None else ids[:end], skip_special_tokens=True)
        cuts = [text.find(string) for string in stop if string in text]
        return Generation(
            text=(text[: min(cuts)] if cuts else text).strip(),
            finished=end is not None or bool(cuts),
            prompt_tokens=prompt_tokens,
            new_tokens=len(ids) if end is None else end,
        )


class _GumbelNoise:
    """Makes greedy decoding sample: argmax of logits / T plus Gumbel noise (Maddison et al., 2014).

    Every row gets the same noise, so that neither the batch nor the place in it changes a text.
    """

    def __init__(self, torch: ModuleType, temperature: float, seed: int) -> None:
        self._torch, self._temperature = torch, temperature
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        uniform = self._torch.rand(scores.shape[-1], generator=self._generator, dtype=self._torch.float64)
        noise = -(-uniform.clamp_min(1e-300).log()).log()
        return scores.double() / self._temperature + noise.to(scores.device)


class _StopStrings:
    """Ends the rows whose new text holds a stop string."""

    def __init__(self, torch: ModuleType, tokenizer: PreTrainedTokenizerBase, stop: Sequence[str], start: int) -> None:
        self._torch, self._tokenizer, self._stop, self._start = torch, tokenizer, stop, start
        # A stop string spans at most one token for each of its bytes, and one more for the token it begins in.
        self._window = max(len(string.encode("utf-8")) for string in stop) + 1

    def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: object) -> Tensor:
        new = input_ids[:, self._start :][:, -self._window :]
        texts = self._tokenizer.batch_decode(new, skip_special_tokens=True)
        done = [any(string in text for string in self._stop) for text in texts]
        return self._torch.tensor(done, dtype=self._torch.bool, device=input_ids.device)


@contextmanager
def _memory_errors() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError) and not _MEMORY.search(str(error)):
            raise
        raise ModelError(
            "Memory ran out. Take a smaller batch_size, quantize='nf4', fewer passages, or a smaller model."
        ) from error
