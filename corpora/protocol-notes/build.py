"""Builds the training notes of the protocol corpus from the phrases under ``parts/``.

Usage:
    python corpora/protocol-notes/build.py [--n 4000] [--seed 0] [--out train.jsonl]

The same parts, number and seed give the same bytes. Only PyYAML is needed beyond the standard library.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
PARTS = HERE / "parts"
MIN_PER_LABEL = 40
MAX_TRIES = 200

_SUFFIX = re.compile(r"\s+@(?P<sex>[FM])?\s*(?:(?P<low>\d+)-(?P<high>\d+))?$")
_TAGS = re.compile(r"\s+~(?P<tags>[a-z0-9,]+)(?=\s+@|$)")
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


def load_parts(folder: Path = PARTS) -> tuple[dict[str, Part], dict[str, Any]]:
    """Reads all parts.

    Args:
        folder: The folder of the YAML files.

    Returns:
        The parts by protocol, in order of name, and the shared parts.
    """
    parts = {path.stem: load_part(path) for path in sorted(folder.glob("*.yaml")) if path.stem != "common"}
    common = yaml.safe_load((folder / "common.yaml").read_text(encoding="utf-8"))
    return parts, common


def allocate(parts: dict[str, Part], n: int) -> dict[str, int]:
    """Splits the number of notes over the labels by weight, with a floor per label.

    Args:
        parts: The parts.
        n: The number of notes.

    Returns:
        The number of notes of each label; the numbers add up to ``n``.
    """
    floor = min(MIN_PER_LABEL, n // len(parts))
    total = sum(part.weight for part in parts.values())
    counts = {name: max(floor, int(n * part.weight / total)) for name, part in parts.items()}
    order = sorted(parts, key=lambda name: (-parts[name].weight, name))
    place = 0
    while sum(counts.values()) != n:
        name = order[place % len(order)]
        if sum(counts.values()) < n:
            counts[name] += 1
        elif counts[name] > floor:
            counts[name] -= 1
        place += 1
    return counts


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
            text = pattern.sub(lambda _, short=rng.choice(shorts): short, text)
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


def fits(first: Phrase, second: Phrase) -> bool:
    """Says whether two phrases can be about one patient (sex and age)."""
    if first.sex and second.sex and first.sex != second.sex:
        return False
    return max(first.low, second.low) <= min(first.high, second.high)


def stems(text: str) -> list[str]:
    """Returns the first five letters of the longer words of a text, in lower case."""
    return sorted({word[:5] for word in re.findall(r"[a-z]{5,}", re.sub(r"<[^<>]*>", " ", text.lower()))})


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


def found_in(words: Sequence[str], text: str) -> bool:
    """Says whether one of the words is in the text (short capitals as whole words, others as any part)."""
    for word in words:
        if word.isupper():
            if re.search(rf"\b{re.escape(word)}\b", text):
                return True
        elif word.lower() in text.lower():
            return True
    return False


def make_note(part: Part, parts: dict[str, Part], common: dict[str, Any], rng: random.Random) -> tuple[str, str]:
    """Makes one note.

    Args:
        part: The protocol's phrases.
        parts: All phrases, for the siblings.
        common: The shared parts.
        rng: The source of chance.

    Returns:
        The text of the note and its group.
    """
    rates = common["rates"]
    history: Phrase | None = None
    while history is None:
        ask = rng.choices(part.asks, [ask_weight(phrase, part) for phrase in part.asks])[0]
        history = choose_history(ask, part.histories, rng)
    facts = [history]
    if rng.random() < rates["second_history"]:
        others = [
            phrase
            for phrase in part.histories
            if not phrase.deciding
            and phrase.code != history.code
            and fits(ask, phrase)
            and fits(history, phrase)
            and (not phrase.tags or not set(phrase.tags).isdisjoint(history.tags))
        ]
        if others:
            facts.append(rng.choice(others))
    if ask.deciding and part.siblings and rng.random() < rates["ambiguity"]:
        sibling = parts[rng.choice(part.siblings)]
        others = [p for p in sibling.histories if not p.deciding and all(fits(p, q) for q in [ask, *facts])]
        if others:
            facts = [rng.choice(others)] if rng.random() < 0.3 else [*facts, rng.choice(others)]
    low = max(phrase.low for phrase in [ask, *facts, history])
    high = min(phrase.high for phrase in [ask, *facts, history])
    if low > high:
        low, high = history.low, history.high
    age = rng.randint(low, high)
    sexes = [phrase.sex for phrase in [ask, history, *facts] if phrase.sex]
    sex = sexes[0] if sexes else rng.choice("FM")
    side = rng.choice(["left", "right"])
    if "left" in history.text or "right" in history.text.replace("right upper", "").replace("right lower", ""):
        side = "left" if "left" in history.text else "right"

    weights = common["styles"][part.setting]
    style = rng.choices(list(weights), list(weights.values()))[0]
    style_rates = common["style_rates"][style]

    ask_text = fill(ask.text, side, rng)
    pieces = [fill(phrase.text, side, rng) for phrase in facts]
    so_far = " ".join([ask_text, *pieces])
    core = len(pieces)
    if rng.random() < rates["distractor"]:
        chosen = rng.sample(common["distractors"], 2 if rng.random() < rates["second_distractor"] else 1)
        chosen = [text for text in chosen if not any(word in so_far.lower() for word in stems(text))]
        pieces += [fill(text, side, rng) for text in chosen]
    if rng.random() < rates["negation"]:
        able = [text for text, words in common["negations"] if not found_in(words, " ".join([so_far, *pieces]))]
        pieces += [rng.choice(able)] if able else []
    for name in ("prior", "allergy", "renal", "pregnancy"):
        if rng.random() >= rates[name]:
            continue
        if name == "pregnancy" and (sex != "F" or not 18 <= age <= 48 or found_in(common["pregnancy_unless"], so_far)):
            continue
        if name == "renal" and found_in(common["renal_unless"], so_far):
            continue
        if name == "allergy" and found_in(["allerg", "anaphyla", "contrast", "hives", "reaction"], so_far):
            continue
        if name == "prior" and found_in(["prior", "outside", "last", "first", "baseline"], so_far):
            continue
        pool = common[{"prior": "priors", "allergy": "allergies"}.get(name, name)]
        pieces.append(fill(rng.choice(pool), side, rng))
    if len(pieces) > core + 1 and rng.random() < 0.3:
        tail = pieces[core:]
        rng.shuffle(tail)
        pieces = [*pieces[:core], *tail]
    if core < len(pieces) and rng.random() < 0.2:
        pieces = [pieces[-1], *pieces[:-1]]

    words = {
        "age": age,
        "S": sex,
        "s": sex.lower(),
        "sex": "female" if sex == "F" else "male",
        "Sex": "Female" if sex == "F" else "Male",
        "noun": "woman" if sex == "F" else "man",
        "polite": "lady" if sex == "F" else "gentleman",
        "title": rng.choice(["Mrs. [name]", "Ms. [name]"]) if sex == "F" else "Mr. [name]",
    }
    who_forms = common["no_age_written" if rng.random() < rates["no_age"] else "ages_written"][style]
    who = fill(rng.choice(who_forms), side, rng).format(**words)
    who = re.sub(r"\b([Aa]) (?=(?:8\d|18)\b)", r"\1n ", who)
    if who:
        at = len(pieces) if style in ("terse", "emergency") and rng.random() < 0.08 else 0
        at = 0 if who.endswith("w/") else at
        pieces.insert(at, who)

    forms = common["wordy"] if style in ("dictated", "letter") else common["abbreviations"]
    chance = 0.6 if style in ("dictated", "letter") else style_rates["abbreviate"]
    ask_text = replace_words(ask_text, forms, chance, rng)
    pieces = [replace_words(piece, forms, chance, rng) for piece in pieces]
    if style in ("dictated", "letter"):
        ask_text = replace_words(ask_text, common["abbreviations"], style_rates["abbreviate"], rng)

    form = rng.choice(common["asks_written"][style])
    asked = form.format(ask=ask_text, Ask=capital(ask_text))
    remarks = [fill(rng.choice(common["remarks"][part.setting]), side, rng)] if rng.random() < rates["remark"] else []
    closer = rng.choice(common["closers"][style])
    debris = fill(rng.choice(common["debris"]), side, rng) if rng.random() < rates["debris"] else ""
    moved = rng.random() < rates["ask_in_history"]
    notes = [rng.choice(common["see_history"]) if moved else asked, *remarks]
    if moved:
        pieces.append(asked)
    if style in ("dictated", "letter"):
        notes_text = " ".join(sentence(text) for text in [*notes, closer] if text)
        history_text = " ".join(sentence(text) for text in pieces)
    else:
        between = rng.choice(common["separators"][style])
        notes_text = rng.choice([", ", ". ", "; "]).join(text for text in [*notes, closer] if text)
        notes_text = notes_text.replace("?,", "?").replace("?.", "?").replace("?;", "?")
        history_text = between.join(pieces).replace("w/" + between, "w/ ", 1).replace("?" + between, "? ")
        if rng.random() < 0.3:
            notes_text, history_text = capital(notes_text), capital(history_text)
    notes_text = add_typos(notes_text, style_rates["typo"], common["typos"], rng)
    history_text = add_typos(history_text, style_rates["typo"], common["typos"], rng)
    case = rng.random()
    if case < style_rates["lower"]:
        notes_text, history_text = notes_text.lower(), history_text.lower()
    elif case < style_rates["lower"] + style_rates["upper"]:
        notes_text, history_text = notes_text.upper(), history_text.upper()
    if debris:
        history_text = f"{debris} {history_text}" if rng.random() < 0.3 else f"{history_text} {debris}"
    text = re.sub(r"\s+", " ", f"Notes: {notes_text} History: {history_text}").strip()
    return text, f"{part.protocol}/{ask.code}/{history.code}"


def normalise(text: str) -> str:
    """Returns the text in lower case with single spaces."""
    return " ".join(text.lower().split())


def build(n: int, seed: int, folder: Path = PARTS) -> list[dict[str, str]]:
    """Makes the notes.

    Args:
        n: The number of notes.
        seed: The seed.
        folder: The folder of the parts.

    Returns:
        The rows, in the order of the file.

    Raises:
        RuntimeError: If the parts do not allow that many different notes.
    """
    parts, common = load_parts(folder)
    for part in parts.values():
        missing = [name for name in part.siblings if name not in parts]
        if missing:
            raise ValueError(f"{part.protocol}: unknown siblings {missing}")
    rng = random.Random(seed)
    seen: set[str] = set()
    rows: list[dict[str, str]] = []
    for name, count in allocate(parts, n).items():
        for _ in range(count):
            for _ in range(MAX_TRIES):
                text, group = make_note(parts[name], parts, common, rng)
                if normalise(text) not in seen:
                    break
            else:
                raise RuntimeError(f"{name}: no new note after {MAX_TRIES} tries")
            seen.add(normalise(text))
            rows.append({"text": text, "label": name, "group": group})
    rng.shuffle(rows)
    return [{"id": f"n{place:05d}", **row} for place, row in enumerate(rows, start=1)]


def write(rows: Sequence[dict[str, str]], out: Path) -> None:
    """Writes the rows as JSON lines, whole or not at all.

    Args:
        rows: The rows.
        out: The file.
    """
    handle, name = tempfile.mkstemp(dir=out.parent, prefix=out.name, suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            for row in rows:
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")
        os.chmod(name, 0o644)
        os.replace(name, out)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def main(argv: Sequence[str] | None = None) -> None:
    """Builds the notes from the command line.

    Args:
        argv: The arguments, those of the process where None.
    """
    parser = argparse.ArgumentParser(description="Build the training notes from parts/.")
    parser.add_argument("--n", type=int, default=4000, help="number of notes")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random choices")
    parser.add_argument("--out", type=Path, default=HERE / "train.jsonl", help="file to write")
    args = parser.parse_args(argv)
    rows = build(args.n, args.seed)
    write(rows, args.out)
    print(f"{len(rows)} notes, {len({row['label'] for row in rows})} labels -> {args.out.name}")


if __name__ == "__main__":
    main()
