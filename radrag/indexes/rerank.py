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
from radrag.indexes.rerank_late import LATE_FEATURES, late_features
from radrag.indexes.token_states import TokenReader, load_reader
from radrag.types import Hit

LEARNED = Path(__file__).parent.parent / "assets" / "reranker.json"
LATE = LEARNED.with_name("reranker_late.json")
_SHIPPED = {"learned": LEARNED, "late": LATE}
_DEPTH = 50


class Reranker(Protocol):
    """Puts hits in order. It may have an attribute ``depth``: how many of the best hits a search gives it."""

    def rerank(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """Return the same hits, best first, with its scores; ties by document id and then start."""


class LearnedReranker:
    """A linear model over the features of a list: of its words alone, or also of late interaction.

    With a static encoder for late interaction, as the weights ``"learned"`` have it, it needs no torch and takes some
    tens of milliseconds a query. A transformer, as in ``"late"``, reads words in context, each passage that it has not
    read lately: about as long as it takes to embed ``depth`` passages. It reads the first 512 tokens of a passage, some
    350 words, fewer if it has fewer positions; all else sees all words.

    Args:
        path: Weights, as ``radrag train reranker`` writes them; ``"learned"`` if left out.
        depth: Hits that a search gives it.
        encoder: What reads passages for late interaction; that which the file names if left out.

    Raises:
        ModelError: If the file cannot be read or has other features than this version.
        MissingExtraError: If the file wants a transformer for late interaction and transformers is not installed.
    """

    def __init__(self, path: str | Path = LEARNED, *, depth: int = _DEPTH, encoder: TokenReader | None = None) -> None:
        if depth < 1:
            raise ValueError(f"depth must be at least 1, got {depth}")
        self.depth = depth
        self._weights, model = _weights(Path(path))
        self._encoder = (encoder or load_reader(model)) if model is not None else None
        self._alike = bool(self._weights[len(FEATURES) + 1 :].any())

    def rerank(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """Return the same hits, best first; their scores are comparable within one query only."""
        return _ordered(hits, described(query, hits, self._encoder, alike=self._alike) @ self._weights)


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
                f"no cross-encoder can be loaded from {str(model)!r}: {error}. Use 'learned', 'late', a folder "
                "that holds a cross-encoder, or a hub name that this machine can reach"
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
        reranker: None; ``"learned"``, with late interaction of the static encoder that ships; ``"late"``, read by
            all-MiniLM-L6-v2 in context, which sees the first 512 tokens of a passage; a file that ``radrag train
            reranker`` wrote (``.json``); the name or folder of a cross-encoder, which cuts question and passage
            together where its model does; or an object with ``rerank``.

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
                "expected None, 'learned', 'late', the name of a cross-encoder, or an object with rerank, "
                f"got {reranker!r}"
            )
        return reranker
    if str(reranker) in _SHIPPED:
        return LearnedReranker(_SHIPPED[str(reranker)])
    if Path(reranker).suffix == ".json":
        return LearnedReranker(reranker)
    return CrossEncoderReranker(reranker)


def _ordered(hits: Sequence[Hit], scores: Any) -> list[Hit]:
    if not np.isfinite(scores).all():
        raise ModelError("the re-ranker gave a score that is not finite; check its weights")
    scored = [replace(hit, score=float(score)) for hit, score in zip(hits, scores, strict=True)]
    return sorted(scored, key=lambda hit: (-hit.score, hit.passage.document_id, hit.passage.start))


def described(query: str, hits: Sequence[Hit], encoder: TokenReader | None = None, *, alike: bool = True) -> Any:
    """Return float64 ``[len(hits), features]``: ``FEATURES``, and with an encoder also ``LATE_FEATURES``.

    Without ``alike`` those that compare the passages with each other are zeros.
    """
    table = feature_table(query, hits)
    return table if encoder is None else np.hstack([table, late_features(query, hits, encoder, alike=alike)])


def _weights(path: Path) -> tuple[Any, str | None]:
    """Return the weights in the order of the features, and the model that late interaction reads with, if any."""
    remedy = "make it again with `radrag train reranker`"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        weights = {str(name): float(value) for name, value in content["weights"].items()}
        model = content.get("late")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} holds no weights of a re-ranker ({error!r}); {remedy}") from error
    if not (model is None or isinstance(model, str)):
        raise ModelError(f"{path} names {model!r} for late interaction, expected a model's name or folder; {remedy}")
    features = FEATURES if model is None else (*FEATURES, *LATE_FEATURES)
    if set(weights) != set(features):
        differing = sorted(set(weights) ^ set(features))
        raise ModelError(f"{path} has other features than this version (differing: {differing}); {remedy}")
    return np.asarray([weights[name] for name in features]), model
