"""What ``qlora_gpu.py`` measures: trainers made in several ways, a clock that counts tokens, and naive scoring."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radrag.generation import _loading
from radrag.training import _engine, qlora
from radrag.training._packing import pack
from radrag.training._runs import Run
from radrag.training.config import QLoraConfig

Made = tuple[Any, Callable[[], Any]]


def radrag(source: Any, tokenizer: Any, records: Any, rows: list[Any], config: QLoraConfig, out: str) -> Made:
    """Make the trainer of ``train_qlora``."""
    rows = pack(rows, config.max_length) if config.packing else rows
    run = Run(Path(out), {})
    run.begin(_engine.updates_of(len(rows), config))
    with _engine.guarded(config, source):
        trainer = qlora._trainer(source, tokenizer, rows, [], config, run)
    return trainer, lambda: _engine.fit(trainer, run, config)


def unquantised(source: Any, tokenizer: Any, records: Any, rows: list[Any], config: QLoraConfig, out: str) -> Made:
    """Make the same with the base as it is."""
    return radrag(source, tokenizer, records, rows, replace(config, quantize=None), out)


def plain_trl(source: Any, tokenizer: Any, records: Any, rows: list[Any], config: QLoraConfig, out: str) -> Made:
    """Make trl's trainer with its defaults."""
    import datasets
    import torch
    import transformers
    import trl

    cuda = torch.cuda.is_available()
    here: dict[str, Any] = {} if cuda else {"use_cpu": True, "bf16": False, "dataloader_pin_memory": False}
    args = trl.SFTConfig(
        output_dir=out, num_train_epochs=1, learning_rate=config.lr, max_length=config.max_length, seed=config.seed,
        report_to="none", save_strategy="no", disable_tqdm=True, **here,
    )  # fmt: skip
    trainer = trl.SFTTrainer(
        model=_loading.load_model(source, "nf4", "cuda" if cuda else "cpu", None),
        args=args,
        train_dataset=datasets.Dataset.from_list([_conversation(record) for record in records]),
        processing_class=tokenizer,
        peft_config=_engine.lora_config(config),
    )
    if not cuda:
        _engine._keep_adapters_in_float32(trainer.model)
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer, trainer.train


def _conversation(record: Any) -> dict[str, Any]:
    prompt = [{"role": turn.role, "content": turn.content} for turn in record.prompt]
    return {"prompt": prompt, "completion": [{"role": "assistant", "content": record.completion}]}


class Clock:
    """Counts the tokens that a trainer sees, and the time from the end of its warm-up.

    Args:
        trainer: A ``transformers.Trainer``; its ``training_step`` is wrapped.
        pad: The token of padding, which stands for nothing else.
        warm: Batches that are not counted.
    """

    def __init__(self, trainer: Any, pad: int, warm: int) -> None:
        self._step, self._pad, self._warm = trainer.training_step, pad, warm
        self._batches, self.tokens, self._started = 0, 0, 0.0
        trainer.training_step = self._counted

    def _counted(self, model: Any, inputs: Any, *rest: Any, **more: Any) -> Any:
        if self._batches == self._warm:
            _wait()
            self._started = time.perf_counter()
        if self._batches >= self._warm:
            self.tokens += int((inputs["input_ids"] != self._pad).sum())
        self._batches += 1
        return self._step(model, inputs, *rest, **more)

    def seconds(self) -> float:
        """Return the time since the warm-up, when all work on the device is done."""
        if self._batches <= self._warm:
            raise SystemExit(f"{self._batches} batches are too few: {self._warm} of them are warm-up")
        _wait()
        return time.perf_counter() - self._started


def _wait() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def paged_bytes(trainer: Any) -> int:
    """Return the bytes of optimiser states that torch's allocator does not know of."""
    states = [value for state in trainer.optimizer.state.values() for value in state.values()]
    return sum(value.nbytes for value in states if getattr(value, "is_paged", False))


def naive_scores(llama: Any, chats: Sequence[Any], options: Sequence[str]) -> NDArray[np.float64]:
    """Return what ``LlamaGenerator.score`` does, each prompt and option computed as one whole text."""
    import torch

    replies = [llama.reply_tokens(option) for option in options]
    rows = [([*llama._turns.prompt(chat), *reply], len(reply)) for chat in chats for reply in replies]
    found = []
    for start in range(0, len(rows), llama.batch_size):
        part = rows[start : start + llama.batch_size]
        ids, mask = llama._padded([row for row, _ in part], left=True)
        room = max(size for _, size in part)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        with torch.inference_mode():
            out = llama.model(
                input_ids=ids, attention_mask=mask, position_ids=positions, logits_to_keep=room + 1, use_cache=False
            )
            each = out.logits[:, :-1].float().log_softmax(-1).gather(-1, ids[:, -room:, None])[..., 0]
        found += [float(each[row, -size:].double().sum()) for row, (_, size) in enumerate(part)]
    return np.asarray(found).reshape(len(chats), len(options))
