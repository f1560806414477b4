"""QLoRA (Dettmers et al., 2023): LoRA adapters on a base held in NF4, by trl's SFTTrainer, loss on the reply only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radrag.errors import require
from radrag.generation import _loading
from radrag.generation._turns import Turns
from radrag.generation.llama import LlamaGenerator
from radrag.generation.prompts import fingerprint
from radrag.metrics.resampling import Estimate, bootstrap
from radrag.training import output
from radrag.training._engine import Fitted, arguments, callbacks, fit, guarded, load_base, lora_config, updates_of
from radrag.training._files import replaced_folder, texts_sha256
from radrag.training._packing import Row, collator, encode, pack
from radrag.training._runs import Run, is_main
from radrag.training._sft import sft_settings, sft_trainer
from radrag.training.config import QLoraConfig
from radrag.training.merging import merge_once
from radrag.training.records import ChatRecord, label_records
from radrag.training.splits import check_leaks, grouped_split
from radrag.training.statistics import Lengths, Statistics, describe
from radrag.types import GenerationParams, LabelledNote

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["QLoraConfig", "Tuned", "label_accuracy", "train_qlora"]


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a tuning run gave.

    Attributes:
        folder: Where the adapter is.
        base: The base that it belongs to; a merged folder beside it where an adapter was stacked on another.
        steps: Optimiser steps.
        first_loss: Loss of the first logged steps, natural log per token of the replies.
        last_loss: Loss of the last logged steps.
        valid_loss: Loss on the records held out, with the weights that were kept; None if there are none.
        accuracy: Exact match of the greedy reply on held-out records whose reply is their label; None if there are
            fewer than two, and in processes other than the first.
        statistics: Lengths and labels of the training records.
        tokens: Tokens of the training records, prompts included, in one pass.
        seconds: Time of the training itself; of a resumed run, since it was resumed.
    """

    folder: Path
    base: str
    steps: int
    first_loss: float
    last_loss: float
    valid_loss: float | None
    accuracy: Estimate | None
    statistics: Statistics
    tokens: int
    seconds: float

    @property
    def lengths(self) -> Lengths:
        """Token lengths of the training records."""
        return self.statistics.whole


def train_qlora(
    base: str | Path,
    data: Sequence[ChatRecord] | Sequence[LabelledNote],
    out: str | Path,
    config: QLoraConfig | None = None,
    *,
    valid: Sequence[ChatRecord] | Sequence[LabelledNote] | None = None,
    adapter: str | Path | None = None,
    revision: str | None = None,
    local_files_only: bool = False,
    data_note: str = "",
) -> Tuned:
    """Tune a base model on records; an interrupted run goes on from its last whole checkpoint, to the same weights.

    Args:
        base: Folder, shipped name or hub name of a model with a chat template.
        data: Records, or labelled notes, of which records are made that show the note alone.
        out: Folder to write the adapter to, replaced as a whole at the end; checkpoints are in ``<out>.work``.
        config: Settings.
        valid: Records held out; if left out, ``valid_share`` of the data is, by group.
        adapter: An earlier adapter of the base, such as one for the domain. It is merged into the base at full
            precision in ``<out>-base``, and the new adapter belongs to that folder.
        revision: Revision of the base on the hub.
        local_files_only: Whether to stay off the network.
        data_note: What the data are, for the model card.

    Raises:
        ValueError: If a record is longer than ``max_length``, or held-out records are also trained on.
        ModelError: If the base cannot be loaded.
        TrainingError: If this machine cannot run the settings, memory runs out, or the loss is no number.
    """
    config, out = config or QLoraConfig(), Path(out)
    source = _loading.Source(str(base), revision, local_files_only)
    with guarded(config, source):
        train, held = _split(data, valid, config)
        tokenizer = _loading.load_tokenizer(source)
        statistics = describe(train, tokenizer, config.max_length)
        sha256 = texts_sha256(part for record in (*train, *held) for part in _texts(record))
        under = None if adapter is None else _loading.Source(str(adapter), None, local_files_only)
        start = {
            "base": _loading.identity(source),
            "adapter": under and _loading.identity(under),
            "prompts": fingerprint(),
        }
        run = Run(out, {**asdict(config), **start, "data": sha256, "train": len(train)})
        if under is not None:
            source = _loading.Source(str(merge_once(source, adapter or "", out.with_name(out.name + "-base"))))
        rows = _rows(train, tokenizer, config)
        run.begin(updates_of(len(rows), config))
        trainer = _trainer(source, tokenizer, rows, _rows(held, tokenizer, config), config, run)
        fitted = fit(trainer, run, config)
    made = _tuned(out, source, trainer, fitted, held, statistics, rows)
    facts = {"sha256": sha256, "train": len(train), "valid": len(held), "note": data_note}
    if is_main():
        made = _write(made, trainer, tokenizer, source, config, fitted, held, facts)
    trainer.accelerator.wait_for_everyone()
    run.finish()
    return made


def label_accuracy(
    base: str | Path,
    adapter: str | Path | None,
    data: Sequence[ChatRecord] | Sequence[LabelledNote],
    config: QLoraConfig | None = None,
) -> Estimate:
    """Measure how often the greedy reply is exactly the record's, with a bootstrap interval over records."""
    config = config or QLoraConfig()
    generator = LlamaGenerator(base, adapter, quantize=config.quantize, batch_size=32, local_files_only=True)
    records = _records(data)
    room = max(len(generator.reply_tokens(text)) for text in {record.completion for record in records})
    replies = generator.generate([record.prompt for record in records], GenerationParams(max_new_tokens=room))
    right = [float(reply.text == record.completion.strip()) for reply, record in zip(replies, records, strict=True)]
    return bootstrap(right, seed=config.seed)


def _records(data: Sequence[ChatRecord] | Sequence[LabelledNote]) -> list[ChatRecord]:
    made: list[ChatRecord] = []
    for item in data:
        made += label_records([item]) if isinstance(item, LabelledNote) else [item]
    return made


def _split(
    data: Sequence[ChatRecord] | Sequence[LabelledNote],
    valid: Sequence[ChatRecord] | Sequence[LabelledNote] | None,
    config: QLoraConfig,
) -> tuple[list[ChatRecord], list[ChatRecord]]:
    records = _records(data)
    if not records:
        raise ValueError("data holds no record to train on")
    if valid is None:
        train, held = grouped_split(records, config.valid_share, config.seed) if config.valid_share else (records, [])
    else:
        train, held = records, _records(valid)
        check_leaks(train, held)
    if config.evaluations and not held:
        raise ValueError(
            f"evaluations={config.evaluations} needs held-out records, and none could be held out of {len(records)}. "
            "Give valid, or a greater valid_share."
        )
    return train, held


def _texts(record: ChatRecord) -> list[str]:
    return [*(f"{turn.role}\0{turn.content}" for turn in record.prompt), record.completion]


def _rows(records: Sequence[ChatRecord], tokenizer: PreTrainedTokenizerBase, config: QLoraConfig) -> list[Row]:
    rows = encode(records, Turns(tokenizer))
    return pack(rows, config.max_length) if config.packing else rows


def _trainer(
    source: _loading.Source,
    tokenizer: PreTrainedTokenizerBase,
    rows: list[Row],
    held: list[Row],
    config: QLoraConfig,
    run: Run,
) -> Any:
    datasets, trl = require("datasets", extra="train"), require("trl", extra="train")
    require("transformers", extra="llama").set_seed(config.seed)
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    settings = {**sft_settings(tokenizer.eos_token), **({} if held else {"eval_strategy": "no"})}
    with _loading.quiet_renames():
        return sft_trainer(
            model=load_base(source, config),
            args=arguments(trl.SFTConfig, config, run, run.steps or 1, **settings),
            data_collator=collator(int(pad), config.attention),
            train_dataset=datasets.Dataset.from_list(rows),
            eval_dataset=datasets.Dataset.from_list(held) if held else None,
            processing_class=tokenizer,
            peft_config=lora_config(config),
            callbacks=callbacks(config),
        )


def _tuned(
    out: Path,
    source: _loading.Source,
    trainer: Any,
    fitted: Fitted,
    held: Sequence[ChatRecord],
    statistics: Statistics,
    rows: Sequence[Row],
) -> Tuned:
    """Say what a run gave; the accuracy is measured later, with what was written."""
    return Tuned(
        folder=out,
        base=source.name,
        steps=trainer.state.global_step,
        first_loss=fitted.first_loss,
        last_loss=fitted.last_loss,
        valid_loss=trainer.evaluate()["eval_loss"] if held else None,
        accuracy=None,
        statistics=statistics,
        tokens=sum(len(row["input_ids"]) for row in rows),
        seconds=fitted.seconds,
    )


def _write(
    made: Tuned,
    trainer: Any,
    tokenizer: PreTrainedTokenizerBase,
    source: _loading.Source,
    config: QLoraConfig,
    fitted: Fitted,
    held: Sequence[ChatRecord],
    facts: dict[str, Any],
) -> Tuned:
    """Write the folder, and measure with what was written."""
    base = output.base_record(source)
    labelled = [record for record in held if record.completion == record.label]
    with replaced_folder(made.folder) as staging:
        output.save_adapter(trainer.model, tokenizer, staging, base)
        if len(labelled) > 1:
            made = replace(made, accuracy=label_accuracy(source.path, staging, labelled, config))
        metrics = {key: value for key, value in asdict(made).items() if key not in ("folder", "base")}
        output.describe_adapter(
            staging,
            name=made.folder.name,
            method="train_qlora",
            base=base,
            config=config,
            data={**facts, "labels": len({record.label for record in held if record.label})},
            metrics=metrics,
            history=fitted.history,
        )
    return made
