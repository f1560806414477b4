"""Are false claims caught, and true ones let pass? Edited claims, and claims written by hand.

The edited claims are made by ``radrag.training.claim_edits`` of the report half of the documents: shipped digests and
guidelines, and PubMedQA development abstracts where RADRAG_DATA is there. The verifier was fitted on the other half.
The claims by hand (``tests/grounding/data/hand_claims.jsonl``) were written before the verifier was; half A was looked
at while it was made. Of half B only the shares were seen, once, before the threshold was raised for all claims (half A
and the edits decided on how far); none of its claims was looked at.

    python tests/benchmarks/grounding.py
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import DATA, arguments, report

from radrag.corpora import load_evidence
from radrag.grounding import THRESHOLD, AlignmentVerifier, find_support
from radrag.metrics import auroc, bootstrap, expected_calibration_error
from radrag.training.claim_edits import FALSE_KINDS, TRUE_KINDS, EditedClaim, edited_claims
from radrag.training.verifier import pubmedqa_documents, shipped_documents

HAND = Path(__file__).parents[1] / "grounding" / "data" / "hand_claims.jsonl"
PUBMEDQA = DATA / "pubmedqa_dev500.jsonl.gz"
COLUMNS = ("claims", "n", "documents", "called supported", "same, find_support")


def main(args: argparse.Namespace) -> None:
    """Measure and print."""
    verifier = AlignmentVerifier()
    documents = shipped_documents("B")
    if PUBMEDQA.is_file() and not args.shipped_only:
        documents += pubmedqa_documents(PUBMEDQA, "B")
    if args.quick:
        documents = random.Random(0).sample(documents, 40)
    claims = list(edited_claims(documents, seed=args.seed, per_document=2))
    edited_table(claims, dict(documents), verifier, args)
    digests = {one.id: one.text for one in load_evidence()}
    rows = [json.loads(line) for line in HAND.read_text(encoding="utf-8").splitlines()]
    hand_table(rows, digests, verifier, args)


def edited_table(
    claims: Sequence[EditedClaim], texts: dict[str, str], verifier: AlignmentVerifier, args: argparse.Namespace
) -> None:
    """Print the share called supported for each kind of edit, and for all true and all false ones."""
    found = [verifier.verify([claim.text], [[texts[claim.document_id]]])[0] for claim in claims]
    ours = np.asarray([one.verdict == "supported" for one in found], dtype=float)
    base = np.asarray([baseline(claim.text, texts[claim.document_id]) for claim in claims], dtype=float)
    chances = np.asarray([one.probability or 0.0 for one in found])
    true = np.asarray([claim.true for claim in claims])
    groups = np.asarray([claim.document_id for claim in claims])
    kinds = np.asarray([claim.kind for claim in claims])
    parts = [(f"false: {kind}", kinds == kind) for kind in FALSE_KINDS]
    parts += [(f"true: {kind}", kinds == kind) for kind in TRUE_KINDS]
    parts += [("all false", ~true), ("all true", true)]
    rows = [
        (name, int(part.sum()), len(set(groups[part])), *(interval(one[part], groups[part]) for one in (ours, base)))
        for name, part in parts
        if part.any()
    ]  # fmt: skip
    scores = [("AUROC", float(auroc(true.astype(int), chances))),
              ("ECE", float(expected_calibration_error(chances, true.astype(int))))]  # fmt: skip
    rows += [(name, len(claims), len(set(groups)), value, "") for name, value in scores]
    report(f"Edited claims, report half, seed {args.seed}", COLUMNS, rows, args)


def hand_table(
    rows: Sequence[dict[str, Any]], digests: dict[str, str], verifier: AlignmentVerifier, args: argparse.Namespace
) -> None:
    """Print the same for the claims written by hand."""
    lines = []
    for half in "AB":
        part = [row for row in rows if row["half"] == half]
        found = [verifier.verify([row["claim"]], [[digests[row["document_id"]]]])[0] for row in part]
        base = np.asarray([baseline(row["claim"], digests[row["document_id"]]) for row in part], dtype=float)
        ours = np.asarray([one.verdict == "supported" for one in found], dtype=float)
        true = np.asarray([row["true"] for row in part])
        groups = np.asarray([row["document_id"] for row in part])
        for name, chosen in (("true", true), ("false", ~true)):
            lines.append((f"half {half}, {name}", int(chosen.sum()), len(set(groups[chosen])),
                          interval(ours[chosen], groups[chosen]), interval(base[chosen], groups[chosen])))  # fmt: skip
        chances = np.asarray([one.probability or 0.0 for one in found])
        lines.append((f"half {half}, AUROC", len(part), len(set(groups)), float(auroc(true.astype(int), chances)), ""))
    report("Claims written by hand", COLUMNS, lines, args)


def baseline(claim: str, text: str) -> bool:
    """Whether the score of words, numbers, negation and direction alone passes its threshold."""
    found = find_support(claim, text)
    return found is not None and found.score >= THRESHOLD


def interval(values: Any, groups: Any) -> Any:
    """Return mean and 95 % interval, resampled by document."""
    return bootstrap(values, groups=list(groups))


if __name__ == "__main__":
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="of the edits")
    parser.add_argument("--shipped-only", action="store_true", help="without PubMedQA")
    main(parser.parse_args())
