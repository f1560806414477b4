"""Whether two short answers say the same words: exact match and token F1.

Source: Rajpurkar et al., SQuAD, EMNLP 2016, section 6.1, and the evaluation script of SQuAD 2.0 (empty answers). Two
things differ, so that text beyond ASCII is scored alike: punctuation of every script is removed, not the ASCII part
alone, and letters with accents compare equal however they are encoded (NFC). No letter of any script is removed.

It is a coarse measure for clinical text: the normalisation drops minus signs, comparison signs, decimal points and the
article "a", so "hepatitis A" equals "hepatitis", and "<5 mm" equals ">5 mm". Report it beside a measure of meaning.
"""

from __future__ import annotations

import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

_ARTICLES = frozenset({"a", "an", "the"})


def _is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character).startswith("P")


def _best(score: Callable[[str, str], float], predicted: str, gold: str | Sequence[str]) -> float:
    """Return the highest score over the gold answers."""
    answers = [gold] if isinstance(gold, str) else list(gold)
    if not answers:
        raise ValueError("gold must hold at least one answer, got none; the item cannot be scored, count it apart")
    wanted = normalize_answer(predicted)
    return max(score(wanted, normalize_answer(answer)) for answer in answers)


def _overlap(predicted: str, gold: str) -> float:
    left, right = Counter(predicted.split()), Counter(gold.split())
    if not left or not right:
        return float(left == right)
    return 2 * (left & right).total() / (left.total() + right.total())


def normalize_answer(text: str) -> str:
    """Return ``text`` in lower case without punctuation, English articles and surplus blanks.

    Args:
        text: An answer.

    Returns:
        Its words, one blank between them; "" if nothing is left.
    """
    lowered = unicodedata.normalize("NFC", text).lower()
    bare = "".join(character for character in lowered if not _is_punctuation(character))
    return " ".join(word for word in unicodedata.normalize("NFC", bare).split() if word not in _ARTICLES)


def token_f1(predicted: str, gold: str | Sequence[str]) -> float:
    """Return F1 of the words that two answers share, counted with repetition, after ``normalize_answer``.

    Args:
        predicted: The answer to score.
        gold: The right answer, or several of which the closest counts.

    Returns:
        Between 0 and 1. If either is empty after normalisation: 1.0 if both are, else 0.0.

    Raises:
        ValueError: If ``gold`` holds no answer.
    """
    return _best(_overlap, predicted, gold)


def exact_match(predicted: str, gold: str | Sequence[str]) -> float:
    """Return 1.0 if two answers are the same after ``normalize_answer``, else 0.0.

    Args:
        predicted: The answer to score.
        gold: The right answer, or several of which one must match.

    Returns:
        1.0 or 0.0, so that the mean over items is the share of exact matches.

    Raises:
        ValueError: If ``gold`` holds no answer.
    """
    return _best(lambda left, right: float(left == right), predicted, gold)
