"""Splits that keep copies on one side: of a patient, a note or a source, of a text, and of nearly the same text."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from radrag.generation.prompts import bare
from radrag.labelling.near import near_pairs
from radrag.training.records import ChatRecord
from radrag.types import LabelledNote

Item = TypeVar("Item", ChatRecord, LabelledNote)
NEAR = 0.8


@dataclass(frozen=True, slots=True)
class Leak:
    """Something of a held-out record that is in the training data too.

    Attributes:
        kind: ``"group"``, ``"text"`` (equal up to case and spacing) or ``"near copy"``.
        train: Position of the training record.
        valid: Position of the held-out record.
        score: Jaccard similarity of their 3-word shingles for a near copy, else 1.
        shared: The group they share, or the beginning of the held-out text.
    """

    kind: Literal["group", "text", "near copy"]
    train: int
    valid: int
    score: float
    shared: str

    def __str__(self) -> str:
        return f"training {self.train} and held-out {self.valid}: {self.kind} {self.score:.2f}, {self.shared!r}"


@dataclass(frozen=True, slots=True)
class Balance:
    """How a split divides the records and each label.

    Attributes:
        share: Part of the records that is held out.
        labels: Each label with its training and held-out count, the most frequent first.
        off: Greatest distance between a label's held-out count and ``share`` of all its records, in records.
    """

    share: float
    labels: tuple[tuple[str, int, int], ...]
    off: float

    def __str__(self) -> str:
        absent = [label for label, _, held in self.labels if not held]
        lacking = f"; none held out of {len(absent)} labels" if absent else ""
        return f"{self.share:.1%} held out; labels are off by {self.off:.1f} records at most{lacking}"


def grouped_split(
    items: Sequence[Item], share: float, seed: int = 0, *, near: float | None = NEAR
) -> tuple[list[Item], list[Item]]:
    """Split so that no group, no text and no near copy is on both sides, with labels in proportion where that allows.

    Items are joined, also through others, by a shared group, by a prompt equal up to case and spacing, and by prompts
    of which the 3-word shingles have a Jaccard similarity of ``near`` or more (Broder, 1997). What is joined is drawn
    as a whole, so the share held out can be off; see ``balance``.

    Args:
        items: Notes or records.
        share: Part of them to hold out, between 0 and 1.
        seed: Seed of the draw.
        near: Least similarity of near copies; None joins by group and equal text alone.

    Returns:
        What to train on and what is held out, each in the order given. Nothing is held out if all is joined.
    """
    if not 0 <= share < 1:
        raise ValueError(f"share must be at least 0 and below 1, got {share}")
    names = _joined(items, near)
    held = _draw(names, [item.label for item in items], share, random.Random(seed))
    train = [item for item, name in zip(items, names, strict=True) if name not in held]
    valid = [item for item, name in zip(items, names, strict=True) if name in held]
    return train, valid


def balance(train: Sequence[Item], valid: Sequence[Item]) -> Balance:
    """Count each label on both sides of a split."""
    left, right = (Counter(item.label for item in side) for side in (train, valid))
    total = left + right
    share = right.total() / max(1, total.total())
    labels = tuple(
        (label, left[label], right[label]) for label, _ in sorted(total.items(), key=lambda x: (-x[1], x[0]))
    )
    return Balance(share, labels, max((abs(right[label] - share * n) for label, n in total.items()), default=0.0))


def leaks(train: Sequence[Item], valid: Sequence[Item], *, near: float | None = NEAR) -> list[Leak]:
    """Find what of the held-out records is in the training data too.

    Returns:
        For every held-out record, in order, one leak for each group it shares, one for an equal text, and else one for
        its closest near copy.
    """
    groups: dict[str, int] = {}
    texts: dict[str, int] = {}
    for position, item in enumerate(train):
        for key in _keys(item):
            groups.setdefault(key, position)
        texts.setdefault(_text(item), position)
    close = _closest(list(texts), [_text(item) for item in valid], near)
    found: list[Leak] = []
    for position, item in enumerate(valid):
        text = _text(item)
        found += [Leak("group", groups[key], position, 1.0, key) for key in _keys(item) if key in groups]
        if text in texts:
            found.append(Leak("text", texts[text], position, 1.0, text[:60]))
        elif text in close:
            copy, score = close[text]
            found.append(Leak("near copy", texts[copy], position, score, text[:60]))
    return found


def check_leaks(train: Sequence[Item], valid: Sequence[Item], *, near: float | None = NEAR) -> None:
    """Raise if anything of the held-out records is in the training data too.

    Raises:
        ValueError: With the number of leaks and the first three.
    """
    found = leaks(train, valid, near=near)
    if found:
        records = len({leak.valid for leak in found})
        shown = "\n".join(f"  {leak}" for leak in found[:3])
        raise ValueError(
            f"{records} of {len(valid)} held-out records leak into the training data ({len(found)} leaks), so figures "
            f"on them would be too good:\n{shown}\nSplit with grouped_split, or leave these records out."
        )


def _text(item: ChatRecord | LabelledNote) -> str:
    """Return the note, or the user's last turn without the prompt's own wording, in lower case with single spaces."""
    text = item.text if isinstance(item, LabelledNote) else bare(item.prompt[-1].content)
    return " ".join(text.lower().split())


def _keys(item: ChatRecord | LabelledNote) -> tuple[str, ...]:
    if isinstance(item, ChatRecord):
        return item.groups
    return (f"patient:{item.group}",) if item.group else ()


class _Union:
    """Disjoint sets of numbers."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def root(self, node: int) -> int:
        while self._parent[node] != node:
            self._parent[node] = self._parent[self._parent[node]]
            node = self._parent[node]
        return node

    def join(self, one: int, other: int) -> None:
        self._parent[self.root(one)] = self.root(other)


def _joined(items: Sequence[ChatRecord | LabelledNote], near: float | None) -> list[int]:
    """Number items so that those joined by group, text or similarity, also through others, share a number."""
    union = _Union(len(items))
    groups: dict[str, int] = {}
    texts: dict[str, int] = {}
    for position, item in enumerate(items):
        union.join(position, texts.setdefault(_text(item), position))
        for key in _keys(item):
            union.join(position, groups.setdefault(key, position))
    if near is not None:
        places = list(texts.values())
        for one, other, _ in near_pairs(
            list(texts), near, lambda one, other: union.root(places[one]) == union.root(places[other])
        ):
            union.join(places[one], places[other])
    return [union.root(position) for position in range(len(items))]


def _closest(known: list[str], asked: list[str], near: float | None) -> dict[str, tuple[str, float]]:
    """Return for each asked text the most similar known one, if one is similar enough; equal texts are left out."""
    if near is None:
        return {}
    present = set(known)
    rest = [text for text in dict.fromkeys(asked) if text not in present]
    texts = [*known, *rest]
    best: dict[int, tuple[float, int]] = {}
    for one, other, score in near_pairs(texts, near, lambda one, other: (one < len(known)) == (other < len(known))):
        copy, text = sorted((one, other))
        if (-score, copy) < best.get(text, (0.0, 0)):
            best[text] = (-score, copy)
    return {texts[text]: (texts[copy], -score) for text, (score, copy) in best.items()}


def _draw(names: Sequence[int], labels: Sequence[str], share: float, random_: random.Random) -> set[int]:
    """Choose whole groups: each label its share, what rounding leaves over passed to the next label, then the rest."""
    sizes: dict[int, Counter[str]] = defaultdict(Counter)
    for name, label in zip(names, labels, strict=True):
        sizes[name][label] += 1
    order = list(sizes)
    random_.shuffle(order)
    wanted = share * len(names)
    if not wanted or len(order) < 2:
        return set()
    totals = Counter(labels)
    main: dict[str, list[int]] = defaultdict(list)
    for name in order:
        main[min(sizes[name], key=lambda label: (-sizes[name][label], label))].append(name)
    held: set[int] = set()
    counts: Counter[str] = Counter()
    over = 0.0
    for label in main:
        quota = share * totals[label] + over
        for name in main[label]:
            others_full = any(counts[other] > share * totals[other] for other in sizes[name] if other != label)
            if counts[label] + sizes[name][label] <= quota + 1e-9 and not others_full:
                held.add(name)
                counts += sizes[name]
        over = quota - counts[label]
    return held | _rest(
        {name: sizes[name].total() for name in order if name not in held}, wanted - counts.total(), held
    )


def _rest(sizes: dict[int, int], lacking: float, held: set[int]) -> set[int]:
    """Choose further groups, in order, until as few records as can be are lacking; at least one if none is held."""
    added: set[int] = set()
    for name, size in sizes.items():
        if size <= lacking:
            added.add(name)
            lacking -= size
    rest = [name for name in sizes if name not in added]
    if lacking > 0 and rest:
        best = min(rest, key=lambda name: abs(sizes[name] - lacking))
        if abs(sizes[best] - lacking) < lacking or not (held or added):
            added.add(best)
    return added
