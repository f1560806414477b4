"""The verifier that ships: alignment of words, numbers and polarity, and a small logistic model over what they say."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from radrag.errors import ModelError
from radrag.grounding.alignment import Aligner
from radrag.grounding.measures import BLOCKS, FEATURES, Measured, measure
from radrag.grounding.passage import Passage
from radrag.indexes.encoders import StaticEncoder
from radrag.protocols import Encoder
from radrag.types import ClaimVerdict

ASSET = Path(__file__).parent.parent / "assets" / "verifier.json"
OTHERWISE = "another of the sources says otherwise"
_PARTLY = 0.6  # share of a claim's words that make it partly supported, if nothing contradicts it
_FOLLOWS = 0.8  # how closely a claim must follow its source for a conflict to contradict it: below, half are true
_WINDOW = FEATURES.index("window")
_KEPT = 256  # passages kept read


@dataclass(frozen=True)
class SupportModel:
    """Logistic regression over ``measures.FEATURES``.

    Attributes:
        weights: One for each feature; at least 0 for what speaks for a claim, at most 0 for what speaks against it.
        bias: Intercept.
        free: Share supported among claims worded freely, whose words the source holds.
        threshold: From this probability on a claim counts as supported.
        facts: Where it comes from: data, size, command.
    """

    weights: tuple[float, ...]
    bias: float
    free: float
    threshold: float
    facts: Mapping[str, Any]

    def __call__(self, values: Sequence[float], order: float) -> float:
        """Return the probability that a claim is supported.

        Args:
            values: ``Measured.values``.
            order: ``Measured.order``. What was measured counts by it: of a claim that does not follow its source it
                only tells whether the words are there.
        """
        logit = self.bias + sum(weight * value for weight, value in zip(self.weights, values, strict=True))
        followed = 1 / (1 + math.exp(-logit))  # features and weights are bounded: no overflow
        freely = self.free * values[_WINDOW]
        found = order * followed + (1 - order) * freely
        blocked = any(value >= BLOCKS[name] for name, value in zip(FEATURES, values, strict=True) if name in BLOCKS)
        return min(found, freely) if blocked else found

    @classmethod
    def load(cls, path: Path = ASSET) -> Self:
        """Load the model that ships."""
        remedy = "make it with `radrag train verifier`"
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            names = tuple(stored["features"])
            model = cls(
                tuple(float(weight) for weight in stored["weights"]), float(stored["bias"]), float(stored["free"]),
                float(stored["threshold"]), stored["facts"],
            )  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"no verifier in {path}: {error}; {remedy}") from error
        if names != FEATURES or len(model.weights) != len(FEATURES):
            raise ModelError(f"the verifier in {path} is of another version; {remedy}")
        return model


def _contradicts(found: Measured) -> bool:
    return found.conflicts and found.order >= _FOLLOWS


class AlignmentVerifier:
    """Checks claims by aligning their words with the passages; no model to download.

    It finds numbers and units that differ, negation, opposites, other people, other names, limiting words dropped or
    moved, clauses mixed, and claims that are surer than their source, and it does so only while a claim follows its
    source word by word. Any of these keeps a claim from "supported", whatever else speaks for it. It does not reason.
    What still passes: a claim of which it knows no word for the change, such as an adjective left out ("biopsies
    fell" for "unnecessary biopsies fell"), roles that a rule does not see, steps out of order. Of 406 false claims
    written to slip past, near copies of a sentence, 4 are called supported; the rules were made with these in sight,
    so that more of others will pass (3 of 32 that were written afterwards did). A true claim that leaves out half of
    what its sentence says may be turned down.
    A claim in words of its own is told neither true nor false: its words may all be there and yet say something else,
    so that it is partly supported at best, with the probability of a coin (``tests/benchmarks/grounding.py`` has the
    figures). Use ``NLIVerifier`` or ``JudgeVerifier`` where drafts are reworded.

    Args:
        encoder: Gives word vectors; the static encoder that ships if left out, which the model was fitted with.
        model: The model that ships if left out.
    """

    def __init__(self, encoder: Encoder | None = None, model: SupportModel | None = None) -> None:
        self._given, self._model = encoder, model
        self._read: dict[str, Passage] = {}

    @property
    def fingerprint(self) -> str:
        """What decides its verdicts: encoder and model."""
        model = hashlib.sha256(
            repr((self._fitted.weights, self._fitted.bias, self._fitted.free, self._fitted.threshold)).encode()
        )
        return f"alignment:{model.hexdigest()[:16]}:{self._encoder.fingerprint}"

    def verify(self, claims: Sequence[str], passages: Sequence[Sequence[str]]) -> list[ClaimVerdict]:
        """Check each claim against its own passages.

        Args:
            claims: Statements.
            passages: For each claim the texts that it rests on.

        Returns:
            One verdict for each claim, on the passage that supports it best.
        """
        return [self._verify(claim, texts) for claim, texts in zip(claims, passages, strict=True)]

    def measured(self, claim: str, text: str) -> Measured | None:
        """Return the features of a claim against one passage: what the model is fitted on."""
        return measure(claim, self._passage(text), self._aligner)

    def _verify(self, claim: str, texts: Sequence[str]) -> ClaimVerdict:
        all_ = [(n, found) for n, text in enumerate(texts) if (found := self.measured(claim, text)) is not None]
        if not all_:
            return ClaimVerdict("unsupported", 0.0, ("the passages do not speak of it",))
        chances = [self._fitted(found.values, found.order) for _, found in all_]
        at = max(range(len(all_)), key=chances.__getitem__)
        (n, found), probability = all_[at], chances[at]
        verdict, objections = self._named(probability, found), found.objections
        if verdict == "supported" and any(_contradicts(other) for k, (_, other) in enumerate(all_) if k != at):
            verdict, objections = "partly", (*objections, OTHERWISE)
            probability = min(probability, self._fitted.free)
        return ClaimVerdict(verdict, probability, objections, n, found.start, found.end)

    def _named(self, probability: float, found: Measured) -> str:
        if probability >= self._fitted.threshold:
            return "supported"
        if found.values[_WINDOW] < _PARTLY:
            return "unsupported"
        return "contradicted" if _contradicts(found) else "partly"

    def _passage(self, text: str) -> Passage:
        if text not in self._read:
            if len(self._read) >= _KEPT:
                self._read.clear()
            self._read[text] = Passage(text)
        return self._read[text]

    @cached_property
    def _encoder(self) -> Encoder:
        return StaticEncoder() if self._given is None else self._given

    @cached_property
    def _aligner(self) -> Aligner:
        return Aligner(self._encoder)

    @cached_property
    def _fitted(self) -> SupportModel:
        return SupportModel.load() if self._model is None else self._model
