"""Encoders with two towers: one model for questions, another for passages, such as MedCPT."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radrag.errors import ModelError, require
from radrag.indexes.vectors import folder_hash, unit_vectors
from radrag.protocols import Kind

MEDCPT = ("ncbi/MedCPT-Query-Encoder", "ncbi/MedCPT-Article-Encoder")


def _first(states: Any, mask: Any) -> Any:
    del mask
    return states[:, 0]


def _mean(states: Any, mask: Any) -> Any:
    shares = mask.unsqueeze(-1).to(states.dtype)
    return (states * shares).sum(dim=1) / shares.sum(dim=1).clamp(min=1)


_POOLING: dict[str, Callable[[Any, Any], Any]] = {"cls": _first, "mean": _mean}


class TwoTowerEncoder:
    """Two transformers models; a query goes through one, a passage through the other.

    MedCPT (Jin et al., "MedCPT", Bioinformatics 2023) was trained with inner products. Vectors are scaled to unit
    length here, so that an index compares them by cosine, as all others; lengths are lost.

    Args:
        query_model: Hub name or folder of the model for questions.
        passage_model: The same for passages. The first line of a passage, its title, and the rest go in as a pair.
        pooling: ``"cls"`` (first token's state) or ``"mean"``.
        max_length: Most tokens of a query and of a passage; what is longer is cut.
        device: ``"cpu"``, ``"cuda"``, ...; the GPU if there is one.
        batch_size: Texts a step.
        local_files_only: Never ask a hub.

    Raises:
        ModelError: If a model cannot be loaded, or the two give vectors of different lengths.
        MissingExtraError: If transformers or torch is not installed.
    """

    def __init__(
        self, query_model: str | Path, passage_model: str | Path, *, pooling: str = "cls",
        max_length: tuple[int, int] = (64, 512), device: str | None = None, batch_size: int = 32,
        local_files_only: bool = False,
    ) -> None:  # fmt: skip
        if pooling not in _POOLING:
            raise ValueError(f"pooling must be one of {sorted(_POOLING)}, got {pooling!r}")
        if min(max_length) < 3 or batch_size < 1:
            raise ValueError(f"max_length must be at least 3 and batch_size 1, got {max_length} and {batch_size}")
        torch = require("torch", extra="llama")
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._pooling, self._lengths, self._batch_size = pooling, max_length, batch_size
        self._names = {"query": str(query_model), "passage": str(passage_model)}
        self._towers = {kind: self._load(name, local_files_only) for kind, name in self._names.items()}
        dims = {kind: model.config.hidden_size for kind, (_, model) in self._towers.items()}
        if dims["query"] != dims["passage"]:
            raise ModelError(f"the towers give vectors of different lengths, {dims}; name two models of one training")

    @cached_property
    def fingerprint(self) -> str:
        """Hashes or revisions of both models, pooling and lengths."""
        parts = "+".join(self._part(kind) for kind in self._names)
        return f"towers:{parts}:{self._pooling}:{self._lengths[0]}:{self._lengths[1]}"

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self._towers["query"][1].config.hidden_size)

    def encode(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        """Return unit vectors ``[n, dim]``."""
        import torch

        tokenizer, model = self._towers[kind]
        made = np.zeros((len(texts), self.dim), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))  # equal lengths need little padding
        for start in range(0, len(order), self._batch_size):
            rows = order[start : start + self._batch_size]
            inputs = self._inputs(tokenizer, [texts[row] for row in rows], kind).to(self._device)
            with torch.inference_mode():
                states = model(**inputs).last_hidden_state
            made[rows] = _POOLING[self._pooling](states, inputs["attention_mask"]).float().cpu().numpy()
        return unit_vectors(made)

    def _inputs(self, tokenizer: Any, texts: list[str], kind: Kind) -> Any:
        settings: dict[str, Any] = {"truncation": True, "padding": True, "return_tensors": "pt"}
        if kind == "query":
            return tokenizer(texts, max_length=self._lengths[0], **settings)
        split = [text.partition("\n") for text in texts]
        pairs = [[title, rest] if rest else ["", title] for title, _, rest in split]
        return tokenizer(pairs, max_length=self._lengths[1], **settings)

    def _load(self, name: str, local: bool) -> tuple[Any, Any]:
        library = require("transformers", extra="llama")
        try:
            tokenizer = library.AutoTokenizer.from_pretrained(name, local_files_only=local)
            model = library.AutoModel.from_pretrained(name, local_files_only=local)
        except (OSError, ValueError) as error:
            raise ModelError(
                f"transformers cannot load {name!r}: {error}. Give a folder that holds a model and its tokenizer, or a "
                "hub name that this machine can reach"
            ) from error
        return tokenizer, model.to(self._device).eval()

    def _part(self, kind: str) -> str:
        name = self._names[kind]
        if Path(name).is_dir():
            return folder_hash(Path(name))
        return f"{name}@{getattr(self._towers[kind][1].config, '_commit_hash', None)}"
