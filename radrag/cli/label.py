"""``radrag label``: fit, predict; the other verbs are in ``label_loop`` and ``review``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radrag.cli.app import fail, show
from radrag.cli.index import Folder, Json

if TYPE_CHECKING:
    from radrag.labelling.batches import BatchProgress

commands = typer.Typer(no_args_is_help=True, help="Label notes, with evidence and guideline citations.")
Fitted = Annotated[Path, typer.Option("--model", help="Folder of the fitted labeller.")]
Column = Annotated[str, typer.Option("--text", help="Column or key of the note.")]


def register(app: typer.Typer) -> None:
    """Hang the verbs under ``radrag``."""
    from radrag.cli import label_loop, review

    label_loop.register(commands)
    review.register(commands)
    app.add_typer(commands, name="label")


@commands.command()
def fit(
    index: Folder,
    notes: Annotated[str, typer.Argument(help="Labelled notes, .csv or .jsonl; or 'shipped'.")],
    model: Fitted,
    labels: Annotated[Path | None, typer.Option(help="Labels: .csv, .yaml, .md, or a folder of guidelines. "
                                                "Left out, every guideline of the index is a label.")] = None,
    calibration: Annotated[str | None, typer.Option(help="Labelled notes like those to come, to calibrate on; or "
                                                    "'shipped'. Left out, the notes themselves serve.")] = None,
    text: Column = "text",
    label: Annotated[str, typer.Option("--label", help="Column or key of the label.")] = "label",
    anew: Annotated[bool, typer.Option("--anew", help="Replace a fitted labeller that is in --model.")] = False,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Learn from labelled notes and write the labeller to a folder."""
    from radrag.cli.label_loop_files import label_set
    from radrag.corpora import load_notes, read_labelled_notes
    from radrag.indexes.hybrid import HybridIndex
    from radrag.pipelines.label import LabelPipeline

    if (model / "manifest.json").exists() and not anew:
        fail(f"{model} holds a fitted labeller already; pass --anew to replace it, or choose another folder")
    with HybridIndex.open(index) as opened:
        known = label_set(opened, labels)
        examples = load_notes("train") if notes == "shipped" else list(read_labelled_notes(notes, text, label))
        apart = None
        if calibration is not None:
            shipped = calibration == "shipped"
            apart = load_notes("calibration") if shipped else list(read_labelled_notes(calibration, text, label))
        pipeline = LabelPipeline(opened, labels=known).fit(examples, apart)
        pipeline.save(model)
        manifest = pipeline.manifest
    show(manifest, f"Fitted on {len(examples)} notes with {len(known)} labels; written to {model}.", as_json)


@commands.command()
def predict(
    index: Folder,
    notes: Annotated[str, typer.Argument(help="A note; or a file of notes: .csv, .jsonl (also .gz), .parquet.")],
    model: Fitted,
    text: Column = "text",
    out: Annotated[Path | None, typer.Option(help="Write a row for each note here instead of printing, a file of the "
                                             "same kinds. If it is interrupted, run the same command again.")] = None,
    id: Annotated[str | None, typer.Option("--id", help="Column of the note's name, to be kept in --out.")] = None,
    keep: Annotated[list[str] | None, typer.Option(help="Column to take over to --out. May be repeated.")] = None,
    anew: Annotated[bool, typer.Option("--anew", help="Begin anew, and replace --out if it is there.")] = False,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Label one note or a file of notes. A note that cannot be labelled has its error in its row of --out."""
    from radrag.indexes.hybrid import HybridIndex
    from radrag.labelling.batches import predict_file
    from radrag.pipelines.label import LabelPipeline

    many = notes.removesuffix(".gz").endswith((".csv", ".jsonl", ".parquet"))
    if out is not None:
        if not many:
            fail("--out is for a file of notes; leave it out for one note")
        with HybridIndex.open(index) as opened:
            pipeline = LabelPipeline.load(model, opened)
            with _counter() as told:
                done = predict_file(
                    pipeline, notes, out, text=text, id=id, keep=keep or (), resume=not anew, progress=told
                )
        value = {"rows": done.rows, "errors": done.errors, "kinds": dict(done.kinds), "seconds": done.seconds}
        show(value, str(done), as_json)
        return
    texts = _notes(Path(notes), text) if many else [notes]
    with HybridIndex.open(index) as opened:
        results = LabelPipeline.load(model, opened).batch(texts)
    show([result.to_dict() for result in results], "\n\n".join(map(str, results)), as_json)


def _counter() -> AbstractContextManager[Callable[[BatchProgress], None] | None]:
    """Return a line that counts, as a context; nothing where nobody watches."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        return nullcontext(None)

    from rich.status import Status

    class Line(Status):
        def __enter__(self) -> Any:
            super().__enter__()
            return lambda done: self.update(
                f"{done.rows:,} notes, {done.errors:,} with an error, {done.rate:,.0f} a second"
            )

    return Line("Labelling", console=console)


def _notes(path: Path, column: str) -> list[str]:
    from radrag.corpora.rows import rows

    if not path.is_file():
        fail(f"{path} does not exist; give a file of notes, or a note")
    if path.suffix == ".parquet":
        fail("results of a .parquet file go to a file; name it with --out")
    return [row.filled(column) for row in rows(path)]
