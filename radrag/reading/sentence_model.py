"""How rare a term is in health text, and the weights of the sentence model: what the extractive reader has learnt."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from radrag.errors import ModelError

ASSET = Path(__file__).parent.parent / "assets" / "sentences.json"
FEATURES = ("covered", "above", "shared", "passage score", "opens with", "defines", "cosine", "length")
_UNSEEN = 2  # documents that a term is taken to be in if it is not in the table


@dataclass(frozen=True)
class Rarity:
    """Document frequencies of terms in a collection of health text.

    Attributes:
        documents: How many documents were counted.
        counts: How many of them hold a term; rare terms are left out.
    """

    documents: int
    counts: Mapping[str, int]

    def __call__(self, term: str) -> float:
        """Return the inverse document frequency, natural logarithm; at least 0."""
        return max(0.0, math.log((self.documents + 1) / (self.counts.get(term, _UNSEEN) + 0.5)))

    def weights(self, terms: Iterable[str]) -> dict[str, float]:
        """Return the share of each distinct term in their common rarity; the shares sum to 1."""
        found = {term: self(term) for term in sorted(set(terms))}
        total = sum(found.values()) or 1.0
        return {term: value / total for term, value in found.items()}


@dataclass(frozen=True)
class SentenceModel:
    """Weights of ``FEATURES`` (``sentences.describe``), none negative, and the rarity they were fitted with.

    Attributes:
        weights: One weight for each feature.
        rarity: How rare terms are.
        facts: Where it comes from: data, sizes, command.
    """

    weights: tuple[float, ...]
    rarity: Rarity
    facts: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """Hash of the weights and counts."""
        content = json.dumps([self.weights, self.rarity.documents, sorted(self.rarity.counts.items())])
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    @classmethod
    def load(cls, path: Path = ASSET) -> Self:
        """Load the model that ships, or one from ``path``."""
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            counts = {term: int(count) for count, terms in stored["counts"].items() for term in terms.split()}
            rarity = Rarity(int(stored["documents"]), counts)
            model = cls(tuple(float(stored["weights"][name]) for name in FEATURES), rarity, stored["facts"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(
                f"no sentence model in {path}: {error!r}; make it with `radrag train sentences`"
            ) from error
        if len(stored["weights"]) != len(FEATURES):
            raise ModelError(
                f"the sentence model in {path} is of another version; make it with `radrag train sentences`"
            )
        return model


def sentences_fingerprint(path: Path = ASSET) -> str:
    """Return the sha256 of the sentence model that ships, or ``"none"`` if there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else "none"
