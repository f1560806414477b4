"""Every setting of a tuning run, checked when it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

Schedule = Literal["cosine", "linear", "constant"]
Attention = Literal["sdpa", "eager", "flash_attention_2"]
Reporter = Literal["none", "tensorboard", "mlflow"]
_DTYPES = (None, "float32", "bfloat16", "float16")
# Lowest value of a number, and whether that value itself is allowed.
_LEAST: dict[str, tuple[float, bool]] = {
    "r": (1, True),
    "alpha": (0, False),
    "dropout": (0, True),
    "lr": (0, False),
    "warmup": (0, True),
    "weight_decay": (0, True),
    "max_grad_norm": (0, False),
    "epochs": (0, False),
    "steps": (1, True),
    "batch": (1, True),
    "accumulate": (1, True),
    "max_length": (2, True),
    "valid_share": (0, True),
    "evaluations": (0, True),
    "patience": (1, True),
    "checkpoints": (0, True),
    "seed": (0, True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class QLoraConfig:
    """Settings of a tuning run; the defaults are those of the shipped adapters.

    Attributes:
        r: Rank.
        alpha: Scale; the update is multiplied by alpha / r, or alpha / sqrt(r) with rslora.
        rslora: Rank-stabilised scale (Kalajdzievski, arXiv 2312.03732).
        dropout: Dropout on the adapter's input.
        target_modules: ``"all-linear"``, every linear layer but the head; or names of layers, such as ``("q_proj",)``.
        quantize: ``"nf4"`` with double quantisation (Dettmers et al., arXiv 2305.14314), or None for plain LoRA.
        lr: Peak learning rate.
        schedule: How the rate falls after the warm-up.
        warmup: Below 1 the part of the steps in which the rate rises, from 1 on the steps themselves.
        weight_decay: Decay of the adapter's weights.
        optimizer: ``"auto"`` is paged 8-bit AdamW on CUDA and plain AdamW on a CPU; else a name of
            ``transformers.training_args.OptimizerNames``.
        max_grad_norm: Gradients are scaled down to this norm.
        epochs: Passes over the records.
        steps: Optimiser steps, instead of epochs.
        batch: Sequences a step and device; a packed sequence holds several records.
        accumulate: Batches summed before a step.
        max_length: Most tokens of a sequence; a longer record is refused, not cut.
        packing: Whether to put several records, which do not see each other, in one sequence (best fit decreasing).
        gradient_checkpointing: Whether to compute activations twice instead of keeping them; for large models.
        valid_share: Part of the records held out by group, at least 0 and below 1.
        evaluations: How often the validation loss is measured in a run.
        patience: Stop after that many evaluations without gain, and keep the best weights; None trains to the end.
        attention: Implementation of attention.
        liger: Whether to use Liger's fused layers (CUDA).
        dtype: Name of the dtype to compute in; None is float32 on a CPU and bfloat16 on CUDA.
        reporter: Where the curves go.
        seed: Seed of weights, order and split.
        checkpoints: How many are made in a run; with patience there is one at each evaluation.
    """

    r: int = 16
    alpha: float = 16
    rslora: bool = True
    dropout: float = 0.0
    target_modules: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    quantize: Literal["nf4"] | None = "nf4"
    lr: float = 3e-3
    schedule: Schedule = "cosine"
    warmup: float = 0.05
    weight_decay: float = 0.0
    optimizer: str = "auto"
    max_grad_norm: float = 1.0
    epochs: float = 5.0
    steps: int | None = None
    batch: int = 16
    accumulate: int = 1
    max_length: int = 256
    packing: bool = True
    gradient_checkpointing: bool = False
    valid_share: float = 0.1
    evaluations: int = 0
    patience: int | None = None
    attention: Attention = "sdpa"
    liger: bool = False
    dtype: str | None = None
    reporter: Reporter = "none"
    seed: int = 0
    checkpoints: int = 3

    def __post_init__(self) -> None:
        for name, (least, included) in _LEAST.items():
            _check_number(name, getattr(self, name), least, included)
        for name in ("dropout", "valid_share"):
            if getattr(self, name) >= 1:
                raise ValueError(f"{name} must be below 1, got {getattr(self, name)}")
        _check_choice("quantize", self.quantize, ("nf4", None))
        _check_choice("schedule", self.schedule, get_args(Schedule))
        _check_choice("attention", self.attention, get_args(Attention))
        _check_choice("reporter", self.reporter, get_args(Reporter))
        _check_choice("dtype", self.dtype, _DTYPES)
        if self.patience is not None and not self.evaluations:
            raise ValueError("patience counts evaluations: set evaluations to how often to measure, got 0")
        self._check_targets()

    def _check_targets(self) -> None:
        targets: Any = self.target_modules
        if isinstance(targets, list):  # what a TOML or JSON file gives
            object.__setattr__(self, "target_modules", tuple(targets))
            targets = self.target_modules
        named = isinstance(targets, tuple) and targets and all(isinstance(name, str) and name for name in targets)
        if targets != "all-linear" and not named:
            raise ValueError(f"target_modules must be 'all-linear' or names of layers, got {targets!r}")


def _check_number(name: str, value: Any, least: float, included: bool) -> None:
    if value is None and name in ("steps", "patience"):
        return
    whole = name not in ("alpha", "dropout", "lr", "warmup", "weight_decay", "max_grad_norm", "epochs", "valid_share")
    right = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not right:
        raise ValueError(f"{name} must be a {'whole ' if whole else ''}number, got {value!r}")
    if value < least or (value == least and not included):
        raise ValueError(f"{name} must be {'at least' if included else 'above'} {least:g}, got {value}")


def _check_choice(name: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        listed = ", ".join(repr(choice) for choice in allowed)
        raise ValueError(f"{name} must be one of {listed}, got {value!r}")
