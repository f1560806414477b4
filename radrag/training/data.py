"""From labelled notes to training records: grouped split, prompt and completion chats, token lengths."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from radrag.errors import require
from radrag.generation.prompts import label_chat
from radrag.types import LabelledNote

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Lengths:
    """Token lengths of whole records, prompt and completion together.

    Attributes:
        n: Records.
        mean: Mean length.
        p95: 95th percentile, nearest rank.
        longest: Greatest length.
    """

    n: int
    mean: float
    p95: int
    longest: int


def grouped_split(
    notes: Sequence[LabelledNote], share: float, seed: int = 0
) -> tuple[list[LabelledNote], list[LabelledNote]]:
    """Split notes so that no group, and no text up to case and spacing, is on both sides.

    Args:
        notes: The notes; one without a group is grouped by its text.
        share: Part of the notes to hold out, between 0 and 1; whole groups are drawn until it is reached.
        seed: Seed of the draw.

    Returns:
        The notes to train on and the notes held out, each in the order given.
    """
    if not 0 <= share < 1:
        raise ValueError(f"share must be at least 0 and below 1, got {share}")
    components = _components(notes)
    sizes = Counter(components)
    order = list(sizes)
    random.Random(seed).shuffle(order)
    held: set[int] = set()
    count = 0
    for name in order:
        if count >= share * len(notes):
            break
        held.add(name)
        count += sizes[name]
    train = [note for note, name in zip(notes, components, strict=True) if name not in held]
    valid = [note for note, name in zip(notes, components, strict=True) if name in held]
    return train, valid


def chat_dataset(notes: Sequence[LabelledNote]) -> Dataset:
    """Make a ``datasets.Dataset`` of prompt and completion chats; the completion is the label's id."""
    rows = [
        {
            "prompt": [{"role": turn.role, "content": turn.content} for turn in label_chat(note.text, None)],
            "completion": [{"role": "assistant", "content": note.label}],
        }
        for note in notes
    ]
    dataset: Dataset = require("datasets", extra="train").Dataset.from_list(rows)
    return dataset


def check_lengths(dataset: Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int) -> Lengths:
    """Measure records in tokens, and refuse any that training would cut.

    Raises:
        ValueError: If there is no record, or one is longer than ``max_length``: what is cut is its completion.
    """
    texts = [tokenizer.apply_chat_template([*row["prompt"], *row["completion"]], tokenize=False) for row in dataset]
    lengths = sorted(len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]) if texts else []
    if not lengths:
        raise ValueError("there is no note to train on")
    over = sum(length > max_length for length in lengths)
    if over:
        raise ValueError(
            f"{over} of {len(lengths)} records are longer than max_length {max_length} (the longest has {lengths[-1]} "
            f"tokens), and their completion would be cut. Set max_length to {lengths[-1]} or shorten the notes."
        )
    p95 = lengths[-(-95 * len(lengths) // 100) - 1]
    return Lengths(n=len(lengths), mean=sum(lengths) / len(lengths), p95=p95, longest=lengths[-1])


def _components(notes: Sequence[LabelledNote]) -> list[int]:
    """Number notes so that those joined by group or by text, also through others, share a number."""
    parent = list(range(len(notes)))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    first: dict[tuple[str, str], int] = {}
    for position, note in enumerate(notes):
        keys = [("text", " ".join(note.text.lower().split()))] + ([("group", note.group)] if note.group else [])
        for key in keys:
            parent[root(position)] = root(first.setdefault(key, position))
    return [root(position) for position in range(len(notes))]
