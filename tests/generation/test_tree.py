"""Trees of replies: each node once, each reply found again along its path, no node sees a cousin."""

from __future__ import annotations

from itertools import chain

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from radrag.generation._tree import ReplyTree, alike

REPLIES = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=5), min_size=1, max_size=12)


def test_a_tree_by_hand() -> None:
    tree = ReplyTree.of([(5, 6, 9), (5, 6, 8), (5, 7, 9), (4,)])
    assert tree.tokens == (5, 6, 7)
    assert tree.depths == (0, 1, 1)
    assert tree.paths == ((0, 1), (0, 1), (0, 2), ())
    assert np.array_equal(tree.sees, [[1, 0, 0], [1, 1, 0], [1, 0, 1]])


@given(REPLIES)
def test_paths_spell_the_replies_and_nodes_see_their_beginnings(replies: list[list[int]]) -> None:
    tree = ReplyTree.of(replies)
    beginnings = {tuple(reply[: end + 1]) for reply in replies for end in range(len(reply) - 1)}
    assert len(tree.tokens) == len(beginnings)
    for reply, path in zip(replies, tree.paths, strict=True):
        assert [tree.tokens[node] for node in path] == reply[:-1]
        for depth, node in enumerate(path):
            assert tree.depths[node] == depth
            assert list(np.flatnonzero(tree.sees[node])) == sorted(path[: depth + 1])


@given(REPLIES, st.integers(1, 20))
def test_groups_hold_every_reply_once_within_the_size(replies: list[list[int]], tokens: int) -> None:
    groups = list(alike(replies, tokens))
    assert sorted(chain.from_iterable(groups)) == list(range(len(replies)))
    assert all(len(group) == 1 or sum(len(replies[row]) for row in group) <= tokens for group in groups)
