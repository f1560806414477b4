"""How answers and label results read on a terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from radrag.types.documents import Citation
from radrag.types.links import link_of

if TYPE_CHECKING:
    from radrag.types.answers import Answer, Claim, Verdict
    from radrag.types.documents import Hit
    from radrag.types.labels import LabelResult

# Where the record of a document, as PubMed has it, names the notice that a flag stands for.
NOTICE_LINKS: Mapping[str, tuple[str, ...]] = {
    "retracted": ("retraction_in", "retracted_and_republished_in"),
    "retraction notice": (),  # it is the notice itself
    "notice of concern": (),
    "partially retracted": ("partial_retraction_in",),
    "expression of concern": ("expression_of_concern_in",),
    "corrected and republished": ("corrected_and_republished_in",),
    "corrected": ("erratum_in",),
    "updated": ("update_in",),
}
_PMID = re.compile("[0-9]{1,8}")


def answer_lines(answer: Answer) -> Iterator[str]:
    """Yield the lines of ``print(answer)``."""
    yield f"Q: {answer.question}"
    if answer.searched:
        yield from _wrapped(answer.searched, "Read as: ")
    if answer.abstained:
        yield f"No answer: {answer.reason}"
    elif headline(answer):
        yield from _wrapped(headline(answer), "")
    for line in (*agreement_lines(answer), *answer.warnings):
        yield from _wrapped(line, "! ")
    if answer.abstained:
        for claim in answer.claims:
            yield from _wrapped(marked(claim), "  drafted: ")
    else:
        yield from _answered_lines(answer)
    if answer.unknown_citations:
        yield f"Invented citations, removed: {', '.join(answer.unknown_citations)}"
    yield f"({answer.notice})"


def _answered_lines(answer: Answer) -> Iterator[str]:
    for claim in answer.claims:
        yield from _wrapped(marked(claim), "- ")
        yield from _altered_lines(claim)
    sources = dict.fromkeys(answer.citations)
    if sources:
        yield "Sources"
    for citation in sources:
        yield from _source_lines(citation, answer.evidence)


def label_lines(result: LabelResult) -> Iterator[str]:
    """Yield the lines of ``print(result)``."""
    kind = "probability" if result.calibrated else "uncalibrated score"
    head = f"{result.label} ({kind} {result.probability:.2f})"
    yield f"abstained; most likely {head}" if result.abstained else head
    others = ", ".join(f"{name} {value:.2f}" for name, value in result.ranking[1:3])
    if others:
        yield f"  or: {others}"
    yield from _wrapped(" ".join(result.note.split()), "  note: ")
    if result.evidence:
        yield from _wrapped(" · ".join(f"“{span.text}”" for span in result.evidence), "  because: ")
    for citation in result.citations:
        yield from _source_lines(citation)
    for warning in result.warnings:
        yield f"  Note: {warning}"


def marked(claim: Claim) -> str:
    """Return a claim with its citation marks."""
    keys = dict.fromkeys(citation.key for citation in claim.citations)
    marks = "".join(f"[{key}]" for key in keys)
    marks += "".join(f"[{note}]" for note in claim_notes(claim))
    return f"{claim.text} {marks}" if marks else claim.text


def claim_notes(claim: Claim) -> tuple[str, ...]:
    """Return what a reader must know of a claim: what was published against its sources, and what is wrong with it."""
    flags = dict.fromkeys(f"source {one.key}: {', '.join(one.flags).upper()}" for one in claim.citations if one.flags)
    against = "contradicted by the source" if claim.verdict == "contradicted" else "unsupported"
    return (*flags, *("quote altered",) * bool(claim.altered), *(against,) * (not claim.supported))


def verdict_line(verdict: Verdict) -> str:
    """Return a verdict with its probability in words; one that is as likely wrong as right only leans."""
    share = verdict.probability.get(verdict.answer)
    if share is not None and share <= 0.5:
        return f"Unsure: leans to {verdict.answer} (probability {share:.2f}); read the sources"
    return f"{verdict.answer.capitalize()} (probability {_share(verdict)})"


def _share(verdict: Verdict) -> str:
    share = verdict.probability.get(verdict.answer)
    return "not stated" if share is None else f"{share:.2f}"


def headline(answer: Answer) -> str:
    """Return the answer itself on one line: its verdict, or its value in the form asked for; "" if it has neither.

    Where its sources are known to disagree it only leans, however probable.
    """
    told = answer.agreement
    if told is not None and told.known and not answer.abstained:
        why = "A source is superseded" if told.superseded else "Sources conflict"
        if answer.verdict is not None:
            return f"{why}; leans to {answer.verdict.answer} (probability {_share(answer.verdict)})"
        if isinstance(answer.value, str):
            return f"{why}; leans to {answer.value}"
    if answer.verdict is not None:
        return verdict_line(answer.verdict)
    if answer.value is None:
        return ""
    return f"Answer: {answer.value if isinstance(answer.value, str) else '; '.join(answer.value)}"


def agreement_lines(answer: Answer) -> Iterator[str]:
    """Yield what the sources of an answer are known to disagree on."""
    if answer.agreement is not None and not answer.abstained:
        yield from answer.agreement.lines({one.document_id: one.key for one in answer.citations})


def source_head(citation: Citation) -> tuple[str, str]:
    """Return the title of what is cited, and where in it the quote stands and of which year it is."""
    path = " > ".join(part for part in citation.path if part != citation.title)
    return citation.title or citation.document_id, ". ".join(
        part for part in (path, str(citation.year or ""), quality(citation)) if part
    )


def notices_against(citation: Citation, evidence: Sequence[Hit]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each flag of what is cited, in capitals, with the notices as far as its record names them: ids, or words.

    A notice that came from a list, such as Retraction Watch's, is not named with the evidence.
    """
    records = (hit.passage.metadata for hit in evidence if hit.passage.document_id == citation.document_id)
    record: Mapping[str, Any] = next(records, {})
    for flag in citation.flags:
        listed = [record.get(name) for name in NOTICE_LINKS.get(flag, ())]
        named = dict.fromkeys(str(name) for one in listed if isinstance(one, list | tuple) for name in one if name)
        yield flag.upper(), tuple(f"PMID:{name}" if _PMID.fullmatch(name) else name for name in named)


def notice_line(flag: str, notices: Sequence[str]) -> str:
    """Say what to do about a flag: read its notices, if they are named."""
    if not notices:
        return f"{flag}: look the notice up at the source before relying on this"
    what = "that notice" if len(notices) == 1 else "those notices"
    return f"{flag} ({', '.join(notices)}): read {what} before relying on this"


def link_to(document_id: str, url: str = "") -> str:
    """Return where a document can be opened, "" if nowhere; see ``link_of``."""
    return link_of(Citation(0, document_id, -1, 0, 0, "", url=url))


def quality(citation: Citation) -> str:
    """Return what kind of study is cited, and its size where known: ``"randomised trial, n = 120"``."""
    size = "" if citation.sample_size is None else f"n = {citation.sample_size}"
    return ", ".join(part for part in (citation.level, size) if part)


def _altered_lines(claim: Claim) -> Iterator[str]:
    for quote in claim.altered:
        where = f" ({quote.citation.document_id})" if quote.citation is not None else ""
        found = f"the source has “{' '.join(quote.found.split())}”{where}" if quote.found else "no source has it"
        yield from _wrapped(f"“{quote.text}” is not a quote: {found}", "    ! ")


def _wrapped(text: str, first: str, rest: str | None = None) -> Iterator[str]:
    yield from textwrap.wrap(
        text,
        width=100,
        initial_indent=first,
        subsequent_indent=" " * len(first) if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _source_lines(citation: Citation, evidence: Sequence[Hit] = ()) -> Iterator[str]:
    path = " > ".join(part for part in citation.path if part != citation.title)
    parts = [citation.title or citation.document_id, path, str(citation.year or ""), quality(citation), citation.url]
    head = ". ".join(part.rstrip(".") if part is not citation.url else part for part in parts if part)
    head = head.replace("?. ", "? ").replace("!. ", "! ")
    yield from _wrapped(f"{head} ({citation.document_id}:{citation.start}-{citation.end})", f"  [{citation.key}] ")
    for flag, notices in notices_against(citation, evidence):
        yield from _wrapped(notice_line(flag, notices), "      ! ")
    yield from _wrapped(f"“{' '.join(citation.quote.split())}”", "      ")
