"""``radrag index``: build, add, delete, compact, search, tune, measure, info, verify."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radrag.cli.app import fail, show

if TYPE_CHECKING:
    from radrag.corpora import FileFailure
    from radrag.indexes.filters import Range
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
    app.add_typer(commands, name="index")


@commands.command()
def build(
    index: Folder,
    sources: Sources,
    encoder: Annotated[
        str, typer.Option(help="static, minilm, medcpt, or a sentence-transformers name or folder.")
    ] = "static",
    lexical: Annotated[str, typer.Option(help="bm25 or rank-bm25.")] = "bm25",
    reranker: Annotated[str | None, typer.Option(help="learned, or the name of a cross-encoder.")] = None,
    max_words: Annotated[int, typer.Option(help="Longest passage, in words.")] = 300,
    overlap: Annotated[int, typer.Option(help="Sentences shared by neighbouring passages.")] = 1,
    as_json: Json = False,
) -> None:
    """Make an index from documents. If it is interrupted, run the same command again: it goes on where it stopped."""
    from radrag.corpora import Chunking
    from radrag.indexes.hybrid import HybridIndex

    _check(sources)
    absolute = [source if source == "shipped" else str(Path(source).resolve()) for source in sources]
    settings = {"encoder": encoder, "lexical": lexical, "reranker": reranker, "chunking": [max_words, overlap]}
    begun = {"sources": absolute, **settings}
    failures: list[FileFailure] = []
    ignored: list[Path] = []
    resumed = (index / "store.sqlite").is_file()
    if resumed:
        made = HybridIndex.open(index)
        if made.get_note("build") != {**begun, "done": False}:
            fail(f"{index} is an index already; use `radrag index add`, or choose another folder")
    else:
        chunking = Chunking(max_words, overlap)
        made = HybridIndex.create(index, encoder=encoder, lexical=lexical, chunking=chunking, reranker=reranker)
        made.set_note("build", {**begun, "done": False})
    with made:
        report = made.add(read(sources, failures, ignored), skip_existing=resumed, progress=not as_json)
        if not failures:
            made.set_note("build", {**begun, "done": True})
    _finish(report, failures, ignored, as_json)


@commands.command()
def add(
    index: Folder,
    sources: Sources,
    skip_existing: Annotated[bool, typer.Option("--skip-existing", help="Leave out what is there already.")] = False,
    update: Annotated[bool, typer.Option("--update", help="Put documents in the place of those of their id.")] = False,
    as_json: Json = False,
) -> None:
    """Add documents to an index, or with --update replace those that are there."""
    from radrag.indexes.hybrid import HybridIndex

    _check(sources)
    failures: list[FileFailure] = []
    ignored: list[Path] = []
    with HybridIndex.open(index) as opened:
        documents = read(sources, failures, ignored)
        if update:
            report = opened.update(documents, progress=not as_json)
        else:
            report = opened.add(documents, skip_existing=skip_existing, progress=not as_json)
    _finish(report, failures, ignored, as_json)


@commands.command()
def delete(
    index: Folder,
    ids: Annotated[list[str], typer.Argument(help="Ids of documents, such as PMID:29355075.", metavar="ID...")],
    as_json: Json = False,
) -> None:
    """Delete documents from an index."""
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
    per_document: Annotated[int | None, typer.Option(help="Most passages of one document.")] = None,
    include_retracted: Annotated[
        bool, typer.Option("--include-retracted", help="Show retracted ones, marked.")
    ] = False,
    exact: Annotated[bool, typer.Option("--exact", help="Compare with every vector.")] = False,
    as_json: Json = False,
) -> None:
    """Find passages."""
    from radrag.indexes.hybrid import HybridIndex

    given = {"kind": kind, "year": _years(years), "publication_types": publication_type, "mesh": mesh}
    where = {name: value for name, value in {**given, "language": language}.items() if value}
    with HybridIndex.open(index) as opened:
        hits = opened.search(
            query, k=k, where=where, mode=mode, per_document=per_document, include_retracted=include_retracted,
            exact=exact,
        )  # fmt: skip
    lines = []
    for rank, hit in enumerate(hits, start=1):
        passage = hit.passage
        place = f"{passage.document_id}:{passage.start}-{passage.end}"
        lines.append(f"{rank}. {hit.score:.3f}  {' > '.join(passage.path) or passage.title} ({place})")
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


@commands.command()
def tune(
    index: Folder,
    questions: Annotated[Path, typer.Argument(help="Questions with gold documents, .jsonl as `evaluate run` reads.")],
    apply: Annotated[bool, typer.Option("--apply", help="Keep the best settings with the index.")] = False,
    as_json: Json = False,
) -> None:
    """Fit the fusion of words and vectors on questions of your own, cross-validated."""
    from radrag.corpora import read_questions
    from radrag.indexes.hybrid import HybridIndex
    from radrag.indexes.tuning import fit_fusion

    asked = [(one.text, {span.document_id for span in one.gold}) for one in read_questions(questions) if one.gold]
    with HybridIndex.open(index) as opened:
        fit = fit_fusion(opened, asked)
        if apply:
            opened.use(fit.settings)
    lines = [f"{fusion:8}{weight:6.1f}{value:8.3f}" for fusion, weight, value in fit.table[:10]]
    lines += [f"Chosen without the question judged: nDCG@10 {fit.score}; above the settings it had: {fit.gain}"]
    lines += ["Kept with the index." if apply else "Nothing was changed; --apply keeps the best."]
    show(asdict(fit), "\n".join(["fusion  weight nDCG@10", *lines]), as_json)


@commands.command()
def measure(
    index: Folder,
    questions: Annotated[Path, typer.Argument(help="Questions, .jsonl as `evaluate run` reads.")],
    as_json: Json = False,
) -> None:
    """Measure the recall of approximate vector search with questions of your own, and search as deep as they ask."""
    from radrag.corpora import read_questions
    from radrag.indexes.hybrid import HybridIndex

    with HybridIndex.open(index) as opened:
        found = opened.measure([one.text for one in read_questions(questions)])
    lines = [f"{one['rows']:12,} passages: {one['vectors'] or 'every vector is compared'}" for one in found]
    show(found, "\n".join(lines), as_json)


def read(sources: list[str], failures: list[FileFailure], ignored: list[Path]) -> Iterator[Document]:
    """Yield the documents of files and folders, each read by the kind its name says.

    Files of a folder that fail, and those of no kind that can be read, are added to the lists.
    """
    from radrag.corpora import READERS, load_evidence, load_protocols, read_files
    from radrag.corpora.folders import folder_files, suffix
    from radrag.types import Document

    for source in sources:
        if source == "shipped":
            yield from load_protocols()
            yield from load_evidence()
        elif Path(source).is_dir():
            files, others = folder_files(Path(source))
            ignored += others
            yield from read_files(files, failures, Path(source))
        else:
            found = READERS[suffix(Path(source))](Path(source))
            yield from [found] if isinstance(found, Document) else found


def _years(given: str | None) -> Range | None:
    from radrag.indexes.filters import Range

    if given is None:
        return None
    low, colon, high = given.partition(":")
    if not all(part.isascii() and part.isdigit() for part in (low, high) if part) or not (low or high):
        fail(f"--years must be like 2015:2024, 2015:, :2024 or 2015, got {given!r}")
    return Range(int(low) if low else None, int(high) if high else (None if colon else int(low)))


def _check(sources: list[str]) -> None:
    """Refuse before anything is written what could only fail after."""
    from radrag.corpora import READERS
    from radrag.corpora.folders import folder_files, suffix

    kinds = ", ".join(READERS)
    for source in sources:
        path = Path(source)
        if source == "shipped":
            continue
        if not path.exists():
            fail(f"{path} does not exist; give a file, a folder, or 'shipped'")
        if path.is_dir() and not folder_files(path)[0]:
            fail(f"{path} holds no file that can be read; expected one of {kinds}")
        if path.is_file() and suffix(path) not in READERS:
            fail(f"{path} is of no kind that can be read; expected one of {kinds}")


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
    parts += [f"{report[name]} {name}" for name in ("updated", "skipped", "empty") if report.get(name)]
    return ", ".join(parts) + "."
