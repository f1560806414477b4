"""How a note is worded: placeholders, abbreviations, typing errors, and what a patient is called."""

from __future__ import annotations

import random
import re
from typing import Any

ADULT = 18

_PLACEHOLDER = re.compile(r"<([^<>]+)>")
_ONE = re.compile(r"\b(1 (?:year|month|week|block|day|pack|minute|hour|lesion))s\b(?! of)")
_KEYS = {
    "a": "s",
    "b": "v",
    "c": "x",
    "d": "s",
    "e": "r",
    "f": "g",
    "g": "h",
    "h": "j",
    "i": "o",
    "k": "l",
    "l": "k",
    "m": "n",
    "n": "m",
    "o": "p",
    "p": "o",
    "r": "t",
    "s": "d",
    "t": "y",
    "u": "i",
    "v": "b",
    "w": "e",
    "y": "u",
}


def fill(text: str, side: str, rng: random.Random) -> str:
    """Fills the placeholders of a phrase.

    Args:
        text: The phrase.
        side: "left" or "right".
        rng: The source of chance.

    Returns:
        The phrase without placeholders.
    """

    def one(match: re.Match[str]) -> str:
        inside = match[1]
        if inside == "side":
            return side
        if ".." in inside:
            low, high = inside.split("..")
            try:
                return str(rng.randint(int(low), int(high)))
            except ValueError as error:
                raise ValueError(f"bad placeholder {inside!r} in {text!r}") from error
        return rng.choice(inside.split("|"))

    return _ONE.sub(r"\1", _PLACEHOLDER.sub(one, text))


def replace_words(text: str, pairs: list[Any], chance: float, rng: random.Random) -> str:
    """Replaces phrases by their other forms.

    Args:
        text: The text.
        pairs: Pairs of a phrase and the list of its other forms.
        chance: The chance that a pair is applied.
        rng: The source of chance.

    Returns:
        The text with some phrases replaced.
    """
    for full, shorts in pairs:
        pattern = re.compile(rf"(?<![\w/+-]){re.escape(full)}(?![\w-])")
        if pattern.search(text) and rng.random() < chance:
            chosen = rng.choice(shorts)
            text = pattern.sub(lambda _, short=chosen: short, text)
    return text


def typo(word: str, kind: str, rng: random.Random) -> str:
    """Puts one typing error into a word.

    Args:
        word: The word.
        kind: "swap", "drop", "double" or "neighbour".
        rng: The source of chance.

    Returns:
        The word with the error.
    """
    at = rng.randrange(1, len(word) - 1)
    if kind == "swap":
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == "drop":
        return word[:at] + word[at + 1 :]
    if kind == "double":
        return word[:at] + word[at] + word[at:]
    return word[:at] + _KEYS.get(word[at], word[at]) + word[at + 1 :]


def add_typos(text: str, rate: float, kinds: dict[str, int], rng: random.Random) -> str:
    """Puts typing errors into the longer words of a text.

    Args:
        text: The text.
        rate: The chance per word.
        kinds: The weights of the kinds of error.
        rng: The source of chance.

    Returns:
        The text with errors.
    """

    def one(match: re.Match[str]) -> str:
        if rng.random() >= rate:
            return match[0]
        return typo(match[0], rng.choices(list(kinds), list(kinds.values()))[0], rng)

    return re.sub(r"[A-Za-z]{5,}", one, text)


def capital(text: str) -> str:
    """Returns the text with its first letter as a capital."""
    return text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    """Returns the text as a sentence: a capital at the start and a mark at the end."""
    text = capital(text.strip())
    return text if text.endswith((".", "?", "!")) else text + "."


def who_words(age: int, sex: str, rng: random.Random) -> dict[str, Any]:
    """Returns the words for a patient of an age and sex, by their placeholder."""
    female = sex == "F"
    title = rng.choice(["Mrs. [name]", "Ms. [name]"]) if female else "Mr. [name]"
    child = "girl" if female else "boy"
    return {
        "age": age,
        "S": sex,
        "s": sex.lower(),
        "sex": "female" if female else "male",
        "Sex": "Female" if female else "Male",
        "noun": child if age < ADULT else "woman" if female else "man",
        "polite": child if age < ADULT else "lady" if female else "gentleman",
        "title": "[name]" if age < ADULT else title,
    }
