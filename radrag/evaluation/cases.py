"""Every item with what both sides said of it, and what went wrong, counted by kind."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from radrag.evaluation.figures import Groups, Scores
from radrag.evaluation.records import Case, Failure, Said, Source
from radrag.evaluation.scores import basis, confidence, confidence_kind, right
from radrag.types import Answer, Citation, LabelledNote, LabelResult
from radrag.types.printing import agreement_lines, headline

_CONTEXT = 160


def cases_of(
    items: Sequence[Any],
    outputs: tuple[Sequence[Any], Sequence[Any]],
    scores: tuple[Scores, Scores],
    groups: Groups,
    *,
    texts: bool,
) -> tuple[Case, ...]:
    """Return a case for each item.

    Args:
        items: Questions or notes.
        outputs: What both sides made.
        scores: Their figures.
        groups: Group of each item, or None.
        texts: Whether to keep the words of items and outputs; without them only ids, labels and figures stay.
    """
    made = []
    shared = Counter(groups or ())
    for place, item in enumerate(items):
        said = [
            _said(item, output[place], {name: values[place] for name, values in score.items()}, texts=texts)
            for output, score in zip(outputs, scores, strict=True)
        ]
        group = "" if groups is None or shared[groups[place]] < 2 else _hashed(str(groups[place]))
        shown = (item.text, expected(item)) if texts else ("", "")
        name = item.id or f"item {place + 1}"
        made.append(Case(name, shown[0], shown[1], group, said[0], said[1], basis(item)))
    return tuple(made)


def _hashed(name: str) -> str:
    """Return a name for a group that tells nothing of it: it may be a patient's, or a note's text."""
    return hashlib.sha256(name.encode()).hexdigest()[:12]


def expected(item: Any) -> str:
    """Return what would be right, in words."""
    if isinstance(item, LabelledNote):
        return " or ".join([item.label, *item.also])
    if not item.answerable:
        return "no answer: the sources hold none"
    verdict = item.verdict or ""
    told = verdict and item.answer.lower().startswith(verdict)
    return ". ".join(part for part in ("" if told else verdict.capitalize(), item.answer) if part)


def words(said: Said) -> str:
    """Return what a side said, as its reader gets it: the verdict with its probability first, and what it withheld."""
    if said.abstained:
        return f"no answer ({said.reason})" if said.reason else f"withheld: {said.text or said.verdict}"
    if said.headline:
        return f"{said.headline.rstrip('.')}. {said.text}".strip()
    if said.verdict and not said.text.startswith(said.verdict):
        return f"{said.verdict.capitalize()}. {said.text}".strip()
    return said.text or "(nothing)"


def _said(item: Any, output: Any, scores: dict[str, float | None], *, texts: bool) -> Said:
    known = {name: value for name, value in scores.items() if value is not None}
    if isinstance(output, LabelResult):
        text = f"{output.label} ({output.probability:.2f})" if texts else ""
        sources = tuple(source_of(citation, None) for citation in output.citations) if texts else ()
        return Said(
            text, output.label, output.abstained, "", confidence(output), right(item, output), known, sources,
            output.warnings if texts else (), "", confidence_kind(output),
        )  # fmt: skip
    verdict = "" if output.verdict is None else output.verdict.answer
    return Said(
        output.text if texts else "", verdict, output.abstained, output.reason, confidence(output), right(item, output),
        known, sources_of(output) if texts else (), (*agreement_lines(output), *output.warnings) if texts else (),
        headline(output) if texts and not output.abstained else "", confidence_kind(output),
    )  # fmt: skip


def sources_of(answer: Answer) -> tuple[Source, ...]:
    """Return the sources of an answer, each quote once, with the text around it as far as it was retrieved."""
    return tuple(source_of(citation, answer) for citation in dict.fromkeys(answer.citations))


def source_of(citation: Citation, answer: Answer | None) -> Source:
    """Return one source; its surroundings are those of the passage that it was found in."""
    before = after = ""
    for hit in () if answer is None else answer.evidence:
        passage = hit.passage
        inside = passage.start <= citation.start and citation.end <= passage.end
        if passage.document_id == citation.document_id and inside:
            start, end = citation.start - passage.start, citation.end - passage.start
            before, after = last_words(passage.text[:start], _CONTEXT), first_words(passage.text[end:], _CONTEXT)
            break
    title = citation.title or citation.document_id
    return Source(
        citation.key, citation.document_id, title, citation.url, before, citation.quote, after, citation.flags
    )


def first_words(text: str, most: int) -> str:
    """Return at most so many characters of a text, cut at white space; one long word is cut where it must be."""
    if len(text) <= most:
        return text
    place = next((i for i in range(most, 0, -1) if text[i].isspace()), 0)
    return text[:place] if text[:place].strip() else text[:most]


def last_words(text: str, most: int) -> str:
    """Return at most so many characters from the end of a text, cut at white space."""
    return first_words(text[::-1], most)[::-1]


def failures_of(outputs: tuple[Sequence[Any], Sequence[Any]]) -> tuple[Failure, ...]:
    """Count on both sides what was withheld, invented, altered or warned of."""
    counts = [Counter(kind for output in side for kind in _kinds(output)) for side in outputs]
    names = dict.fromkeys([*counts[0], *counts[1]])
    made = [Failure(name, counts[0][name], counts[1][name]) for name in names]
    return tuple(sorted(made, key=lambda one: (-one.system - one.baseline, one.what)))


def _kinds(output: Any) -> Iterable[str]:
    """Yield a name for each thing; counts within a warning are taken out, so that like warnings count together."""
    if isinstance(output, LabelResult):
        yield from ["label withheld"] * output.abstained
    else:
        if output.abstained:
            yield f"abstained: {output.reason or 'no reason given'}"
        yield from ["citation of a source that does not exist"] * len(output.unknown_citations)
        if not output.abstained:
            yield from ["statement that no source supports"] * sum(not claim.supported for claim in output.claims)
            yield from ["quote that its source has otherwise"] * sum(len(claim.altered) for claim in output.claims)
    for warning in output.warnings:
        yield "warning: " + " ".join("…" if any(c.isdigit() for c in word) else word for word in warning.split())
