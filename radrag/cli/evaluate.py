"""``radrag evaluate``: run, diff."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radrag.cli.app import fail, show
from radrag.cli.ask import Adapter, Model, Quantize, generator
from radrag.cli.index import Folder, Json

if TYPE_CHECKING:
    from radrag.indexes.hybrid import HybridIndex

commands = typer.Typer(no_args_is_help=True, help="RAG against no RAG, paired, with intervals.")


def register(app: typer.Typer) -> None:
    """Hang the verbs under ``radrag``."""
    app.add_typer(commands, name="evaluate")


@commands.command()
def run(
    index: Folder,
    what: Annotated[str, typer.Argument(help="'questions' or 'notes' (shipped), or a .jsonl file of questions.")],
    model: Model = None,
    adapter: Adapter = None,
    quantize: Quantize = None,
    labeller: Annotated[Path | None, typer.Option(help="Fitted labeller, for 'notes'.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the resampling.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Also write the JSON here, for `radrag evaluate diff`.")] = None,
    as_json: Json = False,
) -> None:
    """Compare a pipeline with its baseline on the same items."""
    from radrag.corpora import load_notes, load_questions, read_questions
    from radrag.evaluation import compare
    from radrag.indexes.hybrid import HybridIndex
    from radrag.pipelines.qa import QAPipeline

    items: Any
    with HybridIndex.open(index) as opened:
        if what == "notes":
            system: Any = _labeller(opened, labeller)
            items = load_notes("test")
        else:
            system = QAPipeline(opened, generator(model, adapter, quantize))
            items = load_questions() if what == "questions" else list(read_questions(what))
        made = compare(system, system.without_retrieval(), items, seed=seed)
    if out is not None:
        out.write_text(json.dumps(made.to_dict(), indent=1) + "\n", encoding="utf-8")
    show(made.to_dict(), str(made), as_json)


@commands.command()
def diff(
    first: Annotated[Path, typer.Argument(help="JSON written by `radrag evaluate run --out`.")],
    second: Annotated[Path, typer.Argument(help="Another, of the same items.")],
    as_json: Json = False,
) -> None:
    """Show what changed between two evaluations, losses first."""
    sides = [{row["metric"]: row for row in _read(path)["rows"]} for path in (first, second)]
    rows = []
    for metric in sides[0].keys() & sides[1].keys():
        before, after = (side[metric]["system"] for side in sides)
        gain = (after["value"] - before["value"]) * (1 if sides[0][metric]["higher_is_better"] else -1)
        apart = after["low"] > before["high"] or after["high"] < before["low"]
        rows.append(
            {"metric": metric, "before": before["value"], "after": after["value"], "gain": gain, "apart": apart}
        )
    rows.sort(key=lambda row: (row["gain"], row["metric"]))
    only = sorted(sides[0].keys() ^ sides[1].keys())
    lines = [
        f"{row['metric']}: {row['before']:.3f} → {row['after']:.3f}" + (", intervals apart" if row["apart"] else "")
        for row in rows
    ]
    lines += [f"{metric}: in one of the two only" for metric in only]
    show({"rows": rows, "in_one_only": only}, "\n".join(lines), as_json)


def _labeller(index: HybridIndex, folder: Path | None) -> Any:
    from radrag.pipelines.label import LabelPipeline

    return LabelPipeline.load(folder, index) if folder else fail("'notes' needs --labeller, made by `radrag label fit`")


def _read(path: Path) -> dict[str, Any]:
    try:
        made: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        made["rows"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        fail(f"{path} is not an evaluation: {error}; make one with `radrag evaluate run --out`")
    return made
