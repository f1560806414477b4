"""Radiology reports with what they say about each finding of a set, and studies that disagree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from radrag.types.documents import Citation, Section
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
        cues: The words that negated, hedged or dated it (``"no"``), each within one of the spans.
        section: Heading of the section that decided, such as ``"impression"``; "" where there is none.
        probability: How probable it is that the finding is present; None where nothing was learnt or given.
        leaning: It is uncertain, but the report leans to it: probable, borderline, or one of the alternatives named,
            and not merely possible.
        related: Words for something that the finding set subsumes but that was not counted, such as a granuloma for a
            nodule; see ``FindingReader``.
    """

    finding: str
    status: Status
    spans: tuple[Span, ...] = ()
    cues: tuple[Span, ...] = ()
    section: str = ""
    probability: float | None = None
    leaning: bool = False
    related: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class FindingsResult:
    """What a report says about every finding of a set.

    Attributes:
        report: The whole report; offsets refer to it.
        findings: One label for each finding of the set, in the set's order.
        citations: Passages that define or explain findings that are present or uncertain, by finding id.
        calibrated: Whether the probabilities were calibrated on labelled reports.
        warnings: What a reader should know.
        manifest: What produced this, with the hashes of finding set and lexicon.
    """

    report: str
    findings: tuple[FindingLabel, ...]
    citations: Mapping[str, Citation] = field(default_factory=dict)
    calibrated: bool = False
    warnings: tuple[str, ...] = ()
    manifest: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, finding: str) -> FindingLabel:
        for label in self.findings:
            if label.finding == finding:
                return label
        raise KeyError(f"no finding {finding!r} among {', '.join(label.finding for label in self.findings)}")

    @property
    def present(self) -> tuple[str, ...]:
        """Ids of the findings that are stated to be there."""
        return tuple(label.finding for label in self.findings if label.status is Status.PRESENT)

    @property
    def positive(self) -> tuple[str, ...]:
        """Ids of the findings that are present, or uncertain and leaning: what one who indexes reports would code."""
        return tuple(label.finding for label in self.findings if label.status is Status.PRESENT or label.leaning)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        return "\n".join(findings_lines(self))


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


def findings_lines(result: FindingsResult) -> Iterator[str]:
    """Yield the lines of ``print(result)``: what is not mentioned is counted only."""
    silent = 0
    for label in result.findings:
        if label.status is Status.NOT_MENTIONED:
            silent += 1
            continue
        sure = "" if label.probability is None else f" ({label.probability:.2f})"
        quotes = " · ".join(f"\u201c{' '.join(span.text.split())}\u201d" for span in label.spans)
        where = f" ({label.section})" if label.section else ""
        yield f"{label.finding}: {label.status}{sure} {quotes}{where}"
    yield f"not mentioned: {silent} of {len(result.findings)}"
    for warning in result.warnings:
        yield f"Note: {warning}"
