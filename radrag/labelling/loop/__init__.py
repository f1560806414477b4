"""The loop that cleans labels: guess, doubt, review, correct, refit, and see what changed."""

from __future__ import annotations

from radrag.labelling.loop.corrections import (
    Action,
    Change,
    Conflict,
    Corrected,
    Decision,
    append_decision,
    apply_corrections,
    preference_rows,
    read_decisions,
)
from radrag.labelling.loop.errors import ErrorAnalysis, error_analysis
from radrag.labelling.loop.files import note_ids
from radrag.labelling.loop.history import Round, add_round, read_rounds
from radrag.labelling.loop.issues import Issue, IssueKind, LabelIssues, SiblingPair, find_label_issues, sibling_pairs
from radrag.labelling.loop.out_of_fold import out_of_fold
from radrag.labelling.loop.pseudo import PseudoLabel, PseudoLabels, pseudo_label
from radrag.labelling.loop.queue import Queue, QueueRow, known_labels, read_queue, review_queue, write_queue

__all__ = [
    "Action",
    "Change",
    "Conflict",
    "Corrected",
    "Decision",
    "ErrorAnalysis",
    "Issue",
    "IssueKind",
    "LabelIssues",
    "PseudoLabel",
    "PseudoLabels",
    "Queue",
    "QueueRow",
    "Round",
    "SiblingPair",
    "add_round",
    "append_decision",
    "apply_corrections",
    "error_analysis",
    "find_label_issues",
    "known_labels",
    "note_ids",
    "out_of_fold",
    "preference_rows",
    "pseudo_label",
    "read_decisions",
    "read_queue",
    "read_rounds",
    "review_queue",
    "sibling_pairs",
    "write_queue",
]
