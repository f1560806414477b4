"""Figures on parts of the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from compare_fakes import Fake, label

from radrag.evaluation import compare
from radrag.evaluation.fairness import slices_of
from radrag.evaluation.records import SliceRow
from radrag.metrics import holm, paired_bootstrap
from radrag.metrics.slices import by_slice
from radrag.types import LabelledNote, Question


def notes(sexes: Sequence[Any], ages: Sequence[Any]) -> list[LabelledNote]:
    pairs = zip(sexes, ages, strict=True)
    return [LabelledNote(str(n), "a", metadata={"sex": sex, "age": age}) for n, (sex, age) in enumerate(pairs)]


def test_notes_are_parted_by_what_is_known_of_them() -> None:
    found = slices_of(notes(["F", "M", None], [30, "71", ""]))
    assert found == {"sex": ["F", "M", None], "age": ["18-39", "65-79", None]}


def test_an_attribute_with_one_value_parts_nothing() -> None:
    assert slices_of(notes(["F", "F", None], [None, None, None])) == {}
    assert slices_of([Question("1", "a?", "list"), Question("2", "b?", "yesno")]) == {
        "question type": ["list", "yesno"]
    }


@pytest.fixture(scope="module")
def parted() -> tuple[tuple[SliceRow, ...], np.ndarray, np.ndarray, list[str], list[str]]:
    rng = np.random.default_rng(3)
    sexes = [("F", "M")[n % 2] for n in range(80)]
    sites = [("A", "B", "C", "D")[n // 20] if n < 65 else "tiny" for n in range(80)]
    ours, theirs = rng.random(80) < np.where(np.arange(80) % 2, 0.2, 0.95), rng.random(80) < 0.4
    given = [LabelledNote(str(n), "a") for n in range(80)]
    sides = [[label("a" if right else "b") for right in side] for side in (ours, theirs)]
    made = compare(Fake(sides[0]), Fake(sides[1]), given, slices={"sex": sexes, "site": sites})
    return made.slices, ours.astype(float), theirs.astype(float), sexes, sites


def test_each_part_is_scored_and_tested_against_the_rest(parted: Any) -> None:
    rows, ours, theirs, sexes, sites = parted
    expected = by_slice({"sex": sexes, "site": sites}, ours)
    accuracy = [row for row in rows if row.metric == "accuracy"]
    assert [(row.attribute, row.name, row.system, row.p_value, row.small) for row in accuracy] == [
        (one.attribute, one.name, one.estimate, one.p_value, one.small) for one in expected
    ]
    women = accuracy[0]
    mask = np.asarray([sex == "F" for sex in sexes])
    assert women.difference == paired_bootstrap(ours[mask], theirs[mask])
    assert women.rest == pytest.approx(ours[~mask].mean())
    assert women.p_value is not None
    assert women.p_value < 0.001


def test_small_parts_are_marked_and_not_tested(parted: Any) -> None:
    tiny = [row for row in parted[0] if row.name == "tiny"]
    assert tiny
    assert all(row.small and row.p_value is None and row.adjusted is None for row in tiny)


def test_all_parts_are_corrected_together_and_halves_count_once(parted: Any) -> None:
    """Sexes are one test, the three sites of 20 are three (D has 5)."""
    rows = [row for row in parted[0] if row.p_value is not None]
    assert {row.metric for row in rows} == {"accuracy"}
    halves = [row for row in rows if row.attribute == "sex"]
    sites = [row for row in rows if row.attribute == "site"]
    assert (len(halves), len(sites)) == (2, 3)
    expected = holm([halves[0].p_value, *(row.p_value for row in sites)]).tolist()
    assert [row.adjusted for row in (halves[0], *sites)] == pytest.approx(expected)
    assert halves[0].adjusted == halves[1].adjusted


def test_a_single_item_bounds_nothing() -> None:
    given = [LabelledNote(str(n), "a", group=str(n // 2)) for n in range(6)]
    side = [label("a", 1.0, ("a", "b")) for _ in given]
    made = compare(Fake(side), Fake(side), given, slices={"site": ["x", "x", "y", "y", "y", "y"]})
    row = next(row for row in made.slices if (row.metric, row.name) == ("size of the set", "x"))
    assert row.system is None
    assert row.difference is None
    assert "too few items (2)" in made.to_markdown()
