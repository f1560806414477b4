"""Direct preference optimisation (Rafailov et al., arXiv 2305.18290): from pairs of a better and a worse reply.

The reference is the model that training begins with. Where that is base and SFT adapter, it is base and a frozen copy
of that adapter, not the bare base.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from radrag.errors import require
from radrag.generation import _loading
from radrag.generation.prompts import fingerprint
from radrag.metrics.resampling import Estimate, bootstrap
from radrag.training import _engine, output
from radrag.training._files import replaced_folder, texts_sha256
from radrag.training._preference_pairs import (
    Correction,
    PreferencePair,
    Row,
    pair_rows,
    pair_texts,
    pairs_from_corrections,
    split_pairs,
)
from radrag.training._runs import Run, is_main
from radrag.training.config import QLoraConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["DEFAULT", "Correction", "PreferencePair", "Preferred", "pairs_from_corrections", "train_dpo"]
DEFAULT = QLoraConfig(lr=5e-5, epochs=1, packing=False)


@dataclass(frozen=True, slots=True)
class Preferred:
    """What a DPO run gave.

    A reward is beta times the log-ratio of policy and reference; a margin is the chosen reply's less the rejected's.

    Attributes:
        folder: Where the adapter is; it takes the place of the SFT adapter.
        base: The base that it belongs to.
        steps: Optimiser steps.
        first_loss: Loss of the first logged steps; log 2 at a first step, where policy and reference are the same.
        last_loss: Loss of the last logged steps.
        accuracy: Share of held-out pairs with a margin above 0, None if there are fewer than two.
        margin: Mean margin of the held-out pairs.
        preferred_before: Share of held-out pairs of which the reference finds the chosen reply the more probable.
        preferred_after: The same of the tuned model.
        train: Pairs trained on.
        held: Pairs held out.
        seconds: Time of the training itself.
    """

    folder: Path
    base: str
    steps: int
    first_loss: float
    last_loss: float
    accuracy: Estimate | None
    margin: Estimate | None
    preferred_before: Estimate | None
    preferred_after: Estimate | None
    train: int
    held: int
    seconds: float


def train_dpo(
    base: str | Path,
    pairs: Sequence[PreferencePair],
    out: str | Path,
    config: QLoraConfig | None = None,
    *,
    adapter: str | Path | None,
    beta: float = 0.1,
    valid: Sequence[PreferencePair] | None = None,
    revision: str | None = None,
    local_files_only: bool = False,
    data_note: str = "",
) -> Preferred:
    """Tune an adapter on preference pairs; an interrupted run goes on from its last checkpoint.

    Args:
        base: Folder, shipped name or hub name of a model with a chat template.
        pairs: The pairs; ``config.valid_share`` of them is held out by group.
        out: Folder to write the adapter to, replaced as a whole at the end.
        config: Settings; None takes ``DEFAULT``. With an adapter its rank, scale and layers stay as they are, and those
            of the config do not apply; neither do ``packing`` and ``dropout``.
        adapter: The SFT adapter to go on from, which is the reference too. None puts a new adapter on the base, with
            the bare base as reference.
        beta: How much a departure from the reference costs.
        valid: Pairs to hold out instead; a leak into the training pairs is refused.
        revision: Revision of the base on the hub.
        local_files_only: Whether to stay off the network.
        data_note: What the pairs are, for the model card.

    Raises:
        ValueError: If a pair is longer than ``max_length``, pairs contradict each other, or held-out pairs leak.
        ModelError: If base or adapter cannot be loaded, or do not belong together.
        TrainingError: If this machine cannot run the settings, memory runs out, or the loss is no number.
    """
    config, out = config or DEFAULT, Path(out)
    if not beta > 0:
        raise ValueError(f"beta must be above 0, got {beta}")
    train, held = split_pairs(pairs, valid, config)
    source = _loading.Source(str(base), revision, local_files_only)
    made = None if adapter is None else _loading.Source(str(adapter), None, local_files_only)
    with _engine.guarded(config, source):
        tokenizer = _loading.load_tokenizer(source)
        rows, held_rows = (pair_rows(side, tokenizer, config.max_length) for side in (train, held))
        sha256 = texts_sha256(part for pair in (*train, *held) for part in pair_texts(pair))
        digest = None if made is None else _loading.weights_digest(made.folder)
        choices = {"base": _loading.identity(source), "adapter": digest, "beta": beta, "prompts": fingerprint()}
        run = Run(out, {**asdict(config), **choices, "data": sha256, "train": len(train)})
        run.begin(_engine.updates_of(len(rows), config))
        trainer = _trainer(source, made, tokenizer, rows, held_rows, config, run, beta)
        fitted = _engine.fit(trainer, run, config)
        measured = _measure(trainer, held, held_rows, beta, config) if len(held) > 1 else {}
    result = Preferred(
        folder=out,
        base=source.name,
        steps=trainer.state.global_step,
        first_loss=fitted.first_loss,
        last_loss=fitted.last_loss,
        accuracy=measured.get("accuracy"),
        margin=measured.get("margin"),
        preferred_before=measured.get("preferred_before"),
        preferred_after=measured.get("preferred_after"),
        train=len(train),
        held=len(held),
        seconds=fitted.seconds,
    )
    if is_main():
        facts = {"sha256": sha256, "train": len(train), "valid": len(held), "note": data_note or "preference pairs"}
        _write(result, trainer, tokenizer, source, config, {**facts, "beta": beta, "reference_digest": digest}, fitted)
    trainer.accelerator.wait_for_everyone()
    run.finish()
    return result


@cache
def _trainer_kind() -> type:
    """Make the class; trl is not to be imported before it is needed."""

    class Trainer(require("trl", extra="train").DPOTrainer):  # type: ignore[misc]
        def _prepare_dataset(self, dataset: Any, *given: Any, **named: Any) -> Any:
            """Leave the rows: they are the tokens of inference already."""
            return dataset

    return Trainer


def _trainer(
    source: _loading.Source,
    adapter: _loading.Source | None,
    tokenizer: PreTrainedTokenizerBase,
    rows: list[Row],
    held: list[Row],
    config: QLoraConfig,
    run: Run,
    beta: float,
) -> Any:
    datasets, trl = require("datasets", extra="train"), require("trl", extra="train")
    require("transformers", extra="llama").set_seed(config.seed)
    model = _engine.load_base(source, config)
    exact = {}
    if adapter is not None:
        model = _loading.load_adapter(model, adapter, source)
        model.peft_config["default"].inference_mode = False
        model.set_adapter("default")  # it was loaded frozen
        exact = {name: weight.detach().clone() for name, weight in model.named_parameters() if ".default." in name}
    settings = {"beta": beta, "eval_strategy": "no"} if not (held and config.evaluations) else {"beta": beta}
    with _loading.quiet_renames():
        trainer = _trainer_kind()(
            model=model,
            args=_engine.arguments(trl.DPOConfig, config, run, run.steps or 1, **settings),
            train_dataset=datasets.Dataset.from_list(rows),
            eval_dataset=datasets.Dataset.from_list(held) if held and config.evaluations else None,
            processing_class=tokenizer,
            peft_config=_engine.lora_config(config) if adapter is None else None,
            callbacks=_engine.callbacks(config),
        )
    for name, weight in exact.items():  # trl rounds the adapter of a quantised base to bfloat16
        trainer.model.get_parameter(name).data = weight
        trainer.model.get_parameter(name.replace(".default.", ".ref.")).data = weight.clone()
    return trainer


def sequence_logprobs(model: Any, rows: Sequence[Row], reply: str, batch_size: int) -> NDArray[np.float64]:
    """Return the log-probability of one reply of each row, its end of turn included.

    Args:
        model: The model, in the state to measure.
        rows: Tokens of the pairs.
        reply: ``"chosen_ids"`` or ``"rejected_ids"``.
        batch_size: Rows run at once.

    Returns:
        Natural logarithms [n].
    """
    torch = require("torch", extra="llama")
    found = np.zeros(len(rows))
    dtype = model.dtype
    with torch.inference_mode(), torch.autocast(model.device.type, dtype=dtype, enabled=dtype != torch.float32):
        for start in range(0, len(rows), batch_size):
            batch = rows[start : start + batch_size]
            whole = [[*row["prompt_ids"], *row[reply]] for row in batch]
            width = max(map(len, whole))
            ids = torch.tensor([row + [0] * (width - len(row)) for row in whole], device=model.device)
            # Filled at the right and read up to the fill, which causal attention does not look at.
            logs = model(input_ids=ids, use_cache=False).logits[:, :-1].float().log_softmax(-1)
            each = logs.gather(-1, ids[:, 1:, None])[..., 0].double().cpu().numpy()
            for place, row in enumerate(batch):
                first = len(row["prompt_ids"]) - 1
                found[start + place] = each[place, first : first + len(row[reply])].sum()
    return found


def _measure(
    trainer: Any, pairs: Sequence[PreferencePair], rows: list[Row], beta: float, config: QLoraConfig
) -> dict[str, Estimate]:
    """Measure the held-out pairs; intervals draw whole groups where there are several."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    model.eval()
    use_adapter = require("trl.trainer.utils", extra="train").use_adapter

    def differences() -> NDArray[np.float64]:
        chosen, rejected = (
            sequence_logprobs(model, rows, f"{kind}_ids", config.batch) for kind in ("chosen", "rejected")
        )
        return chosen - rejected

    after = differences()
    with use_adapter(model, "ref" if "ref" in model.peft_config else None):
        before = differences()
    margins = beta * (after - before)
    figures = {
        "accuracy": margins > 0,
        "margin": margins,
        "preferred_before": before > 0,
        "preferred_after": after > 0,
    }
    named = [pair.groups[0] if pair.groups else f"pair {n}" for n, pair in enumerate(pairs)]
    groups = named if 1 < len(set(named)) < len(named) else None
    return {name: bootstrap(v.astype(float), seed=config.seed, groups=groups) for name, v in figures.items()}


def _write(
    result: Preferred,
    trainer: Any,
    tokenizer: PreTrainedTokenizerBase,
    source: _loading.Source,
    config: QLoraConfig,
    facts: dict[str, Any],
    fitted: _engine.Fitted,
) -> None:
    base = output.base_record(source)
    used = trainer.model.peft_config["default"]
    kept = replace(config, r=used.r, alpha=used.lora_alpha, rslora=used.use_rslora)
    if "ref" in trainer.model.peft_config:
        trainer.model.delete_adapter("ref")
    with replaced_folder(result.folder) as staging:
        output.save_adapter(trainer.model, tokenizer, staging, base)
        output.describe_adapter(
            staging,
            name=result.folder.name,
            method="train_dpo",
            base=base,
            config=kept,
            data=facts,
            metrics={key: value for key, value in asdict(result).items() if key not in ("folder", "base")},
            history=fitted.history,
        )
