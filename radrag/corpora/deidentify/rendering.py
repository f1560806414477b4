"""What stands in masked text for an identifier, and where each offset of the one text lies in the other."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from datetime import date, timedelta

from radrag.types.identifiers import Identifier, IdentifierKind

TAGS = re.compile("|".join(re.escape(kind.tag) for kind in IdentifierKind))
Segment = tuple[int, int, int, int]
Replacer = Callable[[Identifier], str]

_GIVEN = "Robin Casey Jordan Avery Morgan Riley Quinn Taylor Alex Jamie Sasha Noel Rene Kerry Ariel Drew".split()
_FAMILY = (
    "Miller Lopez Nguyen Carter Ahmed Novak Silva Okafor Larsen Tanaka Moreau Fischer Rossi Patel Kim Byrne".split()
)
_TOWNS = "Fairview Riverton Oakdale Lakeside Westbrook Milford Ashford Brookfield Clayton Hillcrest".split()
_ISO = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})(?=$|[ T])")
_US = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})(?=$|[ T])")


def replacer(how: str, seed: int) -> Replacer:
    """Return what replaces an identifier: its tag, asterisks of the same length, or an invented value.

    Raises:
        ValueError: If there is no such way.
    """
    ways: dict[str, Callable[[], Replacer]] = {
        "tag": lambda: lambda found: found.kind.tag,
        "mask": lambda: lambda found: re.sub(r"[^\n\r]", "*", found.text),
        "surrogate": lambda: _Surrogates(seed),
    }
    if how not in ways:
        raise ValueError(f"replace must be one of {', '.join(ways)}, got {how!r}")
    return ways[how]()


class _Surrogates:
    """Invents values: the same for the same text and kind; all whole dates move by the same number of days."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)
        self._shift = timedelta(days=self._draw.choice([-1, 1]) * self._draw.randint(30, 365))
        self._known: dict[tuple[IdentifierKind, str], str] = {}

    def __call__(self, found: Identifier) -> str:
        key = (found.kind, " ".join(found.text.lower().split()))
        if key not in self._known:
            self._known[key] = self._invent(found)
        return self._known[key]

    def _invent(self, found: Identifier) -> str:
        kind, number = found.kind, len(self._known) + 1
        made: dict[IdentifierKind, Callable[[], str]] = {
            IdentifierKind.NAME: lambda: f"{self._draw.choice(_GIVEN)} {self._draw.choice(_FAMILY)}",
            IdentifierKind.LOCATION: lambda: self._draw.choice(_TOWNS),
            IdentifierKind.AGE: lambda: "90",
            IdentifierKind.EMAIL: lambda: f"person{number}@example.com",
            IdentifierKind.URL: lambda: f"https://example.com/{number}",
            IdentifierKind.IP: lambda: f"192.0.2.{self._draw.randint(1, 254)}",
            IdentifierKind.PHOTO: lambda: f"image-{number}.jpg",
            IdentifierKind.DATE: lambda: self._moved(found),
        }
        return made.get(kind, lambda: self._digits(found.text))()

    def _digits(self, text: str) -> str:
        """Letters and digits changed for others; text without a digit is replaced by a number."""
        if not any(character.isdigit() for character in text):
            return str(self._draw.randint(10_000, 99_999))
        letters = "ABCDEFGHJKLMNPQRSTUVWXYZ"
        kinds = [(str.isdigit, "0123456789"), (str.isalpha, letters)]
        return "".join(
            next((self._draw.choice(pool) for test, pool in kinds if test(character)), character) for character in text
        )

    def _moved(self, found: Identifier) -> str:
        for pattern, order in ((_ISO, (1, 3, 4)), (_US, (4, 1, 3))):
            match = pattern.match(found.text)
            if match is not None:
                try:
                    moved = date(*(int(match[group]) for group in order)) + self._shift
                except (ValueError, OverflowError):
                    break
                parts = (
                    (moved.year, moved.month, moved.day) if pattern is _ISO else (moved.month, moved.day, moved.year)
                )
                return match[2].join(f"{part:02d}" for part in parts)
        return IdentifierKind.DATE.tag


def render(text: str, found: Sequence[Identifier], replace: Replacer) -> tuple[str, tuple[Segment, ...]]:
    """Write a text with each identifier replaced.

    Returns:
        The new text, and for every identifier its start and end in the old text and in the new one.
    """
    parts, segments, at, written = [], [], 0, 0
    for one in found:
        new = replace(one)
        kept = text[at : one.start]
        begins = written + len(kept)
        parts += [kept, new]
        segments.append((one.start, one.end, begins, begins + len(new)))
        at, written = one.end, begins + len(new)
    parts.append(text[at:])
    return "".join(parts), tuple(segments)
