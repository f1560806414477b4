"""Settings that were tried and kept, by name."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from radrag.training.pretraining import SmallLlamaConfig
from radrag.training.qlora import QLoraConfig


@dataclass(frozen=True, slots=True)
class Preset:
    """What makes one shipped model.

    Attributes:
        vocab_size: Tokens of its tokenizer.
        base: Shape and schedule of the base model.
        minutes: Time given to pretraining, on one thread.
        qlora: Settings of the adapter.
    """

    vocab_size: int
    base: SmallLlamaConfig
    minutes: float
    qlora: QLoraConfig


PRESETS = MappingProxyType(
    {"small-llama": Preset(vocab_size=2048, base=SmallLlamaConfig(), minutes=12, qlora=QLoraConfig())}
)
