"""What the words around a finding make of it: present, absent, uncertain, historical, or merely asked about.

Source: NegEx (Chapman et al., J Biomed Inform 34(5), 2001) and ConText (Harkema et al., J Biomed Inform 42(5), 2009):
a cue reaches forward or backward until a word that ends its reach. Beyond them, a cue also stops at a comma, "and" or
"with" after which a statement of its own begins, and what two findings joined by "or" leave open is uncertain.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from radrag.labelling.findings.lexicon import compiled, context_cues
from radrag.types import Status

BEFORE, AFTER = 1, 2
_SIDES = {"before": BEFORE, "after": AFTER, "terms": 0}
_RANK = ("asked", "absent", "historical", "uncertain", "likely")
_STATUS = {"absent": Status.ABSENT, "historical": Status.HISTORICAL}
_VERB = (
    r"\b(?:is|are|was|were|has|have|had|remains?|appears?|shows?|demonstrates?|measures?|persists?|seems?|may|might"
    r"|could|can|cannot|represents?|contains?|overl(?:ies|ay)|projects?|improved|developed|suggests?|obscures?)\b"
)
_SEEN = (
    r"(?!\s+(?:now\s+|also\s+|clearly\s+|definitely\s+|being\s+|been\s+|again\s+)*(?:seen|present|noted|identified|"
    r"visible|visuali[sz]ed|evident|appreciated|demonstrated|detected|observed|found|suspected|suggested|shown|apparent))"
)
_STATES = re.compile(_VERB + _SEEN, re.IGNORECASE)
_ANY_VERB = re.compile(_VERB, re.IGNORECASE)
_JOINT = re.compile(r",|\band\b|\bwith\b|\bor\b|/|\bplus\b|\bas well as\b", re.IGNORECASE)
_AFFIRMS = re.compile(
    r"\s*(?:and\s+|with\s+)?(?:a\s+|an\s+|some\s+)?(?:mild|small|moderate|stable|unchanged|minimal|trace|tiny|marked|severe|persistent"
    r"|chronic|old|improv\w+|worsening|increas\w+|decreas\w+|mildly|there|status|healed|calcified|bibasilar|low lung"
    r"|residual|continued|streaky|\d)",
    re.IGNORECASE,
)
_SEEN_BEFORE = re.compile(
    r"\b(?:seen|identified|noted|present|visible|evident|appreciated|visuali[sz]ed)\s*$", re.IGNORECASE
)
_OR = re.compile(r"\bor\b|/|\bversus\b|\bvs\b|\bnor\b", re.IGNORECASE)
_AUXILIARY = re.compile(
    r"\b(?:is|are|was|were|has|have|remains?)(?: been| therefore| also| now| again)*\s*$", re.IGNORECASE
)
_SHORT = re.compile(r"(?:not|knot|non)$", re.IGNORECASE)
_HEDGE_REACH = 90  # characters; a hedge is about what follows at once


@dataclass(frozen=True, slots=True)
class Cue:
    """Words that change what is said of a finding, at ``start`` to ``end`` of a sentence.

    Attributes:
        kind: ``"absent"``, ``"uncertain"`` (possible), ``"likely"``, ``"historical"``, ``"asked"``, ``"pseudo"`` or
            ``"stop"``.
        sides: ``BEFORE``, ``AFTER`` or both: where it may stand relative to the finding.
        start: Offset in the sentence.
        end: Offset after it.
    """

    kind: str
    sides: int
    start: int
    end: int


@cache
def _patterns() -> list[tuple[str, int, re.Pattern[str]]]:
    return [
        (kind, _SIDES[side], compiled(patterns))
        for kind, table in context_cues().items()
        for side, patterns in table.items()
    ]


def find_cues(sentence: str) -> list[Cue]:
    """Find the cues of a sentence, in order; of those that overlap the longest stays."""
    found: dict[tuple[int, int], Cue] = {}
    for kind, side, pattern in _patterns():
        for match in pattern.finditer(sentence):
            start = match.end() - len(match.group().lstrip())
            known = found.get((start, match.end()))
            if known is None or known.kind == kind:
                found[start, match.end()] = Cue(kind, side | (known.sides if known else 0), start, match.end())
    kept: list[Cue] = []
    for cue in sorted(found.values(), key=lambda cue: (cue.start - cue.end, cue.start)):
        if all(cue.end <= other.start or cue.start >= other.end for other in kept):
            kept.append(cue)
    return sorted(kept, key=lambda cue: cue.start)


class Context:
    """The cues of one sentence and how far each of them reaches.

    Args:
        sentence: The sentence.
    """

    def __init__(self, sentence: str) -> None:
        self._sentence = sentence
        cues = find_cues(sentence)
        self._stops = [cue for cue in cues if cue.kind == "stop"]
        self._cues = [cue for cue in cues if cue.kind in _RANK]
        edges = {cue.start for cue in self._stops} | {place for place, mark in enumerate(sentence) if mark == ";"}
        self._edges = sorted(edges)
        self._joints = [match.span() for match in _JOINT.finditer(sentence)]
        self._breaks = sorted({*self._edges, *self._clauses()})

    def status(self, start: int, end: int) -> tuple[Status | None, Cue | None]:
        """Say what the sentence says of a finding named at ``start`` to ``end``.

        Returns:
            The status and the cue that made it so; None for present. The status is None where the finding is only
            asked about or looked for.
        """
        reaching = [cue for cue in self._cues if self._reaches(cue, start, end)]
        for kind in _RANK:
            of_kind = [cue for cue in reaching if cue.kind == kind]
            if of_kind:
                nearest = min(of_kind, key=lambda cue: (max(start - cue.end, cue.start - end, 0), cue.start))
                return (None if kind == "asked" else _STATUS.get(kind, Status.UNCERTAIN)), nearest
        return Status.PRESENT, None

    def alternatives(self, first: tuple[int, int], second: tuple[int, int]) -> Cue | None:
        """Return the "or" between two findings that leaves open which of them it is, if that joins them."""
        between = self._sentence[first[1] : second[0]]
        match = _OR.search(between)
        if match is None or second[0] < first[1] or len(between) > 45:
            return None
        if _ANY_VERB.search(between) or re.search(r"[,;]|\bwith\b", between[: match.start()]):
            return None
        return Cue("likely", BEFORE | AFTER, first[1] + match.start(), first[1] + match.end())

    def _clauses(self) -> list[int]:
        """Places of commas, "and" and "with" after which a statement of its own begins."""
        found = []
        ends = sorted([*(start for start, _ in self._joints), *self._edges, len(self._sentence)])
        for start, end in self._joints:
            joint = self._sentence[start:end].lower()
            stop = next(
                (place for place in ends if place >= end and self._sentence[end:place].strip()), len(self._sentence)
            )
            chunk = self._sentence[end:stop]
            own = _STATES.search(chunk) is not None or _AFFIRMS.match(chunk) is not None
            ended = joint == "," and _SEEN_BEFORE.search(self._sentence[:start]) is not None
            if joint == "with" or ended or (own and joint not in ("or", "/")):
                found.append(start)
        return found

    def _reaches(self, cue: Cue, start: int, end: int) -> bool:
        if start <= cue.start and cue.end <= end:
            return True
        if cue.end <= start and cue.sides & BEFORE:
            return self._forward(cue, start)
        if cue.start >= end and cue.sides & AFTER:
            return self._backward(cue, end)
        return False

    def _forward(self, cue: Cue, start: int) -> bool:
        if any(cue.end <= place < start for place in self._breaks):
            return False
        between = self._sentence[cue.end : start]
        words = self._sentence[cue.start : cue.end]
        if cue.kind == "absent" and _SHORT.search(words):
            return "," not in between
        if cue.kind in ("uncertain", "likely"):
            if len(between) > _HEDGE_REACH:
                return False
            return (
                "," not in between.lstrip(" ,")
                or re.search(r"\b(?:or|versus|vs)\b", self._sentence[cue.end :]) is not None
            )
        return True

    def _backward(self, cue: Cue, end: int) -> bool:
        between = _AUXILIARY.sub("", self._sentence[end : cue.start])
        if any(end <= place < cue.start for place in self._edges) or _STATES.search(between) or " with " in between:
            return False
        if any(end <= other.start and other.end <= cue.start and other.kind == "absent" for other in self._cues):
            return False
        return "," not in between or _OR.search(between) is not None or re.search(r"\band\b", between) is not None
