"""Loading a model, its adapter and its tokenizer: safetensors only, and errors that say what to do."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radrag.errors import ModelError, require
from radrag.generation._digests import snapshot_revision as snapshot_revision
from radrag.generation._digests import weights_digest as weights_digest

if TYPE_CHECKING:
    import torch
    from transformers import BitsAndBytesConfig, PreTrainedModel, PreTrainedTokenizerBase

ASSETS = Path(__file__).resolve().parent.parent / "assets"
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


@dataclass(frozen=True)
class Source:
    """Where a model or an adapter comes from: a folder, a shipped name or a hub name."""

    name: str
    revision: str | None = None
    local_files_only: bool = False

    @cached_property
    def path(self) -> str:
        """The folder as a string, or the hub name."""
        folder = Path(self.name).expanduser()
        if folder.is_dir():
            return str(folder)
        if _HUB_NAME.fullmatch(self.name) and "/" not in self.name and (ASSETS / self.name).is_dir():
            return str(ASSETS / self.name)
        if not _HUB_NAME.fullmatch(self.name) or self.name.startswith("."):
            raise ModelError(f"There is no folder {self.name}. Give an existing folder or a name on the hub.")
        return self.name

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments for ``from_pretrained``."""
        return {"revision": self.revision, "local_files_only": self.local_files_only, "trust_remote_code": False}

    @cached_property
    def folder(self) -> Path:
        """The folder the files are in once they are loaded (the hub cache for a hub name)."""
        if Path(self.path).is_dir():
            return Path(self.path)
        hub = require("transformers.utils.hub", extra="llama")
        for name in ("config.json", "adapter_config.json"):
            found = hub.cached_file(
                self.path,
                name,
                revision=self.revision,
                local_files_only=True,
                _raise_exceptions_for_missing_entries=False,
                _raise_exceptions_for_connection_errors=False,
            )
            if found is not None:
                return Path(found).parent
        raise ModelError(f"The files of {self.name} are not in the hub's cache.")


def identity(source: Source) -> str:
    """Return what a run is resumed by: the digest of local weights, or the name and revision of what is on the hub."""
    local = Path(source.path).is_dir()
    return weights_digest(source.folder) if local else f"{source.path}@{source.revision}"


def load_tokenizer(source: Source) -> PreTrainedTokenizerBase:
    """Load a tokenizer that has a chat template."""
    transformers = require("transformers", extra="llama")
    with _load_errors("tokenizer", source):
        tokenizer = transformers.AutoTokenizer.from_pretrained(source.path, **source.options)
    if not tokenizer.chat_template:
        raise ModelError(
            f"The tokenizer of {source.name} has no chat template. Take the instruction-tuned variant of the model, or "
            "save a chat_template.jinja beside its tokenizer."
        )
    return tokenizer


def load_model(
    source: Source,
    quantize: str | None,
    device: str | None,
    dtype: str | None,
    *,
    attention: str | None = None,
    head: Mapping[str, Any] | None = None,
) -> PreTrainedModel:
    """Load a model for inference or for training an adapter.

    Args:
        source: The base model.
        quantize: ``"nf4"`` or None.
        device: Device or ``"auto"``; None takes cuda if there is one.
        dtype: Name of the dtype; None is float32 on a CPU and bfloat16 elsewhere.
        attention: Implementation of attention; None leaves the choice to transformers.
        head: Settings of a classification head, such as ``num_labels``, instead of the language model's own.
    """
    torch_, transformers = require("torch", extra="llama"), require("transformers", extra="llama")
    where = device or ("cuda" if torch_.cuda.is_available() else "cpu")
    kind = getattr(torch_, dtype or ("float32" if where == "cpu" else "bfloat16"), None)
    if not isinstance(kind, torch_.dtype):
        raise ValueError(f"dtype must be the name of a torch dtype, such as 'float32' or 'bfloat16', got {dtype!r}")
    placed = "auto" if where == "auto" else {"": where}
    extra: dict[str, Any] = {} if quantize is None else {"quantization_config": nf4_config(kind)}
    if attention is not None:
        extra["attn_implementation"] = attention
    kinds = transformers.AutoModelForCausalLM if head is None else transformers.AutoModelForSequenceClassification
    with _load_errors("model", source):
        model = kinds.from_pretrained(
            source.path, dtype=kind, device_map=placed, use_safetensors=True, **source.options, **extra, **(head or {})
        )
    if quantize and kind == torch_.float32:
        # On CPUs with AVX512-BF16 bitsandbytes would repack the weights at the first forward and compute in bfloat16,
        # which changes results from machine to machine and fails where a width is no multiple of 64.
        for module in model.modules():
            if hasattr(module, "support_avx512bf16_for_cpu"):
                module.support_avx512bf16_for_cpu = False
    return model


def nf4_config(dtype: torch.dtype) -> BitsAndBytesConfig:
    """Return the settings of 4-bit NormalFloat with double quantisation (Dettmers et al., 2023, section 3)."""
    require("bitsandbytes", extra="llama")
    return require("transformers", extra="llama").BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_quant_storage="uint8",
    )


def load_adapter(model: PreTrainedModel, adapter: Source, base: Source) -> PreTrainedModel:
    """Put a peft adapter on a model, if it was made for that model."""
    peft = require("peft", extra="llama")
    options = {"revision": adapter.revision, "local_files_only": adapter.local_files_only}
    if Path(adapter.path).is_dir() and not (Path(adapter.path) / "adapter_config.json").is_file():
        raise ModelError(f"{adapter.name} holds no adapter_config.json: it is not an adapter folder.")
    with _load_errors("adapter", adapter):
        config = peft.PeftConfig.from_pretrained(adapter.path, **options)
    _check_base(adapter, base, str(config.base_model_name_or_path or ""))
    with _load_errors("adapter", adapter), quiet_renames():
        try:
            loaded = peft.PeftModel.from_pretrained(model, adapter.path, **options)
        except RuntimeError as error:
            if "size mismatch" not in str(error):
                raise
            raise ModelError(f"The adapter {adapter.name} does not fit {base.name}: {_first_line(error)}") from error
    return loaded


@contextmanager
def quiet_renames() -> Iterator[None]:
    """Silence one warning: peft and trl use names that transformers 5.2x calls old, and no caller can change that."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`(is_)?gradient_checkpointing\w*` is deprecated", FutureWarning)
        yield


def fingerprint(
    base: Source, adapter: Source | None, tokenizer: PreTrainedTokenizerBase, numeric: Sequence[str]
) -> str:
    """Return a digest of everything that decides what a model writes, besides the decoding parameters."""
    parts = [weights_digest(base.folder), str(tokenizer.chat_template), *numeric]
    parts.append((base.folder / "config.json").read_text(encoding="utf-8"))
    if adapter is not None:
        parts.append(weights_digest(adapter.folder))
        parts.append((adapter.folder / "adapter_config.json").read_text(encoding="utf-8"))
    return "llama:" + hashlib.sha256("\0".join(parts).encode("utf-8")).hexdigest()[:32]


def _check_base(adapter: Source, base: Source, named: str) -> None:
    """Refuse an adapter made for other weights: by recorded commit or digest, else by name where both are hub names."""
    record = Path(adapter.path) / "radrag.json"
    if record.is_file():
        made_for = json.loads(record.read_text(encoding="utf-8")).get("base", {})
        _check_weights(adapter, base, made_for, str(made_for.get("name", named)))
        return
    hub_names = _is_hub_name(named) and _is_hub_name(base.path)
    if hub_names and named.lower() != base.path.lower():
        raise ModelError(
            f"The adapter {adapter.name} was made for {named}, not for {base.name}. Load the model it was made for; if "
            "the weights are the same, correct base_model_name_or_path in its adapter_config.json."
        )


def _check_weights(adapter: Source, base: Source, made_for: Mapping[str, Any], name: str) -> None:
    revision = made_for.get("revision")
    if revision and revision == snapshot_revision(base.folder):
        return  # a commit names its files: nothing has to be read
    found = weights_digest(base.folder)
    if made_for.get("digest") and made_for["digest"] != found:
        at = f" at {revision}" if revision else ""
        raise ModelError(
            f"The adapter {adapter.name} was made for {name}{at} with weights {made_for['digest']}, but {base.name} "
            f"has {found}. Load the model it was made for."
        )


def _is_hub_name(name: str) -> bool:
    return bool(_HUB_NAME.fullmatch(name)) and "/" in name and not Path(name).exists()


@contextmanager
def _load_errors(what: str, source: Source) -> Iterator[None]:
    hub_log = logging.getLogger("huggingface_hub")
    level = hub_log.level
    hub_log.setLevel(logging.ERROR)
    try:
        yield
    except (OSError, ValueError, KeyError) as error:
        if Path(source.path).is_dir():
            raise ModelError(f"The {what} in {source.path} cannot be loaded: {_first_line(error)}") from error
        raise ModelError(
            f"The {what} {source.name} is no local folder and could not be had from the Hugging Face hub "
            f"({_first_line(error)}). Check the name, the connection and, for gated models, the licence and login; or "
            "download it where there is a network and give the folder."
        ) from error
    finally:
        hub_log.setLevel(level)


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]
