"""Radiology reports with what they say about each finding of a set, and studies that disagree."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from radrag.types.documents import Section
from radrag.types.labels import Span


class Status(StrEnum):
    """What a report says about a finding."""

    PRESENT = "present"
    ABSENT = "absent"
    UNCERTAIN = "uncertain"
    HISTORICAL = "historical"
    NOT_MENTIONED = "not mentioned"


@dataclass(frozen=True, slots=True)
class FindingLabel:
    """What a report says about one finding.

    Attributes:
        finding: Id of the finding within its set, such as ``"effusion"``.
        status: What is said of it.
        spans: The words of the report that say so, with their cue (``"no pleural effusion"``); empty if not mentioned.
    """

    finding: str
    status: Status
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelledReport:
    """A report with its true findings.

    Attributes:
        id: Its name.
        text: The whole report.
        sections: Headed stretches in order, each with its name in lower case as path, such as ``("impression",)``.
        finding_set: Name of the set its findings are from.
        findings: One label for each finding of the set, in the set's order.
        modality: Such as ``"CT"``.
        region: Such as ``"chest"``.
    """

    id: str
    text: str
    sections: tuple[Section, ...]
    finding_set: str
    findings: tuple[FindingLabel, ...]
    modality: str = ""
    region: str = ""

    def section(self, name: str) -> str:
        """Return the text of a section, such as ``"findings"`` or ``"impression"``; "" where the report lacks it."""
        return "\n".join(self.text[part.start : part.end] for part in self.sections if part.path == (name,))


@dataclass(frozen=True, slots=True)
class Conflict:
    """Studies that disagree on one question, or of which a later one supersedes an earlier one.

    Attributes:
        id: Its name.
        question: What they disagree on.
        kind: ``"conflict"`` or ``"superseded"``.
        documents: Ids of the digests, the oldest first.
        summary: Who says what, and why they may differ.
    """

    id: str
    question: str
    kind: str
    documents: tuple[str, ...]
    summary: str
