"""Static encoder: one vector a token, distilled from a sentence encoder, stored as int8.

Method: model2vec (Tulkens and van Dongen, 2024): encode every token of the vocabulary alone, PCA, SIF-like weights.
The result loads with ``model2vec.StaticModel.from_pretrained``, offline and without torch.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from radrag.errors import ModelError, require
from radrag.indexes.minilm import WEIGHTS_SHA256, minilm_folder
from radrag.training._files import package_versions, replaced_folder, write_json

if TYPE_CHECKING:
    from model2vec import StaticModel

_CARD = """---
license: apache-2.0
library_name: model2vec
---

# radrag static encoder

Token vectors for retrieval: {tokens:,} tokens, {dims} dimensions, stored as int8 ({megabytes:.1f} MB). A text is the
mean of its tokens' vectors, scaled to unit length. It needs no torch.

- **Made by** `radrag.training.distil_encoder(source={source!r}, dims={dims})` with model2vec {model2vec}: every
  token of the vocabulary encoded alone by the teacher, PCA to {dims} dimensions, weights by token rank (SIF coefficient
  {sif:g}), one scale for all of int8. No text was trained on.
- **Teacher**: {teacher}.
- **Licence**: Apache-2.0, as the teacher. This is a derived work: the vectors are computed from the teacher's weights
  and the vocabulary is the teacher's.
- **Limits**: word order and negation are not seen ("no effusion" is close to "effusion"); English; general domain.
  Made to be combined with BM25, not to be used alone. For software demonstration; not for clinical use.
"""


def distil_encoder(
    source: str | Path = "minilm", out: str | Path = "runs/encoder", *, dims: int = 256, sif: float = 1e-4
) -> Path:
    """Distil a sentence encoder into int8 token vectors.

    Args:
        source: ``"minilm"`` for all-MiniLM-L6-v2 (verified, no download), or the folder of a sentence encoder.
        out: Folder to write, replaced as a whole.
        dims: Length of a vector, at most the teacher's.
        sif: Weight of frequent tokens, between 0 and 1; smaller holds them down more.

    Returns:
        The folder written.

    Raises:
        ModelError: If the source is no model folder.
    """
    if dims < 1:
        raise ValueError(f"dims must be at least 1, got {dims}")
    folder = minilm_folder() if source == "minilm" else Path(source)
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"{folder} is not the folder of a sentence encoder (no config.json). Use 'minilm' or a folder."
        )
    require("torch", extra="llama")
    # By itself: model2vec's extra for it holds transformers below 5.4.
    require("skeletoken", extra="train")
    distill = require("model2vec.distill", extra="train").distill
    model2vec_log = logging.getLogger("model2vec")
    level = model2vec_log.level
    model2vec_log.setLevel(logging.ERROR)  # a config without max_length is reported as if it were a conflict
    try:
        model = distill(str(folder), pca_dims=dims, sif_coefficient=sif, quantize_to="int8", device="cpu")
    finally:
        model2vec_log.setLevel(level)
    # The teacher's path on the machine that distilled it says nothing elsewhere.
    model.config["tokenizer_name"] = _teacher_name(source)
    with replaced_folder(Path(out)) as staging:
        model.save_pretrained(staging)
        (staging / "modules.json").unlink(missing_ok=True)  # names a module folder that model2vec does not write
        (staging / "README.md").write_text(_card(model, source, dims, sif), encoding="utf-8")
        write_json(
            staging / "radrag.json",
            {
                "kind": "static-encoder",
                "source": _teacher_name(source),
                "teacher_sha256": WEIGHTS_SHA256 if source == "minilm" else None,
                "dims": dims,
                "sif": sif,
                "versions": package_versions("model2vec", "torch", "transformers"),
            },
        )
    return Path(out)


def _teacher_name(source: str | Path) -> str:
    return "sentence-transformers/all-MiniLM-L6-v2" if source == "minilm" else Path(source).name


def _card(model: StaticModel, source: str | Path, dims: int, sif: float) -> str:
    teacher = f"`{_teacher_name(source)}`"
    if source == "minilm":
        teacher += f" (Apache-2.0), weights sha256 `{WEIGHTS_SHA256}`"
    return _CARD.format(
        tokens=len(model.tokens),
        dims=dims,
        megabytes=model.embedding.nbytes / 1e6,
        source=str(source),
        model2vec=package_versions("model2vec")["model2vec"],
        teacher=teacher,
        sif=sif,
    )
