"""How well it works: a system against its baseline on the same items, paired, with intervals, and as a report."""

from radrag.evaluation.ablations import label_ablations, question_ablations
from radrag.evaluation.compare import compare
from radrag.evaluation.comparison import Comparison
from radrag.evaluation.diff import Difference, diff
from radrag.evaluation.records import Row, Table
from radrag.evaluation.review_sheet import export_sheet, import_reviews, reviewed
from radrag.evaluation.scores import Measure

__all__ = [
    "Comparison",
    "Difference",
    "Measure",
    "Row",
    "Table",
    "compare",
    "diff",
    "export_sheet",
    "import_reviews",
    "label_ablations",
    "question_ablations",
    "reviewed",
]
