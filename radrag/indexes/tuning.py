"""Fitting the fusion of words and vectors on one's own questions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from radrag.indexes.fusion import Fusion
from radrag.indexes.searcher import SearchSettings
from radrag.metrics import Estimate, bootstrap, ndcg, paired_bootstrap

if TYPE_CHECKING:
    from radrag.indexes.hybrid import HybridIndex

WEIGHTS = tuple(step / 10 for step in range(11))
_TOP = 10
_FOLDS = 5


@dataclass(frozen=True, slots=True)
class FusionFit:
    """What ``fit_fusion`` found.

    Attributes:
        settings: The best settings on all questions.
        score: nDCG@10 of settings chosen without the question they are judged on, with its interval.
        gain: What that is above the settings the index had, paired.
        table: (fusion, dense weight, nDCG@10 on all questions) of everything tried, best first; optimistic.
    """

    settings: SearchSettings
    score: Estimate
    gain: Estimate
    table: tuple[tuple[str, float, float], ...]


def fit_fusion(
    index: HybridIndex, questions: Sequence[tuple[str, Collection[str]]], weights: Sequence[float] = WEIGHTS,
    seed: int = 0,
) -> FusionFit:  # fmt: skip
    """Choose fusion and weight of the vectors by nDCG@10 of documents, cross-validated over five folds.

    Args:
        index: The index to search; it is not changed (``HybridIndex.use`` does).
        questions: Each with the ids of the documents that answer it; at least ten.
        weights: Weights of the vectors to try.
        seed: Seed of the folds and of the intervals.

    Raises:
        ValueError: If there are fewer than ten questions, or one without a document.
    """
    if len(questions) < 2 * _FOLDS or not all(gold for _, gold in questions):
        raise ValueError(
            f"need at least {2 * _FOLDS} questions, each with the ids of its documents, got {len(questions)}, of which "
            f"{sum(not gold for _, gold in questions)} without a document"
        )
    now = index.settings
    tried = [replace(now, fusion=fusion, dense_weight=weight) for fusion in Fusion for weight in weights]
    scores = np.stack([_scores(index, questions, one) for one in tried])
    fold = np.random.default_rng(seed).permutation(len(questions)) % _FOLDS
    unseen = np.empty(len(questions))
    for number in range(_FOLDS):
        chosen = int(scores[:, fold != number].mean(axis=1).argmax())
        unseen[fold == number] = scores[chosen, fold == number]
    means = scores.mean(axis=1)
    order = np.argsort(-means, kind="stable").tolist()
    return FusionFit(
        settings=tried[order[0]],
        score=bootstrap(unseen, seed=seed),
        gain=paired_bootstrap(unseen, _scores(index, questions, now), seed=seed),
        table=tuple((str(tried[i].fusion), tried[i].dense_weight, float(means[i])) for i in order),
    )


def _scores(
    index: HybridIndex, questions: Sequence[tuple[str, Collection[str]]], settings: SearchSettings
) -> NDArray[np.float64]:
    texts = [text for text, _ in questions]
    found = index.search(texts, _TOP, per_document=1, settings=settings, rerank=False)
    return np.asarray(
        [
            ndcg([hit.passage.document_id for hit in hits], set(gold), k=_TOP)
            for hits, (_, gold) in zip(found, questions, strict=True)
        ]
    )
