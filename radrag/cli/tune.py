"""Verbs of ``radrag train`` beside the presets: presets, merge, dpo, classifier, tokenizer, base."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radrag.cli.app import show
from radrag.cli.index import Json
from radrag.cli.presets import (
    Adapter,
    Asked,
    ConfigFile,
    Out,
    PlanOnly,
    ReportTo,
    Seed,
    Settings,
    Valid,
    names,
    overrides_of,
    planned,
    preset_of,
    pretrain_preset,
    result,
    run,
    strings,
)

if TYPE_CHECKING:
    from radrag.training.presets import Preset


def register(commands: typer.Typer) -> None:
    """Hang the verbs under ``radrag train``."""
    for verb in (presets, merge, dpo, classifier, tokenizer, base):
        commands.command()(verb)


def presets(as_json: Json = False) -> None:
    """List the presets, with what each makes and where its values are from."""
    from radrag.training.presets import as_table, load_preset

    known = [load_preset(name) for name in names()]
    lines = []
    for preset in known:
        lines += [f"{preset.name}: {preset.title}", f"  {preset.method}, base {preset.base or '(from scratch)'}"]
        lines += [f"  {source}" for source in preset.source]
    show([as_table(preset) for preset in known], "\n".join(lines), as_json)


def merge(
    base: Annotated[str, typer.Argument(help="The adapter's base model.")],
    adapter: Annotated[str, typer.Argument(help="Folder or hub name of the adapter.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("runs/merged"),
    dtype: Annotated[str | None, typer.Option(help="Numeric type to merge and write in, such as float32.")] = None,
    as_json: Json = False,
) -> None:
    """Merge an adapter into its base at full precision, and check that the merged model says the same."""
    from radrag.training.merging import merge as merge_adapter

    result(merge_adapter(base, adapter, out, dtype=dtype), {}, as_json)


def dpo(
    data: Annotated[
        str, typer.Argument(help="JSON Lines: note, suggested, right; or prompt (text or turns), chosen, rejected.")
    ],
    base: Annotated[str, typer.Option("--base", help="Base model.")] = "small-llama",
    adapter: Adapter = None,
    valid: Valid = None,
    out: Out = None,
    settings: Settings = None,
    config: ConfigFile = None,
    plan: PlanOnly = False,
    report_to: ReportTo = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Tune an adapter on preferences, such as a reviewer's corrections (DPO, arXiv 2305.18290)."""
    from radrag.training.preferences import DEFAULT

    overrides = overrides_of(settings, config, reporter=report_to, seed=seed)
    asked = Asked(data, valid=valid, out=out, plan=plan, as_json=as_json, adapter=adapter)
    run_dpo(preset_of("dpo", base, "labels", asdict(DEFAULT), overrides), asked)


def run_dpo(preset: Preset, asked: Asked) -> None:
    """Plan and run a preset of method dpo."""
    from radrag.training._sources import load_pairs
    from radrag.training.preferences import train_dpo
    from radrag.training.records import ChatRecord

    pairs = load_pairs(Path(asked.data))
    held = None if asked.valid is None else load_pairs(asked.valid)
    records = [ChatRecord(pair.prompt, pair.chosen, pair.id, pair.groups) for pair in pairs]

    def train(out: Path) -> Any:
        return train_dpo(
            preset.base,
            pairs,
            out,
            preset.tuning,
            adapter=asked.adapter,
            beta=preset.settings["beta"],
            valid=held,
            data_note=f"{len(pairs)} pairs ({Path(asked.data).name})",
        )

    run(preset, asked, lambda: planned(preset, records, [], asked), train)


def classifier(
    data: Annotated[str, typer.Option(help="JSON Lines with text and labels (a list) or label; or 'shipped'.")],
    base: Annotated[str, typer.Option("--base", help="Base model.")] = "small-llama",
    valid: Valid = None,
    out: Out = None,
    windows: Annotated[
        bool, typer.Option("--windows", help="Read long texts in windows; else they are refused.")
    ] = False,
    balanced: Annotated[bool, typer.Option("--balanced", help="Weigh classes by the inverse of their number.")] = False,
    settings: Settings = None,
    config: ConfigFile = None,
    plan: PlanOnly = False,
    report_to: ReportTo = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Tune an adapter with a head that tells outcomes from texts, measured by AUROC."""
    overrides = overrides_of(settings, config, reporter=report_to, seed=seed)
    preset = preset_of("classification", base, "texts", {"packing": False, "max_length": 512}, overrides)
    asked = Asked(data, valid=valid, out=out, plan=plan, as_json=as_json)
    run_classifier(preset, asked, windows=windows, balanced=balanced)


def run_classifier(preset: Preset, asked: Asked, *, windows: bool = False, balanced: bool = False) -> None:
    """Plan and run a preset of method classification."""
    from radrag.training._sources import load_outcomes
    from radrag.training.classification import train_classifier

    kind, labels, texts, targets, groups = load_outcomes(asked.data)
    held = None if asked.valid is None else load_outcomes(asked.valid, labels if kind == "multilabel" else None)[2:]

    def train(out: Path) -> Any:
        return train_classifier(
            preset.base,
            texts,
            targets,
            out,
            preset.tuning,
            kind=kind,  # type: ignore[arg-type]
            labels=labels,
            groups=groups,
            valid=held,
            balanced=balanced,
            long="window" if windows else "refuse",
            data_note=f"{len(texts)} texts ({Path(asked.data).name})",
        )

    run(preset, asked, lambda: planned(preset, None, [], asked, labels=len(labels)), train)


def tokenizer(
    data: Annotated[str, typer.Option(help="Texts: files, or 'shipped'.")] = "shipped",
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("runs/tokenizer"),
    vocab_size: Annotated[int, typer.Option(help="Tokens in all, special ones included.")] = 4096,
    context: Annotated[int, typer.Option(help="Tokens that the model it is for can read.")] = 1024,
) -> None:
    """Train a byte-level BPE tokenizer with Llama-3 special tokens and chat template."""
    from radrag.training._sources import load_texts
    from radrag.training.tokenizer import train_tokenizer

    train_tokenizer(strings(load_texts(data)), out, vocab_size=vocab_size, context=context)
    typer.echo(f"written to {out}")


def base(
    data: Annotated[str, typer.Option(help="Texts: files, a folder of open sources, or 'shipped'.")] = "shipped",
    tokenizer: Annotated[Path | None, typer.Option(help="Folder of a tokenizer; one is trained if left out.")] = None,
    out: Out = None,
    settings: Settings = None,
    config: ConfigFile = None,
    plan: PlanOnly = False,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Pretrain a Llama from scratch; the defaults are those of the preset small-llama."""
    from radrag.training.presets import load_preset

    preset = load_preset("small-llama", overrides_of(settings, config, seed=seed))
    pretrain_preset(preset, Asked(data, out=out, plan=plan, as_json=as_json), tokenizer)
