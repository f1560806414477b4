"""Training token vectors: texts as bags of tokens, a teacher's vectors to imitate, pairs to bring together."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

_log = logging.getLogger(__name__)
Bags = Sequence[NDArray[np.int64]]
_LOWEST_RATE = 0.02


@dataclass(frozen=True, slots=True)
class Steps:
    """How long and how fast to learn.

    Attributes:
        epochs: Times to see everything.
        batch: Items a step.
        lr: Learning rate of Adam at the start; it falls to a fiftieth in a straight line.
        seed: Seed of the order.
    """

    epochs: int
    batch: int
    lr: float
    seed: int


def imitate(start: NDArray[np.float32], bags: Bags, taught: NDArray[np.float32], steps: Steps) -> NDArray[np.float32]:
    """Bring texts to where a teacher has them (Tulkens and van Dongen's "tokenlearn", here by cosine).

    The teacher's space is turned and cut to the student's length by the orthogonal map that fits the start best
    (Schoenemann, "A generalized solution of the orthogonal Procrustes problem", 1966).

    Args:
        start: float32 ``[tokens, dim]``.
        bags: Token ids of each text, none empty.
        taught: float32 ``[texts, teacher's dim]``, unit length; the teacher's dim is at least ``dim``.
        steps: How to learn.

    Returns:
        float32 ``[tokens, dim]``.
    """
    import torch

    begun = _encoded_all(start, bags)
    left, _, right = np.linalg.svd(taught.T @ begun, full_matrices=False)
    goal = taught @ (left @ right)
    goals = torch.from_numpy(np.ascontiguousarray(goal / np.linalg.norm(goal, axis=1, keepdims=True)))

    def loss(table: Tensor, rows: NDArray[np.int64]) -> Tensor:
        return 1 - (_encoded(table, [bags[row] for row in rows]) * goals[rows]).sum(dim=1).mean()

    return _learn(start, len(bags), loss, steps)


def contrast(
    start: NDArray[np.float32], left: Bags, right: Bags, same: tuple[NDArray[np.int64], NDArray[np.int64]],
    negatives: Sequence[NDArray[np.int64]], scale: float, steps: Steps,
) -> NDArray[np.float32]:  # fmt: skip
    """Bring pairs together and keep them apart from the other pairs of a batch and from their hard negatives.

    Args:
        start: float32 ``[tokens, dim]``.
        left: Token ids of the left texts, none empty.
        right: Token ids of the right texts, then of any further texts that negatives name.
        same: For each pair a number of its left and of its right text; equal texts are no negatives of each other.
        negatives: For each pair, rows of ``right`` of which one is drawn at each step; may be empty.
        scale: Factor of the cosines before the softmax.
        steps: How to learn.

    Returns:
        float32 ``[tokens, dim]``.
    """
    import torch
    from torch.nn import functional

    draw = np.random.default_rng(steps.seed)

    def loss(table: Tensor, rows: NDArray[np.int64]) -> Tensor:
        drawn = [int(draw.choice(negatives[row])) for row in rows if len(negatives[row])]
        asked = _encoded(table, [left[row] for row in rows])
        held = _encoded(table, [right[row] for row in (*rows, *drawn)])
        cosines, target = scale * asked @ held.T, torch.arange(len(rows))
        equal = np.zeros(cosines.shape, dtype=bool)
        equal[:, : len(rows)] = (same[0][rows, None] == same[0][rows]) | (same[1][rows, None] == same[1][rows])
        np.fill_diagonal(equal, False)
        cosines = cosines.masked_fill(torch.from_numpy(equal), -torch.inf)
        back = functional.cross_entropy(cosines[:, : len(rows)].T, target)
        return (functional.cross_entropy(cosines, target) + back) / 2

    return _learn(start, len(left), loss, steps)


def _learn(start: NDArray[np.float32], count: int, loss: Any, steps: Steps) -> NDArray[np.float32]:
    import torch

    table = torch.nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = torch.optim.Adam([table], lr=steps.lr)
    total = steps.epochs * (count // steps.batch)
    falling = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(_LOWEST_RATE, 1 - step / total))
    draw = np.random.default_rng(steps.seed)
    for epoch in range(steps.epochs):
        losses = []
        for rows in _batches(draw.permutation(count), steps.batch):
            value = loss(table, rows)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            falling.step()
            losses.append(value.item())
        _log.info("epoch %d of %d: loss %.3f", epoch + 1, steps.epochs, float(np.mean(losses)))
    return np.asarray(table.detach().numpy(), dtype=np.float32)


def _batches(order: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    """Yield whole batches; a last, smaller one would be an easier task."""
    for first in range(0, len(order) - size + 1, size):
        yield order[first : first + size]


def _encoded(table: Tensor, bags: Bags) -> Tensor:
    import torch
    from torch.nn import functional

    offsets = np.cumsum([0, *(len(bag) for bag in bags[:-1])])
    means = functional.embedding_bag(torch.from_numpy(np.concatenate(bags)), table, torch.from_numpy(offsets))
    return functional.normalize(means, dim=1)


def _encoded_all(vectors: NDArray[np.float32], bags: Bags, block: int = 4096) -> NDArray[np.float32]:
    import torch

    table = torch.from_numpy(vectors)
    with torch.no_grad():
        parts = [_encoded(table, bags[first : first + block]).numpy() for first in range(0, len(bags), block)]
    return np.concatenate(parts)
