"""``radrag demo``: the main job, offline, on what ships."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from radrag.cli.app import show
from radrag.cli.index import Json

if TYPE_CHECKING:
    from radrag.evaluation import Comparison
    from radrag.indexes.hybrid import HybridIndex
    from radrag.types import LabelledNote

QUESTIONS = (
    "Can CT urography be done when the eGFR is 25?",
    "Does adding zinc help children recover from severe pneumonia?",
    "How long must a patient fast before an FDG PET/CT?",
)
UNANSWERABLE = "Which antibiotic dose is right for a dog bite?"
NOTES = (
    "Notes: r/o PE  History: 54F pleuritic CP + SOB, POD 9 after TKR, D-dimer up, eGFR 82",
    "Notes: please assess for PE  History: pregnant 24 wks, acute dyspnoea, chest film clear",
    "Notes: ?stone  History: 38M L flank pain to groin, microscopic haematuria, afebrile",
    "Notes: worsening hearing loss on the right with tinnitus, exclude vestibular schwannoma  History: no trauma",
    "Notes: cirrhosis, new 2 cm nodule on surveillance ultrasound, characterise please  History: HBV, AFP 60",
)
LLAMA_NOTES = 30


def register(app: typer.Typer) -> None:
    """Hang the verb under ``radrag``."""
    app.command()(demo)


def demo(as_json: Json = False) -> None:
    """Index the shipped corpora, answer, abstain, label, and compare RAG with no RAG (a minute or so)."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="radrag-demo-") as folder:
        made = _run(Path(folder), quiet=as_json)
    made["seconds"] = round(time.perf_counter() - started, 1)
    show(made, f"Done in {made['seconds']:.0f} s. Next: radrag index build --help, radrag ask --help", as_json)


def _run(folder: Path, *, quiet: bool) -> dict[str, Any]:
    import radrag as rr

    def say(text: object) -> None:
        if not quiet:
            typer.echo(text)

    with _step("Indexing the shipped protocols and evidence", quiet):
        index = rr.HybridIndex.create(folder / "index")
        counts = index.add([*rr.load_protocols(), *rr.load_evidence()])
    say(f"{counts['added']} documents, {counts['passages']} passages\n")
    qa = rr.QAPipeline(index)
    say("QUESTIONS (extractive reader: every sentence is a quote)\n")
    answers = qa.batch([*QUESTIONS, UNANSWERABLE])
    for answer in answers:
        say(f"{answer}\n")
    notes, apart = rr.load_notes("train"), rr.load_notes("calibration")
    labels = rr.LabelSet.from_protocols(rr.load_protocols())
    with _step(f"Fitting the labeller on {len(notes):,} made notes, calibrating it on {len(apart)} by hand", quiet):
        labeller = rr.LabelPipeline(index, labels=labels).fit(notes, apart)
    say("\nNOTES (label, the words that caused it, the guideline that backs it)\n")
    results = labeller.batch(NOTES)
    for result in results:
        say(f"{result}\n")
    tests, questions = rr.load_notes("test"), rr.load_questions()
    forced, polar = rr.QAPipeline(index, min_confidence=0), [one for one in questions if one.verdict is not None]
    with _step("Comparing RAG with no RAG", quiet):
        tables = {
            "extractive reader, shipped questions": rr.compare(qa, qa.without_retrieval(), questions),
            "the same, yes/no questions, none declined": rr.compare(forced, forced.without_retrieval(), polar),
            "fitted labeller, hand-written test notes": rr.compare(labeller, labeller.without_retrieval(), tests),
        }
    missing = [name for name in ("torch", "transformers", "peft", "bitsandbytes") if find_spec(name) is None]
    if missing:
        say(f"\nThe small Llama was left out: {', '.join(missing)} not installed. pip install 'radrag[llama]'")
    else:
        with _step("Labelling with the small Llama (NF4 base + QLoRA adapter)", quiet):
            tables |= _llama(index, labels, notes, apart, tests)
    if not quiet:
        _print(tables)
    index.close()
    return {
        "answers": [answer.to_dict() for answer in answers],
        "labels": [result.to_dict() for result in results],
        "comparisons": {name: table.to_dict() for name, table in tables.items()},
    }


def _llama(
    index: HybridIndex,
    labels: Any,
    notes: list[LabelledNote],
    apart: list[LabelledNote],
    tests: list[LabelledNote],
) -> dict[str, Comparison]:
    """Compare on some test notes, because it is slow; it is weighed on notes that it was not tuned on."""
    import random

    import torch

    import radrag as rr

    torch.set_num_threads(1)  # a model this small only waits for a second thread
    some = random.Random(0).sample(tests, LLAMA_NOTES)
    llama = rr.LlamaGenerator(
        "small-llama", "small-llama-protocols", quantize="nf4", local_files_only=True, batch_size=64
    )
    weighed = random.Random(1).sample(apart, LLAMA_NOTES)
    pooled = rr.LabelPipeline(index, llama, labels=labels, tuned="examples").fit(notes, weighed)
    alone = rr.LabelPipeline(index, llama, labels=labels, tuned=True).without_retrieval()
    name = f"small Llama with retrieval and a text model against alone, {len(some)} of the test notes"
    return {name: rr.compare(pooled, alone, some)}


def _print(tables: dict[str, Comparison]) -> None:
    from rich.console import Console
    from rich.table import Table

    from radrag.evaluation.compare import interval

    table = Table("", "RAG [95 % interval]", "no RAG", "difference, paired", "n", title="RAG against no RAG")
    for name, made in tables.items():
        table.add_section()
        table.add_row(f"[bold]{name}[/bold]")
        for row in made.rows:
            better = "" if row.higher_is_better else " (lower is better)"
            cells = [f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]" for one in (row.system, row.baseline)]
            table.add_row(f"  {row.metric}{better}", *cells, interval(row.difference), str(row.system.n))
        for reason, count in made.unscored.items():
            table.add_row(f"  not scored: {reason}", "", "", "", str(count))
    Console(width=None if Console().is_terminal else 140).print(table)


@contextmanager
def _step(text: str, quiet: bool) -> Iterator[None]:
    """Show that something is running, and how long it took."""
    if quiet:
        yield
        return
    from rich.console import Console

    console = Console()
    started = time.perf_counter()
    with console.status(f"{text} …"):
        yield
    console.print(f"{text}: {time.perf_counter() - started:.1f} s", style="dim")
