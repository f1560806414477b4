"""How many people, animals or joints a study says it enrolled."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ONES = {
    word: number
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen".split()
    )
}
_TENS = {
    word: 10 * number
    for number, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2)
}
_WORD = "|".join(sorted([*_ONES, *_TENS, "hundred", "thousand"], key=len, reverse=True))
_NUMBER = (
    rf"(?:\d{{1,3}}(?:[,\u00a0\u202f\u2009 ]\d{{3}}(?!\d))+|\d+|(?:{_WORD})(?:(?:[\s-]+and[\s-]+|[\s-]+)(?:{_WORD}))*)"
)
_WHO = (
    r"(?:patients?|participants?|adults?|children|infants?|newborns?|neonates?|toddlers?|adolescents?|teenagers?|women|"
    r"men|mothers?|girls?|boys?|subjects?|people|persons?|individuals?|volunteers?|smokers?|outpatients?|inpatients?|"
    r"students?|nurses?|veterans?|survivors?|drivers?|users?|controls|cases|eyes|knees|hips|shoulders|animals?|rats?|"
    r"mice|dogs?|pigs?|swine|rabbits?|samples|diabetics|residents|households)"
)
_BETWEEN = (
    r"(?:(?!\b(?:of|to|in|with|from|for|by|on|at|trials?|studies|centres?|centers?|sites?|years?|weeks?|days?|hours?|"
    r"min|mg|mm|ml)\b)[A-Za-z][\w/-]*\s+){0,5}"
)
_COUNTED = re.compile(
    rf"(?<![\d.,=<>±/–-])(?<!\d[.,]\s)\b(?P<n>{_NUMBER})\s+(?P<gap>{_BETWEEN})(?P<who>{_WHO})\b", re.IGNORECASE
)
_STATED = re.compile(
    r"\b[nN]\s*=\s*(?P<n>\d{1,3}(?:[, ]\d{3})+|\d+)(?!\s*%|\.\d)(?P<each>\s+(?:in|for|per)?\s*each\b)?"
)
_ALONE = re.compile(
    rf"\b(?P<n>{_NUMBER})\s+(?:consecutive\s+|eligible\s+)?(?:were|was)\s+(?:then\s+)?(?:randomi[sz]ed|enrolled|included|"
    r"recruited|allocated|assigned)",
    re.IGNORECASE,
)
_GROUPS = re.compile(
    rf"\b(?P<k>two|three|four|2|3|4) (?:\w+ ){{0,2}}(?:groups?|arms?) of (?P<n>{_NUMBER})\b", re.IGNORECASE
)
_PART = re.compile(
    r"\b(?:had|developed|died|underwent|showed|experienced|completed|withdrew|needed|required|reported|finished|succeeded|"
    r"responded|improved|dropped)\b",
    re.IGNORECASE,
)
_ENROLLED = re.compile(
    r"\b(?:randomi[sz]\w+|enrol\w*|recruit\w*|includ\w+|allocat\w+|assign\w+|studied|compared|followed|treated|divided|"
    r"examined|measured|reviewed|analy[sz]ed|given|took|pooled|data|trial|study|cohort|tested|received|consecutive)\b",
    re.IGNORECASE,
)
_AGAINST = re.compile(
    rf"\bcompared with (?P<n>{_NUMBER})(?!\s*%|\.\d)|\band (?P<m>{_NUMBER}) (?:to|in) (?:the )?"
    r"(?:placebo|control|usual|standard|sham|no|landmark\w*|other|comparison)\b",
    re.IGNORECASE,
)
_OTHER_GROUP = re.compile(r"\b(?:compared with|with|versus|and|or)\s+(?:\w+\s+){0,2}\(?$", re.IGNORECASE)
_COMPARES = re.compile(r"\b(?:compar\w+|versus|matched|treated with)\b", re.IGNORECASE)
_SPLIT = re.compile(r"(?<=[.?!])\s+(?=[A-Z\d])")
_GROUPS_AT_LEAST = 2


@dataclass(frozen=True, slots=True)
class SampleSize:
    """How many a study enrolled, and where it says so.

    Attributes:
        n: The number.
        start: Offset of the words it is read from.
        end: Offset after them.
        summed: Whether it is the sum of groups that the text gives; the total itself is not stated then.
    """

    n: int
    start: int
    end: int
    summed: bool = False


def as_number(words: str) -> int | None:
    """Read ``"1,052"``, ``"ninety-nine"`` or ``"five hundred and eighty-three"``; None for anything else."""
    plain = re.sub(r"[,\s\u202f\u2009](?=\d{3}(?!\d))", "", words.strip())
    if plain.isdigit():
        return int(plain)
    total, current = 0, 0
    for part in re.split(r"[\s-]+", words.strip().lower()):
        if part == "and":
            continue
        if part in _ONES or part in _TENS:
            current += _ONES.get(part, 0) or _TENS.get(part, 0)
        elif part == "hundred":
            current = max(current, 1) * 100
        elif part == "thousand":
            total, current = total + max(current, 1) * 1000, 0
        else:
            return None
    return total + current


def sample_size(text: str) -> SampleSize | None:
    """Find the enrolled total of a study in its abstract.

    The first sentence that counts people (or animals, eyes, joints) and speaks of enrolling, treating or comparing
    them decides, and its largest count is taken; where it counts groups only, their sum. Counts of those who had an
    event, and numbers of centres, trials, years and doses, are not counts of people. None is better than a guess: a
    text that states none gives none.
    """
    position = 0
    first: SampleSize | None = None
    for sentence in _SPLIT.split(text):
        start = text.index(sentence, position)
        position = start + len(sentence)
        found = _in_sentence(sentence, start, first is not None)
        if found is not None and _ENROLLED.search(sentence):
            return found if first is None or first.n < found.n else first
        first = first or found
    return first


def _in_sentence(sentence: str, offset: int, later: bool) -> SampleSize | None:
    groups = _GROUPS.search(sentence)
    if groups:
        each, count = as_number(groups["n"]), as_number(groups["k"])
        if each and count:
            return SampleSize(each * count, offset + groups.start(), offset + groups.end(), summed=True)
    counts = _counts(sentence, later)
    stated = [(as_number(one["n"]), one) for one in _STATED.finditer(sentence)]
    named = [(n, one) for n, one in stated if n]
    total = sum(n for n, _ in named) if len(named) >= _GROUPS_AT_LEAST else 0
    if counts:
        n, start, end = max(counts, key=lambda one: one[0])
        if n >= total:
            return _joined(sentence, counts, offset) or SampleSize(n, offset + start, offset + end)
    if total:
        return SampleSize(total, offset + named[0][1].start(), offset + named[-1][1].end(), summed=True)
    if named and not named[0][1]["each"]:
        n, one = named[0]
        return SampleSize(n, offset + one.start(), offset + one.end())
    return None


def _counts(sentence: str, later: bool) -> list[tuple[int, int, int]]:
    found = []
    for pattern in (_COUNTED, _ALONE):
        for one in pattern.finditer(sentence):
            n = as_number(one["n"])
            if n is None or n <= 0 or (later and _is_part(sentence, one)):
                continue
            found.append((n, one.start(), one.end()))
    return found


def _is_part(sentence: str, one: re.Match[str]) -> bool:
    """Say whether a count is of some only: ``18 of 90 patients`` counts ninety, ``12 patients died`` counts a part."""
    after = sentence[one.end() : one.end() + 25]
    return bool(_PART.match(after.strip())) and not _ENROLLED.search(sentence[: one.start()] + " " + after)


def _joined(sentence: str, counts: list[tuple[int, int, int]], offset: int) -> SampleSize | None:
    """Add up two groups that are set against each other: ``116 patients ... were compared with 128``."""
    if len(counts) == 1:
        n, start, end = counts[0]
        other = _AGAINST.search(sentence, end)
        more = as_number(other["n"] or other["m"]) if other else None
        return SampleSize(n + more, offset + start, offset + other.end(), summed=True) if other and more else None
    if len(counts) != _GROUPS_AT_LEAST:
        return None
    (one, start, end), (two, later, last) = sorted(counts, key=lambda count: count[1])
    if _OTHER_GROUP.search(sentence[end:later]) and _COMPARES.search(sentence):
        return SampleSize(one + two, offset + start, offset + last, summed=True)
    return None
