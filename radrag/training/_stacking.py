"""Two LoRA adapters as one: their matrices stacked, the ratio of their scales folded in.

With s B A for an adapter of scale s, s1 B1 A1 + s2 B2 A2 = s2 [s1/s2 B1, B2] [A1; A2]. This is exact, whichever way the
scales come about. (peft's own combination by concatenation is wrong with rank-stabilised scales: it takes alpha / r.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radrag.errors import ModelError, require
from radrag.training.config import QLoraConfig

if TYPE_CHECKING:
    from torch import Tensor

_A, _B = ".lora_A.weight", ".lora_B.weight"


def scale_of(r: int, alpha: float, rslora: bool) -> float:
    """Return what the product of an adapter's matrices is multiplied by."""
    return alpha / (math.sqrt(r) if rslora else r)


def stacked_config(domain: QLoraConfig, task: QLoraConfig) -> QLoraConfig:
    """Return the task's settings for an adapter that holds both: the sum of ranks, and the scale of the task's."""
    r = domain.r + task.r
    return replace(task, r=r, alpha=scale_of(task.r, task.alpha, task.rslora) * r, rslora=False)


def read_adapter(folder: Path) -> dict[str, Tensor]:
    """Return the matrices of an adapter by the names that peft saves them under, in float32.

    Raises:
        ModelError: If it holds anything but LoRA matrices.
    """
    weights = require("safetensors.torch", extra="llama").load_file(folder / "adapter_model.safetensors")
    other = [name for name in weights if not name.endswith((_A, _B))]
    if other:
        raise ModelError(f"{folder} holds {other[0]}, and only LoRA matrices can be stacked. Merge it into the base.")
    return {name: weight.float() for name, weight in weights.items()}


def stack(first: Mapping[str, Tensor], second: Mapping[str, Tensor], ratio: float) -> dict[str, Tensor]:
    """Stack two adapters' matrices.

    Args:
        first: Matrices of one adapter: A [r1, in], B [out, r1].
        second: Matrices of the other, for the same layers: A [r2, in], B [out, r2].
        ratio: Scale of the first by the scale of the second, which is that of the result.

    Returns:
        A [r1 + r2, in] and B [out, r1 + r2] of each layer.

    Raises:
        ModelError: If the adapters are for different layers.
    """
    torch = require("torch", extra="llama")
    if first.keys() != second.keys():
        odd = sorted(first.keys() ^ second.keys())[0]
        raise ModelError(f"{odd} is in one adapter only. Give both steps the same target_modules.")
    made = {}
    for name, weight in first.items():
        parts = (weight, second[name]) if name.endswith(_A) else (ratio * weight, second[name])
        made[name] = torch.cat(parts, dim=0 if name.endswith(_A) else 1)
    return made


def put_first(model: Any, first: Mapping[str, Tensor], ratio: float) -> dict[str, Tensor]:
    """Put an adapter's matrices in the first rows of A and columns of B of a fresh, wider adapter.

    Args:
        model: A PeftModel whose adapter has at least the rank of the first.
        first: Its matrices.
        ratio: Its scale by the scale of the model's adapter.

    Returns:
        What was written, by the name of the model's parameter.
    """
    torch = require("torch", extra="llama")
    parameters = dict(model.named_parameters())
    written = {}
    with torch.no_grad():
        for name, weight in first.items():
            place = parameters.pop(name.replace(".weight", ".default.weight"), None)
            if place is None:
                raise ModelError(f"{name} has no place in the new adapter. Give both steps the same target_modules.")
            place.data = place.data.float()  # trl rounds the adapter of a quantised base to bfloat16
            block = weight.to(place.device) * (1.0 if name.endswith(_A) else ratio)
            _block(place, name, block).copy_(block)
            written[name.replace(".weight", ".default.weight")] = block
    left = [name for name in parameters if ".lora_A." in name or ".lora_B." in name]
    if left:
        raise ModelError(f"{left[0]} has no matrix in the first adapter. Give both steps the same target_modules.")
    return written


def hold(model: Any, written: Mapping[str, Tensor]) -> Any:
    """Keep what ``put_first`` wrote as it is: no gradient reaches it, and no decay changes it.

    Returns:
        A callback for the trainer.
    """
    torch = require("torch", extra="llama")
    parameters = {name: weight for name, weight in model.named_parameters() if name in written}
    for name, weight in parameters.items():
        weight.register_hook(lambda gradient, name=name: _without(gradient, name, written[name]))

    class Hold(require("transformers", extra="llama").TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            with torch.no_grad():
                for name, weight in parameters.items():
                    _block(weight, name, written[name]).copy_(written[name])

    return Hold()


def _block(place: Tensor, name: str, block: Tensor) -> Tensor:
    return place[: block.shape[0]] if ".lora_A." in name else place[:, : block.shape[1]]


def _without(gradient: Tensor, name: str, block: Tensor) -> Tensor:
    left = gradient.clone()
    _block(left, name, block).zero_()
    return left
