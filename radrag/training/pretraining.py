"""A small Llama from scratch: packed sequences, AdamW, cosine schedule, transformers' Trainer."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from radrag.errors import require
from radrag.generation._loading import weights_digest
from radrag.training._files import package_versions, replaced_folder, texts_sha256, write_json
from radrag.training._runs import Run
from radrag.training.tokenizer import BEGIN, END
from radrag.types import Chat

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer

_CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
---

# {name}: a very small Llama

A LlamaForCausalLM of {parameters:,} parameters, embeddings included, trained from scratch by
`radrag.training.pretrain`. It exists so that generation, scoring and QLoRA run offline. It is a demonstration model: it
writes text that looks like order notes and knows nothing. **Not for clinical use.**

- **Shape**: hidden {hidden}, {layers} layers, {heads} heads, intermediate {intermediate}, vocabulary {vocabulary}, tied
  embeddings, stored as bfloat16.
- **Data**: {texts:,} texts and chats, {tokens:,} tokens{data_note}; sha256 of the texts `{data_sha256}`.
- **Training**: {steps:,} steps of {batch} sequences of {sequence} tokens ({seen:,} tokens seen), AdamW, peak learning
  rate {lr:g}, cosine schedule, seed {seed}, computed in {dtype}; {seconds:.0f} s.
- **Loss** (natural log, per token): {train_loss:.3f} on the last logged training steps; {valid_loss} on
  {valid_texts} texts drawn at random and left out. Synthetic notes resemble each other, so this says little about
  real text.
- **Limits**: trained on sequences of {sequence} tokens; positions up to {context} are accepted but were not trained. No
  factual knowledge, no reasoning, English only.
"""


@dataclass(frozen=True, slots=True)
class SmallLlamaConfig:
    """Shape and schedule; the default is that of the model that ships, six million parameters with 4,096 tokens.

    Attributes:
        hidden: Width.
        layers: Decoder layers.
        heads: Attention heads.
        intermediate: Width inside the feed-forward layers.
        context: Positions the model accepts.
        sequence: Tokens of a training sequence.
        batch: Sequences a step.
        lr: Peak learning rate.
        weight_decay: Decay of the weights.
        warmup: Part of the steps in which the rate rises.
        valid_share: Part of the texts left out to measure loss.
        dtype: What products are computed in: bfloat16 under ``"auto"`` where the processor multiplies in it (a GPU, or
            a CPU with AMX), else float32. Weights and optimiser are float32 always.
    """

    hidden: int = 256
    layers: int = 6
    heads: int = 4
    intermediate: int = 704
    context: int = 1024
    sequence: int = 512
    batch: int = 8
    lr: float = 2e-3
    weight_decay: float = 0.05
    warmup: float = 0.05
    valid_share: float = 0.02
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"

    def __post_init__(self) -> None:
        if self.hidden % self.heads or (self.hidden // self.heads) % 2:
            raise ValueError(f"hidden must be an even multiple of heads, got {self.hidden} and {self.heads}")
        if self.hidden % 64 or self.intermediate % 64:
            raise ValueError(
                f"hidden and intermediate must be multiples of 64 (the blocks of NF4), got {self.hidden} "
                f"and {self.intermediate}"
            )
        if self.sequence > self.context:
            raise ValueError(f"sequence must be at most context, got {self.sequence} and {self.context}")


@dataclass(frozen=True, slots=True)
class Pretrained:
    """What a pretraining run gave.

    Attributes:
        folder: Where the model is.
        parameters: Parameters, embeddings included.
        steps: Optimiser steps.
        tokens_seen: Tokens trained on, repeats counted.
        train_loss: Mean loss of the last logged steps.
        valid_loss: Loss on the texts left out, None if there are none.
        seconds: Time of the training itself.
    """

    folder: Path
    parameters: int
    steps: int
    tokens_seen: int
    train_loss: float
    valid_loss: float | None
    seconds: float


def pretrain(
    texts: Sequence[str | Chat],
    tokenizer: str | Path,
    out: str | Path,
    config: SmallLlamaConfig | None = None,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    data_note: str = "",
) -> Pretrained:
    """Train a small Llama on texts; a run that was interrupted goes on from its last checkpoint.

    Args:
        texts: Documents, and chats in the tokenizer's template, of which ``valid_share`` is left out.
        tokenizer: Folder written by ``train_tokenizer``.
        out: Folder to write, replaced as a whole at the end.
        config: Shape and schedule.
        minutes: Time to train for; the number of steps is set from the speed of the first ones.
        steps: Optimiser steps, instead of minutes.
        seed: Seed of weights, order and split.
        data_note: What the texts are, for the model card.

    Raises:
        ValueError: If not exactly one of minutes and steps is given, or the texts do not fill a sequence.
    """
    if (minutes is None) == (steps is None):
        raise ValueError(f"give minutes or steps, and not both; got minutes={minutes}, steps={steps}")
    config = config or SmallLlamaConfig()
    transformers = require("transformers", extra="llama")
    fast = transformers.AutoTokenizer.from_pretrained(tokenizer, local_files_only=True)
    train, valid = _split(texts, config.valid_share, seed)
    blocks, held = _blocks(train, fast, config.sequence), _blocks(valid, fast, config.sequence)
    if not blocks:
        raise ValueError(f"the texts do not fill one sequence of {config.sequence} tokens")
    data = texts_sha256(map(_plain, texts))
    limits = {"minutes": minutes, "steps": steps, "seed": seed, "data": data}
    run = Run(Path(out), {**asdict(config), **limits, "vocab": fast.backend_tokenizer.to_str()})
    transformers.set_seed(seed)
    model = _model(config, fast)
    if run.steps is None:
        run.begin(steps or _steps_for(minutes or 0, model, blocks, config))
    trainer = _trainer(model, blocks, held, config, run, seed)
    started = time.monotonic()
    trainer.train(resume_from_checkpoint=run.checkpoint)
    seconds = time.monotonic() - started
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    result = Pretrained(
        folder=Path(out),
        parameters=sum(weight.numel() for weight in model.parameters()),
        steps=trainer.state.global_step,
        tokens_seen=trainer.state.global_step * config.batch * config.sequence,
        train_loss=sum(losses[-5:]) / len(losses[-5:]),
        valid_loss=trainer.evaluate()["eval_loss"] if held else None,
        seconds=seconds,
    )
    card = {"tokens": len(blocks) * config.sequence, "texts": len(train), "valid_texts": len(valid)}
    _save(result, model, fast, config, {**card, **limits, "data_note": data_note})
    run.finish()
    return result


def _plain(text: str | Chat) -> str:
    return text if isinstance(text, str) else "\x00".join(f"{turn.role}\x01{turn.content}" for turn in text)


def _split(texts: Sequence[str | Chat], share: float, seed: int) -> tuple[list[str | Chat], list[str | Chat]]:
    held = set(random.Random(seed).sample(range(len(texts)), int(len(texts) * share)))
    train = [text for position, text in enumerate(texts) if position not in held]
    return train, [texts[position] for position in sorted(held)]


def _blocks(texts: Sequence[str | Chat], tokenizer: PreTrainedTokenizerBase, length: int) -> list[dict[str, list[int]]]:
    """Texts one after another in a drawn order, cut into sequences; what is left at the end is not used."""
    order = list(texts)
    random.Random(0).shuffle(order)  # kinds of text mix within a sequence
    begin, end = tokenizer.convert_tokens_to_ids([BEGIN, END])
    plain = [text for text in order if isinstance(text, str)]
    chats = [[{"role": t.role, "content": t.content} for t in text] for text in order if not isinstance(text, str)]
    written = tokenizer.apply_chat_template(chats, tokenize=False) if chats else []
    encoded = tokenizer(plain, add_special_tokens=False, split_special_tokens=True)["input_ids"] if plain else []
    spoken = tokenizer(written, add_special_tokens=False)["input_ids"] if written else []
    ids, turns = iter(encoded), iter(spoken)
    stream: list[int] = []
    for text in order:
        stream += [begin, *next(ids), end] if isinstance(text, str) else next(turns)
    starts = range(0, len(stream) - length + 1, length)
    return [{"input_ids": stream[start : start + length], "labels": stream[start : start + length]} for start in starts]


def _model(config: SmallLlamaConfig, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    transformers = require("transformers", extra="llama")
    llama = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=config.hidden,
        intermediate_size=config.intermediate,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        max_position_embeddings=config.context,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return transformers.LlamaForCausalLM(llama)


def _steps_for(minutes: float, model: PreTrainedModel, blocks: list[dict[str, list[int]]], c: SmallLlamaConfig) -> int:
    """Steps that fit into a time, from the time of five steps after two to warm up; the weights stay as they are."""
    torch = require("torch", extra="llama")
    where = "cuda" if torch.cuda.is_available() else "cpu"
    batch = torch.tensor([blocks[n % len(blocks)]["input_ids"] for n in range(c.batch)], device=where)
    model.to(where)
    started = 0.0
    for step in range(7):
        started = time.monotonic() if step == 2 else started
        with torch.autocast(where, dtype=torch.bfloat16, enabled=halves(c.dtype)):
            loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        model.zero_grad()
    return max(1, int(minutes * 60 / ((time.monotonic() - started) / 5)))


def halves(dtype: str) -> bool:
    """Return whether products are to be computed in bfloat16 on this machine."""
    torch = require("torch", extra="llama")
    if dtype != "auto":
        return dtype == "bfloat16"
    return bool(torch.cuda.is_available() and torch.cuda.is_bf16_supported()) or bool(
        torch.cpu._is_amx_tile_supported()
    )


def _trainer(
    model: PreTrainedModel,
    blocks: list[dict[str, list[int]]],
    held: list[dict[str, list[int]]],
    config: SmallLlamaConfig,
    run: Run,
    seed: int,
) -> Trainer:
    torch, transformers = require("torch", extra="llama"), require("transformers", extra="llama")
    steps = run.steps or 1
    arguments = transformers.TrainingArguments(
        output_dir=str(run.folder),
        max_steps=steps,
        per_device_train_batch_size=config.batch,
        per_device_eval_batch_size=config.batch,
        learning_rate=config.lr,
        weight_decay=config.weight_decay,
        adam_beta2=0.95,
        lr_scheduler_type="cosine",
        warmup_steps=int(steps * config.warmup),
        logging_steps=max(1, steps // 40),
        save_steps=max(1, steps // 5),
        save_total_limit=1,
        use_cpu=not torch.cuda.is_available(),
        bf16=halves(config.dtype),
        dataloader_pin_memory=torch.cuda.is_available(),
        report_to="none",
        seed=seed,
    )

    def collate(rows: list[dict[str, list[int]]]) -> dict[str, Tensor]:
        return {name: torch.tensor([row[name] for row in rows]) for name in rows[0]}

    return transformers.Trainer(
        model=model, args=arguments, train_dataset=blocks, eval_dataset=held or None, data_collator=collate
    )


def _save(
    result: Pretrained,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    config: SmallLlamaConfig,
    facts: dict[str, Any],
) -> None:
    torch = require("torch", extra="llama")
    valid = "not measured" if result.valid_loss is None else f"{result.valid_loss:.3f}"
    shape = asdict(config)
    card = {
        **shape,
        **facts,
        "data_sha256": facts["data"],
        "data_note": facts["data_note"] and f": {facts['data_note']}",
    }
    with replaced_folder(result.folder) as staging:
        model.to(torch.bfloat16).save_pretrained(staging)
        tokenizer.save_pretrained(staging)
        card.update(
            name=result.folder.name,
            parameters=result.parameters,
            vocabulary=len(tokenizer),
            seen=result.tokens_seen,
            steps=result.steps,
            seconds=result.seconds,
            train_loss=result.train_loss,
            valid_loss=valid,
            dtype="bfloat16 with float32 weights" if halves(config.dtype) else "float32",
        )
        (staging / "README.md").write_text(_CARD.format(**card), encoding="utf-8")
        record = {**asdict(result), "folder": result.folder.name, "config": shape, "data": facts}
        record["kind"], record["digest"] = "base", weights_digest(staging)
        record["versions"] = package_versions("torch", "transformers", "tokenizers")
        write_json(staging / "radrag.json", record)
