"""Hard negatives: for each query the passages of others that BM25 takes for its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from radrag.indexes.tokens import tokenize

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_K1, _B = 0.6, 0.5
_BLOCK = 256
_NEAREST = 2


def hard_negatives(queries: Sequence[str], passages: Sequence[str], count: int = 20) -> list[NDArray[np.int64]]:
    """Find for each pair the passages that BM25 ranks high for its query but that belong to other queries.

    The two that BM25 likes best are left out: among texts of one field they often answer the query too.

    Args:
        queries: Left sides of the pairs.
        passages: Right sides, in the same order.
        count: Most negatives of a pair.

    Returns:
        For each pair, rows of ``passages``, best first. A row whose text is the right side of a pair with the same
        query is never among them.
    """
    unique, first = np.unique(np.asarray(passages, dtype=object), return_index=True)
    asked = list(dict.fromkeys(queries))
    own: dict[str, set[str]] = {}
    for query, passage in zip(queries, passages, strict=True):
        own.setdefault(query, set()).add(passage)
    left, right = _bm25_matrices(asked, list(unique))
    found = {}
    for start in range(0, len(asked), _BLOCK):
        scores = (left[start : start + _BLOCK] @ right).toarray()
        for query, row in zip(asked[start : start + _BLOCK], scores, strict=True):
            most = min(len(row), count + _NEAREST + len(own[query]))
            best = np.argpartition(-row, most - 1)[:most]
            best = best[np.lexsort((best, -row[best]))]
            others = [at for at in best if row[at] > 0 and unique[at] not in own[query]]
            found[query] = first[others[_NEAREST : _NEAREST + count]].astype(np.int64)
    return [found[query] for query in queries]


def _bm25_matrices(queries: Sequence[str], passages: Sequence[str]) -> tuple[csr_matrix, csr_matrix]:
    """Return ``[queries, terms]`` and ``[terms, passages]`` whose product is BM25."""
    terms: dict[str, int] = {}
    right, left = _counts(passages, terms), _counts(queries, terms)
    holders = np.bincount(right[1], minlength=len(terms))
    lengths = np.diff(right[2])
    rows = np.repeat(np.arange(len(passages)), lengths)
    words = np.bincount(rows, weights=right[0], minlength=len(passages))
    norms = _K1 * (1 - _B + _B * words / max(1e-9, float(words.mean())))
    weights = (_K1 + 1) * right[0] / (right[0] + norms[rows])
    idf = np.log1p((len(passages) - holders + 0.5) / (holders + 0.5))
    from scipy.sparse import csr_matrix

    asked = csr_matrix((left[0] * idf[left[1]], left[1], left[2]), shape=(len(queries), len(terms)))
    held = csr_matrix((weights, right[1], right[2]), shape=(len(passages), len(terms)))
    return asked.astype(np.float32), held.astype(np.float32).T.tocsr()


def _counts(texts: Sequence[str], terms: dict[str, int]) -> tuple[Any, Any, Any]:
    data: list[int] = []
    columns: list[int] = []
    starts = [0]
    for text in texts:
        counted = Counter(tokenize(text))
        data.extend(counted.values())
        columns.extend(terms.setdefault(term, len(terms)) for term in counted)
        starts.append(len(columns))
    return np.asarray(data, dtype=np.float64), np.asarray(columns, dtype=np.int64), np.asarray(starts)
