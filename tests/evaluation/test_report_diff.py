"""Two reports compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from compare_fakes import Fake, answer, question

from radrag.evaluation import Comparison, compare, diff
from radrag.metrics import holm, paired_bootstrap, permutation_test


def run(right: np.ndarray, documents: int = 40, **options: object) -> Comparison:
    items = [question(n, documents=[f"d{n % documents}"]) for n in range(len(right))]
    side = [answer("yes" if one else "no", cites=items[n].gold[0].document_id) for n, one in enumerate(right)]
    return compare(Fake(side), Fake([answer()] * len(right)), items, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def flags() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    before = rng.random(40) < 0.9
    return before, before & (np.arange(40) % 2 == 0)


def test_figures_are_paired_item_by_item(flags: tuple[np.ndarray, np.ndarray]) -> None:
    before, after = (side.astype(float) for side in flags)
    found = diff(run(flags[0]), run(flags[1]))
    row = found.rows[0]
    assert (row.metric, row.verdict, row.basis) == ("right verdict", "regression", "paired")
    assert row.change == paired_bootstrap(after, before)
    assert row.p_value == permutation_test(after, before).p_value
    tested = [one.p_value for one in found.rows if one.p_value is not None]
    assert sorted(one.adjusted for one in found.rows if one.adjusted is not None) == sorted(holm(tested).tolist())
    assert found.items == 40
    assert found.regressions[0] is row
    assert len(found.lost) == int((flags[0] & ~flags[1]).sum())
    assert found.won == ()


def test_the_other_way_round_it_is_a_gain(flags: tuple[np.ndarray, np.ndarray]) -> None:
    found = diff(run(flags[1]), run(flags[0]))
    assert found.rows[-1].metric == "right verdict"
    assert found.rows[-1].verdict == "gain"
    assert len(found.won) == int((flags[0] & ~flags[1]).sum())


def test_groups_are_kept(flags: tuple[np.ndarray, np.ndarray]) -> None:
    before, after = (side.astype(float) for side in flags)
    documents = [n % 10 for n in range(40)]
    row = next(row for row in diff(run(flags[0], 10), run(flags[1], 10)).rows if row.metric == "right verdict")
    assert row.change == paired_bootstrap(after, before, groups=documents)
    assert row.p_value == permutation_test(after, before, groups=documents).p_value


def test_lower_can_be_better(flags: tuple[np.ndarray, np.ndarray]) -> None:
    def turned(made: Comparison) -> Comparison:
        return replace(made, rows=tuple(replace(row, higher_is_better=False) for row in made.rows))

    row = next(r for r in diff(turned(run(flags[0])), turned(run(flags[1]))).rows if r.metric == "right verdict")
    assert (row.verdict, row.gain > 0) == ("gain", True)


def test_other_items_are_not_paired(flags: tuple[np.ndarray, np.ndarray]) -> None:
    found = diff(run(flags[0]), run(flags[1][:30]))
    assert found.items == 0
    assert {row.basis for row in found.rows} == {"intervals of both"}
    assert all(row.p_value is None for row in found.rows)
    changed = replace(run(flags[1]), cases=tuple(replace(c, text="other") for c in run(flags[1]).cases))
    assert diff(run(flags[0]), changed).items == 0


def test_nothing_changed(flags: tuple[np.ndarray, np.ndarray]) -> None:
    found = diff(run(flags[0]), run(flags[0]))
    assert {row.verdict for row in found.rows} == {"no change shown"}
    assert found.settings == {}


def test_files_and_settings(flags: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    one, other = run(flags[0]), run(flags[0], seed=7)
    one.to_json(tmp_path / "a.json")
    found = diff(tmp_path / "a.json", other.to_dict())
    assert found.settings == {"seed": ("0", "7")}
    assert "seed: 0 → 7" in str(found)
    with pytest.raises(ValueError, match="no field 'a'"):
        diff({"a": 1}, one)


def test_figures_of_one_report_only_are_named(flags: tuple[np.ndarray, np.ndarray]) -> None:
    one = run(flags[0])
    found = diff(one, replace(one, rows=one.rows[1:]))
    assert found.in_one_only == ("right verdict",)
    assert "right verdict: in one of the two only" in str(found)


def test_reports_of_two_tasks_are_refused(flags: tuple[np.ndarray, np.ndarray]) -> None:
    one = run(flags[0])
    other = replace(run(flags[1][:30]), rows=tuple(replace(row, metric=f"no {row.metric}") for row in one.rows))
    with pytest.raises(ValueError, match=r"no figure in common \(\['right verdict'.* of 40 items and .* of 30 items\)"):
        diff(one, other)
    assert diff(one, replace(other, cases=one.cases)).items == 40  # the same items are still compared


def test_paired_with_itself_without_texts(flags: tuple[np.ndarray, np.ndarray]) -> None:
    assert diff(run(flags[0], texts=False), run(flags[1], texts=False)).items == 40
