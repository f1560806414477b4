"""Label sets, what scores labels, how scores are pooled, and what is cited for a label."""

from __future__ import annotations

from radrag.labelling.groups import group_notes, grouped_folds
from radrag.labelling.label_set import LabelSet
from radrag.labelling.neighbours import Neighbours
from radrag.labelling.text_model import TextModel
from radrag.labelling.zero_shot import ZeroShot

__all__ = ["LabelSet", "Neighbours", "TextModel", "ZeroShot", "group_notes", "grouped_folds"]
