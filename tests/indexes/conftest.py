"""A small encoder without a model, and documents to index."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from radrag.types import Document


class ToyEncoder:
    """Words hashed to fixed random directions and summed; equal texts have equal vectors."""

    def __init__(self, dim: int = 16, fail_at: int | None = None, name: str = "toy") -> None:
        self.dim, self.fingerprint = dim, f"{name}:{dim}"
        self.calls, self._fail_at = 0, fail_at

    def encode(self, texts: Sequence[str], kind: str) -> NDArray[np.float32]:
        if kind == "passage":
            self.calls += 1
            if self.calls == self._fail_at:
                raise RuntimeError("the encoder stopped")
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4])
                vectors[row] += np.random.default_rng(seed).normal(size=self.dim).astype(np.float32)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)


WORDS = "chest nodule contrast liver mass fracture renal stone brain infarct spine lesion biopsy".split()


@pytest.fixture
def toy() -> Callable[..., ToyEncoder]:
    """Makes toy encoders."""
    return ToyEncoder


@pytest.fixture
def reports() -> list[Document]:
    """Forty short reports of random words, every fifth retracted."""
    rng = np.random.default_rng(7)
    made = []
    for number in range(40):
        text = " ".join(rng.choice(WORDS, size=int(rng.integers(4, 15)))).capitalize() + "."
        metadata = {"year": 1990 + number, "retracted": number % 5 == 0, "mesh": [WORDS[number % 7], WORDS[number % 5]]}
        made.append(
            Document(f"r{number:02d}", text, f"Report {number}", "note" if number % 2 else "abstract", (), metadata)
        )
    return made
