"""Texts with outcomes: targets of each kind as one matrix, checked, and split by group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from radrag.training._head import Kind
from radrag.training.config import QLoraConfig
from radrag.training.splits import grouped_split
from radrag.types import LabelledNote


@dataclass(frozen=True, slots=True)
class OutcomeTexts:
    """Texts with their targets (0 or 1 [n, m]) and groups ("" for none)."""

    texts: tuple[str, ...]
    truth: NDArray[np.float32]
    groups: tuple[str, ...]

    def notes(self) -> list[LabelledNote]:
        """Return them as notes; the id is the position."""
        rows = zip(self.texts, self.truth, self.groups, strict=True)
        return [LabelledNote(t, str(np.flatnonzero(y)), str(n), g) for n, (t, y, g) in enumerate(rows)]

    def take(self, positions: Sequence[int]) -> OutcomeTexts:
        """Return those at the positions."""
        texts, groups = ([column[n] for n in positions] for column in (self.texts, self.groups))
        return OutcomeTexts(tuple(texts), self.truth[list(positions)], tuple(groups))


def check_labels(kind: Kind, labels: Sequence[str]) -> tuple[str, ...]:
    """Return the labels, if they are different names and as many as the kind takes."""
    names = tuple(labels)
    if kind not in ("binary", "multilabel", "single"):
        raise ValueError(f"kind must be 'binary', 'multilabel' or 'single', got {kind!r}")
    if isinstance(labels, str) or not names or len(set(names)) != len(names) or not all(names):
        raise ValueError(f"labels must be a list of different names, got {labels!r}")
    if (kind == "binary") != (len(names) == 1) and kind != "multilabel":
        wanted = "one label, the outcome" if kind == "binary" else "at least two labels"
        raise ValueError(f"kind {kind!r} takes {wanted}, got {len(names)}: {', '.join(names)}")
    return names


def outcome_texts(
    kind: Kind,
    labels: tuple[str, ...],
    texts: Sequence[str],
    targets: ArrayLike | Sequence[str],
    groups: Sequence[str] | None,
) -> OutcomeTexts:
    """Return the texts with their targets as a matrix; see ``train_classifier`` for what each kind takes."""
    rows = np.asarray(targets)
    if kind == "single":
        unknown = sorted({str(name) for name in rows.ravel()} - set(labels))
        if rows.ndim != 1 or unknown:
            raise ValueError(
                f"targets must be the name of a label for each text, got shape {rows.shape}, {unknown[:3]}"
            )
        rows = rows[:, None] == np.asarray(labels)[None, :]
    if kind == "binary" and rows.ndim == 1:
        rows = rows[:, None]
    if rows.shape != (len(texts), len(labels)) or not len(texts):
        raise ValueError(f"targets must have a row for each of {len(texts)} texts and {len(labels)} columns, "
                         f"got shape {rows.shape}")  # fmt: skip
    truth = rows.astype(np.float32)
    if not np.isin(truth, (0, 1)).all():
        raise ValueError(f"targets must be 0 or 1, got {truth[~np.isin(truth, (0, 1))][0]:g}")
    if groups is not None and len(groups) != len(texts):
        raise ValueError(f"groups must name a group for each of {len(texts)} texts, got {len(groups)}")
    return OutcomeTexts(tuple(texts), truth, tuple(map(str, groups)) if groups is not None else ("",) * len(texts))


def split_texts(everything: OutcomeTexts, config: QLoraConfig) -> tuple[OutcomeTexts, OutcomeTexts]:
    """Hold out a share of the texts, no group and no near copy on both sides."""
    sides = grouped_split(everything.notes(), config.valid_share, config.seed)
    train, held = ([int(note.id) for note in side] for side in sides)
    if config.valid_share and not held:
        raise ValueError(
            f"nothing can be held out of {len(everything.texts)} texts: groups and near copies join them all. Give "
            "valid, or valid_share=0."
        )
    return everything.take(train), everything.take(held)
