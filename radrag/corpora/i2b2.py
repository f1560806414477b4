"""Discharge summaries of the 2012 i2b2 challenge with their events, times and the relations between them.

Source: Sun, Rumshisky and Uzuner, "Evaluating temporal relations in clinical text: 2012 i2b2 Challenge", JAMIA 20(5),
2013. The data is not part of this library and needs n2c2's agreement. A file is
``<ClinicalNarrativeTemporalAnnotation><TEXT>...</TEXT><TAGS>...``. Its offsets count characters of TEXT, from 1
in the files as they were distributed; which way a file counts is found from the words of its tags.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from radrag.corpora.files import file_bytes
from radrag.errors import CorpusError
from radrag.types import Document, Span

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_ROOT = "ClinicalNarrativeTemporalAnnotation"


@dataclass(frozen=True, slots=True)
class Event:
    """A clinical event.

    Attributes:
        id: Such as ``"E5"``.
        span: Its words.
        type: ``"PROBLEM"``, ``"TEST"``, ``"TREATMENT"``, ``"CLINICAL_DEPT"``, ``"EVIDENTIAL"`` or ``"OCCURRENCE"``.
        polarity: ``"POS"`` or ``"NEG"``.
        modality: ``"FACTUAL"``, ``"CONDITIONAL"``, ``"POSSIBLE"`` or ``"PROPOSED"``.
    """

    id: str
    span: Span
    type: str
    polarity: str
    modality: str


@dataclass(frozen=True, slots=True)
class TimeExpression:
    """A time.

    Attributes:
        id: Such as ``"T0"``.
        span: Its words.
        type: ``"DATE"``, ``"TIME"``, ``"DURATION"`` or ``"FREQUENCY"``.
        value: ISO 8601, such as ``"1991-10-02"`` or ``"P3D"``.
        modifier: ``"NA"``, ``"APPROX"``, ``"MORE"``, ``"LESS"``, ``"START"``, ``"END"`` or ``"MIDDLE"``.
    """

    id: str
    span: Span
    type: str
    value: str
    modifier: str


@dataclass(frozen=True, slots=True)
class TemporalLink:
    """How two events or times lie in time.

    Attributes:
        id: Such as ``"TL3"``.
        source: Id of the event or time that is placed.
        target: Id of the one it is placed against.
        type: ``"BEFORE"``, ``"AFTER"`` or ``"OVERLAP"``; some files have finer ones.
    """

    id: str
    source: str
    target: str
    type: str


@dataclass(frozen=True, slots=True)
class TemporalNote:
    """A note with its annotation; all offsets are of ``document.text``, from 0.

    Attributes:
        document: The note, of kind ``"note"``.
        events: In the order of the file.
        times: In the order of the file.
        links: In the order of the file.
        broken: Tags that do not fit the text, or links to what is not there, as ``"<id>: <why>"``; they are left out.
    """

    document: Document
    events: tuple[Event, ...]
    times: tuple[TimeExpression, ...]
    links: tuple[TemporalLink, ...]
    broken: tuple[str, ...] = ()


def read_i2b2_2012(path: str | Path) -> TemporalNote:
    """Read one file of the challenge.

    Args:
        path: An XML file; its name is the note's id, as ``"i2b2-2012:<name>"``.

    Raises:
        CorpusError: If it is not such a file.
    """
    path = Path(path)
    root = _root(path)
    body = root.find("TEXT")
    if body is None or body.text is None or not body.text.strip():
        raise CorpusError("has no TEXT; expected a file of the 2012 i2b2 challenge", file=path)
    text, tags = body.text, list(root.iterfind("TAGS/*"))
    first = _first_offset(text, tags)
    broken: list[str] = []
    events = [_event(tag, span) for tag, span in _spanned(tags, "EVENT", text, first, broken)]
    times = [_time(tag, span) for tag, span in _spanned(tags, "TIMEX3", text, first, broken)]
    known = {event.id for event in events} | {one.id for one in times}
    links = []
    for tag in tags:
        if tag.tag == "TLINK":
            link = TemporalLink(*(tag.get(name, "").strip() for name in ("id", "fromID", "toID", "type")))
            missing = {link.source, link.target} - known
            if missing:
                broken.append(f"{link.id}: links to {', '.join(sorted(missing))!r}, which is not there")
            else:
                links.append(link)
    metadata: dict[str, object] = {"source": "i2b2 2012", "group": path.stem}
    for tag in tags:
        if tag.tag == "SECTIME" and tag.get("type", "").upper() in ("ADMISSION", "DISCHARGE"):
            metadata[tag.get("type", "").lower()] = tag.get("dvalue") or tag.get("val") or tag.get("text", "")
    document = Document(id=f"i2b2-2012:{path.stem}", text=text, kind="note", metadata=metadata)
    return TemporalNote(document, tuple(events), tuple(times), tuple(links), tuple(broken))


def read_i2b2_2012_folder(folder: str | Path) -> Iterator[TemporalNote]:
    """Read all ``.xml`` files of a folder, by name, one at a time.

    Raises:
        CorpusError: If there are none, or one is not such a file.
    """
    paths = sorted(Path(folder).glob("*.xml"), key=lambda path: path.name)
    if not paths:
        raise CorpusError(
            "holds no .xml files; give the folder that the challenge's archive was unpacked to", file=folder
        )
    yield from map(read_i2b2_2012, paths)


def _root(path: Path) -> Element:
    try:
        root: Element = fromstring(file_bytes(path), forbid_dtd=False)
    except DefusedXmlException as error:
        raise CorpusError(f"declares entities ({error}), which are refused; remove them", file=path) from error
    except SyntaxError as error:
        raise CorpusError(f"not valid XML: {error}", file=path) from error
    if root.tag != _ROOT:
        raise CorpusError(f"expected <{_ROOT}>, got <{root.tag}>; is it a file of the 2012 challenge?", file=path)
    return root


def _offsets(tag: Element) -> tuple[int, int] | None:
    try:
        return int(tag.get("start", "")), int(tag.get("end", ""))
    except ValueError:
        return None


def _same(one: str, other: str) -> bool:
    """Compare words but for case and white space: tags have line breaks as spaces."""
    return re.sub(r"\s+", "", one).casefold() == re.sub(r"\s+", "", other).casefold()


def _first_offset(text: str, tags: Iterable[Element]) -> int:
    """Return whether offsets count from 0 or 1: what fits more of the tags, 1 where both do equally well."""
    fits = {0: 0, 1: 0}
    for tag in tags:
        place = _offsets(tag)
        if place is not None and tag.get("text"):
            for first in fits:
                start, end = place[0] - first, place[1] - first
                fits[first] += 0 <= start < end <= len(text) and _same(text[start:end], tag.get("text", ""))
    return 0 if fits[0] > fits[1] else 1


def _spanned(
    tags: Iterable[Element], name: str, text: str, first: int, broken: list[str]
) -> Iterator[tuple[Element, Span]]:
    for tag in tags:
        if tag.tag != name:
            continue
        place, words = _offsets(tag), tag.get("text", "")
        if place is None:
            broken.append(f"{tag.get('id')}: has no offsets")
            continue
        start, end = place[0] - first, place[1] - first
        if not 0 <= start < end <= len(text) or not _same(text[start:end], words):
            broken.append(f"{tag.get('id')}: says {words!r:.60}, which is not what stands at {place[0]} to {place[1]}")
            continue
        yield tag, Span(start, end, text[start:end])


def _event(tag: Element, span: Span) -> Event:
    kind, polarity, modality = (tag.get(name, "").strip().upper() for name in ("type", "polarity", "modality"))
    return Event(tag.get("id", ""), span, kind, polarity, modality)


def _time(tag: Element, span: Span) -> TimeExpression:
    kind, value, modifier = (tag.get(name, "").strip() for name in ("type", "val", "mod"))
    return TimeExpression(tag.get("id", ""), span, kind.upper(), value, modifier.upper())
