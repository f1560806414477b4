"""What can go wrong on the machine at hand, said before or as it happens, with the setting to change."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from radrag.errors import MissingExtraError, TrainingError, require
from radrag.training.config import QLoraConfig

_MEMORY = re.compile(r"out of memory|not enough memory|can't allocate memory|cannot allocate memory", re.IGNORECASE)
_PACKAGES = {"liger_kernel": "liger-kernel", "flash_attn": "flash-attn --no-build-isolation"}


def needs(module: str, why: str) -> None:
    """Refuse to start without a package that a setting asks for.

    Raises:
        MissingExtraError: With the pip line.
    """
    if find_spec(module) is None:
        line = _PACKAGES.get(module, module)
        raise MissingExtraError(f"{why} needs {module}. Install it with: pip install {line}", name=module)


def check_machine(config: QLoraConfig) -> None:
    """Refuse settings that this machine cannot run.

    Raises:
        TrainingError: If a setting needs a GPU, or a newer one.
        MissingExtraError: If a setting needs a package that is absent.
    """
    cuda = require("torch", extra="llama").cuda
    here = cuda.is_available()
    gpu_only = {
        "attention='flash_attention_2'": (config.attention == "flash_attention_2", "attention='sdpa'"),
        "liger=True": (config.liger, "liger=False"),
        f"optimizer={config.optimizer!r}": (config.optimizer.startswith("paged_"), "optimizer='auto'"),
        "dtype='float16'": (config.dtype == "float16", "dtype=None, which is float32 on a CPU"),
    }
    for setting, (asked, remedy) in gpu_only.items():
        if asked and not here:
            raise TrainingError(f"{setting} needs a CUDA GPU, and torch sees none. Set {remedy}, or run it on a GPU.")
    if compute_dtype(config) == "bfloat16":
        _check_bfloat16(here)
    if config.attention == "flash_attention_2":
        needs("flash_attn", "attention='flash_attention_2'")
    if config.liger:
        needs("liger_kernel", "liger=True")
    if config.reporter != "none":
        needs(config.reporter, f"reporter={config.reporter!r}")
    _check_optimizer(config.optimizer)


def compute_dtype(config: QLoraConfig) -> str:
    """Return the name of the dtype that a run computes in."""
    cuda = require("torch", extra="llama").cuda.is_available()
    return config.dtype or ("bfloat16" if cuda else "float32")


def _check_bfloat16(cuda: bool) -> None:
    torch = require("torch", extra="llama")
    if cuda and torch.cuda.get_device_capability()[0] < 8:
        raise TrainingError(
            f"{torch.cuda.get_device_name()} has no bfloat16 units (compute capability 8.0 and later have). Set "
            "dtype='float16'."
        )
    if not cuda and not fast_bfloat16():
        raise TrainingError(
            "dtype='bfloat16' needs a CUDA GPU, or a CPU with AVX512-BF16 or AMX: elsewhere it is many times slower. "
            "Leave dtype at None, which is float32 on a CPU."
        )


def fast_bfloat16() -> bool:
    """Return whether this CPU multiplies bfloat16 in hardware."""
    cpu = require("torch", extra="llama").cpu
    checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")  # torch has no public names for these
    return any(getattr(cpu, name, lambda: False)() for name in checks)


def _check_optimizer(name: str) -> None:
    names = require("transformers.training_args", extra="llama").OptimizerNames
    if name != "auto" and name not in {one.value for one in names}:
        raise ValueError(f"optimizer must be 'auto' or one of {', '.join(one.value for one in names)}; got {name!r}")


@contextmanager
def guarded(config: QLoraConfig, model_or_source: Any = None) -> Iterator[None]:
    """Check the machine, then say of running out of memory what would take less.

    Args:
        config: Settings of the run.
        model_or_source: What is trained, for the message.

    Raises:
        TrainingError: If a setting needs what is not there, or memory runs out.
    """
    check_machine(config)
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not (isinstance(error, MemoryError) or _MEMORY.search(str(error))):
            raise
        name = getattr(model_or_source, "name", None) or type(model_or_source).__name__
        raise TrainingError(f"Memory ran out while training {name}{_taken()}. {remedies(config)}") from error


def remedies(config: QLoraConfig) -> str:
    """Return the settings that take less memory than these, the ones that do not change the result first."""
    ways = []
    if config.batch > 1:
        half = (config.batch + 1) // 2
        steps = -(-config.batch * config.accumulate // half)
        ways.append(f"batch={half} with accumulate={steps} (the same step in smaller parts)")
    if not config.gradient_checkpointing:
        ways.append("gradient_checkpointing=True")
    if config.quantize is None:
        ways.append("quantize='nf4'")
    ways.append(f"a max_length below {config.max_length}, down to the longest record")
    if config.r > 8:
        ways.append(f"r={config.r // 2}")
    return f"Set {', then '.join(ways)}; or take a smaller base model."


def _taken() -> str:
    cuda = require("torch", extra="llama").cuda
    if not cuda.is_available():
        return ""
    free, total = cuda.mem_get_info()
    return f" ({(total - free) / 2**30:.1f} of {total / 2**30:.1f} GiB in use)"
