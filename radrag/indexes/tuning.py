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
        settings: The best settings on all questions used; of equally good ones those that the index has, if among them.
        score: nDCG@10 of settings chosen without the question they are judged on, with its interval.
        gain: What that is above the settings the index had, paired.
        table: (fusion, dense weight, nDCG@10 on all questions used) of everything tried, best first; optimistic.
        had: The settings the index has.
        used: How many questions were used.
        absent: How many were left out, since the index holds none of their documents.
        unknown: Ids of documents that the index does not hold, sorted.
    """

    settings: SearchSettings
    score: Estimate
    gain: Estimate
    table: tuple[tuple[str, float, float], ...]
    had: SearchSettings
    used: int
    absent: int
    unknown: tuple[str, ...]

    @property
    def better(self) -> bool:
        """Whether these are other settings than the index has, and choosing so gains something on unseen questions."""
        return self.settings != self.had and self.gain.value > 0


def fit_fusion(
    index: HybridIndex, questions: Sequence[tuple[str, Collection[str]]], weights: Sequence[float] = WEIGHTS,
    seed: int = 0,
) -> FusionFit:  # fmt: skip
    """Choose fusion and weight of the vectors by nDCG@10 of documents, cross-validated over five folds.

    Args:
        index: The index to search; it is not changed (``HybridIndex.use`` does).
        questions: Each with the ids of the documents that answer it. Those of which the index holds no document say
            nothing of its settings and are left out; at least ten must remain.
        weights: Weights of the vectors to try, beside the settings that the index has.
        seed: Seed of the folds and of the intervals.

    Raises:
        ValueError: If fewer than ten questions can be used, or one is without a document.
    """
    asked = {name for _, gold in questions for name in gold}
    unknown = tuple(sorted(asked - index.versions(list(asked)).keys()))
    used = [(text, gold) for text, gold in questions if not set(gold) <= set(unknown)]
    if len(used) < 2 * _FOLDS or not all(gold for _, gold in questions):
        bare = sum(not gold for _, gold in questions)
        raise ValueError(
            f"need at least {2 * _FOLDS} questions, each with the ids of documents of this index, got {len(questions)},"
            f" of which {bare} without a document and {len(questions) - len(used) - bare} with none that the index"
            f" holds{f', such as {unknown[0]!r}' if unknown else ''}; write the ids as the index has them"
        )
    now = index.settings
    others = [replace(now, fusion=fusion, dense_weight=weight) for fusion in Fusion for weight in weights]
    tried = [now, *(one for one in others if one != now)]  # the first wins ties: what is there stays
    scores = np.stack([_scores(index, used, one) for one in tried])
    fold = np.random.default_rng(seed).permutation(len(used)) % _FOLDS
    unseen = np.empty(len(used))
    for number in range(_FOLDS):
        chosen = int(scores[:, fold != number].mean(axis=1).argmax())
        unseen[fold == number] = scores[chosen, fold == number]
    means = scores.mean(axis=1)
    order = np.argsort(-means, kind="stable").tolist()
    return FusionFit(
        settings=tried[order[0]],
        score=bootstrap(unseen, seed=seed),
        gain=paired_bootstrap(unseen, scores[0], seed=seed),
        table=tuple((str(tried[i].fusion), tried[i].dense_weight, float(means[i])) for i in order),
        had=now,
        used=len(used),
        absent=len(questions) - len(used),
        unknown=unknown,
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
