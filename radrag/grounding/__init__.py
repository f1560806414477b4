"""Does a passage carry a claim? Citations whose quotes are checked, and the confidence that there is evidence."""

from radrag.grounding.claims import Grounded, default_verifier, ground
from radrag.grounding.confidence import Confidence, evidence_features
from radrag.grounding.nli import NLIVerifier
from radrag.grounding.quotes import QuoteCheck, check_quotes
from radrag.grounding.support import THRESHOLD, Support, find_support
from radrag.grounding.verifier import AlignmentVerifier, SupportModel

__all__ = [
    "THRESHOLD",
    "AlignmentVerifier",
    "Confidence",
    "Grounded",
    "NLIVerifier",
    "QuoteCheck",
    "Support",
    "SupportModel",
    "check_quotes",
    "default_verifier",
    "evidence_features",
    "find_support",
    "ground",
]
