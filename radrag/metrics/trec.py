"""Measures of trec_eval beyond those of ``ranking``: R-precision, bpref, GMAP.

Source: trec_eval, version 9 (Buckley, NIST). trec_eval ranks by score, and equal scores by document id from Z to A: see
``trec_order``. Ids and relevance are given as in ``radrag.metrics.ranking``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

import numpy as np
from numpy.typing import ArrayLike

from radrag.metrics._checks import numbers
from radrag.metrics.ranking import Id, checked_gains, checked_ranking

_LEAST = 1e-5


def trec_order(scores: Mapping[str, float]) -> list[str]:
    """Return ids in the order in which trec_eval ranks them: best score first, equal scores from Z to A.

    trec_eval may hold scores as 32-bit floats, where close ones become equal.

    Raises:
        ValueError: If a score is not a number.
    """
    for name, score in scores.items():
        if math.isnan(score):
            raise ValueError(f"scores must be numbers, got nan for {name!r}; leave the document out")
    return [name for _, name in sorted(((score, name) for name, score in scores.items()), reverse=True)]


def r_precision(ranked: Sequence[Id], relevant: AbstractSet[Id] | Mapping[Id, float]) -> float:
    """Return the precision at rank R, the number of relevant ids (trec_eval's ``Rprec``).

    Args:
        ranked: Ids, best first.
        relevant: Relevant ids, or id → gain; a gain above 0 is relevant.

    Returns:
        Between 0 and 1.

    Raises:
        ValueError: If nothing is relevant, an id is ranked twice, or a gain is negative.
    """
    gains = checked_gains(relevant)
    top = checked_ranking(ranked, len(gains))
    return sum(item in gains for item in top) / len(gains)


def bpref(ranked: Sequence[Id], judged: Mapping[Id, float]) -> float:
    """Return how few judged non-relevant ids stand above relevant ones, unjudged ids left out (trec_eval's ``bpref``).

    Source: Buckley and Voorhees, SIGIR 2004, with the denominator of trec_eval: the mean over relevant ids of
    ``1 - min(n, R) / min(N, R)``, where n counts non-relevant ids ranked above it, R relevant and N non-relevant ids
    that were judged. A relevant id that is not ranked counts 0.

    Args:
        ranked: Ids, best first.
        judged: Id → gain of every judged id; 0 is judged and not relevant.

    Returns:
        Between 0 and 1.

    Raises:
        ValueError: If nothing is relevant, an id is ranked twice, or a gain is negative.
    """
    top, gains = checked_ranking(ranked, None), checked_gains(judged)
    most = min(len(gains), len(judged) - len(gains))
    above, parts = 0, []
    for item in top:
        if item in gains:
            parts.append(1 - min(above, len(gains)) / most if above else 1.0)
        elif item in judged:
            above += 1
    return math.fsum(parts) / len(gains)


def trec_gmap(average_precisions: ArrayLike) -> float:
    """Return the geometric mean over queries of average precision, each at least 1e-5 (trec_eval's ``gm_map``).

    BioASQ adds 1e-5 instead: see ``geometric_map`` of ``radrag.metrics.bioasq``.

    Args:
        average_precisions: One value a query [n].

    Raises:
        ValueError: If there are none, or one is negative or not finite.
    """
    values = numbers("average_precisions", average_precisions)
    if (values < 0).any():
        raise ValueError(f"average precisions must be at least 0, got {values.min()}")
    return float(np.exp(np.log(np.maximum(values, _LEAST)).mean()))
