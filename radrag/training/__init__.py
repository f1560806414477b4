"""Training: from records and a base model to adapters that the pipelines load. Needs the ``train`` extra on use."""

from __future__ import annotations

from importlib import import_module

_MODULES = {
    "records": (
        "ChatRecord",
        "answer_records",
        "instruction_records",
        "is_complete",
        "label_records",
        "report_records",
    ),
    "raft": (
        "pubmedqa_documents",
        "pubmedqa_questions",
        "rag_records",
    ),
    "formats": (
        "alpaca_text",
        "read_instructions",
        "write_instructions",
    ),
    "splits": (
        "balance",
        "check_leaks",
        "grouped_split",
        "leaks",
    ),
    "statistics": (
        "Lengths",
        "Statistics",
        "describe",
    ),
    "config": ("QLoraConfig",),
    "qlora": (
        "Tuned",
        "label_accuracy",
        "train_qlora",
    ),
    "merging": (
        "Merged",
        "merge",
    ),
    "two_step": (
        "DomainAdapter",
        "TwoStep",
        "pretrain_adapter",
        "train_two_step",
    ),
    "classification": (
        "ClassifierMetrics",
        "LlamaClassifier",
        "TunedClassifier",
        "train_classifier",
    ),
    "preferences": (
        "Correction",
        "Preferred",
        "PreferencePair",
        "pairs_from_corrections",
        "train_dpo",
    ),
    "presets": (
        "Preset",
        "load_preset",
        "preset_names",
    ),
    "plan": (
        "Plan",
        "plan_run",
    ),
    "pretraining": (
        "Pretrained",
        "SmallLlamaConfig",
        "pretrain",
    ),
    "tokenizer": ("train_tokenizer",),
    "encoder": ("distil_encoder",),
    "contrastive": (
        "shipping_pairs",
        "tune_encoder",
    ),
    "sentence_encoder": ("tune_sentence_encoder",),
    "_pairs": (
        "Pair",
        "read_pairs",
    ),
    "reranker": ("fit_reranker",),
}
_PLACES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_PLACES)


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
