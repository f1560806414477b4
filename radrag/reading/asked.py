"""Which form of answer a question asks for, by its wording."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

from radrag.reading.verdict import is_yes_no

_LIST_ASK = re.compile(
    r"^\s*(?:please\s+)?(?:list|enumerate|name (?:\d|the|some|two|three|four|five)|give (?:examples|a list))\b|"
    r"\b(?:which|what) (?:are|were) (?:the|some|all|other)?\b|^\s*(?:which|what) (?:\w+ ){0,3}?\w+s (?:are|were|have|"
    r"can|do|could|does|cause|that)\b|\b(?:list|enumerate) (?:the|all|some|as many|\w+s)\b",
    re.IGNORECASE,
)
_SUMMARY_ASK = re.compile(
    r"^\s*(?:please\s+)?(?:describe|explain|summari[sz]e|discuss|define|compare|outline|elaborate|provide|tell|report)\b|"
    r"^\s*(?:how (?:do|does|did|can|is|are|could|has|have|was|were|should)|why)\b|"
    r"\bmechanisms? of action\b|\bwhat (?:is|are|was|were) (?:the )?(?:known|role|roles|function|functions|relation\w*|"
    r"difference\w*|effects?|evidence|principles?|purposes?|aims?|mechanisms?|association|link|connection|basis|advantages?|"
    r"idea|use|uses|definition|importance|rationale|impact)\b|^\s*what (?:do|does) \w+.* (?:do|mean)\b|"
    r"\bwhat is known\b|\bwhat do you know\b",
    re.IGNORECASE,
)
_FACTOID_ASK = re.compile(
    r"^\s*(?:in |on |for |to |by |from |at |with |of |under )?(?:which|who|whom|whose|when|where|how (?:many|much|"
    r"often|long|large|common|old|frequent)|what (?:percent\w*|proportion|number|type|kind|gene|protein|disease|drug|"
    r"enzyme|year|dose|chromosome|does \w+ stand|is the (?:\w+ ){0,3}(?:name|number|gene|cause|incidence|prevalence|"
    r"target|dose|size|frequency|most|inheritance|main|first|percentage|rate|generic|brand|causative|drug|"
    r"treatment of)|(?!is\b|are\b|was\b|were\b|do\b|does\b|did\b|has\b|have\b|can\b)\w+))\b|"
    r"\b(?:which|who|whom|trade ?name|brand name)\b",
    re.IGNORECASE,
)


class Form(StrEnum):
    """What an answer looks like."""

    TEXT = "text"
    YES_NO = "yesno"
    CHOICE = "choice"
    FACTOID = "factoid"
    LIST = "list"
    SUMMARY = "summary"


def recognise(question: str, options: Mapping[str, str] | None = None) -> Form:
    """Say which form a question asks for; ``Form.TEXT`` where its wording does not tell.

    Args:
        question: The question.
        options: Options by letter; with them it is a choice.
    """
    if options:
        return Form.CHOICE
    if is_yes_no(question) or re.search(r"\byes or no\b", question, re.IGNORECASE):
        return Form.YES_NO
    for form, asks in ((Form.SUMMARY, _SUMMARY_ASK), (Form.LIST, _LIST_ASK), (Form.FACTOID, _FACTOID_ASK)):
        if asks.search(question):
            return form
    return Form.SUMMARY if re.match(r"\s*what\b", question, re.IGNORECASE) else Form.TEXT
