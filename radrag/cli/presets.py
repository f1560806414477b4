"""``radrag train PRESET``: a verb for each preset, its options, and what every tuning verb does around the training."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from radrag.cli.app import show
from radrag.cli.index import Json

if TYPE_CHECKING:
    from radrag.training.plan import Plan
    from radrag.training.presets import Preset

BaseModel = Annotated[
    str | None, typer.Option("--base", help="Base model instead of the preset's: a shipped name, hub name or folder.")
]
Data = Annotated[str, typer.Option(help="File of training data, or 'shipped'.")]
Texts = Annotated[str, typer.Option(help="Two-step: texts of the domain; files, or 'shipped'.")]
Valid = Annotated[Path | None, typer.Option(help="File of held-out data; else a part of the data is held out.")]
Out = Annotated[Path | None, typer.Option(help="Folder to write; runs/NAME if left out.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Another value for a setting; again for more.")
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="TOML file of settings; --set wins over it.", dir_okay=False)
]
PlanOnly = Annotated[bool, typer.Option("--plan", help="Print what it would do and take, and stop.")]
ReportTo = Annotated[str | None, typer.Option(help="Where curves go: none, tensorboard or mlflow.")]
Seed = Annotated[int | None, typer.Option(help="Seed of everything that is drawn.")]
Adapter = Annotated[str | None, typer.Option(help="Adapter of the base to go on from.")]


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for on the command line, besides settings."""

    data: str = "shipped"
    texts: str = "shipped"
    valid: Path | None = None
    out: Path | None = None
    plan: bool = False
    as_json: bool = False
    adapter: str | None = None


class Presets(TyperGroup):
    """A group of verbs whose presets are looked up when asked for, so that no file is read before."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the verbs and the presets."""
        return [*super().list_commands(ctx), *names()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a verb, the verb of a preset, or that of a preset file."""
        found = super().get_command(ctx, cmd_name)
        if found is None and (cmd_name in names() or cmd_name.endswith(".toml")):
            return _preset_command(cmd_name)
        return found


def names() -> tuple[str, ...]:
    """Return the presets that ship."""
    from radrag.training.presets import preset_names

    return preset_names()


def _preset_command(name: str) -> Any:
    from radrag.training.presets import load_preset

    preset = load_preset(name)
    sources = "\n".join(f"- {source}" for source in preset.source)
    about = f"{preset.title}.\n\nMethod {preset.method}, base {preset.base or '(from scratch)'}. Sources:\n\n{sources}"
    alone = typer.Typer(add_completion=False, rich_markup_mode="markdown")

    @alone.command(preset.name, help=f"{about}\n\n{preset.notes}")
    def train(
        base: BaseModel = None,
        data: Data = "shipped",
        texts: Texts = "shipped",
        valid: Valid = None,
        out: Out = None,
        settings: Settings = None,
        config: ConfigFile = None,
        plan: PlanOnly = False,
        report_to: ReportTo = None,
        seed: Seed = None,
        adapter: Adapter = None,
        as_json: Json = False,
    ) -> None:
        overrides = overrides_of(settings, config, base=base, reporter=report_to, seed=seed)
        asked = Asked(data, texts, valid, out, plan, as_json, adapter)
        run_preset(load_preset(name, overrides), asked)

    return typer.main.get_command(alone)


def run_preset(preset: Preset, asked: Asked) -> None:
    """Show what a preset would do, and do it unless only the plan was asked for."""
    from radrag.cli import tune
    from radrag.training._sources import load_records, plain_texts

    if asked.adapter is not None and preset.method not in ("qlora", "dpo"):
        raise ValueError(f"--adapter goes with methods qlora and dpo; {preset.name} is of method {preset.method}")
    others = {
        "pretrain": lambda: pretrain_preset(preset, asked, None),
        "dpo": lambda: tune.run_dpo(preset, asked),
        "classification": lambda: tune.run_classifier(preset, asked),
    }
    if preset.method in others:
        others[preset.method]()
        return
    records, held = load_records(preset.data, asked.data, preset.format, asked.valid)
    texts = plain_texts(asked.texts) if preset.method == "two-step" else []
    note = f"{len(records)} records of {preset.data} ({Path(asked.data).name})"

    def train(out: Path) -> Any:
        if preset.domain is not None:
            from radrag.training.two_step import train_two_step

            return train_two_step(
                preset.base,
                texts,
                records,
                out,
                preset.domain,
                preset.tuning,
                strategy=preset.settings["strategy"],
                valid=held,
                data_note=note,
            )
        from radrag.training.qlora import train_qlora

        return train_qlora(preset.base, records, out, preset.tuning, valid=held, adapter=asked.adapter, data_note=note)

    run(preset, asked, lambda: planned(preset, records, texts, asked), train)


def pretrain_preset(preset: Preset, asked: Asked, tokenizer: Path | None) -> None:
    """Pretrain as a preset says, with a tokenizer, or with one that is trained first."""
    from radrag.training._sources import load_texts
    from radrag.training.pretraining import SmallLlamaConfig, pretrain
    from radrag.training.tokenizer import train_tokenizer

    if not isinstance(preset.config, SmallLlamaConfig):
        raise TypeError(f"{preset.name} does not pretrain")
    given, config = preset.settings, preset.config

    def train(out: Path) -> Any:
        texts = load_texts(asked.data, given["seed"])
        made = tokenizer or train_tokenizer(
            strings(texts),
            out.with_name(f"{out.name}-tokenizer"),
            vocab_size=given["vocab_size"],
            context=config.context,
        )
        limits = {"steps": given["steps"], "minutes": None if given["steps"] else given["minutes"]}
        return pretrain(texts, made, out, config, seed=given["seed"], data_note=Path(asked.data).name, **limits)

    run(preset, asked, lambda: planned(preset, None, [], asked), train)


def strings(texts: Any) -> list[str]:
    """Return texts and chats as texts alone."""
    return [text if isinstance(text, str) else "\n".join(turn.content for turn in text) for text in texts]


def run(preset: Preset, asked: Asked, make_plan: Callable[[], Plan], train: Callable[[Path], Any]) -> None:
    """Show the plan, train, and show what came of it with the memory it took."""
    from radrag.errors import ModelError, require
    from radrag.training._peak import Peak
    from radrag.training._runs import is_main
    from radrag.training.plan import size

    plan = None
    try:
        plan = make_plan()
    except ModelError:
        if asked.plan:
            raise  # without a plan it can train all the same: the base's config may be had from the hub
    if asked.plan and plan is not None:
        show(plan.table(), str(plan), asked.as_json)
        return
    if not asked.as_json and is_main() and plan is not None:
        typer.echo(f"{plan}\n")
    for module in ("trl.trainer.sft_trainer", "peft", "datasets"):  # so that they do not count as the run's memory
        require(module, extra="train")
    with Peak() as peak, redirect_stdout(sys.stderr):  # trainers print their progress; what is asked for comes after it
        made = train(asked.out or Path("runs") / preset.name)
    if is_main():
        estimated = None if plan is None else plan.bytes
        took: dict[str, Any] = {"memory_estimated": estimated, "memory_measured": peak.bytes or None}
        result(made, took if asked.as_json else {k: size(v) for k, v in took.items() if v}, asked.as_json)


def planned(preset: Preset, records: list[Any] | None, texts: list[str], asked: Asked, *, labels: int = 1) -> Plan:
    """Plan a run, its records counted in tokens if the base's tokenizer is at hand."""
    from radrag.errors import ModelError
    from radrag.generation._loading import Source, load_tokenizer
    from radrag.training.plan import plan_run
    from radrag.training.splits import grouped_split

    if records is not None and asked.valid is None and preset.tuning.valid_share:
        records, _ = grouped_split(records, preset.tuning.valid_share, preset.tuning.seed)
    tokenizer = None
    try:
        tokenizer = load_tokenizer(Source(preset.base, None, True)) if records is not None else None
    except ModelError:
        pass  # its files are not here yet: the data are then counted in records alone
    return plan_run(preset, records=records, texts=texts or None, tokenizer=tokenizer, labels=labels)


def preset_of(method: str, base: str, data: str, config: Mapping[str, Any], overrides: Mapping[str, Any]) -> Preset:
    """Make a preset for a verb that has none: its own defaults, and what was asked for."""
    from radrag.training.presets import preset_from

    given = {key: "none" if value is None else value for key, value in config.items()}
    table = {"title": f"radrag train {method}", "source": ["this project"], "method": method, "data": data}
    return preset_from({**table, "base": base, "config": given}, method, overrides)


def overrides_of(settings: list[str] | None, config: Path | None, **flags: Any) -> dict[str, Any]:
    """Put together what was asked for: the file first, then each setting, then the flags."""
    from radrag.training.presets import parse_override, read_overrides

    try:
        given = {} if config is None else read_overrides(config)
        given |= dict(map(parse_override, settings or ()))
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
    return {**given, **{name: value for name, value in flags.items() if value is not None}}


def result(made: Any, more: Mapping[str, Any], as_json: bool) -> None:
    """Print what a run gave; tables that were shown before it are left out."""
    values = {field.name: getattr(made, field.name) for field in fields(made)}
    shown = {name: value for name, value in values.items() if name not in ("folder", "statistics")}
    lines = [f"{name}: {_short(value)}" for name, value in {**shown, **more}.items() if value is not None]
    text = "\n".join([*lines, f"written to {made.folder}"])
    show({**asdict(made), **more}, text, as_json)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}"
    if is_dataclass(value) and not isinstance(value, type) and hasattr(value, "folder"):
        return ", ".join(f"{one.name} {getattr(value, one.name)}" for one in fields(value) if one.name != "statistics")
    return str(value)
