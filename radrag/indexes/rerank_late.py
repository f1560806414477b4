"""Late interaction: how well each word of a question is matched by some word of a passage.

Source: Khattab and Zaharia, "ColBERT: Efficient and Effective Passage Search via Contextualized Late Interaction over
BERT" (SIGIR 2020), here with an encoder as it is, words weighed by how few passages of the list hold them, and words
that only ask left out: a question's "which" and "?" stand in few passages and would weigh most.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from radrag.indexes.token_states import TokenReader, TokenStates
from radrag.types import Hit

LATE_FEATURES = ("late interaction", "like the best", "apart")
_SHARPNESS = 2.0
_NEIGHBOURS = 3
_EVEN = 0.5


def late_features(query: str, hits: Sequence[Hit], encoder: TokenReader, *, alike: bool = True) -> NDArray[np.float64]:
    """Describe each hit of a list by its words, as an encoder reads them.

    Args:
        query: The question.
        hits: Passages found for it, with the scores of the search.
        encoder: What reads them.
        alike: Also say how like each other the passages are; zeros if not, for weights that leave it out.

    Returns:
        float64 ``[len(hits), 3]``, each column of mean 0 and deviation 1 within the list: how well the question's words
        are matched; how like the passage is to those that the search puts first, itself aside; how unlike to its
        nearest in the list, which tells a passage near the best from one in the thick of a common theme.
    """
    if not hits:
        return np.zeros((0, len(LATE_FEATURES)))
    read = encoder.passages([hit.passage.search_text for hit in hits])
    matched = standard(_matched(encoder.question(query), read))
    if not alike:
        return np.stack([matched, np.zeros(len(hits)), np.zeros(len(hits))], axis=1)
    whole = np.stack([one.whole for one in read]).astype(np.float64)
    cosines = whole @ whole.T
    np.fill_diagonal(cosines, 0.0)
    scores = standard(np.asarray([hit.score for hit in hits], dtype=np.float64))
    weights = np.exp(_SHARPNESS * (scores - scores.max()))
    others = np.maximum(weights.sum() - weights, 1e-9)
    nearest = np.sort(cosines, axis=1)[:, -_NEIGHBOURS:].mean(axis=1)
    return np.stack([matched, standard(cosines @ weights / others), standard(-nearest)], axis=1)


def standard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values less their mean over their deviation; zeros where all are equal but for rounding."""
    spread = float(values.std())
    if spread <= 1e-6 * max(1.0, float(np.abs(values).max())):  # float32 cosines of equal texts differ by 1e-8
        return np.zeros(len(values))
    return np.asarray((values - values.mean()) / spread)


def _matched(question: TokenStates, read: Sequence[TokenStates]) -> NDArray[np.float64]:
    """Return for each passage the weighed mean over the question's tokens of the best cosine in the passage."""
    best = np.zeros((len(read), len(question.tokens)))
    if not len(question.tokens):
        return np.zeros(len(read))
    asked = question.states.astype(np.float32)
    holders = np.zeros(len(question.tokens))
    for row, one in enumerate(read):
        if len(one.tokens):
            best[row] = (asked @ one.states.astype(np.float32).T).max(axis=1)
            holders += np.isin(question.tokens, one.tokens)
    weights = _EVEN + np.log1p((len(read) - holders + 0.5) / (holders + 0.5))
    return np.asarray(best @ (weights / weights.sum()))
