"""The labelling pipeline as a scikit-learn classifier, for people who live there."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError

from radrag.indexes.hybrid import HybridIndex
from radrag.labelling.label_set import LabelSet
from radrag.pipelines.label import LabelPipeline
from radrag.types import Label, LabelledNote


class LabelClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Labels notes: ``fit(notes, labels)``, ``predict``, ``predict_proba``, in pipelines and ``cross_val_score``.

    Notes of a patient must not be on both sides of a split: give ``groups`` to scikit-learn's splitter
    (``cross_val_score(..., cv=GroupKFold(), groups=patients)``), and to ``fit`` for the folds it calibrates on.

    Args:
        labels: The labels to choose from; None takes those that ``fit`` gets.
        index: Guidelines, or the folder of an index (which worker processes can open too); None for none, then nothing
            is cited.
        generator: As for ``LabelPipeline``; None for none.
        encoder: As for ``LabelPipeline``; None takes the index's, or the one that ships.
        coverage: Share of notes whose set holds the right label.
        seed: Seed of folds, samples and solver.

    Attributes:
        classes_: Ids of the labels, sorted; the columns of ``predict_proba``.
        pipeline_: The fitted ``LabelPipeline``, for evidence, sets and citations.
    """

    def __init__(
        self,
        labels: LabelSet | None = None,
        index: HybridIndex | str | Path | None = None,
        *,
        generator: Any = None,
        encoder: Any = None,
        coverage: float = 0.9,
        seed: int = 0,
    ) -> None:
        self.labels = labels
        self.index = index
        self.generator = generator
        self.encoder = encoder
        self.coverage = coverage
        self.seed = seed

    def fit(self, X: Iterable[str], y: Iterable[Any], groups: Iterable[Any] | None = None) -> Self:
        """Learn from notes and their labels.

        Args:
            X: Texts [n], such as a list or a pandas column.
            y: Their labels [n].
            groups: Patient of each note [n].

        Returns:
            The classifier itself.

        Raises:
            ValueError: If lengths differ, a note is blank, or a label is not among ``labels``.
        """
        notes, true = _texts(X), _column("y", y)
        patients = [""] * len(notes) if groups is None else [str(group) for group in groups]
        if not len(notes) == len(true) == len(patients):
            raise ValueError(
                f"X, y and groups must be of one length, got {len(notes)}, {len(true)} and {len(patients)}"
            )
        known = _ids(self.labels, true)
        labels = self.labels if self.labels is not None else LabelSet([Label(id) for id in sorted(known)])
        examples = [
            LabelledNote(note, str(label), group=patient)
            for note, label, patient in zip(notes, true, patients, strict=True)
        ]
        self.pipeline_ = _pipeline(self, labels).fit(examples)
        names = {str(label): label for label in true} if self.labels is None else {}
        self.classes_ = np.asarray(sorted(names.get(id, id) for id in labels.ids))
        position = {id: place for place, id in enumerate(labels.ids)}
        self._order = [position[str(name)] for name in self.classes_.tolist()]
        return self

    def predict(self, X: Iterable[str]) -> NDArray[Any]:
        """Return the most probable label of each note [n]."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def predict_proba(self, X: Iterable[str]) -> NDArray[np.float64]:
        """Return calibrated probabilities ``[n, labels]``, columns as ``classes_``."""
        if not hasattr(self, "pipeline_"):
            raise NotFittedError("this LabelClassifier is not fitted; call fit(notes, labels) first")
        return np.asarray(self.pipeline_.probabilities(_texts(X))[:, self._order])

    def __sklearn_clone__(self) -> Self:
        """Return an unfitted copy that shares index, generator and encoder, which cannot be copied."""
        return type(self)(**self.get_params(deep=False))

    def __sklearn_is_fitted__(self) -> bool:
        """Whether ``fit`` was called."""
        return hasattr(self, "pipeline_")

    def __sklearn_tags__(self) -> Any:
        """Say that it takes texts rather than numbers."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        return tags


def _column(name: str, values: Iterable[Any]) -> list[Any]:
    found = values.tolist() if hasattr(values, "tolist") else list(values)
    if any(isinstance(one, list | tuple) for one in found):
        raise ValueError(f"{name} must hold one value an item, got lists; give one column")
    return list(found)


def _texts(values: Any) -> list[str]:
    """Return texts from a list, an array ``[n]`` or ``[n, 1]``, or a table of one column, which scikit-learn makes."""
    if isinstance(values, str):
        raise ValueError("X must be a list of texts, got one text; put it in a list")
    array = np.asarray(values, dtype=object)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"X must hold one text a note, got shape {array.shape}; give one column")
    return list(array)


def _ids(labels: LabelSet | None, true: Sequence[Any]) -> set[str]:
    named = {str(label) for label in true}
    if labels is None and len(named) != len(set(true)):
        raise ValueError("y holds labels that differ but are written alike, such as 1 and '1'; make them all texts")
    return named


def _pipeline(own: LabelClassifier, labels: LabelSet) -> LabelPipeline:
    """Return an unfitted pipeline; without an index on an empty one, which goes when the classifier does."""
    index = own.index
    if index is None:
        folder = Path(tempfile.mkdtemp(prefix="radrag-"))
        index = HybridIndex.create(folder / "index", **({} if own.encoder is None else {"encoder": own.encoder}))
        weakref.finalize(own, _discard, index, folder)
    elif not isinstance(index, HybridIndex):
        index = HybridIndex.open(index)
        weakref.finalize(own, index.close)
    return LabelPipeline(index, own.generator, labels=labels, encoder=own.encoder, coverage=own.coverage, seed=own.seed)


def _discard(index: HybridIndex, folder: Path) -> None:
    index.close()
    shutil.rmtree(folder, ignore_errors=True)
