"""Labels by a generator: how likely it finds each label's id as its reply."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from radrag.corpora.deidentify import deidentify
from radrag.errors import ModelError
from radrag.generation.prompts import label_chat
from radrag.indexes.hybrid import HybridIndex
from radrag.labelling.label_set import LabelSet
from radrag.protocols import Scorer, says_local
from radrag.types import Chat, Hit, Label

Examples = Sequence[tuple[str, str]]
EXAMPLES = 4
_GUIDELINE = 3
EXAMPLES_TUNED = 3  # what the shipped adapter was tuned with; its prompts must stay short
_REMEMBERED = 4_096  # masked texts: an example is shown with many notes
Tuned = bool | Literal["examples"]


class Writer:
    """Scores labels by a generator's log-likelihoods of their ids, brought to sum 1 over the label set.

    A scorer counts as running elsewhere unless its ``local`` is True: it gets notes and examples with their identifiers
    masked. Which examples and guidelines it gets is found with the notes as they are, for that search stays here.

    Args:
        scorer: The generator; None where only prompts are wanted.
        labels: The labels.
        tuned: It was tuned on these labels: it is shown the note alone, without the list of labels; or, if "examples",
            also similar notes and the labels whose guidelines fit, without the guidelines' text.
    """

    def __init__(self, scorer: Scorer | None, labels: LabelSet, *, tuned: Tuned) -> None:
        self._scorer, self._labels, self.tuned = scorer, labels, tuned
        self.masks = scorer is not None and not says_local(scorer)
        self._masked = lru_cache(maxsize=_REMEMBERED)(lambda text: deidentify(text).text)

    def chats(
        self, notes: Sequence[str], examples: Sequence[Examples] | None = None, index: HybridIndex | None = None
    ) -> list[Chat]:
        """Return the prompt of each note; the arguments are those of ``scores``."""
        shown: Sequence[Examples] = [()] * len(notes)
        if examples is not None and self.tuned is not True:
            shown = examples if not self.tuned else [one[-EXAMPLES_TUNED:] for one in examples]
        asked = notes
        if self.masks:
            asked = [self._masked(note) for note in notes]
            shown = [[(self._masked(text), id) for text, id in one] for one in shown]
        if self.tuned:
            fitting = self._fitting(notes, index)
            return [
                label_chat(note, None, given, candidates=found)
                for note, given, found in zip(asked, shown, fitting, strict=True)
            ]
        passages: Sequence[Sequence[Hit]] = [()] * len(notes)
        if index is not None:
            passages = index.search(list(notes), _GUIDELINE, {"document_id": list(self._labels.ids)})
        options = tuple(self._labels)
        return [label_chat(note, options, a, b) for note, a, b in zip(asked, shown, passages, strict=True)]

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
        assert self._scorer is not None
        chats = self.chats(notes, examples, index)
        found = np.asarray(self._scorer.score(chats, list(self._labels.ids)), dtype=np.float64)
        if found.shape != (len(notes), len(self._labels)) or not np.isfinite(found).all():
            raise ModelError(
                f"the generator must score {len(notes)} notes by {len(self._labels)} labels with finite numbers, got "
                f"shape {found.shape}"
            )
        return np.asarray(log_softmax(found, axis=1), dtype=np.float64)

    def _fitting(self, notes: Sequence[str], index: HybridIndex | None) -> Sequence[Sequence[Label]]:
        """Return for each note the labels whose guidelines fit it best; none without an index or to be shown."""
        if index is None or self.tuned is True:
            return [()] * len(notes)
        where = {"document_id": list(self._labels.ids)}
        found = index.search(list(notes), _GUIDELINE, where, per_document=1)
        return [[self._labels[hit.passage.document_id] for hit in hits] for hits in found]
