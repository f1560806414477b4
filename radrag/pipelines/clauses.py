"""What a source says, clause by clause, and the words by which it speaks against something."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from radrag.corpora import split_sentences
from radrag.types import Document

_QUOTED = 200  # characters of a clause that a warning quotes
_CUT = re.compile(r";|,? (?:but|whereas|although|while) ", re.IGNORECASE)
# What opens a list whose items have no verb of their own: "Exclusion criteria:", "Contraindicated in:", a heading.
_UP_TO_COLON = re.compile(r"[^:;]*:(?=\s|$)")
_OPENS = re.compile(r"\b(?:criteri|exclu|contra-?indicat|ineligib|(?:not|never|avoid)\b)", re.IGNORECASE)
_HEADING = re.compile(r"\s*#{1,6}\s+(.*)")
_HEADS = re.compile(r"contra-?indicat|exclu|do not use|not to be used|ineligib", re.IGNORECASE)
_ITEM = re.compile(r"\s*(?:[-*+•▪◦‣]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s")

_DONE = (
    r"(?:us(?:e|ed)|giv(?:e|en)|start(?:ed)?|prescribed?|tak(?:e|en)|receiv\w+|undergo\w*|offer(?:ed)?|advised?|"
    r"administer(?:ed)?|perform(?:ed)?|take part|participate|inject(?:ed)?|order(?:ed)?|combined?)"
)
AGAINST = re.compile(
    r"contra-?indicat|exclud(?:ed|ing)|exclusion|^exclude\b|\b(?:we|studies|trials) exclude\b|"
    r"\b(?:study|trial|label\w*) excludes|ineligib|not recommended|not indicated|unsafe|not safe|teratogen|"
    r"\bneither\b|\bavoided\b|(?<!to )\bavoid\b|"
    r"\b(?:(?:must|should|could|may|can|do|does|is|are|was|were|be|to) ?(?:not|never)|cannot|never) (?:to )?(?:be )?"
    rf"{_DONE}\b(?! (?:any )?contracepti)|"
    r"\b(?:not|never) (?:to be |for |suitable for |intended for )(?:use\b|used\b|given\b|children|p[a]?ediatric|"
    r"infants|adults|pregnan|wom[ae]n|people|patients)|"
    r"\b(?:not|never) (?:been )?(?:eligible|included|enrolled|recruited|studied|tested|evaluated|investigated|approved|"
    r"licensed|authori[sz]ed|permitted|allowed|advis(?:ed|able)|appropriate|suitable|established)\b|"
    r"harmful|\bwithh[eo]ld|discontinu|\bprohibited\b|\bforbidden\b|\bstop\b(?! smoking)|\b(?:is|are|be) stopped\b|"
    r"\b(?:postpone|defer|delay)(?:ed)? (?:\w+ ){0,3}until\b",
    re.IGNORECASE,
)
NOT_AGAINST = re.compile(
    r"\b(?:not|no|never|without)\s+(?:\w+\s+){0,2}?(?:contra-?indicat|exclu|teratogen|harmful|unsafe)|"
    r"\bno (?:\w+ ){0,2}?(?:dose|dosage) (?:adjust|reduc)|"
    r"\bneed(?:s)? not\b|\bnot (?:be )?(?:withheld|avoided|delayed|excluded|stopped|discontinued)|"
    r"\b(?:any level|regardless|irrespective) of\b|\beven (?:when|if|at|with|in)\b",
    re.IGNORECASE,
)
ENROLLED = re.compile(
    r"\b(?:enrol|includ|recruit|eligib|stud(?:y|ied)|participa|volunteer|consecutive|random|cohort|residents|"
    r"given|treated|received|underwent|screened|(?:mean|median|average) age|age (?:range|limit))|\bn ?= ?\d|"
    r"\b\d+ (?:\w+ ){0,3}(?:patients|children|infants|boys|girls|"
    r"women|men|adults|people|persons|subjects|individuals)\b",
    re.IGNORECASE,
)
ALLOWED = re.compile(
    r"\b(?:enrol|inclu[ds]|recruit|eligib|requir|needed an?\b|must have\b|"
    r"safe\b|(?:can|may) be (?:given|used)|recommended)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Said:
    """What a source says of patients unlike, or like, the one in question.

    Attributes:
        topic: ``"age"``, ``"sex"``, ``"pregnancy"`` or ``"kidney"``.
        words: What it says: a clause of it, or "" where ``what`` says all.
        what: What is wrong, in words.
    """

    topic: str
    words: str
    what: str = ""


@dataclass(frozen=True, slots=True)
class Clause:
    """A piece of a sentence.

    Attributes:
        text: Its words, with single spaces.
        lead: What opened the list that it is an item of, such as ``"Exclusion criteria:"``; else "".
    """

    text: str
    lead: str = ""

    @property
    def against(self) -> bool:
        """Whether it, or what opened its list, speaks against something."""
        return bool(AGAINST.search(self.whole)) and not NOT_AGAINST.search(self.whole)

    @property
    def whole(self) -> str:
        """The piece behind what opened its list."""
        return f"{self.lead} … {self.text}" if self.lead else self.text

    def quoted(self, at: int) -> str:
        """Return it, or what stands around a place of ``text`` where it is long."""
        piece = around(self.text, at)
        return f"{around(self.lead, 0).removesuffix(' …')} … {piece.removeprefix('… ')}" if self.lead else piece


def clauses(document: Document) -> Iterator[Clause]:
    """Yield the clauses of a document's title and text; the first is of the title."""
    yield from (Clause(piece) for piece in _CUT.split(_spaced(document.title)))
    head = lead = ""
    for start, end in split_sentences(document.text):
        sentence = document.text[start:end]
        heading = _HEADING.match(sentence)
        if heading:
            head = _spaced(heading[1]) if _HEADS.search(heading[1]) else ""
        item = _ITEM.match(sentence)
        lead = head if heading or not item else lead or head
        for piece in _CUT.split(_spaced(sentence)):
            opens = _UP_TO_COLON.match(piece)
            opens = opens if opens and _OPENS.search(opens[0]) else None
            yield Clause(piece.strip(), "" if opens or heading or AGAINST.search(piece) else lead)
            lead = opens[0].strip() if opens else lead


def verbs(text: str, *others: re.Pattern[str]) -> list[tuple[int, bool]]:
    """Return where a text speaks against something (true) or allows it (false), in order.

    Args:
        text: The text.
        others: What counts as speaking against it, too.
    """
    warns = [match.span() for pattern in (AGAINST, *others) for match in pattern.finditer(text)]
    allows = [
        match.start()
        for match in ALLOWED.finditer(text)
        if not any(start <= match.start() < end for start, end in warns)
    ]
    return sorted([(start, True) for start, _ in warns] + [(start, False) for start in allows])


def governing(found: Sequence[tuple[int, bool]], places: Sequence[int]) -> list[bool]:
    """Return for each place whether the verb that governs it warns.

    That is the last one before it where verbs come first, as in "avoid below 30", else the next one behind it.

    Args:
        found: What ``verbs`` found; at least one.
        places: The places in order.
    """
    leading = found[0][0] <= places[0]
    told = []
    for at in places:
        before = [warns for place, warns in found if place <= at]
        behind = [warns for place, warns in found if place > at]
        told.append(before[-1] if before and (leading or not behind) else behind[0])
    return told


def around(clause: str, at: int) -> str:
    """Return a clause, or what stands around a place in a long one."""
    if len(clause) <= _QUOTED:
        return clause
    start = clause.rfind(" ", 0, max(0, at - _QUOTED // 2)) + 1
    piece = clause[start : start + _QUOTED]
    whole = start + _QUOTED >= len(clause)
    return ("… " if start else "") + (piece if whole else f"{piece.rsplit(' ', 1)[0]} …")


def _spaced(text: str) -> str:
    return " ".join(text.split())
