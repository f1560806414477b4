"""Metrics: pure functions on rankings, labels, probabilities, texts and arrays, and how sure their figures are.

Nothing is averaged away: what cannot be scored raises ValueError, and the caller counts it. A per-item metric goes
through ``bootstrap`` (or ``paired_bootstrap`` against a baseline), a metric of the whole set through
``bootstrap_statistic``; each gives an ``Estimate``, which prints as ``0.812 [0.790, 0.833] (n=409)``.
"""

from __future__ import annotations

from radrag.metrics.agreement import kappa
from radrag.metrics.bioasq import (
    FactoidScore,
    RetrievalScore,
    Snippet,
    YesNoScore,
    bioasq_documents,
    bioasq_factoid,
    bioasq_list,
    bioasq_snippets,
    bioasq_yes_no,
    geometric_map,
)
from radrag.metrics.bleu_score import bleu, sentence_bleu
from radrag.metrics.calibration import ReliabilityBin, brier, expected_calibration_error, reliability_table
from radrag.metrics.citations import CitationScore, CitedClaim, citation_scores, quote_exactness, unsupported_rate
from radrag.metrics.classification import Confusion, accuracy, auprc, auroc, confusion, f1, multilabel_f1
from radrag.metrics.conformal import SetScore, set_scores
from radrag.metrics.label_table import LabelRow, multilabel_exact_match, multilabel_table, per_label
from radrag.metrics.prf import PrecisionRecallF1
from radrag.metrics.ranking import average_precision, hit, ndcg, precision, recall, reciprocal_rank
from radrag.metrics.resampling import (
    Estimate,
    McNemar,
    bootstrap,
    bootstrap_statistic,
    mcnemar,
    paired_bootstrap,
)
from radrag.metrics.rouge import rouge_l, rouge_n, rouge_su
from radrag.metrics.selective import RiskCoverage, aurc, risk_coverage
from radrag.metrics.semantic import cosine_similarity, greedy_match, semantic_match
from radrag.metrics.slices import Slice, age_slices, by_slice, wilson
from radrag.metrics.testing import PermutationTest, SignTest, holm, permutation_test, sign_test
from radrag.metrics.text import exact_match, normalize_answer, token_f1
from radrag.metrics.trec import bpref, r_precision, trec_gmap, trec_order

__all__ = [
    "CitationScore",
    "CitedClaim",
    "Confusion",
    "Estimate",
    "FactoidScore",
    "LabelRow",
    "McNemar",
    "PermutationTest",
    "PrecisionRecallF1",
    "ReliabilityBin",
    "RetrievalScore",
    "RiskCoverage",
    "SetScore",
    "SignTest",
    "Slice",
    "Snippet",
    "YesNoScore",
    "accuracy",
    "age_slices",
    "auprc",
    "aurc",
    "auroc",
    "average_precision",
    "bioasq_documents",
    "bioasq_factoid",
    "bioasq_list",
    "bioasq_snippets",
    "bioasq_yes_no",
    "bleu",
    "bootstrap",
    "bootstrap_statistic",
    "bpref",
    "brier",
    "by_slice",
    "citation_scores",
    "confusion",
    "cosine_similarity",
    "exact_match",
    "expected_calibration_error",
    "f1",
    "geometric_map",
    "greedy_match",
    "hit",
    "holm",
    "kappa",
    "mcnemar",
    "multilabel_exact_match",
    "multilabel_f1",
    "multilabel_table",
    "ndcg",
    "normalize_answer",
    "paired_bootstrap",
    "per_label",
    "permutation_test",
    "precision",
    "quote_exactness",
    "r_precision",
    "recall",
    "reciprocal_rank",
    "reliability_table",
    "risk_coverage",
    "rouge_l",
    "rouge_n",
    "rouge_su",
    "semantic_match",
    "sentence_bleu",
    "set_scores",
    "sign_test",
    "token_f1",
    "trec_gmap",
    "trec_order",
    "unsupported_rate",
    "wilson",
]
