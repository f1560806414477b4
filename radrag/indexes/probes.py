"""Query vectors that the recall of approximate search is measured with: single words of documents drawn at random.

Whole headlines are too easy, because they stand in the document that they find: with 500,000 made passages and a
quarter of the lists looked into, recall@10 was .935 for them, .890 for questions of BioASQ, .913 for questions of
PubMedQA, and .885 for single words. ``HybridIndex.measure`` takes one's own questions.

The draw is a bottom-k sample (Cohen and Kaplan, "Summarizing data using bottom-k sketches", PODC 2007): the documents
whose hashes are smallest, whatever the order in which they came.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from radrag.indexes.database import Database
from radrag.indexes.embedding_cache import checked_vectors
from radrag.indexes.function_words import STOPWORDS
from radrag.indexes.store import content_sha256
from radrag.protocols import Encoder
from radrag.types import Document

_KEPT = 128
_WORD = re.compile(r"[^\W\d_][\w-]{2,}")


def draw_probes(database: Database, documents: Sequence[Document], encoder: Encoder) -> None:
    """Let a batch of documents into the sample; the caller holds a transaction."""
    kept: dict[str, str] = dict(database.get("probes") or {})
    limit = max(kept) if len(kept) >= _KEPT else "g"  # after every hexadecimal digit
    new = {sha256: word for one in documents if (sha256 := content_sha256(one).hex()) < limit and (word := _word(one))}
    chosen = sorted(set(new) - set(kept))[:_KEPT]
    if not chosen:
        return
    vectors = checked_vectors(encoder, [new[sha256] for sha256 in chosen], "query")
    for sha256, vector in zip(chosen, vectors.astype("<f2"), strict=True):
        kept[sha256] = base64.b64encode(vector.tobytes()).decode()
    database.set("probes", {sha256: kept[sha256] for sha256 in sorted(kept)[:_KEPT]})


def read_probes(database: Database, dim: int) -> NDArray[np.float32]:
    """Return the sample, float32 ``[p, dim]``."""
    kept = database.get("probes") or {}
    vectors = [np.frombuffer(base64.b64decode(text), dtype="<f2") for text in kept.values()]
    return np.asarray(vectors, dtype=np.float32).reshape(-1, dim)


def _word(document: Document) -> str:
    """Return the word of title or text whose hash is smallest, leaving out function words."""
    words = {word for word in _WORD.findall(document.title or document.text) if word.lower() not in STOPWORDS}
    return min(words, key=lambda word: hashlib.sha256(word.encode("utf-8", "surrogatepass")).digest(), default="")
