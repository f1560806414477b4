"""Questions of a conversation, rewritten so that each stands alone."""

from __future__ import annotations

import re
from collections.abc import Sequence

from radrag.generation import prompts
from radrag.indexes.function_words import STOPWORDS
from radrag.indexes.tokens import tokenize
from radrag.protocols import Generator
from radrag.types import GenerationParams

_POINTS_BACK = re.compile(
    r"\b(?:it|its|they|them|their|theirs|those|these|he|she|his|her|him|the (?:former|latter|same)|such|"
    r"instead|otherwise|this|that)\b",
    re.IGNORECASE,
)
# "that" and "these" before a noun of the question itself, or after a verb of saying, point nowhere.
_HARMLESS = re.compile(
    r"\b(?:evidence|indication|likely|possible|probability|risk|chance|sign|fact|show\w*|suggest\w*|so|with|in|of|and) "
    r"that\b|\b(?:is|was|would) it (?:\w+ )?\w+ (?:to|that|if|for)\b|"
    r"\w+s? that (?:is|are|was|were|has|have|can|may)\b",
    re.IGNORECASE,
)
_ELLIPSIS = re.compile(
    r"^\W*(?:(?:and|or|but|also|what about|how about|what if|then|so|in|for|with|without|after|before|during|if|only|"
    r"even|same)\b|(?:why|how|when|where|since when)(?: not| so)?\W*$)",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+(?:[-/'’.][^\W_]+)*")
_MOST_TERMS = 12
_LONGEST = 400


def leans_back(question: str) -> bool:
    """Whether a question cannot be understood without what was asked before it."""
    return bool(_ELLIPSIS.search(question) or _POINTS_BACK.search(_HARMLESS.sub(" ", question)))


def by_rules(question: str, before: str) -> str:
    """Make a question stand alone by what was asked before it.

    A question that leaves words out (``And in children?``) gets the earlier one before it; one that points back (``How
    accurate is it?``) gets the earlier one's key terms behind it. No word is replaced: which thing a pronoun means is
    not guessed.

    Args:
        question: The question.
        before: The question before it, itself standing alone; "" if there is none.

    Returns:
        The question; itself, if it stands alone.
    """
    if not before or not leans_back(question):
        return question
    terms = key_terms(before, question)
    if not terms:
        return question
    if _ELLIPSIS.search(question) and len(before) <= _LONGEST:
        return f"{before.strip()} {question.strip()}"
    named = [term for term in terms if not term[0].isdigit()]  # a number says nothing without what it was said of
    return f"{question.strip()} ({', '.join((named or terms)[:_MOST_TERMS])})"


def key_terms(text: str, known: str = "") -> list[str]:
    """Return the content words of a text as written, in order, without those that ``known`` holds."""
    there = set(tokenize(known))
    found: dict[str, str] = {}
    for match in _WORD.finditer(text):
        word = match.group()
        stems = [stem for stem in tokenize(word) if stem not in STOPWORDS]
        if stems and word.lower() not in STOPWORDS and not there.issuperset(stems):
            found.setdefault(" ".join(stems), word)
    return list(found.values())


def by_model(
    question: str, history: Sequence[tuple[str, str]], generator: Generator, params: GenerationParams | None = None
) -> str:
    """Let a generator make a question stand alone.

    Its rewriting counts only if it is one question that keeps every content word and number asked and brings in none
    that stands neither in the question nor in the history; anything else is a guess.

    Args:
        question: The question.
        history: Questions and answers before it, oldest first.
        generator: Who writes.
        params: How; greedy and 96 tokens if left out.

    Returns:
        The rewritten question, or "" if what the generator wrote cannot be relied on.
    """
    chat = prompts.rewrite_chat(question, history)
    (reply,) = generator.generate([chat], params or GenerationParams(max_new_tokens=96, stop=("\n",)))
    text = " ".join(reply.text.split())
    known = " ".join([question, *(part for turn in history for part in turn)])
    invented = key_terms(text, known)
    lost = key_terms(_POINTS_BACK.sub(" ", question), text)
    sound = reply.finished and text.endswith("?") and text.count("?") == 1 and len(text) <= _LONGEST
    return text if sound and not invented and not lost else ""
