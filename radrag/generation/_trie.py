"""The most likely of many replies, found without computing those that have no chance.

A reply is never more likely than its beginning, so a beginning that is already too unlikely settles all replies that
start with it. Stretches in which the replies of a branch do not differ are computed in one step.

Source: best-first branch and bound over the prefix tree of the replies; Stahlberg and Byrne, "On NMT Search Errors and
Model Errors", EMNLP 2019, section 3, use the same bound for exact search.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Branch:
    """A stretch of tokens in which replies do not differ: up to where they part, or to their end.

    Attributes:
        tokens: The tokens, at least one.
        parent: Number of the branch before it, -1 for none.
        depth: How many tokens of a reply come before it.
        options: Positions of the replies that run through it.
        children: Numbers of the branches after it; none if the replies end here.
    """

    tokens: tuple[int, ...]
    parent: int
    depth: int
    options: tuple[int, ...]
    children: tuple[int, ...]

    @property
    def read(self) -> tuple[int, ...]:
        """The tokens a model must read; the last one of a reply is only foretold."""
        return self.tokens if self.children else self.tokens[:-1]


def branches(replies: Sequence[Sequence[int]]) -> tuple[Branch, ...]:
    """Return the branches of some replies, none of which continues another; a parent stands before its children."""
    made: list[Branch] = []
    waiting = [(-1, 0, rows) for rows in _parted(replies, range(len(replies)), 0)]
    children: dict[int, list[int]] = {}
    while waiting:
        parent, depth, rows = waiting.pop(0)
        end = _together(replies, rows, depth)
        number = len(made)
        if parent >= 0:
            children.setdefault(parent, []).append(number)
        made.append(Branch(tuple(replies[rows[0]][depth:end]), parent, depth, tuple(rows), ()))
        if len(replies[rows[0]]) > end:
            waiting.extend((number, end, part) for part in _parted(replies, rows, end))
    return tuple(
        Branch(one.tokens, one.parent, one.depth, one.options, tuple(children.get(number, ())))
        for number, one in enumerate(made)
    )


def _parted(replies: Sequence[Sequence[int]], rows: Sequence[int], depth: int) -> list[list[int]]:
    """Return the rows in groups of the same token at a depth, in order of the token."""
    groups: dict[int, list[int]] = {}
    for row in rows:
        groups.setdefault(replies[row][depth], []).append(row)
    return [groups[token] for token in sorted(groups)]


def _together(replies: Sequence[Sequence[int]], rows: Sequence[int], depth: int) -> int:
    """Return up to where the replies of some rows, alike at ``depth``, stay alike."""
    first = replies[rows[0]]
    end = depth + 1
    while end < len(first) and all(len(replies[row]) > end and replies[row][end] == first[end] for row in rows):
        end += 1
    return end


@dataclass(slots=True)
class Search:
    """How far the search of one chat's best replies has come.

    Attributes:
        tree: The branches of all replies.
        floor: Logarithm of the share of the best reply's probability below which a reply need not be exact.
        open: Branches whose first token is known, with the log-probability up to and with it.
        done: Branches that ended, with the log-probability of the whole reply.
        columns: Where the tokens of a branch and of all before it stand after the prompt, for those that were read.
    """

    tree: tuple[Branch, ...]
    floor: float
    open: dict[int, float] = field(default_factory=dict)
    done: dict[int, float] = field(default_factory=dict)
    columns: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def enter(self, numbers: Sequence[int], before: float, known: Mapping[int, float]) -> None:
        """Note what the first token of some branches adds to what came before; a reply may end with it."""
        for number in numbers:
            branch = self.tree[number]
            score = before + known[branch.tokens[0]]
            (self.open if branch.read else self.done)[number] = score

    def wanted(self, tokens: int) -> list[int]:
        """Return the branches to read next, the likeliest first: at least one, and others up to so many tokens.

        Empty once every branch left is too unlikely.
        """
        if not self.open:
            return []
        ended = max(self.done.values(), default=-math.inf)
        if max(self.open.values()) < ended + self.floor:
            return []
        # A branch that cannot beat the best beginning by now may turn out to be of no interest at all.
        least = max(ended, max(self.open.values())) + self.floor
        chosen: list[int] = []
        size = 0
        for number in sorted(self.open, key=lambda one: (-self.open[one], one)):
            size += len(self.tree[number].read)
            if chosen and (size > tokens or self.open[number] < least):
                break
            chosen.append(number)
        return chosen

    def close(self, number: int, inner: float) -> float:
        """Take a branch off the open ones and return its score, with what its other tokens add."""
        score = self.open.pop(number) + inner
        if not self.tree[number].children:
            self.done[number] = score
        return score

    def scores(self, options: int) -> NDArray[np.float64]:
        """Return ``[options]``: exact where a reply was followed to its end, else what its beginning allows at most."""
        found = np.full(options, -np.inf)
        for number, score in [*self.open.items(), *self.done.items()]:
            found[list(self.tree[number].options)] = score
        return found

    def places(self, chosen: Sequence[int], read: int) -> Iterator[tuple[int, tuple[int, ...], int]]:
        """Yield for each token to read its place, the columns it may look at besides the prompt's, and its depth.

        Args:
            chosen: Branches that are read in this step, one after the other.
            read: Columns after the prompt's that earlier steps took.
        """
        place = 0
        for number in chosen:
            branch = self.tree[number]
            before = self.columns.get(branch.parent, ())
            own = range(read + place, read + place + len(branch.read))
            self.columns[number] = (*before, *own)
            for step in range(len(own)):
                yield place + step, (*before, *own[: step + 1]), branch.depth + step
            place += len(own)
