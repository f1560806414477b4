"""Names of people: by a title, a label or a relation before them, by credentials after them, and by lists.

A name found with some certainty is then looked for everywhere else in the same text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from radrag.corpora.deidentify.lexicon import (
    Word,
    eponymous,
    is_clinical,
    is_common,
    is_free,
    is_given,
    is_name,
    is_surname,
    listed,
    phrases,
    words_of,
)
from radrag.corpora.deidentify.name_patterns import (
    AND,
    CALENDAR,
    CREDENTIAL,
    CUES,
    DOSE,
    GAELIC,
    GAP,
    INITIALS,
    PARTICLES,
)
from radrag.types.identifiers import Identifier, IdentifierKind


@dataclass(frozen=True, slots=True)
class _Run:
    """Words that may be one person's name."""

    words: tuple[Word, ...]
    inverted: bool

    @property
    def lows(self) -> list[str]:
        return [word.low for word in self.words if len(word.text) > 1 and word.low not in PARTICLES]


def find_names(text: str) -> Iterator[Identifier]:
    """Yield names of people, with the title before them."""
    words, cues = list(words_of(text)), _cues(text)
    sure: set[str] = set()
    taken: set[int] = set()
    at = 0
    while at < len(words):
        level, rule, cue_start = cues.get(words[at].start, (0, "list", words[at].start))
        run = _run(text, words, at, level)
        verdict = _verdict(text, run, level, rule) if run is not None else None
        if run is None or verdict is None:
            at += 1
            continue
        score, rule = verdict
        start, end = (cue_start if rule == "title" else run.words[0].start), _end(text, run)
        if rule == "title" and text[start : start + 3].lower() == "drs":
            _follow(text, end, cues)
        yield Identifier(start, end, text[start:end], IdentifierKind.NAME, score, f"names:{rule}")
        taken.update(word.start for word in run.words)
        if score >= 0.65:
            sure |= {
                word.low
                for word in run.words
                if len(word.text) > 2 and is_free(word.low) and word.low not in listed("name_never")
            }
        at += len(run.words)
    yield from _again(text, words, sure, taken)
    yield from _initials(text, cues)


def _cues(text: str) -> dict[int, tuple[int, str, int]]:
    """Level, rule and start of the strongest cue that ends right before each offset."""
    found: dict[int, tuple[int, str, int]] = {}
    for level, rule, pattern in CUES:
        for match in pattern.finditer(text):
            if rule == "title" and match[0][:2] in ("MR", "MS") and not text[match.end() : match.end() + 2].isupper():
                continue
            if match.end() not in found:
                found[match.end()] = (level, rule, match.start())
    for match in re.finditer(r"^[ \t]*(?:[-*•]|--|-)?[ \t]*(?=[A-Z])", text, re.MULTILINE):
        found.setdefault(match.end(), (1, "line", match.end()))
    return found


def _follow(text: str, end: int, cues: dict[int, tuple[int, str, int]]) -> None:
    match = AND.match(text, end)
    if match is not None:
        cues[match.end()] = (3, "label", match.end())


def _run(text: str, words: Sequence[Word], at: int, level: int) -> _Run | None:
    first = words[at]
    if not (_may_begin(text, first, level) or (at + 1 < len(words) and _monthly(text, first, words[at + 1]))):
        return None
    run, inverted = [first], False
    for word in words[at + 1 : at + 7]:
        gap = text[run[-1].end : word.start]
        if not GAP.fullmatch(gap) or not _may_continue(text, run, word, gap, level):
            break
        inverted = inverted or "," in gap
        run.append(word)
    while len(run) > 1 and run[-1].low in PARTICLES and not run[-1].capital:
        run.pop()
    return _Run(tuple(run), inverted)


def _monthly(text: str, word: Word, following: Word) -> bool:
    """Whether a month's name is a given name here: "June Park"."""
    side_by_side = text[word.end : following.start] == " " and following.capital
    return (
        word.capital and word.low in ("april", "may", "june", "august") and side_by_side and is_surname(following.low)
    )


def _may_begin(text: str, word: Word, level: int) -> bool:
    low = word.low
    if level == 3 and low in PARTICLES and re.match(r"\.?\s[A-Z]", text[word.end : word.end + 3]):
        return True
    if low in listed("name_never"):
        return False
    named = is_name(low)
    if not word.capital:
        if level >= 2:
            return (named and is_free(low) and len(low) > 2) or (level == 3 and len(low) > 3 and is_free(low))
        return len(low) >= 4 and is_given(low) and is_free(low)
    if level == 3:
        return named or word.initial or not is_common(low)
    if level == 2:
        return named or word.initial or is_free(low)
    return named or is_free(low) or (word.initial and text[word.end : word.end + 1] == ".")


def _may_continue(text: str, run: list[Word], word: Word, gap: str, level: int) -> bool:
    low = word.low
    if gap == "." and not (run[-1].initial and word.initial) and len(run[-1].text) > 1:
        return False
    if "." in gap and not run[-1].initial and run[-1].low not in PARTICLES:
        return False
    if low in PARTICLES and len(low) > 1 and (word.capital or not run[-1].initial) and not is_common(low):
        return True
    if re.match(r"\s?[:#]", text[word.end : word.end + 2]):
        return False
    if "," in gap:
        return _may_invert(text, run, word, level)
    if word.initial and not (low in "ai" and text[word.end : word.end + 1] not in (".", "'") and not run[-1].shouted):
        return run[-1].initial or not is_common(run[-1].low) or is_name(run[-1].low)
    if low in listed("name_never"):
        return False
    if '"' in gap or "“" in gap:
        return word.capital
    if not word.capital:
        return low in ("de", "la", "van", "von", "der", "del", "al", "bin", "ben", "dos", "da", "di") or (
            not run[0].capital and _lower_part(text, word, level)
        )
    return is_name(low) or is_free(low)


def _lower_part(text: str, word: Word, level: int) -> bool:
    """Whether a word without a capital goes on a name without one."""
    if len(word.low) == 1:
        return text[word.end : word.end + 1] == "."
    return len(word.low) > 3 and not is_common(word.low) and (is_name(word.low) or (level >= 2 and is_free(word.low)))


def _may_invert(text: str, run: list[Word], word: Word, level: int) -> bool:
    """Whether a comma stands between a surname and a given name."""
    if any(part.initial for part in run) or len(run) > 3 or not word.capital or CREDENTIAL.match(text, run[-1].end):
        return False
    if re.match(r"\s\d", text[word.end : word.end + 2]) and not word.initial:
        return False
    surname = is_surname(run[-1].low) or is_free(run[-1].low)
    if len(run) == 2 and not is_surname(run[0].low) and run[1].low not in PARTICLES and level < 3:
        return False
    return surname and (
        is_given(word.low) or (level == 3 and is_free(word.low)) or (word.initial and is_surname(run[-1].low))
    )


def _verdict(text: str, run: _Run, level: int, rule: str) -> tuple[float, str] | None:
    """Score and rule if this is a name."""
    end, lows = run.words[-1].end, run.lows
    certified = CREDENTIAL.match(text, _end(text, run)) is not None
    nun = (
        rule == "title"
        and eponymous(text, end)
        and all(is_name(low) for low in lows)
        and not certified
        and is_given(lows[0])
    )
    if nun and text[max(0, run.words[0].start - 7) : run.words[0].start].lower() == "sister ":
        return None
    if level == 3 and rule == "title" and (lows or any(word.initial for word in run.words)):
        return 0.95, "title"
    person = len(lows) > 1 and (level == 3 or (is_given(lows[0]) and is_free(lows[0])))
    if eponymous(text, end) and not certified and (not person or text[end : end + 2] in ("'s", "’s")):
        return None
    if certified and any(is_name(low) or is_free(low) for low in lows):
        return 0.9, "credential"
    if _is_town(run):
        return None
    if level >= 2:
        return _cued(text, run, level, rule)
    return _uncued(text, run)


def _is_town(run: _Run) -> bool:
    whole = " ".join(word.low for word in run.words)
    return whole in phrases("places") and not all(is_name(word.low) for word in run.words)


def _cued(text: str, run: _Run, level: int, rule: str) -> tuple[float, str] | None:
    first, lows = run.words[0], run.lows
    if not lows:
        dotted = text[first.end : first.end + 1] == "."
        return (0.7, rule) if dotted and rule in ("named", "apposition", "label") and len(run.words) > 1 else None
    plain = all(is_common(low) or is_clinical(low) for low in lows)
    if plain and len(lows) == 1 and is_given(lows[0]) and len(run.words) > 1:
        return 0.85, rule
    if plain and len(lows) == 1:
        person = is_given(lows[0]) or is_surname(lows[0])
        strict = level == 3 or rule in ("relation", "by", "named", "role")
        return (
            (0.7, rule)
            if person
            and strict
            and first.capital
            and (not is_clinical(lows[0]) or rule == "role" or (rule == "relation" and is_given(lows[0])) or level == 3)
            else None
        )
    if plain and not any(is_name(low) for low in lows):
        return None
    if (
        rule == "apposition"
        and len(run.words) == 1
        and not (is_given(lows[0]) if not first.capital else is_name(lows[0]))
    ):
        return None
    return (0.9 if level == 3 else 0.85), rule


def _uncued(text: str, run: _Run) -> tuple[float, str] | None:
    """Score and rule of a name that nothing announces."""
    words, lows = run.words, run.lows
    if not lows:
        return None
    if len(words) == 1:
        return _single(text, words[0])
    initials = any(word.initial for word in words)
    given, surname = [is_given(low) for low in lows], [is_surname(low) for low in lows]
    if run.inverted and surname[0] and given[-1] and len(lows) > 1 and not set(lows) <= CALENDAR:
        return 0.75, "names"
    abbreviated = words[0].initial and surname[-1] and not is_common(lows[-1])
    if not any(map(is_free, lows)) and not abbreviated and not (given[0] and (initials or any(surname[1:]))):
        return None
    return _with_initial(text, words, lows[0]) if initials and len(lows) == 1 else _several(text, run, given, surname)


def _single(text: str, word: Word) -> tuple[float, str] | None:
    end = word.end
    if _dosed(text, end) or not is_free(word.low) or (word.shouted and len(word.low) < 4):
        return None
    if is_given(word.low):
        return 0.7, "given name"
    listed_name = is_surname(word.low) or GAELIC.match(word.text) is not None
    short = len(word.low) < (5 if word.shouted else 3)
    return (0.6, "surname") if listed_name and word.capital and not short and text[end : end + 1] != ":" else None


def _with_initial(text: str, words: Sequence[Word], low: str) -> tuple[float, str] | None:
    end, free = words[-1].end, is_free(low)
    if words[0].initial and is_surname(low) and not is_common(low):
        return 0.7, "initial"
    dotted = words[-1].initial and text[end : end + 1] in (".", "'", "’", ",", ";", ")")
    lone = dotted and (is_given(low) or (free and not words[0].shouted))
    return (0.85, "initial") if lone or (free and is_name(low)) else None


def _several(text: str, run: _Run, given: Sequence[bool], surname: Sequence[bool]) -> tuple[float, str] | None:
    free = [is_free(low) for low in run.lows]
    if any(g and f for g, f in zip(given, free, strict=True)) or (given[0] and (surname[-1] or free[-1])):
        return 0.85, "names"
    initials = any(word.initial for word in run.words)
    if any(s and f for s, f in zip(surname, free, strict=True)) and (given[-1] or initials or all(free)):
        return 0.75, "names"
    unknown = all(free) and len(free) < 4 and not any(word.shouted for word in run.words)
    return (0.55, "unknown words") if unknown and not _dosed(text, run.words[-1].end) else None


def _dosed(text: str, end: int) -> bool:
    return DOSE.match(text, end) is not None


def _end(text: str, run: _Run) -> int:
    end = run.words[-1].end
    return end + 1 if len(run.words[-1].text) == 1 and text[end : end + 1] == "." else end


def _again(text: str, words: Sequence[Word], sure: set[str], taken: set[int]) -> Iterator[Identifier]:
    for word in words:
        if word.low in sure and word.low not in listed("clinical") and not eponymous(text, word.end):
            if word.start not in taken:
                yield Identifier(word.start, word.end, word.text, IdentifierKind.NAME, 0.7, "names:again")


def _initials(text: str, cues: dict[int, tuple[int, str, int]]) -> Iterator[Identifier]:
    for match in INITIALS.finditer(text):
        level, rule, _ = cues.get(match.start(), (0, "", 0))
        if level >= 2 and rule != "apposition":
            end = match.start() + len(match[0].rstrip())
            yield Identifier(match.start(), end, text[match.start() : end], IdentifierKind.NAME, 0.7, "names:initials")
