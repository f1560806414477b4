"""Tests of the protocol notes: the training notes are reproducible and the test notes stay apart from them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "corpora" / "protocol-notes"
TRAIN = FOLDER / "train.jsonl"
HAND = ("calibration", "test")
NEAR = 0.85


def read(path: Path) -> list[dict[str, Any]]:
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


def protocol_ids() -> set[str]:
    """Returns the ids of the protocol pages."""
    return {path.stem for path in (FOLDER.parent / "protocols").glob("*.md")} - {"README"}


def label_ids() -> set[str]:
    """Returns the protocol ids: the names of the parts files."""
    return {path.stem for path in (FOLDER / "parts").glob("*.yaml")} - {"common"}


def nearest(texts: list[str], others: list[str]) -> list[tuple[float, int]]:
    """Returns for each text its highest normalised edit similarity (Levenshtein) to others, 0 below NEAR, and where."""
    process = pytest.importorskip("rapidfuzz.process")
    similarity = pytest.importorskip("rapidfuzz.distance").Levenshtein.normalized_similarity
    found = []
    for text in texts:
        best = process.extractOne(text, others, scorer=similarity, score_cutoff=NEAR)
        found.append((best[1], best[2]) if best else (0.0, -1))
    return found


def test_near_notes_are_found() -> None:
    """A note with a typing error is near its original, a different one is not."""
    first = "notes: kidney stone? history: 45m with left flank pain"
    typed = first.replace("flank", "falnk")
    other = "notes: meniscal tear? history: 23f twisted right knee"
    assert nearest([typed, other], [other.upper(), first])[0][1] == 1
    assert nearest([other], [first]) == [(0.0, -1)]


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
    """Labels, numbers, skew, form and uniqueness of the training notes."""
    rows = read(TRAIN)
    counts = Counter(row["label"] for row in rows)
    assert set(counts) == label_ids() == protocol_ids()
    assert len(rows) >= 12_000
    assert min(counts.values()) >= 40
    assert max(counts.values()) >= 8 * min(counts.values())
    assert len({normalise(row["text"]) for row in rows}) == len(rows)
    assert len({row["id"] for row in rows}) == len(rows)
    for row in rows:
        assert set(row) == {"id", "text", "label", "group"}
        assert row["text"].startswith("Notes: "), row["id"]
        assert " History: " in row["text"], row["id"]
        assert row["group"].split("/")[0] == row["label"], row["id"]
        assert not re.search(r"<[^<>]*>|[{}]|~\w|(?<=\s)@(?:[FM]\b|\d)", row["text"]), row["text"]


def test_children_get_no_adult_phrases() -> None:
    """No made note says of a child what only fits an adult."""
    child = re.compile(
        r"\b(?:[1-9]|1[0-7])[ -]?(?:yo?|y\.o\.|year)[ /-]?(?:old |o )?(?:[fm]\b|girl|boy)", re.IGNORECASE
    )
    adult = re.compile(r"lives alone|mrs?\. \[name\]|statin|pacemaker|gentleman|\blady\b|sertraline", re.IGNORECASE)
    children = [row["text"] for row in read(TRAIN) if child.search(row["text"])]
    assert len(children) >= 300
    assert [text for text in children if adult.search(text)] == []
    assert not any(re.search(r"\b0[ -]?(?:yo|year)", row["text"]) for row in read(TRAIN))


def hand_written() -> list[dict[str, Any]]:
    """Returns the rows of both hand-written splits."""
    return [row for split in HAND for row in read(FOLDER / f"{split}.jsonl")]


def test_hand_written_notes() -> None:
    """Form, numbers, labels and voices of the hand-written notes."""
    rows = hand_written()
    assert len(rows) >= 800
    assert [row["id"] for row in rows] == list(dict.fromkeys(row["id"] for row in rows))
    assert len({normalise(row["text"]) for row in rows}) == len(rows)
    for row in rows:
        assert list(row) == ["id", "text", "label", "also", "voice", "author"]
        assert row["text"].startswith("Notes: "), row["id"]
        assert " History: " in row["text"], row["id"]
        assert {row["label"], *row["also"]} <= protocol_ids(), row["id"]
        assert row["label"] not in row["also"], row["id"]
        assert row["author"].startswith(row["voice"]), row["id"]
    assert {row["voice"] for row in rows} == {"attending", "clinic", "emergency", "resident"}
    ambiguous = sum(bool(row["also"]) for row in rows) / len(rows)
    assert 0.04 <= ambiguous <= 0.10


@pytest.mark.parametrize("split", HAND)
def test_each_split_is_large_and_varied(split: str) -> None:
    """Each split has at least 400 notes over at least 60 protocols, in all voices."""
    rows = read(FOLDER / f"{split}.jsonl")
    assert len(rows) >= 400
    assert len({row["label"] for row in rows}) >= 60
    assert min(Counter(row["voice"] for row in rows).values()) >= 80


def test_no_author_is_on_both_sides() -> None:
    """The splits share no author, and so no note."""
    calibration, test = ({row["author"] for row in read(FOLDER / f"{split}.jsonl")} for split in HAND)
    assert not calibration & test


def test_hand_written_notes_stay_apart_from_training() -> None:
    """No hand-written note is nearly a training note, and no test note nearly a calibration note."""
    train = [normalise(row["text"]) for row in read(TRAIN)]
    calibration, test = ([normalise(row["text"]) for row in read(FOLDER / f"{split}.jsonl")] for split in HAND)
    assert [pair for pair in nearest([*calibration, *test], train) if pair[0]] == []
    assert [pair for pair in nearest(test, calibration) if pair[0]] == []
