"""Whether the numbers of a claim stand in its source, with the same unit and bound, and belong to the same thing."""

from __future__ import annotations

import re
from collections.abc import Sequence

from radrag.grounding import numbers
from radrag.grounding.numbers import Quantity
from radrag.grounding.passage import Passage, ReadText

_GIVEN_TO = re.compile(
    r"\s*(?:\([^()]*\)\s*)?(?:on|with|in|for|after|under|by|without|had|of those|of the|among)\s", re.IGNORECASE
)
_ENDS = re.compile(r"[,;:.](?=\s|$)|\(|\b(?:and|versus|vs|against|compared|but|than|while|whereas)\b", re.IGNORECASE)

_TO = re.compile(r"\s*(?:to|-|–|through)\s*", re.IGNORECASE)
_AND = re.compile(r"\s*and\s*", re.IGNORECASE)
_BETWEEN = re.compile(r"\bbetween\s*$", re.IGNORECASE)
_FROM = re.compile(r"(?<!ranged )(?<!ranging )(?<!range )(?<!ranges )\bfrom\s*$", re.IGNORECASE)
_STEP = re.compile(r"\b(from|to|by)\s+(?:a |an |about |approximately )?[(]?$", re.IGNORECASE)


def number_features(
    stated: ReadText, passage: Passage, window: Sequence[int], main: int, notes: list[tuple[str, str]]
) -> dict[str, float]:
    """Measure the numbers of a claim against the sentences of ``window``, and the worst that is wrong with them."""
    sources = [passage.sentences[n] for n in window]
    near = [number for n in window for number in passage.sentences[n].numbers]
    missing = elsewhere = unit = bound = binding = limited = 0.0
    for number in stated.numbers:
        weight = 1.0 if number.stated or number.plain > 10 or number.loose else 0.2
        if numbers.bound_conflict(number, near):
            bound = 1.0
            notes.append(("bound", f"the source bounds {number.text} from the other side"))
        elif not any(numbers.matches(number, other) for other in passage.numbers):
            missing = max(missing, weight)
            if numbers.unit_conflict(number, passage.numbers):
                unit = 1.0
                notes.append(("unit", f"{number.text} has another unit in the source"))
            else:
                notes.append(("number missing", f"number {number.text} is not in the source"))
        elif not any(numbers.matches(number, other) for other in near):
            elsewhere = max(elsewhere, weight)
            notes.append(("number elsewhere", f"number {number.text} stands elsewhere in the source"))
        elif _bound_elsewhere(number, stated, passage.sentences[main]):
            binding = 1.0
            notes.append(("binding", f"{number.text} belongs to something else in the source"))
        elif limit := _limit_dropped(number, stated, sources):
            limited = 1.0
            notes.append(("number limited", f"{number.text}: {limit}"))
    return {
        "number missing": missing, "number elsewhere": elsewhere, "unit": unit, "bound": bound, "binding": binding,
        "number limited": limited,
    }  # fmt: skip


def _bound_elsewhere(number: Quantity, stated: ReadText, source: ReadText) -> bool:
    """Whether a claim speaks of what the source gives another number of the same kind, and not of what it gives this.

    What a number belongs to is what follows it after a preposition ("27% of the control group"), else what stands
    before it; and, in a second look, all of its clause with the other numbers there ("at 5 years").
    """
    own = [one for one in source.numbers if numbers.matches(number, one)]
    rivals = [one for one in source.numbers if one.unit == own[0].unit and one not in own] if own else []
    rivals = [one for one in rivals if not any(numbers.matches(other, one) for other in stated.numbers)]
    words = {word.stem for word in stated.words}
    for owner, ours in ((_owner, words), (_clause, words | {_name(one) for one in stated.numbers})):
        here = set().union(*(owner(one, source) for one in own))
        for rival in rivals:
            there = owner(rival, source)
            if (there - here) & ours and not (here - there) & ours and here - there:
                return True
    return False


def _clause(number: Quantity, source: ReadText) -> set[str]:
    """Return the words of a number's clause and its other numbers."""
    begin = max((match.end() for match in _ENDS.finditer(source.text, 0, number.start)), default=0)
    stop = _ENDS.search(source.text, number.end)
    end = stop.start() if stop else len(source.text)
    others = {_name(one) for one in source.numbers if begin <= one.start < end and one.start != number.start}
    return others | {word.stem for word in source.words if begin <= word.start < end}


def _name(number: Quantity) -> str:
    return f"{number.value:g} {number.unit}"


def _limit_dropped(number: Quantity, stated: ReadText, sources: Sequence[ReadText]) -> str:
    """Say what a claim leaves out of a number that its source only bounds, or gives as one end of a range, or ""."""
    said = []
    for source in sources:
        for n, one in enumerate(source.numbers):
            if not numbers.matches(number, one):
                continue
            pair = _partner(source, n)
            if one.bound != number.bound:
                said.append("the source gives it as a bound" if one.bound else "the source gives it as no bound")
            elif pair is not None and not any(numbers.matches(other, pair) for other in stated.numbers):
                said.append("the source gives it as one end of a range")
            elif not _same_step(stated.text[: number.start], source.text[: one.start]):
                said.append("the source has another of “from”, “to” and “by” before it")
            else:
                return ""
    return said[0] if said else ""


def _partner(source: ReadText, n: int) -> Quantity | None:
    """Return the other end of the range that a number belongs to; "rose from 3 to 4" is none."""
    for low, high in ((n, n + 1), (n - 1, n)):
        if low >= 0 and high < len(source.numbers):
            one, two = source.numbers[low], source.numbers[high]
            before = source.text[: one.start]
            if _TO.fullmatch(source.text[one.end : two.start]) and not _FROM.search(before):
                return source.numbers[low + high - n]
            if _AND.fullmatch(source.text[one.end : two.start]) and _BETWEEN.search(before):
                return source.numbers[low + high - n]
    return None


def _same_step(ours: str, theirs: str) -> bool:
    one, two = _STEP.search(ours), _STEP.search(theirs)
    return not (one and two) or one[1].lower() == two[1].lower()


def _owner(number: Quantity, source: ReadText) -> set[str]:
    after = _GIVEN_TO.match(source.text, number.start + len(number.text))
    if after:
        stop = _ENDS.search(source.text, after.end())
        end = stop.start() if stop else len(source.text)
        return {word.stem for word in source.words if after.end() <= word.start < end}
    begin = max((one.start + len(one.text) for one in source.numbers if one.start < number.start), default=0)
    breaks = [match.end() for match in _ENDS.finditer(source.text, begin, number.start)]
    begin = breaks[-1] if breaks else begin
    return {word.stem for word in source.words if begin <= word.start < number.start}
