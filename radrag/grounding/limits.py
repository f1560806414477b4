"""The small words that limit what a sentence says: which of them a claim close to its source drops, adds or moves."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radrag.grounding import lexicon, numbers
from radrag.grounding.passage import ReadText

# Words that mean the same count as one; of two that begin at one place, the first listed is taken.
_SAME = {
    "daily": r"daily|(?:per|a|each|every) day", "weekly": r"weekly|(?:per|a|each|every) week",
    "monthly": r"monthly|(?:per|a|each|every) month", "twice": r"twice", "thrice": r"thrice|three times",
    "at least": r"at least|no (?:less|fewer) than", "at most": r"at most|up to|no more than|maximum of",
    "not": r"not|cannot|no longer", "no": r"no(?!\. of)|none|nobody|neither|nor|without|lack(?:s|ed|ing)?|absence of",
    "only": r"only|solely|exclusively|merely|(?:confined|limited|restricted) to",
    "if": r"if|provided that|on condition that", "when": r"when(?:ever)?", "unless": r"unless",
    "until": r"until|till",
    "except": r"except\w*|excluding|other than|apart from|aside from|with the exception of",
    "unlike": r"unlike|in contrast to|rather than|instead of", "including": r"including",
    "than": r"than|versus|vs|(?<!was )(?<!were )(?<!we )compared (?:with|to)|"
    r"in comparison (?:with|to)|relative to|against",
    "all": r"all|every|each", "some": r"some|several", "most": r"most|the majority of", "few": r"few",
    "little": r"little|hardly|barely|scarcely", "many": r"many", "any": r"any", "half": r"half",
    "before": r"before|prior to|preceding", "after": r"after|following",
    "because": r"because|due to|owing to|caused by",
    "despite": r"despite|in spite of|notwithstanding", "whether": r"whether", "who": r"(?<!, )(?:who|whose)",
    "rarely": r"rare(?:ly)?|seldom|uncommon(?:ly)?|infrequent(?:ly)?",
    "must": r"must|mandatory|required|ha(?:ve|s) to", "should": r"should|ought to", "would": r"would",
    "refused": r"refus(?:e|ed|es|al)|declined(?= (?:to|the|surgery|treatment|therapy|consent|participation)\b)",
    "less": r"less|least", "prevented": r"prevent(?:s|ed|ing)?|avoid(?:s|ed|ing)?",
    "in vitro": r"in (?:vitro|silico|mice|rats|animals|vivo)|ex vivo",
}  # fmt: skip
_LIMIT = re.compile("|".join(f"(?P<w{n}>\\b(?:{words})\\b)" for n, words in enumerate(_SAME.values())), re.IGNORECASE)
_BREAK = re.compile(r"[;,:](?=\s)|[()]|\b(?:and|but|whereas|although|though|while)\b", re.IGNORECASE)
# Where a clause begins that may be left out: what it says limits nothing in the rest.
_ASIDE = re.compile(
    r";|\(|,\s*(?:which|who|whose|where|although|though|whereas|while|and|but)\b|(?:and|but|whereas|although|though|while)\b",
    re.IGNORECASE,
)
# What limits a whole sentence from in front of it, but for the likes of "in this study".
_IN_FRONT = re.compile(
    r"(?:if|when|whenever|unless|until|once|only|except|without|with|in|among|for|after|before|during|had|within|at|on)\b"
    r"(?!\s+(?:this|our|these|the (?:present|current)|conclusion|summary|addition|total|general|fact|short|brief)\b)",
    re.IGNORECASE,
)
_STRICT = frozenset({"than", "unlike", "only", "before", "after", "because"})  # the very next word must be the same
_STEP = re.compile(r"\b(from|to)\s+(?:the |an? )?$", re.IGNORECASE)
_NEAR = 2  # words or numbers after a limiting word that are compared
_ALIGNED = 0.6
_GONE = 0.34  # share of a clause's words and numbers in the claim up to which the clause counts as left out


@dataclass(frozen=True, slots=True)
class _Limit:
    kind: str
    text: str
    start: int
    after: tuple[int, ...]  # which of the text's words and numbers come next


def changed_limit(stated: ReadText, sources: Sequence[tuple[ReadText, NDArray[np.float64]]]) -> str:
    """Say which limiting word a claim dropped, added or moved, or "".

    Args:
        stated: The claim.
        sources: The sentences that carry it, that with most of it first, each with how well its words stand for those
            of the claim ``[claim, sentence]``.
    """
    ours = _limits(stated)
    matched: set[int] = set()
    for n, (source, table) in enumerate(sources):
        alike = _alike(stated, source, table)
        kept, gone = _kept(source, np.asarray(alike.any(axis=0)))
        theirs = _limits(source, gone)
        matched |= {k for k, one in enumerate(ours) if any(_answers(one, other, alike) for other in theirs)}
        if n == 0 and (turned := _turned(stated, source, alike)):
            return f"the source has another of “from” and “to” before “{turned}”"
        if n == 0:
            if isinstance(kept, str):
                return f"what limits it was dropped: “{kept}”"
            for other in theirs:
                if any(low <= other.start < high for low, high in kept) and not any(
                    _answers(one, other, alike) for one in ours
                ):
                    return f"a word that limits it was dropped or moved: “{other.text}”"
    added = [one.text for k, one in enumerate(ours) if k not in matched]
    return f"the source does not limit it so: “{added[0]}”" if added else ""


def _starts(text: ReadText) -> list[int]:
    return [one.start for one in text.words] + [one.start for one in text.numbers]


def _limits(text: ReadText, gone: NDArray[np.bool_] | None = None) -> list[_Limit]:
    """Find the limiting words; what comes after each leaves out words and numbers that are ``gone``."""
    starts = np.asarray(_starts(text))
    order = [int(n) for n in np.argsort(starts, kind="stable") if gone is None or not gone[n]]
    nulls = [match.span() for match in lexicon.NULL.finditer(text.text)]
    found = []
    for match in _LIMIT.finditer(text.text):
        kind = tuple(_SAME)[int((match.lastgroup or "w0")[1:])]
        if kind in ("not", "no") and any(low <= match.start() < high for low, high in nulls):
            continue  # "did not differ" is "similar": polarity compares those
        after = tuple(n for n in order if starts[n] >= match.end())[:_NEAR]
        found.append(_Limit(kind, match[0], match.start(), after))
    return found


def _alike(stated: ReadText, source: ReadText, table: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which words and numbers of a source stand for which of a claim ``[claim items, source items]``."""
    words, numbers_ = len(stated.words), len(source.words)
    alike = np.zeros((words + len(stated.numbers), numbers_ + len(source.numbers)), dtype=bool)
    alike[:words, :numbers_] = table >= _ALIGNED
    for i, one in enumerate(stated.numbers):
        for j, other in enumerate(source.numbers):
            alike[words + i, numbers_ + j] = numbers.matches(one, other)
    return alike


def _answers(one: _Limit, other: _Limit, alike: NDArray[np.bool_]) -> bool:
    """Whether a claim's limiting word and a source's are the same one before the same words."""
    if one.kind != other.kind:
        return False
    if not one.after or not other.after:
        return True
    first, second = one.after, other.after
    if one.kind in _STRICT:
        return bool(alike[first[0], second[0]])
    if one.kind == "not" and len(first) == len(second) == _NEAR and alike[first[0], second[0]]:
        return bool(alike[first[1], second[1]])
    return bool(alike[first[0], list(second)].any() or alike[list(first), second[0]].any())


def _turned(stated: ReadText, source: ReadText, alike: NDArray[np.bool_]) -> str:
    """Return a word that follows "to" in the claim and only "from" in the source, or the reverse, or ""."""
    theirs = [_STEP.search(source.text, 0, word.start) for word in source.words]
    for i, word in enumerate(stated.words):
        ours = _STEP.search(stated.text, 0, word.start)
        steps = [theirs[j] for j in range(len(theirs)) if alike[i, j]]
        if ours and steps and all(step and step[1].lower() != ours[1].lower() for step in steps):
            return word.text
    return ""


def _kept(source: ReadText, held: NDArray[np.bool_]) -> tuple[list[tuple[int, int]] | str, NDArray[np.bool_]]:
    """Return the clauses of a source whose limits count, or the words in front that the claim leaves out.

    With them, which words and numbers are in asides that the claim leaves out.
    """
    starts = np.asarray(_starts(source))
    breaks = [(match.start(), match.end()) for match in _BREAK.finditer(source.text)]
    edges = [(0, 0), *breaks]
    kept, asides, aside = [], np.zeros(len(starts), dtype=bool), False
    for n, (mark, begin) in enumerate(edges):
        end = edges[n + 1][0] if n + 1 < len(edges) else len(source.text)
        inside = (starts >= begin) & (starts < end)
        gone = not inside.any() or held[inside].mean() <= _GONE
        if gone and mark == 0 and inside.any() and len(edges) > 1 and source.text[edges[1][0]] == ",":
            front = _IN_FRONT.match(source.text.lstrip())
            after = (starts >= edges[1][1]) & (starts < (edges[2][0] if len(edges) > 2 else len(source.text)))
            if front and held[after].any():  # else "In Rome, Dr. Rossi wrote: ..." says who, not when
                return source.text[:end].strip(), asides
        carried_on = aside and source.text[mark : mark + 1] in (",", ":", ";")
        aside = bool(gone and begin and (carried_on or _ASIDE.match(source.text, mark)))
        if aside:
            asides |= inside
        else:
            kept.append((mark, end))
    return kept, asides
