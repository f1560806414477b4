"""Whether a claim joins half of one clause of its source with half of another: "sodium fell" of two that differ."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from radrag.grounding import numbers
from radrag.grounding.passage import ReadText

_BREAK = re.compile(r"[;,:.](?=\s)|\b(?:and|but|whereas|although|though|while)\b", re.IGNORECASE)
_ASIDE = re.compile(r"\([^()]*\)")
_ALIGNED = 0.6


def mixes_clauses(stated: ReadText, sources: Sequence[tuple[ReadText, NDArray[np.float64]]]) -> bool:
    """Whether a clause of the claim has some, not all, of what only one source clause has, and so of another.

    "Group B received heparin" takes "group B" from one clause of "group A received heparin; group B received placebo"
    and "heparin" from the other. A claim that is one whole clause with what it shares with another is no such mixture.

    Args:
        stated: The claim.
        sources: Sentences, each with how well its words stand for those of the claim ``[claim words, its words]``.
    """
    clauses = [
        clause for source, table in sources for clause in _clauses(source, _held(stated, source, table)) if len(clause)
    ]
    for low, high in _bounds(stated.text):
        starts = _starts(stated)
        inside = np.asarray([low <= start < high for start in starts], dtype=bool)
        if inside.sum() < 2:
            continue
        used = np.asarray([clause[:, inside].any(axis=0) for clause in clauses])  # [clauses, items of the claim]
        partly = 0
        for n, clause in enumerate(clauses):
            others = np.delete(used, n, axis=0).any(axis=0)
            alone = used[n] & ~others
            missing = ~clause[:, inside].any(axis=1)
            partly += bool(alone.any() and missing.any())
        if partly > 1:
            return True
    return False


def _starts(text: ReadText) -> list[int]:
    return [one.start for one in text.words] + [one.start for one in text.numbers]


def _bounds(text: str) -> list[tuple[int, int]]:
    edges = [0, *(match.end() for match in _BREAK.finditer(text)), len(text)]
    return list(pairwise(edges))


def _held(stated: ReadText, source: ReadText, table: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which words and numbers of a source stand for which of a claim ``[source items, claim items]``."""
    held = np.zeros((len(source.words) + len(source.numbers), len(stated.words) + len(stated.numbers)), dtype=bool)
    held[: len(source.words), : len(stated.words)] = table.T >= _ALIGNED
    for i, one in enumerate(source.numbers):
        for j, other in enumerate(stated.numbers):
            held[len(source.words) + i, len(stated.words) + j] = numbers.matches(other, one)
    return held


def _clauses(source: ReadText, held: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Return for each clause the rows of ``held`` of its words and numbers, but for those in parentheses."""
    asides = [match.span() for match in _ASIDE.finditer(source.text)]
    starts = _starts(source)
    free = [not any(low <= start < high for low, high in asides) for start in starts]
    return [
        held[[n for n, start in enumerate(starts) if free[n] and low <= start < high]]
        for low, high in _bounds(source.text)
    ]
