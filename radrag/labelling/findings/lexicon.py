"""Words for findings and for what is said about them: data, so that a department can bring its own.

A pattern is a regular expression, upper and lower case alike, in which a space stands for white space or hyphens and
``~`` for a gap of up to five words that no other statement begins in.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

ASSETS = Path(__file__).parent.parent.parent / "assets" / "findings"
_GAP = r"(?:[\s,:-]+(?!(?:and|with|but|or|normal|the|within|unremarkable|clear)\b)[\w/.'’]+){0,5}?[\s,:-]+"
_FIELDS = ("terms", "wide", "normal", "unless")


@dataclass(frozen=True, slots=True)
class Entry:
    """Patterns of one finding.

    Attributes:
        terms: What names it.
        wide: What the set counts as this finding though it has a name of its own, such as a granuloma as a nodule.
        normal: What says that it is absent without naming it, such as "heart size is normal".
        unless: Look-alikes; a term that one of them overlaps does not count.
    """

    terms: tuple[str, ...] = ()
    wide: tuple[str, ...] = ()
    normal: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Patterns of the findings of a set.

    Attributes:
        findings: Patterns by finding id.
        unless: Look-alikes of any finding.
        synonyms: Whether synonyms of the finding set are terms too; if not, they are wide. Names always are terms.
    """

    findings: Mapping[str, Entry] = field(default_factory=dict)
    unless: tuple[str, ...] = ()
    synonyms: bool = True

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all patterns."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode("utf-8")).hexdigest()


def read_lexicon(path: str | Path) -> Lexicon:
    """Read a lexicon from a TOML file.

    Args:
        path: A table for each finding id with the lists ``terms``, ``wide``, ``normal`` and ``unless``, each optional;
            and for the whole file ``unless`` and ``synonyms``, see ``Lexicon``. ``base`` names a shipped lexicon
            to start from, of which every list that is given is replaced.

    Raises:
        ValueError: If it is not of that form or a pattern is no regular expression; it names which.
    """
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not TOML: {error}") from error
    base = values.pop("base", None)
    if base is not None and not (ASSETS / f"{base}.toml").is_file():
        raise ValueError(f"{path}: base must be the name of a shipped lexicon, got {base!r}")
    start = Lexicon() if base is None else shipped_lexicon(base)
    synonyms = values.pop("synonyms", start.synonyms)
    if not isinstance(synonyms, bool):
        raise ValueError(f"{path}: synonyms must be true or false, got {synonyms!r}")
    general = _patterns(path, "unless", values.pop("unless", list(start.unless)))
    own = {name: _entry(path, name, value, start.findings.get(name, Entry())) for name, value in values.items()}
    return Lexicon({**start.findings, **own}, general, synonyms)


def shipped_lexicon(name: str) -> Lexicon:
    """Return a shipped lexicon by the name of its set or profile, or an empty one where none ships."""
    path = ASSETS / f"{name}.toml"
    return read_lexicon(path) if path.is_file() else Lexicon()


@cache
def context_cues() -> dict[str, dict[str, tuple[str, ...]]]:
    """Return the shipped cues: by kind, the patterns by where they stand."""
    values = tomllib.loads((ASSETS / "context.toml").read_text(encoding="utf-8"))
    return {kind: {side: tuple(patterns) for side, patterns in table.items()} for kind, table in values.items()}


def compiled(patterns: Iterable[str]) -> re.Pattern[str]:
    """Return one expression that matches any of the patterns as whole words, the longest at each place first."""
    bodies = sorted({expanded(pattern) for pattern in patterns}, key=lambda body: (-len(body), body))
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(bodies) or '(?!)'})(?![^\W_])", re.IGNORECASE)


def expanded(pattern: str) -> str:
    """Return a pattern as a plain regular expression."""
    gaps = re.sub(r" ?~ ?", "~", pattern)
    return gaps.replace(" ?", r"[\s-]*").replace(" ", r"[\s-]+").replace("~", _GAP)


def name_patterns(names: Iterable[str]) -> list[str]:
    """Return patterns for names, singular and plural, with one word between two at most."""
    found = []
    for name in names:
        words = re.findall(r"[^\W_]+", name)
        if words:
            bodies = [re.escape(word) for word in words]
            bodies[-1] = _plural(words[-1])
            between = r"(?:[\s-]+(?!no\b|not\b|or\b|and\b|without\b)[^\W_]+)?[\s-]+"
            found.append(between.join(bodies))
    return found


def _plural(word: str) -> str:
    body = re.escape(word)
    if word.isupper() or len(word) < 4:
        return body + "s?"
    endings = (("is", "(?:is|es)"), ("y", "(?:y|ies)"), ("us", "(?:us|i|uses)"), ("s", "s(?:es)?"))
    for ending, either in endings:
        if word.endswith(ending):
            return re.escape(word[: -len(ending)]) + either
    return body + "(?:e?s)?"


def _entry(path: Path, name: str, value: Any, start: Entry) -> Entry:
    if not isinstance(value, dict) or set(value) - set(_FIELDS):
        raise ValueError(f"{path}: {name} must be a table with some of {', '.join(_FIELDS)}, got {value!r:.80}")
    return replace(start, **{field: _patterns(path, f"{name}.{field}", found) for field, found in value.items()})


def _patterns(path: Path, where: str, values: Sequence[Any]) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) and value.strip() for value in values):
        raise ValueError(f"{path}: {where} must be a list of patterns, got {values!r:.80}")
    for value in values:
        try:
            re.compile(expanded(value))
        except re.error as error:
            raise ValueError(f"{path}: {where}: {value!r} is no regular expression: {error}") from error
    return tuple(values)
