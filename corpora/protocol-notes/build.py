"""Builds the training notes of the protocol corpus from the phrases under ``parts/``.

Usage:
    python corpora/protocol-notes/build.py [--n 12000] [--seed 0] [--out train.jsonl]

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

from phrases import Part, Phrase, ask_weight, choose_history, fits, found_in, load_parts, stems
from wording import ADULT, add_typos, capital, fill, replace_words, sentence, who_words

HERE = Path(__file__).resolve().parent
PARTS = HERE / "parts"
MIN_PER_LABEL = 40
MAX_TRIES = 200
WORDY = ("dictated", "letter")


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


@dataclass(frozen=True)
class Patient:
    """Whom a note is about.

    Attributes:
        age: In whole years; 0 for an infant.
        sex: "F" or "M".
        side: "left" or "right", the same for the whole note.
    """

    age: int
    sex: str
    side: str


def choose_facts(part: Part, parts: dict[str, Part], rates: dict[str, float], rng: random.Random) -> list[Phrase]:
    """Chooses what a note is about.

    Args:
        part: The protocol's phrases.
        parts: All phrases, for the siblings.
        rates: How often optional pieces are used.
        rng: The source of chance.

    Returns:
        The ask, the history chosen for it, and then the histories that are written.
    """
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
        facts += [rng.choice(others)] if others else []
    if ask.deciding and part.siblings and rng.random() < rates["ambiguity"]:
        sibling = parts[rng.choice(part.siblings)]
        others = [p for p in sibling.histories if not p.deciding and all(fits(p, q) for q in [ask, *facts])]
        if others:
            facts = [rng.choice(others)] if rng.random() < 0.3 else [*facts, rng.choice(others)]
    return [ask, history, *facts]


def choose_patient(phrases: Sequence[Phrase], rng: random.Random) -> Patient:
    """Chooses a patient whom all phrases can be about; the second phrase is the history, which prevails."""
    history = phrases[1]
    low, high = max(phrase.low for phrase in phrases), min(phrase.high for phrase in phrases)
    if low > high:
        low, high = history.low, history.high
    sexes = [phrase.sex for phrase in phrases if phrase.sex]
    side = rng.choice(["left", "right"])
    if "left" in history.text or "right" in history.text.replace("right upper", "").replace("right lower", ""):
        side = "left" if "left" in history.text else "right"
    return Patient(rng.randint(low, high), sexes[0] if sexes else rng.choice("FM"), side)


def add_asides(so_far: str, patient: Patient, common: dict[str, Any], rng: random.Random) -> list[str]:
    """Chooses what else a history holds: other illness, negations, prior imaging, allergies, renal function, pregnancy.

    Args:
        so_far: What the note says already; nothing that contradicts it is chosen.
        patient: The patient.
        common: The shared parts.
        rng: The source of chance.

    Returns:
        The pieces.
    """
    rates, age, found = common["rates"], patient.age, []
    if rng.random() < rates["distractor"]:
        pool = common["distractors" if age >= ADULT else "child_distractors" if age >= 1 else "infant_distractors"]
        chosen = rng.sample(pool, 2 if rng.random() < rates["second_distractor"] else 1)
        found += [text for text in chosen if not any(word in so_far.lower() for word in stems(text))]
    if rng.random() < rates["negation"]:
        allowed = common["child_negations"] if age < ADULT else [text for text, _ in common["negations"]]
        said = " ".join([so_far, *found])
        able = [text for text, words in common["negations"] if text in allowed and not found_in(words, said)]
        found += [rng.choice(able)] if able else []
    unfit = {
        "priors": age < 6 or found_in(["prior", "outside", "last", "first", "baseline"], so_far),
        "allergies": age < 1 or found_in(["allerg", "anaphyla", "contrast", "hives", "reaction"], so_far),
        "renal": age < ADULT or found_in(common["renal_unless"], so_far),
        "pregnancy": patient.sex != "F" or not 18 <= age <= 48 or found_in(common["pregnancy_unless"], so_far),
    }
    for name, never in unfit.items():
        if rng.random() < rates[name] and not never:
            found.append(rng.choice(common[name]))
    return [fill(text, patient.side, rng) for text in found]


def mixed(facts: list[str], asides: list[str], rng: random.Random) -> list[str]:
    """Puts the asides after the facts, at times in another order, at times the last piece first."""
    if len(asides) > 1 and rng.random() < 0.3:
        asides = rng.sample(asides, len(asides))
    pieces = [*facts, *asides]
    return [pieces[-1], *pieces[:-1]] if asides and rng.random() < 0.2 else pieces


def who(patient: Patient, style: str, common: dict[str, Any], rng: random.Random) -> str:
    """Writes age and sex in a style, or "" where a note leaves them out."""
    unsaid = rng.random() < common["rates"]["no_age"]
    if patient.age < 1:
        forms = common["infant_written"]
    elif unsaid:
        forms = common["child_written" if patient.age < ADULT else "no_age_written"]
    else:
        forms = common["ages_written"]
    text = fill(rng.choice(forms[style]), patient.side, rng).format(**who_words(patient.age, patient.sex, rng))
    return re.sub(r"\b([Aa]) (?=(?:8\d?|11|18)\b)", r"\1n ", text).replace(" 1 years old", " 1 year old")


def joined(notes: list[str], pieces: list[str], style: str, common: dict[str, Any], rng: random.Random) -> list[str]:
    """Joins the parts of the two halves of a note: sentences in the wordy styles, else by the style's separators."""
    if style in WORDY:
        return [" ".join(sentence(text) for text in half if text) for half in (notes, pieces)]
    between = rng.choice(common["separators"][style])
    asked = rng.choice([", ", ". ", "; "]).join(text for text in notes if text)
    asked = asked.replace("?,", "?").replace("?.", "?").replace("?;", "?")
    history = between.join(pieces).replace("w/" + between, "w/ ", 1).replace("?" + between, "? ")
    return [capital(asked), capital(history)] if rng.random() < 0.3 else [asked, history]


def spoilt(halves: list[str], rates: dict[str, float], typos: dict[str, int], rng: random.Random) -> list[str]:
    """Puts in typing errors, and at times writes all in lower or all in upper case."""
    halves = [add_typos(half, rates["typo"], typos, rng) for half in halves]
    case = rng.random()
    if case < rates["lower"]:
        return [half.lower() for half in halves]
    return [half.upper() for half in halves] if case < rates["lower"] + rates["upper"] else halves


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
    ask, history, *facts = phrases = choose_facts(part, parts, rates, rng)
    patient = choose_patient(phrases, rng)
    weights = common["styles"][part.setting]
    style = rng.choices(list(weights), list(weights.values()))[0]
    style_rates, side, adult = common["style_rates"][style], patient.side, patient.age >= ADULT

    ask_text = fill(ask.text, side, rng)
    stated = [fill(phrase.text, side, rng) for phrase in facts]
    pieces = mixed(stated, add_asides(" ".join([ask_text, *stated]), patient, common, rng), rng)
    if named := who(patient, style, common, rng):
        late = style not in WORDY and rng.random() < 0.08 and not named.endswith("w/")
        pieces.insert(len(pieces) if late else 0, named)

    forms, chance = (common["wordy"], 0.6) if style in WORDY else (common["abbreviations"], style_rates["abbreviate"])
    ask_text, *pieces = [replace_words(text, forms, chance, rng) for text in [ask_text, *pieces]]
    if style in WORDY:
        ask_text = replace_words(ask_text, common["abbreviations"], style_rates["abbreviate"], rng)

    asked = rng.choice(common["asks_written"][style]).format(ask=ask_text, Ask=capital(ask_text))
    moved = rng.random() < rates["ask_in_history"]
    notes = [rng.choice(common["see_history"]) if moved else asked]
    if rng.random() < rates["remark"]:
        notes.append(fill(rng.choice(common["remarks" if adult else "child_remarks"][part.setting]), side, rng))
    notes.append(rng.choice(common["closers"][style]))
    halves = joined(notes, [*pieces, asked] if moved else pieces, style, common, rng)
    notes_text, history_text = spoilt(halves, style_rates, common["typos"], rng)
    if rng.random() < rates["debris"]:
        debris = fill(rng.choice([text for text in common["debris"] if adult or "Weight" not in text]), side, rng)
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
    parser.add_argument("--n", type=int, default=12000, help="number of notes")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random choices")
    parser.add_argument("--out", type=Path, default=HERE / "train.jsonl", help="file to write")
    args = parser.parse_args(argv)
    rows = build(args.n, args.seed)
    write(rows, args.out)
    print(f"{len(rows)} notes, {len({row['label'] for row in rows})} labels -> {args.out.name}")


if __name__ == "__main__":
    main()
