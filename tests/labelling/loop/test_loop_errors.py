"""The error analysis, against counts done by hand, scikit-learn and scipy."""

from __future__ import annotations

import json
import math
from collections import Counter

import pytest
from scipy.stats import fisher_exact
from sklearn.metrics import f1_score, precision_recall_fscore_support

from radrag.labelling.loop import error_analysis
from radrag.labelling.loop.columns import slice_names
from radrag.metrics import mcnemar
from radrag.types import LabelledNote, LabelResult, Span


def case(pairs: list[tuple[str, str]], text: str = "note {}") -> tuple[list[LabelledNote], list[LabelResult]]:
    """Make notes of pairs of right and predicted label; the probability falls from note to note."""
    notes, results = [], []
    for place, (true, predicted) in enumerate(pairs):
        notes.append(LabelledNote(text.format("x " * place), true, f"n{place}"))
        share = 0.99 - place / 1000
        ranking = ((predicted, share), *([(true, 0.005)] if true != predicted else []))
        spans = (Span(0, 4, notes[-1].text[:4]),)
        results.append(LabelResult(notes[-1].text, predicted, share, ranking, evidence=spans))
    return notes, results


PAIRS = (
    [("a", "a")] * 6
    + [("a", "b")] * 3
    + [("a", "c")]
    + [("b", "b")] * 4
    + [("b", "a")]
    + [("c", "c")] * 2
    + [("d", "c")]
)


def test_figures_are_those_of_scikit_learn() -> None:
    notes, results = case(PAIRS)
    found = error_analysis(notes, results)
    true, predicted = zip(*PAIRS, strict=True)
    assert found.accuracy.value == pytest.approx(12 / 18)
    assert found.accuracy.n == 18
    labels = ["a", "b", "c", "d"]
    precision, recall, f1, support = precision_recall_fscore_support(true, predicted, labels=labels, zero_division=0)
    by_label = {one.label: one for one in found.labels}
    for place, label in enumerate(labels):
        one = by_label[label]
        assert one.given == support[place]
        assert one.f1 == pytest.approx(f1[place])
        assert one.recall is not None
        assert one.recall.value == pytest.approx(recall[place])
        assert (one.precision.value if one.precision else 0) == pytest.approx(precision[place])
    assert by_label["d"].precision is None
    assert found.macro_f1 == pytest.approx(f1_score(true, predicted, average="macro", zero_division=0))
    assert found.labels[0].label == "a"  # most errors
    assert [(one.given, one.predicted, one.notes, one.of) for one in found.confusions] == [
        ("a", "b", 3, 10),
        ("a", "c", 1, 10),
        ("b", "a", 1, 5),
        ("d", "c", 1, 1),
    ]
    assert found.confusions[0].note_ids == ("n6", "n7", "n8")
    assert [one.note_id for one in found.wrong] == ["n6", "n7", "n8", "n9", "n14", "n17"]
    assert found.wrong[0].given_probability == 0.005
    assert "4 of 4 labels have fewer than 20" in found.warnings[0]


def test_what_is_also_right_is_right() -> None:
    notes, results = case([("a", "b"), ("a", "b")])
    also = [LabelledNote(notes[0].text, "a", "n0", also=("b",)), notes[1]]
    found = error_analysis(also, results)
    assert found.accuracy.value == 0.5
    assert [(one.label, one.given, one.right) for one in found.labels] == [("a", 1, 0), ("b", 1, 1)]


def test_slices_against_scipy() -> None:
    pairs = [("a", "a")] * 30 + [("a", "b")] * 5 + [("a", "a")] * 8 + [("a", "b")] * 15
    notes, results = case(pairs)
    found = error_analysis(notes, results, columns={"modality": ["CT"] * 35 + ["MR"] * 23, "site": [None] * 58}).slices
    shown = [one for one in found if one.attribute != "length in words"]
    assert [(one.attribute, one.name, one.estimate.n) for one in shown] == [
        ("modality", "MR", 23),
        ("modality", "CT", 35),
        ("site", "(not known)", 58),
    ]
    assert shown[0].p_value == pytest.approx(fisher_exact([[8, 15], [30, 5]]).pvalue)
    assert shown[0].adjusted is not None
    assert shown[0].adjusted >= shown[0].p_value
    assert [one.name for one in found if one.attribute == "length in words"][:1] == ["45 to 58"]
    with pytest.raises(ValueError, match="'site' has 2 values"):
        error_analysis(notes, results, columns={"site": ["one", "two"]})


def test_numbers_are_parted_at_their_quartiles_and_rare_values_are_one_slice() -> None:
    ages = Counter(slice_names([str(age) for age in range(100)] + ["", None, math.nan]))
    assert ages == {"0 to 24": 25, "25 to 49": 25, "50 to 74": 25, "75 to 99": 25, None: 3}
    sites = Counter(slice_names([f"site {place % 40}" for place in range(100)]))
    assert len(sites) == 21
    assert sites["(other, 20 values)"] == 40
    years = slice_names([2019 + place % 5 for place in range(100)])
    assert set(years) == {"2019", "2020", "2021", "2022", "2023"}
    assert Counter(slice_names([1] * 90 + list(range(2, 20)))) == {"1": 90, "2 to 19": 18}


def test_what_changed_since_the_last_round() -> None:
    notes, before = case([("a", "a")] * 10 + [("a", "b")] * 8 + [("b", "a")] * 2)
    _, now = case([("a", "a")] * 9 + [("a", "b")] + [("a", "a")] * 6 + [("a", "b")] * 2 + [("b", "b")] * 2)
    found = error_analysis(notes, now, before)
    assert found.change is not None
    assert found.change.before == 0.5
    assert found.change.difference.value == pytest.approx(7 / 20)
    assert found.change.fixed == tuple(f"n{place}" for place in (10, 11, 12, 13, 14, 15, 18, 19))
    assert found.change.broken == ("n9",)
    assert found.change.test == mcnemar(
        [True] * 9 + [False] + [True] * 6 + [False] * 2 + [True] * 2, [True] * 10 + [False] * 10
    )
    assert (found.change.test.system_only, found.change.test.baseline_only) == (8, 1)
    assert found.change.test.p_value == pytest.approx(2 * sum(math.comb(9, k) for k in (0, 1)) / 2**9)
    assert "8 notes fixed, 1 broken" in found.to_markdown()


def test_groups_are_drawn_whole_and_said_so() -> None:
    notes, results = case(PAIRS)
    grouped = [LabelledNote(note.text, note.label, note.id, f"p{place % 4}") for place, note in enumerate(notes)]
    found = error_analysis(grouped, results)
    assert found.accuracy.groups == 4
    assert "come in groups" in found.warnings[0]


def test_the_report_shows_words_of_notes_only_if_asked_and_as_words() -> None:
    notes, results = case([("a", "b"), ("a", "a")], "note | <b>{}</b> `code`\nline")
    found = error_analysis(notes, results, columns={"site": ["x|y", "z"]})
    text = found.to_markdown()
    assert "note \\| &lt;b>&lt;/b> \\`code\\` line" in text
    assert "<b>" not in text
    assert "x\\|y" in text
    short = found.to_markdown(texts=False)
    assert "code" not in short
    assert "n0" in short
    assert "text" not in found.to_dict(texts=False)["wrong"][0]
    assert found.to_dict()["wrong"][0]["text"] == notes[0].text
    json.dumps(found.to_dict(), allow_nan=False)
    rows = [line for line in text.splitlines() if line.startswith("| site")]
    assert len(rows) == 2


def test_what_cannot_be_judged_is_refused() -> None:
    notes, results = case(PAIRS)
    with pytest.raises(ValueError, match="note 0 has no label"):
        error_analysis([LabelledNote(notes[0].text, ""), *notes[1:]], results)
    with pytest.raises(ValueError, match="result 0 is of the note"):
        error_analysis(notes, results[::-1])
    with pytest.raises(ValueError, match="result 0 is of the note"):
        error_analysis(notes, results, results[::-1])
    with pytest.raises(ValueError, match="at least 2 items"):
        error_analysis(notes[:1], results[:1])
