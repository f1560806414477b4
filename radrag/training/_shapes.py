"""The shape of a Llama-like model: what its parameters, and those of its adapters, are counted from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from radrag.errors import ModelError, require
from radrag.generation._loading import Source

_FAMILIES = ("llama", "mistral")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A decoder with gated feed-forward layers and grouped queries, without biases.

    Attributes:
        hidden: Width.
        layers: Decoder layers.
        heads: Query heads.
        kv_heads: Key and value heads.
        intermediate: Width inside the feed-forward layers.
        vocabulary: Tokens.
        tied: Whether the head shares the embeddings.
        head_dim: Width of a head; hidden / heads if 0.
    """

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vocabulary: int
    tied: bool
    head_dim: int = 0

    @property
    def head(self) -> int:
        """Width of a head."""
        return self.head_dim or self.hidden // self.heads

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of each linear layer of a decoder layer, by name."""
        queries, keys = self.heads * self.head, self.kv_heads * self.head
        return {
            "q_proj": (self.hidden, queries),
            "k_proj": (self.hidden, keys),
            "v_proj": (self.hidden, keys),
            "o_proj": (queries, self.hidden),
            "gate_proj": (self.hidden, self.intermediate),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }

    @property
    def in_linears(self) -> int:
        """Parameters of the linear layers, the head not counted: what NF4 compresses."""
        return self.layers * sum(inputs * outputs for inputs, outputs in self.linears.values())

    @property
    def elsewhere(self) -> int:
        """Parameters of embeddings, head and norms."""
        tables = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return tables + self.hidden * (2 * self.layers + 1)

    @property
    def parameters(self) -> int:
        """All parameters."""
        return self.in_linears + self.elsewhere

    def targets(self, names: str | tuple[str, ...]) -> dict[str, tuple[int, int]]:
        """Return the linear layers that an adapter sits on.

        Raises:
            ValueError: If a name is not that of a linear layer.
        """
        if names == "all-linear":
            return self.linears
        unknown = [name for name in names if name not in self.linears]
        if unknown or isinstance(names, str):
            raise ValueError(f"target_modules must be 'all-linear' or among {', '.join(self.linears)}, got {names!r}")
        return {name: self.linears[name] for name in names}

    def adapter(self, rank: int, names: str | tuple[str, ...]) -> int:
        """Return the parameters of a LoRA of a rank on the named layers (Hu et al., arXiv 2106.09685)."""
        return self.layers * sum(rank * (inputs + outputs) for inputs, outputs in self.targets(names).values())


def shape_of(base: str, *, local_files_only: bool = True, revision: str | None = None) -> Shape:
    """Read a model's shape from its config: a folder, a shipped name, or a hub name.

    Raises:
        ModelError: If there is no config, or the model is not Llama-like.
    """
    transformers = require("transformers", extra="llama")
    source = Source(base, revision, local_files_only)
    try:
        config = transformers.AutoConfig.from_pretrained(source.path, **source.options)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"The config of {base} cannot be read, and no preset knows its shape. Give a folder, or a name that is in "
            "the hub's cache."
        ) from error
    if config.model_type not in _FAMILIES:
        raise ModelError(
            f"Only models like {', '.join(_FAMILIES)} can be planned, and {base} is a {config.model_type}. It may "
            "train all the same: leave --plan out."
        )
    return _shape(config)


def _shape(config: Any) -> Shape:
    hidden, heads = int(config.hidden_size), int(config.num_attention_heads)
    head = int(getattr(config, "head_dim", None) or hidden // heads)
    return Shape(
        hidden=hidden,
        layers=int(config.num_hidden_layers),
        heads=heads,
        kv_heads=int(config.num_key_value_heads),
        intermediate=int(config.intermediate_size),
        vocabulary=int(config.vocab_size),
        tied=bool(config.tie_word_embeddings),
        head_dim=0 if head == hidden // heads else head,
    )


def shape_from(table: Mapping[str, Any]) -> Shape:
    """Make a shape from a preset's table.

    Raises:
        ValueError: If a field is missing, unknown or no whole number.
    """
    known = tuple(Shape.__dataclass_fields__)
    wrong = [name for name in table if name not in known] + [n for n in known[:-1] if n not in table]
    wrong += [name for name, value in table.items() if name != "tied" and (type(value) is not int or value < 0)]
    if wrong or not isinstance(table.get("tied"), bool):
        raise ValueError(f"a shape needs whole numbers for {', '.join(known[:-1])} (tied: true or false), got {table}")
    return Shape(**table)
