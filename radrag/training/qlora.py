"""QLoRA (Dettmers et al., 2023): LoRA adapters on a base held in NF4, by trl's SFTTrainer, loss on the reply only."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from radrag.errors import require
from radrag.generation import _loading
from radrag.generation.llama import LlamaGenerator
from radrag.generation.prompts import fingerprint, label_chat
from radrag.metrics.resampling import Estimate, bootstrap
from radrag.training._files import package_versions, replaced_folder, texts_sha256, write_json
from radrag.training._runs import Run
from radrag.training.data import Lengths, chat_dataset, check_lengths, grouped_split
from radrag.types import GenerationParams, LabelledNote

if TYPE_CHECKING:
    from datasets import Dataset
    from trl import SFTTrainer

_CARD = """---
license: apache-2.0
library_name: peft
base_model: {base}
---

# {name}: a label adapter

A LoRA adapter for `{base}` that replies to an order note with the id of its label. Trained by
`radrag.training.train_qlora`. It is a demonstration model, **not for clinical use**.

- **Base**: `{base}`, digest of its weights `{digest}`.
- **Data**: {train_n:,} notes of {labels} labels, {held_n:,} more held out by group{data_note}; sha256 `{data_sha256}`.
  Records have {mean:.0f} tokens on average, {longest} at most.
- **Training**: {bits}, rank {r}, alpha {alpha}{rslora}, every linear layer, learning rate {lr:g}, batch {batch},
  {steps:,} steps ({epochs:g} epochs), seed {seed}; {seconds:.0f} s.
- **Loss** (natural log, per token of the reply): {first_loss:.3f} at the start, {last_loss:.3f} at the end.
- **Held-out exact match** (greedy reply is the label's id): {accuracy}.{caution}
- **Limits**: it knows its own labels and nothing else, and is as sure of a wrong label as of a right one until it is
  calibrated. It never abstains by itself.
"""
_CAUTION = (
    "\n  The interval is a bootstrap over notes. Held-out notes come from the same source as the training notes and "
    "may\n  share phrases with them, so expect less on notes from elsewhere."
)


@dataclass(frozen=True, slots=True)
class QLoraConfig:
    """Settings of a QLoRA run; the defaults are those of the shipped adapter.

    Attributes:
        r: Rank.
        alpha: Scale; the update is multiplied by alpha / r, or alpha / sqrt(r) with rslora.
        rslora: Rank-stabilised scale (Kalajdzievski, 2023).
        dropout: Dropout on the adapter's input.
        lr: Peak learning rate.
        epochs: Passes over the notes.
        steps: Optimiser steps, instead of epochs.
        batch: Notes a step.
        accumulate: Batches summed before a step.
        max_length: Most tokens of a record; longer ones are refused, not cut.
        packing: Whether to put several records in one sequence (best fit decreasing).
        quantize: ``"nf4"``, or None for plain LoRA.
        gradient_checkpointing: Whether to trade time for memory; for large models.
        valid_share: Part of the notes held out to measure accuracy.
        seed: Seed of weights, order and split.
    """

    r: int = 16
    alpha: int = 16
    rslora: bool = True
    dropout: float = 0.0
    lr: float = 3e-3
    epochs: float = 5
    steps: int | None = None
    batch: int = 16
    accumulate: int = 1
    max_length: int = 256
    packing: bool = False
    quantize: Literal["nf4"] | None = "nf4"
    gradient_checkpointing: bool = False
    valid_share: float = 0.1
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a QLoRA run gave.

    Attributes:
        folder: Where the adapter is.
        steps: Optimiser steps.
        first_loss: Loss of the first logged steps.
        last_loss: Loss of the last logged steps.
        accuracy: Exact match on the notes held out, None if there are fewer than two.
        lengths: Token lengths of the training records.
        seconds: Time of the training itself.
    """

    folder: Path
    steps: int
    first_loss: float
    last_loss: float
    accuracy: Estimate | None
    lengths: Lengths
    seconds: float


def train_qlora(
    base: str | Path,
    notes: Sequence[LabelledNote],
    out: str | Path,
    config: QLoraConfig | None = None,
    *,
    local_files_only: bool = False,
    data_note: str = "",
) -> Tuned:
    """Tune a base model to name the label of a note; an interrupted run goes on from its last checkpoint.

    Args:
        base: Folder, shipped name or hub name of a model with a chat template.
        notes: Labelled notes; ``valid_share`` of them is held out by group.
        out: Folder to write the adapter to, replaced as a whole at the end.
        config: Settings.
        local_files_only: Whether to stay off the network.
        data_note: What the notes are, for the model card.

    Raises:
        ValueError: If a record is longer than ``max_length``.
        ModelError: If the base cannot be loaded.
    """
    config = config or QLoraConfig()
    source = _loading.Source(str(base), None, local_files_only)
    tokenizer = _loading.load_tokenizer(source)
    train, held = grouped_split(notes, config.valid_share, config.seed)
    dataset = chat_dataset(train)
    lengths = check_lengths(dataset, tokenizer, config.max_length)
    data = texts_sha256(part for note in notes for part in (note.text, note.label))
    run = Run(Path(out), {**asdict(config), "data": data, "base": str(base), "prompts": fingerprint()})
    run.begin(config.steps or 0)
    with _loading.quiet_renames():
        trainer = _trainer(source, dataset, config, run)
        started = time.monotonic()
        trainer.train(resume_from_checkpoint=run.checkpoint)
        seconds = time.monotonic() - started
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    record = {"data_sha256": data, "train": len(train), "held": len(held), "labels": len({n.label for n in notes})}
    with replaced_folder(Path(out)) as staging:
        _save_adapter(trainer, staging, _name(source.name))
        tokenizer.save_pretrained(staging)
        base_record = {"name": source.name, "digest": _loading.weights_digest(source.folder)}
        write_json(staging / "radrag.json", {"kind": "adapter", "base": base_record})
        result = Tuned(
            folder=Path(out),
            steps=trainer.state.global_step,
            first_loss=losses[0],
            last_loss=losses[-1],
            accuracy=label_accuracy(source.path, staging, held, config) if len(held) > 1 else None,
            lengths=lengths,
            seconds=seconds,
        )
        _describe(staging, result, config, base_record, {**record, "data_note": data_note})
    run.finish()
    return result


def label_accuracy(
    base: str | Path, adapter: str | Path, notes: Sequence[LabelledNote], config: QLoraConfig | None = None
) -> Estimate:
    """Measure how often the greedy reply to a note is exactly its label's id, with a bootstrap interval."""
    config = config or QLoraConfig()
    generator = LlamaGenerator(base, adapter, quantize=config.quantize, batch_size=32, local_files_only=True)
    room = max(generator.count(label_chat(note.label, None)) for note in notes)
    params = GenerationParams(max_new_tokens=room)
    replies = generator.generate([label_chat(note.text, None) for note in notes], params)
    right = [float(reply.text == note.label) for reply, note in zip(replies, notes, strict=True)]
    return bootstrap(right, seed=config.seed)


def _trainer(source: _loading.Source, dataset: Dataset, config: QLoraConfig, run: Run) -> SFTTrainer:
    torch, transformers = require("torch", extra="llama"), require("transformers", extra="llama")
    peft, trl = require("peft", extra="llama"), require("trl", extra="train")
    cuda = torch.cuda.is_available()
    transformers.set_seed(config.seed)
    tokenizer = _loading.load_tokenizer(source)
    model = _loading.load_model(source, config.quantize, "cuda" if cuda else "cpu", None)
    updates = config.steps or int(len(dataset) / (config.batch * config.accumulate) * config.epochs)
    arguments = trl.SFTConfig(
        output_dir=str(run.folder),
        num_train_epochs=config.epochs,
        max_steps=config.steps or -1,
        per_device_train_batch_size=config.batch,
        gradient_accumulation_steps=config.accumulate,
        learning_rate=config.lr,
        lr_scheduler_type="cosine",
        warmup_steps=updates // 20,
        logging_steps=max(1, updates // 30),
        save_steps=max(1, updates // 3),
        save_total_limit=1,
        use_cpu=not cuda,
        bf16=cuda,
        dataloader_pin_memory=cuda,
        gradient_checkpointing=config.gradient_checkpointing,
        max_length=config.max_length,
        packing=config.packing,
        completion_only_loss=True,
        eos_token=tokenizer.eos_token,
        report_to="none",
        seed=config.seed,
    )
    lora = peft.LoraConfig(
        r=config.r,
        lora_alpha=config.alpha,
        use_rslora=config.rslora,
        lora_dropout=config.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    trainer = trl.SFTTrainer(
        model=model, args=arguments, train_dataset=dataset, processing_class=tokenizer, peft_config=lora
    )
    if not cuda:  # trl casts adapters of a quantised base to bfloat16, which is many times slower on most CPUs
        for weight in trainer.model.parameters():
            if weight.requires_grad:
                weight.data = weight.data.float()
    return trainer


def _save_adapter(trainer: SFTTrainer, staging: Path, base: str) -> None:
    trainer.model.save_pretrained(staging)
    file = staging / "adapter_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base  # a path on this machine says nothing elsewhere
    config["target_modules"] = sorted(config["target_modules"])
    write_json(file, config)


def _name(base: str) -> str:
    return Path(base).name if Path(base).exists() else base


def _describe(staging: Path, result: Tuned, config: QLoraConfig, base: dict[str, str], facts: dict[str, Any]) -> None:
    name = _name(base["name"])
    settings = asdict(config)
    measured = {key: value for key, value in asdict(result).items() if key != "folder"}
    versions = package_versions("torch", "transformers", "trl", "peft", "bitsandbytes", "datasets")
    write_json(
        staging / "radrag.json",
        {
            "kind": "adapter",
            "base": {**base, "name": name},
            "prompts": fingerprint(),
            "data": facts,
            "config": settings,
            "metrics": measured,
            "versions": versions,
        },
    )
    card = {
        **settings,
        **measured,
        "name": result.folder.name,
        "base": name,
        "digest": base["digest"],
        "train_n": facts["train"],
        "held_n": facts["held"],
        "labels": facts["labels"],
        "data_sha256": facts["data_sha256"],
        "data_note": f" ({facts['data_note']})" if facts["data_note"] else "",
        "mean": result.lengths.mean,
        "longest": result.lengths.longest,
        "bits": "base in NF4 with double quantisation" if config.quantize else "base not quantised",
        "rslora": " (rank-stabilised)" if config.rslora else "",
        "accuracy": str(result.accuracy) if result.accuracy else "not measured",
        "caution": _CAUTION if result.accuracy else "",
        "epochs": result.steps * config.batch * config.accumulate / facts["train"],
    }
    (staging / "README.md").write_text(_CARD.format(**card), encoding="utf-8")
