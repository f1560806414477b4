"""Re-rankers: put the best hits of a search in a better order. The learned one ships; cross-encoders go by name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from radrag.errors import ModelError, require
from radrag.indexes.rerank_features import FEATURES, feature_table
from radrag.types import Hit

LEARNED = Path(__file__).parent.parent / "assets" / "reranker.json"
_DEPTH = 50


class Reranker(Protocol):
    """Puts hits in order. It may have an attribute ``depth``: how many of the best hits a search gives it."""

    def rerank(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """Return the same hits, best first, with its scores; ties by document id and then start."""


class LearnedReranker:
    """A linear model over the features of ``radrag.indexes.rerank_features``: no torch, some milliseconds a query.

    Args:
        path: Weights, as ``radrag train reranker`` writes them; those that ship if left out.
        depth: Hits that a search gives it.

    Raises:
        ModelError: If the file cannot be read or has other features than this version.
    """

    def __init__(self, path: str | Path = LEARNED, *, depth: int = _DEPTH) -> None:
        if depth < 1:
            raise ValueError(f"depth must be at least 1, got {depth}")
        self.depth = depth
        self._weights = _weights(Path(path))

    def rerank(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """Return the same hits, best first; their scores are comparable within one query only."""
        return _ordered(hits, feature_table(query, hits) @ self._weights)


class CrossEncoderReranker:
    """A cross-encoder by name or path: reads question and passage together.

    Args:
        model: Hub name or folder, such as ``"cross-encoder/ms-marco-MiniLM-L-6-v2"``.
        device: ``"cpu"``, ``"cuda"``, ...; chosen by sentence-transformers if left out.
        batch_size: Pairs a step.
        depth: Hits that a search gives it.
        local_files_only: Never ask a hub.

    Raises:
        MissingExtraError: If sentence-transformers is not installed.
        ModelError: If the model cannot be loaded, or gives more than one score a pair.
    """

    def __init__(
        self, model: str | Path, *, device: str | None = None, batch_size: int = 32, depth: int = _DEPTH,
        local_files_only: bool = False,
    ) -> None:  # fmt: skip
        if depth < 1:
            raise ValueError(f"depth must be at least 1, got {depth}")
        library = require("sentence_transformers", extra="llama")
        try:
            self._model = library.CrossEncoder(str(model), device=device, local_files_only=local_files_only)
        except (OSError, ValueError) as error:
            raise ModelError(
                f"no cross-encoder can be loaded from {str(model)!r}: {error}. Use 'learned', a folder that holds a "
                "cross-encoder, or a hub name that this machine can reach"
            ) from error
        if self._model.num_labels != 1:
            raise ModelError(
                f"{str(model)!r} gives {self._model.num_labels} scores a pair, expected 1; name a model for ranking"
            )
        self._batch_size, self.depth = batch_size, depth

    def rerank(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """Return the same hits, best first, with the model's scores."""
        if not hits:
            return []
        pairs = [(query, hit.passage.search_text) for hit in hits]
        scores = self._model.predict(pairs, batch_size=self._batch_size, show_progress_bar=False)
        return _ordered(hits, np.asarray(scores, dtype=np.float64).reshape(-1))


def load_reranker(reranker: str | Path | Reranker | None) -> Reranker | None:
    """Return a re-ranker for what a user gives.

    Args:
        reranker: None; ``"learned"``; a file that ``radrag train reranker`` wrote (``.json``); the name or folder of a
            cross-encoder; or an object with ``rerank``.

    Raises:
        TypeError: If it is none of these.
        ModelError: If the model cannot be loaded.
        MissingExtraError: If it needs sentence-transformers, which is not installed.
    """
    if reranker is None:
        return None
    if not isinstance(reranker, str | Path):
        if not callable(getattr(reranker, "rerank", None)):
            raise TypeError(
                f"expected None, 'learned', the name of a cross-encoder, or an object with rerank, got {reranker!r}"
            )
        return reranker
    if str(reranker) == "learned":
        return LearnedReranker()
    if Path(reranker).suffix == ".json":
        return LearnedReranker(reranker)
    return CrossEncoderReranker(reranker)


def _ordered(hits: Sequence[Hit], scores: Any) -> list[Hit]:
    if not np.isfinite(scores).all():
        raise ModelError("the re-ranker gave a score that is not finite; check its weights")
    scored = [replace(hit, score=float(score)) for hit, score in zip(hits, scores, strict=True)]
    return sorted(scored, key=lambda hit: (-hit.score, hit.passage.document_id, hit.passage.start))


def _weights(path: Path) -> Any:
    remedy = "make it again with `radrag train reranker`"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))["weights"]
        weights = {str(name): float(value) for name, value in stored.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} holds no weights of a re-ranker ({error!r}); {remedy}") from error
    if set(weights) != set(FEATURES):
        differing = sorted(set(weights) ^ set(FEATURES))
        raise ModelError(f"{path} has other features than this version (differing: {differing}); {remedy}")
    return np.asarray([weights[name] for name in FEATURES])
