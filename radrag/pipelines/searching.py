"""How a pipeline searches: identifiers masked where the encoder is elsewhere, strong evidence a little ahead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from radrag.corpora.deidentify import deidentify
from radrag.grounding.evidence_level import evidence_level
from radrag.grounding.evidence_prior import prefer
from radrag.indexes.filters import Where
from radrag.indexes.hybrid import HybridIndex
from radrag.pipelines.masking import searches_locally
from radrag.types import Hit

_MORE = 4  # hits beyond k that the prior may bring up


def search(
    index: HybridIndex, texts: Sequence[str], k: int, where: Where | None, prior: float = 0.0, **options: Any
) -> list[list[Hit]]:
    """Find passages for each text.

    Args:
        index: Where to look.
        texts: The questions.
        k: Most hits for each.
        where: Metadata filter.
        prior: Say of the strength of evidence; see ``prefer``. 0 leaves the order of the search.
        options: Others of ``HybridIndex.search``.
    """
    if not texts:
        return []
    asked = list(texts) if searches_locally(index.encoder) else [deidentify(text).text for text in texts]
    found = index.search(asked, k + _MORE * bool(prior), where, **options)
    if not prior:
        return found
    known: dict[str, float] = {}

    def strength(name: str) -> float:
        if name not in known:
            try:
                known[name] = evidence_level(index.document(name)).weight
            except KeyError:  # deleted since it was found, which is seen before the answer is given
                known[name] = 0.0
        return known[name]

    return [prefer(hits, strength, prior)[:k] for hits in found]
