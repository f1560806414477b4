"""``radrag index``: build, add, delete, compact, search, tune, measure, info, verify."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radrag.cli.app import complain, fail, show
from radrag.cli.filters import Names
from radrag.cli.sources import check, left_out, read, updated

if TYPE_CHECKING:
    from radrag.corpora import FileFailure
    from radrag.indexes.filters import Range
    from radrag.indexes.hybrid import HybridIndex
    from radrag.types import Document

commands = typer.Typer(no_args_is_help=True, help="Build, search and check indexes.")
Folder = Annotated[Path, typer.Argument(help="Folder of the index.", metavar="INDEX")]
Sources = Annotated[
    list[str],
    typer.Argument(
        help="Files or folders: .md, .txt, .html, .docx, .pdf; .jsonl, .csv (columns id, text, title), PubMed .xml "
        "(all also .gz); or 'shipped' for the shipped protocols and evidence.",
        metavar="SOURCE...",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Hang the verbs under ``radrag``."""
    from radrag.cli.index_tune import measure, tune

    for verb in (tune, measure):
        commands.command()(verb)
    app.add_typer(commands, name="index")


@commands.command()
def build(
    index: Folder,
    sources: Sources,
    encoder: Annotated[
        str, typer.Option(help="static, minilm, medcpt, or a sentence-transformers name or folder.")
    ] = "static",
    lexical: Annotated[str, typer.Option(help="bm25 or rank-bm25.")] = "bm25",
    reranker: Annotated[str | None, typer.Option(help="learned, late, or the name of a cross-encoder.")] = None,
    max_words: Annotated[int, typer.Option(help="Longest passage, in words.")] = 300,
    overlap: Annotated[int, typer.Option(help="Sentences shared by neighbouring passages.")] = 1,
    as_json: Json = False,
) -> None:
    """Make an index from documents. If it is interrupted, run the same command again: it goes on where it stopped."""
    from radrag.corpora import Chunking
    from radrag.indexes.changes import discard
    from radrag.indexes.hybrid import HybridIndex
    from radrag.indexes.rerank import load_reranker

    check(sources)
    absolute = [source if source == "shipped" else str(Path(source).resolve()) for source in sources]
    settings = {"encoder": encoder, "lexical": lexical, "reranker": reranker, "chunking": [max_words, overlap]}
    begun = {"sources": absolute, **settings}
    failures: list[FileFailure] = []
    ignored: list[Path] = []
    deletions: list[Document] = []
    resumed = (index / "store.sqlite").is_file()
    if resumed:
        made = _unfinished(index, begun)
    else:
        chunking = Chunking(max_words, overlap)
        load_reranker(reranker)  # a wrong name is refused before anything is written
        made = HybridIndex.create(index, encoder=encoder, lexical=lexical, chunking=chunking, reranker=reranker)
    with _going_on(made, index), made:
        if not resumed:
            made.set_note("build", {**begun, "done": False})
        documents = read(sources, failures, ignored, deletions)
        report = made.update(documents, progress=not as_json)  # ids are unique; what was mended since is replaced
        if not failures:
            made.set_note("build", {**begun, "done": True})
    if failures and discard(index):
        complain(f"nothing could be added, so no index was left in {index}")
    elif failures:
        complain(f"{index} is not finished; mend what failed and run the same command again, and it goes on")
    _finish({**report, **left_out(deletions)}, failures, ignored, as_json)


def _unfinished(index: Path, begun: dict[str, Any]) -> HybridIndex:
    """Open an index that the same command began and did not finish."""
    from radrag.indexes.hybrid import HybridIndex

    made = HybridIndex.open(index)
    note = made.get_note("build")
    if note == {**begun, "done": False}:
        return made
    made.close()
    if note is not None and not note["done"]:
        told = {name: value for name, value in note.items() if name != "done" and begun.get(name) != value}
        fail(
            f"{index} is a build that was not finished, of other sources or options: it was begun with {told}. Give "
            "those to go on, delete the folder, or choose another one"
        )
    fail(f"{index} is an index already; use `radrag index add`, or choose another folder")


@contextmanager
def _going_on(made: HybridIndex, index: Path) -> Iterator[None]:
    """If a build ends early, say how to go on; leave no index behind that holds nothing."""
    from radrag.indexes.changes import discard

    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        made.close()
        if discard(index):
            raise
        if isinstance(error, KeyboardInterrupt):
            complain(f"{index} is not finished; run the same command again and it goes on where it stopped")
            raise typer.Exit(1) from error
        complain(f"{index} is not finished; mend what went wrong and run the same command again, and it goes on")
        raise


@commands.command()
def add(
    index: Folder,
    sources: Sources,
    skip_existing: Annotated[bool, typer.Option("--skip-existing", help="Leave out what is there already.")] = False,
    update: Annotated[
        bool, typer.Option("--update", help="Replace documents by their id; apply PubMed's deletions.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Add documents to an index, or with --update replace those that are there."""
    from radrag.indexes.hybrid import HybridIndex

    if update and skip_existing:
        fail("--update and --skip-existing exclude each other: replace what is there, or leave it as it is")
    check(sources)
    failures: list[FileFailure] = []
    ignored: list[Path] = []
    deletions: list[Document] = []
    with HybridIndex.open(index) as opened:
        documents = read(sources, failures, ignored, deletions, every_state=update)
        if update:
            report = updated(opened, documents, deletions, progress=not as_json)
        else:
            report = opened.add(documents, skip_existing=skip_existing, progress=not as_json)
            report |= left_out(deletions)
    _finish(report, failures, ignored, as_json)


@commands.command()
def delete(
    index: Folder,
    ids: Annotated[list[str], typer.Argument(help="Ids of documents, such as PMID:29355075.", metavar="ID...")],
    as_json: Json = False,
) -> None:
    """Delete documents from an index; what notices among them say of other articles stays true."""
    from radrag.indexes.hybrid import HybridIndex

    with HybridIndex.open(index) as opened:
        report = opened.delete(ids)
    show(report, f"{report['deleted']} documents deleted, {report['missing']} were not there.", as_json)
    if report["missing"]:
        raise typer.Exit(1)


@commands.command()
def compact(index: Folder) -> None:
    """Join an index's segments into one, without what was deleted, and give the space back."""
    from radrag.indexes.hybrid import HybridIndex

    with HybridIndex.open(index) as opened:
        opened.compact()
    typer.echo("Done.")


@commands.command()
def search(
    index: Folder,
    query: Annotated[str, typer.Argument(help="What to look for.")],
    k: Annotated[int, typer.Option("-k", help="Most passages.")] = 5,
    mode: Annotated[str, typer.Option(help="hybrid, lexical or dense.")] = "hybrid",
    kind: Annotated[
        str | None, typer.Option(help="Only documents of this kind, such as guideline or abstract.")
    ] = None,
    years: Annotated[str | None, typer.Option(help="Only of these years, such as 2015:2024, 2015: or :2024.")] = None,
    publication_type: Annotated[
        list[str] | None, typer.Option("--type", help="Only of this publication type; may be repeated.")
    ] = None,
    mesh: Annotated[list[str] | None, typer.Option(help="Only with this MeSH heading; may be repeated.")] = None,
    language: Annotated[str | None, typer.Option(help="Only in this language, such as eng.")] = None,
    journal: Annotated[
        list[str] | None, typer.Option(help="Only of this journal, by its full title; may be repeated.")
    ] = None,
    source: Annotated[list[str] | None, typer.Option(help="Only of this source; may be repeated.")] = None,
    per_document: Annotated[int | None, typer.Option(help="Most passages of one document.")] = None,
    include_retracted: Annotated[
        bool,
        typer.Option("--include-retracted", help="Show retracted ones and notices of retraction or concern, marked."),
    ] = False,
    exact: Annotated[bool, typer.Option("--exact", help="Compare with every vector.")] = False,
    as_json: Json = False,
) -> None:
    """Find passages. Filters take names without regard to case."""
    from radrag.indexes.hybrid import HybridIndex

    asked = Names(kind=kind, type=publication_type, mesh=mesh, language=language, journal=journal, source=source)
    given = _years(years)
    with HybridIndex.open(index) as opened:
        where = {**asked.where(opened), **({} if given is None else {"year": given})}
        hits = opened.search(
            query, k=k, where=where, mode=mode, per_document=per_document, include_retracted=include_retracted,
            exact=exact,
        )  # fmt: skip
    lines = []
    for rank, hit in enumerate(hits, start=1):
        passage = hit.passage
        place = f"{passage.document_id}:{passage.start}-{passage.end}"
        heads = passage.path if passage.title in passage.path else (passage.title, *passage.path)
        lines.append(f"{rank}. {hit.score:.3f}  {' > '.join(filter(None, heads))} ({place})")
        if passage.flags:
            lines.append(f"   ! {', '.join(passage.flags).upper()}")
        lines.append("   " + " ".join(passage.text.split())[:300])
    show([asdict(hit) for hit in hits], "\n".join(lines) or "Nothing found.", as_json)


@commands.command()
def info(index: Folder, as_json: Json = False) -> None:
    """Say what an index is: encoder, settings, counts, content hash."""
    from radrag.indexes.hybrid import HybridIndex

    with HybridIndex.open(index) as opened:
        manifest = opened.manifest
    show(manifest, "\n".join(f"{name}: {value}" for name, value in manifest.items()), as_json)


@commands.command()
def verify(index: Folder, as_json: Json = False) -> None:
    """Check every byte of an index against its recorded hashes."""
    from radrag.indexes.hybrid import HybridIndex

    with HybridIndex.open(index) as opened:
        problems = opened.verify()
    show(problems, "\n".join(problems) or "Nothing wrong.", as_json)
    if problems:
        raise typer.Exit(1)


def _years(given: str | None) -> Range | None:
    from radrag.indexes.filters import Range

    if given is None:
        return None
    low, colon, high = given.partition(":")
    if not all(part.isascii() and part.isdigit() for part in (low, high) if part) or not (low or high):
        fail(f"--years must be like 2015:2024, 2015:, :2024 or 2015, got {given!r}")
    return Range(int(low) if low else None, int(high) if high else (None if colon else int(low)))


def _finish(report: dict[str, int], failures: list[FileFailure], ignored: list[Path], as_json: bool) -> None:
    """Print what was added, then each file that failed or was left out; end with exit code 1 if one failed."""
    listed = [asdict(failure) for failure in failures]
    lines = [_summary(report), *(f"Failed after {f.documents} documents: {f.error}" for f in failures)]
    lines += [f"Left out, of no kind that can be read: {path}" for path in ignored]
    show({**report, "failures": listed, "ignored": list(map(str, ignored))}, "\n".join(lines), as_json)
    if failures:
        raise typer.Exit(1)


def _summary(report: dict[str, int]) -> str:
    parts = [f"{report['added']} documents added", f"{report['passages']} passages"]
    parts += [f"{report[name]} {name}" for name in ("updated", "deleted", "skipped", "empty") if report.get(name)]
    said = ", ".join(parts) + "."
    if left_out := report.get("deletions_left_out"):
        said += f"\n{left_out} deletions of PubMed left out; `radrag index add --update` with these files applies them."
    return said
