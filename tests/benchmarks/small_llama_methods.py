"""Part of ``small_llama.py --methods``: two-step against single-step tuning, and DPO against SFT, on what ships.

After so few steps hardly any label is named exactly, so steps are compared by what the right reply costs.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import report
from numpy.typing import NDArray
from rich.progress import track

import radrag as rr
from radrag.corpora import load_reports
from radrag.generation.prompts import label_chat
from radrag.metrics import bootstrap, mcnemar, paired_bootstrap
from radrag.training import QLoraConfig, train_dpo, train_qlora, train_two_step
from radrag.training._sources import plain_texts
from radrag.training.preferences import Correction, pairs_from_corrections
from radrag.training.records import ChatRecord, is_complete, label_records, report_records
from radrag.training.small_llama import HELD_SHARE
from radrag.training.splits import grouped_split

STEPS, DOMAIN_STEPS, REPORT_STEPS, DPO_STEPS = 80, 30, 30, 30
_BLOCK = 32


def compare_methods(args: argparse.Namespace) -> None:
    """Tune, measure and print."""
    scale = 10 if args.quick else 1
    with tempfile.TemporaryDirectory() as folder:
        _notes(Path(folder), scale, args)
        _reports(Path(folder), scale, args)
        _preferences(Path(folder), scale, args)


def _config(steps: int, scale: int, **changes: Any) -> QLoraConfig:
    settings = {"steps": max(2, steps // scale), "batch": 4, "max_length": 1024, "valid_share": 0.0, "checkpoints": 0}
    return QLoraConfig(**{**settings, **changes})


def _notes(folder: Path, scale: int, args: argparse.Namespace) -> None:
    train, _ = grouped_split(rr.load_notes("train"), HELD_SHARE, 0)
    records = label_records(train)
    test = label_records(_some(rr.load_notes("test"), scale))
    task, domain = _config(STEPS, scale), _config(DOMAIN_STEPS, scale)
    train_qlora(args.base, records, folder / "single", task, local_files_only=True)
    texts = [*plain_texts("shipped"), *(note.text for note in train)]
    costs = {"single-step": _cost(args.base, folder / "single", test)}
    for strategy in ("merged", "both"):
        made = train_two_step(
            args.base, texts, records, folder / strategy, domain, task, strategy=strategy, local_files_only=True
        )
        costs[f"two-step, {strategy}"] = _cost(made.base, made.folder, test)
    title = f"Two-step against single-step: nats of the right label, {len(test)} hand-written notes, {task.steps} steps"
    _paired(title, costs, "single-step", args)


def _reports(folder: Path, scale: int, args: argparse.Namespace) -> None:
    records = report_records([one for one in load_reports() if is_complete(one)], "impression")
    train, held = grouped_split(records, 0.3, 0)
    task, domain = _config(REPORT_STEPS, scale), _config(DOMAIN_STEPS, scale)
    train_qlora(args.base, train, folder / "r-single", task, local_files_only=True)
    made = train_two_step(
        args.base, plain_texts("shipped")[:-170], train, folder / "r-two", domain, task, local_files_only=True
    )
    costs = {
        "single-step": _cost(args.base, folder / "r-single", held),
        "two-step, merged": _cost(made.base, made.folder, held),
    }
    _paired(f"Findings to impression: nats of the right reply, {len(held)} held-out reports, {task.steps} steps",
            costs, "single-step", args)  # fmt: skip


def _preferences(folder: Path, scale: int, args: argparse.Namespace) -> None:
    """A reviewer corrects the adapter on the calibration notes; it is judged on the test notes."""
    notes, test = _some(rr.load_notes("calibration"), scale), _some(rr.load_notes("test"), scale)
    said = _replies(args.base, args.adapter, notes)
    wrong = [
        Correction(note.text, reply, note.label, note.id)
        for note, reply in zip(notes, said, strict=True)
        if reply.strip() and reply not in {note.label, *note.also}
    ]
    config = _config(DPO_STEPS, scale, lr=2e-4, batch=8, max_length=512)
    made = train_dpo(
        args.base, pairs_from_corrections(wrong), folder / "dpo", config, adapter=args.adapter, local_files_only=True
    )
    more = label_records([note for note in notes if any(note.text == one.note for one in wrong)])
    sft = _config(DPO_STEPS, scale, lr=2e-4, batch=8, max_length=512, packing=False)
    train_qlora(args.base, more, folder / "sft", sft, adapter=args.adapter, local_files_only=True)
    right = {
        "SFT adapter": _exact(args.base, args.adapter, test),
        f"DPO on {len(wrong)} corrections": _exact(args.base, made.folder, test),
        "SFT on the same corrected notes": _exact(folder / "sft-base", folder / "sft", test),
    }
    _paired(f"DPO against SFT: greedy exact match, {len(test)} hand-written test notes", right, "SFT adapter", args)


def _some(notes: Sequence[rr.LabelledNote], scale: int) -> list[rr.LabelledNote]:
    return list(notes[::scale])


def _replies(base: str | Path, adapter: str | Path, notes: Sequence[rr.LabelledNote]) -> list[str]:
    llama = rr.LlamaGenerator(base, adapter, quantize="nf4", batch_size=_BLOCK, local_files_only=True)
    chats = [label_chat(note.text, None) for note in notes]
    return [one.text for one in llama.generate(chats, rr.GenerationParams(max_new_tokens=24))]


def _exact(base: str | Path, adapter: str | Path, notes: Sequence[rr.LabelledNote]) -> NDArray[np.float64]:
    replies = zip(_replies(base, adapter, notes), notes, strict=True)
    return np.asarray([float(reply in {note.label, *note.also}) for reply, note in replies])


def _cost(base: str | Path, adapter: str | Path, records: Sequence[ChatRecord]) -> NDArray[np.float64]:
    llama = rr.LlamaGenerator(base, adapter, quantize="nf4", local_files_only=True)
    scored = [
        float(llama.score([one.prompt], [one.completion])[0, 0]) for one in track(records, "scoring", transient=True)
    ]
    return -np.asarray(scored)


def _paired(title: str, made: dict[str, NDArray[np.float64]], baseline: str, args: argparse.Namespace) -> None:
    rows: list[list[Any]] = []
    for name, values in made.items():
        row: list[Any] = [name, bootstrap(values, seed=0), "", ""]
        if name != baseline:
            row[2] = paired_bootstrap(values, made[baseline], seed=0)
            whole = set(np.unique(values)) <= {0.0, 1.0}
            row[3] = mcnemar(values, made[baseline]).p_value if whole else ""
        rows.append(row)
    report(title, ["", "value", "difference, paired", "p (McNemar)"], rows, args)
