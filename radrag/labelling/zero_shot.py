"""Labels without examples: what is known about each label is searched with the note."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from radrag.indexes.hybrid import HybridIndex
from radrag.indexes.searcher import Mode
from radrag.indexes.tokens import tokenize
from radrag.labelling.cite import is_indications
from radrag.labelling.features import fit_vocabulary, vectorise
from radrag.labelling.label_set import LabelSet, described
from radrag.labelling.memory import memory_searcher
from radrag.labelling.text_model import TextModel
from radrag.protocols import Encoder
from radrag.types import Document, Span


class ZeroShot:
    """Scores labels by how similar a note is to what is written about them. The scores are not calibrated.

    Three searches, added up: names with definition, the guideline's section on indications, and the whole guideline.

    Args:
        labels: The labels.
        encoder: Encoder of notes.
        guidelines: Guideline of each label that has one, by id; with none only names and definitions are searched.
    """

    def __init__(self, labels: LabelSet, encoder: Encoder, guidelines: Mapping[str, Document] | None = None) -> None:
        self._size = len(labels)
        known = list(_known(labels, guidelines or {}))
        fields = [list(texts) for texts in zip(*known, strict=True)]
        self._searchers = [memory_searcher(texts, encoder.encode(texts, "passage"), encoder) for texts in fields]
        whole = ["\n".join(dict.fromkeys(texts)) for texts in known]
        vocabulary, idf = fit_vocabulary(whole)
        rows = vectorise([tokenize(text) for text in whole], vocabulary, idf)
        self._words = TextModel(vocabulary, idf, rows.toarray(), np.zeros(self._size, dtype=np.float32))

    def scores(self, notes: Sequence[str]) -> NDArray[np.float64]:
        """Return log-scores ``[n, labels]``."""
        total = np.zeros((len(notes), self._size))
        for searcher in self._searchers:
            for place, hits in enumerate(searcher.search(notes, self._size, None, Mode.HYBRID)):
                for row, score, *_ in hits:
                    total[place, row] += score
        return np.asarray(log_softmax(total, axis=1), dtype=np.float64)

    def evidence(self, note: str, label: int) -> tuple[Span, ...]:
        """Return the phrases that the note shares with what is known about a label, as ``TextModel.evidence`` does."""
        return self._words.evidence(note, label)


def guidelines_of(labels: LabelSet, index: HybridIndex) -> dict[str, Document]:
    """Return the documents of an index that have a label's id; a retracted one is no guideline."""
    found = {}
    for id in labels.ids:
        try:
            document = index.document(id)
        except KeyError:
            continue
        if not document.retracted:
            found[id] = document
    return found


def _known(labels: LabelSet, guidelines: Mapping[str, Document]) -> Iterator[list[str]]:
    """Yield the texts about each label, a name for each search; what is absent falls back on names and definition."""
    for label in labels:
        known = described(label)
        document = guidelines.get(label.id)
        texts = [known]
        if document is not None:
            parts = [document.text[part.start : part.end] for part in document.sections if is_indications(part.path)]
            texts += ["\n".join(parts) or known, document.text]
        elif guidelines:
            texts += [known, known]
        yield texts
