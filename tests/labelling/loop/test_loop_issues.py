"""Doubtful labels: planted ones are found, by counts done by hand and against cleanlab itself."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pytest
from scipy.stats import binom

from radrag.errors import MissingExtraError
from radrag.labelling.loop import IssueKind, find_label_issues, note_ids, out_of_fold, pseudo_label, sibling_pairs
from radrag.types import LabelledNote, LabelResult


def said(note: LabelledNote | str, probability: Mapping[str, float], calibrated: bool = True) -> LabelResult:
    text = note if isinstance(note, str) else note.text
    ranking = tuple(sorted(probability.items(), key=lambda pair: (-pair[1], pair[0])))
    return LabelResult(text, ranking[0][0], ranking[0][1], ranking, calibrated=calibrated)


def sure(note: LabelledNote, label: str, share: float = 0.9, labels: str = "abcd") -> LabelResult:
    rest = (1 - share) / (len(labels) - 1)
    return said(note, {one: share if one == label else rest for one in labels})


WITHOUT = [kind for kind in IssueKind if kind is not IssueKind.CONFIDENT_LEARNING]


def test_confident_learning_is_cleanlab_and_finds_planted_labels() -> None:
    filters = pytest.importorskip("cleanlab.filter")
    rank = pytest.importorskip("cleanlab.rank")
    rng = np.random.default_rng(0)
    true = rng.integers(0, 4, 400)
    table = rng.dirichlet(np.ones(4), 400) * 0.4
    table[np.arange(400), true] += 0.6
    given = true.copy()
    planted = rng.choice(400, 30, replace=False)
    given[planted] = (given[planted] + rng.integers(1, 4, 30)) % 4
    notes = [LabelledNote(f"note of its own {row} {'x' * row}", "abcd"[given[row]], f"n{row}") for row in range(400)]
    results = [
        said(note, dict(zip("abcd", map(float, row), strict=True))) for note, row in zip(notes, table, strict=True)
    ]
    found = find_label_issues(notes, results, kinds=["confident-learning"])
    mask = filters.find_label_issues(given, table, n_jobs=1)
    expected = {f"n{row}" for row in np.flatnonzero(mask) if table[row].argmax() != given[row]}
    assert {issue.note_id for issue in found.issues} == expected
    assert len(expected & {f"n{row}" for row in planted}) >= 28
    quality = rank.get_label_quality_scores(given, table, method="self_confidence")
    for issue in found.issues:
        row = int(issue.note_id[1:])
        assert issue.score == pytest.approx(1 - quality[row])
        assert issue.suggested == "abcd"[table[row].argmax()]
        assert issue.given == "abcd"[given[row]]
    assert [issue.score for issue in found.issues] == sorted((issue.score for issue in found.issues), reverse=True)


def test_without_cleanlab_the_pip_line_is_given_and_the_rest_works(monkeypatch: pytest.MonkeyPatch) -> None:
    notes = [LabelledNote("the same", "a"), LabelledNote("the same", "b")]
    results = [sure(note, "a") for note in notes]
    for name in [name for name in sys.modules if name.partition(".")[0] == "cleanlab"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'radrag\[review\]'"):
        find_label_issues(notes, results)
    assert find_label_issues(notes, results, kinds=WITHOUT).counts["conflict"] == 1


def test_copies_with_other_labels() -> None:
    texts = ["Lump, 4 mm", "lump,  9 MM", "Lump, 4 mm", "Lump, 4 mm", "Other", "Other", "Third", "Third"]
    labels = ["a", "a", "a", "b", "c", "d", "a", "a"]
    notes = [
        LabelledNote(text, label, f"n{place}") for place, (text, label) in enumerate(zip(texts, labels, strict=True))
    ]
    results = [sure(note, "d" if note.text == "Other" else note.label) for note in notes]
    issues = find_label_issues(notes, results, kinds=["conflict"]).issues
    assert [(issue.note_id, issue.given, issue.suggested, issue.score) for issue in issues] == [
        ("n3", "b", "a", 1.0),  # three copies are a
        ("n4", "c", "d", 1.0),  # one against one: the labeller says d
    ]
    assert issues[0].others == ("n0", "n1", "n2")
    assert issues[0].why.startswith("the same text but for numbers")
    assert issues[1].why.startswith("the same text has")


def test_what_is_also_right_is_no_conflict() -> None:
    notes = [LabelledNote("the same", "a", also=("b",)), LabelledNote("the same", "b")]
    results = [sure(note, "a") for note in notes]
    assert [issue.given for issue in find_label_issues(notes, results, kinds=WITHOUT).issues] == ["b"]
    both = [LabelledNote("the same", "a", also=("b",)), LabelledNote("the same", "b", also=("a",))]
    assert find_label_issues(both, results, kinds=WITHOUT).issues == ()


def test_near_copies_doubt_the_one_that_the_labeller_believes_less() -> None:
    words = "headache since this morning worst of her life with vomiting and a stiff neck"
    notes = [
        LabelledNote(f"{words}, please scan", "a", "n0"),
        LabelledNote(f"{words}, please scan today", "b", "n1"),
        LabelledNote("quite another note about a swollen calf after a flight", "c", "n2"),
        LabelledNote(f"{words}, please", "a", "n3"),
    ]
    results = [sure(note, "a" if note.label != "c" else "c") for note in notes]
    (issue,) = find_label_issues(notes, results, kinds=["near-duplicate"]).issues
    left, right = (set(zip(*(text.lower().split()[start:] for start in range(3)), strict=False)) for text in
                   (notes[0].text, notes[1].text))  # fmt: skip
    assert (issue.note_id, issue.given, issue.suggested, issue.others[0]) == ("n1", "b", "a", "n0")
    believed = (1 + 0.9 - 0.1 / 3) / 2
    assert issue.score == pytest.approx(len(left & right) / len(left | right) * believed)
    assert find_label_issues(notes, results, kinds=["near-duplicate"], near=0.95).issues == ()


def test_siblings_are_pairs_confused_more_than_chance() -> None:
    notes, results = [], []
    for label, said_to_be, count in [("a", "a", 40), ("b", "b", 40), ("c", "c", 40), ("d", "d", 40), ("a", "b", 8),
                                     ("b", "a", 4), ("c", "d", 1), ("a", "d", 2)]:  # fmt: skip
        for number in range(count):
            notes.append(LabelledNote(f"{label} {said_to_be} {'x' * number}", label, f"{label}{said_to_be}{number}"))
            results.append(sure(notes[-1], said_to_be))
    (pair,) = sibling_pairs(notes, results)
    assert (pair.one, pair.other, pair.one_as_other, pair.other_as_one, pair.notes) == ("a", "b", 8, 4, 94)
    share = 15 / 175 / 3
    assert pair.p_value == pytest.approx(3 * sum(binom.pmf(k, 94, share) for k in range(12, 95)))
    issues = find_label_issues(notes, results, kinds=["sibling"]).issues
    assert {issue.note_id for issue in issues} == {f"ab{n}" for n in range(8)} | {f"ba{n}" for n in range(4)}
    assert "12 of 94" in issues[0].why
    two = [note for note in notes if note.label in "ab"]
    assert sibling_pairs(two, [sure(note, "b", labels="ab") for note in two]) == ()


def test_results_of_other_notes_are_refused() -> None:
    notes = [LabelledNote("one", "a"), LabelledNote("two", "b")]
    results = [sure(note, "a") for note in notes]
    with pytest.raises(ValueError, match="result 0 is of the note 'two'"):
        find_label_issues(notes, results[::-1], kinds=WITHOUT)
    with pytest.raises(ValueError, match="2 notes and 1 results"):
        find_label_issues(notes, results[:1], kinds=WITHOUT)
    with pytest.raises(ValueError, match="nonsense"):
        find_label_issues(notes, results, kinds=["nonsense"])
    loose = [said(note, {"a": 0.6, "b": 0.4}, calibrated=False) for note in notes]
    assert "not calibrated" in find_label_issues(notes, loose, kinds=WITHOUT).warnings[0]


def test_names_of_notes_do_not_hang_on_their_order() -> None:
    notes = [LabelledNote("x", "a"), LabelledNote("y", "a", "id7"), LabelledNote("x", "b"), LabelledNote("z", "a")]
    names = note_ids(notes)
    assert names[1] == "id7"
    assert names[2] == f"{names[0]}-2"
    assert len(set(names)) == 4
    assert set(note_ids(notes[::-1])) == set(names)
    with pytest.raises(ValueError, match="note 1 has the id 'k'"):
        note_ids([LabelledNote("x", "a", "k"), LabelledNote("y", "a", "k")])


class Memory:
    """Says the label that it has seen with a text, else "unseen"; remembers what it was fitted on."""

    fits: list[list[LabelledNote]] = []  # noqa: RUF012

    def __init__(self, notes: list[LabelledNote]) -> None:
        self.known = {note.text: note.label for note in notes}
        Memory.fits.append(notes)

    @property
    def manifest(self) -> dict[str, object]:
        return {"made": "memory", "notes": len(self.known)}

    def batch(self, notes: Iterable[str]) -> list[LabelResult]:
        return [said(note, {self.known.get(note, "unseen"): 0.75}) for note in notes]


def test_out_of_fold_never_shows_a_note_its_own_label_or_that_of_its_copy() -> None:
    rng = random.Random(0)
    notes = [
        LabelledNote(f"{'abcdefgh'[number % 40 // 5]} {number % 40 * 'y'}", "ab"[number % 2], group=f"g{number % 20}")
        for number in range(120)
    ]
    rng.shuffle(notes)
    Memory.fits = []
    told: list[tuple[int, int]] = []
    results = out_of_fold(notes, Memory, folds=4, seed=1, progress=lambda *done: told.append(done))
    assert [result.note for result in results] == [note.text for note in notes]
    assert {result.label for result in results} == {"unseen"}
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert sum(len(notes) - len(fold) for fold in Memory.fits) == len(notes)
    for fold in Memory.fits:
        held = {note.group for note in notes} - {note.group for note in fold}
        assert held.isdisjoint(note.group for note in fold)


def test_pseudo_labels_keep_the_unsure_apart_and_say_who_labelled() -> None:
    class Wavering(Memory):
        def batch(self, notes: Iterable[str]) -> list[LabelResult]:
            return [said(note, {"a": 0.5 + len(note) / 10, "b": 0.1}) for note in notes]

    texts: Sequence[str] = ["x", "xxx", "xx"]
    made = pseudo_label(Wavering([]), texts, ids=["p", "q", "r"], groups=["1", "1", "2"], least=0.7)
    assert [(row.id, row.label, row.group) for row in made.rows] == [("q", "a", "1"), ("r", "a", "2")]
    assert [(row.id, row.probability) for row in made.unsure] == [("p", 0.6)]
    assert [result.note for result in made.results] == list(texts)
    assert len({row.labelled_by for row in (*made.rows, *made.unsure)}) == 1
    assert made.rows[0].labelled_by != pseudo_label(Memory([LabelledNote("x", "a")]), ["x"]).rows[0].labelled_by
    assert made.rows[0].labelled_note() == LabelledNote("xxx", "a", "q", "1")
    assert str(made) == "2 of 3 notes got a label of probability 0.7 or more"
    with pytest.raises(ValueError, match="3 notes and 1 ids"):
        pseudo_label(Memory([]), texts, ids=["p"])
    with pytest.raises(ValueError, match="least must lie"):
        pseudo_label(Memory([]), texts, least=70)
    with pytest.raises(ValueError, match="note 1 is blank"):
        pseudo_label(Memory([]), ["x", " "])
