"""Classification of texts by a Llama with a linear head on its last token, tuned with LoRA on a base that may be NF4.

One outcome, several at once, or one class out of many. The head is saved with the adapter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from radrag.errors import require
from radrag.generation import _loading
from radrag.training import _engine, _head, output
from radrag.training._files import package_versions, replaced_folder, texts_sha256, write_json
from radrag.training._head import Kind, LlamaClassifier, Long
from radrag.training._outcome_texts import OutcomeTexts, check_labels, outcome_texts, split_texts
from radrag.training._outcomes import ClassifierMetrics, classifier_metrics
from radrag.training._runs import Run, is_main
from radrag.training.config import QLoraConfig
from radrag.training.splits import check_leaks

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, Trainer

__all__ = ["ClassifierMetrics", "LlamaClassifier", "TunedClassifier", "train_classifier"]

_CARD = """---
library_name: peft
base_model: {base}
tags: [radrag, lora]
---

# {name}: a classifier on {base}

A LoRA adapter with a linear head on the last token, trained by `radrag.training.train_classifier`. **Not for clinical
use.** Load it with `LlamaClassifier({base!r}, "{name}")`.

- **Base**: `{base}`, digest of its weights `{digest}`.
- **Outcomes** ({kind}): {outcomes}.
- **Data**: {train:,} texts, {held:,} more held out; {data_note}; sha256 `{data_sha256}`.
- **Training**: {bits}, rank {r}, learning rate {lr:g}, {steps:,} steps, seed {seed}; loss {first_loss:.3f} at the
  start, {last_loss:.3f} at the end. Texts of more than {max_length:,} tokens are {reading}.
- **Held-out figures** (bootstrap intervals): {shown}.
- **Limits**: probabilities are not calibrated; it knows the outcomes named above and nothing else.
"""


@dataclass(frozen=True, slots=True)
class TunedClassifier:
    """What a classification run gave.

    Attributes:
        folder: Where adapter and head are.
        kind: What a target is.
        labels: Names of the outcomes, in the order of the columns.
        steps: Optimiser steps.
        first_loss: Loss of the first logged steps.
        last_loss: Loss of the last logged steps.
        metrics: Figures on the held-out texts, None if there are none.
        train: Texts trained on.
        held: Texts held out.
        seconds: Time of the training itself.
    """

    folder: Path
    kind: Kind
    labels: tuple[str, ...]
    steps: int
    first_loss: float
    last_loss: float
    metrics: ClassifierMetrics | None
    train: int
    held: int
    seconds: float


def train_classifier(
    base: str | Path,
    texts: Sequence[str],
    targets: ArrayLike | Sequence[str],
    out: str | Path,
    config: QLoraConfig | None = None,
    *,
    kind: Kind,
    labels: Sequence[str],
    groups: Sequence[str] | None = None,
    valid: tuple[Sequence[str], ArrayLike | Sequence[str], Sequence[str] | None] | None = None,
    balanced: bool = False,
    long: Long = "refuse",
    revision: str | None = None,
    local_files_only: bool = False,
    data_note: str = "",
) -> TunedClassifier:
    """Tune a base model to tell outcomes from texts; an interrupted run goes on from its last checkpoint.

    The loss is binary cross-entropy with logits, or softmax cross-entropy for ``"single"``.

    Args:
        base: Folder, shipped name or hub name of a causal language model.
        texts: The texts; ``config.valid_share`` of them is held out by group.
        targets: 0 or 1 [n] for ``"binary"``, 0 or 1 [n, m] for ``"multilabel"``, the name of a label [n] for
            ``"single"``.
        out: Folder to write adapter and head to, replaced as a whole at the end.
        config: Settings; ``packing`` does not apply, as each text has targets of its own.
        kind: One outcome, several at once, or exactly one of several.
        labels: Names of the outcomes: one for ``"binary"``, m for the others.
        groups: Group of each text, such as the patient; no group is on both sides, and intervals draw whole groups.
        valid: Texts, targets and groups (or None) to hold out instead; a leak into the training texts is refused.
        balanced: Whether to weigh classes by the inverse of their frequency in training.
        long: What to do with a text of more than ``config.max_length`` tokens: ``"refuse"``, or ``"window"`` to cut it
            into windows that overlap by a quarter. Each window is trained on with the targets of its text, and a text's
            logit of a label is the highest of its windows: one window that shows a finding is enough.
        revision: Revision of the base on the hub.
        local_files_only: Whether to stay off the network.
        data_note: What the texts are, for the model card.

    Raises:
        ValueError: If targets do not fit kind and labels, a text is too long, or held-out texts leak.
        ModelError: If the base cannot be loaded.
        TrainingError: If this machine cannot run the settings, memory runs out, or the loss is no number.
    """
    config = config or QLoraConfig()
    names = check_labels(kind, labels)
    everything = outcome_texts(kind, names, texts, targets, groups)
    train, held = split_texts(everything, config) if valid is None else (everything, outcome_texts(kind, names, *valid))
    if valid is not None:
        check_leaks(train.notes(), held.notes())
    if config.evaluations and not held.texts:
        raise ValueError(f"evaluations={config.evaluations} needs held-out texts: give valid, or valid_share above 0")
    source = _loading.Source(str(base), revision, local_files_only)
    tokenizer = _head.load_tokenizer(source)
    head = _head.Head(kind, names, config.max_length, long)
    rows, measured = (_rows(tokenizer, part, head) for part in (train, held))
    digests = [texts_sha256(part.texts) + texts_sha256([part.truth.tobytes().hex()]) for part in (train, held)]
    choices = {"kind": kind, "labels": names, "balanced": balanced, "long": long}
    run = Run(Path(out), {**asdict(config), **choices, "base": _loading.identity(source), "data": digests})
    updates = _engine.updates_of(len(rows), config)
    run.begin(updates)
    with _engine.guarded(config, source):
        require("transformers", extra="llama").set_seed(config.seed)
        model = _engine.load_base(source, config, head=head.settings(tokenizer))
        head.check(model)
        trainer = _trainer(model, rows, measured, _loss(kind, train.truth, balanced), config, run)
        fitted = _engine.fit(trainer, run, config)
        logits = _head.logits(trainer.model, tokenizer, held.texts, head, config.batch) if held.texts else None
    result = TunedClassifier(
        folder=Path(out),
        kind=kind,
        labels=names,
        steps=trainer.state.global_step,
        first_loss=fitted.first_loss,
        last_loss=fitted.last_loss,
        metrics=None if logits is None else _measure(held, head.probabilities(logits), head, config.seed),
        train=len(train.texts),
        held=len(held.texts),
        seconds=fitted.seconds,
    )
    facts = {"data_sha256": digests[0], "held_sha256": digests[1], "balanced": balanced, "data_note": data_note}
    if is_main():
        _save(trainer.model, tokenizer, result, head, config, source, facts)
    run.finish()
    return result


def _rows(tokenizer: Any, part: OutcomeTexts, head: _head.Head) -> list[dict[str, Any]]:
    windows, owners = _head.encode(tokenizer, part.texts, head.max_length, head.long)
    truth = [int(row.argmax()) if head.kind == "single" else row.tolist() for row in part.truth]
    return [{"input_ids": ids, "labels": truth[owner]} for ids, owner in zip(windows, owners, strict=True)]


def _trainer(
    model: PreTrainedModel,
    rows: list[dict[str, Any]],
    held: list[dict[str, Any]],
    loss: Any,
    config: QLoraConfig,
    run: Run,
) -> Trainer:
    torch, transformers = require("torch", extra="llama"), require("transformers", extra="llama")
    peft = require("peft", extra="llama")
    pad = model.config.pad_token_id
    with _loading.quiet_renames():
        tuned = peft.get_peft_model(model, _engine.lora_config(config, "SEQ_CLS", modules_to_save=["score"]))
        settings = {"remove_unused_columns": False, "label_names": ["labels"]}
        arguments = _engine.arguments(transformers.TrainingArguments, config, run, run.steps or 1, **settings)

    def collate(batch: list[dict[str, Any]]) -> dict[str, Tensor]:
        ids, mask = _head.padded([row["input_ids"] for row in batch], pad)
        labels = torch.tensor([row["labels"] for row in batch])
        return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask), "labels": labels}

    return transformers.Trainer(
        model=tuned,
        args=arguments,
        train_dataset=rows,
        eval_dataset=held if config.evaluations else None,
        data_collator=collate,
        compute_loss_func=loss,
        callbacks=_engine.callbacks(config),
    )


def _loss(kind: Kind, truth: NDArray[np.float32], balanced: bool) -> Any:
    """Return the loss of logits [b, m]: the mean over texts or cells of all batches summed before a step."""
    torch = require("torch", extra="llama")
    functional = torch.nn.functional
    positives = truth.sum(axis=0)
    frequency = len(truth) / (truth.shape[1] * np.maximum(positives, 1))
    odds = np.where(positives > 0, (len(truth) - positives) / np.maximum(positives, 1), 1)
    weight = torch.tensor(frequency if kind == "single" else odds, dtype=torch.float32) if balanced else None

    def loss(outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        scores = outputs.logits.float()
        given = None if weight is None else weight.to(scores.device)
        if kind == "single":
            total = functional.cross_entropy(scores, labels, weight=given, reduction="sum")
        else:
            total = functional.binary_cross_entropy_with_logits(scores, labels, pos_weight=given, reduction="sum")
        return total / (labels.numel() if num_items_in_batch is None else num_items_in_batch)

    return loss


def _save(
    model: Any,
    tokenizer: Any,
    result: TunedClassifier,
    head: _head.Head,
    config: QLoraConfig,
    source: _loading.Source,
    facts: dict[str, Any],
) -> None:
    base = output.base_record(source)
    measured = {key: value for key, value in asdict(result).items() if key not in ("folder", "kind", "labels")}
    figures = result.metrics
    shown = "not measured" if figures is None else (
        f"AUROC macro {figures.auroc_macro}, micro {figures.auroc_micro}; AUPRC macro {figures.auprc_macro}, micro "
        f"{figures.auprc_micro}; undefined (one class only): {', '.join(figures.undefined) or 'none'}"
    )  # fmt: skip
    with replaced_folder(result.folder) as staging:
        output.save_adapter(model, tokenizer, staging, base)
        record = {
            "kind": "classifier",
            "base": base,
            "head": asdict(head),
            "data": facts,
            "config": asdict(config),
            "metrics": _finite(measured),
            "digest": _loading.weights_digest(staging),
            "versions": package_versions("torch", "transformers", "peft", "bitsandbytes"),
        }
        write_json(staging / "radrag.json", record)
        card = _CARD.format(
            **{**asdict(config), **asdict(result), **facts, "base": base["name"], "digest": base["digest"]},
            name=result.folder.name,
            outcomes=", ".join(result.labels),
            shown=shown,
            bits="base in NF4 with double quantisation" if config.quantize else "base not quantised",
            reading="refused" if head.long == "refuse" else "read in windows, the highest logit of each label counting",
        )
        (staging / "README.md").write_text(card, encoding="utf-8")


def _finite(value: Any) -> Any:
    """Return the value with nan as None: JSON has no nan."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _measure(held: OutcomeTexts, probabilities: NDArray[np.float64], head: _head.Head, seed: int) -> ClassifierMetrics:
    named = [group or f"text {position}" for position, group in enumerate(held.groups)]
    groups = named if any(held.groups) else None
    single = head.kind == "single"
    return classifier_metrics(held.truth, probabilities, head.labels, groups=groups, single=single, seed=seed)
