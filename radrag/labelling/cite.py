"""The sentence of a label's guideline that says why the label fits a note."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from radrag.corpora import split_sentences
from radrag.corpora.sentences import HEADING
from radrag.errors import IndexCorruptError
from radrag.indexes.hybrid import HybridIndex
from radrag.indexes.searcher import Mode
from radrag.labelling.label_set import described
from radrag.labelling.memory import memory_searcher
from radrag.protocols import Encoder
from radrag.types import Citation, Document, Label, Passage

_PASSAGES = 8
_LABEL_WEIGHT = 0.5


def is_indications(path: Sequence[str]) -> bool:
    """Whether a section says what an exam is for."""
    return bool(path) and path[-1].strip().casefold() in ("indication", "indications")


def cite(index: HybridIndex, notes: Sequence[str], label: Label) -> list[Citation | None]:
    """Quote for each note the best sentence of the guideline whose id is the label's.

    The passages of that document are searched with the note; sentences of a section on indications go before all
    others. Among them the hybrid search decides, with the note and, at half weight, with the label's name and
    definition, which say what the guideline is for where the note's words are not the guideline's.

    Args:
        index: Where guidelines are.
        notes: Notes with that label, none of them blank.
        label: The label.

    Returns:
        A citation for each note, or None for all if the index has no such document that is not retracted.
    """
    document: Document | None = None
    candidates: dict[tuple[int, ...], _Sentences] = {}
    found: list[Citation | None] = []
    for note, hits in zip(notes, index.search(list(notes), _PASSAGES, {"document_id": label.id}), strict=True):
        passages = sorted((hit.passage for hit in hits), key=lambda passage: passage.start)
        passages = [passage for passage in passages if is_indications(passage.path)] or passages
        key = tuple(passage.id for passage in passages)
        if key not in candidates:
            candidates[key] = _Sentences(passages, label, index.encoder)
        best = candidates[key].best(note)
        if best is not None:
            document = document or index.document(label.id)
            found.append(_citation(document, *best))
        else:
            found.append(None)
    return found


class _Sentences:
    """Sentences of passages, searched with notes."""

    def __init__(self, passages: Sequence[Passage], label: Label, encoder: Encoder) -> None:
        self._spans = [(passage, *span) for passage in passages for span in _sentences(passage)]
        if self._spans:
            texts = [passage.text[start:end] for passage, start, end in self._spans]
            self._searcher = memory_searcher(texts, encoder.encode(texts, "passage"), encoder)
            self._prior = _LABEL_WEIGHT * self._scores(described(label))

    def best(self, note: str) -> tuple[Passage, int, int] | None:
        """Return passage and offsets in it of the best sentence, the first of equals; None if there is none."""
        if not self._spans:
            return None
        return self._spans[int(np.argmax(self._scores(note) + self._prior))]

    def _scores(self, text: str) -> NDArray[np.float64]:
        scores = np.zeros(len(self._spans))
        for row, score, *_ in self._searcher.search([text], len(self._spans), None, Mode.HYBRID)[0]:
            scores[row] = score
        return scores


def _sentences(passage: Passage) -> Iterator[tuple[int, int]]:
    for start, end in split_sentences(passage.text):
        if not HEADING.match(passage.text, start):
            yield start, end


def _citation(document: Document, passage: Passage, start: int, end: int) -> Citation:
    first, last = passage.start + start, passage.start + end
    quote = document.text[first:last]
    if quote != passage.text[start:end]:
        raise IndexCorruptError(f"passage {passage.id} is not a slice of {document.id!r}; rebuild the index")
    year = document.metadata.get("year")
    return Citation(
        key=1,
        document_id=document.id,
        passage_id=passage.id,
        start=first,
        end=last,
        quote=quote,
        title=document.title,
        path=passage.path,
        url=str(document.metadata.get("url") or ""),
        year=year if isinstance(year, int) else None,
        flags=passage.flags,
    )
