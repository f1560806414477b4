"""What flows through radrag: frozen records, from a document to an answer.

Offsets are Python string indices (code points), half-open, and always refer to ``Document.text``.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Role = Literal["system", "user", "assistant"]
VERDICTS = ("yes", "no", "maybe")
_NAMES = ("synonyms", "order_abbreviations")
NOTICE = "Machine-made from the cited sources. Not reviewed by a clinician; not clinical advice."


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of a document under one heading.

    Attributes:
        path: Headings from the outermost to this one, such as ``("CT urography", "Safety")``.
        start: Offset of its first character, the heading itself left out.
        end: Offset after its last character.
    """

    path: tuple[str, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Document:
    """A text that can be cited.

    Attributes:
        id: Unique name within an index, such as ``"PMID:29355075"`` or ``"ct-urography"``.
        text: The whole text; everything cited is a slice of it.
        title: Title, which is not part of ``text``.
        kind: What it is: ``"abstract"``, ``"guideline"``, ``"digest"``, ``"note"`` or ``"text"``.
        sections: Headed stretches in order; text outside them belongs to no heading.
        metadata: JSON values. Known keys: ``year`` (int), ``doi``, ``journal``, ``url``, ``source``, ``design``,
            ``publication_types``, ``mesh``, ``retracted`` (bool), ``pmid``, ``pmid_version``, and lists of other names
            that are searched too: ``synonyms``, ``order_abbreviations``.
    """

    id: str
    text: str
    title: str = ""
    kind: str = "text"
    sections: tuple[Section, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def retracted(self) -> bool:
        """Whether its source marks it as retracted."""
        return bool(self.metadata.get("retracted", False))


@dataclass(frozen=True, slots=True)
class Passage:
    """A slice of a document, the unit that is searched: ``document.text[start:end] == text``.

    Attributes:
        document_id: The document it is cut from.
        start: Offset of its first character in the document.
        end: Offset after its last character.
        text: The characters themselves.
        path: Headings above it.
        title: Title of the document.
        id: Number given by the index, never reused; -1 before it is in one.
        metadata: The document's metadata.
    """

    document_id: str
    start: int
    end: int
    text: str
    path: tuple[str, ...] = ()
    title: str = ""
    id: int = -1
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def search_text(self) -> str:
        """What is indexed, a line each: title, other names of the document, headings without the title, and text."""
        headings = " > ".join(part for part in self.path if part != self.title)
        names = ", ".join(str(name) for key in _NAMES for name in self.metadata.get(key) or ())
        return "\n".join(part for part in (self.title, names, headings, self.text) if part)


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that a search found.

    Attributes:
        passage: The passage.
        score: Fused score; higher is better, comparable within one query only.
        lexical: BM25 score, or None if BM25 did not return it.
        dense: Cosine similarity, or None if the vectors did not return it.
    """

    passage: Passage
    score: float
    lexical: float | None = None
    dense: float | None = None


@dataclass(frozen=True, slots=True)
class Citation:
    """Characters of a source that back a claim or a label.

    Attributes:
        key: Number shown to the reader, ``[1]``; the same document has the same key within one output.
        document_id: The document cited.
        passage_id: The passage it was found in.
        start: Offset of the quote in the document.
        end: Offset after the quote.
        quote: The exact characters ``document.text[start:end]``, checked against the store.
        title: Title of the document.
        path: Headings above the quote.
        url: Where a reader can open the document, or "".
        year: Year of publication, if known.
    """

    key: int
    document_id: str
    passage_id: int
    start: int
    end: int
    quote: str
    title: str = ""
    path: tuple[str, ...] = ()
    url: str = ""
    year: int | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement of an answer.

    Attributes:
        text: The statement, without citation marks.
        citations: What backs it; empty if nothing does.
        supported: Whether the citations carry it.
        support: How well they do, 0 to 1.
    """

    text: str
    citations: tuple[Citation, ...]
    supported: bool
    support: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """A yes/no/maybe answer.

    Attributes:
        answer: ``"yes"``, ``"no"`` or ``"maybe"``.
        probability: Probability of each of the three, summing to 1; empty if the reader cannot tell.
    """

    answer: str
    probability: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class DraftClaim:
    """A statement as a reader wrote it, before grounding.

    Attributes:
        text: The statement, without citation marks.
        keys: Positions (1-based) of the passages it names, in the order they were shown.
    """

    text: str
    keys: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """What a reader wrote from a question and its passages, before grounding.

    Attributes:
        claims: The statements in order; empty if it declined to answer.
        verdict: Yes/no/maybe, if the question asks for one and the reader gave one.
        text: The raw text that was parsed, "" where there was none.
        dropped: Why passages did not reach the reader, a line each (for example: the context window was full).
        shown: How many passages, from the first, did reach it; None if all did.
    """

    claims: tuple[DraftClaim, ...] = ()
    verdict: Verdict | None = None
    text: str = ""
    dropped: tuple[str, ...] = ()
    shown: int | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: Role
    content: str


Chat = tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class GenerationParams:
    """How to decode.

    Attributes:
        max_new_tokens: Upper bound on generated tokens.
        temperature: 0 is greedy; above 0 samples.
        seed: Seed of the sampler; the same seed, model and prompt give the same text.
        stop: Strings that end the text; they are not part of it.
    """

    max_new_tokens: int = 512
    temperature: float = 0.0
    seed: int = 0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Generation:
    """What a generator wrote.

    Attributes:
        text: The text, without special tokens.
        finished: False if it stopped because ``max_new_tokens`` was reached.
        prompt_tokens: Tokens read, if known.
        new_tokens: Tokens written, if known.
    """

    text: str
    finished: bool = True
    prompt_tokens: int | None = None
    new_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer whose every claim names its sources, or an abstention with its reason.

    Attributes:
        question: The question as asked.
        claims: Statements in order; unsupported ones are kept and marked.
        verdict: Yes/no/maybe, if the question is of that form.
        abstained: True if the evidence did not suffice; ``reason`` says why.
        reason: Why it abstained, else "".
        confidence: Evidence score between 0 and 1 that the decision to answer rests on.
        evidence: The passages retrieved, best first, cited or not.
        unknown_citations: Citation keys that the generator invented.
        warnings: What a reader should know: passages dropped, text that could not be read, ...
        manifest: What produced this: hashes of index, model, adapter and prompt, and the question's hash.
        notice: Says that the text is machine-made.
    """

    question: str
    claims: tuple[Claim, ...] = ()
    verdict: Verdict | None = None
    abstained: bool = False
    reason: str = ""
    confidence: float = 0.0
    evidence: tuple[Hit, ...] = ()
    unknown_citations: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    manifest: Mapping[str, Any] = field(default_factory=dict)
    notice: str = NOTICE

    @property
    def text(self) -> str:
        """The answer as running text with citation marks; "" if it abstained."""
        return "" if self.abstained else " ".join(_marked(claim) for claim in self.claims)

    @property
    def citations(self) -> tuple[Citation, ...]:
        """Every citation of every claim, in order."""
        return tuple(citation for claim in self.claims for citation in claim.citations)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {**asdict(self), "text": self.text}

    def __str__(self) -> str:
        return "\n".join(_answer_lines(self))


@dataclass(frozen=True, slots=True)
class Label:
    """One member of a label set.

    Attributes:
        id: Short name, such as ``"ct-urography"``.
        name: Name as people write it.
        definition: One sentence that says what it is.
        synonyms: Other names and abbreviations.
    """

    id: str
    name: str = ""
    definition: str = ""
    synonyms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """Characters of a note: ``note[start:end] == text``."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class LabelResult:
    """A label with its probability, what in the note caused it, and the guideline that backs it.

    Attributes:
        note: The note as given.
        label: Id of the most probable label.
        probability: Its probability; calibrated if ``calibrated``.
        ranking: Every label's id with its probability, most probable first.
        set: Ids that hold the right one with the fitted coverage, most probable first; empty if not fitted.
        evidence: The spans of the note that spoke most for the label, strongest first.
        citations: Guideline passages that back the label.
        calibrated: Whether the probabilities were calibrated on labelled notes.
        warnings: What a reader should know.
        manifest: What produced this.
    """

    note: str
    label: str
    probability: float
    ranking: tuple[tuple[str, float], ...]
    set: tuple[str, ...] = ()
    evidence: tuple[Span, ...] = ()
    citations: tuple[Citation, ...] = ()
    calibrated: bool = False
    warnings: tuple[str, ...] = ()
    manifest: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        return "\n".join(_label_lines(self))


@dataclass(frozen=True, slots=True)
class LabelledNote:
    """A note with its true label.

    Attributes:
        text: The note.
        label: Id of its label.
        id: Name of the note, "" if it has none.
        group: Notes of one group (a patient, a template) never sit on both sides of a split; "" groups by text.
        also: Other labels that would be right too.
    """

    text: str
    label: str
    id: str = ""
    group: str = ""
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GoldSpan:
    """Where in the corpora the answer to a question stands."""

    document_id: str
    start: int
    end: int
    quote: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question with what is known about its answer.

    Attributes:
        id: Name of the question.
        text: The question.
        type: ``"yesno"``, ``"factoid"``, ``"list"`` or ``"summary"``.
        verdict: Gold yes/no/maybe for ``yesno`` questions.
        answer: Gold answer in words; "" where there is none.
        gold: Spans that answer it.
        answerable: False if the corpora cannot answer it.
    """

    id: str
    text: str
    type: str = "summary"
    verdict: str | None = None
    answer: str = ""
    gold: tuple[GoldSpan, ...] = ()
    answerable: bool = True


def _marked(claim: Claim) -> str:
    keys = dict.fromkeys(citation.key for citation in claim.citations)
    marks = "".join(f"[{key}]" for key in keys)
    if not claim.supported:
        marks += "[unsupported]"
    return f"{claim.text} {marks}" if marks else claim.text


def _wrapped(text: str, first: str, rest: str | None = None) -> Iterator[str]:
    yield from textwrap.wrap(
        text,
        width=100,
        initial_indent=first,
        subsequent_indent=" " * len(first) if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _source_lines(citation: Citation) -> Iterator[str]:
    path = " > ".join(part for part in citation.path if part != citation.title)
    parts = [citation.title or citation.document_id, path, str(citation.year or ""), citation.url]
    head = ". ".join(part.rstrip(".") if part is not citation.url else part for part in parts if part)
    head = head.replace("?. ", "? ").replace("!. ", "! ")
    yield from _wrapped(f"{head} ({citation.document_id}:{citation.start}-{citation.end})", f"  [{citation.key}] ")
    yield from _wrapped(f"“{' '.join(citation.quote.split())}”", "      ")


def _answer_lines(answer: Answer) -> Iterator[str]:
    yield f"Q: {answer.question}"
    if answer.abstained:
        yield f"No answer: {answer.reason}"
        for claim in answer.claims:
            yield from _wrapped(_marked(claim), "  drafted: ")
    else:
        if answer.verdict is not None:
            share = answer.verdict.probability.get(answer.verdict.answer)
            stated = "not stated" if share is None else f"{share:.2f}"
            yield f"{answer.verdict.answer.capitalize()} (probability {stated})"
        for claim in answer.claims:
            yield from _wrapped(_marked(claim), "- ")
        sources = dict.fromkeys(answer.citations)
        if sources:
            yield "Sources"
        for citation in sources:
            yield from _source_lines(citation)
    if answer.unknown_citations:
        yield f"Invented citations, removed: {', '.join(answer.unknown_citations)}"
    for warning in answer.warnings:
        yield f"Note: {warning}"
    yield f"({answer.notice})"


def _label_lines(result: LabelResult) -> Iterator[str]:
    kind = "probability" if result.calibrated else "uncalibrated score"
    yield f"{result.label} ({kind} {result.probability:.2f})"
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
