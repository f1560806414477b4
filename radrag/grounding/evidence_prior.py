"""A mild prior for strong evidence: of hits that a search scores nearly alike, reviews and trials go first.

Off by default. By ``tests/benchmarks/qa_evidence.py`` (paired, 95 %), a share of .05 puts more reviews, trials and
guidelines among the first three: +.009 [.003, .018] on 246 shipped questions, +.014 [.011, .018] on 1,497 of BioASQ
7b-9b and +.051 [.041, .062] on PubMedQA's 500 development questions, both in the pool of 34,078 documents. It loses
no gold passage on the shipped ones (+.004 [.000, .012] in the first five) and changes no verdict there (n = 91). But
nDCG@10 falls on BioASQ by .0006 [.0003, .0010], at .2 by .003 [.002, .005], and on PubMedQA at .1 by .003 [.001,
.006]. Most of that pool are snippets or abstracts without publication types, whose kind is read from their text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from radrag.types import Hit


def prefer(hits: Sequence[Hit], strength: Callable[[str], float], share: float) -> list[Hit]:
    """Put hits in the order of their score plus a part of its spread for the strength of their source.

    Args:
        hits: What a search found; their scores stay as they are.
        strength: Gives the strength of a document by its id, 0 to 1: ``EvidenceLevel.weight``.
        share: Part of the spread between best and worst score that the strongest source gains on the weakest, 0 to 1:
            at .05 a hit overtakes those that are better by less than a twentieth of the spread.

    Returns:
        The same hits, best first; ties stay in their order.

    Raises:
        ValueError: If ``share`` is not between 0 and 1.
    """
    if not checked_share(share) or not hits:
        return list(hits)
    spread = max(hit.score for hit in hits) - min(hit.score for hit in hits)
    known = {name: strength(name) for name in {hit.passage.document_id for hit in hits}}
    return sorted(hits, key=lambda hit: -(hit.score + share * spread * known[hit.passage.document_id]))


def checked_share(share: float) -> float:
    """Return a share that ``prefer`` takes, or raise ``ValueError``."""
    if not 0 <= share <= 1:
        raise ValueError(f"the prior for strong evidence must be between 0 and 1, got {share}; 0 turns it off")
    return share
