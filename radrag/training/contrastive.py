"""Tuning of the static encoder: first it imitates a teacher on short texts, then questions come near their answers.

Source of the second loss: van den Oord, Li and Vinyals, "Representation Learning with Contrastive Predictive Coding"
(2018), in both directions, with the other pairs of a batch and one BM25 neighbour a pair as negatives (Karpukhin et
al., "Dense Passage Retrieval", EMNLP 2020).
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
from radrag.protocols import Encoder
from radrag.training._files import package_versions, replaced_folder, texts_sha256, write_json
from radrag.training._pairs import WORDS, Pair, fitting_batch, read_pairs, shipping_pairs, shipping_texts

if TYPE_CHECKING:
    from model2vec import StaticModel

__all__ = ["Pair", "read_pairs", "shipping_pairs", "shipping_texts", "tune_encoder"]

_log = logging.getLogger(__name__)
_IMITATION = {"epochs": 6, "batch": 512, "lr": 2e-3}
_CARD = """---
license: apache-2.0
library_name: model2vec
---

# radrag static encoder, tuned

Token vectors for retrieval: {tokens:,} tokens, {dims} dimensions, stored as int8 ({megabytes:.1f} MB). A text is the
mean of its tokens' vectors, scaled to unit length. It needs no torch.

- **Made by** `radrag.training.tune_encoder({call})` with torch {torch}.
- **Started from**: {source}.
- **First step**: {imitated}.
- **Second step**: {pairs:,} pairs of texts (sha256 `{pairs_sha256}`), symmetric InfoNCE with the other pairs of a batch
  and BM25 neighbours as negatives. {keep:.0%} of each vector is that before this step.
- **Texts, if they are those of `shipping_pairs` and `shipping_texts`**: MedQuAD (Ben Abacha and Demner-Fushman, 2019;
  CC BY 4.0), questions and the first {words} words of their answers; abstracts of the Evidence Inference corpus (Lehman
  et al., 2019; DeYoung et al., 2020) whose own licence is CC BY or CC0; the protocols and digests that ship with
  radrag. No text is stored here.
- **Licence**: Apache-2.0, as the encoder it started from. The sources above ask for attribution, which this card gives.
- **Limits**: word order and negation are not seen ("no effusion" is close to "effusion"); English; few of the texts
  concern imaging. To be combined with BM25, not used alone. For software demonstration; not for clinical use.
"""


def tune_encoder(
    pairs: Sequence[Pair], source: str | Path, out: str | Path, *, teacher: Encoder | None = None,
    texts: Sequence[str] = (), epochs: int = 3, batch: int = 256, lr: float = 1e-3, scale: float = 20.0,
    keep: float = 0.0, seed: int = 0,
) -> Path:  # fmt: skip
    """Tune the token vectors of a static encoder on pairs of texts.

    Args:
        pairs: Texts that belong together, such as a question and its answer. A pair that names no negative gets some
            by BM25, from the passages of the other pairs.
        source: A model2vec folder.
        out: Folder to write, replaced as a whole.
        teacher: A slower encoder to imitate first, of at least as many dimensions.
        texts: Short texts on which to imitate it.
        epochs: Times to see every pair.
        batch: Pairs a step, all if there are fewer; each is told from all the others.
        lr: Learning rate of Adam at the start, for vectors of unit length in the root mean square.
        scale: Factor of the cosines before the softmax.
        keep: Share of the vectors before the pairs in those written, 0 to 1; more keeps general text as it was.
        seed: Seed of every draw.

    Returns:
        The folder written.

    Raises:
        ModelError: If the source is no model2vec folder.
    """
    if not 0 <= keep <= 1:
        raise ValueError(f"keep must be between 0 and 1, got {keep}")
    batch = fitting_batch(batch, len(pairs), epochs)
    if (teacher is None) != (not texts):
        raise ValueError("teacher and texts go together; give both or neither")
    if not (Path(source) / "model.safetensors").is_file():
        raise ModelError(f"no static encoder in {source}; expected a model2vec folder with model.safetensors")
    require("torch", extra="train")
    from model2vec import StaticModel

    from radrag.training._bags import Steps, imitate

    model = StaticModel.from_pretrained(str(source))
    vectors, imitated = _vectors(model), "left out"
    begun = _bytes(vectors)
    if teacher is not None:
        bags, known = _known(model, texts)
        taught = teacher.encode([texts[row] for row in known], "passage")
        sizes = {**_IMITATION, "batch": min(512, len(known))}
        vectors = imitate(vectors, bags, taught, Steps(**sizes, seed=seed))  # type: ignore[arg-type]  # a mixed dict
        imitated = f"imitates the vectors of {teacher.fingerprint} on {len(known):,} short texts, {_IMITATION}"
    settings = {"epochs": epochs, "batch": batch, "lr": lr, "scale": scale, "keep": keep, "seed": seed}
    tuned = _contrasted(model, vectors, pairs, scale, Steps(epochs, batch, lr, seed))
    facts: dict[str, Any] = {
        "pairs": len(pairs),
        "pairs_sha256": texts_sha256(chain.from_iterable((pair.query, pair.passage) for pair in pairs)),
        "source": _name(source),
        "imitated": imitated,
    }
    made = _bytes((1 - keep) * tuned + keep * vectors)
    facts["tokens"], facts["changed"] = len(made), int((made != begun).any(axis=1).sum())
    if not facts["changed"]:
        _log.warning(
            "training changed none of the token vectors as they are saved, in 8 bits: %s is what it started from; give "
            "more pairs, more epochs or a higher lr", out,
        )  # fmt: skip
    _write(model, made, Path(out), settings, facts)
    return Path(out)


def _contrasted(
    model: StaticModel, vectors: NDArray[np.float32], pairs: Sequence[Pair], scale: float, steps: Any
) -> NDArray[np.float32]:
    from radrag.training._bags import contrast
    from radrag.training._negatives import hard_negatives

    queries, passages = [pair.query for pair in pairs], [pair.passage for pair in pairs]
    given = [pair.negative for pair in pairs if pair.negative]
    left, right = _all_known(model, queries), _all_known(model, [*passages, *given])
    mined = hard_negatives(queries, passages)
    at = len(pairs)
    for row, pair in enumerate(pairs):
        if pair.negative:
            mined[row], at = np.asarray([at]), at + 1
    same = (_numbers(queries), _numbers(passages))
    return contrast(vectors, left, right, same, mined, scale, steps)


def _write(
    model: StaticModel, vectors: NDArray[np.int8], out: Path, settings: dict[str, Any], facts: dict[str, Any]
) -> None:
    model.embedding, model.weights, model.token_mapping = vectors, None, None
    model.config["embedding_dtype"] = "int8"
    versions = package_versions("model2vec", "torch")
    with replaced_folder(out) as staging:
        model.save_pretrained(staging)
        (staging / "modules.json").unlink(missing_ok=True)  # names a module folder that model2vec does not write
        call = ", ".join(f"{name}={value!r}" for name, value in settings.items())
        size = {"dims": vectors.shape[1], "megabytes": vectors.size / 1e6, "words": WORDS}
        card = _CARD.format(call=call, keep=settings["keep"], torch=versions["torch"], **size, **facts)
        (staging / "README.md").write_text(card, encoding="utf-8")
        write_json(staging / "radrag.json", {"kind": "static-encoder", **facts, **settings, "versions": versions})


def _bytes(vectors: NDArray[np.float32]) -> NDArray[np.int8]:
    """Return vectors as they are saved; a change of less than half a step of 8 bits is lost."""
    from model2vec.quantization import DType, quantize_embeddings

    return np.asarray(quantize_embeddings(vectors, DType.Int8))


def _known(model: StaticModel, texts: Sequence[str]) -> tuple[list[NDArray[np.int64]], list[int]]:
    """Return the token ids of the texts that have any, and which texts those are."""
    rows = [np.asarray(row, dtype=np.int64) for row in model.tokenize(list(texts))]
    known = [number for number, row in enumerate(rows) if len(row)]
    return [rows[number] for number in known], known


def _all_known(model: StaticModel, texts: Sequence[str]) -> list[NDArray[np.int64]]:
    bags, known = _known(model, texts)
    if len(known) < len(texts):
        missing = texts[min(set(range(len(texts))) - set(known))]
        raise ValueError(f"a pair holds a text without a known token, {missing[:60]!r}; leave it out")
    return bags


def _numbers(texts: Sequence[str]) -> NDArray[np.int64]:
    order = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    return np.asarray([order[text] for text in texts])


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
