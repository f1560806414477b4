"""Large label sets: the few labels worth scoring for a note, by the words and the vectors of names and definitions."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from radrag.errors import IndexMismatchError, ModelError
from radrag.indexes.bm25 import BM25, Statistics
from radrag.indexes.encoders import load_encoder
from radrag.indexes.postings import Postings, build_postings, read_postings, write_postings
from radrag.indexes.tokens import fingerprint as tokenizer_fingerprint
from radrag.indexes.tokens import tokenize
from radrag.labelling.label_set import LabelSet, described
from radrag.labelling.manifest import file_hashes
from radrag.labelling.near_terms import NearTerms
from radrag.labelling.notes import checked_notes
from radrag.labelling.stored import read_json, write_folder, write_json
from radrag.metrics import Estimate, bootstrap
from radrag.protocols import Encoder
from radrag.types import Label

FORMAT = 1
K1, B = 0.6, 0.75
# Weight of the vectors. Chosen with the shipped encoder on made notes for 10,000 labels (hard noise, seed 1 of the
# benchmark, n 300), where words decide and less is better, and on the shipped hand-written calibration notes (n 438),
# where few words are a label's own and more is better: recall@20 .96 and .92. With the words' scores brought to mean 0
# and deviation 1 over the candidates it was .96 and .89: they count for much even where nothing fits.
DENSE_WEIGHT = 0.2
_SURE = 4  # times that a word of the vocabulary is asked; one with n errors is asked n times less
_DEPTH = 10  # names looked at for each candidate wanted, as a label has several
_LEAST_DEPTH = 200
_BLOCK = 4_096  # labels encoded at a time
_NOTES = 64  # notes at a time: at 100,000 labels their cosines are 25 MB


class LabelIndex:
    """Finds candidate labels for notes. Built once; searching never makes ``[notes, labels]`` of all notes.

    Each name, synonym, example and definition is a row that words are searched in, with misspelt and shortened words
    forgiven; a label's best row counts, as a share of what a row with all words of the note would have. So words decide
    where a note is in a label's own words, and vectors where it is not. All that is known about a label makes one
    vector.

    Args:
        labels: The labels.
        encoder: What ``load_encoder`` takes; the encoder that ships if left out.
    """

    def __init__(self, labels: LabelSet, encoder: str | Path | Encoder = "static") -> None:
        loaded = load_encoder(encoder)
        owners: list[int] = []
        postings = build_postings(_terms(labels, owners))
        vectors = np.empty((len(labels), loaded.dim), dtype=np.float16)
        texts = [described(label) for label in labels]
        for start in range(0, len(texts), _BLOCK):
            vectors[start : start + _BLOCK] = loaded.encode(texts[start : start + _BLOCK], "passage")
        self._open(labels, loaded, postings, np.asarray(owners, dtype=np.int64), vectors)

    def __len__(self) -> int:
        return len(self.labels)

    def nearest(self, notes: Iterable[str], k: int = 20) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Find the labels nearest to each note.

        Args:
            notes: Texts, none of them blank.
            k: Candidates wanted, from 1 to the number of labels.

        Returns:
            Positions in the label set ``[n, k]``, best first and ties by position, and their scores ``[n, k]``: 0.8 of
            the share of the words and 0.2 of the cosine. They are no probabilities. Where nothing of a note is known
            they are 0, and its candidates mean nothing.

        Raises:
            ValueError: If k is out of range, or a note is blank or no text.
        """
        if not 1 <= k <= len(self):
            raise ValueError(f"k must be from 1 to the {len(self)} labels, got {k}")
        texts = checked_notes(notes)
        positions, scores = np.empty((len(texts), k), dtype=np.int64), np.empty((len(texts), k))
        for start in range(0, len(texts), _NOTES):
            some = texts[start : start + _NOTES]
            queries = self._encoder.encode(some, "query").astype(np.float32)
            cosines = queries @ self._vectors.T
            for place, note in enumerate(some, start=start):
                positions[place], scores[place] = self._best(note, cosines[place - start], k)
        return positions, scores

    def save(self, folder: str | Path) -> None:
        """Write it to a folder, whole or not at all. The labels themselves are not in it.

        Raises:
            ModelError: If the folder holds something else.
        """

        def write(draft: Path) -> None:
            write_postings(self._postings, draft)
            np.save(draft / "owners.npy", self._owners, allow_pickle=False)
            np.save(draft / "vectors.npy", self._vectors.astype(np.float16), allow_pickle=False)
            write_json(draft / "manifest.json", {**self.manifest, "files": file_hashes(draft)})

        write_folder(Path(folder), write)

    @classmethod
    def load(cls, folder: str | Path, labels: LabelSet, encoder: str | Path | Encoder = "static") -> Self:
        """Read what ``save`` wrote.

        Raises:
            IndexMismatchError: If labels, encoder or tokenizer are not those that it was made with.
            ModelError: If the files are not the ones saved.
        """
        path, index = Path(folder), cls.__new__(cls)
        kept, loaded = read_json(path / "manifest.json"), load_encoder(encoder)
        for key, here in _made_with(labels, loaded).items():
            if kept.get(key) != here:
                raise IndexMismatchError(
                    f"{path} was made with {key} {kept.get(key)}, but {here} is given; make the label index anew"
                )
        if kept.get("files") != file_hashes(path):
            raise ModelError(f"the files in {path} are not the ones saved; make the label index anew")
        owners, vectors = (np.load(path / f"{name}.npy", allow_pickle=False) for name in ("owners", "vectors"))
        index._open(labels, loaded, read_postings(path), owners, vectors)
        return index

    @property
    def manifest(self) -> dict[str, Any]:
        """What it was made with: hashes of labels, encoder and tokenizer."""
        return _made_with(self.labels, self._encoder)

    def _open(
        self, labels: LabelSet, encoder: Encoder, postings: Postings, owners: NDArray[np.int64], vectors: NDArray[Any]
    ) -> None:
        self.labels, self._encoder, self._postings, self._owners = labels, encoder, postings, owners
        self._vectors = vectors.astype(np.float32)
        self._first = np.searchsorted(owners, np.arange(len(labels) + 1))
        self._words = BM25([postings], K1, B)
        self._statistics = Statistics(postings.count, int(postings.lengths.sum()), lambda terms: {})
        self._near = NearTerms(postings.terms())
        self._weights = (1 - DENSE_WEIGHT, DENSE_WEIGHT)

    def _best(self, note: str, cosines: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        times, most = self._asked(note)
        terms = [term for term, count in times.items() for _ in range(count)]
        rows, _ = self._words.top(terms, max(_LEAST_DEPTH, _DEPTH * k), [None], self._statistics)
        found = np.union1d(self._owners[rows], _highest(cosines, max(_LEAST_DEPTH, k)))
        spans = [np.arange(self._first[label], self._first[label + 1]) for label in found.tolist()]
        ends = np.cumsum([0, *map(len, spans)])[:-1]
        words = np.maximum.reduceat(self._words.at(terms, np.concatenate(spans), self._statistics), ends)
        shares = words.astype(np.float64) / most if most else np.zeros(len(found))
        scores = self._weights[0] * shares + self._weights[1] * cosines[found]
        order = np.lexsort((found, -scores))[:k]
        return found[order], scores[order]

    def _asked(self, note: str) -> tuple[dict[str, int], float]:
        """Return how often each term is asked for a note, and what a row with all of its words would score.

        Unknown words are asked as the terms that they may stand for, less often the more errors that takes.
        """
        times: dict[str, int] = {}
        unknown = 0
        for term in dict.fromkeys(tokenize(note)):
            if self._postings.holders(term) is not None:
                times[term] = _SURE
                continue
            near = self._near.near(term)
            unknown += not near
            for other, errors in near:
                times[other] = max(times.get(other, 0), _SURE - errors)
        rows = self._statistics.rows
        held = self._words.holders(list(times), self._statistics)
        known = sum(times[term] * np.log1p((rows - count + 0.5) / (count + 0.5)) for term, count in held.items())
        return times, float(known + unknown * _SURE * np.log1p(len(self)))


def candidate_recall(
    index: LabelIndex,
    notes: Sequence[str],
    true: Sequence[str],
    k: int = 20,
    *,
    groups: Iterable[Hashable] | None = None,
    seed: int = 0,
) -> Estimate:
    """Measure how often the right label is among the candidates: no later stage can be right more often.

    Args:
        index: The label index.
        notes: Texts ``[n]``.
        true: Id of each note's label ``[n]``.
        k: Candidates a note.
        groups: Group of each note, such as a patient; whole groups are then drawn for the interval.
        seed: Seed of the bootstrap.

    Returns:
        Share of notes whose label is among their ``k`` candidates, with its interval.

    Raises:
        ValueError: If a label is not in the set or the lengths differ.
    """
    places = {id: place for place, id in enumerate(index.labels.ids)}
    unknown = [id for id in true if id not in places]
    if unknown:
        raise ValueError(f"{len(unknown)} labels are not in the set, such as {unknown[0]!r}; leave their notes out")
    if len(true) != len(notes):
        raise ValueError(f"notes and true must be of one length, got {len(notes)} and {len(true)}")
    wanted = np.asarray([places[id] for id in true], dtype=np.int64)
    found, _ = index.nearest(notes, k)
    return bootstrap((found == wanted[:, None]).any(axis=1).astype(np.float64), groups=groups, seed=seed)


def _terms(labels: Iterable[Label], owners: list[int]) -> Iterator[list[str]]:
    """Yield the terms of each row, and note whose it is."""
    for place, label in enumerate(labels):
        for text in dict.fromkeys(_rows(label)):
            owners.append(place)
            yield tokenize(text)


def _rows(label: Label) -> Iterator[str]:
    yield label.name or label.id
    yield from label.synonyms
    yield from label.examples
    if label.definition:
        yield f"{label.name}\n{label.definition}"
    if any(char.isdigit() for char in label.id):
        yield label.id  # a code, which notes may quote


def _highest(values: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Return the places of the ``k`` highest values; of equal ones the first."""
    if k >= len(values):
        return np.arange(len(values))
    least = np.partition(values, -k)[-k]
    above = np.flatnonzero(values > least)
    return np.concatenate([above, np.flatnonzero(values == least)[: k - len(above)]])


def _made_with(labels: LabelSet, encoder: Encoder) -> dict[str, Any]:
    made = {"labels": labels.fingerprint, "encoder": encoder.fingerprint, "tokenizer": tokenizer_fingerprint()}
    return {"format": FORMAT, **made}
