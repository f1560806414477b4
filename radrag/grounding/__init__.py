"""Does a passage carry a claim? Citations whose quotes are checked, and the confidence that there is evidence."""

from radrag.grounding.claims import Grounded, ground
from radrag.grounding.confidence import Confidence, evidence_features
from radrag.grounding.support import THRESHOLD, Support, find_support

__all__ = ["THRESHOLD", "Confidence", "Grounded", "Support", "evidence_features", "find_support", "ground"]
