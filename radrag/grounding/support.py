"""How well a stretch of text carries a claim, by its words, numbers, negation and direction."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from radrag.corpora import split_sentences
from radrag.indexes.tokens import tokenize

THRESHOLD = 0.6
_NEGATION = re.compile(
    r"\b(?:no|not|never|neither|nor|none|without|cannot|fail(?:s|ed)?|lack(?:s|ed|ing)?|absen(?:t|ce)|"
    r"non[- ]?significant\w*|insignificant\w*|unnecessary|contraindicat\w+|avoid\w*)\b|n['’]t\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_UP = re.compile(
    r"\b(?:increas\w+|higher|rais\w+|ris(?:e|es|ing)|rose|greater|more|longer|elevat\w+|above|over)\b", re.I
)
_DOWN = re.compile(r"\b(?:decreas\w+|lower\w*|reduc\w+|fall\w*|fell|fewer|less|shorter|declin\w+|below|under)\b", re.I)


@dataclass(frozen=True, slots=True)
class Support:
    """The stretch of a text that best carries a claim.

    Attributes:
        start: Offset of the stretch in the text.
        end: Offset after it.
        score: 0 (not at all) to 1 (word for word).
        objections: What speaks against it, such as ``"number 12 is not in the source"``.
    """

    start: int
    end: int
    score: float
    objections: tuple[str, ...] = ()


def find_support(claim: str, text: str) -> Support | None:
    """Find the sentence, or two sentences in a row, of a text that best carry a claim.

    A claim that stands in the text word for word scores 1, unless what is left of its sentence negates it. Otherwise
    the score is the share of its distinct terms that the stretch holds; it is capped below ``THRESHOLD`` if a number
    of the claim is missing there, if one of the two is negated and the other is not, or if one goes up where the other
    only goes down.

    Returns:
        The best stretch, or None if the text shares no term with the claim.
    """
    spans = split_sentences(text)
    exact = exact_span(claim, text, spans)
    if exact is not None:
        return Support(*exact, 1.0)
    terms = set(tokenize(claim))
    shares = {span: _share(terms, text[slice(*span)]) for span in spans}
    pairs = [(one[0], two[1], max(one, two, key=shares.__getitem__)) for one, two in pairwise(spans)]
    windows = [(*span, span) for span in spans] + pairs
    best: Support | None = None
    for start, end, main in windows:
        stretch = text[start:end]
        share = _share(terms, stretch)
        if share == 0.0:
            continue
        against = _objections(claim, stretch, text[slice(*main)])
        found = Support(start, end, min(share, 0.5 * THRESHOLD) if against else share, against)
        if best is None or found.score > best.score:
            best = found
    return best


def exact_span(claim: str, text: str, spans: list[tuple[int, int]]) -> tuple[int, int] | None:
    """Find a claim in a text, runs of white space taken as equal; not inside a sentence that is negated elsewhere."""
    words = claim.split()
    if not words:
        return None
    negated = bool(_NEGATION.search(claim))
    for match in re.finditer(r"(?<!\w)(?<!\d[.,])" + r"\s+".join(map(re.escape, words)) + r"(?!\w|[.,]\d)", text):
        around = [text[start:end] for start, end in spans if start < match.end() and match.start() < end]
        if negated or not any(map(_NEGATION.search, around)):
            return match.span()
    return None


def _share(terms: set[str], stretch: str) -> float:
    return len(terms & set(tokenize(stretch))) / len(terms) if terms else 0.0


def _objections(claim: str, stretch: str, main: str) -> tuple[str, ...]:
    """Say what speaks against a claim; ``main`` is the sentence of the stretch that shares most terms with it.

    A second sentence may add numbers, but never the negation or the direction that the main one lacks.
    """
    there = set(_NUMBER.findall(stretch))
    against = [f"number {number} is not in the source" for number in _NUMBER.findall(claim) if number not in there]
    negated = bool(_NEGATION.search(claim))
    if any(negated != bool(_NEGATION.search(part)) for part in (stretch, main)):
        against.append("only one of claim and source is negated")
    for one, other in ((_UP, _DOWN), (_DOWN, _UP)):
        opposed = any(other.search(part) and not one.search(part) for part in (stretch, main))
        if opposed and one.search(claim) and not other.search(claim):
            against.append("claim and source go in opposite directions")
    return tuple(against)
