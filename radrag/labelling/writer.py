"""Labels by a generator: how likely it finds each label's id as its reply."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from radrag.errors import ModelError
from radrag.generation.prompts import label_chat
from radrag.indexes.hybrid import HybridIndex
from radrag.labelling.label_set import LabelSet
from radrag.protocols import Scorer
from radrag.types import Hit

Examples = Sequence[tuple[str, str]]
EXAMPLES = 4
_GUIDELINE = 3


class Writer:
    """Scores labels by a generator's log-likelihoods of their ids, brought to sum 1 over the label set.

    Args:
        scorer: The generator.
        labels: The labels.
        tuned: It was tuned on these labels: it is shown the note alone, without the list of labels.
    """

    def __init__(self, scorer: Scorer, labels: LabelSet, *, tuned: bool) -> None:
        self._scorer, self._labels, self.tuned = scorer, labels, tuned

    def scores(
        self, notes: Sequence[str], examples: Sequence[Examples] | None = None, index: HybridIndex | None = None
    ) -> NDArray[np.float64]:
        """Return log-scores ``[n, labels]``.

        Args:
            notes: Texts.
            examples: Similar notes with their label's id, for each note.
            index: Where guideline passages come from; None for none.

        Raises:
            ModelError: If the generator returns another shape or a score that is not finite.
        """
        options = None if self.tuned else tuple(self._labels)
        shown: Sequence[Examples] = [()] * len(notes)
        passages: Sequence[Sequence[Hit]] = [()] * len(notes)
        if examples is not None and not self.tuned:
            shown = examples
        if index is not None and not self.tuned:
            passages = index.search(list(notes), _GUIDELINE, {"document_id": list(self._labels.ids)})
        chats = [label_chat(note, options, a, b) for note, a, b in zip(notes, shown, passages, strict=True)]
        found = np.asarray(self._scorer.score(chats, list(self._labels.ids)), dtype=np.float64)
        if found.shape != (len(notes), len(self._labels)) or not np.isfinite(found).all():
            raise ModelError(
                f"the generator must score {len(notes)} notes by {len(self._labels)} labels with finite numbers, got "
                f"shape {found.shape}"
            )
        return np.asarray(log_softmax(found, axis=1), dtype=np.float64)
