"""Are false claims caught, and true ones let pass? Edited claims, and claims written by hand.

The edited claims are made by ``radrag.training.claim_edits`` of the report half of the documents: shipped digests and
guidelines, and PubMedQA development abstracts where RADRAG_DATA is there. The verifier was fitted on the other half.
The near copies are claims a word or two away from one sentence, written to slip past and answered by rules since.
The claims by hand are the shipped ones, in words of their own: the development split decided that a claim must follow
its source to be supported; the test split (other documents and writers) was scored after that. Half of its documents do
not ship and need RADRAG_DATA.

    python tests/benchmarks/grounding.py [--nli MODEL]
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

from radrag.corpora import LabelledClaim, load_claims, load_evidence
from radrag.grounding import THRESHOLD, AlignmentVerifier, NLIVerifier, find_support
from radrag.metrics import auroc, bootstrap, bootstrap_statistic, expected_calibration_error
from radrag.protocols import Verifier
from radrag.training.claim_edits import FALSE_KINDS, TRUE_KINDS, EditedClaim, edited_claims
from radrag.training.verifier import pubmedqa_documents, shipped_documents

PUBMEDQA = DATA / "pubmedqa_dev500.jsonl.gz"
NEAR_COPIES = Path(__file__).parents[1] / "grounding" / "data" / "near_copies.jsonl"
COLUMNS = ("claims", "n", "documents", "called supported", "same, find_support")


def main(args: argparse.Namespace) -> None:
    """Measure and print."""
    verifier: Verifier = AlignmentVerifier() if args.nli is None else NLIVerifier(args.nli)
    documents = shipped_documents("B")
    if PUBMEDQA.is_file() and not args.shipped_only:
        documents += pubmedqa_documents(PUBMEDQA, "B")
    if args.quick:
        documents = random.Random(0).sample(documents, 40)
    claims = list(edited_claims(documents, seed=args.seed, per_document=2))
    edited_table(claims, dict(documents), verifier, args)
    near_table(verifier, args)
    texts = {one.id: one.text for one in load_evidence()}
    if PUBMEDQA.is_file():
        texts |= dict(pubmedqa_documents(PUBMEDQA, "A") + pubmedqa_documents(PUBMEDQA, "B"))
    for split in ("development", "test"):
        hand_table(split, [claim for claim in load_claims(split) if claim.document_id in texts], texts, verifier, args)


def edited_table(
    claims: Sequence[EditedClaim], texts: dict[str, str], verifier: Verifier, args: argparse.Namespace
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


def near_table(verifier: Verifier, args: argparse.Namespace) -> None:
    """Print what claims a word or two away from one sentence are called; the rules were made with them in sight."""
    pairs = [json.loads(line) for line in NEAR_COPIES.read_text(encoding="utf-8").splitlines()]
    found = verifier.verify([pair["claim"] for pair in pairs], [[pair["source"]] for pair in pairs])
    true = np.asarray([pair["true"] for pair in pairs])
    groups = np.asarray([pair["source"] for pair in pairs])
    called = [np.asarray([one.verdict == kind for one in found], dtype=float) for kind in ("supported", "contradicted")]
    base = np.asarray([baseline(pair["claim"], pair["source"]) for pair in pairs], dtype=float)
    rows = [
        (name, int(part.sum()), len(set(groups[part])), *(interval(one[part], groups[part]) for one in (*called, base)))
        for name, part in (("false", ~true), ("true", true))
    ]
    columns = ("claims", "n", "sources", "called supported", "called contradicted", "find_support passes")
    report("Near copies, written to slip past (development)", columns, rows, args)


def hand_table(
    split: str,
    claims: Sequence[LabelledClaim],
    texts: dict[str, str],
    verifier: Verifier,
    args: argparse.Namespace,
) -> None:  # fmt: skip
    """Print what the claims written by hand are called, and whether the probabilities tell them apart and are right."""
    claims = list(claims)[: 60 if args.quick else None]
    found = [verifier.verify([claim.text], [[texts[claim.document_id]]])[0] for claim in claims]
    true = np.asarray([claim.supported for claim in claims])
    groups = np.asarray([claim.document_id for claim in claims])
    kinds = np.asarray([claim.kind for claim in claims])
    called = {
        "called supported": np.asarray([one.verdict == "supported" for one in found], dtype=float),
        "called contradicted": np.asarray([one.verdict == "contradicted" for one in found], dtype=float),
        "find_support passes": np.asarray([baseline(c.text, texts[c.document_id]) for c in claims], dtype=float),
    }
    parts = [("true", true), ("false", ~true)]
    parts += [(f"false: {kind}", ~true & (kinds == kind)) for kind in sorted(set(kinds[~true])) if not args.quick]
    rows = [
        (name, int(part.sum()), len(set(groups[part])), *(interval(one[part], groups[part]) for one in called.values()))
        for name, part in parts
    ]
    chances = np.asarray([one.probability or 0.0 for one in found])
    scores = bootstrap_statistic((true.astype(int), chances), auroc, groups=list(groups), seed=0)
    rows.append(("AUROC", len(claims), len(set(groups)), scores, "", ""))
    ece = float(expected_calibration_error(chances, true.astype(int)))
    rows.append(("ECE", len(claims), len(set(groups)), ece, "", ""))
    report(f"Claims written by hand, {split}", ("claims", "n", "documents", *called), rows, args)


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
    parser.add_argument("--nli", help="measure this NLI model, by name or folder, in place of the verifier that ships")
    parser.add_argument("--shipped-only", action="store_true", help="without PubMedQA")
    main(parser.parse_args())
