from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from radrag.indexes.encoders import STATIC, StaticEncoder

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

WORDS = ("liver", "kidney", "spine", "sinus", "stroke", "asthma", "fracture", "pregnancy")
FAR = ("violin", "tractor", "harbour", "carpet", "lantern", "pepper", "glacier", "saddle")
PAIRS = [(f"{near} case {i}", f"{far} item {i}") for i in range(4) for near, far in zip(WORDS, FAR, strict=True)]


def gap(folder: Path) -> float:
    """Mean cosine of the pairs that belong together, less that of those that do not."""
    encoder = StaticEncoder(folder)
    table = encoder.encode(list(WORDS), "query") @ encoder.encode(list(FAR), "passage").T
    own = np.eye(len(WORDS), dtype=bool)
    return float(table[own].mean() - table[~own].mean())


def test_tuning_brings_pairs_together_and_repeats_itself(tmp_path: Path) -> None:
    from radrag.training.contrastive import tune_encoder

    for name in ("a", "b"):
        tune_encoder(PAIRS, STATIC, tmp_path / name, epochs=20, batch=8, lr=2e-2, seed=3)
    assert gap(tmp_path / "a") > gap(STATIC) + 0.2
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("a", "b")]
    assert weights[0] == weights[1]
    assert (tmp_path / "a" / "README.md").is_file()


def test_too_few_pairs_are_refused(tmp_path: Path) -> None:
    from radrag.training.contrastive import tune_encoder

    with pytest.raises(ValueError, match="pairs"):
        tune_encoder(PAIRS[:3], STATIC, tmp_path / "out", batch=8)
    assert not (tmp_path / "out").exists()
