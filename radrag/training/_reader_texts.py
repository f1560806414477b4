"""What the extractive reader's models are fitted on: questions with ideal answers, and questions made false."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from radrag.indexes.tokens import tokenize
from radrag.reading.sentence_model import Rarity

_FLIPS = {
    "increase": "decrease", "increases": "decreases", "increased": "decreased", "reduce": "increase",
    "reduces": "increases", "reduced": "increased", "decrease": "increase", "decreases": "increases",
    "decreased": "increased", "improve": "worsen", "improves": "worsens", "improved": "worsened", "better": "worse",
    "higher": "lower", "lower": "higher", "prevent": "cause", "prevents": "causes", "superior": "inferior",
    "safe": "dangerous", "effective": "ineffective", "useful": "useless", "feasible": "impossible",
    "necessary": "unnecessary", "beneficial": "harmful", "reliable": "unreliable", "enhance": "impair",
    "inhibit": "activate", "protect": "harm",
}  # fmt: skip
_FLIP = re.compile(rf"\b(?:{'|'.join(_FLIPS)})\b", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z][\w\-]{3,}")
_RAREST = 3  # words of a question that are exchanged
_SWAPS = 2  # questions made of one


class FalseQuestion(NamedTuple):
    """A question made from one that the evidence affirms, so that the evidence no longer does.

    Attributes:
        source: Position of the question it is made from.
        kind: ``"swap"`` if one of its rarest words is another question's, ``"flip"`` if its direction is turned.
        text: The question.
    """

    source: int
    kind: str
    text: str


def full_text(record: dict[str, Any]) -> str:
    """Return an abstract of PubMedQA with its conclusion, as PubMed has it."""
    return "\n\n".join([*record["contexts"], record["long_answer"]])


def count_terms(texts: Iterable[str], least: int = 5) -> Rarity:
    """Count in how many texts each term occurs; terms in fewer than ``least`` are left out."""
    counts: Counter[str] = Counter()
    documents = 0
    for text in texts:
        documents += 1
        counts.update(set(tokenize(text)))
    return Rarity(documents, {term: count for term, count in sorted(counts.items()) if count >= least})


def false_questions(records: Sequence[dict[str, Any]], rarity: Rarity, seed: int) -> Iterator[FalseQuestion]:
    """Make questions whose answer is no from those whose answer is yes.

    In a swap, one of the three rarest words becomes such a word of another question: the evidence found for it lacks
    one of its terms. In a flip, every word of direction or worth becomes its opposite.
    """
    rng = random.Random(seed)
    pool = [match[0] for record in records for match in _rarest(record["question"], rarity)]
    for source, record in enumerate(records):
        question = record["question"]
        if record["answer"] != "yes":
            continue
        places = _rarest(question, rarity)
        if len(places) == _RAREST:
            for match in rng.sample(places, _SWAPS):
                swapped = question[: match.start()] + rng.choice(pool) + question[match.end() :]
                yield FalseQuestion(source, "swap", swapped)
        flipped = _FLIP.sub(lambda match: _FLIPS[match[0].lower()], question)
        if flipped != question:
            yield FalseQuestion(source, "flip", flipped)


def _rarest(question: str, rarity: Rarity) -> list[re.Match[str]]:
    words = [(max(map(rarity, tokenize(match[0])), default=0.0), match) for match in _WORD.finditer(question)]
    words.sort(key=lambda pair: (-pair[0], pair[1].start()))
    return [match for rare, match in words[:_RAREST] if rare > 0]
