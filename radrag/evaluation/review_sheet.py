"""Blinded human review: a sheet with both answers of an item in random order, and what the reviewers made of it.

The key, which says what stands where, is a file of its own and is not for reviewers. Blinding has a limit: an answer
without sources is likely the one without retrieval, and a reviewer may guess so.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from radrag.evaluation.comparison import Comparison
from radrag.evaluation.records import Case, Said
from radrag.evaluation.review_results import HumanReview, Rating, results

RUBRIC: Mapping[str, str] = {
    "correct": "Is what it says right? An answer that declines is right only if it should decline.",
    "complete": "Does it hold everything the reader needs to act?",
    "harmful": "Could acting on it harm a patient?",
    "citation supports": "Do the sources shown say what the answer says? Use na if it shows none.",
}
VALUES = ("yes", "no", "na")
SIDES = ("A", "B")
# Spreadsheets pass over what cannot be seen, and some take a full-width sign for the plain one.
_FORMULA = re.compile("[\t\r]|[\\s\\x00-\\x1f\u200b-\u200f\u2060\ufeff]*[=+\\-@＝＋－＠]")
_FORMAT = 3
_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−"), "-")
_QUOTES = frozenset("'\"`‘’‚‛“”„‟")


@dataclass(frozen=True, slots=True)
class Sheet:
    """Files of a review.

    Attributes:
        sheet: What reviewers fill in; give each a copy.
        page: The same to read and fill in a browser, which then saves the CSV.
        key: What stands where: keep it from reviewers.
        items: Items in it.
    """

    sheet: Path
    page: Path
    key: Path
    items: int


def export_sheet(
    made: Comparison,
    folder: str | Path,
    *,
    seed: int = 0,
    items: int | None = None,
    key: str | Path | None = None,
) -> Sheet:
    """Write a blinded sheet with its key: ``sheet.csv``, ``sheet.html`` and ``key.json``.

    Args:
        made: A comparison with its texts.
        folder: Where to write; made if it is not there.
        seed: Seed of the order of items and of the sides.
        items: How many items to draw; by default all.
        key: File for the key; by default ``key.json`` in the folder.

    Raises:
        ValueError: If the comparison holds no texts, or fewer items than are wanted.
        FileExistsError: If there is a key, a sheet or a page already: reviews made with it could no longer be read.
    """
    from radrag.evaluation.report.sheet import page

    cases = [case for case in made.cases if case.text]
    wanted = len(cases) if items is None else items
    if not cases or not 1 <= wanted <= len(cases):
        raise ValueError(
            f"items must be between 1 and the {len(cases)} cases that hold their texts, got {wanted}; "
            "compare with texts=True"
        )
    target = Path(folder)
    place = target / "key.json" if key is None else Path(key)
    sheet = Sheet(target / "sheet.csv", target / "sheet.html", place, wanted)
    for path in (sheet.key, sheet.sheet, sheet.page):
        if path.exists():
            raise FileExistsError(f"{path} is there already; choose another place, or its reviews cannot be read")
    for parent in (target, place.parent):
        parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    chosen = [cases[i] for i in rng.permutation(len(cases))[:wanted]]
    swapped = rng.integers(0, 2, size=wanted).astype(bool).tolist()
    rows = [_row(number, case, swap) for number, (case, swap) in enumerate(zip(chosen, swapped, strict=True), 1)]
    text = _csv(rows)
    kept = {
        "format": _FORMAT,
        "seed": seed,
        "sheet_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "system": made.system,
        "baseline": made.baseline,
        "items": {
            row["item"]: {
                "id": case.id,
                "group": case.group,
                "A": "baseline" if swap else "system",
                "shown_sha256": _shown_hash(row),
            }
            for row, case, swap in zip(rows, chosen, swapped, strict=True)
        },
    }
    sheet.sheet.write_text(text, encoding="utf-8-sig", newline="")
    sheet.page.write_text(page(rows, columns(), RUBRIC, VALUES), encoding="utf-8")
    sheet.key.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return sheet


def columns() -> list[str]:
    """Return the columns of the sheet; those of the rubric are for the reviewer."""
    rated = [f"{side}: {criterion}" for side in SIDES for criterion in RUBRIC]
    return ["item", "question", "answer A", "sources A", "answer B", "sources B", *rated, "comment"]


def import_reviews(key: str | Path, sheets: Mapping[str, str | Path], *, seed: int = 0) -> HumanReview:
    """Read filled sheets.

    Args:
        key: The key that ``export_sheet`` wrote.
        sheets: Name of each reviewer to the sheet that this reviewer filled in.
        seed: Seed of the resampling.

    Returns:
        Share of "yes" on both sides with intervals, and how far reviewers agree; for ``Comparison.with_review``.

    Raises:
        ValueError: If the key is none, a sheet has other columns, items or texts than were exported with it, or a
            rating is not yes, no, na or empty.
    """
    if not sheets:
        raise ValueError("sheets must name at least one reviewer and a filled sheet, got none")
    known = _key(Path(key))
    ratings: list[Rating] = []
    for reviewer, path in sheets.items():
        ratings += _ratings(reviewer, Path(path), known["items"])
    groups = {item: str(facts["group"]) for item, facts in known["items"].items()}
    return results(ratings, tuple(RUBRIC), groups, seed)


def reviewed(made: Comparison, key: str | Path, sheets: Mapping[str, str | Path], *, seed: int = 0) -> Comparison:
    """Return a comparison with what reviewers said of it; see ``import_reviews``.

    Raises:
        ValueError: If the sheet was exported from another comparison, also one of the same items and names in which
            either side said or cited something else.
    """
    known = _key(Path(key))
    sides = (known.get("system"), known.get("baseline"))
    ids = {case.id for case in made.cases}
    strange = [str(facts["id"]) for facts in known["items"].values() if facts["id"] not in ids]
    if strange or sides != (made.system, made.baseline):
        why = f"item {strange[0]!r} is not in it" if strange else f"its sides are {made.system!r} and {made.baseline!r}"
        raise ValueError(
            f"{key} is of a comparison of {sides[0]!r} and {sides[1]!r} that is not this one: {why}; give the report "
            "that the sheet was exported from"
        )
    shown = {hashed for case in made.cases for hashed in _hashes(case)}
    other = [facts for facts in known["items"].values() if _hashed(facts) not in shown]
    if other:
        raise ValueError(
            f"{key} is of another run than this comparison: of item {other[0]['id']!r} (and {len(other) - 1} more) "
            "reviewers saw other words or sources than this comparison holds; give the report that the sheet was "
            "exported from, with its texts"
        )
    return made.with_review(import_reviews(key, sheets, seed=seed))


def _hashed(facts: Mapping[str, Any]) -> tuple[str, str, str]:
    return str(facts["id"]), str(facts["A"]), str(facts["shown_sha256"])


def _hashes(case: Case) -> list[tuple[str, str, str]]:
    """Return what a key says of an item, for both orders of its sides."""
    return [(case.id, side, _shown_hash(_row(0, case, side == "baseline"))) for side in _OTHER]


def _row(number: int, case: Case, swapped: bool) -> dict[str, str]:
    sides = (case.baseline, case.system) if swapped else (case.system, case.baseline)
    row = {"item": str(number), "question": case.text}
    for name, said in zip(SIDES, sides, strict=True):
        row[f"answer {name}"] = _answer(said)
        row[f"sources {name}"] = "\n".join(f"[{s.key}] {s.title}: “{' '.join(s.quote.split())}”" for s in said.sources)
    return row


def _answer(said: Said) -> str:
    """Return the words of a side; why it declined would tell which side it is."""
    if said.abstained:
        return "(declines to answer)"
    return " ".join(part for part in (f"{said.verdict.capitalize()}." if _shown(said) else "", said.text) if part)


def _shown(said: Said) -> bool:
    return bool(said.verdict) and not said.text.lower().startswith(said.verdict.lower())


def _shown_hash(row: Mapping[str, str | None]) -> str:
    """Return a hash of what a reviewer saw, but for what spreadsheets change: case, spaces, quotes and dashes.

    All else counts: "p < 0.05" is not "p > 0.05".
    """
    names = ("question", *(f"{what} {side}" for side in SIDES for what in ("answer", "sources")))
    plain = json.dumps([_kept(row.get(name) or "") for name in names])
    return hashlib.sha256(plain.encode()).hexdigest()


def _kept(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold().translate(_DASHES)
    return "".join(
        sign
        for sign in unicodedata.normalize("NFKC", folded)
        if not (sign.isspace() or sign in _QUOTES or unicodedata.category(sign) in ("Cc", "Cf"))
    )


def _csv(rows: Sequence[Mapping[str, str]]) -> str:
    made = io.StringIO(newline="")
    writer = csv.DictWriter(made, columns(), restval="")
    writer.writeheader()
    writer.writerows({name: plain_cell(value) for name, value in row.items()} for row in rows)
    return made.getvalue()


def plain_cell(text: str) -> str:
    """Return text that no spreadsheet takes for a formula: an apostrophe goes before what would start one."""
    return f"'{text}" if _FORMULA.match(text) else text


def _key(path: Path) -> dict[str, Any]:
    try:
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        items = known["items"]
        good = known["format"] == _FORMAT and all(
            facts["A"] in ("system", "baseline") and facts["shown_sha256"] for facts in items.values()
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not the key of a review: {error!r}; give the key.json of export_sheet") from error
    if not good:
        raise ValueError(f"{path} is a key of another version; export the sheet again")
    return known


def _ratings(reviewer: str, path: Path, items: Mapping[str, Any]) -> list[Rating]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in columns() if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(f"{path} lacks the column {missing[0]!r}; fill in the sheet and keep its header")
        rows = list(reader)
    made, seen = [], set()
    for row in rows:
        item = (row["item"] or "").strip()
        if item not in items or item in seen:
            why = "is there twice" if item in seen else "is not in the key"
            raise ValueError(f"{path}: item {item!r} {why}; give the sheet that belongs to this key")
        seen.add(item)
        if _shown_hash(row) != items[item]["shown_sha256"]:
            raise ValueError(
                f"{path}: item {item} has another question or other answers than were exported with this key, so which "
                "answer is whose is not known; give the key that belongs to this sheet"
            )
        for side in SIDES:
            which = items[item]["A"] if side == "A" else _OTHER[items[item]["A"]]
            for criterion in RUBRIC:
                value = (row[f"{side}: {criterion}"] or "").strip().lower()
                if value not in ("", *VALUES):
                    raise ValueError(f"{path}, item {item}, {side}: {criterion} must be yes, no or na, got {value!r}")
                made.append(Rating(reviewer, item, which, criterion, value))
    return made


_OTHER = {"system": "baseline", "baseline": "system"}
