"""The scikit-learn face of the labelling pipeline."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks

from radrag.indexes.hybrid import HybridIndex
from radrag.labelling.label_set import LabelSet
from radrag.pipelines.estimator import LabelClassifier
from radrag.types import Document, Label

WORDS = {"knee": "knee pain meniscus", "head": "headache stroke", "chest": "cough pneumonia"}
NOTES = [f"{words} case {'abcdefghij'[n]}" for n in range(10) for words in WORDS.values()]
TRUE = [label for _ in range(10) for label in WORDS]


@pytest.fixture(scope="module")
def fitted() -> LabelClassifier:
    return LabelClassifier().fit(NOTES, TRUE)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HybridIndex]:
    with HybridIndex.create(tmp_path_factory.mktemp("index") / "index") as made:
        made.add([Document(id="knee", text="Knee pain and a torn meniscus.", title="Knee", kind="guideline")])
        yield made


def test_it_predicts_what_the_pipeline_says(fitted: LabelClassifier) -> None:
    asked = ["a meniscus of the knee", "pneumonia with cough", "stroke"]
    assert fitted.classes_.tolist() == ["chest", "head", "knee"]
    assert fitted.predict(asked).tolist() == ["knee", "chest", "head"]
    probabilities = fitted.predict_proba(np.array(asked, dtype=object))
    assert probabilities.shape == (3, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    results = fitted.pipeline_.batch(asked)
    np.testing.assert_allclose(probabilities.max(axis=1), [result.probability for result in results])
    for row, result in zip(probabilities, results, strict=True):
        assert {name: float(row[place]) for place, name in enumerate(fitted.classes_)} == pytest.approx(
            dict(result.ranking)
        )
    assert fitted.score(asked, ["knee", "chest", "head"]) == 1


def test_labels_may_be_numbers_and_come_in_any_order() -> None:
    numbers = [{"knee": 10, "head": 9, "chest": 2}[label] for label in TRUE]
    made = LabelClassifier().fit(NOTES, numbers)
    assert made.classes_.tolist() == [2, 9, 10]
    assert made.predict(["meniscus of the knee", "stroke"]).tolist() == [10, 9]
    with pytest.raises(ValueError, match="written alike"):
        LabelClassifier().fit(NOTES[:2], [1, "1"])


def test_a_label_set_of_its_own_order(index: HybridIndex) -> None:
    labels = LabelSet([Label("knee"), Label("head"), Label("chest"), Label("absent")])
    made = LabelClassifier(labels, index).fit(NOTES, TRUE)
    assert made.classes_.tolist() == ["absent", "chest", "head", "knee"]
    probabilities = made.predict_proba(["meniscus of the knee"])[0]
    assert made.classes_[probabilities.argmax()] == "knee"
    assert probabilities[0] < 0.2
    assert made.pipeline_("meniscus of the knee").citations[0].document_id == "knee"
    with pytest.raises(ValueError, match="not in the label set"):
        LabelClassifier(labels, index).fit([*NOTES, "x"], [*TRUE, "unknown"])


def test_clone_and_search_work(index: HybridIndex, fitted: LabelClassifier) -> None:
    own = LabelClassifier(index=index, coverage=0.8)
    copy = clone(own)
    assert copy.index is index
    assert copy.coverage == 0.8
    assert not hasattr(clone(fitted), "pipeline_")
    lowered = make_pipeline(FunctionTransformer(lambda texts: [text.lower() for text in texts]), own)
    patients = [n // 3 for n in range(len(NOTES))]
    scores = cross_val_score(lowered, NOTES, TRUE, cv=GroupKFold(2), groups=patients)
    assert scores.tolist() == [1, 1]
    assert not hasattr(own, "pipeline_")


def test_a_folder_serves_as_index(index: HybridIndex, tmp_path: Path) -> None:
    with HybridIndex.create(tmp_path / "index") as made:
        made.add([Document(id="knee", text="Knee pain.", title="Knee", kind="guideline")])
    classifier = LabelClassifier(index=tmp_path / "index").fit(NOTES, TRUE)
    assert classifier.pipeline_("knee pain").citations


def test_groups_reach_the_folds() -> None:
    with pytest.raises(ValueError, match="1 groups"):
        LabelClassifier().fit(NOTES, TRUE, groups=["one patient"] * len(NOTES))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("one text", ["a"]), "got one text"),
        ((NOTES, TRUE[:-1]), "one length"),
        (([["a", "b"]], ["a"]), "one text a note"),
        (([*NOTES, " "], [*TRUE, "knee"]), "no text"),
    ],
)
def test_wrong_arguments(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LabelClassifier().fit(*arguments)


def test_not_fitted() -> None:
    with pytest.raises(NotFittedError, match="call fit"):
        LabelClassifier().predict(["x"])


# scikit-learn's own checks that do not feed numbers; the others have no meaning for texts.
CHECKS = [
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_valid_tag_types",
    "check_mixin_order",
    "check_estimator_tags_renamed",
]


@pytest.mark.parametrize("name", CHECKS)
def test_checks_of_scikit_learn(name: str) -> None:
    check = getattr(estimator_checks, name)
    assert "name" in inspect.signature(check).parameters
    check("LabelClassifier", LabelClassifier())
