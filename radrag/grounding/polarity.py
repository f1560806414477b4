"""What turns a claim round although its words stand in the source: negation, direction, order, people, certainty."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Sequence

from radrag.grounding import lexicon
from radrag.grounding.alignment import Word
from radrag.grounding.lexicon import stem_of
from radrag.indexes.function_words import STOPWORDS

_CLAUSE = re.compile(r"[,;:](?=\s)|\b(?:but|although|though|whereas|while|however)\b", re.I)
_ANY_WORD = re.compile(r"[^\W\d_]+")
_HYPHEN = re.compile(
    r"\b(un|non|pre|post|ante|hypo|hyper|over|under|intra|extra|anti|sub|supra|infra|in|dis)-(?=[^\W\d_])"
)
_TOKEN = re.compile(r"\d+(?:[.,·]\d+)*|[^\W\d_]+(?:-?\d+)?")
_LOW_P = re.compile(
    r"\bp(?:[- ]?values?)? ?(?:(?:<|≤|of less than|less than) ?0?[.·]0[0-5]|(?:=|of|was)? ?0?[.·]0[0-4])", re.I
)
Pairs = Sequence[tuple[Word, Word]]  # a word of the claim, and the one of the source that stands for it


def region(source: str, pairs: Pairs) -> tuple[int, int]:
    """Return the clauses of a sentence that hold the words aligned to a claim."""
    if not pairs:
        return 0, len(source)
    low, high = min(word.start for _, word in pairs), max(word.end for _, word in pairs)
    starts = [match.end() for match in _CLAUSE.finditer(source, 0, low)]
    after = _CLAUSE.search(source, high)
    return (starts[-1] if starts else 0), (after.start() if after else len(source))


def negation_flips(claim: str, source: str, pairs: Pairs) -> float:
    """Return the share of negating words of either side whose clause has fewer of them on the other side.

    The word of a cue is the next aligned one in its clause, else the one before it.
    """
    ours, theirs = _cues(claim), _cues(source)
    if lexicon.NULL.search(claim) and lexicon.NULL.search(source):
        ours, theirs = _outside_null(claim, ours), _outside_null(source, theirs)
    forward = [(one, two) for one, two in pairs]
    back = [(two, one) for one, two in pairs]
    flips = _unanswered(claim, ours, source, theirs, forward) + _unanswered(source, theirs, claim, ours, back)
    return sum(flips) / len(flips) if flips else 0.0


def _unanswered(
    text: str, cues: list[tuple[int, int]], other: str, answers: list[tuple[int, int]], pairs: Pairs
) -> list[bool]:
    """Say for each cue that has an aligned word in its clause whether the other side's clause negates nothing."""
    found = []
    for low, high in cues:
        begin, end = _clause_of(text, low, high)
        near = [(word.start < low, abs(word.start - low), two) for word, two in pairs if begin <= word.start < end]
        if not near and text[end : end + 1] == ":":  # "Do not use: dopamine" negates what follows
            found.append(len(cues) > len(answers))
        if near:
            target = min(near, key=lambda item: item[:2])[2]
            first, last = _clause_of(other, target.start, target.end)
            ours = sum(begin <= cue[0] < end for cue in cues)
            theirs = sum(first <= cue[0] < last for cue in answers)
            found.append(ours > theirs and not (theirs == 0 and lexicon.NULL.search(other, first, last)))
    return found


def _clause_of(text: str, low: int, high: int) -> tuple[int, int]:
    starts = [match.end() for match in _CLAUSE.finditer(text, 0, low)]
    after = _CLAUSE.search(text, high)
    return (starts[-1] if starts else 0), (after.start() if after else len(text))


def cue_surplus(claim: str, source: str) -> bool:
    """Whether one of claim and source clause is negated or null and the other neither."""
    ours = bool(_cues(claim)) or bool(lexicon.NULL.search(claim))
    theirs = bool(_cues(source)) or bool(lexicon.NULL.search(source))
    return ours != theirs


def null_conflict(claim: str, source: str) -> bool:
    """Whether one says that nothing differed, and the other states a change or difference there."""
    ours, theirs = lexicon.NULL.search(claim), lexicon.NULL.search(source)
    if bool(ours) == bool(theirs):
        return False
    asserting = source if ours else claim
    return bool(_directions(asserting)) or bool(lexicon.SIGNIFICANT.search(asserting))


def direction_conflict(claim: str, clause: str, sentence: str) -> str:
    """Return the axis on which a claim goes another way than the source, or "".

    It does if the clause only goes the other way, or if the claim has more of one way than the whole sentence, and the
    sentence more of the other.
    """
    ours, near, all_ = _directions(claim), _directions(clause), _directions(sentence)
    for axis in ("amount", "worth"):
        up, down = (axis, 1), (axis, -1)
        for one, other in ((up, down), (down, up)):
            opposed = ours[one] and not ours[other] and near[other] and not near[one]
            if opposed or (ours[one] > all_[one] and all_[other] > ours[other]):
                return axis
    return ""


def null_elsewhere(claim: str, clause: str, passage: str) -> bool:
    """Whether a claim goes one way, its clause goes no way, and the passage says somewhere that nothing differed."""
    return direction_surplus(claim, clause) and not lexicon.NULL.search(claim) and bool(lexicon.NULL.search(passage))


def direction_surplus(claim: str, source: str) -> bool:
    """Whether a claim states a direction and the source states none."""
    return bool(_directions(claim)) and not _directions(source)


def opposite_words(claim: str, source: str) -> tuple[str, ...]:
    """Return words that a claim has more often than the source, while the source has more of their opposites."""
    table = lexicon.opposites()
    ours, theirs = _stems(claim), _stems(source)
    found = [
        word
        for word, others in table.items()
        if ours[word] > theirs[word] and any(theirs[other] > ours[other] for other in others)
    ]
    spelt, there = _spelt(claim), _spelt(source)
    for word in spelt:
        if spelt[word] > there[word] and any(there[other] > spelt[other] for other in lexicon.prefixed(word)):
            found.append(word)
    return tuple(dict.fromkeys(found))


def group_conflicts(claim: Sequence[Word], source: Sequence[Word], passage: Sequence[Word]) -> tuple[str, ...]:
    """Return words that name people whom the passage does not name, while it names others in their place."""
    table = lexicon.groups()
    ours = Counter(group for word in claim for group in table.get(word.stem, ()))
    near = Counter(group for word in source for group in table.get(word.stem, ()))
    anywhere = near + Counter(group for word in passage for group in table.get(word.stem, ()))
    found = []
    for word in claim:
        for group in table.get(word.stem, ()):
            others = [other for other in anywhere if other[0] == group[0] and other != group]
            absent = bool(others) and not anywhere[group]
            replaced = ours[group] > near[group] and any(near[other] > ours[other] for other in others)
            if absent or replaced:
                found.append(word.text)
    return tuple(dict.fromkeys(found))


def exchanged(claim: str, source: str) -> tuple[str, str] | None:
    """Return two names or numbers of a near-copy that have changed places, or None."""
    ours, theirs = _TOKEN.findall(claim.lower()), _TOKEN.findall(source.lower())
    replaced: set[tuple[str, str]] = set()
    for kind, a, b, c, d in difflib.SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        if kind == "replace" and b - a <= 4 and d - c <= 4:
            replaced.update((one, two) for one in ours[a:b] for two in theirs[c:d] if one != two)
    for one, two in sorted(replaced):
        if (two, one) in replaced and one not in STOPWORDS and two not in STOPWORDS:
            return one, two
    there = _around(theirs)
    for one, between, two in sorted(_around(ours) - there):
        if (two, between, one) in there:
            return one, two
    return None


def _around(tokens: Sequence[str]) -> set[tuple[str, tuple[str, ...], str]]:
    """Return pairs of words with one to three others between them that are not "and" or "or"."""
    return {
        (tokens[n], between, tokens[n + size + 1])
        for size in (1, 2, 3)
        for n in range(len(tokens) - size - 1)
        if (between := tuple(tokens[n + 1 : n + 1 + size])) not in (("and",), ("or",))
        and tokens[n] not in STOPWORDS and tokens[n + size + 1] not in STOPWORDS and tokens[n] != tokens[n + size + 1]
    }  # fmt: skip


def overstated(claim: str, source: str) -> float:
    """Return 1 if a claim is certain where the source hedges, or tells a cause where it tells an association.

    .5 if the claim only drops the hedge, else 0.
    """
    causal = lexicon.CAUSAL.search(claim) and not lexicon.CAUSAL.search(source)
    if causal and lexicon.ASSOCIATED.search(source):
        return 1.0
    if lexicon.HEDGE.search(claim):
        return 0.0
    if lexicon.CERTAIN.search(claim) and not lexicon.CERTAIN.search(source):
        return 1.0
    return 0.5 if lexicon.HEDGE.search(source) else 0.0


def left_open(claim: str, source: str) -> bool:
    """Whether a claim states what its sentence only asks, supposes or means to find out."""
    return bool(lexicon.OPEN.search(source)) and not lexicon.STILL_OPEN.search(claim)


def added_absolutes(claim: str, source: str) -> bool:
    """Whether a claim says all, only or never where the source has no such word."""
    ours = {match[0].lower() for match in lexicon.ABSOLUTE.finditer(claim)}
    theirs = {match[0].lower() for match in lexicon.ABSOLUTE.finditer(source)}
    return bool(ours) and not theirs


def added_significance(claim: str, source: str) -> bool:
    """Whether a claim says significant and the source does not, or gives a p value above .05 only."""
    return bool(lexicon.SIGNIFICANT.search(claim)) and not (lexicon.SIGNIFICANT.search(source) or _LOW_P.search(source))


def _cues(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in lexicon.NEGATION.finditer(text)]


def _outside_null(text: str, cues: list[tuple[int, int]]) -> list[tuple[int, int]]:
    nulls = [match.span() for match in lexicon.NULL.finditer(text)]
    return [cue for cue in cues if not any(low <= cue[0] < high for low, high in nulls)]


def _directions(text: str) -> Counter[tuple[str, int]]:
    table = lexicon.signs()
    found = (table.get(word) or table.get(stem_of(word)) for word in _ANY_WORD.findall(text.lower()))
    return Counter(sign for sign in found if sign is not None)


def _spelt(text: str) -> Counter[str]:
    """Count words with the hyphens after a prefix taken out: "non-small-cell" has "nonsmall" and "cell"."""
    return Counter(_ANY_WORD.findall(_HYPHEN.sub(r"\1", text.lower())))


def _stems(text: str) -> Counter[str]:
    return Counter(stem_of(word) for word in _ANY_WORD.findall(text.lower()))
