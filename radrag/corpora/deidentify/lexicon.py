"""Words and names that the recognisers look up: lists beside the code, read once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ASSETS = Path(__file__).resolve().parents[2] / "assets" / "deid"
WORD = re.compile(r"[^\W\d_]+(?:(?:['’](?![sS]\b)|-)[^\W\d_]+)*")
_MARK = re.compile(r"x+|[ivx]+[a-c]?")
_CONTRACTION = re.compile(r"\w+['’](?:ll|re|ve|d|t|m)")
_PARTS = re.compile(r"['’-]")


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a text: letters, with inner hyphens and apostrophes, without a possessive s."""

    start: int
    end: int
    text: str
    low: str

    @property
    def initial(self) -> bool:
        """Whether it is one capital letter."""
        return len(self.text) == 1 and self.text.isupper()

    @property
    def capital(self) -> bool:
        """Whether it begins with a capital letter."""
        return self.text[0].isupper()

    @property
    def shouted(self) -> bool:
        """Whether it is two capital letters or more and nothing else."""
        return len(self.text) > 1 and self.text.isupper()


def words_of(text: str) -> Iterator[Word]:
    """Yield the words of a text in order."""
    for match in WORD.finditer(text):
        yield Word(match.start(), match.end(), match[0], match[0].lower())


def _lines(name: str) -> Iterator[str]:
    for line in (ASSETS / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            yield line


@cache
def listed(name: str) -> frozenset[str]:
    """Return the words of a list, such as ``"given"``, one or more to a line."""
    return frozenset(word for line in _lines(f"{name}.txt") for word in line.split())


@cache
def phrases(name: str) -> frozenset[str]:
    """Return the phrases of a list, such as ``"places"``, with commas between them."""
    return frozenset(part.strip() for line in _lines(f"{name}.txt") for part in line.split(",") if part.strip())


def _any_form(low: str, names: frozenset[str]) -> bool:
    if low in names or _PARTS.sub("", low) in names:
        return True
    parts = [part for part in _PARTS.split(low) if len(part) > 1]
    return len(parts) > 1 and any(part in names for part in parts)


@cache
def _name(low: str, name: str) -> bool:
    return _any_form(low, listed(name))


def is_given(low: str) -> bool:
    """Whether a word in lower case is, or holds, a given name that is listed."""
    return _name(low, "given")


def is_surname(low: str) -> bool:
    """Whether a word in lower case is, or holds, a surname that is listed."""
    return _name(low, "surnames")


@cache
def is_name(low: str) -> bool:
    """Whether a word in lower case is listed as a given name or a surname."""
    return is_given(low) or is_surname(low)


@cache
def is_common(low: str) -> bool:
    """Whether a word occurs in ordinary or clinical prose in lower case; of a compound, any part."""
    if low in listed("words") or low in listed("common"):
        return True
    if _MARK.fullmatch(low) or _CONTRACTION.fullmatch(low):
        return True
    return "-" in low and any(part in listed("words") or part in listed("common") for part in low.split("-"))


@cache
def is_clinical(low: str) -> bool:
    """Whether a word is an eponym, a brand, a device, a score or an organism; of a compound, any part will do."""
    known = listed("clinical")
    if low in known:
        return True
    parts = [part for part in _PARTS.split(low) if len(part) > 1]
    if len(parts) < 2:
        return False
    own = any(part in known and not is_name(part) for part in parts)
    return own or (parts[0] in known and all(part in known or is_common(part) for part in parts))


@cache
def is_free(low: str) -> bool:
    """Whether a word is neither common nor clinical: if it is a name, then only that."""
    return not is_common(low) and not is_clinical(low)


_NEXT = re.compile(r"(?:['’]s)?(?:[ \t]?[-/][ \t]?|[ \t]+)(\w[\w.'’-]{0,24}|[+-])")
_FINDINGS = frozenset("negative neg positive pos absent present normal nl level levels".split())
_FAR = frozenset(
    "rule rules score scores scale scales criteria classification questionnaire trial system staging study index"
    " test".split()
)


def eponymous(text: str, end: int) -> bool:
    """Whether what follows makes the name that ends here a clinical one: "Parkinson's disease", "Murphy neg"."""
    lower = False
    for step in range(4):
        match = _NEXT.match(text, end)
        if match is None:
            return False
        low = match[1].lower().rstrip(".")
        near = step == 0 and (match[1] in "+-" or low in listed("eponym_nouns"))
        if near or (low in _FAR if lower else step > 0 and low in listed("eponym_nouns") - _FINDINGS):
            return True
        if lower:
            return False
        lower = not match[1][0].isupper()
        end = match.end()
    return False
