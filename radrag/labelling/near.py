"""Pairs of nearly equal texts, exactly: prefix filtering on the rarest shingles (Bayardo et al., WWW 2007)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

WIDTH = 3
_ROUNDING = 1e-9


def near_pairs(
    texts: Sequence[str], least: float, skip: Callable[[int, int], bool]
) -> Iterator[tuple[int, int, float]]:
    """Yield pairs of texts of which the sets of 3-word shingles have a Jaccard similarity of ``least`` or more.

    In any common order, two sets as similar as that share a member that comes before the last ``least`` of either; with
    the rarest first, few pairs do. Shingles that stand in the same texts, such as those of one passage, count as one
    member with a weight. Shingles are compared by 64-bit hashes.

    Args:
        texts: Different texts. One of fewer than 3 words is one shingle.
        least: Above 0, at most 1.
        skip: Says of two positions that the pair is not wanted; it is asked before the pair is compared.

    Yields:
        Two positions and their similarity.
    """
    if not 0 < least <= 1:
        raise ValueError(f"the least similarity must be above 0 and at most 1, got {least}")
    sets = _weighted(texts)
    sizes = [sum(members.values()) for members in sets]
    index: dict[int, list[int]] = defaultdict(list)
    for one in sorted(range(len(sets)), key=lambda position: (sizes[position], position)):
        members, size = sets[one], sizes[one]
        wanted = least * size - _ROUNDING
        seen: set[int] = set()
        rest = size
        for member, weight in members.items():
            if rest < wanted:
                break
            rest -= weight
            for other in index[member]:
                if other in seen:
                    continue
                seen.add(other)
                if sizes[other] >= wanted and not skip(one, other):
                    common = sum(members[shared] for shared in members.keys() & sets[other].keys())
                    score = common / (size + sizes[other] - common)
                    if score >= least - _ROUNDING:
                        yield one, other, score
            index[member].append(one)


def _weighted(texts: Sequence[str]) -> list[dict[int, int]]:
    """Return the shingles of each text, those of the same texts as one member with their number, the rarest first."""
    hashes = _shingles(texts)
    if not hashes:
        return []
    owner = np.repeat(np.arange(len(hashes)), [len(part) for part in hashes])
    _, shingle, spread = np.unique(np.concatenate(hashes), return_inverse=True, return_counts=True)
    signature = np.zeros(len(spread), np.uint64)  # of the set of texts that a shingle stands in
    np.add.at(signature, shingle, _mixed(owner.astype(np.uint64)))
    _, first, member = np.unique(signature, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(spread[first], kind="stable")] = np.arange(len(first))
    pairs, weights = np.unique(owner * len(first) + rank[member][shingle], return_counts=True)
    found: list[dict[int, int]] = [{} for _ in hashes]
    for pair, weight in zip(pairs.tolist(), weights.tolist(), strict=True):
        text, place = divmod(pair, len(first))
        found[text][place] = weight
    return found


def _shingles(texts: Sequence[str]) -> list[NDArray[np.uint64]]:
    """Return hashes of the different shingles of each text."""
    words: dict[str, int] = {}
    hashes = []
    for text in texts:
        ids = np.fromiter((words.setdefault(word, len(words) + 1) for word in text.split()), np.uint64)
        width = min(WIDTH, len(ids))
        code = np.zeros(max(1, len(ids) - width + 1), np.uint64)
        for offset in range(width):
            code = _mixed(code + ids[offset : len(ids) - width + 1 + offset])
        hashes.append(np.unique(code))
    return hashes


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64-bit numbers so that sums of them do not meet by chance (the finaliser of SplitMix64)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
