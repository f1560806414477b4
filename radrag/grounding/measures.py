"""What speaks for and against a claim, measured on the sentence of a passage that carries most of it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radrag.grounding import numbers, polarity
from radrag.grounding.alignment import Aligner, Word
from radrag.grounding.binding import number_features
from radrag.grounding.clauses import mixes_clauses
from radrag.grounding.limits import changed_limit
from radrag.grounding.passage import Passage, ReadText
from radrag.grounding.support import exact_span

# What speaks for a claim, then what speaks against it; the model's weights have the same signs.
FOR = ("exact", "main", "window", "passage")
AGAINST = (
    "missing name", "name elsewhere", "missing word", "number missing", "number elsewhere", "unit", "bound", "binding",
    "negation", "cue", "null", "direction", "direction added", "null elsewhere",
    "opposite", "people", "exchanged", "overstated", "left open", "absolute",
    "significance", "substitution", "number limited", "limited", "mixed",
)  # fmt: skip
FEATURES = FOR + AGAINST
# From which value on a claim is worth no more than one worded freely, whatever else speaks for it.
BLOCKS = {
    "unit": 0.5, "bound": 0.5, "binding": 0.5, "negation": 0.5, "null": 0.5, "opposite": 0.5, "people": 0.5,
    "exchanged": 0.5, "overstated": 0.5, "left open": 0.5, "absolute": 0.5, "significance": 0.5, "direction": 0.5,
    "substitution": 0.48, "number limited": 0.5, "limited": 0.5, "mixed": 0.5,
}  # fmt: skip
CONFLICTS = frozenset(
    {"unit", "bound", "negation", "null", "direction", "opposite", "people", "substitution", "exchanged", "binding"}
)
# Shares of a claim's words, in the sentence, in two, in the passage, beyond which more words prove nothing more: a
# claim in its author's own words seldom has more.
_ENOUGH = (0.5, 0.55, 0.65)
_ALIGNED = 0.6
# Shares of a claim's words that stand in the source in the same order: below the first its wording is the author's own.
_FREE, _CLOSE = 0.4, 0.7
_FEWEST = 3  # words and numbers that a statement has, unless it is a whole sentence of the source
_MATCHED = 0.8


@dataclass(frozen=True, slots=True)
class Measured:
    """Features of one claim against one passage.

    Attributes:
        start: Offset in the passage of what carries the claim best: one sentence, or two in a row.
        end: Offset after it.
        values: One for each of ``FEATURES``, 0 to 1.
        objections: What speaks against the claim, in words.
        conflicts: Whether any of it contradicts the claim, rather than being absent from the source.
        order: How closely the claim follows the source word by word: 0 for a wording of its own, 1 for a copy.
    """

    start: int
    end: int
    values: tuple[float, ...]
    objections: tuple[str, ...]
    conflicts: bool
    order: float


def measure(claim: str, passage: Passage, aligner: Aligner) -> Measured | None:
    """Measure a claim against a passage; None if the passage has no word of it."""
    stated = ReadText.of(claim)
    if not passage.spans or not (stated.words or stated.numbers):
        return None
    exact = exact_span(claim, passage.text, passage.spans) if _states(claim, stated) else None
    if exact is not None and _whole(exact, passage):
        return Measured(*exact, (1.0,) * len(FOR) + (0.0,) * len(AGAINST), (), False, 1.0)
    table = aligner.similarity(stated.words, passage.words)
    weights = np.asarray([word.weight for word in stated.words])
    best = np.asarray([table[:, part].max(axis=1, initial=0.0) for part in passage.slices])  # [sentences, claim words]
    kept = np.where(best >= 0.5, best, 0.3 * best)
    if not (kept > 0.5).any() and not stated.numbers:
        return None
    main = _main(kept, weights, stated, passage)
    window, best_pair = _window(main, kept, weights)
    coverage = [_mean(kept[main], weights), _mean(best_pair, weights), _mean(kept.max(axis=0), weights)]
    source = passage.sentences[main]
    pairs = _pairs(stated, source, table[:, passage.slices[main]])
    notes: list[tuple[str, str]] = []
    values = {
        "exact": 0.0, "main": min(1.0, coverage[0] / _ENOUGH[0]),
        "window": min(1.0, coverage[1] / _ENOUGH[1]), "passage": min(1.0, coverage[2] / _ENOUGH[2]),
    }  # fmt: skip
    values |= _missing(stated, best_pair, best.max(axis=0), notes)
    values |= number_features(stated, passage, window, main, notes)
    values |= _polarity_features(stated, source, passage, pairs, notes)
    values["substitution"] = _substitution(stated, source, table[:, passage.slices[main]], notes)
    values |= _limited(stated, passage, window, main, table, notes)
    order = _order(stated, passage, window, table)
    if "?" in claim:
        order = 0.0
        notes.append(("question", "a question states nothing that can be checked"))
    elif len(stated.words) + len(stated.numbers) < _FEWEST:
        order = 0.0
        notes.append(("fragment", "too short to be a statement that can be checked"))
    elif not order:
        notes.append(("free", "worded too freely to be checked word by word; an NLI model or a judge can read it"))
    start, end = passage.spans[window[0]][0], passage.spans[window[-1]][1]
    conflicts = any(kind in CONFLICTS for kind, _ in notes)
    said = tuple(text for _, text in notes)
    return Measured(start, end, tuple(values[name] for name in FEATURES), said, conflicts, order)


def _states(claim: str, stated: ReadText) -> bool:
    """Whether a sentence can be true or false, so that a copy of it is supported: "Yes." or "12%" cannot."""
    return bool(stated.words or stated.numbers) and len(claim.split()) >= _FEWEST and not claim.rstrip().endswith("?")


def _whole(span: tuple[int, int], passage: Passage) -> bool:
    """Whether a stretch is a sentence of the passage, or some in a row, but for the marks around it.

    A part can say what its sentence does not: "reduced mortality" of "it is unclear whether it reduced mortality".
    """
    inside = [(start, end) for start, end in passage.spans if start < span[1] and span[0] < end]
    around = passage.text[inside[0][0] : span[0]] + passage.text[span[1] : inside[-1][1]] if inside else "x"
    return not any(char.isalnum() for char in around)


def _mean(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    return float(values @ weights / weights.sum()) if len(weights) else 0.0


def _main(kept: NDArray[np.float64], weights: NDArray[np.float64], stated: ReadText, passage: Passage) -> int:
    """Return the sentence with most of a claim's words and numbers; the first of equals."""
    scores = []
    for row, sentence in zip(kept, passage.sentences, strict=True):
        hits = sum(any(numbers.matches(one, other) for other in sentence.numbers) for one in stated.numbers)
        scores.append(float(row @ weights) + 0.6 * hits + 0.05 * float((row >= 1).sum()))
    return int(np.argmax(scores))


def _window(
    main: int, kept: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """Return the main sentence, with a neighbour if that adds words, and how well both stand for each word."""
    found = kept[main]
    window: tuple[int, ...] = (main,)
    for other in (main - 1, main + 1):
        if 0 <= other < len(kept):
            both = np.maximum(kept[main], kept[other])
            if float((both - found) @ weights) > 0.3:
                found, window = both, (min(main, other), max(main, other))
    return window, found


def _order(stated: ReadText, passage: Passage, window: Sequence[int], table: NDArray[np.float64]) -> float:
    """Measure how closely a claim follows its source: its longest common subsequence with it, as a share of its words.

    0 for a wording of its own, where words in common say nothing about the truth (of claims written by hand as many
    false ones as true ones share them), 1 for one that follows the source.
    """
    if not stated.words:
        return 1.0
    columns = slice(passage.slices[window[0]].start, passage.slices[window[-1]].stop)
    above = [0] * (columns.stop - columns.start + 1)
    for row in table[:, columns] >= _MATCHED:
        found = [0]
        for n, hit in enumerate(row):
            found.append(above[n] + 1 if hit else max(above[n + 1], found[-1]))
        above = found
    return min(1.0, max(0.0, (above[-1] / len(stated.words) - _FREE) / (_CLOSE - _FREE)))


def _pairs(stated: ReadText, source: ReadText, table: NDArray[np.float64]) -> list[tuple[Word, Word]]:
    if not table.size:
        return []
    columns = table.argmax(axis=1)
    return [
        (word, source.words[column])
        for row, (word, column) in enumerate(zip(stated.words, columns, strict=True))
        if table[row, column] >= _ALIGNED
    ]


def _missing(
    stated: ReadText, near: NDArray[np.float64], anywhere: NDArray[np.float64], notes: list[tuple[str, str]]
) -> dict[str, float]:
    """Measure the worst word of a claim that nothing stands for; names and other words apart."""
    name = elsewhere = plain = 0.0
    worst: dict[str, float] = {}
    for word, here, there in zip(stated.words, near, anywhere, strict=True):
        if word.name:
            name = max(name, word.weight * (1 - there))
            elsewhere = max(elsewhere, word.weight * (1 - here))
            if there < _ALIGNED:
                worst[word.text] = word.weight * (1 - there)
        else:
            plain = max(plain, word.weight * (1 - there))
    for text in sorted(worst, key=worst.__getitem__, reverse=True)[:2]:
        notes.append(("missing name", f"“{text}” is not in the source"))
    return {"missing name": name, "name elsewhere": elsewhere, "missing word": plain}


def _polarity_features(
    stated: ReadText, source: ReadText, passage: Passage, pairs: list[tuple[Word, Word]], notes: list[tuple[str, str]]
) -> dict[str, float]:
    low, high = polarity.region(source.text, pairs)
    clause = source.text[low:high]
    negation = polarity.negation_flips(stated.text, source.text, pairs)
    cue = polarity.cue_surplus(stated.text, clause) and polarity.cue_surplus(stated.text, source.text)
    null = polarity.null_conflict(stated.text, clause) and polarity.null_conflict(stated.text, source.text)
    axis = polarity.direction_conflict(stated.text, clause, source.text)
    opposite = polarity.opposite_words(stated.text, source.text)
    people = polarity.group_conflicts(stated.words, source.words, passage.words)
    if negation >= 0.5 or (cue and not null):
        notes.append(("negation", "only one of claim and source is negated"))
    if null:
        notes.append(("null", "only one of claim and source states a difference"))
    if axis:
        notes.append(("direction", "claim and source go in opposite directions"))
    notes += [("opposite", f"the source has the opposite of “{word}”") for word in opposite]
    notes += [("people", f"the source speaks of others than “{word}”") for word in people]
    exchanged = polarity.exchanged(stated.text, source.text)
    if exchanged is not None:
        notes.append(("exchanged", f"“{exchanged[0]}” and “{exchanged[1]}” have changed places"))
    over = polarity.overstated(stated.text, clause)
    if over:
        notes.append(("overstated", "the source is less certain than the claim"))
    left = polarity.left_open(stated.text, source.text)
    if left:
        notes.append(("left open", "the source only asks or supposes it"))
    absolute = polarity.added_absolutes(stated.text, source.text)
    significance = polarity.added_significance(stated.text, source.text)
    if absolute or significance:
        notes.append(("overstated", "the claim says more than the source"))
    return {
        "negation": negation, "cue": float(cue), "null": float(null), "direction": float(bool(axis)),
        "direction added": float(polarity.direction_surplus(stated.text, clause)), "opposite": float(bool(opposite)),
        "null elsewhere": float(polarity.null_elsewhere(stated.text, clause, passage.text)),
        "people": float(bool(people)), "exchanged": float(exchanged is not None), "overstated": over,
        "left open": float(left),
        "absolute": float(absolute), "significance": float(significance),
    }  # fmt: skip


def _limited(
    stated: ReadText, passage: Passage, window: Sequence[int], main: int, table: NDArray[np.float64],
    notes: list[tuple[str, str]],
) -> dict[str, float]:  # fmt: skip
    carriers = [main, *(n for n in window if n != main)]
    sources = [(passage.sentences[n], table[:, passage.slices[n]]) for n in carriers]
    said, mixed = changed_limit(stated, sources), mixes_clauses(stated, sources)
    if said:
        notes.append(("limited", said))
    if mixed:
        notes.append(("mixed", "it joins parts of what the source says apart"))
    return {"limited": float(bool(said)), "mixed": float(mixed)}


def _substitution(
    stated: ReadText, source: ReadText, table: NDArray[np.float64], notes: list[tuple[str, str]]
) -> float:
    """Measure the worst word that stands where a near-copy of it has another: the sign of a swapped drug or disease."""
    ours, theirs = [word.stem for word in stated.words], [word.stem for word in source.words]
    worst, said = 0.0, ""
    matcher = difflib.SequenceMatcher(None, ours, theirs, autojunk=False)
    if sum(block.size for block in matcher.get_matching_blocks()) < 0.5 * len(ours):
        return 0.0  # no copy, so that a word stands in nothing's place
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind != "replace" or b - a > 3 or d - c > 4:
            continue
        for n in range(a, b):
            strength = stated.words[n].weight * (1 - float(table[n].max(initial=0.0)))
            if strength > worst:
                worst, said = strength, f"“{stated.words[n].text}” stands in the place of “{source.words[c].text}”"
    if worst > _MATCHED * 0.6:
        notes.append(("substitution", said))
    return worst
