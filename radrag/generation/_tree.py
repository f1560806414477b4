"""Replies as a tree of tokens: what several have in common is computed once.

Source: Miao et al., "SpecInfer", ASPLOS 2024, section 4: attention over a tree of tokens, in which each sees its
ancestors alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ReplyTree:
    """Replies without their last token, which only is foretold, as nodes; a parent stands before its children.

    Attributes:
        tokens: Token of each node.
        depths: How many ancestors each has.
        sees: Whether a node (row) sees another (column): itself and its ancestors, bool ``[nodes, nodes]``.
        paths: For each reply the nodes of its tokens but the last, in order.
    """

    tokens: tuple[int, ...]
    depths: tuple[int, ...]
    sees: NDArray[np.bool_]
    paths: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, replies: Sequence[Sequence[int]]) -> ReplyTree:
        """Make the tree of some replies."""
        known: dict[tuple[int, ...], int] = {}
        paths = []
        for reply in replies:
            beginnings = [tuple(reply[: end + 1]) for end in range(len(reply) - 1)]
            paths.append(tuple(known.setdefault(beginning, len(known)) for beginning in beginnings))
        sees = np.zeros((len(known), len(known)), dtype=np.bool_)
        for path in paths:
            for place, node in enumerate(path):
                sees[node, path[: place + 1]] = True
        tokens = tuple(beginning[-1] for beginning in known)
        return cls(tokens, tuple(len(beginning) - 1 for beginning in known), sees, tuple(paths))


def alike(replies: Sequence[Sequence[int]], tokens: int) -> Iterator[list[int]]:
    """Yield the positions of replies in groups of at most so many tokens (or one reply): neighbours begin alike."""
    group: list[int] = []
    size = 0
    for place in sorted(range(len(replies)), key=lambda row: tuple(replies[row])):
        if group and size + len(replies[place]) > tokens:
            yield group
            group, size = [], 0
        group.append(place)
        size += len(replies[place])
    if group:
        yield group
