"""ROUGE: which words, word pairs and subsequences two texts share.

Source: Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", Text Summarization Branches Out, 2004. ROUGE-N
(section 2) and ROUGE-L (section 3) are those of the package ``rouge-score``; ROUGE-SU (section 5) is that of the
program ROUGE-1.5.5, with which BioASQ scores ideal answers (ROUGE-2 and ROUGE-SU4). Tokens are runs of a-z and 0-9 in
lower case, as in ``rouge-score``; ROUGE-1.5.5 makes the same ones of ASCII text.

It counts words, not meaning: "no pneumothorax" and "pneumothorax" share most of theirs, and letters outside a-z (Greek,
accents) separate words. Report it beside measures of correctness and support.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

from radrag.metrics._checks import at_least
from radrag.metrics.prf import PrecisionRecallF1, of_counts

Stem = Callable[[str], str]
Units = Counter[tuple[str, ...]]

_WORD = re.compile(r"[a-z0-9]+")
_LONGEST_UNSTEMMED = 3


def rouge_tokens(text: str, stem: Stem | None = None) -> list[str]:
    """Return the words that ROUGE compares.

    Args:
        text: A text.
        stem: Makes a stem of a word; used for words of more than three characters, as both packages do.
    """
    words = _WORD.findall(text.lower())
    if stem is None:
        return words
    stemmed = [stem(word) if len(word) > _LONGEST_UNSTEMMED else word for word in words]
    return [word for word in stemmed if _WORD.fullmatch(word)]


def _ngrams(tokens: Sequence[str], n: int) -> Units:
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def _skip_bigrams(tokens: Sequence[str], skip: int) -> Units:
    """Count words, and pairs with at most ``skip`` words between them, as ROUGE-1.5.5 does.

    Its loop ends before the last word, which is therefore counted in pairs only; a text of one word has no unit.
    """
    units: Units = Counter()
    for i in range(len(tokens) - 1):
        units[(tokens[i],)] += 1
        units.update((tokens[i], other) for other in tokens[i + 1 : i + skip + 2])
    return units


def _longest_common_subsequence(left: Sequence[str], right: Sequence[str]) -> int:
    row = [0] * (len(right) + 1)
    for word in left:
        diagonal = 0
        for j, other in enumerate(right, start=1):
            above = row[j]
            row[j] = diagonal + 1 if word == other else max(above, row[j - 1])
            diagonal = above
    return row[-1]


def _of_units(predicted: Units, gold: Units) -> PrecisionRecallF1:
    return of_counts((predicted & gold).total(), predicted.total(), gold.total())


def _best(
    predicted: str,
    gold: str | Sequence[str],
    stem: Stem | None,
    score: Callable[[list[str], list[str]], PrecisionRecallF1],
) -> PrecisionRecallF1:
    """Return the score against the gold text of highest F1, the first of equals, as ``rouge-score`` does."""
    texts = [gold] if isinstance(gold, str) else list(gold)
    wanted = [rouge_tokens(text, stem) for text in texts]
    if not any(wanted):
        raise ValueError(
            f"gold must hold at least one word of a-z or 0-9, got {gold!r}; the item cannot be scored, count it apart"
        )
    given = rouge_tokens(predicted, stem)
    return max((score(given, words) for words in wanted), key=lambda made: made.f1)


def rouge_n(predicted: str, gold: str | Sequence[str], n: int = 2, *, stem: Stem | None = None) -> PrecisionRecallF1:
    """Return ROUGE-N: the overlap of n-grams, counted with repetition.

    Args:
        predicted: The text to score.
        gold: The right text, or several of which the one of highest F1 counts.
        n: Words of an n-gram.
        stem: Stemmer of words, such as Porter's; None compares words as they are.

    Returns:
        Shares between 0 and 1; all 0 if a text is shorter than ``n`` words.

    Raises:
        ValueError: If no gold text holds a word, or n is below 1.
    """
    at_least("n", n, 1)
    return _best(predicted, gold, stem, lambda given, wanted: _of_units(_ngrams(given, n), _ngrams(wanted, n)))


def rouge_l(predicted: str, gold: str | Sequence[str], *, stem: Stem | None = None) -> PrecisionRecallF1:
    """Return ROUGE-L: the longest common subsequence of the two whole texts, F1 with equal weights.

    Args:
        predicted: The text to score.
        gold: The right text, or several of which the one of highest F1 counts.
        stem: Stemmer of words; None compares words as they are.

    Returns:
        Shares between 0 and 1; all 0 if the predicted text has no word.

    Raises:
        ValueError: If no gold text holds a word.
    """

    def score(given: list[str], wanted: list[str]) -> PrecisionRecallF1:
        return of_counts(_longest_common_subsequence(wanted, given), len(given), len(wanted))

    return _best(predicted, gold, stem, score)


def rouge_su(
    predicted: str, gold: str | Sequence[str], skip: int = 4, *, stem: Stem | None = None
) -> PrecisionRecallF1:
    """Return ROUGE-SU: the overlap of words and of word pairs with at most ``skip`` words between them.

    Agrees with ``ROUGE-1.5.5.pl -2 4 -u`` for one gold text, save its rounding to five digits.

    Args:
        predicted: The text to score.
        gold: The right text, or several of which the one of highest F1 counts.
        skip: Most words between the two of a pair; 4 gives ROUGE-SU4.
        stem: Stemmer of words; None compares words as they are.

    Returns:
        Shares between 0 and 1; all 0 if a text has fewer than two words.

    Raises:
        ValueError: If no gold text holds a word, or skip is below 0.
    """
    at_least("skip", skip, 0)
    return _best(
        predicted, gold, stem, lambda given, wanted: _of_units(_skip_bigrams(given, skip), _skip_bigrams(wanted, skip))
    )
