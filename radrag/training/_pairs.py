"""The pairs of texts that the shipped encoder was tuned on."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from radrag.corpora import load_evidence, load_protocols, split_sentences
from radrag.corpora.rows import json_rows

_OPEN = frozenset({"cc-by", "cc0"})
WORDS = 200


def shipping_pairs(data_folder: str | Path, seed: int = 0) -> list[tuple[str, str]]:
    """Return the pairs that a shipped encoder may learn from: open licences, and no benchmark's questions.

    Args:
        data_folder: Folder with ``medquad.jsonl.gz`` and ``evidence_inference_abstracts.jsonl.gz``.
        seed: Seed of the sentences drawn from abstracts and of the order.

    Returns:
        Question or title, and the text that answers it, at most 200 words; each pair once.
    """
    folder, draw = Path(data_folder), random.Random(seed)
    parts = (_medquad(folder), _abstracts(folder, draw), _shipped())
    pairs = list(dict.fromkeys((left.strip(), _first_words(right)) for left, right in chain(*parts)))
    pairs = [pair for pair in pairs if all(pair)]
    draw.shuffle(pairs)
    return pairs


def _first_words(text: str) -> str:
    return " ".join(text.split()[:WORDS])


def _medquad(folder: Path) -> Iterator[tuple[str, str]]:
    for row in json_rows(folder / "medquad.jsonl.gz"):
        yield row.string("question"), row.string("answer")


def _abstracts(folder: Path, draw: random.Random) -> Iterator[tuple[str, str]]:
    for row in json_rows(folder / "evidence_inference_abstracts.jsonl.gz"):
        if row.string("licence") not in _OPEN:
            continue
        text = row.string("abstract")
        yield row.string("title"), text
        spans = split_sentences(text)
        if len(spans) > 1:
            start, end = draw.choice(spans)
            yield text[start:end], f"{text[:start]} {text[end:]}"


def _shipped() -> Iterator[tuple[str, str]]:
    for guide in load_protocols():
        names = (guide.title, *guide.metadata.get("synonyms", ()))
        for section in guide.sections:
            for name in names:
                yield f"{name}: {section.path[-1]}", guide.text[section.start : section.end]
    for digest in load_evidence():
        yield digest.title, digest.text
