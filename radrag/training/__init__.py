"""Training: tokenizer, pretraining, QLoRA and encoder distillation. Needs the ``train`` extra; imports it on use."""

from __future__ import annotations

from importlib import import_module

_PLACES = {
    "PRESETS": "presets",
    "Lengths": "data",
    "Preset": "presets",
    "Pretrained": "pretraining",
    "QLoraConfig": "qlora",
    "SmallLlamaConfig": "pretraining",
    "Tuned": "qlora",
    "chat_dataset": "data",
    "check_lengths": "data",
    "distil_encoder": "encoder",
    "shipping_pairs": "contrastive",
    "tune_encoder": "contrastive",
    "tune_sentence_encoder": "sentence_encoder",
    "Pair": "_pairs",
    "read_pairs": "_pairs",
    "fit_reranker": "reranker",
    "grouped_split": "data",
    "label_accuracy": "qlora",
    "pretrain": "pretraining",
    "train_qlora": "qlora",
    "train_tokenizer": "tokenizer",
}

__all__ = sorted(_PLACES)


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
