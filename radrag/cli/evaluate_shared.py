"""What the verbs of ``radrag evaluate`` share: the bar with its estimate, the run, and what is written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from radrag.cli.app import fail, show

if TYPE_CHECKING:
    from radrag.evaluation import Comparison
    from radrag.evaluation.benchmarks import Progress, Resumable

_SHOWN = 5
_ALPHA = 0.05
_WRITE = {".html": "to_html", ".md": "to_markdown", ".json": "to_json", ".svg": "to_svg"}


@contextmanager
def index_or_shipped(folder: Path | None) -> Iterator[Any]:
    """Open an index, or make one of the shipped protocols and evidence for as long as it is needed."""
    from radrag.corpora import load_evidence, load_protocols
    from radrag.indexes.hybrid import HybridIndex

    if folder is not None:
        with HybridIndex.open(folder) as opened:
            yield opened
        return
    with tempfile.TemporaryDirectory(prefix="radrag-evaluate-") as place, HybridIndex.create(place + "/index") as made:
        made.add([*load_protocols(), *load_evidence()])
        yield made


class Bars:
    """A bar for each side, and after its first batch what the rest will take.

    Args:
        quiet: Whether to show nothing, so that only JSON is printed.
    """

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: Any = None

    def __enter__(self) -> Bars:
        if not self._quiet:
            from rich.console import Console
            from rich.progress import Progress

            console = Console(stderr=True)
            # Where nothing can be redrawn, a bar would show nothing and leave an empty line behind.
            self._bar = Progress(console=console, transient=True, disable=not console.is_interactive)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def side(self, name: str, items: int) -> Callable[[Progress], None] | None:
        """Return what shows the progress of one side; its bar stands there from the start.

        Args:
            name: Name of the side.
            items: Items that it will be asked; less if some are of the same text.
        """
        if self._bar is None:
            return None
        bar, task = self._bar, self._bar.add_task(name, total=items)
        said = False

        def step(now: Progress) -> None:
            nonlocal said
            if not said:
                bar.console.print(estimate(name, now), style="dim", highlight=False)
                said = True
            bar.update(task, total=now.total, completed=now.done)

        return step

    def announce(self, items: int, sides: int, batch: int) -> None:
        """Say before a run how much there is to do, and when it will be known how long that takes."""
        if self._bar is not None:
            first = f"; the first {batch} of each will tell how long it takes" if items > batch else ""
            self._bar.console.print(f"{items} items, {sides} systems{first}", style="dim", highlight=False)


def estimate(name: str, now: Progress) -> str:
    """Say after the first batch what the rest will take."""
    kept = f"{now.kept} answered before; " if now.kept else ""
    left = now.total - now.done
    tokens = "" if now.tokens_left is None else f" and {now.tokens_left:,} tokens"
    rest = f"; about {now.seconds_left:.0f} s{tokens} for {left} more" if left else ""
    return f"{name}: {kept}{now.done - now.kept} in {now.seconds:.1f} s{rest}"


@dataclass(frozen=True, slots=True)
class Done:
    """A comparison with the outputs behind it."""

    made: Comparison
    ours: list[Any]
    theirs: list[Any]


def compared(
    system: Any,
    items: Sequence[Any],
    *,
    bars: Bars,
    seed: int = 0,
    keep: Path | None = None,
    controls: bool = False,
    names: tuple[str, str] = ("RAG", "no RAG"),
    measures: Sequence[Any] | None = None,
    baseline: Any = None,
    ablations: Mapping[str, Any] | None = None,
    shown: str = "",
) -> Done:
    """Compare a pipeline with its baseline; answers are kept, and what was kept is not asked again.

    Args:
        system: The pipeline.
        items: Questions or notes.
        bars: What shows the progress.
        seed: Seed of the resampling.
        keep: File of kept answers.
        controls: Whether to run the leak control and the usual ablations of questions.
        names: Names of both sides.
        measures: Figures in place of the usual ones.
        baseline: The other side; by default the pipeline without retrieval.
        ablations: Variants of one's own, by name.
        shown: What the bars say before the name of a side.
    """
    from radrag.evaluation import compare, question_ablations
    from radrag.evaluation.benchmarks import Resumable
    from radrag.evaluation.benchmarks.cache import with_cost
    from radrag.evaluation.leaks import with_sources

    def kept(side: Any, name: str) -> Resumable:
        return Resumable(side, keep, batch_size=batch, progress=bars.side(shown + name, len(items)))

    if controls:
        with_sources(items)  # refused before anything runs
    batch = 32 if len(items) > 64 else 8
    variants = {**(ablations or {}), **(question_ablations(system) if controls else {})}
    bars.announce(len(items), 2 + len(variants) + controls, batch)
    other = system.without_retrieval() if baseline is None else baseline
    sides = kept(system, names[0]), kept(other, names[1])
    outputs = [side.batch([item.text for item in items]) for side in sides]
    changed = {name: kept(one, name) for name, one in variants.items()}
    made = compare(*sides, items, seed=seed, names=names, measures=measures, ablations=changed)
    if controls:
        made = replace(made, leak=_leak(system, items, measures, outputs, seed))
    return Done(with_cost(made, *sides), *outputs)


def _leak(system: Any, items: Sequence[Any], measures: Any, outputs: Sequence[Any], seed: int) -> Any:
    from radrag.evaluation.figures import groups_of
    from radrag.evaluation.leaks import leak_control
    from radrag.evaluation.scores import QUESTION_MEASURES, score_all

    used = measures or QUESTION_MEASURES
    theirs = score_all(used, items, outputs[1])
    return leak_control(system, items, used, outputs[0], theirs, groups_of(items), seed)


def of_benchmark(made: Comparison, name: str, hashes: Mapping[str, str], notice: str, **facts: Any) -> Comparison:
    """Return a comparison whose manifest says which files it is on."""
    known = {"name": name, "sha256": dict(hashes), "notice": notice, **facts}
    return replace(made, manifest={**made.manifest, "benchmark": known})


def notify(notice: str, hashes: Mapping[str, str], as_json: bool) -> None:
    """Print the terms of a benchmark and the hashes of its files; as JSON they are in the manifest."""
    if not as_json:
        typer.secho(notice, dim=True, err=True)
        for name, digest in hashes.items():
            typer.secho(f"{name}: sha256 {digest}", dim=True, err=True)


def checked_reports(paths: Sequence[Path] | None) -> list[Path]:
    """Refuse a report that cannot be written before anything is run."""
    for path in paths or ():
        if path.suffix not in _WRITE:
            fail(f"--report must end in {', '.join(_WRITE)}, got {path}")
        if path.is_dir():
            fail(f"{path} is a folder; --report names a file here")
        if not path.resolve().parent.is_dir():
            fail(f"the folder of {path} does not exist; make it first")
        writable(path if path.exists() else path.resolve().parent)
    return list(paths or ())


def report_folder(folder: Path) -> None:
    """Make the folder of reports before anything is run; refuse one that is named like a file."""
    if folder.suffix.lower() in _WRITE:
        fail(f"--report names a folder here, and {folder} looks like a file; its files are questions.json, ...")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"the folder {folder} cannot be made ({error.strerror}); give another with --report")
    writable(folder)


def writable(path: Path) -> None:
    """Refuse a place that cannot be written."""
    if not os.access(path, os.W_OK):
        fail(f"{path} cannot be written; give another place")


def read_report(path: Path) -> Comparison:
    """Read a JSON report of one of these verbs."""
    from radrag.evaluation import Comparison

    try:
        return Comparison.read(path)
    except (OSError, ValueError) as error:
        fail(
            f"{error}; give a JSON report: `radrag evaluate FILE.jsonl --report report.json` writes one, and `radrag "
            "evaluate questions` writes radrag-report/questions.json"
        )


def finish(made: Comparison, reports: Sequence[Path], as_json: bool, *, title: str = "") -> None:
    """Write the reports and print the comparison with its tables."""
    write_reports(made, reports, title=title)
    text = "\n\n".join([str(made), *controls_text(made), *_failures(made), *map(as_text, made.tables)])
    show(made.to_dict(), text, as_json)
    say_written(reports, as_json)


def controls_text(made: Comparison) -> list[str]:
    """Return the leak control and the ablations as text; nothing of one that was not run."""
    from radrag.evaluation import Comparison, Table
    from radrag.evaluation.comparison import interval

    said = []
    if made.leak is not None:
        leak = made.leak
        name = f"{made.system}, own source removed"
        left = Comparison(leak.rows, leak.questions, system=name, baseline=made.baseline)
        counts = f"source found before: {leak.reached}; declined: {leak.declined}, before: {leak.declined_before}"
        none = "" if leak.rows else "\n  no figure: too few questions or groups of them name a source"
        said.append(f"Without each question's own source\n{left}{none}\n  {counts}")
    if made.ablations:
        cells = [cell for one in made.ablations for cell in one.cells]
        metrics = tuple(dict.fromkeys(cell.metric for cell in cells))
        rows = []
        for one in made.ablations:
            known = {
                cell.metric: f"{interval(cell.difference)}{' *' if cell.adjusted <= _ALPHA else ''}"
                for cell in one.cells
            }
            rows.append((one.name, *(known.get(metric, "") for metric in metrics)))
        note = f"Variant less {made.system}, paired; * p at most {_ALPHA} after correction over {len(cells)} figures."
        said.append(as_text(Table("One part changed at a time", ("", *metrics), tuple(rows), note)))
    return said


def _failures(made: Comparison) -> list[str]:
    """Return the most frequent of what was withheld, invented or warned of, as text."""
    most = made.failures[:_SHOWN]
    lines = [f"  {one.what}: {one.system} {made.system}, {one.baseline} {made.baseline}" for one in most]
    if len(made.failures) > _SHOWN:
        lines.append(f"  ... and {len(made.failures) - _SHOWN} more kinds in the report")
    return ["\n".join(["Declined, invented, warned of", *lines])] if lines else []


def write_reports(made: Comparison, reports: Sequence[Path], *, title: str = "") -> None:
    """Write a comparison in the ways that the names of the files say."""
    for path in reports:
        if path.suffix in (".html", ".svg"):
            getattr(made, _WRITE[path.suffix])(path, title=title)
        else:
            getattr(made, _WRITE[path.suffix])(path)


def say_written(files: Sequence[Path], as_json: bool) -> None:
    """Say which files were written, unless only JSON is printed."""
    if files and not as_json:
        typer.echo(f"Written: {', '.join(map(str, files))}")


def as_text(table: Any) -> str:
    """Show a table made elsewhere as text, in columns."""
    rows = [table.columns, *table.rows]
    widths = [max(len(row[place]) for row in rows) for place in range(len(table.columns))]
    lines = [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return "\n".join([table.title, *lines, *([f"  {table.note}"] if table.note else [])])
