"""The folder of a tuned adapter: weights, tokenizer, chat template, what it was made of, and a model card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from radrag.errors import ModelError
from radrag.generation import _loading
from radrag.generation.prompts import fingerprint
from radrag.training._files import package_versions, write_json
from radrag.training.config import QLoraConfig

_PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "datasets", "accelerate")
_CARD = """---
library_name: peft
base_model: {base}
tags: [radrag, lora]
---

# {name}: an adapter for {base}

Trained by `radrag.training.{method}`. **Not for clinical use.** Load it on the model that it was made for:

    LlamaGenerator({base!r}, adapter="{name}"{load})

- **Base**: `{base}`{revision}, digest of its weights `{digest}`.
- **Data**: {data}
- **Adapter**: {adapter}.
- **Training**: {training}.
- **Loss** (natural log, per token that counts): {loss}.
{measured}- **Licence**: {licence}
- **Limits**: {limits}
"""
LICENCE = (
    "an adapter is of use only with its base and may be used only as the base's licence and the terms of the data allow"
)
LIMITS = (
    "it was tuned on the records named above and knows nothing beyond them and its base. It is as sure of a wrong "
    "reply as of a right one until it is calibrated."
)


def base_record(source: _loading.Source) -> dict[str, str | None]:
    """Return what a base is known by: its name, its commit where it came from the hub, the digest of its weights."""
    return {
        "name": public_name(source.name),
        "revision": _loading.snapshot_revision(source.folder),
        "digest": _loading.weights_digest(source.folder),
    }


def public_name(name: str) -> str:
    """Return a base's name without the path that it has on this machine."""
    return Path(name).name if Path(name).expanduser().exists() else name


def save_adapter(model: Any, tokenizer: Any, folder: Path, base: Mapping[str, str | None]) -> None:
    """Write the weights, the tokenizer with its chat template, and which base they belong to."""
    with _loading.quiet_renames():
        model.save_pretrained(folder)
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base["name"]  # a path on this machine says nothing elsewhere
    config["revision"] = base["revision"]
    if isinstance(config["target_modules"], list):
        config["target_modules"] = sorted(config["target_modules"])
    write_json(file, config)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # peft's, with an empty form
    write_json(folder / "radrag.json", {"kind": "adapter", "base": dict(base)})


def describe_adapter(
    folder: Path,
    *,
    name: str,
    method: str,
    base: Mapping[str, str | None],
    config: QLoraConfig,
    data: Mapping[str, Any],
    metrics: Mapping[str, Any],
    history: Sequence[Mapping[str, float]] = (),
) -> None:
    """Write ``radrag.json`` and the model card.

    Args:
        folder: Folder with the saved adapter.
        name: Name of the adapter.
        method: Function that made it.
        base: What ``base_record`` gave.
        config: Settings of the run.
        data: ``sha256``, ``train``, ``valid`` (counts) and ``note``, and whatever else is known of the data.
        metrics: ``steps``, ``seconds``, ``first_loss``, ``last_loss``, and what was measured, by name.
        history: The log of the run.
    """
    record = {
        "kind": "adapter",
        "method": method,
        "base": dict(base),
        "prompts": fingerprint(),
        "data": dict(data),
        "config": asdict(config),
        "metrics": dict(metrics),
        "history": [dict(entry) for entry in history],
        "digest": _loading.weights_digest(folder),
        "licence": LICENCE,
        "versions": package_versions(*_PACKAGES),
    }
    write_json(folder / "radrag.json", record)
    (folder / "README.md").write_text(_card(name, method, base, config, data, metrics), encoding="utf-8")


def read_record(folder: str | Path) -> dict[str, Any]:
    """Read the ``radrag.json`` of a model folder.

    Raises:
        ModelError: If there is none, or it is no JSON object.
    """
    file = Path(folder) / "radrag.json"
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} cannot be read ({error}). Name a folder that radrag.training wrote.") from error
    if not isinstance(record, dict):
        raise ModelError(f"{file} holds {type(record).__name__}, expected a JSON object. Train the adapter again.")
    return record


def _card(
    name: str,
    method: str,
    base: Mapping[str, str | None],
    config: QLoraConfig,
    data: Mapping[str, Any],
    metrics: Mapping[str, Any],
) -> str:
    note = f" ({data['note']})" if data.get("note") else ""
    targets = config.target_modules
    layers = "every linear layer" if targets == "all-linear" else ", ".join(targets)
    stabilised = " (rank-stabilised)" if config.rslora else ""
    bits = "base in NF4 with double quantisation" if config.quantize else "base not quantised"
    known = {"steps", "seconds", "first_loss", "last_loss", "lengths", "statistics"}
    measured = [
        f"- **{key.replace('_', ' ')}**: {_figure(value)}.\n" for key, value in metrics.items() if key not in known
    ]
    return _CARD.format(
        name=name,
        method=method,
        base=base["name"],
        digest=base["digest"],
        revision=f" at `{base['revision']}`" if base.get("revision") else "",
        load=", quantize='nf4'" if config.quantize else "",
        data=f"{data['train']:,} records{note}, {data['valid']:,} more held out; sha256 `{data['sha256']}`.",
        adapter=f"{bits}, rank {config.r}, alpha {config.alpha:g}{stabilised}, {layers}",
        training=f"{metrics['steps']:,} steps of {config.batch * config.accumulate} sequences of at most "
        f"{config.max_length:,} tokens, learning rate {config.lr:g} ({config.schedule}), seed {config.seed}; "
        f"{metrics['seconds']:.0f} s",
        loss=f"{metrics['first_loss']:.3f} at the start, {metrics['last_loss']:.3f} at the end",
        measured="".join(measured),
        licence=LICENCE + ".",
        limits=LIMITS,
    )


def _figure(value: Any) -> str:
    if value is None:
        return "not measured"
    if isinstance(value, Mapping) and {"value", "low", "high", "n"} <= set(value):
        return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}], n={value['n']}, bootstrap interval"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
