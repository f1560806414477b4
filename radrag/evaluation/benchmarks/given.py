"""Passages that a benchmark gives with each question, in the place of an index: what is read is fixed, not found."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from radrag.corpora.retractions import own_flags
from radrag.indexes.tokens import tokenize
from radrag.types import Document, Hit, Passage


class GivenPassages:
    """Shows each question its own document, section by section; a question it does not know gets nothing.

    Args:
        documents: The document of each question, by the question's text.
        name: What the passages are; it becomes part of the manifest.
    """

    def __init__(self, documents: Mapping[str, Document], name: str) -> None:
        self._by_id = {document.id: document for document in documents.values()}
        numbers = count()
        self._hits = {text: _hits(document, numbers) for text, document in documents.items()}
        self._passages = {hit.passage.id: hit.passage for hits in self._hits.values() for hit in hits}
        self._holders: Counter[str] = Counter()
        for hits in self._hits.values():
            for hit in hits:
                self._holders.update(set(tokenize(hit.passage.search_text)))
        self._size = sum(map(len, self._hits.values()))
        digest = hashlib.sha256()
        for text in sorted(documents):
            digest.update(f"{text}\x00{documents[text].text}\x00".encode("utf-8", "surrogatepass"))
        self._manifest = {
            "content": f"given:{name}:{digest.hexdigest()[:16]}",
            "encoder_fingerprint": "none",
            "search": {"given": name},
        }

    encoder = None  # nothing is searched, so no question is encoded or sent anywhere

    @property
    def deepest(self) -> int:
        """Most passages that a question has; as many must be shown for all to be."""
        return max(map(len, self._hits.values()), default=0)

    @property
    def manifest(self) -> dict[str, Any]:
        """What is shown."""
        return dict(self._manifest)

    def search(self, queries: str | Sequence[str], k: int = 10, where: object = None, **_: Any) -> Any:
        """Return the first k passages that go with each question, in the order of the document."""
        if isinstance(queries, str):
            return list(self._hits.get(queries, ())[:k])
        return [list(self._hits.get(query, ())[:k]) for query in queries]

    def document(self, document_id: str) -> Document:
        """Return a document."""
        if document_id not in self._by_id:
            raise KeyError(f"no document {document_id!r} is given with any question")
        return self._by_id[document_id]

    def passages(self, ids: Sequence[int]) -> list[Passage]:
        """Return passages; they never change."""
        return [self._passages[number] for number in ids]

    def flags(self, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return what the records of documents say was published against them; nothing of one that is not given."""
        return {name: own_flags(self._by_id[name].metadata) if name in self._by_id else () for name in names}

    def rarity(self, terms: Sequence[str]) -> dict[str, float]:
        """Return the inverse document frequency of terms over all passages given, as an index has it."""
        return {
            term: math.log1p((self._size - self._holders[term] + 0.5) / (self._holders[term] + 0.5)) for term in terms
        }


def _hits(document: Document, numbers: Iterator[int]) -> tuple[Hit, ...]:
    made = [
        Passage(
            document.id, part.start, part.end, document.text[part.start : part.end], part.path, document.title,
            next(numbers), document.metadata,
        )
        for part in document.sections
    ]  # fmt: skip
    return tuple(Hit(passage, 1.0 / place) for place, passage in enumerate(made, start=1))
