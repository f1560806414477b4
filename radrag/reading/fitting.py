"""What of the evidence a prompt has room for: whole passages, or else whole sentences of the best one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

from radrag.corpora import split_sentences
from radrag.reading.extractive import ExtractiveReader
from radrag.types import Chat, Hit

NO_ROOM_REMEDY = (
    "nothing was asked: shorten the question, allow fewer max_new_tokens, or load a model with more context"
)
_GAP = " … "


@dataclass(frozen=True, slots=True)
class Fitted:
    """A prompt with the passages it has room for.

    Attributes:
        chat: The prompt; None if not even a sentence of the best passage fits.
        shown: How many passages, from the first, it shows, the last of them perhaps in part.
        notes: What it does not show.
    """

    chat: Chat | None
    shown: int
    notes: tuple[str, ...] = ()


def fit_passages(
    question: str, hits: Sequence[Hit], make: Callable[[Sequence[Hit]], Chat], fits: Callable[[Chat], bool]
) -> Fitted:
    """Leave out the weakest passages, whole, until a prompt fits.

    If the best passage alone is too long, those of its sentences that would answer best (as the ``ExtractiveReader``
    scores them) stay, whole and in their order, with "…" where others stood between. That is for the prompt alone:
    claims are checked and cited with the whole passage.

    Args:
        question: The question.
        hits: What was found, the best first.
        make: Makes the prompt over some hits.
        fits: Whether a prompt leaves room for the reply.
    """
    for shown in range(len(hits), 0, -1):
        chat = make(hits[:shown])
        if fits(chat):
            return Fitted(chat, shown, _lost(len(hits) - shown, len(hits)))
    if hits:
        return _in_part(question, hits, make, fits)
    chat = make(())
    return Fitted(chat, 0) if fits(chat) else Fitted(None, 0, (NO_ROOM_REMEDY,))


def _in_part(
    question: str, hits: Sequence[Hit], make: Callable[[Sequence[Hit]], Chat], fits: Callable[[Chat], bool]
) -> Fitted:
    best = hits[0]
    spans = split_sentences(best.passage.text)
    kept: list[int] = []
    chat = None
    for place in _ranked(question, best, spans):
        longer = make([_cut(best, spans, sorted((*kept, place)))])
        if fits(longer):
            kept.append(place)
            chat = longer
    if chat is None:
        return Fitted(None, 0, (NO_ROOM_REMEDY,))
    part = f"of the best passage {len(kept)} of {len(spans)} sentences fit the model's context window"
    return Fitted(chat, 1, (*_lost(len(hits) - 1, len(hits)), part))


def _ranked(question: str, hit: Hit, spans: Sequence[tuple[int, int]]) -> list[int]:
    """Return the positions of the sentences that the extractive reader scores, the best first."""
    scores = {one.text: one.score for one in _scorer().scored(question, [hit])}
    texts = [" ".join(hit.passage.text[start:end].split()) for start, end in spans]
    known = [place for place, text in enumerate(texts) if text in scores]
    return sorted(known, key=lambda place: (-scores[texts[place]], place))


def _cut(hit: Hit, spans: Sequence[tuple[int, int]], places: Sequence[int]) -> Hit:
    """Return a hit with some sentences of its passage; neighbours keep the characters between them."""
    text = hit.passage.text
    found = [text[slice(*spans[places[0]])]]
    for before, place in pairwise(places):
        start, end = spans[place]
        found.append(text[spans[before][1] : start] if place == before + 1 else _GAP)
        found.append(text[start:end])
    return replace(hit, passage=replace(hit.passage, text="".join(found)))


def _lost(count: int, of: int) -> tuple[str, ...]:
    return (f"{count} of {of} passages did not fit the model's context window",) if count else ()


@cache
def _scorer() -> ExtractiveReader:
    return ExtractiveReader()
