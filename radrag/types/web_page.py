"""An answer as one web page: claims linked to the highlighted words of their sources. It loads and runs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
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
    from radrag.types.documents import Citation, Hit, Passage

_STYLE = """
:root { color-scheme: light dark; --text: #1b1b1b; --back: #ffffff; --soft: #5a5f66; --line: #d4d8dd; --box: #f5f6f8;
  --mark: #ffe79a; --mark-text: #1b1b1b; --link: #0b57a4; --alarm: #9b1c1c; }
@media (prefers-color-scheme: dark) { :root { --text: #e8e8e8; --back: #16181b; --soft: #a4abb3; --line: #3a3f46;
  --box: #1f2227; --mark: #6b5500; --mark-text: #fff6d6; --link: #8ab8f0; --alarm: #ff9d9d; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.25rem; max-width: 46rem; font: 1rem/1.55 system-ui, sans-serif; color: var(--text);
  background: var(--back); overflow-wrap: anywhere; }
h1 { font-size: 1.3rem; line-height: 1.3; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 0 0 .35rem; }
a { color: var(--link); } .soft { color: var(--soft); font-size: .875rem; }
.verdict { font-weight: 600; } .alarm { color: var(--alarm); font-weight: 600; }
p.differ { border-left: 3px solid var(--alarm); padding-left: .75rem; }
ul.claims { padding-left: 1.2rem; } .claims li { margin-bottom: .5rem; }
.claims li.doubtful { list-style: "!\\00a0\\00a0"; } .source { border: 1px solid var(--line); border-radius: .4rem;
  background: var(--box); padding: .75rem .9rem; margin: 0 0 .75rem; }
.source p:last-child { margin-bottom: 0; }
.passage { white-space: pre-line; margin: .5rem 0 0; padding-left: .75rem; border-left: 3px solid var(--line); }
mark { background: var(--mark); color: var(--mark-text); padding: 0 .1em; border-radius: .15em; }
mark:target, li:target { outline: 2px solid var(--link); outline-offset: 2px; }
.notice { border-top: 1px solid var(--line); margin-top: 2rem; padding-top: .75rem; }
@media print { :root { --text: #000; --back: #fff; --soft: #444; --line: #bbb; --box: #fff; --mark: #ffe79a;
  --mark-text: #000; --link: #000; --alarm: #8b0000; } a[href^="http"]::after { content: " (" attr(href) ")"; }
  body { max-width: none; padding: 0; } .source { background: none; } h1, h2, h3 { break-after: avoid; }
  .claims li, .source p { break-inside: avoid; } mark { text-decoration: underline; } .extra { display: none; } }
"""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""
_PMID = re.compile(r"PMID:[0-9]{1,8}(?![0-9])")
_UNSHOWN = {n: "\ufffd" for n in (*range(9), 11, *range(14, 32), *range(127, 160), *range(0xD800, 0xE000))}


def to_html(answer: Answer) -> str:
    """Return an answer as a page that stands alone: no script, no font, no picture, nothing fetched."""
    return _PAGE.format(title=_safe(answer.question), style=_STYLE, body="\n".join(_body(answer)))


def _safe(text: str) -> str:
    """Escape text for HTML; characters that HTML cannot hold are shown as the replacement character."""
    return escape(text.translate(_UNSHOWN))


def _body(answer: Answer) -> Iterator[str]:
    yield f"<h1>{_safe(answer.question)}</h1>"
    if answer.searched:
        yield f'<p class="soft">Read as: {_safe(answer.searched)}</p>'
    if answer.abstained:
        yield f'<p class="verdict">No answer: {_safe(answer.reason)}</p>'
    elif headline(answer):
        yield f'<p class="verdict">{_safe(headline(answer))}</p>'
    yield from (f'<p class="differ">{_ids_linked(line)}</p>' for line in agreement_lines(answer))
    yield from (f'<p class="differ">{_safe(warning)}</p>' for warning in answer.warnings)
    if answer.abstained and answer.claims:
        yield '<p class="alarm">Drafted, and not to be relied on:</p>'
    places = _places(answer.citations)
    if answer.claims:
        yield '<ul class="claims">'
        yield from (_claim(number, claim, places) for number, claim in enumerate(answer.claims, 1))
        yield "</ul>"
    yield from _sources(answer, places)
    yield from _notes(answer)
    yield from _uncited(answer)
    yield f'<p class="soft notice">{_safe(answer.notice)}</p>'


def _places(citations: Iterable[Citation]) -> dict[Citation, str]:
    """Return the anchor of each stretch that is cited."""
    made: dict[Citation, str] = {}
    for one in citations:
        made.setdefault(one, f"cited-{len(made) + 1}")
    return made


def _claim(number: int, claim: Claim, places: dict[Citation, str]) -> str:
    marks = "".join(f' <a href="#{places[one]}">[{one.key}]</a>' for one in dict.fromkeys(claim.citations))
    notes = "".join(f' <span class="alarm">({_safe(note)})</span>' for note in claim_notes(claim))
    altered = "".join(
        f'<br><span class="soft">“{_safe(one.text)}” is not a quote: '
        f"{f'the source has “{_safe(one.found)}”' if one.found else 'no source has it'}</span>"
        for one in claim.altered
    )
    kind = "sound" if claim.supported else "doubtful"
    return f'<li id="claim-{number}" class="{kind}">{_safe(claim.text)}{marks}{notes}{altered}</li>'


def _sources(answer: Answer, places: dict[Citation, str]) -> Iterator[str]:
    cited = dict.fromkeys(answer.citations)
    if cited:
        yield "<h2>Sources</h2>"
    for key in sorted({one.key for one in cited}):
        mine = [one for one in cited if one.key == key]
        yield f'<section class="source" aria-labelledby="source-{key}">\n{_head(mine[0], key, answer.evidence)}'
        for passage_id, document_id in dict.fromkeys((one.passage_id, one.document_id) for one in mine):
            here = [one for one in mine if (one.passage_id, one.document_id) == (passage_id, document_id)]
            passage = _passage(answer.evidence, passage_id, document_id)
            spans = sorted({(one.start, one.end) for one in here})
            where = ", ".join(f"{start}–{end}" for start, end in spans)
            yield f'<p class="passage">{_highlighted(here, passage, places)}</p>'
            yield f'<p class="soft">{_safe(document_id)}, characters {where}</p>'
        backs = [n for n, claim in enumerate(answer.claims, 1) if any(one.key == key for one in claim.citations)]
        links = ", ".join(f'<a href="#claim-{n}">statement {n}</a>' for n in backs)
        yield f'<p class="soft extra">Cited for {links}</p>\n</section>'


def _head(citation: Citation, key: int, evidence: Sequence[Hit]) -> str:
    title, rest = source_head(citation)
    lines = [f'<h3 id="source-{key}">[{key}] {_linked(title, link_of(citation))}</h3>']
    if rest:
        lines.append(f'<p class="soft">{_safe(rest)}</p>')
    for flag, notices in notices_against(citation, evidence):
        shown = notice_line(_safe(flag), [_linked(one, link_to(one)) for one in notices])
        lines.append(f'<p class="alarm">{shown}</p>')
    return "\n".join(lines)


def _linked(text: str, link: str) -> str:
    return f'<a href="{_safe(link)}" rel="noopener noreferrer">{_safe(text)}</a>' if link else _safe(text)


def _ids_linked(line: str) -> str:
    """Return a line with its PubMed ids linked."""
    return _PMID.sub(lambda found: _linked(found[0], link_to(found[0])), _safe(line))


def _passage(evidence: Sequence[Hit], passage_id: int, document_id: str) -> Passage | None:
    for hit in evidence:
        if (hit.passage.id, hit.passage.document_id) == (passage_id, document_id):
            return hit.passage
    return None


def _highlighted(cited: Sequence[Citation], passage: Passage | None, places: dict[Citation, str]) -> str:
    """Return the passage with the cited stretches marked; overlapping ones are cut where they meet.

    A stretch that the passage does not hold as quoted is shown by its quote alone.
    """
    within = [one for one in cited if passage is not None and _holds(passage, one)]
    parts = [_mark(one.quote, [places[one]]) for one in cited if one not in within]
    if passage is not None and within:
        edges = sorted({edge - passage.start for one in within for edge in (one.start, one.end)})
        at, text = 0, ""
        for edge in [*edges, len(passage.text)]:
            over = [one for one in within if one.start - passage.start <= at and edge <= one.end - passage.start]
            begun = [one for one in over if one.start - passage.start == at]
            anchors = dict.fromkeys(places[one] for one in begun)
            piece = passage.text[at:edge]
            text += _mark(piece, list(anchors)) if over and piece else _safe(piece)
            at = edge
        parts.insert(0, text)
    return " … ".join(parts)


def _holds(passage: Passage, one: Citation) -> bool:
    return (
        one.start < one.end
        and passage.start <= one.start
        and one.end <= passage.end
        and passage.text[one.start - passage.start : one.end - passage.start] == one.quote
    )


def _mark(text: str, anchors: Sequence[str]) -> str:
    first, rest = (f' id="{anchors[0]}"', anchors[1:]) if anchors else ("", ())
    return "".join(f'<span id="{anchor}"></span>' for anchor in rest) + f"<mark{first}>{_safe(text)}</mark>"


def _notes(answer: Answer) -> Iterator[str]:
    if answer.unknown_citations:
        removed = f"Invented citations, removed: {', '.join(answer.unknown_citations)}"
        yield f"<h2>Notes</h2>\n<ul>\n<li>{_safe(removed)}</li>\n</ul>"


def _uncited(answer: Answer) -> Iterator[str]:
    """What was found and not cited, folded away."""
    cited = {one.passage_id for one in answer.citations}
    others = [hit.passage for hit in answer.evidence if hit.passage.id not in cited]
    if others:
        yield f'<details class="extra">\n<summary>Also found, not cited ({len(others)})</summary>'
        for number, passage in enumerate(others, 1):
            where = f"{passage.document_id}, characters {passage.start}–{passage.end}"
            flags = f' <span class="alarm">{_safe(", ".join(passage.flags).upper())}</span>' if passage.flags else ""
            link = link_to(passage.document_id, str(passage.metadata.get("url") or ""))
            title = _linked(passage.title or passage.document_id, link)
            yield f'<section class="source" aria-labelledby="found-{number}">'
            yield f'<h3 id="found-{number}">{title}{flags}</h3>'
            yield f'<p class="passage">{_safe(passage.text)}</p>\n<p class="soft">{_safe(where)}</p>\n</section>'
        yield "</details>"
