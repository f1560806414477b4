"""Reads what a report says about each finding of a set, by words and rules; nothing is learnt."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from radrag.corpora import load_finding_sets, split_sentences
from radrag.labelling.findings.context import Context, Cue
from radrag.labelling.findings.lexicon import Entry, Lexicon, compiled, context_cues, name_patterns, shipped_lexicon
from radrag.labelling.findings.sections import Part, Role, join_sections, split_report
from radrag.labelling.findings.words import Reading, Spelling
from radrag.labelling.label_set import LabelSet
from radrag.types import FindingLabel, Label, Span, Status
from radrag.types.reports import FindingsResult

_PLAIN = re.compile(r"(?<![\\\w])[a-z]{8,}(?![\w\\(\[?*+|{])")
_LOWER = re.compile(r"(?<=[a-z]{4})[.?!]\s+(?=[a-z])|(?<=XXXX)\.\s+(?=[A-Z][a-z])")
# Within a section what is there now goes before what may be, is not, and was.
_STRONGEST = (Status.PRESENT, Status.UNCERTAIN, Status.ABSENT, Status.HISTORICAL)


@dataclass(frozen=True, slots=True)
class Mention:
    """A place where a report speaks of a finding.

    Attributes:
        finding: Id of the finding.
        status: What is said there.
        start: Offset of the words in the report, those of the cue included.
        end: Offset after them.
        cue: Offsets of the cue; None if there is none.
        part: The part of the report it stands in.
        named: Whether the finding is named; a global statement such as "heart size normal" does not.
        leaning: Whether what is uncertain is probable, borderline, or one of the alternatives named.
        wide: Whether it is spoken of by a wide term, which the reader was not asked to count.
    """

    finding: str
    status: Status
    start: int
    end: int
    cue: tuple[int, int] | None
    part: Part
    named: bool = True
    leaning: bool = False
    wide: bool = False


@dataclass(frozen=True, slots=True)
class _Patterns:
    finding: str
    terms: re.Pattern[str]
    wide: re.Pattern[str] | None
    normal: re.Pattern[str] | None
    unless: re.Pattern[str]


class FindingReader:
    """Reads reports for the findings of a set.

    Args:
        findings: Name of a shipped set (``"chest"``, ``"head"``, ``"abdomen"``, ``"spine"``), or findings of your own,
            whose names and synonyms are what is looked for.
        lexicon: More patterns; None takes those that ship for a shipped set, and none otherwise.
        wide: Count wide terms too, which the set subsumes but which have a name of their own: a granuloma as nodule, a
            scar as fibrosis, an opacity as infiltration, a blunted costophrenic angle as effusion. Otherwise a finding
            is read where the report names it, and wide terms are only shown as ``related``.

    Raises:
        ValueError: If there is no such set, or the lexicon has a finding that the set lacks.
    """

    def __init__(
        self, findings: str | Iterable[Label] = "chest", lexicon: Lexicon | None = None, *, wide: bool = False
    ) -> None:
        if lexicon is None:
            lexicon = shipped_lexicon(findings) if isinstance(findings, str) else Lexicon()
        self.labels = LabelSet(_shipped_set(findings) if isinstance(findings, str) else findings)
        self.lexicon, self.wide = lexicon, wide
        unknown = set(lexicon.findings) - set(self.labels.ids)
        if unknown:
            raise ValueError(f"the lexicon has {sorted(unknown)!r}, which the set lacks; it has {self.labels.ids!r}")
        self._spelling = Spelling(self._words())
        self._patterns = [self._compiled(label) for label in self.labels]

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Hashes of the finding set, of the lexicon and of the cues, and whether wide terms count."""
        cues = json.dumps(context_cues(), sort_keys=True)
        return {
            "labels": self.labels.fingerprint,
            "lexicon": self.lexicon.fingerprint,
            "cues": hashlib.sha256(cues.encode("utf-8")).hexdigest(),
            "wide": self.wide,
        }

    def read(self, report: str | Mapping[str, str]) -> FindingsResult:
        """Read one report.

        Args:
            report: The whole text, or its sections by heading, such as ``{"findings": ..., "impression": ...}``.

        Raises:
            ValueError: If it is blank.
        """
        text, parts = parted(report)
        return self.result(text, self.mentions(text, parts))

    def result(self, text: str, mentions: Sequence[Mention]) -> FindingsResult:
        """Return what mentions of a report come to."""
        findings = tuple(
            _label(text, id, [mention for mention in mentions if mention.finding == id]) for id in self.labels.ids
        )
        return FindingsResult(text, findings, manifest=dict(self.manifest))

    def mentions(self, text: str, parts: Sequence[Part]) -> list[Mention]:
        """Return every mention that says something of a finding, in the order of the report."""
        found: list[Mention] = []
        for part in parts:
            if part.role is Role.ASIDE:
                continue
            body = text[part.start : part.end]
            for start, end in _sentences(body):
                reading = self._spelling.read(body[start:end])
                found += self._sentence(reading, part.start + start, part)
        return sorted(found, key=lambda mention: (mention.start, mention.end, mention.finding))

    def _sentence(self, reading: Reading, offset: int, part: Part) -> list[Mention]:
        named, wide, normal = self._spoken_of(reading.text)
        if not named and not normal and not wide:
            return []
        context = Context(reading.text)
        judged = [(finding, span, *context.status(*span)) for finding, span in named]
        judged = _open(context, judged)
        taken = [(finding, span) for finding, span, status, _ in judged if status is not Status.PRESENT]
        place = _Place(reading, offset, part)
        found: list[Mention] = []
        for finding, span, status, cue in judged:
            if status is not None and not _contradicted(finding, span, status, normal):
                found += place.mention(finding, span, status, cue)
        for finding, span in normal:
            inside = any(one == finding and a < span[1] and span[0] < b for one, (a, b) in taken)
            if not inside and part.role is not Role.COMPARISON:
                found += place.mention(finding, span, Status.ABSENT, None, named=False)
        for finding, span in wide:
            status, cue = context.status(*span)
            if status in (Status.PRESENT, Status.UNCERTAIN):
                found += place.mention(finding, span, status, cue, wide=True)
        return found

    def _spoken_of(self, text: str) -> tuple[list[_Found], list[_Found], list[_Found]]:
        """Return where findings are named, where wide terms stand that do not count, and global statements."""
        named: list[_Found] = []
        wide: list[_Found] = []
        normal: list[_Found] = []
        for one in self._patterns:
            terms = [match.span() for match in one.terms.finditer(text)]
            others = [match.span() for match in one.wide.finditer(text)] if one.wide else []
            global_ = [match.span() for match in one.normal.finditer(text)] if one.normal else []
            if not (terms or others or global_):
                continue
            masks = [match.span() for match in one.unless.finditer(text)]
            named += [(one.finding, span) for span in terms if not _overlaps(span, masks)]
            wide += [(one.finding, span) for span in others if not _overlaps(span, [*masks, *terms])]
            normal += [(one.finding, span) for span in global_ if not _overlaps(span, masks)]
        return sorted(named, key=lambda found: (found[1], found[0])), wide, normal

    def _compiled(self, label: Label) -> _Patterns:
        entry = self.lexicon.findings.get(label.id, Entry())
        name, synonyms = (
            name_patterns(self._spelling.read(name).text for name in names)
            for names in ((label.name or label.id,), label.synonyms)
        )
        terms = [*entry.terms, *name]
        wide = list(entry.wide)
        (terms if self.lexicon.synonyms else wide).extend(synonyms)
        if self.wide:
            terms, wide = [*terms, *wide], []
        return _Patterns(
            label.id,
            compiled(terms),
            compiled(wide) if wide else None,
            compiled(entry.normal) if entry.normal else None,
            compiled([*entry.unless, *self.lexicon.unless]),
        )

    def _words(self) -> set[str]:
        names = " ".join(name for label in self.labels for name in (label.name, *label.synonyms))
        patterns = " ".join(
            pattern for entry in self.lexicon.findings.values() for pattern in (*entry.terms, *entry.wide)
        )
        plain = Spelling(()).read(names).text.lower()
        return {*_PLAIN.findall(plain), *_PLAIN.findall(patterns)}


def parted(report: str | Mapping[str, str]) -> tuple[str, tuple[Part, ...]]:
    """Return the whole text of a report and its parts.

    Raises:
        ValueError: If it is blank.
    """
    if not isinstance(report, str):
        return join_sections(report)
    if not report.strip():
        raise ValueError("a report must hold text, got a blank one; leave it out")
    return report, split_report(report)


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    """Yield sentences, cut also where the next one begins without a capital, as in dictated reports."""
    for start, end in split_sentences(text):
        last = start
        for match in _LOWER.finditer(text, start, end):
            yield last, match.start() + 1
            last = match.end()
        yield last, end


def _shipped_set(name: str) -> tuple[Label, ...]:
    sets = load_finding_sets()
    if name not in sets:
        raise ValueError(f"no finding set {name!r} ships, expected one of {', '.join(sets)}; or give the findings")
    return sets[name]


_Found = tuple[str, tuple[int, int]]
_Judged = tuple[str, tuple[int, int], Status | None, Cue | None]


def _open(context: Context, judged: Sequence[_Judged]) -> list[_Judged]:
    """Make what "or" leaves open uncertain."""
    found = list(judged)
    for left, (_, first, status, _) in enumerate(judged):
        for right in range(left + 1, len(judged)):
            second = judged[right][1]
            if status is Status.PRESENT and judged[right][2] is Status.PRESENT and judged[right][0] != judged[left][0]:
                cue = context.alternatives(first, second)
                if cue is not None:
                    for place in (left, right):
                        found[place] = (*judged[place][:2], Status.UNCERTAIN, cue)
    return found


def _contradicted(finding: str, span: tuple[int, int], status: Status, normal: Sequence[Any]) -> bool:
    """Whether a global statement about the same finding holds these very words: "no cardiac enlargement"."""
    return status is Status.PRESENT and any(one == finding and a <= span[0] and span[1] <= b for one, (a, b) in normal)


def _overlaps(span: tuple[int, int], others: Sequence[tuple[int, int]]) -> bool:
    return any(start < span[1] and span[0] < end for start, end in others)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a sentence stands."""

    reading: Reading
    offset: int
    part: Part

    def mention(
        self,
        finding: str,
        span: tuple[int, int],
        status: Status,
        cue: Cue | None,
        *,
        named: bool = True,
        wide: bool = False,
    ) -> list[Mention]:
        """Return a mention with offsets in the report; none for what a comparison says was not there."""
        leaning = status is Status.UNCERTAIN and cue is not None and cue.kind == "likely"
        if self.part.role is Role.COMPARISON:
            if status is Status.ABSENT:
                return []
            status, leaning = Status.HISTORICAL, False
        start, end = span if cue is None else (min(span[0], cue.start), max(span[1], cue.end))
        around = None if cue is None else (self._original(cue.start), self._original(cue.end))
        place = (self._original(start), self._original(end), around)
        return [Mention(finding, status, *place, self.part, named, leaning, wide)]

    def _original(self, place: int) -> int:
        return self.offset + self.reading.original(place)


def _label(text: str, finding: str, every: Sequence[Mention]) -> FindingLabel:
    """Decide a finding: the impression outranks the rest; within it what is there outranks what is not."""
    mentions = [mention for mention in every if not mention.wide]
    now = (Status.PRESENT, Status.UNCERTAIN, Status.ABSENT)
    last = [m for m in mentions if m.part.role is Role.IMPRESSION and m.status in now and m.named]
    chosen = last or mentions
    status = next((one for one in _STRONGEST if any(mention.status is one for mention in chosen)), Status.NOT_MENTIONED)
    deciding = [mention for mention in mentions if mention.status is status]
    return FindingLabel(
        finding,
        status,
        spans=_spans(text, ((m.start, m.end) for m in deciding)),
        cues=_spans(text, (m.cue for m in deciding if m.cue)),
        section=next((mention.part.name for mention in chosen if mention.status is status), ""),
        leaning=any(mention.leaning for mention in chosen if mention.status is status),
        related=_spans(text, ((m.start, m.end) for m in every if m.wide)),
    )


def _spans(text: str, places: Iterable[tuple[int, int]]) -> tuple[Span, ...]:
    return tuple(dict.fromkeys(Span(start, end, text[start:end]) for start, end in places))
