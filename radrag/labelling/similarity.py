"""Semantic similarity of predicted and true labels, beside what it cannot stand for: exact match and macro-F1.

The mean cosine of the embeddings of the predicted and the true label's text is what earlier work on protocol labels
reported. It is high for related names even where the label is wrong, and above 0 for labels paired at random; so the
figure for random pairs stands beside it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radrag.indexes.encoders import load_encoder
from radrag.labelling.label_set import LabelSet
from radrag.metrics import Estimate, bootstrap, bootstrap_statistic
from radrag.protocols import Encoder


@dataclass(frozen=True, slots=True)
class LabelAgreement:
    """How well predicted labels agree with true ones; similarity never stands alone.

    Attributes:
        similarity: Mean cosine of the embeddings of predicted and true label text; 0 for a note without a label.
        chance: The same if the predicted labels were dealt to the notes at random: its expected value.
        exact: Share of notes whose predicted label is the true one.
        macro_f1: Mean F1 of the labels that are true for some note.
        wrong: Notes with a wrong label or none.
        similarity_of_wrong: Mean cosine of these; None if there are none.
        unlabelled: Notes that were given no label; they count as wrong.
        outside: Predicted texts that are no member of the label set; they count as wrong.
        encoder: Fingerprint of the encoder: cosines of two encoders cannot be compared.
    """

    similarity: Estimate
    chance: Estimate
    exact: Estimate
    macro_f1: Estimate
    wrong: int
    similarity_of_wrong: float | None
    unlabelled: int
    outside: int
    encoder: str

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        wrong = "" if self.similarity_of_wrong is None else f", {self.similarity_of_wrong:.3f} where wrong"
        return "\n".join(
            [
                f"exact match          {self.exact}",
                f"macro-F1             {self.macro_f1}",
                f"semantic similarity  {self.similarity}{wrong}",
                f"  of random pairs    {self.chance}",
                f"{self.wrong} wrong, of which {self.unlabelled} without a label and {self.outside} outside the set; "
                f"encoder {self.encoder[:40]}",
            ]
        )


def label_agreement(
    true: Sequence[str],
    predicted: Sequence[str | None],
    labels: LabelSet | None = None,
    encoder: str | Path | Encoder = "static",
    *,
    groups: Iterable[Hashable] | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> LabelAgreement:
    """Compare predicted labels with true ones by text, by identity and by class.

    Args:
        true: True labels ``[n]``: ids, or texts without a label set.
        predicted: Predicted labels ``[n]`` likewise; None where none was given. One that is no id of the set is taken
            as the text that it is, and is wrong.
        labels: Gives each id its name, which is what is embedded; the id where it has no name.
        encoder: What ``load_encoder`` takes, such as the name of a sentence-transformers model; the shipped one if left
            out.
        groups: Group of each note, such as a patient; whole groups are then drawn for the intervals.
        n_resamples: Number of resamples.
        seed: Seed of the draws.

    Returns:
        Similarity, its chance level, exact match and macro-F1, each with n and a bootstrap interval.

    Raises:
        ValueError: If the lengths differ, there are fewer than 2 notes, or a true label is not in the set or blank.
    """
    _check(true, predicted, labels)
    loaded = load_encoder(encoder)
    kinds = list(dict.fromkeys([*true, *(one for one in predicted if one is not None)]))
    place = {kind: number for number, kind in enumerate(kinds)}
    # One row more, of zeros, is what a note without a label has.
    table = np.zeros((len(kinds) + 1, loaded.dim))
    table[:-1] = loaded.encode([_text(kind, labels) for kind in kinds], "passage")
    right = np.asarray([place[one] for one in true], dtype=np.int64)
    given = np.asarray([len(kinds) if one is None else place[one] for one in predicted], dtype=np.int64)
    cosines, hits = (table[right] * table[given]).sum(axis=1), right == given
    listed = None if groups is None else list(groups)
    settings: dict[str, Any] = {"n_resamples": n_resamples, "seed": seed, "groups": listed}

    def chance(left: NDArray[np.int64], other: NDArray[np.int64]) -> float:
        means = [np.bincount(codes, minlength=len(table)) @ table / len(codes) for codes in (left, other)]
        return float(means[0] @ means[1])

    def macro(left: NDArray[np.int64], other: NDArray[np.int64]) -> float:
        both, one, two = (np.bincount(codes, minlength=len(table)) for codes in (left[left == other], left, other))
        return float((2 * both[one > 0] / (one + two)[one > 0]).mean())

    return LabelAgreement(
        similarity=bootstrap(cosines, **settings),
        chance=bootstrap_statistic((right, given), chance, **settings),
        exact=bootstrap(hits.astype(np.float64), **settings),
        macro_f1=bootstrap_statistic((right, given), macro, **settings),
        wrong=int((~hits).sum()),
        similarity_of_wrong=None if hits.all() else float(cosines[~hits].mean()),
        unlabelled=sum(one is None for one in predicted),
        outside=0 if labels is None else sum(one is not None and one not in labels for one in predicted),
        encoder=loaded.fingerprint,
    )


def _check(true: Sequence[str], predicted: Sequence[str | None], labels: LabelSet | None) -> None:
    if len(true) != len(predicted) or len(true) < 2:
        raise ValueError(f"true and predicted must be of one length, 2 or more, got {len(true)} and {len(predicted)}")
    for number, one in enumerate(true):
        if not isinstance(one, str) or not one.strip() or (labels is not None and one not in labels):
            expected = "text that is not blank" if labels is None else "an id of the label set"
            raise ValueError(f"true label {number} must be {expected}, got {one!r:.60}; leave the note out")
    for number, given in enumerate(predicted):
        if given is not None and (not isinstance(given, str) or not given.strip()):
            raise ValueError(f"predicted label {number} must be text or None for no label, got {given!r:.60}")


def _text(kind: str, labels: LabelSet | None) -> str:
    return kind if labels is None or kind not in labels else labels[kind].name or kind
