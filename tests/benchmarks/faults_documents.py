"""Documents, an encoder and searches that the fault benchmarks share; every answer is known without an index."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radrag.corpora import Chunking
from radrag.indexes import dense, merging
from radrag.types import Document

DIM = 16
CHUNKING = Chunking(12, 2)
ANN_ROWS = 30
_WORDS = "chest nodule contrast liver mass fracture renal stone brain infarct spine lesion biopsy".split()


class WordEncoder:
    """Words hashed to directions and summed."""

    dim, fingerprint = DIM, f"words:{DIM}"

    def encode(self, texts: Sequence[str], kind: str) -> NDArray[np.float32]:
        """Return unit vectors, float32 ``[n, dim]``."""
        vectors = np.zeros((len(texts), DIM), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                digest = hashlib.sha256(word.encode()).digest()
                vectors[row] += np.frombuffer(digest, dtype=np.uint8)[:DIM].astype(np.float32) - 127.5
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def unique_word(number: int, variant: int) -> str:
    """Return a word that no other document has."""
    return f"zq{number}x{variant}"


def make_document(number: int, variant: int) -> Document:
    """Return one of the documents; a higher variant is a later version. Some retract themselves, some others."""
    rng = np.random.default_rng([number, variant])
    sentences = [
        " ".join(rng.choice(_WORDS, size=int(rng.integers(4, 9)))).capitalize() + "."
        for _ in range(int(rng.integers(1, 5)))
    ]
    metadata: dict[str, Any] = {
        "year": 2000 + number % 20,
        "mesh": [_WORDS[number % 13], _WORDS[variant % 13]],
        "pmid_version": variant + 1,
        "doi": f"10.1/A{number}",
    }
    if number % 9 == 4:
        metadata["retracted"] = True
    if number % 9 == 7:
        metadata["retraction_of"] = [str(number + 1)]
    text = f"{unique_word(number, variant)} common {' '.join(sentences)}"
    return Document(f"PMID:{number}", text, f"Report {number}", "abstract", (), metadata)


@contextmanager
def small_ann() -> Iterator[None]:
    """Give small segments an approximate index too."""
    before = merging.MIN_ANN_ROWS, dense.MIN_ANN_ROWS
    merging.MIN_ANN_ROWS = dense.MIN_ANN_ROWS = ANN_ROWS
    try:
        yield
    finally:
        merging.MIN_ANN_ROWS, dense.MIN_ANN_ROWS = before
