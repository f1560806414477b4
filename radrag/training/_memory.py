"""What a training step holds in memory, counted from shapes: no model is made for it.

A peak is the sum of what stays (weights, adapters, gradients, optimiser), of what the forward pass keeps for the
backward pass, and of the greater of two passing needs: the loss, or the backward pass of one layer. What is kept
follows from the operations of a Llama layer with frozen weights: a linear layer keeps its input only where an adapter
sits on it, SDPA keeps queries, keys, values and output, the gated feed-forward three of its products.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from radrag.training._shapes import Shape
from radrag.training.config import QLoraConfig

Device = Literal["cuda", "cpu"]
_BLOCK, _NESTED = 64, 256  # weights to a scale, scales to a second-level scale (Dettmers et al., arXiv 2305.14314)
_TILE_TOKENS, _TILE_WIDTH = 4096, 32768  # trl's fused loss
_WIDTHS = {"float32": 4, "bfloat16": 2, "float16": 2}
# Bytes that an optimiser holds for a parameter, by what its name holds; 8-bit states have a scale for each 256 values.
_STATES = (("adafactor", 0.1), ("8bit", 2 + 8 / 256), ("sgd", 0.0), ("lion", 4.0), ("adam", 8.0))
_CUBLAS = 32 * 2**20
_RUNTIME = 24 * 2**20  # thread buffers and code that the first steps page in


@dataclass(frozen=True, slots=True)
class Load:
    """What a device works on at once.

    Attributes:
        sequences: Sequences of a batch.
        tokens: Tokens of the longest.
        labelled: Part of the tokens that the loss is on.
        records: Whether sequences hold several records, which needs a mask.
    """

    sequences: int
    tokens: int
    labelled: float = 1.0
    records: bool = True


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the memory of a run.

    Attributes:
        name: What it is.
        bytes: How much.
        at_peak: Whether it is there when most is in use; parts that are not do not count.
    """

    name: str
    bytes: int
    at_peak: bool = True


def base_parts(shape: Shape, quantize: str | None, width: int) -> list[Part]:
    """Return the parts that the base's weights take, at a width in bytes of what is not quantised."""
    if quantize is None:
        return [Part("base weights", shape.parameters * width)]
    scales = shape.in_linears // _BLOCK
    return [
        Part("base weights in NF4", shape.in_linears // 2),
        Part("scales of NF4, quantised twice", scales + scales // _NESTED * 4),
        Part(f"embeddings, head and norms in {8 * width} bit", shape.elsewhere * width),
    ]


def optimizer_bytes(name: str, device: Device) -> float:
    """Return the bytes a parameter that an optimiser's state takes."""
    chosen = ("paged_adamw_8bit" if device == "cuda" else "adamw_torch") if name == "auto" else name
    return next((size for part, size in _STATES if part in chosen), 8.0)


def tuning_parts(shape: Shape, config: QLoraConfig, load: Load, device: Device, *, extra: int = 0) -> tuple[Part, ...]:
    """Return the parts of the memory of a tuning step.

    Args:
        shape: Shape of the base.
        config: Settings of the run.
        load: What a device works on at once.
        device: Where it runs.
        extra: Further trainable parameters, such as those of a head.
    """
    width = _WIDTHS[config.dtype or ("bfloat16" if device == "cuda" else "float32")]
    trained = shape.adapter(config.r, config.target_modules) + extra
    state = optimizer_bytes(config.optimizer, device)
    paged = " (paged: may move to main memory)" if "paged" in config.optimizer else ""
    parts = base_parts(shape, config.quantize, width)
    if width < 4:
        parts.append(Part("adapters as autocast keeps them for a pass", trained * width))
    parts += [
        Part("adapters in 32 bit", trained * 4),
        Part("their gradients", trained * 4),
        Part(f"optimiser state{paged}", int(trained * state)),
    ]
    layer, mask = _layer(shape, config, load, width, device), _mask(shape, config, load, width)
    rows = load.sequences * load.tokens
    work = rows * _flowing(shape) * width
    weight = 0
    if config.quantize is not None:
        weight = max(inputs * outputs for inputs, outputs in shape.linears.values()) * width
    loss = _loss(shape, load, width, device)
    if config.gradient_checkpointing:
        kept = shape.layers * rows * shape.hidden * width
        passing = [Part("one layer computed again", layer), Part("its attention mask and scores", mask)]
        kept_parts = [Part("inputs of the layers", kept)]
    else:
        kept_parts = [Part("activations", shape.layers * layer)]
        kept_parts += [Part("attention masks and scores", shape.layers * mask)]
        passing = []
    passing += [Part("gradients on their way", work), Part("a weight out of NF4", weight)]
    first = loss > sum(part.bytes for part in passing)
    parts += [*kept_parts, Part("last norm", rows * shape.hidden * (4 + width))]
    parts += [Part("logits and loss", loss, at_peak=first)]
    parts += [Part(part.name, part.bytes, at_peak=not first) for part in passing if part.bytes]
    return (*parts, Part("libraries", _CUBLAS if device == "cuda" else _RUNTIME))


def pretraining_parts(shape: Shape, load: Load, width: int, device: Device) -> tuple[Part, ...]:
    """Return the parts of the memory of a step that trains every weight in float32."""
    rows, n = load.sequences * load.tokens, shape.parameters
    inner = shape.linears["q_proj"][1]
    layer = rows * (width * (6 * shape.hidden + 4 * inner + 4 * shape.intermediate) + 8 * shape.hidden)
    return (
        Part("weights", n * 4),
        Part("gradients", n * 4),
        Part("optimiser state", n * 8),
        Part("activations", shape.layers * layer),
        Part("logits and loss", rows * shape.vocabulary * 4 * 3),
        Part("libraries", _CUBLAS if device == "cuda" else _RUNTIME),
    )


def total(parts: tuple[Part, ...]) -> int:
    """Return the bytes at the peak."""
    return sum(part.bytes for part in parts if part.at_peak)


def _layer(shape: Shape, config: QLoraConfig, load: Load, width: int, device: Device) -> int:
    """Bytes that a layer keeps for its backward pass, masks not counted."""
    on = shape.targets(config.target_modules)
    queries, keys = shape.linears["q_proj"][1], shape.linears["k_proj"][1]
    repeated = queries if _masked(config, load) or config.attention == "eager" else keys  # SDPA repeats under a mask
    values = 2 * queries + 2 * repeated + 3 * shape.intermediate
    if config.dropout:
        noise = 2 if device == "cpu" else 1 + 1 / width  # what was dropped: as numbers, or as truth values
        values += int(noise * sum(inputs for inputs, _ in on.values()))
    else:
        values += shape.hidden * bool(on.keys() & {"q_proj", "k_proj", "v_proj"})
        values += shape.hidden * bool(on.keys() & {"gate_proj", "up_proj"})
        values += shape.intermediate * ("down_proj" in on)
    values += config.r * len(on)
    norms = 2 * shape.hidden * 4  # a norm keeps its input in float32
    return load.sequences * load.tokens * (values * width + norms + 4 * shape.heads)


def _masked(config: QLoraConfig, load: Load) -> bool:
    return load.records and config.packing and config.attention != "flash_attention_2"


def _mask(shape: Shape, config: QLoraConfig, load: Load, width: int) -> int:
    """Bytes that a layer keeps for the squares of attention: a mask made of numbers, and scores where they are made."""
    square = load.sequences * load.tokens**2
    if config.attention == "eager":
        return square * shape.heads * (4 + (width if width < 4 else 0))  # the softmax is in float32
    return square * width if _masked(config, load) else 0


def _flowing(shape: Shape) -> int:
    """Numbers a token that the backward pass of a layer has in hand at once."""
    return 2 * shape.hidden + 2 * shape.intermediate


def _loss(shape: Shape, load: Load, width: int, device: Device) -> int:
    """Bytes of logits and loss at once: with gradient on a CPU, in tiles on CUDA."""
    labelled = max(1, int(load.sequences * load.tokens * load.labelled))
    if device == "cpu":  # log-probabilities, their gradient and that of the logits; logits of half width beside them
        return labelled * (shape.vocabulary * (12 + (width if width < 4 else 0)) + 2 * shape.hidden * 4)
    tile = min(labelled, _TILE_TOKENS) * _TILE_WIDTH * width
    return tile + labelled * shape.hidden * (4 + 2 * width)
