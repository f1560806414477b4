"""A classification head on a Llama: texts to token windows, windows to logits, and loading what was tuned."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from radrag.errors import ModelError, require
from radrag.generation import _loading

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Kind = Literal["binary", "multilabel", "single"]
Long = Literal["refuse", "window"]


@dataclass(frozen=True, slots=True)
class Head:
    """What a head tells apart, and from how much text.

    Attributes:
        kind: What a target is.
        labels: Names of the outcomes.
        max_length: Most tokens of a window, the first of the sequence included.
        long: What is done with longer texts.
    """

    kind: Kind
    labels: tuple[str, ...]
    max_length: int
    long: Long = "refuse"

    def settings(self, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        """Return what ``AutoModelForSequenceClassification.from_pretrained`` is to be told."""
        return {"num_labels": len(self.labels), "pad_token_id": pad_id(tokenizer)}

    def check(self, model: PreTrainedModel) -> None:
        """Raise if the model has fewer positions than a window may have tokens."""
        positions = getattr(model.config, "max_position_embeddings", None)
        if positions is not None and self.max_length > positions:
            raise ValueError(
                f"max_length must be at most {positions}, the positions of the base, got {self.max_length}"
            )

    def probabilities(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the softmax of each row for ``"single"``, the sigmoid of each cell for the others; [n, m]."""
        if self.kind == "single":
            powers = np.exp(logits - logits.max(axis=1, keepdims=True))
            shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
            return shares
        half: NDArray[np.float64] = 0.5 * (1 + np.tanh(logits / 2))  # the sigmoid, without an overflow
        return half


class LlamaClassifier:
    """A base model with an adapter and a head from ``train_classifier``.

    Args:
        base: Folder, shipped name or hub name of the base that the adapter was made for.
        adapter: Folder of the adapter.
        quantize: ``"nf4"`` loads the base in 4 bits with double quantisation, None as it is.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"auto"``; None takes cuda if there is one.
        dtype: Name of the dtype to compute in; None takes float32 on a CPU and bfloat16 elsewhere.
        batch_size: Windows run at once.
        revision: Revision of the base on the hub.
        local_files_only: Whether to stay off the network.

    Raises:
        ModelError: If the folder holds no classifier, or it was made for another base.
    """

    def __init__(
        self,
        base: str | Path,
        adapter: str | Path,
        *,
        quantize: Literal["nf4"] | None = None,
        device: str | None = None,
        dtype: str | None = None,
        batch_size: int = 8,
        revision: str | None = None,
        local_files_only: bool = False,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        source = _loading.Source(str(base), revision, local_files_only)
        made = _loading.Source(str(adapter), None, local_files_only)
        self.head = _read(made)
        self.batch_size = batch_size
        self._tokenizer = load_tokenizer(source)
        settings = self.head.settings(self._tokenizer)
        with _expected_head():
            model = _loading.load_model(source, quantize, device, dtype, head=settings)
        self._model = _loading.load_adapter(model, made, source).eval()

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the outcomes, in the order of the columns."""
        return self.head.labels

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the probability of each outcome; the batch a text is in does not change it beyond rounding.

        Args:
            texts: The texts. One that is too long is refused, or read in windows if the classifier was trained so: its
                logit of a label is then the highest of its windows.

        Returns:
            ``[len(texts), len(labels)]``. They are not calibrated. The rows of ``"single"`` sum to 1.

        Raises:
            ValueError: If a text is too long.
        """
        return self.head.probabilities(logits(self._model, self._tokenizer, texts, self.head, self.batch_size))


def load_tokenizer(source: _loading.Source) -> PreTrainedTokenizerBase:
    """Load a tokenizer; a head needs no chat template."""
    with _loading._load_errors("tokenizer", source):
        return require("transformers", extra="llama").AutoTokenizer.from_pretrained(source.path, **source.options)


def pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the id to pad with: the head reads the last token that is another."""
    for found in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if found is not None:
            return int(found)
    raise ModelError("The tokenizer names no padding and no end token: set pad_token in tokenizer_config.json.")


def encode(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int, long: Long
) -> tuple[list[list[int]], list[int]]:
    """Turn texts into windows of tokens, each after the first token of a sequence if the tokenizer has one.

    A control token written in a text is split into its letters, so that it cannot pass for padding.

    Returns:
        The windows, and the position of the text that each is of.

    Raises:
        ValueError: If a text holds no token, or is too long and ``long`` is ``"refuse"``.
    """
    if long not in ("refuse", "window"):
        raise ValueError(f"long must be 'refuse' or 'window', got {long!r}")
    if not texts:
        return [], []
    opening = [] if tokenizer.bos_token_id is None else [int(tokenizer.bos_token_id)]
    size = max_length - len(opening)
    encoded = tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True)["input_ids"]
    longest = max(map(len, encoded)) + len(opening)
    if any(not ids for ids in encoded):
        empty = next(position for position, ids in enumerate(encoded) if not ids)
        raise ValueError(f"text {empty} holds no token; leave it out")
    if longest > max_length and long == "refuse":
        over = sum(len(ids) > size for ids in encoded)
        raise ValueError(
            f"{over} of {len(texts)} texts are longer than max_length {max_length} (the longest has {longest} tokens), "
            f"and nothing is cut silently. Train with max_length {longest}, or with long='window'."
        )
    step = max(1, size - size // 4)
    windows, owners = [], []
    for position, ids in enumerate(encoded):
        for start in range(0, max(1, len(ids) - size + step), step):
            windows.append([*opening, *ids[start : start + size]])
            owners.append(position)
    return windows, owners


def padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[list[list[int]], list[list[int]]]:
    """Fill rows at the right to one length; return ids and mask."""
    width = max(map(len, rows))
    ids = [[*row, *[pad] * (width - len(row))] for row in rows]
    return ids, [[1] * len(row) + [0] * (width - len(row)) for row in rows]


def logits(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], head: Head, batch_size: int
) -> NDArray[np.float64]:
    """Return the logit of each label [n, m], the highest of a text's windows."""
    torch = require("torch", extra="llama")
    rows, owners = encode(tokenizer, texts, head.max_length, head.long)
    highest = np.full((len(texts), len(head.labels)), -np.inf)
    order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
    device, dtype = model.device, model.dtype
    model.eval()
    # The head is kept in float32, so a base in half precision needs the casts of autocast, as in training.
    with torch.inference_mode(), torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            ids, mask = padded([rows[row] for row in batch], pad_id(tokenizer))
            inputs = {
                "input_ids": torch.tensor(ids, device=device),
                "attention_mask": torch.tensor(mask, device=device),
            }
            found = model(**inputs).logits.float().cpu().numpy().astype(np.float64)
            np.maximum.at(highest, [owners[row] for row in batch], found)
    return highest


@contextmanager
def _expected_head() -> Iterator[None]:
    """Silence transformers' report that the base has no head: the adapter brings it."""
    log = logging.getLogger("transformers.modeling_utils")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _read(adapter: _loading.Source) -> Head:
    file = adapter.folder / "radrag.json"
    record = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if record.get("kind") != "classifier":
        raise ModelError(
            f"{adapter.name} holds no classifier (its kind is {record.get('kind')!r}): see train_classifier."
        )
    head = record["head"]
    return Head(head["kind"], tuple(head["labels"]), int(head["max_length"]), head["long"])
