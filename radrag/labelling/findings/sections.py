"""The parts of a report and what each of them is for, from headings in all their usual forms."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a part of a report is for."""

    FINDINGS = "findings"
    IMPRESSION = "impression"
    COMPARISON = "comparison"
    ASIDE = "aside"  # indication, technique, exam: what was asked and done, not what was seen


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a report: ``text[start:end]``, its heading left out.

    Attributes:
        name: The usual name of its heading, such as ``"impression"``; "" for what stands under none.
        role: What it is for.
        start: Offset of its first character.
        end: Offset after its last character.
    """

    name: str
    role: Role
    start: int
    end: int


_NAMES: dict[str, tuple[Role, str]] = {
    "impression": (Role.IMPRESSION, r"(?:final |radiologi\w+ )?(?:impressions?|conclusions?|opinion|summary|assessment)"
                   r"|(?:final )?diagnosis|interpretation|comment(?:s|ary)? and impression"),
    "findings": (Role.FINDINGS, r"findings?(?: and impressions?)?|report(?: body)?|description|observations?|result"
                 r"|(?:radiographic|imaging|ct|mri?|chest) findings?|body"),
    "comparison": (Role.COMPARISON, r"comparisons?(?: (?:studies|study|exams?|films?|made))?|compared (?:to|with)"
                   r"|priors?(?: (?:studies|study|exams?|imaging|films?))?|previous (?:studies|study|exams?|films?)"),
    "indication": (Role.ASIDE, r"(?:clinical )?(?:indications?|history|information|details|question|data|statement)"
                   r"|(?:reason|indications?) for (?:the )?(?:exam\w*|study|examination|test|request)|clinical|hx"
                   r"|history of present illness|request|referral|(?:chief |presenting )?complaint"
                   r"|(?:clinical )?context"),
    "exam": (Role.ASIDE, r"exam(?:ination)?s?(?: (?:type|title|date|performed))?|stud(?:y|ies)|procedures?|views?"
             r"|modality|(?:type of )?(?:exam|study)|title|date|accession(?: number)?|patient|radiologist|dictated by"),
    "technique": (Role.ASIDE, r"techniques?|protocol|contrast(?: agent)?|method|dose|radiation dose"),
    "recommendation": (Role.ASIDE, r"recommendations?|plan|follow[- ]?up|notification|communication|addressed to"),
}  # fmt: skip
_ALL = "|".join(f"(?P<{name}>{pattern})" for name, (_, pattern) in _NAMES.items())
# At the start of a line: any case before a colon, a Markdown heading, or alone in its line.
_LINE = rf"^[ \t]*(?:[#*_>]+[ \t]*)*(?:\d+[.)][ \t]*)?(?:{_ALL})[*_ \t]*(?:[:：][*_]*|-(?=\s)|–(?=\s)|(?=\r?$))"
_AT_LINE = re.compile(_LINE, re.IGNORECASE | re.MULTILINE)
# Within a line: after the end of a sentence, before a colon, the first letter upper case.
_RUN_IN = re.compile(rf"(?:(?<=[.;:!?\])])|(?<=[.;:!?\])][ \t])|(?<=[.;:!?\])] {{2}}))(?=[A-Z])(?i:{_ALL})[ \t]*[:：]")
# Upper case and a colon are enough anywhere: "Chest pain FINDINGS: ...".
_UPPER = re.compile(r"(?<![\w-])(?P<heading>[A-Z][A-Z &/]{3,40}?)[ \t]*[:：]")
_WHOLE = re.compile(rf"(?:{_ALL})", re.IGNORECASE)


def split_report(text: str) -> tuple[Part, ...]:
    """Cut a report into its parts.

    Subheadings such as ``LUNGS:`` stay in the part they stand in. What stands before the first heading, and a report
    without any, is read as findings.

    Returns:
        The parts in order, those without text left out.
    """
    headings: dict[int, tuple[int, str]] = {}
    for pattern in (_AT_LINE, _RUN_IN):
        for match in pattern.finditer(text):
            headings.setdefault(match.start(), (match.end(), match.lastgroup or ""))
    for match in _UPPER.finditer(text):
        whole = _WHOLE.fullmatch(match["heading"].strip())
        if whole is not None:
            headings.setdefault(match.start(), (match.end(), whole.lastgroup or ""))
    places = _apart(sorted((start, end, name) for start, (end, name) in headings.items()))
    stops = [*(start for start, _, _ in places), len(text)]
    parts = [Part("", Role.FINDINGS, 0, stops[0])]
    for (_, end, name), stop in zip(places, stops[1:], strict=True):
        parts.append(Part(name, _NAMES[name][0], end, stop))
    return tuple(part for part in parts if text[part.start : part.end].strip())


def join_sections(sections: Mapping[str, str]) -> tuple[str, tuple[Part, ...]]:
    """Make one text of a report that comes in parts.

    Args:
        sections: Text by heading, such as ``{"findings": ..., "impression": ...}``; blank ones are left out. A heading
            that is not known is read as findings.

    Returns:
        The text, ``FINDINGS: ...`` and so on in the order given, and its parts.

    Raises:
        ValueError: If no section holds text.
    """
    text, parts = "", []
    for heading, body in sections.items():
        if not isinstance(body, str):
            raise TypeError(f"section {heading!r} must be text, got {body!r:.60}; leave out what is missing")
        if not body.strip():
            continue
        whole = _WHOLE.fullmatch(" ".join(heading.replace("_", " ").split()))
        name = (whole.lastgroup or "") if whole else heading.casefold()
        text += f"{heading.upper()}: "
        parts.append(Part(name, _NAMES[name][0] if whole else Role.FINDINGS, len(text), len(text) + len(body)))
        text += body + "\n"
    if not parts:
        raise ValueError("no section holds text; give at least findings or impression")
    return text, tuple(parts)


def _apart(places: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    kept: list[tuple[int, int, str]] = []
    for place in places:
        if not kept or place[0] >= kept[-1][1]:
            kept.append(place)
    return kept
