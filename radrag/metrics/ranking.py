"""How good a ranking is, for one query: nDCG, average precision, recall, precision, hit, reciprocal rank.

Every function takes the ids that were found, best first, and what is relevant: a set of ids, or a mapping from id to
gain (qrels) where 0 means judged and not relevant. Ids without a gain count as not relevant. Definitions follow
trec_eval (Buckley, NIST, version 9). A query without relevant ids cannot be scored and raises ValueError: the caller
counts it, it is not averaged in as 0.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TypeVar

from radrag.metrics._checks import at_least, not_a_string

Id = TypeVar("Id", bound=Hashable)


def checked_ranking(ranked: Sequence[Id], k: int | None) -> Sequence[Id]:
    """Return the first ``k`` of ``ranked``, all of it for None; the whole of it is checked for duplicates."""
    not_a_string("ranked", ranked)
    if k is not None:
        at_least("k", k, 1)
    seen: set[Id] = set()
    for position, item in enumerate(ranked, start=1):
        if item in seen:
            raise ValueError(f"ranked must hold each id once, got {item!r} again at rank {position}; merge it first")
        seen.add(item)
    return ranked[:k]


def checked_gains(relevant: AbstractSet[Id] | Mapping[Id, float]) -> dict[Id, float]:
    """Return the gain of each relevant id, those of gain 0 left out."""
    not_a_string("relevant", relevant)
    judged = dict(relevant) if isinstance(relevant, Mapping) else dict.fromkeys(relevant, 1.0)
    for item, gain in judged.items():
        if not (math.isfinite(gain) and gain >= 0):
            raise ValueError(f"gains must be finite and at least 0, got {gain} for {item!r}; use 0 for not relevant")
    gains = {item: float(gain) for item, gain in judged.items() if gain > 0}
    if not gains:
        raise ValueError(
            f"relevant must hold an id of gain above 0, got {len(judged)} judged and none relevant; "
            "the query cannot be scored, count it apart"
        )
    return gains


def _dcg(gains: Iterable[float]) -> float:
    # fsum rounds once, so a perfect ranking scores exactly 1 in whatever order equal gains come.
    return math.fsum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))


def ndcg(ranked: Sequence[Id], relevant: AbstractSet[Id] | Mapping[Id, float], k: int | None = 10) -> float:
    """Return the normalised discounted cumulative gain, gains taken as they are, discounted by log2(rank + 1).

    Source: Järvelin and Kekäläinen, ACM TOIS 20(4), 2002, with the discount of trec_eval's ``ndcg_cut``: the first
    rank is not discounted, and the gain is not turned into ``2**gain - 1``.

    Args:
        ranked: Ids, best first.
        relevant: Relevant ids, or id → gain.
        k: Ranks that count; None for all.

    Returns:
        Between 0 and 1; 1 if no other ranking of length ``k`` has more gain.

    Raises:
        ValueError: If nothing is relevant, an id is ranked twice, a gain is negative, or k is below 1.
    """
    top, gains = checked_ranking(ranked, k), checked_gains(relevant)
    ideal = sorted(gains.values(), reverse=True)[:k]
    return _dcg(gains.get(item, 0.0) for item in top) / _dcg(ideal)


def average_precision(
    ranked: Sequence[Id],
    relevant: AbstractSet[Id] | Mapping[Id, float],
    k: int | None = None,
    *,
    reachable: bool = False,
) -> float:
    """Return the mean over relevant ids of the precision at their ranks, 0 for those not found.

    Source: trec_eval's ``map`` and ``map_cut``, which divide by the number of relevant ids even if it exceeds ``k``.
    BioASQ (since its eighth year, equation 2.8 of its measures for task B) divides by the smaller of that number and
    10: that is ``average_precision(ranked, relevant, 10, reachable=True)``.

    Args:
        ranked: Ids, best first.
        relevant: Relevant ids, or id → gain; a gain above 0 is relevant.
        k: Ranks that count; None for all.
        reachable: Divide by the number of relevant ids that ``k`` ranks have room for, so that 1 can be reached.

    Returns:
        Between 0 and 1.

    Raises:
        ValueError: If nothing is relevant, an id is ranked twice, a gain is negative, or k is below 1.
    """
    top, gains = checked_ranking(ranked, k), checked_gains(relevant)
    ranks = [rank for rank, item in enumerate(top, start=1) if item in gains]
    total = math.fsum(found / rank for found, rank in enumerate(ranks, start=1))
    return total / (min(k, len(gains)) if reachable and k is not None else len(gains))


def recall(ranked: Sequence[Id], relevant: AbstractSet[Id] | Mapping[Id, float], k: int) -> float:
    """Return the share of relevant ids among the first ``k`` (trec_eval's ``recall_k``).

    Args:
        ranked: Ids, best first.
        relevant: Relevant ids, or id → gain; a gain above 0 is relevant.
        k: Ranks that count.

    Returns:
        Between 0 and 1.

    Raises:
        ValueError: If nothing is relevant, an id is ranked twice, a gain is negative, or k is below 1.
    """
    top, gains = checked_ranking(ranked, k), checked_gains(relevant)
    return sum(item in gains for item in top) / len(gains)


def precision(ranked: Sequence[Id], relevant: AbstractSet[Id] | Mapping[Id, float], k: int) -> float:
    """Return the share of the first ``k`` ranks that hold a relevant id (trec_eval's ``P_k``).

    Args:
        ranked: Ids, best first. Ranks that a shorter list leaves empty count as not relevant.
        relevant: Relevant ids, or id → gain; a gain above 0 is relevant.
        k: Ranks that count, and the divisor.

    Returns:
        Between 0 and 1.

    Raises:
        ValueError: If nothing is relevant, an id is ranked twice, a gain is negative, or k is below 1.
    """
    top, gains = checked_ranking(ranked, k), checked_gains(relevant)
    return sum(item in gains for item in top) / k


def hit(ranked: Sequence[Id], relevant: AbstractSet[Id] | Mapping[Id, float], k: int) -> float:
    """Return 1.0 if any of the first ``k`` is relevant, else 0.0 (trec_eval's ``success_k``).

    Args:
        ranked: Ids, best first.
        relevant: Relevant ids, or id → gain; a gain above 0 is relevant.
        k: Ranks that count.

    Returns:
        1.0 or 0.0, so that the mean over queries is the share of queries that were hit.

    Raises:
        ValueError: If nothing is relevant, an id is ranked twice, a gain is negative, or k is below 1.
    """
    top, gains = checked_ranking(ranked, k), checked_gains(relevant)
    return float(any(item in gains for item in top))


def reciprocal_rank(
    ranked: Sequence[Id], relevant: AbstractSet[Id] | Mapping[Id, float], k: int | None = None
) -> float:
    """Return 1 / rank of the first relevant id, 0 if there is none (trec_eval's ``recip_rank``).

    Args:
        ranked: Ids, best first.
        relevant: Relevant ids, or id → gain; a gain above 0 is relevant.
        k: Ranks that count; None for all.

    Returns:
        Between 0 and 1.

    Raises:
        ValueError: If nothing is relevant, an id is ranked twice, a gain is negative, or k is below 1.
    """
    top, gains = checked_ranking(ranked, k), checked_gains(relevant)
    return next((1.0 / rank for rank, item in enumerate(top, start=1) if item in gains), 0.0)
