"""Fit the learned re-ranker: a linear model that puts a question's own passages above the others of its list.

Source: pairwise logistic loss (Burges et al., "Learning to Rank using Gradient Descent", ICML 2005) over hand-made
features; no weight is negative, and without evidence the order stays that of the search.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radrag.indexes.hybrid import HybridIndex
from radrag.indexes.rerank import described
from radrag.indexes.rerank_features import FEATURES
from radrag.indexes.rerank_late import LATE_FEATURES
from radrag.indexes.token_states import TokenReader
from radrag.metrics import reciprocal_rank
from radrag.types import Hit, Passage

_FOLDS = 5
# Pooled trials before case reports and newer before older, where all else is nearly equal: no source that may ship has
# several right passages that differ in these, so nothing can be fitted.
_PRIOR = {"fused": 1.0, "recency": 0.05, "publication type": 0.05}
_PENALTY = 1.0


@dataclass(frozen=True, slots=True)
class Judged:
    """A question's hits as features, with which of them answer it.

    Attributes:
        source: Where the question is from; each source counts as much as any other.
        table: float64 ``[hits, features]``, the best hit first.
        right: bool ``[hits]``.
    """

    source: str
    table: NDArray[np.float64]
    right: NDArray[np.bool_]


def judged_lists(
    index: HybridIndex,
    questions: Iterable[tuple[str, Callable[[Passage], bool]]],
    source: str,
    *,
    depth: int = 50,
    where: Mapping[str, Any] | None = None,
    late: TokenReader | None = None,
) -> list[Judged]:
    """Search questions and describe what is found.

    Args:
        index: Where to search, without its re-ranker.
        questions: Texts, each with a function that says whether a passage answers it.
        source: Name of where they are from.
        depth: Hits a question.
        where: Filter on metadata. Where the right passages are of another kind than most, such as short among long,
            search their kind alone, or the weights learn the kind.
        late: Also describe hits by late interaction, read with this.

    Returns:
        One for each question that has both a right and a wrong hit; the others teach nothing.
    """
    found = []
    for text, answers in questions:
        hits: Sequence[Hit] = index.search(text, k=depth, where=where, rerank=False)
        right = np.asarray([answers(hit.passage) for hit in hits], dtype=bool)
        if right.any() and not right.all():
            found.append(Judged(source, described(text, hits, late), right))
    return found


def fit_reranker(
    lists: Sequence[Judged], out: str | Path, *, data: str, without: Sequence[str] = (), late: str | Path | None = None,
    seed: int = 0, made: Mapping[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Fit the weights and write them.

    Args:
        lists: Judged lists, of one or several sources.
        out: File to write (JSON).
        data: What they are from, for the facts.
        without: Features whose weights stay 0.
        late: Model that the lists were described with by late interaction, ``"static"``, ``"minilm"`` or a folder; the
            re-ranker loads it.
        seed: Seed of the folds.
        made: Further facts, such as the command and the number format in which late interaction was read.

    Returns:
        The facts stored beside the weights: for each source the mean reciprocal rank of the first right hit before and
        after re-ranking, each list re-ranked by weights fitted on other folds.
    """
    if len(lists) < _FOLDS:
        raise ValueError(f"need at least {_FOLDS} questions with a right and a wrong hit, got {len(lists)}")
    names = FEATURES if late is None else (*FEATURES, *LATE_FEATURES)
    if unknown := set(without) - set(names):
        raise ValueError(f"no features {sorted(unknown)}; those there are: {', '.join(names)}")
    if wrong := {one.table.shape[1] for one in lists} - {len(names)}:
        raise ValueError(
            f"lists with {sorted(wrong)} features, expected {len(names)}; give judged_lists and fit_reranker the same "
            "late model, or neither"
        )
    used = np.asarray([name not in without for name in names])
    lists = [replace(one, table=one.table * used) for one in lists]
    folds = np.random.default_rng(seed).permutation(len(lists)) % _FOLDS
    after = np.zeros(len(lists))
    for fold in range(_FOLDS):
        weights = _fit([one for one, held in zip(lists, folds, strict=True) if held != fold], names)
        for row in np.flatnonzero(folds == fold).tolist():
            after[row] = _first_right(lists[row], lists[row].table @ weights)
    before = np.asarray([_first_right(one, -np.arange(len(one.right), dtype=float)) for one in lists])
    facts: dict[str, Any] = {"data": data, "without": list(without), "seed": seed, **(made or {})}
    for source in dict.fromkeys(one.source for one in lists):
        rows = [row for row, one in enumerate(lists) if one.source == source]
        facts[source] = {
            "n": len(rows),
            "mrr_before": round(float(before[rows].mean()), 4),
            "mrr_after": round(float(after[rows].mean()), 4),
        }
    named = dict(zip(names, np.round(_fit(lists, names) * used, 4).tolist(), strict=True))
    model = {} if late is None else {"late": str(late)}
    _write(Path(out), {"weights": named, **model, "facts": facts})
    return facts


def _fit(lists: Sequence[Judged], names: Sequence[str]) -> NDArray[np.float64]:
    from scipy.optimize import minimize
    from scipy.special import expit

    sizes = {source: sum(one.source == source for one in lists) for source in {one.source for one in lists}}
    differences, shares = [], []
    for one in lists:
        gaps = (one.table[one.right][:, None] - one.table[~one.right][None]).reshape(-1, len(names))
        differences.append(gaps)
        shares.append(np.full(len(gaps), len(lists) / (len(sizes) * sizes[one.source] * len(gaps))))
    table, share = np.concatenate(differences), np.concatenate(shares)
    prior = np.asarray([_PRIOR.get(name, 0.0) for name in names])

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margins, away = table @ weights, weights - prior
        total = share @ np.logaddexp(0, -margins) + _PENALTY * away @ away / 2
        return float(total), _PENALTY * away - table.T @ (share * expit(-margins))

    found = minimize(loss, prior, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * len(names))
    return np.asarray(found.x)


def _first_right(one: Judged, scores: NDArray[np.float64]) -> float:
    order = np.argsort(-scores, kind="stable")
    return float(reciprocal_rank(order.tolist(), set(np.flatnonzero(one.right).tolist())))


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, path)
