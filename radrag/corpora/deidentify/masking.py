"""De-identification of clinical text: find what identifies somebody, and put something else in its place."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from radrag.corpora.deidentify.dates import find_dates
from radrag.corpora.deidentify.names import find_names
from radrag.corpora.deidentify.numbers import find_numbers
from radrag.corpora.deidentify.places import find_places
from radrag.corpora.deidentify.presidio import find_with_presidio
from radrag.corpora.deidentify.rendering import TAGS, Segment, render, replacer
from radrag.corpora.deidentify.resolving import outside, resolve
from radrag.types.identifiers import Identifier, IdentifierKind

Recogniser = Callable[[str], Iterable[Identifier]]
RECOGNISERS: Mapping[str, Recogniser] = {
    "names": find_names,
    "places": find_places,
    "dates": find_dates,
    "numbers": find_numbers,
}
ENGINES: Mapping[str, tuple[Recogniser, ...]] = {
    "rules": tuple(RECOGNISERS.values()),
    "presidio": (find_with_presidio,),
    "rules+presidio": (*RECOGNISERS.values(), find_with_presidio),
}
_LOOKS = 8


@dataclass(frozen=True, slots=True)
class Deidentified:
    """A text in which what identifies somebody was replaced.

    Printing it shows the masked text only. ``original`` and ``spans`` hold the identifiers themselves: do not log them.

    Attributes:
        text: The masked text.
        spans: What was found, in order, with offsets into the original.
        original: The text as it was.
        segments: For each span its start and end in the original and in the masked text.
    """

    text: str
    spans: tuple[Identifier, ...]
    original: str
    segments: tuple[Segment, ...]

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Deidentified(text={self.text!r}, {len(self.spans)} identifiers)"

    def to_original(self, start: int, end: int) -> tuple[int, int]:
        """Return where a stretch of the masked text lies in the original; one that cuts a replacement takes all of it.

        Raises:
            ValueError: If the offsets are not of the masked text.
        """
        return _mapped([(c, d, a, b) for a, b, c, d in self.segments], start, end, len(self.text))

    def to_masked(self, start: int, end: int) -> tuple[int, int]:
        """Return where a stretch of the original lies in the masked text; one that cuts an identifier takes all of it.

        Raises:
            ValueError: If the offsets are not of the original.
        """
        return _mapped(list(self.segments), start, end, len(self.original))


def _mapped(segments: list[Segment], start: int, end: int, length: int) -> tuple[int, int]:
    if not 0 <= start <= end <= length:
        raise ValueError(f"expected offsets with 0 <= start <= end <= {length}, got {start} and {end}")
    left = _edge(segments, start, first=True)
    return left, max(left, _edge(segments, end, first=False))


def _edge(segments: list[Segment], at: int, *, first: bool) -> int:
    index = bisect.bisect_right(segments, at, key=lambda segment: segment[0]) - 1
    if index < 0:
        return at
    old_start, old_end, new_start, new_end = segments[index]
    if at >= old_end:
        return at - old_end + new_end
    if at == old_start:
        return new_start
    return new_start if first else new_end


def deidentify(
    text: str,
    *,
    kinds: Collection[IdentifierKind | str] | None = None,
    replace: Literal["tag", "mask", "surrogate"] = "tag",
    least: float = 0.5,
    engine: str = "rules",
    seed: int = 0,
) -> Deidentified:
    """Find the 18 HIPAA identifiers in a text in English and replace them.

    Clinical content stays: doses, measurements, years, ages up to 89, eponyms, drugs, devices, anatomy. It is not a
    certificate: some identifiers will be missed, and what counts as identifying beyond the 18 is for a person to judge.

    Args:
        text: A note, report or question.
        kinds: What to look for; all of them unless given.
        replace: ``"tag"`` writes the kind, such as ``[NAME]``; ``"mask"`` asterisks of the same length; ``"surrogate"``
            an invented value, the same for the same text, with whole dates moved by one number of days.
        least: Identifiers scored below this are left, 0 to 1.
        engine: ``"rules"``, or, where that package and a model of it are installed, ``"presidio"`` or both,
            ``"rules+presidio"``.
        seed: Of the surrogates.

    Returns:
        The masked text with the spans.

    Raises:
        ValueError: If an argument is not one of those above.
        MissingExtraError: If presidio is asked for and absent.
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, got {type(text).__name__}")
    if not 0 <= least <= 1:
        raise ValueError(f"least must lie between 0 and 1, got {least}")
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}")
    wanted = frozenset(IdentifierKind) if kinds is None else frozenset(map(IdentifierKind, kinds))
    write = replacer(replace, seed)
    found = _find(text, ENGINES[engine], wanted, least)
    masked, segments = render(text, found, write)
    return Deidentified(masked, found, text, segments)


def _find(
    text: str, recognisers: Iterable[Recogniser], kinds: frozenset[IdentifierKind], least: float
) -> tuple[Identifier, ...]:
    """Find until a look at the masked text finds no more, so that masking a masked text changes nothing."""
    found: tuple[Identifier, ...] = ()
    for _ in range(_LOOKS):
        masked, segments = render(text, found, lambda one: one.kind.tag)
        tags = [match.span() for match in TAGS.finditer(masked)]
        seen = [one for find in recognisers for one in find(masked) if one.kind in kinds and one.score >= least]
        new = outside(resolve(masked, outside(seen, tags)), tags)
        if not new:
            break
        back = Deidentified(masked, found, text, segments)
        found = tuple(sorted([*found, *(_moved(text, one, back) for one in new)], key=lambda one: one.start))
    return found


def _moved(text: str, one: Identifier, back: Deidentified) -> Identifier:
    start, end = back.to_original(one.start, one.end)
    return Identifier(start, end, text[start:end], one.kind, one.score, one.recogniser)
