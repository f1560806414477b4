"""How well a stretch of text carries a claim, by its words, numbers, negation and direction."""

from __future__ import annotations

import re
from dataclasses import dataclass

from radrag.corpora import split_sentences
from radrag.indexes.tokens import tokenize

THRESHOLD = 0.6
_NEGATION = re.compile(
    r"\b(?:no|not|never|neither|nor|none|without|cannot|fail(?:s|ed)?|lack(?:s|ed|ing)?|absen(?:t|ce)|"
    r"non[- ]?significant\w*|insignificant\w*|unnecessary|contraindicat\w+|avoid\w*)\b|n['’]t\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_UP = re.compile(r"\b(?:increas\w+|higher|rais\w+|ris(?:e|es|ing)|rose|greater|more|longer|elevat\w+|above|over)\b", re.I)
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

    A claim that stands in the text word for word scores 1. Otherwise the score is the share of its distinct terms that
    the stretch holds; it is capped below ``THRESHOLD`` if a number of the claim is missing there, if one of the two is
    negated and the other is not, or if one goes up where the other only goes down.

    Returns:
        The best stretch, or None if the text shares no term with the claim.
    """
    exact = _exact(claim, text)
    if exact is not None:
        return Support(*exact, 1.0)
    terms = set(tokenize(claim))
    spans = split_sentences(text)
    windows = spans + [(first[0], second[1]) for first, second in zip(spans, spans[1:], strict=False)]
    best: Support | None = None
    for start, end in windows:
        stretch = text[start:end]
        share = len(terms & set(tokenize(stretch))) / len(terms) if terms else 0.0
        if share == 0.0:
            continue
        against = _objections(claim, stretch)
        found = Support(start, end, min(share, 0.5 * THRESHOLD) if against else share, against)
        if best is None or found.score > best.score:
            best = found
    return best


def _exact(claim: str, text: str) -> tuple[int, int] | None:
    """Find a claim in a text, runs of white space taken as equal."""
    words = claim.split()
    if not words:
        return None
    match = re.search(r"(?<!\w)" + r"\s+".join(map(re.escape, words)) + r"(?!\w)", text)
    return match.span() if match else None


def _objections(claim: str, stretch: str) -> tuple[str, ...]:
    there = set(_NUMBER.findall(stretch))
    against = [f"number {number} is not in the source" for number in _NUMBER.findall(claim) if number not in there]
    if bool(_NEGATION.search(claim)) != bool(_NEGATION.search(stretch)):
        against.append("only one of claim and source is negated")
    for one, other in ((_UP, _DOWN), (_DOWN, _UP)):
        if one.search(claim) and not other.search(claim) and other.search(stretch) and not one.search(stretch):
            against.append("claim and source go in opposite directions")
    return tuple(against)
