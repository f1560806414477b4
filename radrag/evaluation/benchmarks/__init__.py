"""Benchmarks by name: readers of the official files, official scoring, recorded systems, and runs that go on."""

from radrag.evaluation.benchmarks.bioasq import BioASQQuestion, read_bioasq, read_submission
from radrag.evaluation.benchmarks.bioasq_scores import score_phase_a, score_phase_b
from radrag.evaluation.benchmarks.cache import Progress, Resumable
from radrag.evaluation.benchmarks.choices import (
    ChoicePipeline,
    ChoiceQuestion,
    benchmark_letter,
    by_benchmark,
    strictly,
)
from radrag.evaluation.benchmarks.mirage import read_mirage
from radrag.evaluation.benchmarks.pubmedqa import PubMedQA, read_pubmedqa, score_pubmedqa
from radrag.evaluation.benchmarks.recorded import RecordedSystem, Recordings, recorded_comparison, recorded_systems

__all__ = [
    "BioASQQuestion",
    "ChoicePipeline",
    "ChoiceQuestion",
    "Progress",
    "PubMedQA",
    "RecordedSystem",
    "Recordings",
    "Resumable",
    "benchmark_letter",
    "by_benchmark",
    "read_bioasq",
    "read_mirage",
    "read_pubmedqa",
    "read_submission",
    "recorded_comparison",
    "recorded_systems",
    "score_phase_a",
    "score_phase_b",
    "score_pubmedqa",
    "strictly",
]
