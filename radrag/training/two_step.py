"""Two-step adapters after Clinical LLaMA-LoRA (Gema et al., arXiv 2307.03042): first the domain, then the task."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from radrag.generation import _loading
from radrag.generation.prompts import fingerprint
from radrag.training import output, qlora
from radrag.training._domain import DomainAdapter, pretrain_adapter
from radrag.training._engine import fit, guarded, updates_of
from radrag.training._files import texts_sha256
from radrag.training._runs import Run, is_main
from radrag.training._stacking import hold, put_first, read_adapter, scale_of, stacked_config
from radrag.training.config import QLoraConfig
from radrag.training.merging import merge_once
from radrag.training.records import ChatRecord
from radrag.training.statistics import describe

__all__ = ["DomainAdapter", "Strategy", "TwoStep", "pretrain_adapter", "train_two_step"]
Strategy = Literal["merged", "both", "frozen"]


@dataclass(frozen=True, slots=True)
class TwoStep:
    """What a two-step run gave: ``LlamaGenerator(result.base, result.folder)``.

    Attributes:
        folder: Where the final adapter is.
        base: The base that it belongs to: for ``"merged"`` the base with the domain adapter in it, else the given one.
        strategy: How the second step took the domain adapter.
        domain: The first step.
        tuned: The second step.
    """

    folder: Path
    base: str
    strategy: Strategy
    domain: DomainAdapter
    tuned: qlora.Tuned


def train_two_step(
    base: str | Path,
    texts: Sequence[str],
    records: Sequence[ChatRecord],
    out: str | Path,
    domain: QLoraConfig | None = None,
    task: QLoraConfig | None = None,
    *,
    strategy: Strategy = "merged",
    valid: Sequence[ChatRecord] | None = None,
    text_groups: Sequence[str] | None = None,
    revision: str | None = None,
    local_files_only: bool = False,
    data_note: str = "",
) -> TwoStep:
    """Train a domain adapter on texts, then a task adapter on records; what is finished is not repeated.

    Strategies of the second step:

    - ``"merged"``: the domain adapter is merged into the full-precision base, in ``<out>-base``, which then is
      quantised if the task asks for it; a new adapter is trained on that.
    - ``"both"``: domain and task adapter are active, and both are trained: the better one in the paper.
    - ``"frozen"``: both are active, and only the task's is trained.

    For the last two the adapters are one from the start: A and B of both stacked, which is the same model, resumes as
    any run does, and is loaded on the base as one adapter. Where the two scales differ, B of the domain is held
    multiplied by their ratio, so that with ``"both"`` a step of Adam moves its product by the task's scale.

    Args:
        base: Folder, shipped name or hub name of a model with a chat template.
        texts: Texts of the domain.
        records: Records of the task.
        out: Folder to write the final adapter to; the domain adapter is in ``<out>-domain``.
        domain: Settings of the first step.
        task: Settings of the second step; with ``"both"`` and ``"frozen"`` its layers must be the domain's.
        strategy: How the second step takes the domain adapter.
        valid: Records to hold out; if left out, ``task.valid_share`` of the records is, by group.
        text_groups: Group of each text, such as the patient.
        revision: Revision of the base on the hub.
        local_files_only: Whether to stay off the network.
        data_note: What records and texts are, for the model cards.

    Raises:
        ValueError: If settings do not fit each other, a record is longer than ``max_length``, held-out records are also
            trained on, or ``<out>-domain`` holds an adapter of other texts, settings or another base.
        ModelError: If the base cannot be loaded.
        TrainingError: If this machine cannot run the settings, memory runs out, or the loss is no number.
    """
    domain, task, out = domain or QLoraConfig(), task or QLoraConfig(), Path(out)
    _check(strategy, domain, task)
    source = _loading.Source(str(base), revision, local_files_only)
    tokenizer = _loading.load_tokenizer(source)
    describe(qlora._split(records, valid, task)[0], tokenizer, task.max_length)  # refused now, not hours later
    place = out.with_name(out.name + "-domain")
    first = _finished(place, source, texts, domain) or pretrain_adapter(
        base,
        texts,
        place,
        domain,
        groups=text_groups,
        revision=revision,
        local_files_only=local_files_only,
        data_note=data_note,
    )
    if strategy == "merged":
        whole = merge_once(source, place, out.with_name(out.name + "-base"))
        tuned = qlora.train_qlora(
            whole, records, out, task, valid=valid, local_files_only=local_files_only, data_note=data_note
        )
        return TwoStep(out, str(whole), strategy, first, tuned)
    tuned = _train_stacked(source, records, valid, out, domain, task, place, strategy, data_note)
    return TwoStep(out, str(base), strategy, first, tuned)


def _check(strategy: str, domain: QLoraConfig, task: QLoraConfig) -> None:
    if strategy not in get_args(Strategy):
        raise ValueError(f"strategy must be one of {', '.join(get_args(Strategy))}, got {strategy!r}")
    if strategy != "merged" and domain.target_modules != task.target_modules:
        raise ValueError(
            f"strategy {strategy!r} needs the same target_modules in both steps, got {domain.target_modules!r} and "
            f"{task.target_modules!r}; or take strategy 'merged'"
        )


def _finished(folder: Path, source: _loading.Source, texts: Sequence[str], config: QLoraConfig) -> DomainAdapter | None:
    """Return the first step if the folder holds it."""
    if not (folder / "radrag.json").is_file():
        return None
    record = output.read_record(folder)
    found = {"texts": record["data"]["sha256"], "settings": record["config"], "base": record["base"]["digest"]}
    asked = {
        "texts": texts_sha256(texts),
        "settings": json.loads(json.dumps(asdict(config))),
        "base": output.base_record(source)["digest"],
    }
    differ = [name for name, value in asked.items() if found[name] != value]
    if differ:
        raise ValueError(
            f"{folder} holds a domain adapter of other {', '.join(differ)}. Delete it, or choose another out."
        )
    return DomainAdapter(folder=folder, **record["metrics"])


def _train_stacked(
    source: _loading.Source,
    records: Sequence[ChatRecord],
    valid: Sequence[ChatRecord] | None,
    out: Path,
    domain: QLoraConfig,
    task: QLoraConfig,
    adapter: Path,
    strategy: Strategy,
    data_note: str,
) -> qlora.Tuned:
    config = stacked_config(domain, task)
    ratio = scale_of(domain.r, domain.alpha, domain.rslora) / scale_of(task.r, task.alpha, task.rslora)
    with guarded(config, source):
        train, held = qlora._split(records, valid, config)
        tokenizer = _loading.load_tokenizer(source)
        statistics = describe(train, tokenizer, config.max_length)
        sha256 = texts_sha256(part for record in (*train, *held) for part in qlora._texts(record))
        two: dict[str, Any] = {"strategy": strategy, "domain": _loading.weights_digest(adapter), "rank": domain.r}
        settings = {"base": _loading.identity(source), "two_step": two, "prompts": fingerprint()}
        run = Run(out, {**asdict(config), **settings, "data": sha256, "train": len(train)})
        rows, held_rows = (qlora._rows(side, tokenizer, config) for side in (train, held))
        run.begin(updates_of(len(rows), config))
        trainer = qlora._trainer(source, tokenizer, rows, held_rows, config, run)
        written = put_first(trainer.model, read_adapter(adapter), ratio)
        if strategy == "frozen":
            trainer.add_callback(hold(trainer.model, written))
        fitted = fit(trainer, run, config)
    made = qlora._tuned(out, source, trainer, fitted, held, statistics, rows)
    facts = {"sha256": sha256, "train": len(train), "valid": len(held), "note": data_note, "two_step": two}
    if is_main():
        made = qlora._write(made, trainer, tokenizer, source, config, fitted, held, facts)
    trainer.accelerator.wait_for_everyone()
    run.finish()
    return made
