"""Agreement of labels against hand-computed cosines, scikit-learn's macro-F1 and plain permutations."""

import json
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from radrag.labelling import LabelSet
from radrag.labelling.similarity import label_agreement
from radrag.metrics import bootstrap
from radrag.protocols import Kind
from radrag.types import Label

ANGLES = {"CT head": 0, "MR head": 60, "Knee": 90, "x": 180, "brain scan": 30}
LABELS = LabelSet([Label("a", "CT head"), Label("b", "MR head"), Label("c", "Knee"), Label("x")])


class Compass:
    """Texts as directions in a plane."""

    fingerprint = "test:compass"
    dim = 2

    def encode(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        del kind
        angles = np.deg2rad([ANGLES[text] for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


TRUE = ["a", "a", "b", "c", "x", "c"]
GIVEN = ["a", "b", "b", "x", None, "brain scan"]
COSINES = [1, 0.5, 1, 0, 0, 0.5]


def test_figures_by_hand() -> None:
    found = label_agreement(TRUE, GIVEN, LABELS, Compass())
    assert found.similarity.value == pytest.approx(np.mean(COSINES), abs=1e-6)
    assert found.similarity.low == pytest.approx(bootstrap(COSINES).low, abs=1e-6)
    assert found.exact == bootstrap([1.0, 0, 1, 0, 0, 0])
    known = [one or "none" for one in GIVEN]
    expected = f1_score(TRUE, known, labels=["a", "b", "c", "x"], average="macro", zero_division=0)
    assert found.macro_f1.value == pytest.approx(expected)
    assert (found.wrong, found.unlabelled, found.outside) == (4, 1, 1)
    assert found.similarity_of_wrong == pytest.approx((0.5 + 0 + 0 + 0.5) / 4, abs=1e-6)
    assert {one.n for one in (found.similarity, found.chance, found.exact, found.macro_f1)} == {6}
    assert found.encoder == "test:compass"
    assert json.loads(json.dumps(found.to_dict()))["exact"]["n"] == 6


def test_chance_is_the_mean_over_random_deals() -> None:
    true, given = ["a", "a", "b", "c", "x", "c"], ["a", "b", "b", "x", "c", "a"]
    found = label_agreement(true, given, LABELS, Compass())
    rng = np.random.default_rng(0)
    deals = [
        label_agreement(true, rng.permutation(given).tolist(), LABELS, Compass(), n_resamples=1) for _ in range(400)
    ]
    values = [deal.similarity.value for deal in deals]
    assert found.chance.value == pytest.approx(np.mean(values), abs=4 * np.std(values) / 20)
    assert found.chance.low < found.chance.value < found.chance.high


def test_all_right_and_one_label_for_all() -> None:
    found = label_agreement(["a", "b", "a"], ["a", "b", "a"], LABELS, Compass())
    assert (found.similarity.value, found.exact.value, found.macro_f1.value) == (pytest.approx(1), 1, 1)
    assert found.similarity_of_wrong is None
    same = label_agreement(["a", "b", "a"], ["a", "a", "a"], LABELS, Compass())
    assert same.chance.value == pytest.approx(same.similarity.value)  # no better than chance, at .83
    assert same.similarity.value == pytest.approx(2.5 / 3, abs=1e-6)


def test_prints_every_figure() -> None:
    lines = str(label_agreement(TRUE, GIVEN, LABELS, Compass())).splitlines()
    assert [line.split("  ")[0].strip() or line.strip()[:15] for line in lines[:4]] == [
        "exact match", "macro-F1", "semantic similarity", "of random pairs",
    ]  # fmt: skip
    assert lines[4] == "4 wrong, of which 1 without a label and 1 outside the set; encoder test:compass"


def test_texts_without_a_set_and_groups() -> None:
    found = label_agreement(["Knee", "x", "Knee"], ["Knee", "Knee", "x"], None, Compass(), groups=["p", "p", "q"])
    assert found.similarity.value == pytest.approx(1 / 3, abs=1e-6)
    assert (found.outside, found.similarity.groups, found.chance.groups, found.macro_f1.groups) == (0, 2, 2, 2)


def test_shipped_encoder_is_the_default() -> None:
    found = label_agreement(["CT head", "MR knee"], ["CT head", "CT brain"])
    assert found.encoder.startswith("static:")
    assert 0 < found.similarity.value < 1


@pytest.mark.parametrize(
    ("true", "given", "message"),
    [
        (["a"], ["a"], "2 or more, got 1 and 1"),
        (["a", "b"], ["a"], "got 2 and 1"),
        (["a", "d"], ["a", "a"], "true label 1 must be an id of the label set, got 'd'"),
        (["a", "b"], ["a", " "], "predicted label 1 must be text or None"),
    ],
)
def test_arguments_are_checked(true: list[str], given: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        label_agreement(true, given, LABELS, Compass())
