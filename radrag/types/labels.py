"""Labels, labelled notes and what a labeller says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from radrag.types.documents import Citation
from radrag.types.printing import label_lines


@dataclass(frozen=True, slots=True)
class Label:
    """One member of a label set.

    Attributes:
        id: Short name, such as ``"ct-urography"``.
        name: Name as people write it.
        definition: One sentence that says what it is.
        synonyms: Other names and abbreviations.
        parent: Id of the label that this one is a kind of, "" for none.
        examples: Texts that the label is right for.
    """

    id: str
    name: str = ""
    definition: str = ""
    synonyms: tuple[str, ...] = ()
    parent: str = ""
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """Characters of a note: ``note[start:end] == text``."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class LabelResult:
    """A label with its probability, what in the note caused it, and the guideline that backs it.

    Attributes:
        note: The note as given.
        label: Id of the most probable label.
        probability: Its probability; calibrated if ``calibrated``.
        ranking: Every label's id with its probability, most probable first; of large label sets only the candidates.
        set: Ids that hold the right one with the fitted coverage, most probable first; empty if not fitted.
        evidence: The spans of the note that spoke most for the label, strongest first.
        citations: Guideline passages that back the label.
        calibrated: Whether the probabilities were calibrated on labelled notes.
        abstained: Whether the label is less sure than the risk that was asked for allows; it is then a guess.
        warnings: What a reader should know.
        manifest: What produced this.
    """

    note: str
    label: str
    probability: float
    ranking: tuple[tuple[str, float], ...]
    set: tuple[str, ...] = ()
    evidence: tuple[Span, ...] = ()
    citations: tuple[Citation, ...] = ()
    calibrated: bool = False
    warnings: tuple[str, ...] = ()
    manifest: Mapping[str, Any] = field(default_factory=dict)
    abstained: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        return "\n".join(label_lines(self))


@dataclass(frozen=True, slots=True)
class LabelledNote:
    """A note with its true label.

    Attributes:
        text: The note.
        label: Id of its label.
        id: Name of the note, "" if it has none.
        group: Notes of one group (a patient, a template) never sit on both sides of a split; "" groups by text.
        also: Other labels that would be right too.
        metadata: JSON values that slice results or trace the note, such as ``site``, ``sex``, ``age``, ``modality``.
    """

    text: str
    label: str
    id: str = ""
    group: str = ""
    also: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
