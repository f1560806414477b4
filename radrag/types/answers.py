"""From a draft to an answer, and the questions that answers are judged by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from radrag.types.agreement import Agreement
from radrag.types.bibtex import to_bibtex
from radrag.types.documents import Citation, Hit
from radrag.types.markdown import to_markdown
from radrag.types.plain import from_plain
from radrag.types.printing import answer_lines, marked
from radrag.types.web_page import to_html

VERDICTS = ("yes", "no", "maybe")
SUPPORT_VERDICTS = ("supported", "partly", "contradicted", "unsupported")
NOTICE = "Machine-made. Not reviewed by a clinician; not clinical advice."


@dataclass(frozen=True, slots=True)
class ClaimVerdict:
    """What a verifier says of a claim and its passages.

    Attributes:
        verdict: One of ``SUPPORT_VERDICTS``, or ``"unchecked"`` if the verifier could not tell (its reply was not
            readable); never a guess.
        probability: That the passages support the claim; None if the verifier gives none.
        objections: What speaks against it, in words.
        passage: Position of the passage it was found in, from 0; -1 for none.
        start: Offset in that passage of what carries the claim, or contradicts it.
        end: Offset after it; equal to ``start`` if no stretch is known.
    """

    verdict: str
    probability: float | None = None
    objections: tuple[str, ...] = ()
    passage: int = -1
    start: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True)
class AlteredQuote:
    """Words in quotation marks that the source has otherwise.

    Attributes:
        text: The words as quoted.
        found: The nearest words of the source; "" if there are none like them.
        citation: Where those stand; None if there are none.
    """

    text: str
    found: str = ""
    citation: Citation | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement of an answer.

    Attributes:
        text: The statement, without citation marks.
        citations: What backs it; empty if nothing does.
        supported: Whether the citations carry it: its verdict is "supported" and no quote in it is altered.
        support: Share of its terms that the best sentence holds, 0 to 1; 1 if it stands there word for word.
        verdict: One of ``SUPPORT_VERDICTS``, ``"unchecked"``, or "" if no verifier was asked.
        probability: That the passages support it, by the verifier; None if it gives none.
        objections: What speaks against it, in words.
        altered: Quotes in it that the sources have otherwise.
    """

    text: str
    citations: tuple[Citation, ...]
    supported: bool
    support: float
    verdict: str = ""
    probability: float | None = None
    objections: tuple[str, ...] = ()
    altered: tuple[AlteredQuote, ...] = ()


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
        value: The answer in the form that was asked for; None if none was asked for or it could not be read.
        unread: Why it could not be read, one of ``radrag.reading.forms.Failure``; else "".
    """

    claims: tuple[DraftClaim, ...] = ()
    verdict: Verdict | None = None
    text: str = ""
    dropped: tuple[str, ...] = ()
    shown: int | None = None
    value: str | tuple[str, ...] | None = None
    unread: str = ""


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
        searched: The question as it was read, where it was rewritten to stand alone; else "".
        form: What the answer was to look like, as given or by the question's wording: one of
            ``radrag.reading.forms.Form``; "" if nobody looked.
        value: The answer in that form: yes, no or maybe; the letter of an option; a short answer; items. None if the
            form has none, the reader names none, or it could not be read. A yes or no stands here also where the
            verdict only leans: see ``verdict.probability``.
        unread: Why it could not be read, one of ``radrag.reading.forms.Failure``, to be counted; else "".
        agreement: What sources of a yes/no answer, a cited one among them, are known to disagree on; None if nothing
            is known. It never changes the verdict.
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
    searched: str = ""
    form: str = ""
    value: str | tuple[str, ...] | None = None
    unread: str = ""
    agreement: Agreement | None = None

    @property
    def text(self) -> str:
        """The answer as running text with citation marks; "" if it abstained."""
        return "" if self.abstained else " ".join(marked(claim) for claim in self.claims)

    @property
    def citations(self) -> tuple[Citation, ...]:
        """Every citation of every claim, in order."""
        return tuple(citation for claim in self.claims for citation in claim.citations)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values; ``from_dict`` makes the same answer of them again."""
        return {**asdict(self), "text": self.text}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Make an answer of what ``to_dict`` returned, also after JSON; its ``"text"`` is computed anew.

        Raises:
            ValueError: If a key is unknown or missing, or a value is not of its field's type.
        """
        return from_plain(cls, value, derived=frozenset({"text"}))

    def to_markdown(self) -> str:
        """Return it as CommonMark, each quote with its offsets; all text that is not ours is escaped."""
        return to_markdown(self)

    def to_html(self) -> str:
        """Return it as a web page of its own: sources with the cited words highlighted; it loads nothing."""
        return to_html(self)

    def to_bibtex(self) -> str:
        """Return what it cites as BibTeX; a document has the same key in every answer."""
        return to_bibtex(self)

    def __str__(self) -> str:
        return "\n".join(answer_lines(self))


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
