"""Comparisons of made-up outputs, with figures worked out by hand."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from compare_fakes import Fake, answer, label, question
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from radrag.evaluation import compare
from radrag.evaluation.compare import Comparison
from radrag.evaluation.figures import SetStatistic, groups_of, statistic_row
from radrag.evaluation.scores import Measure, macro_f1
from radrag.metrics import (
    McNemar,
    bootstrap,
    bootstrap_statistic,
    f1,
    holm,
    mcnemar,
    paired_bootstrap,
    permutation_test,
)
from radrag.pipelines.label import LabelPipeline
from radrag.pipelines.qa import QAPipeline
from radrag.types import Answer, Claim, LabelledNote, Verdict
from radrag.types.agreement import Agreement

QUESTIONS = [question(1), question(2), question(3, answerable=False), question(4, answerable=False)]
OURS = [answer("yes", cites="d1"), answer("no", cites="other"), answer(abstained=True), answer("yes")]
THEIRS = [answer(abstained=True), answer(), answer(abstained=True), answer(abstained=True)]


def figures(made: Comparison) -> dict[str, tuple[float, float, int]]:
    return {row.metric: (row.system.value, row.baseline.value, row.system.n) for row in made.rows}


def test_questions_by_hand() -> None:
    # Token F1 with "yes salt": "yes salt" 1, "no salt" 1/2; an abstention says nothing: 0; "salt" alone 2/3.
    found = figures(compare(Fake(OURS), Fake(THEIRS), QUESTIONS))
    assert found.pop("answer token F1") == pytest.approx((0.75, 1 / 3, 2))
    assert found == {
        "right verdict": (0.5, 0.0, 2),
        "cites a gold source": (0.5, 0.0, 2),
        "answers what can be answered": (1.0, 0.5, 2),
        "abstains where nothing answers": (0.5, 1.0, 2),
    }


def test_an_abstention_with_the_right_verdict_is_wrong() -> None:
    sides = [answer("yes", abstained=True)] * 2
    assert figures(compare(Fake(sides), Fake(OURS[:2]), QUESTIONS[:2]))["right verdict"] == (0.0, 0.5, 2)


def test_what_cannot_be_scored_is_counted() -> None:
    made = compare(Fake(OURS[:3]), Fake(THEIRS[:3]), QUESTIONS[:3])
    assert made.unscored == {"abstains where nothing answers: fewer than 2 items": 1}
    assert made.items == 3
    assert "not scored: 1 (abstains where nothing answers" in str(made)


def test_differences_and_mcnemar_are_paired() -> None:
    made = compare(Fake(OURS), Fake(THEIRS), QUESTIONS)
    row = next(row for row in made.rows if row.metric == "answers what can be answered")
    assert row.difference.value == 0.5
    assert row.test == McNemar(1, 1, 0, 0, 1.0)


def test_notes_by_hand() -> None:
    # Labels a a b b; ours a a b a: F1 of a 4/5, of b 2/3. Theirs a b a b: 1/2 each.
    notes = [LabelledNote(str(n), name) for n, name in enumerate("aabb")]
    ours = [label(name, 0.75, ("a",)) for name in "aaba"]
    theirs = [label(name, 1.0, ("a", "b")) for name in "abab"]
    made = compare(Fake(ours), Fake(theirs), notes)
    found = figures(made)
    assert found["accuracy"] == (0.75, 0.5, 4)
    assert found["macro-F1"] == pytest.approx(((4 / 5 + 2 / 3) / 2, 0.5, 4))
    assert found["calibration error (ECE)"] == pytest.approx((0.0, 0.5, 4))
    assert found["set holds the label"] == (0.5, 1.0, 4)
    assert found["size of the set"] == (1.0, 2.0, 4)
    assert [row.metric for row in made.rows if not row.higher_is_better] == [
        "calibration error (ECE)",
        "size of the set",
    ]


def test_any_acceptable_label_is_right() -> None:
    notes = [LabelledNote("1", "a", also=("c",)), LabelledNote("2", "b")]
    made = compare(Fake([label("c"), label("b")]), Fake([label("b"), label("b")]), notes)
    assert figures(made)["accuracy"] == (1.0, 0.5, 2)
    assert made.unscored == {"label sets: not fitted": 2}


@pytest.mark.parametrize("items", [[], [question(1)], [question(1), LabelledNote("n", "a")], ["a", "b"]])
def test_too_few_or_mixed_items(items: list[Any]) -> None:
    with pytest.raises(ValueError, match="at least 2 Questions or 2 LabelledNotes, got"):
        compare(Fake([]), Fake([]), items)


def test_to_dict_is_json_and_keeps_the_manifest() -> None:
    made = compare(Fake(OURS), Fake(THEIRS), QUESTIONS, seed=3, names=("new", "old"))
    kept = json.loads(json.dumps(made.to_dict()))
    assert kept["manifest"] == {"seed": 3, "new": {"reader": "fake"}, "old": {"reader": "fake"}}
    assert len(kept["rows"]) == len(made.rows)
    again = compare(Fake(OURS), Fake(THEIRS), QUESTIONS, seed=3, names=("new", "old")).to_dict()
    assert {**kept, "cost": None} == {**again, "cost": None}  # time and memory are never the same twice


def test_it_comes_back_from_json_as_it_was() -> None:
    made = compare(Fake(OURS), Fake(THEIRS), QUESTIONS)
    assert Comparison.from_dict(json.loads(json.dumps(made.to_dict()))) == made


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": 3}, "rows must be a list"),
        ({"items": "4"}, "items must be int"),
        ({"novel": 1}, "no field 'novel'"),
        ({"rows": [{"metric": "m"}]}, "lacks a field"),
    ],
)
def test_what_is_no_report_is_refused(change: dict[str, Any], message: str) -> None:
    plain = compare(Fake(OURS), Fake(THEIRS), QUESTIONS).to_dict()
    with pytest.raises(ValueError, match=message):
        Comparison.from_dict({**plain, **change})


def test_an_abstention_gets_nothing_for_its_draft() -> None:
    """Its verdict, its words and its citations were withheld from the reader."""
    sides = [answer("yes", cites="d1", abstained=True), answer("yes", cites="d2")]
    found = figures(compare(Fake(sides), Fake([answer(), answer()]), QUESTIONS[:2]))
    assert found["answer token F1"][0] == pytest.approx(0.5)  # 0 and 1
    assert found["cites a gold source"][0] == found["right verdict"][0] == 0.5


def test_groups_are_chains_of_shared_documents() -> None:
    items = [
        question(1, documents="a"),
        question(2, documents="bc"),
        question(3, documents="ab"),
        question(4, documents="x"),
        question(5, answerable=False),
        question(6, answerable=False),
    ]
    found = groups_of(items)
    assert found is not None
    assert found[0] == found[1] == found[2]
    assert len(set(found)) == 4
    assert groups_of([question(1), question(2), question(3, answerable=False)]) is None
    notes = [LabelledNote("1", "a", group="p"), LabelledNote("2", "a", group="p"), LabelledNote("3", "a")]
    kept = groups_of(notes)
    assert kept is not None
    assert kept[0] == kept[1] != kept[2]


def clustered() -> tuple[Comparison, np.ndarray, np.ndarray, list[str]]:
    rng = np.random.default_rng(5)
    documents = [f"d{n // 3}" for n in range(30)]
    items = [question(n, documents=[name]) for n, name in enumerate(documents)]
    ours, theirs = rng.random(30) < 0.8, rng.random(30) < 0.4
    sides = [[answer("yes" if right else "no") for right in side] for side in (ours, theirs)]
    return compare(Fake(sides[0]), Fake(sides[1]), items), ours.astype(float), theirs.astype(float), documents


def test_questions_on_one_document_are_drawn_and_tested_together() -> None:
    made, ours, theirs, documents = clustered()
    row = made.rows[0]
    assert made.groups == row.system.groups == 10
    assert row.system == bootstrap(ours, groups=documents)
    assert row.difference == paired_bootstrap(ours, theirs, groups=documents)
    assert row.p_value == permutation_test(ours, theirs, groups=documents).p_value
    assert row.test == mcnemar(ours, theirs)
    assert row.p_value != row.test.p_value


def test_items_that_stand_alone_are_tested_by_mcnemar() -> None:
    _, ours, theirs, _ = clustered()
    items = [question(n) for n in range(30)]
    sides = [[answer("yes" if right else "no") for right in side] for side in (ours, theirs)]
    row = compare(Fake(sides[0]), Fake(sides[1]), items).rows[0]
    assert (row.p_value, row.tested_by) == (mcnemar(ours, theirs).p_value, "McNemar, exact")
    assert row.system.groups is None


def test_all_rows_are_corrected_together() -> None:
    made, *_ = clustered()
    tested = [row.p_value for row in made.rows if row.p_value is not None]
    assert len(tested) == len(made.rows) > 2
    assert [row.adjusted for row in made.rows] == pytest.approx(holm(tested).tolist())


def test_equal_sides_show_no_difference() -> None:
    notes = [LabelledNote(str(n), name) for n, name in enumerate("aabb")]
    side = [label(name, 0.75, ("a",)) for name in "aaba"]
    made = compare(Fake(side), Fake(side), notes)
    assert {row.p_value for row in made.rows} == {1.0}
    assert {row.verdict() for row in made.rows} == {"no difference shown"}


def test_swapping_finds_what_all_swaps_say() -> None:
    """Ours right on all of 6 notes of 2 labels, theirs on none: of the 64 swaps 2 are as far apart."""
    notes = [LabelledNote(str(n), name) for n, name in enumerate("ababab")]
    sides = [[label(note.label) for note in notes], [label("b" if note.label == "a" else "a") for note in notes]]
    made = compare(Fake(sides[0]), Fake(sides[1]), notes)
    row = next(row for row in made.rows if row.metric == "macro-F1")
    assert row.difference.value == 1
    assert row.p_value == pytest.approx(2 / 64, abs=0.015)


def test_swapping_agrees_with_every_swap_of_groups() -> None:
    """All 64 ways of swapping six groups, listed; 1000 draws come within three standard errors of it."""
    rng = np.random.default_rng(0)
    groups = [f"g{n // 3}" for n in range(18)]
    true = rng.integers(0, 3, 18)
    ours, theirs = np.where(rng.random(18) < 0.7, true, 0), np.where(rng.random(18) < 0.5, true, 1)
    seen = abs(macro_f1(true, ours) - macro_f1(true, theirs))
    far = 0
    for signs in itertools.product([False, True], repeat=6):
        swap = np.repeat(signs, 3)
        gap = macro_f1(true, np.where(swap, theirs, ours)) - macro_f1(true, np.where(swap, ours, theirs))
        far += abs(gap) >= seen - 1e-12
    row = statistic_row(SetStatistic("macro-F1", ((true, ours), (true, theirs)), macro_f1), groups, 0)
    assert 0.05 < far / 64 < 0.6
    assert row.p_value == pytest.approx(far / 64, abs=3 * (far / 64 * (1 - far / 64) / 1000) ** 0.5 + 0.001)
    assert row.difference == bootstrap_statistic(
        (true, ours, true, theirs), lambda a, b, c, d: macro_f1(a, b) - macro_f1(c, d), groups=groups
    )


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30))
def test_macro_f1_is_that_of_the_metrics(pairs: list[tuple[int, int]]) -> None:
    true, said = np.asarray(pairs).T
    expected = f1(true.tolist(), said.tolist(), labels=sorted(set(true.tolist())), average="macro", zero_division=0.0)
    assert macro_f1(true, said) == pytest.approx(expected, abs=1e-12)


def test_an_empty_set_among_fitted_ones_holds_nothing() -> None:
    notes = [LabelledNote(str(n), "a") for n in range(3)]
    sides = [[label("a", 1.0, held) for held in (("a",), (), ("a",))], [label("a", 1.0, ("a",))] * 3]
    found = figures(compare(Fake(sides[0]), Fake(sides[1]), notes))
    assert found["set holds the label"] == pytest.approx((2 / 3, 1.0, 3))
    assert found["size of the set"] == pytest.approx((2 / 3, 1.0, 3))


def test_own_measures_take_the_place_of_the_usual_ones() -> None:
    measure = Measure("long", lambda item, output: None if item.id == "q3" else float(len(output.text)), False)
    (row,) = compare(Fake(OURS), Fake(THEIRS), QUESTIONS, measures=[measure]).rows
    assert (row.metric, row.system.n, row.higher_is_better) == ("long", 3, False)


def test_cases_hold_what_the_answer_tells_its_reader() -> None:
    items = [question(1), question(2)]
    told = Agreement(support=("d1",), contradict=("d9",), known=("Known to conflict: salt",))
    sure = replace(
        answer("yes", cites="d1"),
        verdict=Verdict("yes", {"yes": 0.45, "no": 0.35, "maybe": 0.2}),
        agreement=told,
        warnings=("a passage was dropped",),
        confidence=0.82,
    )
    named = replace(answer(cites="d2"), value=("salt", "pepper"))
    silent = replace(sure, abstained=True, reason="too little")
    made = compare(Fake([sure, named]), Fake([silent, answer()]), items)
    first, second = made.cases[0].system, made.cases[1].system
    assert "0.45" in first.headline
    assert str(sure).splitlines()[1] == first.headline  # as it is printed
    assert first.notes[0] == "Known to conflict: salt"
    assert first.notes[1].startswith("Read by rules")
    assert first.notes[2:] == ("a passage was dropped",)
    assert first.confidence_kind == "evidence score"
    assert second.headline == "Answer: salt; pepper"
    withheld = made.cases[0].baseline
    assert (withheld.headline, withheld.notes) == ("", ("a passage was dropped",))
    bare = compare(Fake([sure, named]), Fake([silent, answer()]), items, texts=False).cases
    assert {(one.system.headline, one.system.notes) for one in bare} == {("", ())}


@pytest.mark.parametrize(("calibrated", "kind"), [(True, "probability"), (False, "uncalibrated score")])
def test_the_score_of_a_label_says_what_it_is(calibrated: bool, kind: str) -> None:
    notes = [LabelledNote(str(n), "a") for n in range(12)]
    sides = [replace(label("a" if n else "b", 0.5 + n / 30), calibrated=calibrated) for n in range(12)]
    made = compare(Fake(sides), Fake(sides), notes)
    assert {case.system.confidence_kind for case in made.cases} == {kind}
    assert {one.kind for one in made.risk} == {kind}


def test_shares_without_spread_have_wilsons_interval() -> None:
    items = [question(n) for n in range(6)]
    ours, theirs = [answer("yes", cites=f"d{n}") for n in range(6)], [answer("no") for _ in range(6)]
    rows = {row.metric: row for row in compare(Fake(ours), Fake(theirs), items).rows}
    full, none = (binomtest(k, 6).proportion_ci(method="wilson") for k in (6, 0))
    for name in ("right verdict", "cites a gold source"):
        assert (rows[name].system.low, rows[name].system.high) == pytest.approx((full.low, 1.0))
        assert (rows[name].baseline.low, rows[name].baseline.high) == pytest.approx((0.0, none.high))
    # Words shared with the gold answer are no share of items, though they are 1 on every one.
    assert rows["answer token F1"].system.low == rows["answer token F1"].system.high == pytest.approx(1.0)
    # Six questions on two documents are two groups, which bound less.
    paired = [question(n, documents=(f"d{n % 2}",)) for n in range(6)]
    row = compare(Fake([answer("yes") for _ in range(6)]), Fake(theirs), paired).rows[0]
    assert row.system.groups == 2
    assert row.system.low == pytest.approx(binomtest(2, 2).proportion_ci(method="wilson").low)
    parts = compare(Fake(ours), Fake(theirs), paired, slices={"site": ["x"] * 4 + ["y"] * 2}).slices
    assert all(part.system.low < part.system.high for part in parts if part.metric == "right verdict")


def test_a_figure_that_applies_to_nothing_is_said_to() -> None:
    made = compare(Fake(OURS[:2]), Fake(THEIRS[:2]), QUESTIONS[:2])
    assert made.unscored == {"abstains where nothing answers: applies to none of these items": 0}
    assert "not scored: abstains where nothing answers: applies to none" in str(made)


def test_without_texts_no_words_are_kept() -> None:
    notes = [LabelledNote("John Doe has pain", "a", group="John"), LabelledNote("Jane Roe fell", "b", group="John"),
             LabelledNote("Jim Poe", "b")]  # fmt: skip
    made = compare(Fake([label("a")] * 3), Fake([label("b")] * 3), notes, texts=False)
    kept = json.dumps(made.to_dict()) + made.to_html() + made.to_markdown()
    assert [word for word in ("John", "Jane", "Jim") if word in kept] == []
    assert made.groups == 2
    assert made.cases[0].group == made.cases[1].group != ""
    assert made.cases[2].group == ""


def test_failures_are_counted_on_both_sides() -> None:
    odd = Answer("q", (Claim("x", (), False, 0.0),), unknown_citations=("[9]",), warnings=("3 quotes are off",))
    made = compare(Fake([odd, *OURS[1:]]), Fake(THEIRS), QUESTIONS)
    counts = {one.what: (one.system, one.baseline) for one in made.failures}
    assert counts["abstained: no reason given"] == (1, 3)
    assert counts["citation of a source that does not exist"] == (1, 0)
    assert counts["warning: … quotes are off"] == (1, 0)
    assert counts["statement that no source supports"] == (2, 1)


def test_calibration_and_risk_of_notes_by_hand() -> None:
    notes = [LabelledNote(str(n), "a") for n in range(20)]
    sure = [label("a" if n < 15 else "b", 0.95 if n < 10 else 0.55) for n in range(20)]
    made = compare(Fake(sure), Fake([label("a", 0.5)] * 20), notes)
    bins = {round(cell.high, 1): cell for cell in made.calibration[0].bins if cell.n}
    assert (bins[1.0].n, bins[1.0].accuracy, bins[0.6].n, bins[0.6].accuracy) == (10, 1.0, 10, 0.5)
    assert made.calibration[0].error.value == pytest.approx(0.05)
    (curve,) = made.risk  # the baseline is equally sure of all
    assert {round(point.coverage, 1): point.risk for point in curve.points}[0.5] == 0
    assert curve.points[0].risk == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ("a", "a")}, "tell the two sides apart"),
        ({"groups": ["x"]}, "each of the 4 items, got 1"),
        ({"repeats": 0}, "at least 1"),
        ({"repeats": 2}, "need a generator that samples"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare(Fake(OURS), Fake(THEIRS), QUESTIONS, **options)


def test_controls_need_our_pipeline() -> None:
    with pytest.raises(TypeError, match="make the variants yourself"):
        compare(Fake(OURS), Fake(THEIRS), QUESTIONS, leak_control=True)
    notes = [LabelledNote("1", "a"), LabelledNote("2", "b")]
    with pytest.raises(ValueError, match="notes have none"):
        compare(Fake([label("a")] * 2), Fake([label("b")] * 2), notes, leak_control=True)


def test_a_pipeline_for_the_other_kind_of_item_is_refused() -> None:
    notes = [LabelledNote("a", "x", "1"), LabelledNote("b", "x", "2")]
    answers = object.__new__(QAPipeline)  # of another kind, so it must not run at all
    labels = object.__new__(LabelPipeline)
    pairs = "Questions go with a QAPipeline and LabelledNotes with a LabelPipeline"
    with pytest.raises(TypeError, match=f"a QAPipeline cannot be compared on LabelledNotes: {pairs}"):
        compare(answers, answers, notes)
    with pytest.raises(TypeError, match=f"a LabelPipeline cannot be compared on Questions: {pairs}"):
        compare(labels, labels, [question(0), question(1)])
    with pytest.raises(TypeError, match=f"RAG gave Answer where LabelResult was expected: {pairs}"):
        compare(Fake([answer(), answer()]), Fake([label("x"), label("x")]), notes)
    with pytest.raises(TypeError, match="no RAG gave LabelResult where Answer was expected"):
        compare(Fake([answer(), answer()]), Fake([label("x"), label("x")]), [question(0), question(1)])


def test_an_output_too_few_is_an_error() -> None:
    class Short(Fake):
        def batch(self, texts: Any) -> list[Any]:
            return self.outputs[:-1]

    with pytest.raises(ValueError, match="3 outputs for 4 items"):
        compare(Short(OURS), Fake(THEIRS), QUESTIONS)
