"""BLEU: which n-grams of a text stand in its references, times a penalty for being short.

Source: Papineni et al., ACL 2002, with the tokens of ``mteval-v13a`` and the smoothings of Chen and Cherry, WMT 2014,
as ``sacrebleu`` (Post, WMT 2018) has them. Scores lie between 0 and 1: ``sacrebleu`` and most papers print 100 times
that.

It was made for whole corpora of translations; of one short answer it says little. Report it where it was reported
before, beside measures of correctness.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from radrag.metrics._checks import at_least, not_a_string, same_length

Smoothing = Literal["exp", "floor", "add-k", "none"]
Tokenize = Callable[[str], Sequence[str]]

_ENTITIES = {"&quot;": '"', "&amp;": "&", "&lt;": "<", "&gt;": ">"}
# In this order: all punctuation of ASCII but ' , - . ; then periods and commas unless a digit is on both sides; then a
# dash after a digit.
_SPLITS = (
    (re.compile(r"([ -&(-+/:-@\[-`{-~])"), r" \1 "),
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)
_FLOOR, _ADDED = 0.1, 1.0


@dataclass(frozen=True, slots=True)
class _Counts:
    """What BLEU is made of, summed over segments; ``shared`` and ``given`` hold a number for each order."""

    shared: tuple[int, ...]
    given: tuple[int, ...]
    length: int
    gold_length: int


def tokenize_13a(text: str) -> list[str]:
    """Return the tokens of NIST's ``mteval-v13a``, the usual ones for BLEU; case is kept."""
    line = text.rstrip().replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, character in _ENTITIES.items():
        line = line.replace(entity, character)
    line = f" {line} "
    for pattern, replacement in _SPLITS:
        line = pattern.sub(replacement, line)
    return line.split()


def _ngrams(tokens: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[i : i + n]) for n in range(1, order + 1) for i in range(len(tokens) - n + 1))


def _segment(predicted: str, gold: str | Sequence[str], order: int, tokenize: Tokenize) -> _Counts:
    given = tokenize(predicted)
    texts = [tokenize(text) for text in ([gold] if isinstance(gold, str) else gold)]
    if not any(texts):
        raise ValueError(f"gold must hold at least one token, got {gold!r}; the item cannot be scored, count it apart")
    found = _ngrams(given, order)
    wanted: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        wanted |= _ngrams(text, order)
    hits = found & wanted
    shared, total = ([0] * order for _ in range(2))
    for counts, sums in ((hits, shared), (found, total)):
        for ngram, count in counts.items():
            sums[len(ngram) - 1] += count
    closest = min((len(text) for text in texts), key=lambda length: (abs(length - len(given)), length))
    return _Counts(tuple(shared), tuple(total), len(given), closest)


def _precision(counts: _Counts, n: int, smoothing: str, halvings: int) -> float:
    """Return the precision of order ``n``, smoothed; ``halvings`` counts the orders without a hit up to this one."""
    shared, given = float(counts.shared[n - 1]), float(counts.given[n - 1])
    if smoothing == "add-k" and n > 1:
        return (shared + _ADDED) / (given + _ADDED)
    if shared == 0:
        return {"exp": 1 / (2.0**halvings * given), "floor": _FLOOR / given}.get(smoothing, 0.0)
    return shared / given


def _score(counts: _Counts, smoothing: str, effective_order: bool) -> float:
    if smoothing not in ("exp", "floor", "add-k", "none"):
        raise ValueError(f"smoothing must be 'exp', 'floor', 'add-k' or 'none', got {smoothing!r}")
    if not any(counts.shared):
        return 0.0
    order = len(counts.shared)
    precisions: list[float] = []
    halvings = 0
    for n in range(1, order + 1):
        if counts.given[n - 1] == 0 and not (smoothing == "add-k" and n > 1):
            break
        halvings += counts.shared[n - 1] == 0
        precisions.append(_precision(counts, n, smoothing, halvings))
    if 0.0 in precisions or (len(precisions) < order and not effective_order):
        return 0.0
    short = counts.length < counts.gold_length
    penalty = math.exp(1 - counts.gold_length / counts.length) if short else 1.0
    return penalty * math.exp(math.fsum(map(math.log, precisions)) / len(precisions))


def bleu(
    predicted: Sequence[str],
    gold: Sequence[str | Sequence[str]],
    *,
    smoothing: Smoothing = "exp",
    order: int = 4,
    tokenize: Tokenize = tokenize_13a,
) -> float:
    """Return BLEU of a whole set: n-gram counts are summed over texts before they are divided.

    Args:
        predicted: Texts to score [n].
        gold: For each, the right text or several [n].
        smoothing: What an order without a hit counts as: ``"exp"`` a half, a quarter, ... of a hit, ``"floor"`` a
            tenth; ``"add-k"`` adds one to hits and n-grams of every order above the first; ``"none"`` scores 0.
        order: Longest n-gram.
        tokenize: Splits a text into tokens.

    Returns:
        Between 0 and 1.

    Raises:
        ValueError: If there are no texts, the lengths differ, a text has no gold token, or smoothing is not known.
    """
    not_a_string("predicted", predicted)
    not_a_string("gold", gold)
    at_least("order", order, 1)
    if same_length(predicted=predicted, gold=gold) == 0:
        raise ValueError("predicted must hold at least one text, got none; there is nothing to score")
    parts = [_segment(text, wanted, order, tokenize) for text, wanted in zip(predicted, gold, strict=True)]
    shared, given = (
        tuple(map(sum, zip(*columns, strict=True)))
        for columns in ([part.shared for part in parts], [part.given for part in parts])
    )
    counts = _Counts(shared, given, sum(part.length for part in parts), sum(part.gold_length for part in parts))
    return _score(counts, smoothing, effective_order=False)


def sentence_bleu(
    predicted: str,
    gold: str | Sequence[str],
    *,
    smoothing: Smoothing = "exp",
    order: int = 4,
    tokenize: Tokenize = tokenize_13a,
) -> float:
    """Return BLEU of one text, over as many orders as it is long (``effective_order`` of sacrebleu).

    Its mean over texts is not the BLEU of the set.

    Args:
        predicted: The text to score.
        gold: The right text, or several.
        smoothing: See ``bleu``.
        order: Longest n-gram.
        tokenize: Splits a text into tokens.

    Returns:
        Between 0 and 1.

    Raises:
        ValueError: If there is no gold token, or smoothing is not known.
    """
    at_least("order", order, 1)
    return _score(_segment(predicted, gold, order, tokenize), smoothing, effective_order=True)
