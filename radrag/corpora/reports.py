"""Readers of labelled radiology reports, of the finding sets they are labelled with, and of studies that disagree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from radrag.corpora.files import whole_text
from radrag.corpora.rows import Row, json_rows
from radrag.errors import CorpusError
from radrag.types import Conflict, FindingLabel, Label, LabelledReport, Section, Span, Status

KINDS = ("conflict", "superseded")
_LABEL = ("id", "name", "definition", "synonyms")


def _yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(whole_text(path))
    except yaml.YAMLError as error:
        raise CorpusError(f"not YAML: {' '.join(str(error).split())}", file=path) from error


def read_finding_sets(path: str | Path) -> dict[str, tuple[Label, ...]]:
    """Read finding sets from a YAML file: the name of each set, and under it a list of findings.

    Args:
        path: Each finding has ``id``, ``name``, ``definition`` and ``synonyms`` (a list).

    Returns:
        The findings of each set in the order of the file.

    Raises:
        CorpusError: If the file is not of that form or an id occurs twice in a set.
    """
    path = Path(path)
    sets = _yaml(path)
    if not isinstance(sets, dict) or not all(isinstance(found, list) for found in sets.values()):
        raise CorpusError("expected sets by name, each a list of findings", file=path)
    read: dict[str, tuple[Label, ...]] = {}
    for name, findings in sets.items():
        for finding in findings:
            if not isinstance(finding, dict) or set(finding) != set(_LABEL):
                raise CorpusError(f"expected {', '.join(_LABEL)}, got {finding!r:.80}", file=path, record=name)
        ids = [finding["id"] for finding in findings]
        if len(set(ids)) < len(ids):
            raise CorpusError("an id occurs twice; ids must be unique in a set", file=path, record=name, field="id")
        read[name] = tuple(Label(**{**finding, "synonyms": tuple(finding["synonyms"])}) for finding in findings)
    return read


def _offsets(row: Row, value: Mapping[str, Any], text: str, field: str) -> tuple[int, int]:
    start, end = value.get("start"), value.get("end")
    if not isinstance(start, int) or not isinstance(end, int) or not 0 <= start <= end <= len(text):
        row.fail(f"expected offsets within the {len(text)} characters of the text, got {start!r} and {end!r}", field)
    return start, end


def _sections(row: Row, text: str) -> tuple[Section, ...]:
    found: list[Section] = []
    values = row.need("sections")
    if not isinstance(values, list):
        row.fail(f"expected a list, got {values!r:.60}", "sections")
    for value in values:
        start, end = _offsets(row, value, text, "sections")
        if found and start < found[-1].end:
            row.fail(f"{value.get('name')!r} begins before the section before it ends", "sections")
        found.append(Section((str(value.get("name")),), start, end))
    return tuple(found)


def _finding(row: Row, name: str, value: Mapping[str, Any], text: str, sections: Sequence[Section]) -> FindingLabel:
    field = f"findings.{name}"
    try:
        status = Status(value.get("status", ""))
    except ValueError:
        row.fail(f"expected one of {', '.join(Status)}, got {value.get('status')!r}", field)
    spans = []
    for span in value.get("spans") or []:
        start, end = _offsets(row, span, text, field)
        if text[start:end] != span.get("quote"):
            row.fail(f"the quote {span.get('quote')!r:.60} is not what stands at {start} to {end}", field)
        if not any(part.start <= start and end <= part.end for part in sections):
            row.fail(f"the quote {span['quote']!r:.60} lies in no section", field)
        spans.append(Span(start, end, text[start:end]))
    if bool(spans) == (status is Status.NOT_MENTIONED):
        row.fail(f"{status} needs {'no spans' if spans else 'the words that say so'}", field)
    return FindingLabel(name, status, tuple(spans))


def read_reports(path: str | Path, sets: Mapping[str, Sequence[Label]]) -> Iterator[LabelledReport]:
    """Read labelled reports from a JSON Lines file.

    Args:
        path: Objects with ``id``, ``modality``, ``region``, ``set``, ``text``, ``sections`` (a list of ``name``,
            ``start``, ``end``) and ``findings``: for every finding of the set its ``status`` and ``spans`` (a list of
            ``start``, ``end``, ``quote``).
        sets: The finding sets by name.

    Yields:
        Reports in the order of the file.

    Raises:
        CorpusError: If a record cannot be read, a finding is missing or unknown, a quote is not in the text, or an id
            occurs twice.
    """
    seen: set[str] = set()
    for row in json_rows(Path(path)):
        name, text, finding_set = row.name("id"), row.filled("text"), row.filled("set")
        if name in seen:
            row.fail(f"the id {name!r} was used already; ids must be unique", "id")
        if finding_set not in sets:
            row.fail(f"expected one of {', '.join(sets)}, got {finding_set!r}", "set")
        findings = row.need("findings")
        ids = [label.id for label in sets[finding_set]]
        if not isinstance(findings, dict) or set(findings) != set(ids):
            row.fail(f"expected the findings of the set {finding_set!r}: {', '.join(ids)}", "findings")
        seen.add(name)
        sections = _sections(row, text)
        yield LabelledReport(
            id=name,
            text=text,
            sections=sections,
            finding_set=finding_set,
            findings=tuple(_finding(row, one, findings[one], text, sections) for one in ids),
            modality=row.string("modality"),
            region=row.string("region"),
        )


def read_conflicts(path: str | Path) -> list[Conflict]:
    """Read the sets of studies that disagree from a YAML list.

    Args:
        path: Each has ``id``, ``question``, ``kind``, ``documents`` (two ids or more) and ``summary``.

    Raises:
        CorpusError: If the file is not of that form.
    """
    path = Path(path)
    found = []
    for value in _yaml(path) or []:
        if not isinstance(value, dict) or set(value) != {"id", "question", "kind", "documents", "summary"}:
            raise CorpusError(f"expected id, question, kind, documents and summary, got {value!r:.80}", file=path)
        if value["kind"] not in KINDS or len(value["documents"]) < 2:
            raise CorpusError(f"expected a kind of {KINDS} and two documents or more", file=path, record=value["id"])
        found.append(Conflict(**{**value, "documents": tuple(value["documents"])}))
    return found
