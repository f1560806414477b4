"""First labels of raw notes, by a labeller that has seen no labels of theirs: guesses, and kept apart as such."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from radrag.labelling.notes import checked_notes
from radrag.types import LabelledNote, LabelResult, Span


class Labeller(Protocol):
    """What labels notes, such as ``LabelPipeline``."""

    @property
    def manifest(self) -> dict[str, Any]:
        """What produces its results."""

    def batch(self, notes: Iterable[str]) -> list[LabelResult]:
        """Return a result for each note, in order."""


@dataclass(frozen=True, slots=True)
class PseudoLabel:
    """A note with a label that no person gave.

    Attributes:
        text: The note.
        label: Id of its most probable label.
        probability: Its probability.
        set: Ids that hold the right one with the fitted coverage; empty if the labeller is not fitted.
        evidence: What in the note spoke for the label.
        calibrated: Whether the probability was calibrated on labelled notes.
        labelled_by: SHA-256 of the labeller's manifest.
        id: Name of the note, "" if it has none.
        group: Group of the note, such as the patient, "" if it has none.
    """

    text: str
    label: str
    probability: float
    set: tuple[str, ...]
    evidence: tuple[Span, ...]
    calibrated: bool
    labelled_by: str
    id: str = ""
    group: str = ""

    def labelled_note(self) -> LabelledNote:
        """Return it as an example to learn from or to review."""
        return LabelledNote(self.text, self.label, self.id, self.group)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class PseudoLabels:
    """Labels of raw notes.

    Attributes:
        rows: Notes with a label probable enough, in order.
        unsure: The others, in order.
        results: What the labeller said of every note, in the order of the notes.
        least: What a label's probability had to reach.
        manifest: The labeller's manifest.
    """

    rows: tuple[PseudoLabel, ...]
    unsure: tuple[PseudoLabel, ...]
    results: tuple[LabelResult, ...]
    least: float
    manifest: Mapping[str, Any]

    def __str__(self) -> str:
        total = len(self.rows) + len(self.unsure)
        return f"{len(self.rows)} of {total} notes got a label of probability {self.least:g} or more"


def manifest_hash(manifest: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest, whatever the order of its keys."""
    text = json.dumps(manifest, ensure_ascii=False, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def pseudo_label(
    labeller: Labeller,
    notes: Iterable[str],
    *,
    ids: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    least: float = 0.0,
) -> PseudoLabels:
    """Label raw notes, to be reviewed or learnt from.

    Args:
        labeller: A pipeline, fitted or not, with or without a generator. A probability that is not calibrated only
            ranks, so ``least`` then means little.
        notes: The notes.
        ids: Name of each note [n].
        groups: Group of each note [n], such as the patient.
        least: Probability that a label must reach to be among ``rows``; the rest is in ``unsure``, not dropped.

    Raises:
        ValueError: If a note is blank, ``least`` is no probability, or the lengths differ.
    """
    if not 0 <= least <= 1:
        raise ValueError(f"least must lie between 0 and 1, got {least}")
    texts = checked_notes(notes)
    for what, given in (("ids", ids), ("groups", groups)):
        if given is not None and len(given) != len(texts):
            raise ValueError(f"there are {len(texts)} notes and {len(given)} {what}; give one for each note, or none")
    results = tuple(labeller.batch(texts))
    manifest = labeller.manifest
    made_by = manifest_hash(manifest)
    rows = [
        PseudoLabel(
            text=text,
            label=result.label,
            probability=result.probability,
            set=result.set,
            evidence=result.evidence,
            calibrated=result.calibrated,
            labelled_by=made_by,
            id="" if ids is None else ids[place],
            group="" if groups is None else groups[place],
        )
        for place, (text, result) in enumerate(zip(texts, results, strict=True))
    ]
    sure = tuple(row for row in rows if row.probability >= least)
    return PseudoLabels(sure, tuple(row for row in rows if row.probability < least), results, least, manifest)
