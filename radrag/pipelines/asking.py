"""Which form of answer is asked for, and what a draft gives in it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from radrag.grounding.abstention import Reason, draft_reason
from radrag.pipelines.saving import question_hash
from radrag.protocols import Reader
from radrag.reading.asked import Form, recognise
from radrag.reading.forms import Failure
from radrag.types import Answer, Claim, Draft, Hit

Options = Mapping[str, str] | None
AUTO = "auto"
UNCHECKED = "the model gave its answer without a statement that could be checked"
NO_VERDICT = "the reader gives no yes or no: the question is not worded as one"


@dataclass(frozen=True, slots=True)
class Ask:
    """A form that a caller asked for.

    Attributes:
        form: The form.
        options: Options by letter, for a choice.
    """

    form: Form
    options: Mapping[str, str]

    def reader(self, reader: Reader) -> Reader:
        """Return a reader that asks for the form; the same reader if it cannot."""
        asks: Any = getattr(reader, "asking", None)
        return reader if asks is None else asks(self.form, self.options)

    @property
    def facts(self) -> dict[str, str]:
        """What a manifest holds of it: the form, and the hash of the options."""
        hashed = {"options_sha256": question_hash(json.dumps(self.options))} if self.options else {}
        return {"form": str(self.form), **hashed}


def asking(reader: Reader, ask: Ask | None) -> Reader:
    """Return a reader that asks for a form; the same reader if none is asked for."""
    return reader if ask is None else ask.reader(reader)


def by_form(
    questions: Sequence[str],
    form: str | None,
    options: Options,
    answer: Callable[[list[str], Ask | None], list[Answer]],
) -> list[Answer]:
    """Answer questions, those of one form together, and return the answers in order; see ``ask_of``."""
    asks = [ask_of(form, options, question) for question in questions]
    places: dict[str, list[int]] = {}
    for place, ask in enumerate(asks):
        places.setdefault("" if ask is None else ask.form, []).append(place)
    if len(places) < 2:
        return answer(list(questions), asks[0] if asks else ask_of(form, options))
    made: dict[int, Answer] = {}
    for own in places.values():
        made.update(zip(own, answer([questions[place] for place in own], asks[own[0]]), strict=True))
    return [made[place] for place in range(len(questions))]


def ask_of(form: str | None, options: Options, question: str = "") -> Ask | None:
    """Check a form and options as a caller gives them; None if there are neither.

    Args:
        form: One of ``Form``, or ``"auto"`` for that which the question's wording asks for.
        options: Options by letter; with them it is a choice.
        question: The question, for ``"auto"``.

    Raises:
        ValueError: If the form is unknown, options are not by letter, or a choice has fewer than two.
    """
    if form == AUTO:
        form = None if options else recognise(question)
    if form is None and not options:
        return None
    known = [str(one) for one in (*Form, AUTO)]
    if form is not None and form not in known:
        raise ValueError(f"form must be one of {', '.join(known)}, got {form!r}")
    asked = Form.CHOICE if form is None else Form(form)
    given = dict(options or {})
    if asked is not Form.CHOICE:
        if given:
            raise ValueError(f"options belong to the form 'choice', got form {str(asked)!r}; leave out one of the two")
        return Ask(asked, {})
    if len(given) < 2:
        raise ValueError(f"a choice needs two options or more, got {given}; pass options={{'A': ..., 'B': ...}}")
    for letter, text in given.items():
        if not re.fullmatch("[A-Z]", letter) or not isinstance(text, str) or not text.strip():
            raise ValueError(f"an option is a capital letter with its text, got {letter!r}: {text!r}")
    return Ask(asked, given)


def value_of(question: str, draft: Draft | None, ask: Ask | None) -> dict[str, Any]:
    """Return ``form``, ``value`` and ``unread`` of an answer; a form that nobody asked for has a yes or no at most.

    What was asked for is either read or unread, whoever answers; so is yes or no where the wording alone asks for it,
    as every prompt does too. Nobody was asked for a short answer or a list that the wording alone suggests: there is
    none, and nothing failed. Such a wording does not change the prompt by itself: ``recognise`` is right on 83 % of
    BioASQ 7b-9b's 1,497 questions, and adapters are trained on the prompt for free text. ``"auto"`` asks for it.
    """
    form = recognise(question) if ask is None else ask.form
    if draft is None:
        return {"form": str(form)}
    value, unread = draft.value, draft.unread
    if value is None and form is Form.YES_NO and draft.verdict is not None:
        value = draft.verdict.answer
    if value is None and draft.claims and not unread:
        named = ask is not None and form not in (Form.TEXT, Form.SUMMARY)
        unread = str(Failure.NONE if form is Form.YES_NO else Failure.UNNAMED if named else "")
    return {"form": str(form), "value": value, "unread": unread}


def value_notes(draft: Draft, claims: Sequence[Claim], hits: Sequence[Hit], ask: Ask | None) -> tuple[str, ...]:
    """Say that a reader cannot give the form, gave no statement with its answer, or words no cited passage has."""
    if ask is None or ask.form in (Form.TEXT, Form.SUMMARY) or draft.unread:
        return ()
    if draft.value is None and draft.verdict is None:
        quotes = f"the reader gives sentences and names no exact answer ({ask.form})"
        return (NO_VERDICT if ask.form is Form.YES_NO else quotes,) if draft.claims else ()
    if not hits:
        return ()
    if not claims:
        return (UNCHECKED,)
    cited = {one.passage_id for claim in claims if claim.supported for one in claim.citations}
    passages = [_plain(f"{hit.passage.title} {hit.passage.text}") for hit in hits if hit.passage.id in cited]
    if ask.form not in (Form.FACTOID, Form.LIST) or not passages:
        return ()
    items = (draft.value,) if isinstance(draft.value, str) else draft.value or ()
    missing = [item for item in items if not any(_plain(item) in passage for passage in passages)]
    return (f"not in the words of the cited passages: {'; '.join(missing)}",) * bool(missing)


def draft_notes(claims: Sequence[Claim]) -> tuple[str, ...]:
    """Say what a verifier could not tell, and which quotes are not those of the source."""
    unchecked = sum(claim.verdict == "unchecked" for claim in claims)
    altered = sum(len(claim.altered) for claim in claims)
    notes = (
        (unchecked, "statement could not be checked", "statements could not be checked"),
        (altered, "quote is not in the words of the source", "quotes are not in the words of the source"),
    )
    return tuple(f"{count} {one if count == 1 else many}" for count, one, many in notes if count)


def reason_of(draft: Draft, claims: Sequence[Claim], retrieves: bool) -> str:
    """Say why there is no answer, or "" if there is one."""
    if not retrieves:
        told = draft.claims or draft.verdict is not None or draft.value is not None
        return "" if told else Reason.SOURCELESS.value
    found = draft_reason([claim.verdict for claim in claims], any(claim.supported for claim in claims))
    if found is Reason.DECLINED and draft.value is not None:
        return Reason.UNSUPPORTED.value
    return "" if found is None else found.value


def _plain(text: str) -> str:
    words = re.findall(r"[^\W_]+", text.casefold())
    return f" {' '.join(words)} "
