"""``radrag evaluate``: questions, notes, findings, a file, run, diff; other verbs are in ``evaluate_*`` beside this."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from radrag.cli.app import fail, show
from radrag.cli.evaluate_options import Controls, IndexOption, Keep, Passages, Report, Run, Seed, Writer, folded
from radrag.cli.evaluate_shared import (
    Bars,
    checked_reports,
    compared,
    controls_text,
    finish,
    index_or_shipped,
    read_report,
    report_folder,
    writable,
)
from radrag.cli.index import Folder, Json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from radrag.evaluation import Comparison
    from radrag.indexes.hybrid import HybridIndex
    from radrag.types import LabelledNote, Question

NOTE_SOURCES = ("text", "characters", "neighbours", "guidelines")  # those that need no model and no rules
LLAMA = ("torch", "transformers", "peft", "bitsandbytes")
LLAMA_PASSAGES, LLAMA_TOKENS = 1, 24  # what the shipped model was trained on: texts of 512 tokens


class _Verbs(TyperGroup):
    """A file in the place of a verb is evaluated as questions."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the verb."""
        if args and self.get_command(ctx, args[0]) is None and args[0].removesuffix(".gz").endswith(".jsonl"):
            args = ["file", *args]
        return super().resolve_command(ctx, args)


commands = typer.Typer(cls=_Verbs, no_args_is_help=True, help="RAG against no RAG, paired, with intervals.")


def register(app: typer.Typer) -> None:
    """Hang the verbs under ``radrag``."""
    from radrag.cli import evaluate_benchmarks, evaluate_review

    for module in (evaluate_benchmarks, evaluate_review):
        module.register(commands)
    app.add_typer(commands, name="evaluate")


@commands.command()
@folded
def run(
    index: Folder,
    what: Annotated[str, typer.Argument(help="'questions' or 'notes' (shipped), or a .jsonl file of questions.")],
    writer: Writer,
    labeller: Annotated[Path | None, typer.Option(help="Fitted labeller, for 'notes'.")] = None,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="Also write the JSON here, for `radrag evaluate diff`.")] = None,
    as_json: Json = False,
) -> None:
    """Compare a pipeline with its baseline on the same items."""
    from radrag.corpora import load_notes, load_questions, read_questions
    from radrag.evaluation import compare
    from radrag.indexes.hybrid import HybridIndex
    from radrag.pipelines.qa import QAPipeline

    if out is not None:
        writable(out if out.exists() else out.resolve().parent)
    items: Any
    with HybridIndex.open(index) as opened:
        if what == "notes":
            system: Any = _stored(opened, labeller)
            items = load_notes("test")
        else:
            system = QAPipeline(opened, writer.load(), params=writer.params)
            items = load_questions() if what == "questions" else list(read_questions(what))
        made = compare(system, system.without_retrieval(), items, seed=seed)
    if out is not None:
        made.to_json(out)
    show(made.to_dict(), str(made), as_json)


@commands.command()
@folded
def questions(
    writer: Writer,
    index: IndexOption = None,
    llama_items: Annotated[
        int, typer.Option(help="Questions and notes that the small Llama answers, drawn at random; 0 leaves it out.")
    ] = 30,
    labels: Annotated[bool, typer.Option(help="Also label the shipped test notes.")] = True,
    controls: Controls = False,
    seed: Seed = 0,
    keep: Keep = None,
    out: Annotated[Path, typer.Option("--report", help="Folder for the report and chart of each comparison.")] = Path(
        "radrag-report"
    ),
    as_json: Json = False,
) -> None:
    """Evaluate the shipped questions, and labels: the extractive reader and the small Llama, or a model of your own."""
    from radrag.corpora import load_questions
    from radrag.pipelines.qa import QAPipeline

    if llama_items < 0 or llama_items == 1:
        fail(f"--llama-items must be 0, or at least 2 to compare, got {llama_items}")
    report_folder(out)
    items = load_questions()
    made: dict[str, Comparison] = {}
    with index_or_shipped(index) as opened, Bars(as_json) as bars:
        model = writer.load()
        system = QAPipeline(opened, model, params=writer.params)
        name = "questions" if writer.model is None else f"questions-{Path(writer.model).name}"
        made[name] = compared(system, items, bars=bars, seed=seed, keep=keep, controls=controls).made
        polar = [item for item in items if item.verdict is not None]
        if len(polar) > 1:
            forced = QAPipeline(opened, model, params=writer.params, min_confidence=0)
            done = compared(forced, polar, bars=bars, seed=seed, keep=keep, controls=controls)
            made[f"{name}-none-declined"] = done.made
        small = writer.model is None and llama_items > 0 and _llama_there(as_json)
        if small:
            made["questions-small-llama"] = _small_answers(opened, items, llama_items, bars, seed, keep)
        if labels:
            made |= _labels(opened, llama_items if small else 0, bars, seed, keep)
    _write(made, out)
    value = {name: one.to_dict() for name, one in made.items()}
    text = "\n\n".join("\n\n".join([f"{name}\n{one}", *controls_text(one)]) for name, one in made.items())
    show(value, f"{text}\n\nWritten: {', '.join(str(out / f'{name}.html') for name in made)}", as_json)


def _write(made: dict[str, Comparison], folder: Path) -> None:
    for name, one in made.items():
        words = name.replace("-small-llama", ", small Llama").replace("-none-declined", ", yes/no, none declined")
        words = words.replace("-", " ")
        title = words[:1].upper() + words[1:]
        one.to_html(folder / f"{name}.html", title=title)
        one.to_svg(folder / f"{name}.svg", title=title)
        one.to_markdown(folder / f"{name}.md")
        one.to_json(folder / f"{name}.json")


def _llama_there(quiet: bool) -> bool:
    missing = [name for name in LLAMA if find_spec(name) is None]
    if missing and not quiet:
        typer.echo(
            f"The small Llama is left out: {', '.join(missing)} not installed; pip install 'radrag[llama]'", err=True
        )
    return not missing


def _drawn(items: Sequence[Any], count: int) -> list[Any]:
    import random

    return random.Random(0).sample(list(items), min(count, len(items)))


def _small_answers(
    index: HybridIndex, items: Sequence[Question], count: int, bars: Bars, seed: int, keep: Path | None
) -> Comparison:
    import torch

    from radrag.generation.llama import LlamaGenerator
    from radrag.pipelines.qa import QAPipeline
    from radrag.types import GenerationParams

    torch.set_num_threads(1)  # a model this small only waits for a second thread
    llama = LlamaGenerator("small-llama", local_files_only=True, batch_size=16)
    params = GenerationParams(max_new_tokens=LLAMA_TOKENS)
    system = QAPipeline(index, llama, k=LLAMA_PASSAGES, params=params)
    names = ("small Llama with RAG", "small Llama alone")
    return compared(system, _drawn(items, count), bars=bars, seed=seed, keep=keep, names=names).made


def _labels(index: HybridIndex, count: int, bars: Bars, seed: int, keep: Path | None) -> dict[str, Comparison]:
    from radrag.corpora import load_notes
    from radrag.generation.llama import LlamaGenerator
    from radrag.pipelines.label import LabelPipeline

    labels, notes, apart, tests = _label_set(index), load_notes("train"), load_notes("calibration"), load_notes("test")
    plain = LabelPipeline(index, None, labels=labels).fit(notes, apart)
    made = {
        "labels": compared(plain, tests, bars=bars, seed=seed, keep=keep, names=("labeller with RAG", "no RAG")).made
    }
    if not count:
        return made
    llama = LlamaGenerator("small-llama", "small-llama-protocols", quantize="nf4", local_files_only=True, batch_size=64)
    pooled = LabelPipeline(index, llama, labels=labels, tuned="examples").fit(notes, _drawn(apart, max(count, 30)))
    alone = LabelPipeline(index, llama, labels=labels, tuned=True).without_retrieval()
    names = ("small Llama with retrieval and a text model", "small Llama alone")
    some: list[LabelledNote] = _drawn(tests, count)
    done = compared(pooled, some, bars=bars, seed=seed, keep=keep, names=names, baseline=alone)
    return made | {"labels-small-llama": done.made}


def _label_set(index: HybridIndex) -> Any:
    from radrag.labelling import LabelSet

    return LabelSet.from_protocols([document for document in index.documents() if document.kind == "guideline"])


@commands.command()
@folded
def notes(
    run: Run,
    index: IndexOption = None,
    labeller: Annotated[
        Path | None, typer.Option(help="Fitted labeller; by default one is fitted on what ships.")
    ] = None,
    controls: Annotated[
        bool,
        typer.Option("--controls", help="Also fitted anew without one source at a time."),
    ] = False,
) -> None:
    """Evaluate a labeller on the shipped hand-written test notes, with retrieval and without."""
    from radrag.corpora import load_notes
    from radrag.evaluation import label_ablations
    from radrag.pipelines.label import LabelPipeline

    reports = checked_reports(run.report)
    if controls and labeller is not None:
        fail("--controls fits labellers anew on what ships, which --labeller was not; leave out one of the two")
    with index_or_shipped(index) as opened, Bars(run.as_json) as bars:

        def fitted(use: Sequence[str] | None = None) -> LabelPipeline:
            made = LabelPipeline(opened, None, labels=_label_set(opened), use=use)
            return made.fit(load_notes("train"), load_notes("calibration"))

        system = fitted() if labeller is None else LabelPipeline.load(labeller, opened)
        variants = label_ablations(fitted, NOTE_SOURCES) if controls else None
        done = compared(system, load_notes("test"), bars=bars, seed=run.seed, keep=run.keep, ablations=variants)
    finish(done.made, reports, run.as_json, title="Labels of notes")


@commands.command()
def findings(
    wide: Annotated[bool, typer.Option(help="Count what a finding subsumes under another name too.")] = False,
    seed: Seed = 0,
    report: Report = None,
    as_json: Json = False,
) -> None:
    """Evaluate the reader of findings on the shipped reports, against counting any mention as present."""
    from radrag.corpora import load_reports
    from radrag.evaluation.benchmarks.findings import compare_findings
    from radrag.pipelines.findings import FindingsPipeline

    reports = checked_reports(report)
    made = compare_findings(load_reports(), lambda name: FindingsPipeline(labels=name, wide=wide), seed=seed)
    finish(made, reports, as_json, title="Findings of reports")


@commands.command("file")
@folded
def of_file(
    file: Annotated[
        Path, typer.Argument(help="Questions, .jsonl: id, question; optionally verdict, answer, gold, ...")
    ],
    writer: Writer,
    run: Run,
    index: IndexOption = None,
    k: Passages = 8,
    controls: Controls = False,
) -> None:
    """Evaluate on a file of your own questions. `radrag evaluate FILE.jsonl` does the same."""
    from radrag.corpora import read_questions
    from radrag.pipelines.qa import QAPipeline

    reports = checked_reports(run.report)
    items = list(read_questions(file))
    with index_or_shipped(index) as opened, Bars(run.as_json) as bars:
        system = QAPipeline(opened, writer.load(), k=k, params=writer.params)
        made = compared(system, items, bars=bars, seed=run.seed, keep=run.keep, controls=controls).made
    finish(made, reports, run.as_json, title=file.stem)


@commands.command()
def diff(
    first: Annotated[Path, typer.Argument(help="JSON report of `radrag evaluate`.")],
    second: Annotated[Path, typer.Argument(help="Another, of the same items.")],
    as_json: Json = False,
) -> None:
    """Show what changed between two evaluations, regressions first."""
    from radrag.evaluation import diff as difference

    made = difference(read_report(first), read_report(second))
    show(made.to_dict(), str(made), as_json)


def _stored(index: HybridIndex, folder: Path | None) -> Any:
    from radrag.pipelines.label import LabelPipeline

    return LabelPipeline.load(folder, index) if folder else fail("'notes' needs --labeller, made by `radrag label fit`")
