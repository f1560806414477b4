"""radrag: cited answers and cited labels for clinical text."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from radrag._version import __version__

if TYPE_CHECKING:
    from radrag.corpora import (
        Chunking,
        load_evidence,
        load_notes,
        load_protocols,
        load_questions,
        load_reports,
        read_csv,
        read_folder,
        read_jsonl,
        read_labelled_notes,
        read_markdown,
        read_pubmed,
        read_text,
    )
    from radrag.evaluation import compare
    from radrag.generation.llama import LlamaGenerator
    from radrag.generation.llamaindex import LlamaIndexGenerator
    from radrag.generation.scripted import ScriptedGenerator
    from radrag.indexes.filters import Range
    from radrag.indexes.hybrid import HybridIndex
    from radrag.labelling import LabelSet
    from radrag.pipelines.label import LabelPipeline
    from radrag.pipelines.qa import QAPipeline
    from radrag.reading.extractive import ExtractiveReader
    from radrag.types import Answer, Document, GenerationParams, LabelledNote, LabelResult, Question

_PLACES = {
    "Answer": "types",
    "Chunking": "corpora",
    "Document": "types",
    "ExtractiveReader": "reading.extractive",
    "GenerationParams": "types",
    "HybridIndex": "indexes.hybrid",
    "LabelPipeline": "pipelines.label",
    "LabelResult": "types",
    "LabelSet": "labelling",
    "LabelledNote": "types",
    "LlamaGenerator": "generation.llama",
    "LlamaIndexGenerator": "generation.llamaindex",
    "QAPipeline": "pipelines.qa",
    "Question": "types",
    "Range": "indexes.filters",
    "ScriptedGenerator": "generation.scripted",
    "compare": "evaluation",
    "load_evidence": "corpora",
    "load_notes": "corpora",
    "load_protocols": "corpora",
    "load_questions": "corpora",
    "load_reports": "corpora",
    "read_csv": "corpora",
    "read_folder": "corpora",
    "read_jsonl": "corpora",
    "read_labelled_notes": "corpora",
    "read_markdown": "corpora",
    "read_pubmed": "corpora",
    "read_text": "corpora",
}

__all__ = [
    "Answer",
    "Chunking",
    "Document",
    "ExtractiveReader",
    "GenerationParams",
    "HybridIndex",
    "LabelPipeline",
    "LabelResult",
    "LabelSet",
    "LabelledNote",
    "LlamaGenerator",
    "LlamaIndexGenerator",
    "QAPipeline",
    "Question",
    "Range",
    "ScriptedGenerator",
    "__version__",
    "compare",
    "load_evidence",
    "load_notes",
    "load_protocols",
    "load_questions",
    "load_reports",
    "read_csv",
    "read_folder",
    "read_jsonl",
    "read_labelled_notes",
    "read_markdown",
    "read_pubmed",
    "read_text",
]


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module 'radrag' has no attribute {name!r}")
    return getattr(import_module(f"radrag.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
