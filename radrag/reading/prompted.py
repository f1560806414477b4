"""A generator as a reader: it is prompted with the passages, and its reply is read strictly."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np

from radrag.corpora import split_sentences
from radrag.errors import PromptError
from radrag.generation import prompts
from radrag.protocols import Generator
from radrag.reading.asked import Form
from radrag.reading.fitting import Fitted, fit_passages
from radrag.reading.forms import Failure, parse
from radrag.reading.statements import is_limited
from radrag.reading.verdict import is_yes_no
from radrag.types import VERDICTS, Chat, Draft, DraftClaim, Generation, GenerationParams, Hit, Verdict

_MARK = re.compile(r"\[(\d+(?:\s*[,;]\s*\d+)*)\]")
_LEADING_MARKS = re.compile(r"\s*(?:\[\d+(?:\s*[,;]\s*\d+)*\]\s*)+")
# "No difference was found" states no verdict: the word must stand alone, before a stop, a dash, a mark or a line break.
_VERDICT = re.compile(
    r"\W*(yes|no|maybe)[\"'”’*_)]*(?:\s*[.,:;!–—][\"'”’*_)]*\s*|\s+-\s+|[^\S\n]*\n\s*|\s*(?=\[)|\s*\Z)", re.IGNORECASE
)
_DECLINED = re.compile(r"\W*not enough evidence[\"'”’*_)]*\s*(?:[.!:;]|\Z)", re.IGNORECASE)
_BEFORE_STOP = re.compile(rf"(?:\s*{_MARK.pattern})+\s*(?=[.,;:!?](?:\s|\Z)|\Z)")
_ITEM = re.compile(r"(?:[-*+•]|\d{1,2}[.)])\s+")
_EVIDENCE = re.compile(r"^[*_# \t]*evidence(?:[*_ \t]*:[*_ \t]*|[*_ \t]*$)", re.IGNORECASE | re.MULTILINE)
_SHAPED = (Form.YES_NO, Form.CHOICE, Form.FACTOID, Form.LIST)
_CUT_OFF = "the model was cut off at its token limit"
_LEFT_OUT = f"{_CUT_OFF}; an unfinished sentence is left out"
_LIMITED = "the model stated its verdict under a condition, so no verdict is taken from it"
# A sentence that came to its end, with the marks behind it.
# After these a stop is no end: of "0.85", of "vs. placebo", of "J. Med", of an ellipsis. "The score was 5." looks alike
# and is left out too, for half a number is worse than a sentence less.
_HALF = re.compile(
    r"(?:\d|\.|\b(?:[a-z]|vs|eg|ie|etc|approx|ca|cf|al|nos?|nr|figs?|eqs?|refs?|vol|tab|drs?|mr|mrs|ms|prof|st|incl|esp|"
    r"resp|viz))\.[\"'”’*_)]*\s*\Z",
    re.IGNORECASE,
)
_WHOLE = re.compile(rf"[.!?][\"'”’*_)]*(?:\s*{_MARK.pattern})*\s*\Z|[.!?]\s*\Z")


class PromptedReader:
    """Shows a generator the question and the passages, and splits what it writes into claims.

    Args:
        generator: Any ``Generator``. If it also is a ``Scorer``, yes/no verdicts come with a probability.
        params: How to decode.
    """

    def __init__(self, generator: Generator, params: GenerationParams | None = None) -> None:
        self._generator = generator
        self._params = params or GenerationParams()
        self._form: Form | None = None
        self._options: Mapping[str, str] = {}

    def asking(self, form: str, options: Mapping[str, str] | None = None) -> PromptedReader:
        """Return a reader that asks for answers in a form, and reads them strictly; see ``radrag.reading.forms``.

        Args:
            form: One of ``Form``; free text and summaries are asked for as ever.
            options: Options by letter, for a choice.
        """
        other = copy(self)
        other._form = Form(form) if form in _SHAPED else None
        other._options = dict(options or {})
        return other

    def writing(self, generator: Generator, params: GenerationParams) -> PromptedReader:
        """Return a reader that asks for the same form from another generator."""
        other = copy(self)
        other._generator, other._params = generator, params
        return other

    @property
    def fingerprint(self) -> str:
        """What decides its drafts: the generator, the decoding and the prompts."""
        name = getattr(self._generator, "fingerprint", type(self._generator).__name__)
        return f"prompted:{name}:{prompts.fingerprint()}:{self._params}"

    def read(self, questions: Sequence[str], hits: Sequence[Sequence[Hit]]) -> list[Draft]:
        """Draft one answer for each question.

        If the generator says what fits its context window (a method ``fits``, as ``LlamaGenerator`` has), prompts fit
        it: the weakest passages are left out whole, and of the best one, if it is too long alone, all but the sentences
        nearest to the question; see ``fit_passages``. Notes of the draft say so. Where not even one sentence fits,
        nothing is asked, and the draft is empty with 0 passages ``shown``.

        Raises:
            PromptError: If a prompt without question and passages does not fit.
        """
        made = [self._fitted(question, found) for question, found in zip(questions, hits, strict=True)]
        places = [place for place, one in enumerate(made) if one.chat is not None]
        chats = [one.chat for one in made if one.chat is not None]
        drafts = self._drafts([questions[place] for place in places], chats, [made[place].notes for place in places])
        read = dict(zip(places, drafts, strict=True))
        return [replace(read.get(n, Draft(dropped=one.notes)), shown=one.shown) for n, one in enumerate(made)]

    def read_alone(self, questions: Sequence[str]) -> list[Draft]:
        """Draft answers from the question alone: the baseline."""
        chats = [self._chat(question, None) for question in questions]
        return self._drafts(questions, chats, [()] * len(chats))

    def _fitted(self, question: str, hits: Sequence[Hit]) -> Fitted:
        known: Any = getattr(self._generator, "fits", None)
        room = self._params.max_new_tokens

        def make(shown: Sequence[Hit]) -> Chat:
            return self._chat(question, shown)

        def fits(chat: Chat) -> bool:
            return known is None or bool(known(chat, room))

        found = fit_passages(question, hits, make, fits)
        if found.chat is None and not fits(self._chat("", ())):
            raise PromptError(
                f"a prompt without question and passages leaves no room for a reply of max_new_tokens={room} in the "
                "model's context window; pass params=GenerationParams(max_new_tokens=...) with less, or load a model "
                "with a longer context"
            )
        return found

    def _chat(self, question: str, hits: Sequence[Hit] | None) -> Chat:
        if self._form is not None:
            return prompts.form_chat(self._form, question, hits, self._options)
        return prompts.answer_alone_chat(question) if hits is None else prompts.answer_chat(question, hits)

    def _drafts(self, questions: Sequence[str], chats: list[Chat], dropped: Sequence[tuple[str, ...]]) -> list[Draft]:
        replies = self._generator.generate(chats, self._params) if chats else []
        form = self._form
        asked = [is_yes_no(one) if form is None else form is Form.YES_NO for one in questions]
        chances = self._chances([chat for chat, wanted in zip(chats, asked, strict=True) if wanted])
        return [
            parse_reply(reply, wanted, next(chances) if wanted else {}, lost)
            if form is None
            else parse_shaped(reply, form, self._options, next(chances) if wanted else {}, lost)
            for reply, wanted, lost in zip(replies, asked, dropped, strict=True)
        ]

    def _chances(self, chats: list[Chat]) -> Iterator[dict[str, float]]:
        """Yield the probability of each verdict for each chat, or nothing known if the generator cannot score."""
        score: Any = getattr(self._generator, "score", None)
        if score is None or not chats:
            return iter([{}] * len(chats))
        logs = np.asarray(score(chats, [f"{verdict.capitalize()}." for verdict in VERDICTS]))
        odds = np.exp(logs - logs.max(axis=1, keepdims=True))
        return (dict(zip(VERDICTS, map(float, row), strict=True)) for row in odds / odds.sum(axis=1, keepdims=True))


def parse_reply(reply: Generation, yes_no: bool, chances: dict[str, float], dropped: tuple[str, ...] = ()) -> Draft:
    """Split a reply into claims with their marks, and take a leading yes, no or maybe as the verdict.

    A verdict is only taken from the first word, where that stands alone; it is never guessed from the rest. A reply
    that declines gives no claim.
    """
    text = reply.text.strip()
    verdict = None
    stated = _VERDICT.match(text) if yes_no else None
    limited = stated is not None and is_limited(text[stated.end(1) :])
    if stated and not limited:
        verdict = Verdict(stated.group(1).lower(), chances)
    else:
        stated = None
    notes = []
    if yes_no and verdict is None:
        notes.append(_LIMITED if limited else "the model did not begin with yes, no or maybe")
    body = text[stated.end() :] if stated else text
    if _DECLINED.match(body):
        return Draft(text=reply.text, dropped=tuple(dropped))
    claims, cut = _finished_claims(body, reply)
    return Draft(claims, verdict, reply.text, (*dropped, *cut, *notes))


def parse_shaped(
    reply: Generation,
    form: Form,
    options: Mapping[str, str],
    chances: dict[str, float],
    dropped: tuple[str, ...] = (),
) -> Draft:
    """Read a reply to ``prompts.form_chat``: the answer, strictly, and the claims under "Evidence:".

    An answer that cannot be read is none, and a note says why; the claims are kept. A reply without that line gives as
    claims what stands beside its answer. A list or short answer at whose end the model was cut off is not read.
    """
    text = reply.text.strip()
    found = _EVIDENCE.search(text)
    head = text[: found.start()].strip() if found else text
    if _DECLINED.match(head):
        return Draft(text=reply.text, dropped=dropped)
    claims, cut = _finished_claims(text[found.end() :] if found else _beside(text, form, options), reply)
    notes = (*dropped, *cut)
    one_answer = form in (Form.YES_NO, Form.CHOICE)  # whose evidence may state another
    if not (reply.finished or found or one_answer):
        return Draft(claims, None, reply.text, notes, unread=str(Failure.CUT_OFF))
    read = parse(form, _unmarked(text if one_answer and head else head), options)
    if read.failure:
        detail = f" ({' '.join(read.detail.split())})" if read.detail else ""
        notes = (*notes, f"the reply could not be read as {form}: {read.failure}{detail}")
    verdict = Verdict(read.value, chances) if form is Form.YES_NO and isinstance(read.value, str) else None
    return Draft(claims, verdict, reply.text, notes, value=read.value, unread=str(read.failure))


def _finished_claims(text: str, reply: Generation) -> tuple[tuple[DraftClaim, ...], tuple[str, ...]]:
    """Return the claims of a text without a sentence in which the model was cut off, and a note if it was cut off."""
    claims = parse_claims(text)
    if reply.finished:
        return claims, ()
    if not claims or (_WHOLE.search(text) and not _HALF.search(text)):
        return claims, (_CUT_OFF,)
    return claims[:-1], (_LEFT_OUT,)


def _beside(text: str, form: Form, options: Mapping[str, str]) -> str:
    """Return what a reply without a line "Evidence:" states beside its answer."""
    if text[:1] in ("{", "`") or text[:2] in ('["', "['"):
        return ""  # fields are no statements
    if form is Form.YES_NO and (stated := _VERDICT.match(text)):
        return text[stated.end() :]
    first, _, rest = text.partition("\n")
    if form is Form.CHOICE and parse(form, _unmarked(first), options).value is not None:
        return rest
    return text


def _unmarked(text: str) -> str:
    """Return text without citation marks, and without the space that they leave before a stop."""
    return _MARK.sub("", re.sub(rf"[^\S\n]*{_MARK.pattern}(?=\s*(?:[.,;:!?]|\n|\Z))", "", text))


def parse_claims(text: str) -> tuple[DraftClaim, ...]:
    """Split text into sentences, each with the citation marks in it or right behind it; list bullets are left out."""
    claims: list[DraftClaim] = []
    for start, end in split_sentences(text):
        part = text[start:end]
        behind = _LEADING_MARKS.match(part)
        if behind and claims:
            last = claims.pop()
            claims.append(DraftClaim(last.text, (*last.keys, *_keys(behind.group()))))
            part = part[behind.end() :]
        if text[:start].rstrip(" \t")[-1:] in ("", "\n"):
            part = _ITEM.sub("", part, count=1) if _ITEM.match(part) else part
        stated = " ".join(_MARK.sub(" ", _BEFORE_STOP.sub("", part)).split())
        if re.search(r"\w", stated):
            claims.append(DraftClaim(stated, _keys(part)))
    return tuple(claims)


def _keys(text: str) -> tuple[int, ...]:
    return tuple(int(number) for match in _MARK.finditer(text) for number in re.findall(r"\d+", match.group(1)))
