"""``radrag label``: fit, predict."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radrag.cli.app import fail, show
from radrag.cli.index import Folder, Json

if TYPE_CHECKING:
    from radrag.types import LabelResult

commands = typer.Typer(no_args_is_help=True, help="Label notes, with evidence and guideline citations.")
Fitted = Annotated[Path, typer.Option("--model", help="Folder of the fitted labeller.")]
Column = Annotated[str, typer.Option("--text", help="Column or key of the note.")]


def register(app: typer.Typer) -> None:
    """Hang the verbs under ``radrag``."""
    app.add_typer(commands, name="label")


@commands.command()
def fit(
    index: Folder,
    notes: Annotated[str, typer.Argument(help="Labelled notes, .csv or .jsonl; or 'shipped'.")],
    model: Fitted,
    labels: Annotated[Path | None, typer.Option(help="CSV of labels: id, name, definition, synonyms. "
                                                "Left out, every guideline of the index is a label.")] = None,
    calibration: Annotated[str | None, typer.Option(help="Labelled notes like those to come, to calibrate on; or "
                                                    "'shipped'. Left out, the notes themselves serve.")] = None,
    text: Column = "text",
    label: Annotated[str, typer.Option("--label", help="Column or key of the label.")] = "label",
    as_json: Json = False,
) -> None:  # fmt: skip
    """Learn from labelled notes and write the labeller to a folder."""
    from radrag.corpora import load_notes, read_labelled_notes
    from radrag.indexes.hybrid import HybridIndex
    from radrag.labelling import LabelSet
    from radrag.pipelines.label import LabelPipeline

    with HybridIndex.open(index) as opened:
        guidelines = (document for document in opened.documents() if document.kind == "guideline")
        known = LabelSet.from_csv(labels) if labels else LabelSet.from_protocols(list(guidelines))
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
    notes: Annotated[str, typer.Argument(help="A note; or a .csv or .jsonl file of notes.")],
    model: Fitted,
    text: Column = "text",
    out: Annotated[Path | None, typer.Option(help="Write JSON Lines here instead of printing.")] = None,
    as_json: Json = False,
) -> None:
    """Label one note or a file of notes."""
    from radrag.indexes.hybrid import HybridIndex
    from radrag.pipelines.label import LabelPipeline

    texts = _notes(Path(notes), text) if notes.endswith((".csv", ".jsonl")) else [notes]
    with HybridIndex.open(index) as opened:
        results = LabelPipeline.load(model, opened).batch(texts)
    if out is not None:
        _write(out, results)
        typer.echo(f"{len(results)} notes labelled; written to {out}.")
        return
    show([result.to_dict() for result in results], "\n\n".join(map(str, results)), as_json)


def _notes(path: Path, column: str) -> list[str]:
    if not path.is_file():
        fail(f"{path} does not exist; give a file of notes, or a note")
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows: list[Any] = (
            list(csv.DictReader(stream)) if path.suffix == ".csv" else [json.loads(line) for line in stream]
        )
    csv.field_size_limit(sys.maxsize)
    for number, row in enumerate(rows, start=1):
        if not isinstance(row.get(column), str) or not row[column].strip():
            fail(f"{path}, record {number}: no text under {column!r}; name the column with --text (here: {list(row)})")
    return [row[column] for row in rows]


def _write(path: Path, results: list[LabelResult]) -> None:
    draft = path.with_name(f".{path.name}.new")
    draft.write_text("".join(json.dumps(one.to_dict(), ensure_ascii=False) + "\n" for one in results), encoding="utf-8")
    draft.replace(path)
