"""The phrases under ``parts/``: what they are, how they are read, and which of them fit together."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_SUFFIX = re.compile(r"\s+@(?P<sex>[FM])?\s*(?:(?P<low>\d+)-(?P<high>\d+))?$")
_TAGS = re.compile(r"\s+~(?P<tags>[a-z0-9,]+)(?=\s+@|$)")


@dataclass(frozen=True)
class Phrase:
    """One phrase of a parts file.

    Attributes:
        text: The phrase, with its placeholders.
        deciding: Whether the phrase alone decides between sibling protocols.
        sex: "F" or "M" where the phrase fits one sex only, else "".
        low: The lowest age that it fits.
        high: The highest age that it fits.
        tags: Topics; an ask with topics is only paired with a history that shares one.
        code: The place of the phrase in its file, such as "a03" or "h11".
    """

    text: str
    deciding: bool
    sex: str
    low: int
    high: int
    tags: tuple[str, ...]
    code: str


@dataclass(frozen=True)
class Part:
    """The phrases of one protocol.

    Attributes:
        protocol: The protocol id, which is the label.
        weight: The relative frequency.
        setting: "acute", "mixed" or "elective".
        siblings: Protocols that are easily confused with this one.
        asks: What the requester asks.
        histories: What supports the ask.
    """

    protocol: str
    weight: float
    setting: str
    siblings: tuple[str, ...]
    asks: tuple[Phrase, ...]
    histories: tuple[Phrase, ...]


def parse_phrase(raw: str, code: str, deciding: bool, ages: Sequence[int]) -> Phrase:
    """Reads one phrase with its optional ``~topic`` and ``@F 20-40`` suffixes.

    Args:
        raw: The phrase as written in the file.
        code: Its code.
        deciding: Whether it decides alone.
        ages: The age range of the file.

    Returns:
        The phrase.

    Raises:
        ValueError: If the phrase is not a piece of text.
    """
    if not isinstance(raw, str) or not raw.strip():
        raise ValueError(f"phrase {code} is not text: {raw!r}")
    sex, low, high = "", int(ages[0]), int(ages[1])
    tags: tuple[str, ...] = ()
    found = _SUFFIX.search(raw)
    if found:
        sex = found["sex"] or ""
        if found["low"]:
            low, high = int(found["low"]), int(found["high"])
        raw = raw[: found.start()]
    topic = _TAGS.search(raw)
    if topic:
        tags = tuple(topic["tags"].split(","))
        raw = raw[: topic.start()]
    return Phrase(raw.strip(), deciding, sex, low, high, tags, code)


def load_part(path: Path) -> Part:
    """Reads one protocol's file.

    Args:
        path: The file.

    Returns:
        The part.

    Raises:
        ValueError: If the file's name and its ``protocol`` differ.
    """
    data: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    if data["protocol"] != path.stem:
        raise ValueError(f"{path.name}: protocol is {data['protocol']!r}")
    phrases: dict[str, tuple[Phrase, ...]] = {}
    for field, letter in (("asks", "a"), ("histories", "h")):
        found: list[Phrase] = []
        for kind in ("deciding", "open"):
            for raw in data[field].get(kind) or []:
                code = f"{letter}{len(found):02d}"
                found.append(parse_phrase(raw, code, kind == "deciding", data["ages"]))
        phrases[field] = tuple(found)
    return Part(
        protocol=data["protocol"],
        weight=float(data["weight"]),
        setting=data["setting"],
        siblings=tuple(data.get("siblings") or ()),
        asks=phrases["asks"],
        histories=phrases["histories"],
    )


def load_parts(folder: Path) -> tuple[dict[str, Part], dict[str, Any]]:
    """Reads all parts.

    Args:
        folder: The folder of the YAML files.

    Returns:
        The parts by protocol, in order of name, and the shared parts.
    """
    parts = {path.stem: load_part(path) for path in sorted(folder.glob("*.yaml")) if path.stem != "common"}
    common = yaml.safe_load((folder / "common.yaml").read_text(encoding="utf-8"))
    return parts, common


def fits(first: Phrase, second: Phrase) -> bool:
    """Says whether two phrases can be about one patient (sex and age)."""
    if first.sex and second.sex and first.sex != second.sex:
        return False
    return max(first.low, second.low) <= min(first.high, second.high)


def stems(text: str) -> list[str]:
    """Returns the first five letters of the longer words of a text, in lower case."""
    return sorted({word[:5] for word in re.findall(r"[a-z]{5,}", re.sub(r"<[^<>]*>", " ", text.lower()))})


def found_in(words: Sequence[str], text: str) -> bool:
    """Says whether one of the words is in the text (short capitals as whole words, others as any part)."""
    for word in words:
        if word.isupper():
            if re.search(rf"\b{re.escape(word)}\b", text):
                return True
        elif word.lower() in text.lower():
            return True
    return False


def choose_history(ask: Phrase, histories: Sequence[Phrase], rng: random.Random) -> Phrase | None:
    """Chooses a history for an ask, preferring those that share words with it.

    Args:
        ask: The ask.
        histories: The histories of the protocol.
        rng: The source of chance.

    Returns:
        A history that fits, or None where there is none.
    """
    able = [
        history
        for history in histories
        if fits(ask, history)
        and (ask.deciding or history.deciding)
        and (not ask.tags or not set(ask.tags).isdisjoint(history.tags))
    ]
    if not able:
        return None
    words = stems(ask.text)
    weights = [
        (1.0 if history.deciding else 0.6) + 3.0 * sum(word in words for word in stems(history.text))
        for history in able
    ]
    return rng.choices(able, weights)[0]


def ask_weight(ask: Phrase, part: Part) -> float:
    """Says how often an ask is used; one that few histories support is used less.

    Args:
        ask: The ask.
        part: The phrases of its protocol.

    Returns:
        The weight.
    """
    if not ask.tags:
        return 1.0
    able = sum(not set(ask.tags).isdisjoint(history.tags) for history in part.histories)
    return min(1.0, 0.2 + able / 6)
