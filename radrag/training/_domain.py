"""Continued pretraining of an adapter on plain text: what a model reads often, it comes to expect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from radrag.generation import _loading
from radrag.training import output, qlora
from radrag.training._engine import fit, guarded, updates_of
from radrag.training._files import replaced_folder, texts_sha256
from radrag.training._packing import IGNORED, Row
from radrag.training._runs import Run, is_main
from radrag.training.config import QLoraConfig
from radrag.training.splits import grouped_split
from radrag.training.tokenizer import END
from radrag.types import LabelledNote

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class DomainAdapter:
    """What continued pretraining gave.

    Attributes:
        folder: Where the adapter is.
        steps: Optimiser steps.
        tokens: Tokens of the training texts, in one pass.
        train: Texts trained on.
        held: Texts held out.
        first_loss: Loss of the first logged steps, natural log per token.
        last_loss: Loss of the last logged steps.
        valid_loss: Loss on the texts held out, None if there are none.
        seconds: Time of the training itself.
    """

    folder: Path
    steps: int
    tokens: int
    train: int
    held: int
    first_loss: float
    last_loss: float
    valid_loss: float | None
    seconds: float


def pretrain_adapter(
    base: str | Path,
    texts: Sequence[str],
    out: str | Path,
    config: QLoraConfig | None = None,
    *,
    groups: Sequence[str] | None = None,
    revision: str | None = None,
    local_files_only: bool = False,
    data_note: str = "",
) -> DomainAdapter:
    """Train an adapter to go on with texts of a domain; an interrupted run goes on from its last checkpoint.

    Each text stands between the tokens that begin and end one. Texts fill sequences of ``config.max_length`` tokens one
    after another and do not see each other; one that does not fit goes on in the next sequence. No token is dropped,
    and the loss is on every token but the first of a text and of a sequence.

    Args:
        base: Folder, shipped name or hub name of a model with a chat template.
        texts: The texts; ``config.valid_share`` of them is held out by group.
        out: Folder to write the adapter to, replaced as a whole at the end.
        config: Settings; ``packing`` does not apply.
        groups: Group of each text, such as the patient.
        revision: Revision of the base on the hub.
        local_files_only: Whether to stay off the network.
        data_note: What the texts are, for the model card.

    Raises:
        ValueError: If there is no text, or one is blank.
        ModelError: If the base cannot be loaded.
        TrainingError: If this machine cannot run the settings, memory runs out, or the loss is no number.
    """
    config, out = config or QLoraConfig(), Path(out)
    train, held = _split(texts, groups, config)
    source = _loading.Source(str(base), revision, local_files_only)
    with guarded(config, source):
        tokenizer = _loading.load_tokenizer(source)
        rows, held_rows = (blocks(side, tokenizer, config.max_length) for side in (train, held))
        sha256 = texts_sha256(texts)
        run = Run(out, {**asdict(config), "base": _loading.identity(source), "data": sha256, "groups": groups})
        run.begin(updates_of(len(rows), config))
        trainer = qlora._trainer(source, tokenizer, rows, held_rows, config, run)
        fitted = fit(trainer, run, config)
    made = DomainAdapter(
        folder=out,
        steps=trainer.state.global_step,
        tokens=sum(len(row["input_ids"]) for row in rows),
        train=len(train),
        held=len(held),
        first_loss=fitted.first_loss,
        last_loss=fitted.last_loss,
        valid_loss=trainer.evaluate()["eval_loss"] if held else None,
        seconds=fitted.seconds,
    )
    if is_main():
        record = output.base_record(source)
        with replaced_folder(out) as staging:
            output.save_adapter(trainer.model, tokenizer, staging, record)
            output.describe_adapter(
                staging,
                name=out.name,
                method="pretrain_adapter",
                base=record,
                config=config,
                data={"sha256": sha256, "train": len(train), "valid": len(held), "note": data_note or "plain texts"},
                metrics={key: value for key, value in asdict(made).items() if key != "folder"},
                history=fitted.history,
            )
    trainer.accelerator.wait_for_everyone()
    run.finish()
    return made


def blocks(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, length: int) -> list[Row]:
    """Fill sequences of a length with texts, one after another; the last may be shorter.

    A control token written in a text is split into its letters, so that it cannot end one.

    Returns:
        For each sequence ``input_ids``, ``labels`` and ``seq_lengths``, the length of each piece of a text.
    """
    if not texts:
        return []
    ends = tokenizer.get_vocab().get(END, tokenizer.eos_token_id)  # Llama 3's eos_token ends a turn, not a text
    opening = [] if tokenizer.bos_token_id is None else [int(tokenizer.bos_token_id)]
    encoded = tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True)["input_ids"]
    rows: list[Row] = []
    room = 0
    for ids in encoded:
        whole, labels = [*opening, *ids, int(ends)], [*[IGNORED] * len(opening), *ids, int(ends)]
        start = 0
        while start < len(whole):
            if room == 0:
                rows.append({"input_ids": [], "labels": [], "seq_lengths": []})
                room = length
            part = slice(start, start + room)
            rows[-1]["input_ids"] += whole[part]
            rows[-1]["labels"] += labels[part]
            rows[-1]["seq_lengths"].append(len(whole[part]))
            start += len(whole[part])
            room -= rows[-1]["seq_lengths"][-1]
    return rows


def _split(texts: Sequence[str], groups: Sequence[str] | None, config: QLoraConfig) -> tuple[list[str], list[str]]:
    if isinstance(texts, str) or not texts:
        raise ValueError(f"texts must be a list of at least one text, got {texts!r:.60}")
    blank = [position for position, text in enumerate(texts) if not text.strip()]
    if blank:
        raise ValueError(f"text {blank[0]} is blank ({len(blank)} such texts); leave it out")
    if groups is not None and len(groups) != len(texts):
        raise ValueError(f"groups must name a group for each of {len(texts)} texts, got {len(groups)}")
    if not config.valid_share:
        return list(texts), []
    named = groups if groups is not None else [""] * len(texts)
    notes = [LabelledNote(text, "text", group=group) for text, group in zip(texts, named, strict=True)]
    train, held = grouped_split(notes, config.valid_share, config.seed)
    if config.evaluations and not held:
        raise ValueError(f"evaluations={config.evaluations} needs held-out texts, and none could be held out")
    return [note.text for note in train], [note.text for note in held]
