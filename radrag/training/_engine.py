"""What every tuning run shares: the base, the adapter, the trainer's arguments, and a loop that resumes."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from radrag.errors import TrainingError, require
from radrag.generation import _loading
from radrag.training._callbacks import callbacks, stopped_early
from radrag.training._guards import check_machine, compute_dtype, guarded, needs
from radrag.training._peak import forget
from radrag.training._runs import Run
from radrag.training.config import QLoraConfig

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedModel

__all__ = ["Fitted", "arguments", "callbacks", "fit", "guarded", "load_base", "lora_config", "updates_of"]


@dataclass(frozen=True, slots=True)
class Fitted:
    """How a run went.

    Attributes:
        seconds: Time in the training loop; of a resumed run, since it was resumed.
        first_loss: Loss of the first logged steps, natural log per token.
        last_loss: Loss of the last logged steps.
        history: The trainer's log, oldest first.
    """

    seconds: float
    first_loss: float
    last_loss: float
    history: tuple[Mapping[str, float], ...]


def load_base(
    source: _loading.Source, config: QLoraConfig, *, head: Mapping[str, Any] | None = None
) -> PreTrainedModel:
    """Load the base model, quantised if asked, on the device of this process, ready for adapters.

    Args:
        source: The base model.
        config: Settings of the run.
        head: Settings of a classification head, such as ``num_labels``; None for the language model.

    Raises:
        TrainingError: If this machine cannot run the settings.
    """
    check_machine(config)
    cuda = require("torch", extra="llama").cuda.is_available()
    device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if cuda else "cpu"  # one process a device (accelerate launch)
    model = _loading.load_model(
        source, config.quantize, device, compute_dtype(config), attention=config.attention, head=head
    )
    model.config.use_cache = False
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = (
                False  # an evaluation would repack the weights into what has no gradient
            )
    if config.liger:
        liger = require("liger_kernel.transformers", extra="train")
        # trl computes the loss from the hidden states itself, so only the layers are replaced.
        liger._apply_liger_kernel_to_instance(model=model, fused_linear_cross_entropy=False)
    return model


def lora_config(config: QLoraConfig, task_type: str = "CAUSAL_LM", **extra: Any) -> LoraConfig:
    """Return the adapter's settings in peft's terms."""
    targets = config.target_modules
    settings = {
        "r": config.r,
        "lora_alpha": config.alpha,
        "use_rslora": config.rslora,
        "lora_dropout": config.dropout,
        "target_modules": targets if isinstance(targets, str) else list(targets),
        "task_type": task_type,
    }
    return require("peft", extra="llama").LoraConfig(**{**settings, **extra})


def updates_of(n_sequences: int, config: QLoraConfig) -> int:
    """Return the optimiser steps of a run over that many sequences, on all processes of it."""
    if config.steps is not None:
        return config.steps
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    batches = math.ceil(n_sequences / (config.batch * processes))
    return max(1, math.ceil(config.epochs * math.ceil(batches / config.accumulate)))


def arguments(kind: type, config: QLoraConfig, run: Run, updates: int, **extra: Any) -> Any:
    """Return a trainer's arguments.

    Args:
        kind: ``trl.SFTConfig``, ``trl.DPOConfig`` or ``transformers.TrainingArguments``.
        config: Settings of the run.
        run: Its work folder.
        updates: Optimiser steps.
        extra: Further arguments of that kind, which win.
    """
    check_machine(config)
    cuda, dtype = require("torch", extra="llama").cuda.is_available(), compute_dtype(config)
    optimizer = ("paged_adamw_8bit" if cuda else "adamw_torch") if config.optimizer == "auto" else config.optimizer
    if "_8bit" in optimizer or optimizer.startswith("paged_"):
        needs("bitsandbytes", f"optimizer={optimizer!r}")
    settings: dict[str, Any] = {
        "output_dir": str(run.folder),
        "max_steps": updates,
        "per_device_train_batch_size": config.batch,
        "per_device_eval_batch_size": config.batch,
        "gradient_accumulation_steps": config.accumulate,
        "learning_rate": config.lr,
        "lr_scheduler_type": config.schedule if config.schedule != "constant" else "constant_with_warmup",
        "warmup_steps": int(config.warmup * updates if config.warmup < 1 else config.warmup),
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "optim": optimizer,
        "logging_steps": max(1, updates // 30),
        "logging_nan_inf_filter": False,
        "use_cpu": not cuda,
        "bf16": dtype == "bfloat16",
        "fp16": dtype == "float16",
        "dataloader_pin_memory": cuda,
        "ddp_find_unused_parameters": False,
        "gradient_checkpointing": config.gradient_checkpointing,
        "report_to": [] if config.reporter == "none" else [config.reporter],
        "disable_tqdm": True,
        "seed": config.seed,
        **_rhythm(config, updates),
    }
    if config.gradient_checkpointing:
        settings["gradient_checkpointing_kwargs"] = {"use_reentrant": False}
    known = {field.name for field in fields(kind)}
    if "max_length" in known:
        settings["max_length"] = config.max_length
    with _loading.quiet_renames():
        return kind(**{**settings, **extra})


def _rhythm(config: QLoraConfig, updates: int) -> dict[str, Any]:
    """When to measure and to save. The best of what was measured can only be kept if each was saved."""
    made: dict[str, Any] = {"save_strategy": "no"}
    if config.evaluations:
        made |= {"eval_strategy": "steps", "eval_steps": max(1, updates // config.evaluations)}
    if config.patience is not None:
        best = {"load_best_model_at_end": True, "metric_for_best_model": "eval_loss", "greater_is_better": False}
        made |= {"save_strategy": "steps", "save_steps": made["eval_steps"], "save_total_limit": 2, **best}
    elif config.checkpoints:
        # Two are kept: the process may die while it writes the later one.
        made |= {"save_strategy": "steps", "save_steps": max(1, updates // config.checkpoints), "save_total_limit": 2}
    return made


def fit(trainer: Any, run: Run, config: QLoraConfig) -> Fitted:
    """Train, from the last whole checkpoint of the run if there is one.

    Raises:
        TrainingError: If memory runs out, or the loss is no number.
    """
    transformers = require("transformers", extra="llama")
    trainer.remove_callback(transformers.PrinterCallback)  # it prints
    _keep_adapters_in_float32(trainer.model)
    checkpoint = run.checkpoint
    started = time.monotonic()
    if checkpoint is None or not _resumes_finished(trainer, checkpoint, config):
        with guarded(config, trainer.model), _loading.quiet_renames():
            forget()
            trainer.train(resume_from_checkpoint=checkpoint)
    seconds = time.monotonic() - started
    history = tuple(trainer.state.log_history)
    losses = [entry["loss"] for entry in history if "loss" in entry]
    if not losses:
        raise TrainingError(f"{run.folder} holds a finished run without a logged loss. Delete it and train again.")
    return Fitted(seconds, losses[0], losses[-1], history)


def _keep_adapters_in_float32(model: Any) -> None:
    """Undo trl's cast of a quantised base's adapters to bfloat16.

    On most CPUs bfloat16 is many times slower, and everywhere small steps are lost in its eight bits.
    """
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()


def _resumes_finished(trainer: Any, checkpoint: str, config: QLoraConfig) -> bool:
    """Load the end of a run that was interrupted after its last step; the trainer would take one step more."""
    state = require("transformers", extra="llama").TrainerState.load_from_json(f"{checkpoint}/trainer_state.json")
    if state.global_step < trainer.args.max_steps and not stopped_early(state.log_history, config.patience):
        return False
    trainer.state = state
    trainer._load_from_checkpoint(state.best_model_checkpoint or checkpoint)
    return True
