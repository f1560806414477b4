"""Characters, rules and calibration of the ensemble against scikit-learn and plain recomputations."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax
from sklearn.feature_extraction.text import CountVectorizer

from radrag.calibration import apply_pool, conformal_threshold, fit_pool
from radrag.labelling import LabelSet
from radrag.labelling.calibrated import calibrated, stored_calibration
from radrag.labelling.characters import SIZES, CharacterModel, pieces
from radrag.labelling.linear import fit_linear
from radrag.labelling.rules import Rules
from radrag.types import Label

LABELS = LabelSet([Label("stone"), Label("chest"), Label("knee")])
WORDS = [["ureter", "calculus", "haematuria", "colic"], ["cough", "dyspnoea", "nodule"], ["meniscus", "ligament"]]


def made(n: int, seed: int = 0) -> tuple[list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    true = np.arange(n) % 3
    notes = [
        " ".join([*rng.choice(WORDS[label], 2), *rng.choice(["old", "new", "left", "acute"], 2)]) for label in true
    ]
    return notes, true.astype(np.int64)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(alphabet="abcß .,x-ÅÉ", min_size=0, max_size=30), min_size=1, max_size=4))
def test_pieces_are_those_of_sklearn(notes: list[str]) -> None:
    rows, buckets = pieces(notes)
    for row, note in enumerate(notes):
        expected: Counter[str] = Counter()
        for size in SIZES:
            analyse = CountVectorizer(analyzer="char_wb", ngram_range=(size, size), lowercase=False).build_analyzer()
            expected.update(piece for piece in analyse(note.casefold()) if len(piece) == size)
        found = Counter(buckets[rows == row].tolist())
        # Buckets stand for pieces one to one: the counts are the same, in whatever order.
        assert sorted(found.values()) == sorted(expected.values())


def test_digits_and_case_do_not_matter() -> None:
    rows, buckets = pieces(["CR 12.14 saline", "cr 99.87 SALINE", "cr 99.87 salt"])
    one, other, third = (sorted(buckets[rows == row].tolist()) for row in range(3))
    assert one == other != third


def test_characters_read_what_is_misspelt() -> None:
    notes, true = made(90)
    model = CharacterModel.fit(notes, true, 3)
    assert model.scores(["ureteric calculi, hematuria", "coughing; dyspnea", "menisci"]).argmax(axis=1).tolist() == [
        0,
        1,
        2,
    ]
    assert np.exp(model.scores(notes)).sum(axis=1) == pytest.approx(np.ones(90))
    assert np.isfinite(model.scores(["?", "zzz"])).all()


def test_characters_are_saved_exactly(tmp_path: Path) -> None:
    notes, true = made(60)
    model = CharacterModel.fit(notes, true, 4)
    model.save(tmp_path)
    assert (CharacterModel.load(tmp_path).scores(notes) == model.scores(notes)).all()
    assert (model.scores(notes).argmax(axis=1) != 3).all()  # it never saw that label


def test_weights_are_those_of_sklearn() -> None:
    from scipy.sparse import csr_array
    from sklearn.svm import LinearSVC

    rng = np.random.default_rng(0)
    rows, true = csr_array(rng.normal(size=(60, 5))), rng.integers(0, 3, 60)
    weights, bias = fit_linear(rows, true * 2, 6, 0)
    machine = LinearSVC(C=4, tol=1e-6, random_state=0).fit(rows, true)
    assert weights[[0, 2, 4]] == pytest.approx(machine.coef_, abs=0.02)
    assert bias[[0, 2, 4]] == pytest.approx(machine.intercept_, abs=0.02)
    assert (bias[[1, 3, 5]] == -1).all()
    two, _ = fit_linear(rows, (true > 0).astype(np.int64), 2, 0)
    assert (two[0] == -two[1]).all()


def test_rules_name_labels_and_stay_silent_otherwise() -> None:
    rules = Rules({"stone": [r"\bstone\b", "calcul(us|i)"], "knee": "acl"}, LABELS)
    assert rules.named("Renal CALCULI") == ("stone",)
    assert rules.named("ACL and stone") == ("stone", "knee")
    assert rules.named("stoned") == ()
    scores = rules.scores(["calculus", "nothing", "acl stone"])
    # A label that is named weighs e^3 times one that is not.
    assert scores[0] == pytest.approx(log_softmax([3.0, 0, 0]))
    assert scores[1] == pytest.approx(np.full(3, -np.log(3)))
    assert scores[2] == pytest.approx(log_softmax([3.0, 0, 3.0]))
    assert rules.fingerprint == Rules({"stone": [r"\bstone\b", "calcul(us|i)"], "knee": ("acl",)}, LABELS).fingerprint
    assert rules.fingerprint != Rules({"stone": "stone"}, LABELS).fingerprint


def test_a_function_is_a_rule() -> None:
    rules = Rules(lambda note: "chest" if "cough" in note else None, LABELS)
    assert rules.named("dry cough") == ("chest",)
    assert rules.named("fine") == ()
    assert rules.fingerprint.startswith("function:")
    with pytest.raises(ValueError, match="the rule returned 'hip' for 'x'"):
        Rules(lambda note: ["hip"], LABELS).scores(["x"])


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"hip": ["x"]}, "rules name the label 'hip'"),
        ({"knee": ["("]}, r"pattern '\(' of 'knee' is no regular expression"),
        ({"knee": [""]}, "is found in every note"),
    ],
)
def test_rules_that_cannot_be(rules: dict[str, list[str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Rules(rules, LABELS)


def scored(n: int, seed: int, flat: float) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """One scorer whose truth follows its own scores to the power ``flat``."""
    rng = np.random.default_rng(seed)
    raw = rng.normal(size=(n, 4)) * 2
    p = np.exp(log_softmax(raw * flat, axis=1))
    true = (p.cumsum(axis=1) > rng.uniform(size=(n, 1))).argmax(axis=1)
    return {"one": np.asarray(log_softmax(raw, axis=1))}, true.astype(np.int64)


def test_what_is_promised_rests_on_notes_held_out() -> None:
    scores, true = scored(100, 0, 0.5)
    folds = np.arange(100) % 5
    right = np.eye(4, dtype=bool)[true]
    found = calibrated(scores, true, right, folds)
    assert found.curve is None  # the temperature alone is the truth here
    stacked = scores["one"][None]
    held = np.zeros((100, 4))
    for fold in range(5):
        weights = fit_pool(stacked[:, folds != fold], true[folds != fold])
        held[folds == fold] = apply_pool(stacked[:, folds == fold], weights)
    assert found.given == pytest.approx(held[np.arange(100), true])
    assert found.top == pytest.approx(held.max(axis=1))
    assert (found.right == (held.argmax(axis=1) == true)).all()
    assert found.threshold(0.9) == conformal_threshold(held[np.arange(100), true], 0.1)
    assert found.weights["one"] == pytest.approx(0.5, abs=0.2)
    every = found.thresholds(0.9, 4, per_label=False)
    assert every.thresholds.tolist() == [found.threshold(0.9)] * 4


def test_a_curve_is_taken_where_no_temperature_helps() -> None:
    # Right only when the score is in the middle: certain scores are as often wrong as not.
    rng = np.random.default_rng(3)
    n = 1500
    p = rng.choice([0.55, 0.75, 0.999], size=n)
    share = np.select([p == 0.55, p == 0.75], [0.54, 0.95], 0.95)
    true = np.where(rng.uniform(size=n) < share, 0, 1).astype(np.int64)
    scores = {"one": np.log(np.stack([p, 1 - p], axis=1))}
    found = calibrated(scores, true, np.eye(2, dtype=bool)[true], np.arange(n) % 5)
    assert found.curve is not None
    given = found.probabilities({"one": np.log([[0.55, 0.45], [0.75, 0.25], [0.999, 0.001]])})[:, 0]
    assert given == pytest.approx([0.54, 0.95, 0.95], abs=0.04)
    again = stored_calibration(found.values(), found.arrays())
    assert (again.probabilities(scores) == found.probabilities(scores)).all()


def test_labels_that_are_right_too_count_as_right() -> None:
    scores, true = scored(60, 1, 1.0)
    right = np.eye(4, dtype=bool)[true]
    both = calibrated(scores, true, np.ones((60, 4), dtype=bool), np.arange(60) % 5)
    assert both.right.all()
    assert not calibrated(scores, true, right, np.arange(60) % 5).right.all()
