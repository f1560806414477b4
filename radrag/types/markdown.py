"""An answer as Markdown (CommonMark): every claim linked to its sources, every quote with its offsets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from radrag.types.links import link_of
from radrag.types.printing import (
    agreement_lines,
    claim_notes,
    headline,
    link_to,
    notice_line,
    notices_against,
    source_head,
)

if TYPE_CHECKING:
    from radrag.types.answers import Answer, Claim
    from radrag.types.documents import Citation, Hit

_ALWAYS = re.compile(r"([\\`*_{}\[\]<>#|~&$@^])")
_AT_HEAD = re.compile(r"^(\d*)([-+=.):])")  # a list, a heading underlined
_ADDRESS = re.compile(r"(?<=[a-z]):(?=//)|(?<=www)\.", re.IGNORECASE)  # what some dialects make links of


def to_markdown(answer: Answer) -> str:
    """Return an answer as CommonMark; all text that is not ours is escaped."""
    return "\n".join(_lines(answer)).rstrip() + "\n"


def escaped(text: str) -> str:
    """Return text, on one line, that CommonMark shows as it is."""
    line = _ALWAYS.sub(r"\\\1", " ".join(text.split()))
    line = _ADDRESS.sub(lambda match: "\\" + match.group(), line)
    return _AT_HEAD.sub(r"\1\\\2", line).replace("\0", "\ufffd")


def _lines(answer: Answer) -> Iterator[str]:
    yield f"## {escaped(answer.question)}"
    yield ""
    if answer.searched:
        yield f"*Read as:* {escaped(answer.searched)}"
        yield ""
    if answer.abstained:
        yield f"**No answer:** {escaped(answer.reason)}"
        yield ""
    elif headline(answer):
        yield f"**{escaped(headline(answer))}**"
        yield ""
    for line in (*agreement_lines(answer), *answer.warnings):
        yield f"> {escaped(line)}"
        yield ""
    if answer.abstained and answer.claims:
        yield "Drafted, and not to be relied on:"
        yield ""
    for claim in answer.claims:
        yield from _claim(claim)
    yield ""
    yield from _sources(answer)
    if answer.unknown_citations:
        yield f"- Invented citations, removed: {escaped(', '.join(answer.unknown_citations))}"
    yield ""
    yield f"*{escaped(answer.notice)}*"


def _claim(claim: Claim) -> Iterator[str]:
    keys = dict.fromkeys(citation.key for citation in claim.citations)
    marks = "".join(f"\\[{key}\\]" for key in keys)
    notes = " ".join(f"**({escaped(note)})**" for note in claim_notes(claim))
    yield f"- {' '.join(part for part in (escaped(claim.text), marks, notes) if part)}"
    for quote in claim.altered:
        found = f"the source has “{escaped(quote.found)}”" if quote.found else "no source has it"
        yield f"  - “{escaped(quote.text)}” is not a quote: {found}"


def _sources(answer: Answer) -> Iterator[str]:
    sources = dict.fromkeys(answer.citations)
    if not sources:
        return
    yield "### Sources"
    yield ""
    for key in sorted({citation.key for citation in sources}):
        cited = [citation for citation in sources if citation.key == key]
        yield f"- \\[{key}\\] {_head(cited[0], answer.evidence)}"
        for citation in cited:
            where = f"{citation.document_id}, characters {citation.start} to {citation.end}"
            yield ""
            yield f"  > {escaped(citation.quote)}"
            yield "  >"
            yield f"  > ({escaped(where)})"
        yield ""


def _head(citation: Citation, evidence: Sequence[Hit]) -> str:
    title, rest = source_head(citation)
    flags = "".join(
        f" **{notice_line(escaped(flag), [_linked(one, link_to(one)) for one in notices])}**"
        for flag, notices in notices_against(citation, evidence)
    )
    return f"{_linked(title, link_of(citation))}{'. ' + escaped(rest) if rest else ''}{flags}"


def _linked(text: str, link: str) -> str:
    safe = link.replace("\\", "%5C").replace("<", "%3C").replace(">", "%3E")
    return f"[{escaped(text)}](<{safe}>)" if link else escaped(text)
