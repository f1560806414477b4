"""Answer forms: a strict reading of what a model wrote in the one that was asked for.

A reply is read by rules that a person can follow; what they do not cover is a failure with its reason, never a guess.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from radrag.reading.asked import Form, recognise
from radrag.reading.statements import declines, is_limited, names_none, statements
from radrag.types import VERDICTS

__all__ = ["Failure", "Form", "Parsed", "parse", "recognise"]


class Failure(StrEnum):
    """Why a reply gives no answer."""

    EMPTY = "empty"
    ERROR = "an error message, not a reply"
    DECLINED = "declined to answer"
    BROKEN = "broken JSON"
    NONE = "no answer stated in the form asked for"
    NOT_AN_OPTION = "not one of the options"
    SEVERAL = "several answers"
    CONTRADICTION = "contradicts itself"
    CONDITIONAL = "conditional: it holds only under a condition"
    NOT_SHORT = "longer than a short answer"
    UNDIVIDED = "a list whose items cannot be told apart"
    CUT_OFF = "cut off at the token limit"
    UNNAMED = "sentences that name no exact answer"


@dataclass(frozen=True, slots=True)
class Parsed:
    """What was read from a reply.

    Attributes:
        form: The form it was read in.
        value: The answer: yes, no or maybe; the letter of an option; a short answer; items; a text. None if unread.
        failure: Why there is no value, one of ``Failure``; "" if there is one.
        detail: What was found instead, in words.
    """

    form: Form
    value: str | tuple[str, ...] | None
    failure: str = ""
    detail: str = ""


class _UnreadError(Exception):
    def __init__(self, failure: Failure, detail: str = "") -> None:
        super().__init__(failure)
        self.failure, self.detail = failure, detail


_KEYS = ("answer_choice", "answer", "final_answer", "choice", "verdict", "answers", "summary")
_KEY_SEEN = re.compile(rf"[\"'](?:{'|'.join(_KEYS)})[\"']\s*:")
_FENCE = re.compile(r"```(?:json)?\s*\n(.*)\n\s*```", re.DOTALL | re.IGNORECASE)
_ERROR = re.compile(
    r"(?:request timed out|(?:https?)?connection ?(?:pool|error|aborted|reset)|read timed out|rate limit|"
    r"(?:internal server |api |openai )?error\b(?: code)?\s*[:\d]|traceback \(most recent|service unavailable|"
    r"bad gateway|the response was filtered)",
    re.IGNORECASE,
)
_VERDICT = re.compile(
    r"\W*(yes|no|maybe)[\"'”’*_)]*(?:\s*[.,:;!–—][\"'”’*_)]*(?=\s|\Z|\[)|\s+-\s|[^\S\n]*\n|\s*(?=\[)|\s*\Z)",
    re.IGNORECASE,
)
_LETTERED = re.compile(r"[\W_]*(?:[Oo]ption\s+)?\(?([A-Za-z])(?:[).:\]*_\"]+|\s*[-–—]\s|\s*\Z)\s*(.*)", re.DOTALL)
_LETTER_ENDS = re.compile(r"[\W_]*([A-Z])[\W_]*?(?:[.)\]]\W*\s|\Z)")
_TWO_LETTERS = re.compile(r"\W*[A-Z]\W*(?:\s(?:and|or)\s|[,/&+])\W*[A-Z]\b\W*(?!\w)")
# Two names for one question; "two or more" is one. In brackets stand other names of the same.
_OR_ELSE = re.compile(
    r";\s|\s(?:or|OR(?! (?:of|was|is|=|\d)))\s"
    r"(?!(?:more|less|fewer|higher|lower|greater|above|below|over|under|older|younger|later|earlier|\d)\b)"
)
_BULLET = re.compile(r"\s*(?:[-*+•▪◦–]|\(?\d{1,2}[.)]|\(?[a-z][.)])\s+(\S.*)")
_ONE_BULLET = re.compile(r"(?:[-*+•▪◦–]|\(?\d{1,2}[.)]|\(?[a-z]\))\s+(?=\S)")
_LEAD = re.compile(r"(?:the )?(?:final |short |exact )?answers?\s*(?:is|are|:)\s*:?\s*", re.IGNORECASE)
_SHORT_WORDS = 12


def parse(form: str, text: str, options: Mapping[str, str] | None = None) -> Parsed:
    """Read an answer from what a model wrote.

    A reply is plain text, or one JSON object, fenced or not, with one answer field (``answer``, ``verdict``, ...).
    Yes/no: the first word where it stands alone, or one stated answer (``The answer is no.``). A choice: a letter, its
    words, or both, alone, on the first line or as the stated answer. A short answer: one line of at most twelve words,
    with or without a bullet. A list: an item a line, items parted by semicolons, or a JSON array. An answer that its
    own sentence limits (``Yes, if ...``) is none: the form has no place for the condition.

    Args:
        form: One of ``Form``.
        text: The reply.
        options: Options by letter, for a choice.

    Raises:
        ValueError: If the form is unknown, or a choice has no options.
    """
    asked = Form(form)
    if asked is Form.CHOICE and not options:
        raise ValueError("a choice needs options, got none; pass options={'A': ..., 'B': ...}")
    try:
        value, reasons = _unwrapped(text)
        read = _read(asked, value, options or {})
        if asked in (Form.YES_NO, Form.CHOICE):
            _refuse_other(read, reasons, asked, options or {})
        elif asked in (Form.FACTOID, Form.LIST):
            _refuse_empty(read)
    except _UnreadError as problem:
        return Parsed(asked, None, problem.failure, problem.detail)
    return Parsed(asked, read)


def _unwrapped(text: str) -> tuple[Any, list[str]]:
    """Return the answer of a reply, and its other texts, in which it may say otherwise."""
    body = text.strip()
    if not body:
        raise _UnreadError(Failure.EMPTY)
    if _ERROR.match(body):
        raise _UnreadError(Failure.ERROR, body[:80])
    fenced = _FENCE.fullmatch(body)
    body = fenced[1].strip() if fenced else body
    if body[0] not in "{[" or re.match(r"\[\d", body):
        if _KEY_SEEN.search(body):
            raise _UnreadError(Failure.BROKEN, "text around or inside the fields")
        return body, [body]
    try:
        found = json.loads(body, object_pairs_hook=_once)
    except ValueError as error:
        raise _UnreadError(Failure.BROKEN, str(error)) from error
    if isinstance(found, list):
        return found, []
    named = [key for key in _KEYS if key in found]
    if len(named) != 1:
        detail = f"fields {', '.join(named)}" if named else f"no answer among {', '.join(found) or 'no fields'}"
        raise _UnreadError(Failure.SEVERAL if named else Failure.NONE, detail)
    others = [value for key, value in found.items() if key != named[0] and isinstance(value, str)]
    return found[named[0]], others


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a field is given twice")
    return dict(pairs)


def _read(form: Form, value: Any, options: Mapping[str, str]) -> str | tuple[str, ...]:
    if isinstance(value, list) and form in (Form.LIST, Form.FACTOID):
        return _items(form, value)
    if value is None:
        raise _UnreadError(Failure.DECLINED, "null")
    if not isinstance(value, str):
        raise _UnreadError(Failure.NONE, f"{type(value).__name__} {value!r:.40}")
    if not re.search(r"\w", value):
        raise _UnreadError(Failure.EMPTY, f"no letter or digit: {value.strip()!r:.40}")
    if declines(value):
        raise _UnreadError(Failure.DECLINED, value.strip()[:80])
    if form is Form.CHOICE:
        return _choice(value, options)
    return _READERS.get(form, str.strip)(value)


def _items(form: Form, values: list[Any]) -> str | tuple[str, ...]:
    items = tuple(_item(one) for one in values)
    if not items:
        raise _UnreadError(Failure.EMPTY, "an empty list")
    if form is Form.LIST:
        return items
    if len(items) > 1:
        raise _UnreadError(Failure.SEVERAL, f"{len(items)} answers")
    return _factoid(items[0])


def _refuse_empty(read: str | tuple[str, ...]) -> None:
    """Fail where what was read names nothing: no letter or digit, or a word such as "none" for an item."""
    items = (read,) if isinstance(read, str) else read
    bare = [one for one in items if not re.search(r"\w", one)]
    if bare:
        failure = Failure.EMPTY if len(bare) == len(items) else Failure.UNDIVIDED
        raise _UnreadError(failure, f"an item is {bare[0]!r:.40}")
    none = [one for one in items if names_none(one)]
    if none:
        failure = Failure.DECLINED if len(none) == len(items) else Failure.CONTRADICTION
        raise _UnreadError(failure, f"{none[0]:.40} as an item")


def _yes_no(text: str) -> str:
    first = _VERDICT.match(text)
    if first:
        second = _VERDICT.match(text, first.end())
        if second and second[1].lower() != first[1].lower():
            raise _UnreadError(Failure.SEVERAL, text.strip()[:40])
        _refuse_limited(text, first.end(1))
        return first[1].lower()
    found = [(said, match) for said in statements(text) if (match := _verdict_in(said))]
    stated = {match[1].lower() for _, match in found}
    if len(stated) == 1:
        for said, match in found:
            _refuse_limited(said, match.end(1))
        return stated.pop()
    raise _UnreadError(Failure.SEVERAL if stated else Failure.NONE, text.strip()[:80])


def _verdict_in(said: str) -> re.Match[str] | None:
    return _VERDICT.match(said) or re.match(rf"\W*({'|'.join(VERDICTS)})\W*\Z", said, re.IGNORECASE)


def _refuse_limited(text: str, end: int) -> None:
    if is_limited(text[end:]):
        raise _UnreadError(Failure.CONDITIONAL, " ".join(text.split())[:80])


def _choice(text: str, options: Mapping[str, str]) -> str:
    if _TWO_LETTERS.match(text):
        raise _UnreadError(Failure.SEVERAL, text.strip()[:40])
    for part in (text, text.strip().split("\n", 1)[0]):
        letter = _option(part, options)
        if letter:
            return letter
    stated = {letter for said in statements(text) if (letter := _option_said(said, options))}
    if len(stated) == 1:
        return stated.pop()
    short = len(text.split()) <= _SHORT_WORDS and not stated
    raise _UnreadError(
        Failure.SEVERAL if stated else Failure.NOT_AN_OPTION if short else Failure.NONE, text.strip()[:80]
    )


def _option(text: str, options: Mapping[str, str]) -> str | None:
    """Return the letter of the one option that a text is, by letter, words or both; None if it is not an option."""
    plain = _plain(text)
    worded = [letter for letter, words in options.items() if _plain(words) == plain]
    if len(worded) == 1:
        return worded[0]
    match = _LETTERED.fullmatch(text.strip())
    letter = next((one for one in options if match and one.upper() == match[1].upper()), None)
    if match is None or letter is None:
        return None
    rest = _plain(match[2])
    if not rest or rest == _plain(options[letter]):
        return letter
    if any(rest == _plain(words) for words in options.values()):
        raise _UnreadError(Failure.CONTRADICTION, f"letter and words of different options: {text.strip()[:60]}")
    return None


def _option_said(said: str, options: Mapping[str, str]) -> str | None:
    """Return the option that a statement begins with: its first clause, or a capital letter that ends a sentence."""
    letter = _option(re.split(r"(?<=\w{2})[.,;](?:\s|\Z)", said)[0].rstrip(". \"'"), options)
    if letter:
        return letter
    alone = _LETTER_ENDS.match(said)
    return alone[1] if alone and alone[1] in options else None


def _plain(text: str) -> str:
    return re.sub(r"[\s\W_]+", " ", text).strip().lower()


def _refuse_other(read: str | tuple[str, ...], reasons: list[str], form: Form, options: Mapping[str, str]) -> None:
    """Fail where the reasoning beside an answer states another answer, or yes or no only under a condition."""
    for said in (one for text in reasons for one in statements(text)):
        match = _verdict_in(said) if form is Form.YES_NO else None
        other = match[1].lower() if match else None if form is Form.YES_NO else _option_said(said, options)
        if other is not None and other != read:
            raise _UnreadError(Failure.CONTRADICTION, f"reads {read!r}, and states: {said.strip()[:60]}")
        if match:
            _refuse_limited(said, match.end(1))


def _item(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _UnreadError(Failure.NONE, f"an item is {value!r:.40}, not text")
    return value.strip()


def _factoid(text: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    if len(lines) > 1:
        bulleted = all(_BULLET.fullmatch(line) for line in lines)
        raise _UnreadError(Failure.SEVERAL if bulleted else Failure.NOT_SHORT, text.strip()[:80])
    line = lines[0]
    for before in (_LEAD, _ONE_BULLET, _LEAD):
        line = line[match.end() :] if (match := before.match(line)) else line
    answer = line.strip(" \"'*_`").removesuffix(".")
    if not answer:
        raise _UnreadError(Failure.EMPTY, text.strip()[:40])
    if _OR_ELSE.search(re.sub(r"\([^()]*\)", "", answer)):
        raise _UnreadError(Failure.SEVERAL, text.strip()[:80])
    if len(answer.split()) > _SHORT_WORDS or re.search(r"[.!?]\s+[A-Z]", answer):
        raise _UnreadError(Failure.NOT_SHORT, text.strip()[:80])
    return answer


def _list(text: str) -> tuple[str, ...]:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].rstrip().endswith(":") and not _BULLET.fullmatch(lines[0]):
        lines = lines[1:]
    bullets = [_BULLET.fullmatch(line) for line in lines]
    if all(bullets):
        return tuple(match[1].strip() for match in bullets if match)
    if any(bullets):
        raise _UnreadError(Failure.UNDIVIDED, "some lines are items, some are not")
    if len(lines) > 1:
        if any(len(line.split()) > _SHORT_WORDS for line in lines):
            raise _UnreadError(Failure.UNDIVIDED, "lines longer than an item")
        return tuple(line.strip().rstrip(",;") for line in lines)
    line = _LEAD.sub("", lines[0], count=1).strip() if _LEAD.match(lines[0].strip()) else lines[0].strip()
    if ";" in line:
        parts = tuple(part.strip().removesuffix(".") for part in line.split(";"))
        if all(parts):
            return parts
    elif re.search(r",\s|\band\b", line) or len(line.split()) > _SHORT_WORDS:
        raise _UnreadError(Failure.UNDIVIDED, "commas and 'and' also stand inside names")
    else:
        return (line.removesuffix("."),)
    raise _UnreadError(Failure.UNDIVIDED, "an item is empty")


_READERS: dict[Form, Callable[[str], str | tuple[str, ...]]] = {
    Form.YES_NO: _yes_no,
    Form.FACTOID: _factoid,
    Form.LIST: _list,
}
