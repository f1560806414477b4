"""Contrastive tuning of the static encoder: a question near its answer, far from the other answers of the batch.

Source of the loss: van den Oord, Li and Vinyals, "Representation Learning with Contrastive Predictive Coding" (2018),
with the other pairs of a batch as negatives, in both directions.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from radrag.errors import ModelError, require
from radrag.training._files import package_versions, replaced_folder, texts_sha256, write_json
from radrag.training._pairs import WORDS, shipping_pairs

if TYPE_CHECKING:
    from model2vec import StaticModel
    from torch import Tensor

__all__ = ["shipping_pairs", "tune_encoder"]

_log = logging.getLogger(__name__)
_CARD = """---
license: apache-2.0
library_name: model2vec
---

# radrag static encoder, tuned

Token vectors for retrieval: {tokens:,} tokens, {dims} dimensions, stored as int8 ({megabytes:.1f} MB). A text is the
mean of its tokens' vectors, scaled to unit length. It needs no torch.

- **Made by** `radrag.training.tune_encoder({call})` with torch {torch}, from {pairs:,} pairs of texts (sha256
  `{pairs_sha256}`): symmetric InfoNCE with the other pairs of a batch as negatives. {keep:.0%} of each vector is the
  original one.
- **Started from**: {source}.
- **Texts, if the pairs are those of `shipping_pairs`**: MedQuAD (Ben Abacha and Demner-Fushman, 2019; CC BY 4.0),
  questions and the first {words} words of their answers; abstracts of the Evidence Inference corpus (Lehman et al.,
  2019; DeYoung et al., 2020) whose own licence is CC BY or CC0; the protocols and digests that ship with radrag. No
  text is stored here.
- **Licence**: Apache-2.0, as the encoder it started from. The sources above ask for attribution, which this card gives.
- **Limits**: word order and negation are not seen ("no effusion" is close to "effusion"); English; few of the texts
  concern imaging. To be combined with BM25, not used alone. For software demonstration; not for clinical use.
"""


def tune_encoder(
    pairs: Sequence[tuple[str, str]], source: str | Path, out: str | Path, *, epochs: int = 4, batch: int = 512,
    lr: float = 2e-3, scale: float = 20.0, keep: float = 0.0, seed: int = 0,
) -> Path:  # fmt: skip
    """Tune the token vectors of a static encoder on pairs of texts.

    Args:
        pairs: Texts that belong together, such as a question and its answer.
        source: A model2vec folder.
        out: Folder to write, replaced as a whole.
        epochs: Times to see every pair.
        batch: Pairs a step; each is told from all the others.
        lr: Learning rate of Adam, for vectors of unit length in the root mean square.
        scale: Factor of the cosines before the softmax.
        keep: Share of the original vectors in those written, 0 to 1; more keeps general text as it was.
        seed: Seed of the order.

    Returns:
        The folder written.

    Raises:
        ModelError: If the source is no model2vec folder.
    """
    if epochs < 1 or batch < 2 or len(pairs) < batch or not 0 <= keep <= 1:
        raise ValueError(f"need epochs >= 1, 2 <= batch <= {len(pairs)} pairs and keep of 0 to 1")
    if not (Path(source) / "model.safetensors").is_file():
        raise ModelError(f"no static encoder in {source}; expected a model2vec folder with model.safetensors")
    require("torch", extra="train")
    from model2vec import StaticModel
    from model2vec.quantization import DType, quantize_embeddings

    model = StaticModel.from_pretrained(str(source))
    original = _vectors(model)
    ids = [[np.asarray(row, dtype=np.int64) for row in model.tokenize(list(side))] for side in zip(*pairs, strict=True)]
    if not all(len(row) for side in ids for row in side):
        raise ValueError("a pair holds a text without a known token; leave it out")
    settings = {"epochs": epochs, "batch": batch, "lr": lr, "scale": scale, "keep": keep, "seed": seed}
    tuned = _train(original, ids, epochs, batch, lr, scale, seed)
    mixed = (1 - keep) * tuned + keep * original
    model.embedding, model.weights, model.token_mapping = quantize_embeddings(mixed, DType.Int8), None, None
    model.config["embedding_dtype"] = "int8"
    facts: dict[str, Any] = {"pairs": len(pairs), "pairs_sha256": texts_sha256(chain(*pairs)), "source": _name(source)}
    versions = package_versions("model2vec", "torch")
    with replaced_folder(Path(out)) as staging:
        model.save_pretrained(staging)
        (staging / "modules.json").unlink(missing_ok=True)  # names a module folder that model2vec does not write
        call = ", ".join(f"{name}={value!r}" for name, value in settings.items())
        size = {"tokens": len(mixed), "dims": mixed.shape[1], "megabytes": mixed.size / 1e6, "words": WORDS}
        card = _CARD.format(call=call, keep=keep, torch=versions["torch"], **size, **facts)
        (staging / "README.md").write_text(card, encoding="utf-8")
        write_json(staging / "radrag.json", {"kind": "static-encoder", **facts, **settings, "versions": versions})
    return Path(out)


def _train(
    start: NDArray[np.float32], ids: list[list[NDArray[np.int64]]], epochs: int, batch: int, lr: float, scale: float,
    seed: int,
) -> NDArray[np.float32]:  # fmt: skip
    import torch
    from torch.nn import functional

    bag = torch.nn.EmbeddingBag.from_pretrained(torch.from_numpy(start.copy()), freeze=False, mode="mean")
    optimizer = torch.optim.Adam(bag.parameters(), lr=lr)
    draw = np.random.default_rng(seed)

    def encoded(rows: list[NDArray[np.int64]]) -> Tensor:
        offsets = np.cumsum([0, *(len(row) for row in rows[:-1])])
        return functional.normalize(bag(torch.from_numpy(np.concatenate(rows)), torch.from_numpy(offsets)), dim=1)

    for epoch in range(epochs):
        order, losses = draw.permutation(len(ids[0])), []
        for first in range(0, len(order) - batch + 1, batch):  # a last, smaller batch would be an easier task
            left, right = (encoded([side[row] for row in order[first : first + batch]]) for side in ids)
            cosines, target = scale * left @ right.T, torch.arange(batch)
            loss = (functional.cross_entropy(cosines, target) + functional.cross_entropy(cosines.T, target)) / 2
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        _log.info("epoch %d of %d: loss %.3f", epoch + 1, epochs, float(np.mean(losses)))
    return np.asarray(bag.weight.detach().numpy(), dtype=np.float32)


def _vectors(model: StaticModel) -> NDArray[np.float32]:
    vectors = model.embedding if model.token_mapping is None else model.embedding[model.token_mapping]
    vectors = vectors.astype(np.float32)
    if model.weights is not None:
        vectors = vectors * model.weights[:, None].astype(np.float32)
    return np.asarray(vectors / np.sqrt(np.square(vectors).sum(axis=1).mean()), dtype=np.float32)


def _name(source: str | Path) -> str:
    return f"`{Path(source).name}` (model.safetensors sha256 `{_sha256(Path(source) / 'model.safetensors')}`)"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
