"""``radrag evaluate``: pubmedqa, bioasq, mirage, recorded. The files are the user's; nothing of them ships."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from radrag.cli.app import fail, show
from radrag.cli.evaluate_options import AnswerAll, Controls, NeededWriter, Passages, Run, Seed, Sha, Writer, folded
from radrag.cli.evaluate_shared import (
    Bars,
    Done,
    as_text,
    checked_reports,
    compared,
    finish,
    notify,
    of_benchmark,
)
from radrag.cli.index import Json

Built = Annotated[Path | None, typer.Option("--index", help="Folder of the index to search.")]


class Setting(StrEnum):
    """What a system is shown of PubMedQA."""

    GIVEN = "given"
    RETRIEVED = "retrieved"


def register(commands: typer.Typer) -> None:
    """Hang the verbs under ``radrag evaluate``."""
    for verb in (pubmedqa, bioasq, mirage, recorded):
        commands.command()(folded(verb))


def pubmedqa(
    file: Annotated[Path, typer.Argument(help="ori_pqal.json.")],
    writer: Writer,
    run: Run,
    split: Annotated[Path | None, typer.Option(help="test_ground_truth.json: keep the official test split.")] = None,
    setting: Annotated[
        Setting, typer.Option(help="given shows each question its own abstract; retrieved searches for it.")
    ] = Setting.GIVEN,
    index: Annotated[
        Path | None, typer.Option(help="For 'retrieved': the index; by default one of the file's own abstracts.")
    ] = None,
    k: Passages = 8,
    answer_all: AnswerAll = False,
    controls: Controls = False,
    sha256: Sha = None,
) -> None:
    """PubMedQA: accuracy and macro-F1 of yes, no and maybe, against the question alone."""
    from radrag.evaluation.benchmarks import pubmedqa as benchmark
    from radrag.pipelines.qa import QAPipeline

    reports = checked_reports(run.report)
    if setting is Setting.GIVEN and (index is not None or controls):
        fail("--index and --controls are for --setting retrieved; what is given is not searched for")
    data = benchmark.read_pubmedqa(file, split, sha256=sha256)
    notify(benchmark.NOTICE, data.sha256, run.as_json)
    generator = writer.load()
    with _pubmedqa_index(data, setting, index) as (opened, shown), Bars(run.as_json) as bars:
        threshold = 0.0 if setting is Setting.GIVEN or answer_all else None
        system = QAPipeline(opened, generator, k=shown or k, min_confidence=threshold, params=writer.params)
        done = compared(system, data.questions, bars=bars, seed=run.seed, keep=run.keep, controls=controls)
        pool = len({document.id for document in data.documents}) if index is None else len(opened)
    made = benchmark.with_macro_f1(done.made, data.questions, done.ours, done.theirs, seed=run.seed)
    facts = {"setting": str(setting), "split": None if split is None else split.name}
    if setting is Setting.RETRIEVED:
        facts["pool"] = f"{pool} {'abstracts of the benchmark itself' if index is None else 'passages'}"
    made = of_benchmark(made, "PubMedQA", data.sha256, benchmark.NOTICE, **facts)
    finish(made, reports, run.as_json, title="PubMedQA")


@contextmanager
def _pubmedqa_index(data: Any, setting: Setting, folder: Path | None) -> Iterator[tuple[Any, int]]:
    """Yield what is searched, and how many passages must be shown for all to be (0: as asked for)."""
    from radrag.indexes.hybrid import HybridIndex

    if setting is Setting.GIVEN:
        given = data.given()
        yield given, given.deepest
    elif folder is not None:
        with HybridIndex.open(folder) as opened:
            yield opened, 0
    else:
        with tempfile.TemporaryDirectory(prefix="radrag-evaluate-") as place, HybridIndex.create(place + "/i") as made:
            made.add(data.documents)
            yield made, 0


def bioasq(
    file: Annotated[Path, typer.Argument(help="Gold of a batch: JSON of task b with {'questions': [...]}.")],
    writer: Writer,
    run: Run,
    index: Built = None,
    submission: Annotated[
        Path | None, typer.Option(help="Score this submission (phase A or B) in the place of a pipeline.")
    ] = None,
    k: Passages = 10,
    answer_all: AnswerAll = False,
    sha256: Sha = None,
) -> None:
    """BioASQ task b, phases A and B, by the official measures; of a pipeline against no RAG, or of a submission.

    With --model, factoid and list questions are asked twice: for the ideal answer, and for the exact one.
    """
    from radrag.evaluation.benchmarks import bioasq as benchmark
    from radrag.evaluation.benchmarks import bioasq_scores as scores
    from radrag.indexes.hybrid import HybridIndex
    from radrag.pipelines.qa import QAPipeline

    reports = checked_reports(run.report)
    if (index is None) == (submission is None):
        fail("give either --index, to run a pipeline, or --submission, to score one")
    gold, digest = benchmark.read_bioasq(file, sha256=sha256)
    hashes = {file.name: digest}
    if submission is not None:
        _submission(gold, submission, hashes, run)
        return
    assert index is not None
    notify(benchmark.NOTICE, hashes, run.as_json)
    generator = writer.load()
    items = [question.question() for question in gold]
    with HybridIndex.open(index) as opened, Bars(run.as_json) as bars:
        measures = (*_usual(), *scores.ideal_measures(gold))
        system = QAPipeline(opened, generator, k=k, min_confidence=0.0 if answer_all else None, params=writer.params)
        done = compared(system, items, bars=bars, seed=run.seed, keep=run.keep, measures=measures)
        exact = None if generator is None else _exact(system, gold, bars, run)
        found, lost = benchmark.located(gold, lambda pmid: _document(opened, f"PMID:{pmid}"))
        pool = len(opened)
    made = _official(done, exact, gold, found, run.seed)
    facts = {"pool": f"{pool} passages", "gold snippets left out": lost}
    if exact is None:
        facts["exact answers"] = "yes/no only: the extractive reader gives sentences, so a model is needed for names"
    made = of_benchmark(made, "BioASQ task b", hashes, benchmark.NOTICE, **facts)
    finish(made, reports, run.as_json, title="BioASQ")


def _submission(gold: Any, submission: Path, hashes: dict[str, str], run: Run) -> None:
    from radrag.evaluation.benchmarks import bioasq as benchmark
    from radrag.evaluation.benchmarks import bioasq_scores as scores

    if run.report or run.keep is not None:
        fail("--report and --keep are for a pipeline; use --json to keep the scores of a submission")
    said, hashes[submission.name] = benchmark.read_submission(submission)
    notify(benchmark.NOTICE, hashes, run.as_json)
    both = (scores.score_phase_a(gold, said, seed=run.seed), scores.score_phase_b(gold, said, seed=run.seed))
    tables = [one.table(f"Phase {name}, official measures") for name, one in zip("AB", both, strict=True)]
    _show_tables(tables, {"sha256": hashes}, run.as_json)


def _show_tables(tables: Any, facts: dict[str, Any], as_json: bool) -> None:
    plain = [{"title": one.title, "columns": one.columns, "rows": one.rows, "note": one.note} for one in tables]
    show({"tables": plain, **facts}, "\n\n".join(map(as_text, tables)), as_json)


def _exact(system: Any, gold: Any, bars: Bars, run: Run) -> tuple[Done, Any] | None:
    """Ask for exact answers of factoid and list questions; None if there are too few to compare."""
    from radrag.evaluation.benchmarks.exact import FORMS, InForms, exact_measures

    asked = [question for question in gold if question.type in FORMS]
    if len(asked) < 2:
        return None
    items = [question.question() for question in asked]
    names = ("RAG", "no RAG")
    done = compared(
        InForms(system, asked), items, bars=bars, seed=run.seed, keep=run.keep, names=names,
        measures=exact_measures(asked), shown="exact answers, ",
    )  # fmt: skip
    return done, asked


def _official(done: Done, exact: tuple[Done, Any] | None, gold: Any, found: Any, seed: int) -> Any:
    """Add the official measures of both sides to a comparison, and the figures of exact answers if there are any."""
    from radrag.evaluation.benchmarks import bioasq as benchmark
    from radrag.evaluation.benchmarks import bioasq_scores as scores
    from radrag.evaluation.benchmarks.exact import joined

    made = done.made if exact is None else joined(done.made, exact[0].made)
    asked = [] if exact is None else [question.id for question in exact[1]]
    named: list[Any] = [(), ()] if exact is None else [exact[0].ours, exact[0].theirs]
    for name, side, exacts in zip(("RAG", "no RAG"), (done.ours, done.theirs), named, strict=True):
        known = dict(zip(asked, exacts, strict=True))
        sent = {
            question.id: benchmark.submitted(answer, question.type, known.get(question.id))
            for question, answer in zip(gold, side, strict=True)
        }
        if name == "RAG":
            made = made.with_table(scores.score_phase_a(found, sent, seed=seed).table("Phase A, official measures"))
        made = made.with_table(scores.score_phase_b(gold, sent, seed=seed).table(f"Phase B, official measures: {name}"))
    return made


def _usual() -> tuple[Any, ...]:
    from radrag.evaluation.scores import QUESTION_MEASURES

    return QUESTION_MEASURES


def _document(index: Any, id: str) -> Any:
    try:
        return index.document(id)
    except KeyError:
        return None


def mirage(
    file: Annotated[Path, typer.Argument(help="benchmark.json.")],
    index: Annotated[Path, typer.Option("--index", help="Folder of the index to search.")],
    writer: NeededWriter,
    run: Run,
    dataset: Annotated[list[str] | None, typer.Option(help="mmlu, medqa, ... May be repeated; by default all.")] = None,
    k: Passages = 32,
    sha256: Sha = None,
) -> None:
    """MIRAGE: the search sees the question alone, the model also the options; accuracy by dataset."""
    from radrag.evaluation.benchmarks import ChoicePipeline, read_mirage
    from radrag.evaluation.benchmarks.mirage import NOTICE
    from radrag.evaluation.benchmarks.recorded import RIGHT
    from radrag.indexes.hybrid import HybridIndex

    reports = checked_reports(run.report)
    questions, digest = read_mirage(file, dataset, sha256=sha256)
    notify(NOTICE, {file.name: digest}, run.as_json)
    items = [question.question() for question in questions]
    with HybridIndex.open(index) as opened, Bars(run.as_json) as bars:
        system = ChoicePipeline(opened, writer.load(), questions, k=k, params=writer.params)
        done = compared(system, items, bars=bars, seed=run.seed, keep=run.keep, measures=(RIGHT,))
        pool = len(opened)
    made = done.made.with_table(_by_dataset(questions, done, run.seed))
    facts = {"pool": f"{pool} passages", "scoring": "strict: a reply that names no option is wrong"}
    made = of_benchmark(made, "MIRAGE", {file.name: digest}, NOTICE, **facts)
    finish(made, reports, run.as_json, title="MIRAGE")


def _by_dataset(questions: Any, done: Any, seed: int) -> Any:
    import numpy as np

    from radrag.evaluation import Table
    from radrag.evaluation.comparison import interval
    from radrag.evaluation.scores import verdict_right
    from radrag.metrics import bootstrap, paired_bootstrap

    rows, means = [], []
    for name in dict.fromkeys(question.dataset for question in questions):
        chosen = [place for place, question in enumerate(questions) if question.dataset == name]
        sides = [
            np.asarray([verdict_right(questions[i].question(), side[i]) or 0.0 for i in chosen])
            for side in (done.ours, done.theirs)
        ]
        means.append([side.mean() for side in sides])
        if len(chosen) > 1:
            figures = [str(bootstrap(side, seed=seed)) for side in sides]
            rows.append((name, *figures, interval(paired_bootstrap(*sides, seed=seed))))
        else:
            rows.append((name, *(f"{side.mean():.3f} (n=1)" for side in sides), ""))
    average = np.mean(means, axis=0)
    rows.append(("mean of datasets", f"{average[0]:.3f}", f"{average[1]:.3f}", f"{average[0] - average[1]:+.3f}"))
    return Table("Accuracy by dataset", ("dataset", "RAG", "no RAG", "difference, paired"), tuple(rows))


def recorded(
    file: Annotated[
        Path, typer.Argument(help="Saved outputs, .jsonl: id, question, options, gold, model, setting, output.")
    ],
    baseline: Annotated[str, typer.Option(help="The setting without retrieval.")] = "cot",
    sha256: Sha = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Published systems from their saved outputs: by the benchmark's rule and read strictly, paired by question."""
    from radrag.evaluation.benchmarks import recorded_systems
    from radrag.evaluation.benchmarks.recorded import recorded_tables

    data = recorded_systems(file, sha256=sha256)
    notify("Outputs of published systems: under the terms of their source.", {file.name: data.sha256}, as_json)
    tables = recorded_tables(data, baseline, seed=seed)
    _show_tables(tables, {"sha256": {file.name: data.sha256}, "questions": len(data.questions)}, as_json)
