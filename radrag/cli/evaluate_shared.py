"""What the verbs of ``radrag evaluate`` share: options, the bar with its estimate, the run, and what is written."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radrag.cli.app import fail, show

if TYPE_CHECKING:
    from radrag.evaluation import Comparison
    from radrag.evaluation.benchmarks import Progress, Resumable

Seed = Annotated[int, typer.Option(help="Seed of the resampling.")]
Report = Annotated[
    list[Path] | None, typer.Option("--report", help="Write the report here: .html, .md or .json. May be repeated.")
]
Keep = Annotated[
    Path | None,
    typer.Option(
        "--keep", help="File to keep answers in (.jsonl); a run that was stopped goes on. It holds the texts."
    ),
]
Sha = Annotated[str | None, typer.Option("--sha256", help="What the file's hash must be; it is printed otherwise.")]
IndexOption = Annotated[Path | None, typer.Option("--index", help="Folder of an index; by default of what ships.")]
Controls = Annotated[
    bool,
    typer.Option("--controls", help="Also without each question's own source, and with one part changed at a time."),
]
_WRITE = {".html": "to_html", ".md": "to_markdown", ".json": "to_json"}


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

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def side(self, name: str) -> Callable[[Progress], None] | None:
        """Return what shows the progress of one side."""
        if self._bar is None:
            return None
        bar = self._bar
        tasks: list[Any] = []

        def step(now: Progress) -> None:
            if not tasks:
                tasks.append(bar.add_task(name, total=now.total))
                bar.console.print(estimate(name, now), style="dim", highlight=False)
            bar.update(tasks[0], completed=now.done)

        return step


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
) -> Done:
    """Compare a pipeline with its baseline; answers are kept, and what was kept is not asked again."""
    from radrag.evaluation import compare, question_ablations
    from radrag.evaluation.benchmarks import Resumable
    from radrag.evaluation.benchmarks.cache import with_cost

    def kept(side: Any, name: str) -> Resumable:
        return Resumable(side, keep, batch_size=batch, progress=bars.side(name))

    batch = 32 if len(items) > 64 else 8
    other = system.without_retrieval() if baseline is None else baseline
    sides = kept(system, names[0]), kept(other, names[1])
    outputs = [side.batch([item.text for item in items]) for side in sides]
    variants = {name: kept(one, name) for name, one in question_ablations(system).items()} if controls else False
    made = compare(*sides, items, seed=seed, names=names, measures=measures, ablations=variants)
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
        if not path.resolve().parent.is_dir():
            fail(f"the folder of {path} does not exist; make it first")
    return list(paths or ())


def finish(made: Comparison, reports: Sequence[Path], as_json: bool, *, title: str = "") -> None:
    """Write the reports and print the comparison with its tables."""
    for path in reports:
        if path.suffix == ".html":
            made.to_html(path, title=title)
        else:
            getattr(made, _WRITE[path.suffix])(path)
    show(made.to_dict(), "\n\n".join([str(made), *map(as_text, made.tables)]), as_json)
    if reports and not as_json:
        typer.echo(f"Written: {', '.join(map(str, reports))}")


def as_text(table: Any) -> str:
    """Show a table made elsewhere as text, in columns."""
    rows = [table.columns, *table.rows]
    widths = [max(len(row[place]) for row in rows) for place in range(len(table.columns))]
    lines = [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return "\n".join([table.title, *lines, *([f"  {table.note}"] if table.note else [])])
