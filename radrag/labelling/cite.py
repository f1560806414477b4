"""The sentence of a label's guideline that says why the label fits a note."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from radrag.corpora import split_sentences
from radrag.corpora.retractions import NO_EVIDENCE
from radrag.corpora.sentences import HEADING
from radrag.errors import IndexCorruptError, IndexStateError
from radrag.indexes.forking import Lock
from radrag.indexes.hybrid import HybridIndex
from radrag.indexes.tokens import passage_terms
from radrag.labelling.label_set import described
from radrag.labelling.matrix_search import scaled
from radrag.labelling.memory import dense_weight, rounded
from radrag.labelling.term_counts import asked_terms, count_terms, impacts
from radrag.protocols import Encoder
from radrag.types import Citation, Document, Label, Passage

_PASSAGES = 8
_LABEL_WEIGHT = 0.5
_NOTES = 256  # notes compared at a time with the sentences of all their labels
_KEPT = 20_000  # prepared sets of sentences
_TIMES = 5
Key = tuple[str, tuple[int, ...]]  # id of the label, ids of the passages


def is_indications(path: Sequence[str]) -> bool:
    """Whether a section says what an exam is for."""
    return bool(path) and path[-1].strip().casefold() in ("indication", "indications")


def cite(index: HybridIndex, notes: Sequence[str], label: Label) -> list[Citation | None]:
    """Quote for each note the best sentence of the guideline whose id is the label's; see ``Quotes.of``."""
    return Quotes(index).of(notes, [label] * len(notes))


@dataclass(frozen=True, slots=True)
class _Sentences:
    """Sentences of one guideline, ready to be compared with notes.

    Attributes:
        quotes: What to cite for each ``[s]``.
        terms: Number of a term, for each term of each sentence ``[m]``.
        places: Position of the sentence ``[m]``.
        impacts: What the term adds to the sentence's BM25 score among these sentences, float32 ``[m]``.
        vectors: Vectors of the sentences, float32 ``[s, dim]``.
        prior: What the label's own name and definition add ``[s]``.
    """

    quotes: tuple[Citation, ...]
    terms: NDArray[np.int64]
    places: NDArray[np.int64]
    impacts: NDArray[np.float32]
    vectors: NDArray[np.float32]
    prior: NDArray[np.float64]


class Quotes:
    """Finds the sentences of guidelines that fit notes. Sentences are prepared once, until the index changes.

    Args:
        index: Where guidelines are.
        encoder: The index's encoder under a wrapping that remembers vectors; another one is not used.
    """

    def __init__(self, index: HybridIndex, encoder: Encoder | None = None) -> None:
        self._index = index
        same = encoder is not None and encoder.fingerprint == index.encoder.fingerprint
        self._encoder = encoder if encoder is not None and same else index.encoder
        self._weights = (1 - dense_weight(self._encoder), dense_weight(self._encoder))
        self._content, self._lock = "", Lock()
        self._whole: dict[str, Key | None] = {}
        self._without: set[str] = set()
        self._sentences: dict[Key, _Sentences] = {}
        self._numbers: dict[str, int] = {}

    def of(self, notes: Sequence[str], labels: Sequence[Label]) -> list[Citation | None]:
        """Quote for each note the best sentence of the guideline whose id is its label's.

        The 8 passages of that document that fit the note best are looked at; sentences of a section on indications go
        before all others. Among them the hybrid search decides, with the note and, at half weight, with the label's
        name and definition, which say what the guideline is for where the note's words are not the guideline's.

        Args:
            notes: Texts, none of them blank ``[n]``.
            labels: The label of each ``[n]``, of one label set.

        Returns:
            A citation for each note, or None where the index has no such document that is evidence.
        """
        for _ in range(_TIMES):
            try:
                return self._checked(self._found(notes, labels))
            except KeyError:  # passages are gone: replaced meanwhile, or taken out and put back with the same content
                with self._lock:
                    self._content = ""
        raise IndexStateError(
            f"the guidelines were replaced while they were quoted, each of {_TIMES} times; try again when less is "
            "written to the index"
        )

    def _found(self, notes: Sequence[str], labels: Sequence[Label]) -> list[Citation | None]:
        found: list[Citation | None] = [None] * len(notes)
        with self._lock:  # another thread must not see what is prepared half renewed
            self._renew()
            keys = self._keys(notes, labels)
            rows = [row for row, key in enumerate(keys) if key is not None and self._sentences[key].quotes]
            for start in range(0, len(rows), _NOTES):
                some = rows[start : start + _NOTES]
                chosen = [key for row in some if (key := keys[row]) is not None]
                for row, quote in zip(some, self._best(notes, some, chosen), strict=True):
                    found[row] = quote
        return found

    def _renew(self) -> None:
        content = self._index.manifest["content"]
        if content != self._content or len(self._sentences) > _KEPT:
            self._whole, self._without, self._sentences, self._numbers = {}, set(), {}, {}
            self._content = content

    def _checked(self, found: list[Citation | None]) -> list[Citation | None]:
        """Give each citation the flags of its passage as they are now; what is no evidence any more is not cited."""
        flags: dict[int, tuple[str, ...]] = {}
        for one in found:
            if one is not None and one.passage_id not in flags:
                flags[one.passage_id] = self._index.passage(one.passage_id).flags
        return [
            None if one is None or not NO_EVIDENCE.isdisjoint(flags[one.passage_id])
            else one if one.flags == flags[one.passage_id] else replace(one, flags=flags[one.passage_id])
            for one in found
        ]  # fmt: skip

    def _keys(self, notes: Sequence[str], labels: Sequence[Label]) -> list[Key | None]:
        """Return for each note which prepared sentences it is compared with; None where there are none."""
        keys: list[Key | None] = [None] * len(notes)
        rows_of: dict[str, list[int]] = {}
        for row, label in enumerate(labels):
            rows_of.setdefault(label.id, []).append(row)
        for rows in rows_of.values():
            label = labels[rows[0]]
            if not self._has_guideline(label):
                continue
            whole = self._whole_guideline(label)
            if whole is not None:
                for row in rows:
                    keys[row] = whole
                continue
            hits = self._index.search([notes[row] for row in rows], _PASSAGES, {"document_id": label.id})
            for row, found in zip(rows, hits, strict=True):
                keys[row] = self._prepared(label, [hit.passage for hit in found]) if found else None
        return keys

    def _has_guideline(self, label: Label) -> bool:
        if label.id in self._whole or label.id in self._without:
            return label.id in self._whole
        try:
            self._index.document(label.id)
        except KeyError:
            self._without.add(label.id)
            return False
        return True

    def _whole_guideline(self, label: Label) -> Key | None:
        """Return the sentences of a guideline all of whose passages are looked at, whatever the note."""
        if label.id not in self._whole:
            where = {"document_id": label.id}
            hits = self._index.search(described(label), _PASSAGES + 1, where, mode="dense", exact=True, rerank=False)
            if not hits:
                return None  # no evidence; a notice may be taken back, so it is asked for again
            short = len(hits) <= _PASSAGES
            self._whole[label.id] = self._prepared(label, [hit.passage for hit in hits]) if short else None
        return self._whole[label.id]

    def _prepared(self, label: Label, passages: Sequence[Passage]) -> Key:
        ordered = sorted(passages, key=lambda passage: passage.start)
        ordered = [passage for passage in ordered if is_indications(passage.path)] or ordered
        key = label.id, tuple(passage.id for passage in ordered)
        if key not in self._sentences:
            self._sentences[key] = self._prepare(label, ordered)
        return key

    def _prepare(self, label: Label, passages: Sequence[Passage]) -> _Sentences:
        document = self._index.document(label.id)
        spans = [(passage, *span) for passage in passages for span in _sentences(passage)]
        try:
            quotes = tuple(_citation(document, *span) for span in spans)
        except IndexCorruptError:
            self._index.passages([passage.id for passage in passages])  # if they are gone, the document was replaced
            raise
        if not quotes:
            none = np.zeros(0, dtype=np.int64)
            empty = np.zeros((0, self._encoder.dim), dtype=np.float32)
            return _Sentences((), none, none, empty[:, 0], empty, np.zeros(0))
        # As passages hold it, not as the document does: a quote may not be joined across lines.
        texts = [passage.text[start:end] for passage, start, end in spans]
        counted = count_terms([passage_terms(text) for text in texts])
        own = impacts(counted)
        added = own.tocoo()
        numbers = [self._numbers.setdefault(term, len(self._numbers)) for term in counted.vocabulary]
        vectors = rounded(self._encoder.encode(texts, "passage"))
        asked = described(label)
        words = (asked_terms((asked,)).columns(counted.vocabulary) @ own).toarray()
        cosines = self._encoder.encode([asked], "query") @ vectors.T
        prior = _LABEL_WEIGHT * self._joined(words, cosines, np.ones(words.shape, dtype=np.bool_))[0]
        terms, places = np.asarray(numbers, dtype=np.int64)[added.row], added.col.astype(np.int64)
        return _Sentences(quotes, terms, places, added.data, vectors, prior)

    def _best(self, notes: Sequence[str], rows: Sequence[int], keys: Sequence[Key]) -> list[Citation]:
        """Return the best sentence for some of the notes, the first of equals."""
        different = list(dict.fromkeys(keys))
        prepared = [self._sentences[key] for key in different]
        sizes = np.asarray([len(one.quotes) for one in prepared])
        starts = np.cumsum(sizes) - sizes
        terms = np.concatenate([one.terms for one in prepared])
        places = np.concatenate([one.places + start for one, start in zip(prepared, starts.tolist(), strict=True)])
        shape = (len(self._numbers) + 1, int(sizes.sum()))
        added = csr_array((np.concatenate([one.impacts for one in prepared]), (terms, places)), shape=shape)
        words = (asked_terms(tuple(notes)).columns(self._numbers)[rows] @ added).toarray()
        vectors = self._encoder.encode(notes, "query")[rows]
        cosines = vectors @ np.concatenate([one.vectors for one in prepared]).T
        numbers = {key: number for number, key in enumerate(different)}
        own = np.asarray([numbers[key] for key in keys])
        columns = np.arange(int(sizes.max()))
        present = columns < sizes[own][:, None]
        columns = np.where(present, starts[own][:, None] + columns, 0)
        words, cosines = (np.take_along_axis(values, columns, axis=1) for values in (words, cosines))
        scores = self._joined(words, cosines, present) + np.concatenate([one.prior for one in prepared])[columns]
        best = np.where(present, scores, -np.inf).argmax(axis=1).tolist()
        return [prepared[number].quotes[place] for number, place in zip(own.tolist(), best, strict=True)]

    def _joined(
        self, words: NDArray[np.float32], cosines: NDArray[np.float32], present: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        return self._weights[0] * scaled(words, present) + self._weights[1] * scaled(cosines, present)


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
