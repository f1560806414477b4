"""The search for the likeliest replies against computing all of them, with a made-up model."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radrag.generation._trie import Branch, Search, branches

END = 0
REPLIES = st.lists(st.lists(st.integers(1, 2), min_size=1, max_size=5), min_size=1, max_size=30).map(
    lambda found: [[*one, END] for one in found]
)


def model(before: Sequence[int]) -> dict[int, float]:
    """Log-probabilities of the next token, drawn from what came before; most go to what replies go on with."""
    draw = random.Random(repr(tuple(before)))
    weights = [draw.random() ** 2 + 1e-6 for _ in range(3)] + [0.01, 0.01]
    return {token: math.log(weight / sum(weights)) for token, weight in enumerate(weights)}


def likelihood(reply: Sequence[int]) -> float:
    return sum(model(reply[:place])[token] for place, token in enumerate(reply))


def run(replies: list[list[int]], floor: float, budget: int) -> tuple[np.ndarray, int]:
    tree = branches(replies)
    search = Search(tree, math.log(floor))
    search.enter([n for n, one in enumerate(tree) if one.parent < 0], 0.0, model([]))
    read = 0
    while chosen := search.wanted(budget):
        sizes = [len(tree[number].read) for number in chosen]
        assert len(chosen) == 1 or sum(sizes) <= budget
        places = list(search.places(chosen, read))
        assert [place for place, _, _ in places] == list(range(sum(sizes)))
        for number in chosen:
            branch = tree[number]
            whole = replies[branch.options[0]]
            stop = branch.depth + len(branch.tokens)
            inner = sum(model(whole[:place])[whole[place]] for place in range(branch.depth + 1, stop))
            score = search.close(number, inner)
            search.enter(branch.children, score, model(whole[:stop]))
        read += sum(sizes)
    return search.scores(len(replies)), read


@given(replies=REPLIES)
def test_branches_hold_every_reply_once(replies: list[list[int]]) -> None:
    tree = branches(replies)
    for row, reply in enumerate(replies):
        path: list[Branch] = sorted((one for one in tree if row in one.options), key=lambda one: one.depth)
        assert [token for one in path for token in one.tokens] == reply
        assert [one.parent < 0 for one in path] == [True] + [False] * (len(path) - 1)
    for number, one in enumerate(tree):
        assert one.parent < number
        assert all(tree[child].parent == number for child in one.children)
        assert len(one.children) != 1
        assert sum(len(tree[child].options) for child in one.children) in (0, len(one.options))


@given(replies=REPLIES, floor=st.sampled_from([1.0, 0.1, 1e-3, 1e-30]), budget=st.integers(1, 12))
def test_search_is_exact_above_the_floor(replies: list[list[int]], floor: float, budget: int) -> None:
    expected = np.array([likelihood(reply) for reply in replies])
    found, _ = run(replies, floor, budget)
    least = expected.max() + math.log(floor)
    above = expected >= least
    np.testing.assert_allclose(found[above], expected[above], atol=1e-9)
    assert (found >= expected - 1e-9).all()
    assert (found[~above] < least + 1e-9).all()


def test_the_best_alone_takes_less_reading_than_all() -> None:
    draw = random.Random(0)
    replies = [[draw.randint(1, 2) for _ in range(8)] + [END] for _ in range(60)]
    assert run(replies, 1.0, 1)[1] < 0.8 * sum(len(one.read) for one in branches(replies))


@pytest.mark.parametrize(
    ("floor", "bound", "goes_on"), [(1, -0.9, True), (1, -1.1, False), (0.5, -1.6, True), (0.5, -1.8, False)]
)
def test_a_branch_is_left_when_it_cannot_reach_the_floor(floor: float, bound: float, goes_on: bool) -> None:
    tree = branches([[1, END], [2, END]])
    search = Search(tree, math.log(floor))
    search.enter([0, 1], 0.0, {1: -0.5, 2: bound})
    assert search.wanted(1) == [0]
    search.close(0, -0.5)
    assert search.wanted(1) == ([1] if goes_on else [])
    assert search.scores(2).tolist() == [-1.0, bound]


def test_columns_are_those_of_the_ancestors() -> None:
    tree = branches([[1, 2, 3, END], [1, 2, 4, 5, END], [6, END]])
    search = Search(tree, -1.0)
    first = next(number for number, one in enumerate(tree) if one.tokens == (1, 2))
    second = next(number for number, one in enumerate(tree) if one.tokens == (4, 5, END))
    assert list(search.places([first], 0)) == [(0, (0,), 0), (1, (0, 1), 1)]
    # Another chat of the batch read five tokens in that step, so this one goes on at column 5.
    assert list(search.places([second], 5)) == [(0, (0, 1, 5), 2), (1, (0, 1, 5, 6), 3)]
