"""Label sets, what scores labels, how scores are pooled, and what is cited for a label."""

from __future__ import annotations

from radrag.labelling.candidates import LabelIndex, candidate_recall
from radrag.labelling.groups import group_notes, grouped_folds
from radrag.labelling.label_diff import LabelSetDiff
from radrag.labelling.label_set import LabelSet
from radrag.labelling.neighbours import Neighbours
from radrag.labelling.similarity import LabelAgreement, label_agreement
from radrag.labelling.text_model import TextModel
from radrag.labelling.zero_shot import ZeroShot

__all__ = [
    "LabelAgreement",
    "LabelIndex",
    "LabelSet",
    "LabelSetDiff",
    "Neighbours",
    "TextModel",
    "ZeroShot",
    "candidate_recall",
    "group_notes",
    "grouped_folds",
    "label_agreement",
]
