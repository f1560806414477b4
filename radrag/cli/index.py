"""``radrag index``: build, add, search, info, verify."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radrag.cli.app import fail, show

if TYPE_CHECKING:
    from radrag.types import Document

commands = typer.Typer(no_args_is_help=True, help="Build, search and check indexes.")
Folder = Annotated[Path, typer.Argument(help="Folder of the index.", metavar="INDEX")]
Sources = Annotated[
    list[str],
    typer.Argument(
        help="Files or folders: .jsonl, .csv (columns id, text, title), PubMed .xml (all also .gz), .md, .txt; or "
        "'shipped' for the shipped protocols and evidence.",
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
    encoder: Annotated[str, typer.Option(help="static, minilm, or a sentence-transformers name or folder.")] = "static",
    lexical: Annotated[str, typer.Option(help="bm25 or rank-bm25.")] = "bm25",
    max_words: Annotated[int, typer.Option(help="Longest passage, in words.")] = 300,
    overlap: Annotated[int, typer.Option(help="Sentences shared by neighbouring passages.")] = 1,
    as_json: Json = False,
) -> None:
    """Make an index from documents. If it is interrupted, go on with `radrag index add --skip-existing`."""
    from radrag.corpora import Chunking
    from radrag.indexes.hybrid import HybridIndex

    _check(sources)
    with HybridIndex.create(index, encoder=encoder, lexical=lexical, chunking=Chunking(max_words, overlap)) as made:
        report = made.add(read(sources), progress=not as_json)
    show(report, _summary(report), as_json)


@commands.command()
def add(
    index: Folder,
    sources: Sources,
    skip_existing: Annotated[bool, typer.Option("--skip-existing", help="Leave out what is there already.")] = False,
    as_json: Json = False,
) -> None:
    """Add documents to an index."""
    from radrag.indexes.hybrid import HybridIndex

    _check(sources)
    with HybridIndex.open(index) as opened:
        report = opened.add(read(sources), skip_existing=skip_existing, progress=not as_json)
    show(report, _summary(report), as_json)


@commands.command()
def search(
    index: Folder,
    query: Annotated[str, typer.Argument(help="What to look for.")],
    k: Annotated[int, typer.Option("-k", help="Most passages.")] = 5,
    mode: Annotated[str, typer.Option(help="hybrid, lexical or dense.")] = "hybrid",
    kind: Annotated[
        str | None, typer.Option(help="Only documents of this kind, such as guideline or abstract.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Find passages."""
    from dataclasses import asdict

    from radrag.indexes.hybrid import HybridIndex

    with HybridIndex.open(index) as opened:
        hits = opened.search(query, k=k, mode=mode, where={"kind": kind} if kind else None)
    lines = []
    for rank, hit in enumerate(hits, start=1):
        passage = hit.passage
        place = f"{passage.document_id}:{passage.start}-{passage.end}"
        lines.append(f"{rank}. {hit.score:.3f}  {' > '.join(passage.path) or passage.title} ({place})")
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


def read(sources: list[str]) -> Iterator[Document]:
    """Yield the documents of files and folders, each read by the kind its name says."""
    from radrag.corpora import load_evidence, load_protocols

    for source in sources:
        if source == "shipped":
            yield from load_protocols()
            yield from load_evidence()
        else:
            for path in _files(Path(source)):
                yield from _reader(path)(path)


def _check(sources: list[str]) -> None:
    """Refuse before anything is written what could only fail after."""
    for source in sources:
        if source != "shipped":
            for path in _files(Path(source)):
                _reader(path)


def _files(path: Path) -> list[Path]:
    if not path.exists():
        fail(f"{path} does not exist; give a file, a folder, or 'shipped'")
    if path.is_file():
        return [path]
    found = [file for file in sorted(path.rglob("*")) if file.is_file() and _suffix(file) in _readers()]
    kept = [file for file in found if file.name.lower() != "readme.md"]
    return kept or fail(f"{path} holds no file that can be read; expected one of {', '.join(_readers())}")


def _suffix(path: Path) -> str:
    return "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix


def _readers() -> dict[str, Any]:
    from radrag.corpora import read_csv, read_jsonl, read_markdown, read_pubmed, read_text

    gzipped = {".jsonl": read_jsonl, ".csv": read_csv, ".xml": read_pubmed}
    return {".md": read_markdown, ".txt": read_text, **gzipped, **{f"{s}.gz": reader for s, reader in gzipped.items()}}


def _reader(path: Path) -> Any:
    reader = _readers().get(_suffix(path))
    return reader or fail(f"{path} is of no kind that can be read; expected one of {', '.join(_readers())}")


def _summary(report: dict[str, int]) -> str:
    parts = [f"{report['added']} documents added", f"{report['passages']} passages"]
    parts += [f"{report[name]} {name}" for name in ("skipped", "empty") if report[name]]
    return ", ".join(parts) + "."
