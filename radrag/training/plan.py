"""What a run would do and take, worked out before anything is loaded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radrag.errors import MissingExtraError, TrainingError, require
from radrag.training._engine import updates_of
from radrag.training._guards import check_machine, remedies
from radrag.training._memory import Device, Load, Part, pretraining_parts, total, tuning_parts
from radrag.training._shapes import Shape, shape_of
from radrag.training.config import QLoraConfig
from radrag.training.presets import Preset
from radrag.training.pretraining import SmallLlamaConfig
from radrag.training.statistics import Statistics, describe

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from radrag.training.records import ChatRecord

_MEMINFO = Path("/proc/meminfo")
_DPO_SEQUENCES = 2  # the preferred reply and the other


@dataclass(frozen=True, slots=True)
class Machine:
    """What a run would run on.

    Attributes:
        device: Kind of device.
        name: What it is called.
        free: Bytes that are free on it, None if that is not known.
    """

    device: Device
    name: str
    free: int | None


@dataclass(frozen=True, slots=True)
class Stage:
    """One training run; of two-step tuning there are two.

    Attributes:
        name: What it trains.
        config: Its settings.
        trainable: Parameters that it changes.
        sequences: Sequences of a pass, None without data.
        tokens: Tokens of a pass, None without data.
        steps: Optimiser steps, None without data and without a number of steps.
        parts: Parts of its memory on the machine.
        elsewhere: Bytes it would take on a CUDA GPU, if the machine has none.
    """

    name: str
    config: QLoraConfig | SmallLlamaConfig
    trainable: int
    sequences: int | None
    tokens: int | None
    steps: int | None
    parts: tuple[Part, ...]
    elsewhere: int | None

    @property
    def bytes(self) -> int:
        """Memory at the peak."""
        return total(self.parts)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do and take.

    Attributes:
        preset: What would run.
        shape: Shape of the base.
        machine: What it would run on.
        stages: The training runs, in order.
        statistics: What the training records look like, None without data or without the base's tokenizer.
        refusals: Why this machine would not run it, each with the remedy.
    """

    preset: Preset
    shape: Shape
    machine: Machine
    stages: tuple[Stage, ...]
    statistics: Statistics | None
    refusals: tuple[str, ...]

    @property
    def bytes(self) -> int:
        """Memory at the peak of the largest stage."""
        return max(stage.bytes for stage in self.stages)

    @property
    def fits(self) -> bool | None:
        """Whether it fits into what is free; None if that is not known."""
        return None if self.machine.free is None else self.bytes <= self.machine.free

    def table(self) -> dict[str, Any]:
        """Return the plan as plain values, for JSON."""
        stages = [
            {
                "name": stage.name,
                "trainable": stage.trainable,
                "sequences": stage.sequences,
                "tokens": stage.tokens,
                "steps": stage.steps,
                "memory": {part.name: part.bytes for part in stage.parts if part.at_peak},
                "bytes": stage.bytes,
                "bytes_on_cuda": stage.elsewhere if stage.elsewhere is not None else stage.bytes,
                "config": asdict(stage.config),
            }
            for stage in self.stages
        ]
        return {
            "preset": self.preset.name,
            "source": list(self.preset.source),
            "base": self.preset.base,
            "method": self.preset.method,
            "parameters": self.shape.parameters,
            "stages": stages,
            "data": None if self.statistics is None else asdict(self.statistics),
            "machine": asdict(self.machine),
            "fits": self.fits,
            "refusals": list(self.refusals),
        }

    def __str__(self) -> str:
        lines = [f"{self.preset.name}: {self.preset.title}"]
        lines += [f"  {line}" for line in self.preset.source]
        lines.append(f"base {self.preset.base or '(from scratch)'}, {self.shape.parameters:,} parameters")
        lines.append(f"method {self.preset.method}" + "".join(f", {k} {v}" for k, v in self.preset.settings.items()))
        if self.preset.ours:
            lines.append(f"not from the source: {', '.join(self.preset.ours)}")
        if self.preset.notes:
            lines.append(self.preset.notes)
        if self.statistics is not None:
            lines += ["", str(self.statistics)]
        for stage in self.stages:
            lines += ["", *_stage_lines(stage, self)]
        lines += ["", _verdict(self)]
        return "\n".join([*lines, *(f"refused here: {reason}" for reason in self.refusals)])


def plan_run(
    preset: Preset,
    *,
    records: Sequence[ChatRecord] | None = None,
    texts: Sequence[str] | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    machine: Machine | None = None,
    labels: int = 1,
) -> Plan:
    """Work out what a run would do and take, from its config alone.

    Args:
        preset: What would run.
        records: The training records, those held out left out already.
        texts: Plain texts, for pretraining or the first of two steps.
        tokenizer: The base's tokenizer, without which data cannot be counted in tokens.
        machine: What it would run on; this machine if left out.
        labels: Outcomes of a classifier.

    Raises:
        ModelError: If the base's shape is not known: it is no Llama-like model, or its config is not at hand.
    """
    machine = machine or this_machine()
    if isinstance(preset.config, SmallLlamaConfig):
        return _pretraining_plan(preset, preset.config, machine)
    shape = preset.shape or shape_of(preset.base)
    known = records and tokenizer is not None
    statistics = describe(records, tokenizer, preset.config.max_length, refuse=False) if known else None  # type: ignore[arg-type]
    stages = []
    if preset.domain is not None:
        stages.append(_domain_stage(preset.domain, shape, machine, texts, tokenizer))
    name = {"classification": "head and adapter", "dpo": "adapter, from preferences"}.get(preset.method, "adapter")
    strategy = preset.settings.get("strategy", "")
    stacked = preset.domain if strategy in ("both", "frozen") else None  # one adapter of both ranks in memory
    extra = shape.hidden * labels if preset.method == "classification" else 0
    extra += shape.adapter(stacked.r, stacked.target_modules) if stacked is not None else 0
    load = _load(preset.config, preset.method, statistics)
    sequences = _sequences(preset.config, records, tokenizer, statistics)
    steps = updates_of(sequences, preset.config) if sequences is not None else preset.config.steps
    stages.append(
        Stage(
            name=name if stacked is None else "task adapter, beside the domain adapter",
            config=preset.config,
            trainable=shape.adapter(preset.config.r, preset.config.target_modules) + (strategy != "frozen") * extra,
            sequences=sequences,
            tokens=None if statistics is None else round(statistics.whole.mean * statistics.n),
            steps=steps,
            parts=tuning_parts(shape, preset.config, load, machine.device, extra=extra),
            elsewhere=_on_cuda(shape, preset.config, load, machine, extra),
        )
    )
    refusals = dict.fromkeys(reason for stage in stages for reason in _refusals(stage.config))
    return Plan(preset, shape, machine, tuple(stages), statistics, tuple(refusals))


def this_machine() -> Machine:
    """Return what training would run on here: the first CUDA GPU, or this computer's memory."""
    torch = require("torch", extra="llama")
    if torch.cuda.is_available():
        return Machine("cuda", str(torch.cuda.get_device_name()), int(torch.cuda.mem_get_info()[0]))
    free = None
    if _MEMINFO.is_file():
        found = dict(line.split(":", 1) for line in _MEMINFO.read_text(encoding="ascii").splitlines() if ":" in line)
        free = int(found["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in found else None
    return Machine("cpu", "this computer's memory, no CUDA GPU", free)


def _pretraining_plan(preset: Preset, config: SmallLlamaConfig, machine: Machine) -> Plan:
    vocabulary = int(preset.settings["vocab_size"])
    named = {"hidden": config.hidden, "layers": config.layers, "heads": config.heads, "kv_heads": config.heads}
    shape = Shape(**named, intermediate=config.intermediate, vocabulary=vocabulary, tied=True)
    load = Load(config.batch, config.sequence)
    parts = pretraining_parts(shape, load, 4, machine.device)
    stage = Stage("every weight", config, shape.parameters, None, None, preset.settings["steps"], parts, None)
    return Plan(preset, shape, machine, (stage,), None, ())


def _domain_stage(
    config: QLoraConfig,
    shape: Shape,
    machine: Machine,
    texts: Sequence[str] | None,
    tokenizer: PreTrainedTokenizerBase | None,
) -> Stage:
    """Plan the first of two steps: plain text, cut into full sequences, with loss on every token."""
    tokens = None
    if texts is not None and tokenizer is not None:
        tokens = sum(len(ids) + 1 for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"])
    sequences = None if tokens is None else max(1, tokens // config.max_length)
    load = Load(config.batch, config.max_length, records=False)
    return Stage(
        name="domain adapter",
        config=config,
        trainable=shape.adapter(config.r, config.target_modules),
        sequences=sequences,
        tokens=tokens,
        steps=config.steps if sequences is None else updates_of(sequences, config),
        parts=tuning_parts(shape, config, load, machine.device),
        elsewhere=_on_cuda(shape, config, load, machine, 0),
    )


def _load(config: QLoraConfig, method: str, statistics: Statistics | None) -> Load:
    """Return what a device works on at once: full sequences if they are packed or nothing is known of the data."""
    packed = config.packing and method in ("qlora", "two-step")
    tokens, labelled = config.max_length, 1.0
    if statistics is not None:
        labelled = statistics.completion.mean / statistics.whole.mean
        tokens = config.max_length if packed else min(config.max_length, statistics.whole.longest)
    sequences = config.batch * (_DPO_SEQUENCES if method == "dpo" else 1)
    return Load(sequences, tokens, 0.0 if method == "classification" else labelled, records=packed)


def _sequences(
    config: QLoraConfig,
    records: Sequence[ChatRecord] | None,
    tokenizer: PreTrainedTokenizerBase | None,
    statistics: Statistics | None,
) -> int | None:
    """Return the sequences of a pass; of packed records, by packing them."""
    if records is None:
        return None
    if not config.packing:
        return len(records)
    if tokenizer is None or statistics is None or statistics.truncated:
        return None
    from radrag.generation._turns import Turns
    from radrag.training._packing import encode, pack

    return len(pack(encode(records, Turns(tokenizer)), config.max_length))


def _on_cuda(shape: Shape, config: QLoraConfig, load: Load, machine: Machine, extra: int) -> int | None:
    return None if machine.device == "cuda" else total(tuning_parts(shape, config, load, "cuda", extra=extra))


def _refusals(config: QLoraConfig | SmallLlamaConfig) -> list[str]:
    """Why this machine would refuse a config: everything, not the first thing alone."""
    found: list[str] = []
    if isinstance(config, SmallLlamaConfig):
        return found
    if config.optimizer.startswith("paged_") and not require("torch", extra="llama").cuda.is_available():
        found.append(
            f"optimizer={config.optimizer} needs a CUDA GPU, and torch sees none. Here --set optimizer=adamw_torch "
            "runs."
        )
        config = replace(config, optimizer="auto")
    try:
        check_machine(config)
    except (TrainingError, MissingExtraError) as error:
        found.append(str(error))
    return found


def _stage_lines(stage: Stage, made: Plan) -> list[str]:
    share = (
        100 * stage.trainable / (made.shape.parameters + (0 if made.preset.method == "pretrain" else stage.trainable))
    )
    lines = [f"{stage.name}: {stage.trainable:,} trainable parameters ({share:.3g} % of all)"]
    if stage.sequences is not None:
        tokens = "" if stage.tokens is None else f" of {stage.tokens:,} tokens in all"
        lines.append(f"  {stage.sequences:,} sequences{tokens}")
    if stage.steps is not None:
        lines.append(f"  {stage.steps:,} optimiser steps")
    elif made.preset.method == "pretrain":
        lines.append(f"  as many steps as fit into {made.preset.settings['minutes']:g} minutes")
    else:
        lines.append("  optimiser steps follow from the data and the base's tokenizer: give --data")
    width = max(len(part.name) for part in stage.parts) + 2
    for part in stage.parts:
        if part.bytes:
            aside = "" if part.at_peak else "  (not at the peak)"
            lines.append(f"  {part.name:<{width}}{size(part.bytes):>10}{aside}")
    lines.append(f"  {'total at the peak':<{width}}{size(stage.bytes):>10}")
    if stage.elsewhere is not None:
        lines.append(f"  {'on a CUDA GPU':<{width}}{size(stage.elsewhere):>10}")
    return lines


def _verdict(made: Plan) -> str:
    where = made.machine.name
    if made.machine.free is None:
        return f"{size(made.bytes)} needed on {where}; how much is free is not known"
    said = f"{size(made.bytes)} needed, {size(made.machine.free)} free on {where}: "
    if made.fits:
        return said + "fits"
    largest = max(made.stages, key=lambda stage: stage.bytes)
    advice = remedies(largest.config) if isinstance(largest.config, QLoraConfig) else "Lower batch or sequence."
    return f"{said}does not fit. {advice}"


def size(amount: float) -> str:
    """Return bytes as people read them, in MiB or GiB."""
    return f"{amount / 2**30:,.2f} GiB" if amount >= 2**30 else f"{math.ceil(amount / 2**20):,} MiB"
