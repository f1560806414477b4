"""What a text says its answer is: not under a condition, in the name of others, or by declining."""

from __future__ import annotations

import re

_DECLINED = re.compile(
    r"\W*(?:not enough (?:evidence|information)|(?:i am |i'm |we are )?(?:unable|not able) to (?:answer|determine|say)|"
    r"(?:it |this |the question )?can(?:not|'t)(?: be)? (?:answer|determine|say|tell)\w*|i (?:do not|don't|cannot) "
    r"(?:know|answer|say)|(?:the )?(?:information|answer|data) (?:is )?not (?:available|given|provided|known)|"
    r"unknown(?=\W*\Z|\s*[.,:;!?(\n])|"
    r"insufficient (?:evidence|information|data)|not (?:stated|mentioned|available|applicable|specified|known)|"
    r"n/a(?=\W*\Z)|(?-i:NA|na)(?=[\s.]*\Z)|none given)(?!\w)(?! (?:whether|if)\b.{80})",
    re.IGNORECASE,
)
# In the form of an item these words name none; as an option, or as a text, they may be the answer.
_NONE_NAMED = re.compile(
    r"\W*(?:none|nil|null|nothing)(?: (?:known|reported|identified|found|available|listed|"
    r"of (?:them|these|the above)))?\W*",
    re.IGNORECASE,
)
_STATED = re.compile(
    r"(?:^|(?<=[.!?:;,\n\"“])|(?<=\bso)|(?<=\bthus)|(?<=\bhence)|(?<=\btherefore))\W*"
    r"(?:(?:so|thus|hence|therefore|in conclusion|overall|final(?:ly)?)\W+)*"
    r"(?:the |my )?(?:final |correct |right |best )?(?:answer|choice|option|verdict)(?: to (?:the|this) question)?\s*"
    r"(?:is|would be|:)\W*(?=(?P<said>[^\n]{1,120}))",
    re.IGNORECASE | re.MULTILINE,
)
_CONDITION = re.compile(r"\b(?:if|whether|otherwise|when|in case|unless)\b[^.!?\n]*$", re.IGNORECASE)
# Whose words they are: "Some say: the answer is yes."
_OTHERS = re.compile(
    r"(?:\b(?:some|others|many|critics|opponents|proponents|people)\b[^.!?\n]*|\baccording to\b[^.!?\n]*|"
    r"\b(?:says?|said|claim(?:s|ed)?|argue[sd]?|asserts?|asserted|believe[sd]?|thinks?|thought|alleged?s?)\b[^.!?\n]*)$",
    re.IGNORECASE,
)
_LIMITS = re.compile(
    r"(?<!\beven )(?<!\bas )\bif\b|\bunless\b|(?<!\bnot )\bonly\b|\bexcept(?:ing)?\b|\bprovided that\b|\bas long as\b|"
    r"\bin case\b|\botherwise\b(?! (?:healthy|well|normal|fit|stable|asymptomatic|uncomplicated|unremarkable)\b)",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?]\W*(?:\s|\Z)|(?<![,;:–—-])\s*\n(?![^\S\n]*[a-z])")


def statements(text: str) -> list[str]:
    """Return what a text says the answer is, each with what follows it on its line.

    What it says only under a condition that stands before it, or says that others say, is left out.
    """
    found = []
    for match in _STATED.finditer(text):
        sentence = re.split(r"[.!?]\s|\n", text[: match.start("said")])[-1]
        if not (_CONDITION.search(sentence) or _OTHERS.search(sentence)):
            found.append(match["said"])
    return found


def declines(text: str) -> bool:
    """Whether a text begins by saying that there is no answer."""
    return _DECLINED.match(text) is not None


def names_none(item: str) -> bool:
    """Whether a short answer or an item of a list is none: it declines, or is the word."""
    return declines(item) or _NONE_NAMED.fullmatch(item) is not None


def is_limited(after: str) -> bool:
    """Whether an answer holds under a condition alone, by what stands behind it in its sentence.

    Args:
        after: The text from the end of the answer on, with the stop behind it: ``", if pregnant."``.
    """
    return _LIMITS.search(_SENTENCE_END.split(after, maxsplit=1)[0]) is not None
