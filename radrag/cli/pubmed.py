"""``radrag corpora pubmed``: sync, search, retractions. Only these commands reach the network, and only when run."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radrag.cli.app import complain, fail, show
from radrag.cli.index import Folder, Json
from radrag.errors import CorpusError

if TYPE_CHECKING:
    from radrag.corpora.pubmed_selection import Selection
    from radrag.corpora.pubmed_server import Source
    from radrag.indexes.pubmed_sync import Plan

commands = typer.Typer(no_args_is_help=True, help="PubMed: follow its files, search it, and hear of retractions.")
Names = list[str] | None
_MANY = "Repeat it for several."
_ORIGIN = "retraction-watch"
_LEAST_LEFT = 0.9
_INTERRUPTED = 130


@commands.command()
def sync(
    index: Folder,
    create: Annotated[bool, typer.Option("--create", help="Make the index if it does not exist.")] = False,
    encoder: Annotated[str, typer.Option(help="Encoder of a new index, as for `radrag index build`.")] = "static",
    server: Annotated[str | None, typer.Option(help="A mirror: the address above baseline/ and updatefiles/.")] = None,
    folder: Annotated[
        Path | None, typer.Option("--from", help="A folder of files downloaded already, in place of a server.")
    ] = None,
    mesh: Annotated[Names, typer.Option(help=f"Keep articles with this MeSH descriptor, as it is. {_MANY}")] = None,
    years: Annotated[str | None, typer.Option(help="Keep articles of these years, such as 2000:2026 or 2015:.")] = None,
    kind: Annotated[Names, typer.Option("--type", help=f"Keep articles of this publication type. {_MANY}")] = None,
    journal: Annotated[
        Names, typer.Option(help=f"Keep articles of this journal, title or abbreviation. {_MANY}")
    ] = None,
    language: Annotated[Names, typer.Option(help=f"Keep articles in this language, such as eng. {_MANY}")] = None,
    has_abstract: Annotated[bool, typer.Option("--has-abstract", help="Keep only articles with an abstract.")] = False,
    selection_changed: Annotated[
        bool, typer.Option("--selection-changed", help="Allow another selection than before, from now on.")
    ] = False,
    updates_only: Annotated[bool, typer.Option("--updates-only", help="Leave out the baseline.")] = False,
    new_baseline: Annotated[
        bool, typer.Option("--new-baseline", help="Apply the baseline of another year over what is there.")
    ] = False,
    allow_gaps: Annotated[bool, typer.Option("--allow-gaps", help="Go on though files between are missing.")] = False,
    skip_damaged: Annotated[
        bool, typer.Option("--skip-damaged", help="Leave out records that are damaged, and name them.")
    ] = False,
    max_files: Annotated[int | None, typer.Option(min=1, help="Most files to apply now.")] = None,
    downloads: Annotated[
        Path | None, typer.Option(help="Folder for downloads; by default INDEX-downloads beside the index.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the downloads.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Apply PubMed's baseline and update files to an index: each once, in order; run it again to go on.

    What is selected is remembered; articles that a revision takes out of it are removed, however they came in.
    Deletions are applied, and notices of retractions and corrections count whatever is selected.
    """
    from radrag.corpora.pubmed_server import SERVER, LocalFolder, Server
    from radrag.indexes.hybrid import HybridIndex
    from radrag.indexes.pubmed_sync import make_plan, remember

    if folder is not None and server is not None:
        fail("--from and --server name two sources; give one of them")
    if server is not None and not server.lower().startswith(("https://", "http://")):
        fail(f"--server {server}: expected an https or http address; for a folder on this machine give --from FOLDER")
    if not (index / "store.sqlite").is_file() and not create:
        fail(f"{index} does not exist; check the path, or make it with --create")
    selection = _selection(mesh, years, kind, journal, language, has_abstract)
    source = LocalFolder(folder) if folder is not None else Server(server or SERVER)
    allowed = {
        "updates_only": updates_only,
        "new_baseline": new_baseline,
        "selection_changed": selection_changed,
        "gaps": allow_gaps,
    }
    if (index / "store.sqlite").is_file():  # a folder without one is empty, or its creation was killed
        with HybridIndex.open(index) as opened:
            plan = make_plan(opened, source, selection, **allowed)
    else:
        plan = make_plan(_NoIndex(), source, selection, **allowed)
    if dry_run:
        _show_plan(plan, max_files, as_json)
        return
    if not (index / "store.sqlite").is_file():
        with HybridIndex.create(index, encoder=encoder) as made:
            remember(made, plan)
    place = downloads or index.parent / f"{index.name}-downloads"
    options = {"max_files": max_files, "keep": keep, "skip_damaged": skip_damaged}
    _apply(index, source, plan, place, options, as_json)


@commands.command()
def search(
    query: Annotated[str, typer.Argument(help="A query as PubMed's own search box takes it.")],
    most: Annotated[int, typer.Option("--max", min=1, help="Most articles.")] = 100,
    sort: Annotated[str, typer.Option(help="relevance or pub_date (newest first).")] = "relevance",
    out: Annotated[Path | None, typer.Option(help="Write the records to this file, as PubMed XML.")] = None,
    index: Annotated[Path | None, typer.Option(help="Store the articles in this index; revisions replace.")] = None,
    api_key: Annotated[
        str | None,
        typer.Option(envvar="NCBI_API_KEY", show_envvar=True, help="Allows ten requests a second, not three."),
    ] = None,
    email: Annotated[str | None, typer.Option(help="Where NCBI may write before it blocks a user.")] = None,
    server: Annotated[str | None, typer.Option(help="Another address of the E-utilities.")] = None,
    as_json: Json = False,
) -> None:
    """Search PubMed through NCBI's E-utilities: list what is found, write it to a file, or store it in an index."""
    from radrag.corpora import read_pubmed
    from radrag.corpora.eutils import EUTILS, Eutils, Sort
    from radrag.indexes.hybrid import HybridIndex

    if index is not None and not index.exists():
        fail(f"{index} does not exist; make it with `radrag index build` or `radrag corpora pubmed sync --create`")
    if sort not in list(Sort):
        fail(f"--sort {sort}: expected {' or '.join(Sort)}")
    client = Eutils(api_key, email, server or EUTILS)
    found = client.search(query, most, sort)
    facts: dict[str, Any] = asdict(found)
    lines = [f"{len(found.pmids)} of {found.count} articles.", *(f"PubMed warns: {one}" for one in found.warnings)]
    with tempfile.TemporaryDirectory() as scratch:
        path = out or Path(scratch) / "found.xml"
        saved = client.save(found.pmids, path)
        facts |= {"records": saved.records, "missing": saved.missing, "file": str(out) if out else None}
        lines += [f"Not sent by NCBI: {', '.join(saved.missing)}"] if saved.missing else []
        if index is not None:
            with HybridIndex.open(index) as opened:
                facts["index"] = opened.update(read_pubmed(path))
            lines.append(", ".join(f"{count} {name}" for name, count in facts["index"].items() if count))
        if out is None and index is None:
            facts["articles"] = [
                {"pmid": d.metadata["pmid"], "title": d.title, "year": d.metadata.get("year")}
                for d in read_pubmed(path)
            ]
            lines += [f"{one['pmid']:>9}  {one['year'] or '':4}  {one['title']}" for one in facts["articles"]]
    lines += [f"Written to {out}."] if out else []
    show(facts, "\n".join(lines), as_json)


@commands.command()
def retractions(
    index: Folder,
    file: Annotated[Path, typer.Argument(help="A CSV file in Retraction Watch's format, as Crossref distributes it.")],
    fewer: Annotated[
        bool, typer.Option("--fewer", help="Take the file though it has far fewer notices than the one before.")
    ] = False,
    skip_damaged: Annotated[
        bool, typer.Option("--skip-damaged", help="Leave out rows that cannot be read, and name them.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Take retractions, concerns and corrections from a file, in the place of those of an earlier one.

    A file with no notices, or far fewer than the index has, is refused: it would lift retractions unseen. A row is
    taken by those names of its article that can be read; the others are listed.
    """
    from radrag.corpora.retractions import read_retraction_watch
    from radrag.indexes.hybrid import HybridIndex

    damaged: list[CorpusError] = []
    unread: list[CorpusError] = []
    notices = list(read_retraction_watch(file, damaged if skip_damaged else None, unread))
    found = len({(notice.target, notice.kind, notice.source) for notice in notices})
    with HybridIndex.open(index) as opened:
        before, had = opened.manifest["retracted"], _stored_notices(index)
        if not fewer and (not found or found < _LEAST_LEFT * had):
            those = f"the index has {had} from a file before" if had else "and the index none from a file before"
            fail(
                f"{file} has {found} notices, {those}; nothing was changed. It may be cut off: fetch it again, or take "
                "it as it is with --fewer"
            )
        kept = opened.set_notices(_ORIGIN, notices)
        after = opened.manifest["retracted"]
    facts = {"notices": kept, "retracted_before": before, "retracted": after}
    facts |= {"damaged": [str(error) for error in damaged], "unread": [str(error) for error in unread]}
    lines = [f"{kept} notices kept; {after} documents of the index are retracted, {before} before."]
    lines += [f"Left out: {error}" for error in damaged] + [f"Not read: {error}" for error in unread]
    show(facts, "\n".join(lines), as_json)


def _stored_notices(index: Path) -> int:
    """Return how many notices of such files an index holds."""
    from radrag.indexes.database import Database

    database = Database(index / "store.sqlite")
    try:
        return int(database.one("SELECT COUNT(*) FROM notices WHERE origin = ?", (_ORIGIN,))[0])
    finally:
        database.close()


class _NoIndex:
    """An index that is not there: nothing was applied to it."""

    def get_note(self, key: str) -> None:
        """Return None."""


def _selection(
    mesh: Names, years: str | None, kind: Names, journal: Names, language: Names, has_abstract: bool
) -> Selection | None:
    """Return what the options select; None if none was given."""
    from radrag.corpora.pubmed_selection import Selection

    names = {"mesh": mesh, "publication_types": kind, "journals": journal, "languages": language}
    if not (any(names.values()) or years or has_abstract):
        return None
    low, colon, high = (years or ":").partition(":")
    parts = [low, high if colon else low]
    if any(part and not (part.isascii() and part.isdigit()) for part in parts):
        fail(f"--years {years}: expected years such as 2000:2026, 2015:, :1999 or 2020")
    ends = tuple(int(part) if part else None for part in parts)
    given = {name: tuple(values or ()) for name, values in names.items()}
    return Selection(**given, years=(ends[0], ends[1]), has_abstract=has_abstract)


def _apply(index: Path, source: Source, plan: Plan, downloads: Path, options: Mapping[str, Any], as_json: bool) -> None:
    from radrag.indexes.hybrid import HybridIndex
    from radrag.indexes.pubmed_sync import only_sync
    from radrag.indexes.pubmed_sync import sync as apply

    try:
        with only_sync(index), HybridIndex.open(index) as opened:
            report = apply(opened, source, plan, downloads, progress=not as_json, **options)
    except KeyboardInterrupt:
        complain("interrupted; the files applied stay applied. Run the same command again to go on")
        raise typer.Exit(_INTERRUPTED) from None
    if downloads.is_dir() and not any(downloads.iterdir()):
        downloads.rmdir()
    counts = ", ".join(f"{count} {name}" for name, count in report.counts.items() if count)
    lines = [f"{len(report.files)} files applied, {report.left} left to apply.", counts]
    lines += [f"Selection: {plan.selection.to_json() or 'everything'}"]
    lines += [f"Not checked, there is no digest beside it: {name}" for name in report.unchecked]
    lines += [f"Left out: {error}" for error in report.damaged]
    lines += _late(report.late) + _said(plan)
    show(asdict(report), "\n".join(line for line in lines if line), as_json)


def _show_plan(plan: Plan, max_files: int | None, as_json: bool) -> None:
    names = [file.name for file in plan.now(max_files)]
    late = tuple(file.name for file in plan.late)
    facts = {
        "pending": names,
        "left": len(plan.pending) - len(names),
        "applied": plan.applied,
        "late": late,
        "reissued": plan.reissued,
        "waiting": plan.waiting,
        "selection": plan.selection.to_json(),
    }
    shown = f"{names[0]} to {names[-1]}" if names else "none"
    lines = [f"{len(names)} files to apply ({shown}), {facts['left']} after them, {plan.applied} applied before."]
    lines += [f"Selection: {facts['selection'] or 'everything'}", *_late(late), *_said(plan)]
    show(facts, "\n".join(lines), as_json)


def _said(plan: Plan) -> list[str]:
    """Return what a plan found besides new files."""
    anew = (
        f"{plan.reissued} was published anew since it was applied; it and all files after it are applied again. What "
        "only its first issue said stays: its articles, its deletions, and its notices about others. To be rid of "
        "that, make a new index."
    )
    waiting = f"{plan.waiting} files of a new baseline wait: make a new index, or allow them with --new-baseline."
    return [anew] * (plan.reissued is not None) + [waiting] * bool(plan.waiting)


def _late(names: tuple[str, ...]) -> list[str]:
    if not names:
        return []
    return [
        f"{len(names)} files ({names[0]} to {names[-1]}) come before one that was applied, and are left out: they "
        "would undo later revisions. To have them, make a new index."
    ]
