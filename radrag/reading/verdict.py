"""Yes, no or maybe: a small linear model over what question and evidence say, with its probabilities."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from radrag.errors import ModelError
from radrag.indexes.tokens import tokenize
from radrag.reading.cues import QUESTION, SENTENCE_FEATURES, question_cues, sentence_cues
from radrag.reading.sentence_model import Rarity
from radrag.reading.sentences import Sentence, above_of, coverage, select
from radrag.types import VERDICTS, Verdict

ASSET = Path(__file__).parent.parent / "assets" / "verdict.json"
EVIDENCE = 5  # sentences that a verdict rests on
_SOFTNESS = 0.3  # how far below the best a sentence's relevance is when its say is a third
NEARNESS = (
    "best relevance", "mean relevance of three", "most covered", "rarest missing in the fullest", "missing everywhere",
    "two rarest together", "three rarest together", "best cosine", "sentences",
)  # fmt: skip
WIDTH = len(QUESTION) + 1 + len(SENTENCE_FEATURES) + len(NEARNESS)
_NEAR = 40  # sentences among which terms are looked for
_AUXILIARY = (
    r"(?:is|are|was|were|do|does|did|can|could|should|shall|will|would|has|have|had|may|might|must|need|isn't|aren't|"
    r"doesn't|don't|didn't|can't|cannot)"
)
_YES_NO = re.compile(rf"(?:^|[:;,.?!–—-]\s+){_AUXILIARY}\s+\S+[^?]*\?", re.IGNORECASE)
_OPEN_WORD = r"(?:what|which|who|whom|whose|when|where|why|how)\b"
_OPEN = re.compile(rf"^{_OPEN_WORD}|[.:;!–—]\s+{_OPEN_WORD}", re.IGNORECASE)
_ASKED_OUTRIGHT = re.compile(r"\byes\s+or\s+no\b", re.IGNORECASE)
# "Rotator cuff tear: an occupational disease?" asks for yes or no; "List the causes of it?" and "Due to what?" do not.
_ELSE = re.compile(
    rf"\b{_OPEN_WORD}|^(?:please\s+)?(?:list|describe|explain|define|name|give|mention|compare|summari[sz]e|discuss|"
    r"provide|tell|outline|enumerate|identify)\b",
    re.IGNORECASE,
)
# "Can you list the causes?" is a request; "Can you tell me whether it is safe?" and "Can you predict it?" are not.
_REQUEST = re.compile(
    r"^(?:can|could|will|would)\s+you\s+(?:please\s+)?(?:list|name|explain|describe|summari[sz]e|define|enumerate|outline|"
    r"discuss|provide|give\s+(?:me|us|an?|some|examples)|tell\s+(?:me|us))\b(?!.*\b(?:whether|if)\b)",
    re.IGNORECASE,
)
# Two alternatives: what stands before "or" is a subject, not "patients with asthma" or a number ("5 mg or more").
_JOINT = r"in|for|after|during|among|when|who|than|at|on|from|without|with(?!\s+or\s+without\b)"
_OTHER = r"\bor\s+(?!not\b|no\b|more\b|less\b|fewer\b|older\b|younger\b|higher\b|lower\b|greater\b|longer\b)"
_PAIR = rf"^{_AUXILIARY}\s+(?:(?!(?:{_JOINT})\b)[^\s?]+\s+){{1,8}}?{_OTHER}(?:[^\s?]+\s+){{1,8}}?"
_TEST = r"(?:test|choice|line|step|scan|study|exam\w*|imaging|investigation|modality|method|option|treatment|drug|one)"
_GOES_ON = rf"(?=\s*[?,]|\s+(?:for|in|at|to|when|if|as|on|during|with|after|before|of|{_TEST})\b)"
_PREFERRED = (
    rf"(?:(?:preferred|preferable|superior|safer|better|best|safest|worse|faster|cheaper|quicker|easier){_GOES_ON}|"
    rf"first(?=\s*[?,]|\s+(?:for|in|when|if|after|during)\b)|the\s+(?:first|right)[\s-]{_TEST}\b|"
    r"(?<!\ba\s)first[\s-]line\b|of\s+choice\b)"
)
_ORDERED = r"(?:order|use|choose|do|get|book|perform|obtain|request|prefer|start\s+with|begin\s+with)"
_DONE = r"(?:ordered|used|chosen|done|performed|obtained|requested|booked|acquired)"
_EITHER = re.compile(
    rf"{_PAIR}{_PREFERRED}|"
    rf"^(?:is|are|was|were)\s+(?:(?!(?:{_JOINT})\b)[^\s?]+\s+){{1,8}}?{_OTHER}(?:[^\s?]+\s+){{1,8}}?more\s+[a-z]+{_GOES_ON}|"
    rf"^should\s+(?:(?!(?:{_JOINT})\b)[^\s?]+\s+){{1,8}}?{_OTHER}(?:[^\s?]+\s+){{1,8}}?be\s+{_DONE}\b|"
    rf"^should\s+[^?]*\b{_DONE}\s+with\s+or\s+without\b|"
    rf"^(?:should|shall|do)\s+(?:i|we|you|one)\s+{_ORDERED}\s+(?:(?!(?:{_JOINT})\b)[^\s?]+\s+)+?{_OTHER}|"
    rf"^(?:is|was|would)\s+it\s+(?:be\s+)?(?:better|best|safer|preferable)\s+to\s+[^?]*{_OTHER}",
    re.IGNORECASE,
)
# "Is CT or MRI better than ultrasound?" has an answer that is yes or no.
_THAN = re.compile(
    r"\bthan\b|\b(?:superior|preferred|preferable)\s+(?:to|over)\b|\bcompared\s+(?:with|to)\b", re.IGNORECASE
)
_TITLE_EITHER = re.compile(
    rf"^(?:(?!(?:{_JOINT}|{_AUXILIARY})\b)[^\s?:;,.]+\s+){{1,5}}?(?:{_OTHER}|(?:vs\.?|versus)\s+)"
    r"(?:[^\s?:;,.]+\s+){0,4}?[^\s?:;,.]+(?:\?|\s+(?:for|in|to|when|if|after|during|before|first)\b)",
    re.IGNORECASE,
)


def is_yes_no(question: str) -> bool:
    """Whether a question asks for yes, no or maybe: it, or a clause of it, opens with an auxiliary verb.

    ``Is A better than B?`` and ``Does A or B help?`` do; ``Is A or B preferred?``, ``Should A or B be used?`` and
    ``Which A is ...?`` do not, nor does ``Can you list ...?``; ``Is it A or B that ...?`` is taken as yes/no. A title
    with a question mark does if nothing in it asks for something else, and so does what ends in ``yes or no``.
    """
    text = " ".join(question.split())
    if _ASKED_OUTRIGHT.search(text):
        return True
    match = _YES_NO.search(text)
    if match is not None and not _OPEN.search(text[: match.end()]):
        clause = match[0].lstrip(":;,.?!–— ")
        return not (_REQUEST.search(clause) or _either_or(clause))
    whole = text.rstrip("\"'”’ ").endswith("?") and len(text.split()) > 2
    return whole and not _ELSE.search(text) and not _TITLE_EITHER.search(text)


def _either_or(clause: str) -> bool:
    """Whether a clause asks which of two things is to be preferred."""
    return _EITHER.search(clause) is not None and _THAN.search(clause) is None


def relevant(question: str, sentences: Sequence[Sentence], rarity: Rarity) -> list[Sentence]:
    """Return the sentences that a verdict rests on, the nearest to the question first; repeats are left out.

    Their score is the share of the question's rarity that they hold (what only the headings hold counts half), plus
    the cosine, plus a little for a conclusion, less a little for each place that their passage is further down.
    """
    weight = rarity.weights(tokenize(question))
    covered = coverage(weight, sentences)
    scored = []
    for one, share in zip(sentences, covered.tolist(), strict=True):
        score = share + 0.5 * above_of(weight, one) + one.cosine + 0.1 * one.concludes - 0.03 * (one.key - 1)
        scored.append(replace(one, score=score))
    return select(scored, EVIDENCE)


def features(question: str, sentences: Sequence[Sentence], rarity: Rarity) -> NDArray[np.float64]:
    """Describe a question and its evidence.

    Args:
        question: The question.
        sentences: All sentences of what was found for it; may be empty.
        rarity: How rare terms are.

    Returns:
        float64 ``[WIDTH]``: how the question asks; the mean of ``SENTENCE_FEATURES`` over the relevant sentences,
        weighted by relevance; how near the evidence comes to the question, and which of its rare terms it lacks.
    """
    asked, wanted = question_cues(question), frozenset(tokenize(question))
    found = [*asked.values(), len(wanted) / 10]
    if not sentences:
        return np.asarray([*found, *[0.0] * (WIDTH - len(found))])
    weight = rarity.weights(wanted)
    best = relevant(question, sentences, rarity)
    table = [
        sentence_cues(asked, wanted, one.text, one.terms, one.known, one.concludes, share)
        for one, share in zip(best, coverage(weight, best).tolist(), strict=True)
    ]
    scores = np.asarray([one.score for one in best])
    say = np.exp((scores - scores[0]) / _SOFTNESS)
    return np.concatenate([found, (say / say.sum()) @ np.asarray(table), _nearness(weight, sentences, scores, rarity)])


def _nearness(
    weight: Mapping[str, float], sentences: Sequence[Sentence], scores: NDArray[np.float64], rarity: Rarity
) -> list[float]:
    covered = coverage(weight, sentences)
    fullest = sentences[int(covered.argmax())]
    rarest = sorted(weight, key=lambda term: (-weight[term], term))[:3]
    anywhere = frozenset().union(*(one.known for one in sentences[:_NEAR]))
    return [
        float(scores[0]),
        float(scores[:3].mean()),
        float(covered.max()),
        max((rarity(term) for term in weight.keys() - fullest.known), default=0.0) / 8,
        sum(weight[term] for term in sorted(weight.keys() - anywhere)),
        float(any(one.known.issuperset(rarest[:2]) for one in sentences)),
        float(any(one.known.issuperset(rarest) for one in sentences)),
        max(one.cosine for one in sentences),
        math.log1p(len(sentences)) / 5,
    ]


def models_fingerprint(path: Path = ASSET) -> str:
    """Return the sha256 of the verdict models that ship, or ``"none"`` if there are none."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else "none"


@dataclass(frozen=True)
class VerdictModel:
    """Multinomial logistic regression over ``features``.

    Attributes:
        weights: float64 ``[3, WIDTH]``, rows in the order of ``VERDICTS``.
        bias: float64 ``[3]``.
        facts: Where it comes from: data, size, command.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    facts: Mapping[str, Any]

    def __call__(self, question: str, sentences: Sequence[Sentence], rarity: Rarity) -> Verdict:
        """Return the verdict for a question, with or without evidence."""
        return self.of(features(question, sentences, rarity))

    def of(self, row: NDArray[np.float64]) -> Verdict:
        """Return the verdict for a row of ``features``, float64 ``[WIDTH]``."""
        logits = self.weights @ row + self.bias
        odds = np.exp(logits - logits.max())
        share = odds / odds.sum()
        return Verdict(VERDICTS[int(share.argmax())], dict(zip(VERDICTS, map(float, share), strict=True)))

    @classmethod
    def load(cls, name: str, path: Path = ASSET) -> Self:
        """Load a model that ships.

        Args:
            name: ``"evidence"``; ``"document"``, for evidence that is one document alone, such as an abstract that is
                given; or ``"question"``, the baseline that sees no evidence.
            path: File of the models.
        """
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))[name]
            model = cls(np.asarray(stored["weights"], float), np.asarray(stored["bias"], float), stored["facts"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"no verdict model {name!r} in {path}: {error}; make it with `radrag train verdict`"
            ) from error
        rows = len(VERDICTS)
        if model.weights.shape != (rows, WIDTH) or model.bias.shape != (rows,):
            raise ModelError(
                f"the verdict model {name!r} in {path} is of another version; make it with `radrag train verdict`"
            )
        return model
