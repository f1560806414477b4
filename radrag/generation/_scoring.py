"""Log-probabilities of given replies: all of them over one tree of tokens, or the likeliest by search."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from copy import deepcopy
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from radrag.errors import require
from radrag.generation._tree import ReplyTree, alike
from radrag.generation._trie import Branch, Search, branches

if TYPE_CHECKING:
    from torch import Tensor

_TREE_TOKENS = 64  # of replies for each row of a batch, when all are wanted
_STEP_TOKENS = 8  # of replies for each row in a step of a search: a step costs about as much with 1 as with these
_SHORTEST = 8  # tokens that a beginning of all prompts needs to be worth a step of its own
Rows = Sequence[Sequence[int]]


class ReplyScorer:
    """Scores the same replies after several prompts.

    What all prompts begin with (the system turn) is computed once.

    Args:
        model: A causal language model.
        pad: Token that fills rows up.
        batch_size: Rows run at once when all replies are wanted, times 8; else rows.
        floor: Share of the best reply's probability from which on a reply's score is exact; 0 for all replies.
    """

    def __init__(self, model: Any, pad: int, batch_size: int, floor: float) -> None:
        self._torch = require("torch", extra="llama")
        self._model, self._pad, self._batch_size, self._floor = model, pad, batch_size, floor

    def __call__(self, prompts: Rows, replies: Rows) -> NDArray[np.float64]:
        """Return ``[prompts, replies]`` log-probabilities; replies end with an end of turn and hold no other."""
        scores = np.zeros((len(prompts), len(replies)))
        if not len(prompts):
            return scores
        shared, kept = self._shared(prompts)
        rest = [list(prompt[shared:]) for prompt in prompts]
        tree = branches(replies) if self._floor else ()
        # Few prompts at once where each gets many replies, many where each gets a handful.
        size = self._batch_size if self._floor else max(1, self._batch_size // 8)
        for rows in like_batches(rest, size):
            first, cache, mask = self._opened([rest[row] for row in rows], shared, kept)
            if self._floor:
                scores[rows] = self._likeliest(first, cache, mask, tree, len(replies))
            else:
                scores[rows] = self._all(first, cache, mask, replies)
        return scores

    def _shared(self, prompts: Rows) -> tuple[int, Any]:
        """Return how many tokens all prompts begin with, and a cache of them; 0 and None if too few."""
        alike_so_far = takewhile(lambda tokens: len(set(tokens)) == 1, zip(*prompts, strict=False))
        same = min(sum(1 for _ in alike_so_far), min(map(len, prompts)) - 1)
        if len(prompts) == 1 or same < _SHORTEST:
            return 0, None
        ids = self._torch.tensor([list(prompts[0][:same])], device=self._model.device)
        return same, self._model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values

    def _opened(self, prompts: Rows, shared: int, kept: Any) -> tuple[Tensor, Any, Tensor]:
        """Return the log-probabilities of the first token, and cache and mask of the prompts."""
        torch = self._torch
        ids, mask = padded(torch, prompts, self._pad, self._model.device, left=True)
        positions = shared + (mask.cumsum(-1) - 1).clamp(min=0)
        cache = None
        if kept is not None:
            cache = deepcopy(kept)
            cache.batch_repeat_interleave(len(prompts))
            mask = torch.cat([mask.new_ones(len(prompts), shared), mask], -1)
        out = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return out.logits[:, -1].float().log_softmax(-1), out.past_key_values, mask

    def _all(self, first: Tensor, cache: Any, mask: Tensor, replies: Rows) -> NDArray[np.float64]:
        """Return the scores of all replies, as trees of tokens of a size that memory bears."""
        torch, size = self._torch, len(mask)
        scores: NDArray[np.float64] = first[:, [reply[0] for reply in replies]].double().cpu().numpy()
        for columns in alike(replies, _TREE_TOKENS * self._batch_size // size):
            tree = ReplyTree.of([replies[column] for column in columns])
            if not tree.tokens:
                continue
            nodes = torch.tensor([tree.tokens, tree.depths], device=mask.device)
            sees = torch.from_numpy(tree.sees).to(mask.device).expand(size, -1, -1)
            prompt = mask.bool()[:, None, :].expand(-1, len(tree.tokens), -1)
            logits = self._model(
                input_ids=nodes[0].expand(size, -1),
                attention_mask=self._added(torch.cat([prompt, sees], -1)),
                position_ids=mask.sum(-1, keepdim=True) + nodes[1],
                past_key_values=deepcopy(cache),
                use_cache=True,
            ).logits
            known = logits.float().log_softmax(-1)
            for column, path in zip(columns, tree.paths, strict=True):
                steps = known[:, list(path), list(replies[column][1:])]
                scores[:, column] += steps.double().sum(-1).cpu().numpy()
        return scores

    def _likeliest(
        self, first: Tensor, cache: Any, mask: Tensor, tree: Sequence[Branch], options: int
    ) -> NDArray[np.float64]:
        """Return scores by search: in each step every chat reads the branches that are likeliest by then."""
        searches = [Search(tuple(tree), math.log(self._floor)) for _ in range(len(mask))]
        roots = [number for number, branch in enumerate(tree) if branch.parent < 0]
        tokens = [tree[number].tokens[0] for number in roots]
        for search, row in zip(searches, first[:, tokens].double().cpu().tolist(), strict=True):
            search.enter(roots, 0.0, dict(zip(tokens, row, strict=True)))
        active, read = list(range(len(searches))), 0
        while True:
            chosen = [searches[row].wanted(_STEP_TOKENS) for row in active]
            going = [place for place, numbers in enumerate(chosen) if numbers]
            if not going:
                return np.stack([search.scores(options) for search in searches])
            if len(going) < len(active):
                kept = self._torch.tensor(going, device=mask.device)
                cache.batch_select_indices(kept)
                mask = mask[kept]
                active, chosen = [active[place] for place in going], [chosen[place] for place in going]
            read += self._step([searches[row] for row in active], chosen, cache, mask, read)

    def _step(
        self, searches: Sequence[Search], chosen: Sequence[Sequence[int]], cache: Any, mask: Tensor, read: int
    ) -> int:
        """Read branches, one row of tokens for each chat, and tell the searches; return how many columns that took."""
        torch, start = self._torch, mask.shape[1]
        parts = [
            [token for number in row for token in one.tree[number].read]
            for one, row in zip(searches, chosen, strict=True)
        ]
        ids, _ = padded(torch, parts, self._pad, mask.device, left=False)
        width = ids.shape[1]
        sees = np.zeros((len(parts), width, read + width), dtype=np.bool_)
        depths = np.zeros((len(parts), width), dtype=np.int64)
        for row, (search, numbers) in enumerate(zip(searches, chosen, strict=True)):
            for place, columns, depth in search.places(numbers, read):
                sees[row, place, columns] = True
                depths[row, place] = depth
        prompt = mask.bool()[:, None, :].expand(-1, width, start)
        known = self._model(
            input_ids=ids,
            attention_mask=self._added(torch.cat([prompt, torch.from_numpy(sees).to(mask.device)], -1)),
            position_ids=mask.sum(-1, keepdim=True) + torch.from_numpy(depths).to(mask.device),
            past_key_values=cache,
            use_cache=True,
        ).logits
        for row, (search, numbers) in enumerate(zip(searches, chosen, strict=True)):
            _tell(search, numbers, known[row].float().log_softmax(-1))
        return int(width)

    def _added(self, open_: Tensor) -> Tensor:
        """Return what attention adds, ``[prompts, 1, nodes, columns]``: 0 where a node may look."""
        torch, dtype = self._torch, self._model.dtype
        shut = torch.finfo(dtype).min
        return torch.zeros(open_.shape, dtype=dtype, device=open_.device).masked_fill(~open_, shut)[:, None]


def _tell(search: Search, numbers: Sequence[int], known: Tensor) -> None:
    """Tell a search what the model said after each token that it read, ``[tokens, vocabulary]``."""
    places: list[int] = []
    tokens: list[int] = []
    start = 0
    for number in numbers:
        branch = search.tree[number]
        firsts = [search.tree[child].tokens[0] for child in branch.children]
        steps = len(branch.read)
        places += [*range(start, start + len(branch.tokens) - 1), *[start + steps - 1] * len(firsts)]
        tokens += [*branch.tokens[1:], *firsts]
        start += steps
    values = iter(known[places, tokens].double().cpu().tolist())  # only these leave the device
    for number in numbers:
        branch = search.tree[number]
        score = search.close(number, sum(next(values) for _ in branch.tokens[1:]))
        after = {search.tree[child].tokens[0]: next(values) for child in branch.children}
        search.enter(branch.children, score, after)


def padded(torch: Any, rows: Rows, pad: int, device: Any, *, left: bool) -> tuple[Tensor, Tensor]:
    """Return tokens and mask, int64 ``[rows, longest]``."""
    width = max(map(len, rows))
    fills = [[pad] * (width - len(row)) for row in rows]
    masks = [[0] * (width - len(row)) for row in rows]
    ids = [[*fill, *row] if left else [*row, *fill] for fill, row in zip(fills, rows, strict=True)]
    mask = [[*m, *[1] * len(r)] if left else [*[1] * len(r), *m] for m, r in zip(masks, rows, strict=True)]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def like_batches(rows: Rows, size: int) -> Iterator[list[int]]:
    """Yield positions of rows in batches of like length."""
    order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
    for start in range(0, len(order), size):
        yield order[start : start + size]
