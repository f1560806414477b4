"""Labels without examples: what is known about each label is searched with the note."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, vstack
from scipy.special import log_softmax

from radrag.corpora.retractions import NO_EVIDENCE
from radrag.indexes.hybrid import HybridIndex
from radrag.indexes.searcher import Mode, Searcher
from radrag.indexes.tokens import tokenize
from radrag.labelling.cite import is_indications
from radrag.labelling.features import features, fit_vocabulary, vectorise
from radrag.labelling.label_set import LabelSet, described
from radrag.labelling.matrix_search import MatrixSearch
from radrag.labelling.memory import dense_weight, memory_searcher, rounded
from radrag.labelling.text_model import TextModel
from radrag.protocols import Encoder
from radrag.types import Document, Span

_BLOCK = 4_096  # labels whose words are counted at a time
_DEPTH = 10  # labels that each search contributes for one that is wanted
_LEAST_DEPTH = 200


class ZeroShot:
    """Scores labels by how similar a note is to what is written about them. The scores are not calibrated.

    Three searches, added up: names with definition, the guideline's section on indications, and the whole guideline.

    Args:
        labels: The labels.
        encoder: Encoder of notes.
        guidelines: Guideline of each label that has one, by id; with none only names and definitions are searched.
    """

    def __init__(self, labels: LabelSet, encoder: Encoder, guidelines: Mapping[str, Document] | None = None) -> None:
        self._size, self._encoder = len(labels), encoder
        known = list(_known(labels, guidelines or {}))
        fields = [list(texts) for texts in zip(*known, strict=True)]
        self._fields = [(texts, rounded(encoder.encode(texts, "passage"))) for texts in fields]
        self._texts = ["\n".join(dict.fromkeys(texts)) for texts in known]

    def scores(self, notes: Sequence[str]) -> NDArray[np.float64]:
        """Return log-scores ``[n, labels]``; for sets of thousands ``nearest`` and ``scores_of`` make less of them."""
        total = np.sum([search.all(notes) for search in self._matrices], axis=0)
        return np.asarray(log_softmax(total, axis=1), dtype=np.float64)

    def scores_of(self, notes: Sequence[str], positions: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return log-scores among some labels only, such as the candidates of a ``LabelIndex``.

        Args:
            notes: Texts ``[n]``.
            positions: Labels of each note ``[n, k]``, each once.

        Returns:
            float64 ``[n, k]`` in the order of ``positions``. The searches' scores are brought to one scale
            among these labels, so they are not those of ``scores`` with the other labels left out.

        Raises:
            ValueError: If the shape is another, or a position is no label or occurs twice for a note.
        """
        if positions.ndim != 2 or len(positions) != len(notes) or not positions.size:
            raise ValueError(f"positions must have shape [{len(notes)}, k], k at least 1, got {list(positions.shape)}")
        if positions.min() < 0 or positions.max() >= self._size:
            raise ValueError(
                f"positions must be from 0 to {self._size - 1}, got {positions.min()} to {positions.max()}"
            )
        if (np.diff(np.sort(positions, axis=1), axis=1) == 0).any():
            raise ValueError("positions of a note must differ, got one twice")
        total = np.stack([self._among(note, row)[row] for note, row in zip(notes, positions, strict=True)])
        return np.asarray(log_softmax(total, axis=1), dtype=np.float64)

    def nearest(self, notes: Sequence[str], k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Find the best labels of each note without scoring all of them.

        Args:
            notes: Texts ``[n]``.
            k: Labels wanted, from 1 to the number of labels.

        Returns:
            Positions ``[n, k]``, best first and ties by position, and their log-scores ``[n, k]`` among these.
        """
        if not 1 <= k <= self._size:
            raise ValueError(f"k must be from 1 to the {self._size} labels, got {k}")
        depth = min(self._size, max(_LEAST_DEPTH, _DEPTH * k))
        positions = np.empty((len(notes), k), dtype=np.int64)
        kept = np.empty((len(notes), k))
        for place, note in enumerate(notes):
            searches = (searcher.search([note], depth, None, Mode.HYBRID)[0] for searcher in self._searchers)
            found = np.unique([row for hits in searches for row, *_ in hits])
            total = self._among(note, found)[found]
            order = np.lexsort((found, -total))[:k]
            positions[place], kept[place] = found[order], total[order]
        return positions, np.asarray(log_softmax(kept, axis=1), dtype=np.float64)

    def evidence(self, note: str, label: int) -> tuple[Span, ...]:
        """Return the phrases that the note shares with what is known about a label, as ``TextModel.evidence`` does."""
        vocabulary, idf, weights = self._words
        # Only the columns of the note's own words: all of them would be labels times words.
        names = list(dict.fromkeys(name for name in features(tokenize(note)) if name in vocabulary))
        columns = [vocabulary[name] for name in names]
        here = {name: place for place, name in enumerate(names)}
        model = TextModel(here, idf[columns], weights[:, columns].toarray(), np.zeros(self._size, dtype=np.float32))
        return model.evidence(note, label)

    def evidences(self, notes: Sequence[str], labels: Sequence[int]) -> list[tuple[Span, ...]]:
        """Return the evidence for each note's label."""
        return [self.evidence(note, label) for note, label in zip(notes, labels, strict=True)]

    def _among(self, note: str, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return scores ``[labels]``, brought to one scale among these rows and 0 elsewhere."""
        mask, total = np.zeros(self._size, dtype=np.bool_), np.zeros(self._size)
        mask[rows] = True
        for searcher in self._searchers:
            for row, score, *_ in searcher.search([note], len(rows), [mask], Mode.HYBRID)[0]:
                total[row] += score
        return total

    @cached_property
    def _matrices(self) -> list[MatrixSearch]:
        weight = dense_weight(self._encoder)
        return [MatrixSearch(texts, vectors, self._encoder, weight) for texts, vectors in self._fields]

    @cached_property
    def _searchers(self) -> list[Searcher]:
        return [memory_searcher(texts, vectors, self._encoder) for texts, vectors in self._fields]

    @cached_property
    def _words(self) -> tuple[dict[str, int], NDArray[np.float32], csc_array]:
        vocabulary, idf = fit_vocabulary(self._texts)
        blocks = [
            vectorise([tokenize(text) for text in self._texts[start : start + _BLOCK]], vocabulary, idf)
            for start in range(0, self._size, _BLOCK)
        ]
        return vocabulary, idf, csc_array(vstack(blocks))


def guidelines_of(labels: LabelSet, index: HybridIndex) -> dict[str, Document]:
    """Return the documents of an index that have a label's id; a retracted one, or a notice, is no guideline."""
    found, flags = {}, index.flags(labels.ids)
    for id in labels.ids:
        if NO_EVIDENCE.isdisjoint(flags[id]):
            with suppress(KeyError):
                found[id] = index.document(id)
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
