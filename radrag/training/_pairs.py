"""Pairs of texts that belong together: those that the shipped encoder was tuned on, and a user's own."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from radrag.corpora import load_evidence, load_protocols, split_sentences
from radrag.corpora.rows import json_rows, rows

_OPEN = frozenset({"cc-by", "cc0"})
_LONG_ANSWER = 4000
_FEWEST = 4
WORDS = 200
_WINDOW_WORDS = 80
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pair:
    """Texts that belong together.

    Attributes:
        query: Question, title or sentence.
        passage: The text that answers it or stands with it.
        negative: A text that does not, if one is known.
    """

    query: str
    passage: str
    negative: str | None = None


def fitting_batch(batch: int, pairs: int, epochs: int) -> int:
    """Return how many pairs a step takes: ``batch``, or all if there are fewer, which is said.

    Raises:
        ValueError: If there are too few of anything.
    """
    if epochs < 1:
        raise ValueError(f"epochs must be at least 1, got {epochs}")
    if batch < 2:
        raise ValueError(f"batch must be at least 2 pairs, got {batch}")
    if pairs < 2:
        raise ValueError(f"tuning needs at least 2 pairs, got {pairs}")
    if batch > pairs:
        _log.warning("batch is %d, but there are %d pairs: every step takes all of them", batch, pairs)
    return min(batch, pairs)


def read_pairs(path: str | Path) -> list[Pair]:
    """Read a user's pairs.

    Args:
        path: A ``.jsonl`` or ``.csv`` file (or ``.gz``) with ``query``, ``passage`` and, if wanted, ``negative``.

    Raises:
        CorpusError: If a record lacks a query or a passage; the message names file, record and field.
    """
    pairs = []
    for row in rows(Path(path)):
        negative = row.string("negative") if row.values.get("negative") else None
        pairs.append(Pair(row.filled("query"), row.filled("passage"), negative))
    return pairs


def shipping_pairs(data_folder: str | Path, seed: int = 0) -> list[Pair]:
    """Return the pairs that a shipped encoder may learn from: terms that allow it, and no benchmark's questions.

    PubMedQA's development questions are left out although their terms allow them: the verdict and the confidence are
    fitted on them with this encoder, and would take what it remembers for evidence.

    Args:
        data_folder: Folder with ``medquad.jsonl.gz`` and ``evidence_inference_abstracts.jsonl.gz``.
        seed: Seed of the sentences drawn and of the order.

    Returns:
        Question, title or sentence, and a text of at most 200 words or a few sentences; each pair once.
    """
    folder, draw = Path(data_folder), random.Random(seed)
    found = [*_medquad(folder, draw), *_abstracts(folder, draw), *_shipped(draw)]
    pairs = list(dict.fromkeys((left.strip(), _first_words(right, WORDS)) for left, right in found))
    draw.shuffle(pairs)
    return [Pair(left, right) for left, right in pairs if left and right]


def shipping_texts(data_folder: str | Path) -> list[str]:
    """Return the short texts on which a shipped encoder imitates its teacher, from the same sources, each once."""
    folder = Path(data_folder)
    texts: list[str] = []
    for _, title, text in open_abstracts(folder):
        texts += [title, *_sentences(text)]
    texts += [row.string("question") for row in json_rows(folder / "medquad.jsonl.gz")]
    for document in (*load_protocols(), *load_evidence()):
        texts += [document.title, *_sentences(document.text)]
    return [text for text in dict.fromkeys(text.strip() for text in texts) if text]


def _first_words(text: str, count: int) -> str:
    return " ".join(text.split()[:count])


def _sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in split_sentences(text)]


def _medquad(folder: Path, draw: random.Random) -> Iterator[tuple[str, str]]:
    for row in json_rows(folder / "medquad.jsonl.gz"):
        question, answer = row.string("question"), row.string("answer")
        yield question, answer
        if sentences := _sentences(answer[:_LONG_ANSWER]):
            yield question, _first_words(_window(sentences, draw, (1, 2, 3)), _WINDOW_WORDS)


def open_abstracts(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Yield document id, title and text of the abstracts whose own licence is CC BY or CC0."""
    for row in json_rows(folder / "evidence_inference_abstracts.jsonl.gz"):
        if row.string("licence") in _OPEN:
            known = row.values.get("pmid")
            name = f"PMID:{known}" if known else row.name("pmcid")
            yield name, row.string("title"), row.string("abstract")


def _abstracts(folder: Path, draw: random.Random) -> Iterator[tuple[str, str]]:
    """Yield title and abstract, title and some sentences, a sentence and the rest, a sentence and later ones."""
    for _, title, text in open_abstracts(folder):
        yield title, text
        sentences = _sentences(text)
        if len(sentences) < _FEWEST:
            continue
        for _ in range(2):
            at = draw.randrange(len(sentences))
            yield sentences[at], " ".join(sentences[:at] + sentences[at + 1 :])
            yield title, _window(sentences, draw, (1, 1, 2, 3))
            at = draw.randrange(len(sentences) - 1)
            later = draw.randrange(at + 1, len(sentences))
            yield sentences[at], " ".join(sentences[later : later + 2])


def _shipped(draw: random.Random) -> Iterator[tuple[str, str]]:
    for guide in load_protocols():
        names = (guide.title, *guide.metadata.get("synonyms", ()))
        for section in guide.sections:
            for name in names:
                yield f"{name}: {section.path[-1]}", guide.text[section.start : section.end]
    for digest in load_evidence():
        yield digest.title, digest.text
        sentences = _sentences(digest.text)
        for _ in range(4):
            yield digest.title, _window(sentences, draw, (2,))


def _window(sentences: list[str], draw: random.Random, lengths: tuple[int, ...]) -> str:
    start = draw.randrange(len(sentences))
    return " ".join(sentences[start : start + draw.choice(lengths)])
