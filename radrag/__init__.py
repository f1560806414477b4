"""radrag: cited answers and cited labels for clinical text."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from radrag._version import __version__

if TYPE_CHECKING:
    from radrag.corpora import (
        Chunking,
        NoteEvents,
        load_claims,
        load_conflicts,
        load_evidence,
        load_finding_sets,
        load_near_misses,
        load_notes,
        load_phi_notes,
        load_protocols,
        load_questions,
        load_reports,
        read_csv,
        read_folder,
        read_i2b2_2012,
        read_jsonl,
        read_labelled_notes,
        read_markdown,
        read_openi,
        read_order_notes,
        read_pubmed,
        read_text,
    )
    from radrag.corpora.deidentify import deidentify
    from radrag.evaluation import Comparison, compare, diff, export_sheet, import_reviews
    from radrag.evaluation.ragas_runs import evaluate_ragas
    from radrag.generation.llama import LlamaGenerator
    from radrag.generation.llamaindex import LlamaIndexGenerator
    from radrag.generation.recorded import RecordedGenerator
    from radrag.generation.scripted import ScriptedGenerator
    from radrag.grounding import AlignmentVerifier, NLIVerifier
    from radrag.indexes.filters import Range
    from radrag.indexes.hybrid import HybridIndex
    from radrag.labelling import LabelSet
    from radrag.labelling.batch_columns import as_map, label_frame
    from radrag.labelling.batches import predict_file
    from radrag.labelling.findings import FindingReader
    from radrag.labelling.loop import (
        apply_corrections,
        error_analysis,
        find_label_issues,
        out_of_fold,
        pseudo_label,
        review_queue,
    )
    from radrag.metrics import set_scores
    from radrag.pipelines.conversation import Conversation
    from radrag.pipelines.estimator import LabelClassifier
    from radrag.pipelines.findings import FindingsPipeline
    from radrag.pipelines.label import LabelPipeline
    from radrag.pipelines.patient import Patient
    from radrag.pipelines.qa import QAPipeline
    from radrag.reading.extractive import ExtractiveReader
    from radrag.reading.judge import JudgeVerifier
    from radrag.types import Answer, Document, FindingsResult, GenerationParams, LabelledNote, LabelResult, Question
    from radrag.types.agreement import Agreement

_PLACES = {
    "Agreement": "types.agreement",
    "AlignmentVerifier": "grounding",
    "Answer": "types",
    "Chunking": "corpora",
    "Comparison": "evaluation",
    "Conversation": "pipelines.conversation",
    "Document": "types",
    "ExtractiveReader": "reading.extractive",
    "FindingReader": "labelling.findings",
    "FindingsPipeline": "pipelines.findings",
    "FindingsResult": "types",
    "GenerationParams": "types",
    "HybridIndex": "indexes.hybrid",
    "JudgeVerifier": "reading.judge",
    "LabelClassifier": "pipelines.estimator",
    "LabelPipeline": "pipelines.label",
    "LabelResult": "types",
    "LabelSet": "labelling",
    "LabelledNote": "types",
    "LlamaGenerator": "generation.llama",
    "LlamaIndexGenerator": "generation.llamaindex",
    "NLIVerifier": "grounding",
    "NoteEvents": "corpora",
    "Patient": "pipelines.patient",
    "QAPipeline": "pipelines.qa",
    "Question": "types",
    "Range": "indexes.filters",
    "RecordedGenerator": "generation.recorded",
    "ScriptedGenerator": "generation.scripted",
    "apply_corrections": "labelling.loop",
    "as_map": "labelling.batch_columns",
    "compare": "evaluation",
    "deidentify": "corpora.deidentify",
    "diff": "evaluation",
    "error_analysis": "labelling.loop",
    "evaluate_ragas": "evaluation.ragas_runs",
    "export_sheet": "evaluation",
    "find_label_issues": "labelling.loop",
    "import_reviews": "evaluation",
    "label_frame": "labelling.batch_columns",
    "load_claims": "corpora",
    "load_conflicts": "corpora",
    "load_evidence": "corpora",
    "load_finding_sets": "corpora",
    "load_near_misses": "corpora",
    "load_notes": "corpora",
    "load_phi_notes": "corpora",
    "load_protocols": "corpora",
    "load_questions": "corpora",
    "load_reports": "corpora",
    "out_of_fold": "labelling.loop",
    "predict_file": "labelling.batches",
    "pseudo_label": "labelling.loop",
    "read_csv": "corpora",
    "read_folder": "corpora",
    "read_i2b2_2012": "corpora",
    "read_jsonl": "corpora",
    "read_labelled_notes": "corpora",
    "read_markdown": "corpora",
    "read_openi": "corpora",
    "read_order_notes": "corpora",
    "read_pubmed": "corpora",
    "read_text": "corpora",
    "review_queue": "labelling.loop",
    "set_scores": "metrics",
}

__all__ = [
    "Agreement",
    "AlignmentVerifier",
    "Answer",
    "Chunking",
    "Comparison",
    "Conversation",
    "Document",
    "ExtractiveReader",
    "FindingReader",
    "FindingsPipeline",
    "FindingsResult",
    "GenerationParams",
    "HybridIndex",
    "JudgeVerifier",
    "LabelClassifier",
    "LabelPipeline",
    "LabelResult",
    "LabelSet",
    "LabelledNote",
    "LlamaGenerator",
    "LlamaIndexGenerator",
    "NLIVerifier",
    "NoteEvents",
    "Patient",
    "QAPipeline",
    "Question",
    "Range",
    "RecordedGenerator",
    "ScriptedGenerator",
    "__version__",
    "apply_corrections",
    "as_map",
    "compare",
    "deidentify",
    "diff",
    "error_analysis",
    "evaluate_ragas",
    "export_sheet",
    "find_label_issues",
    "import_reviews",
    "label_frame",
    "load_claims",
    "load_conflicts",
    "load_evidence",
    "load_finding_sets",
    "load_near_misses",
    "load_notes",
    "load_phi_notes",
    "load_protocols",
    "load_questions",
    "load_reports",
    "out_of_fold",
    "predict_file",
    "pseudo_label",
    "read_csv",
    "read_folder",
    "read_i2b2_2012",
    "read_jsonl",
    "read_labelled_notes",
    "read_markdown",
    "read_openi",
    "read_order_notes",
    "read_pubmed",
    "read_text",
    "review_queue",
    "set_scores",
]


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module 'radrag' has no attribute {name!r}")
    return getattr(import_module(f"radrag.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
