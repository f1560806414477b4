"""Tests of the protocol notes: the training notes are reproducible and the test notes stay apart from them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "corpora" / "protocol-notes"
TRAIN = FOLDER / "train.jsonl"
TEST = FOLDER / "test.jsonl"
NEAR = 0.85


def read(path: Path) -> list[dict[str, str]]:
    """Reads a file of JSON lines.

    Args:
        path: The file.

    Returns:
        Its rows.
    """
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def normalise(text: str) -> str:
    """Returns the text in lower case with single spaces."""
    return " ".join(text.lower().split())


def label_ids() -> set[str]:
    """Returns the protocol ids: the names of the parts files."""
    return {path.stem for path in (FOLDER / "parts").glob("*.yaml")} - {"common"}


def trigrams(text: str) -> Counter[str]:
    """Returns how often each run of three letters occurs in the text."""
    return Counter(text[at : at + 3] for at in range(len(text) - 2))


def distance(first: str, second: str) -> int:
    """Returns the number of single letter edits between two texts (Levenshtein)."""
    row = list(range(len(second) + 1))
    for at, letter in enumerate(first, start=1):
        before, row[0] = row[0], at
        for place, other in enumerate(second, start=1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (letter != other))
    return row[-1]


def is_near(first: str, second: str, own: Counter[str], theirs: Counter[str]) -> bool:
    """Says whether the normalised edit similarity of two texts reaches ``NEAR``.

    One edit changes at most three trigrams, so texts with too few in common need no exact comparison.

    Args:
        first: A text.
        second: Another text.
        own: The trigrams of the first.
        theirs: The trigrams of the second.

    Returns:
        Whether they are near.
    """
    longest = max(len(first), len(second))
    allowed = int((1 - NEAR) * longest + 1e-9)
    if abs(len(first) - len(second)) > allowed:
        return False
    shared = sum(min(count, theirs[gram]) for gram, count in own.items() if gram in theirs)
    return shared >= longest - 2 - 3 * allowed and distance(first, second) <= allowed


def test_near_notes_are_found() -> None:
    """A note with a typing error is near its original, a different one is not."""
    first = "notes: kidney stone? history: 45m with left flank pain"
    typed = first.replace("flank", "falnk")
    other = "notes: meniscal tear? history: 23f twisted right knee"
    assert distance("kitten", "sitting") == 3
    assert is_near(first, typed, trigrams(first), trigrams(typed))
    assert not is_near(first, other, trigrams(first), trigrams(other))


def make(out: Path, *options: str) -> bytes:
    """Runs the build script.

    Args:
        out: The file to write.
        *options: Further options.

    Returns:
        The bytes written.
    """
    pytest.importorskip("yaml")
    command = [sys.executable, str(FOLDER / "build.py"), "--out", str(out), *options]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return out.read_bytes()


def test_rebuild_gives_the_committed_bytes(tmp_path: Path) -> None:
    """The committed notes are what the script makes from the committed parts."""
    assert make(tmp_path / "train.jsonl") == TRAIN.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["train.jsonl"]


def test_seed_and_number_are_used(tmp_path: Path) -> None:
    """Another seed gives other notes, and ``--n`` their number."""
    first = make(tmp_path / "a.jsonl", "--n", "300", "--seed", "1")
    second = make(tmp_path / "b.jsonl", "--n", "300", "--seed", "2")
    assert first != second
    assert len(first.splitlines()) == len(second.splitlines()) == 300


def test_training_notes() -> None:
    """Labels, numbers, form and uniqueness of the training notes."""
    rows = read(TRAIN)
    counts = Counter(row["label"] for row in rows)
    assert set(counts) == label_ids()
    assert len(counts) == 30
    assert len(rows) >= 1500
    assert min(counts.values()) >= 40
    assert len({normalise(row["text"]) for row in rows}) == len(rows)
    assert len({row["id"] for row in rows}) == len(rows)
    for row in rows:
        assert set(row) == {"id", "text", "label", "group"}
        assert row["text"].startswith("Notes: "), row["id"]
        assert " History: " in row["text"], row["id"]
        assert row["group"].split("/")[0] == row["label"], row["id"]
        assert not re.search(r"<[^<>]*>|[{}]|~\w|(?<=\s)@(?:[FM]\b|\d)", row["text"]), row["text"]


def test_test_notes_stay_apart() -> None:
    """The test notes have known labels and none is nearly a training note."""
    if not TEST.exists():
        pytest.skip("no test notes")
    rows = read(TEST)
    assert len(rows) >= 150
    assert {row["label"] for row in rows} <= label_ids()
    train = [(row["id"], normalise(row["text"])) for row in read(TRAIN)]
    grams = [trigrams(text) for _, text in train]
    near = []
    for place, row in enumerate(rows):
        text = normalise(row["text"])
        own = trigrams(text)
        for (train_id, other), theirs in zip(train, grams, strict=True):
            if is_near(text, other, own, theirs):
                near.append((row.get("id", place), train_id))
    assert not near, f"test notes too near to training notes: {near}"
