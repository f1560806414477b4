"""A folder of mixed files as one corpus: each file by the reader its name says, failures listed, none hidden."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from radrag.corpora.formatted import read_docx, read_html, read_pdf
from radrag.corpora.guidelines import read_markdown, read_text
from radrag.corpora.pubmed import read_pubmed
from radrag.corpora.records import read_csv, read_jsonl
from radrag.corpora.versions import Version
from radrag.errors import CorpusError, MissingExtraError
from radrag.types import Document

Reader = Callable[[Path], Document | Iterable[Document]]

_RECORDS: dict[str, Reader] = {".csv": read_csv, ".jsonl": read_jsonl, ".xml": read_pubmed}
READERS: dict[str, Reader] = {
    ".docx": read_docx,
    ".htm": read_html,
    ".html": read_html,
    ".md": read_markdown,
    ".pdf": read_pdf,
    ".txt": read_text,
    **_RECORDS,
    **{f"{suffix}.gz": reader for suffix, reader in _RECORDS.items()},
}


@dataclass(frozen=True, slots=True)
class FileFailure:
    """A file of a folder that gave no documents, or not all of them.

    Attributes:
        path: The file.
        error: What is wrong with it, what was expected, and what to do.
        documents: How many of its documents were read before the failure.
    """

    path: Path
    error: str
    documents: int = 0


@dataclass(frozen=True, slots=True)
class FolderCorpus:
    """The documents of a folder, and what could not be read.

    Attributes:
        documents: In the order of the files' paths; those of PubMed after the others, each in its newest state.
        failures: One for each file that failed.
        ignored: Files of no kind that can be read; README.md and hidden files are not counted.
    """

    documents: tuple[Document, ...]
    failures: tuple[FileFailure, ...]
    ignored: tuple[Path, ...]


def suffix(path: Path) -> str:
    """Return the part of a file's name that says its kind, in lower case, such as ``.pdf`` or ``.jsonl.gz``."""
    return "".join(path.suffixes[-2:] if path.suffix.lower() == ".gz" else path.suffixes[-1:]).lower()


def folder_files(path: Path) -> tuple[list[Path], list[Path]]:
    """Return the files of a folder and the folders in it that can be read, and those that cannot, sorted by path."""
    files = [
        file
        for file in sorted(path.rglob("*"))
        if file.is_file()
        and not any(part.startswith((".", "~$")) for part in file.relative_to(path).parts)
        and file.name.lower() != "readme.md"
    ]
    return [file for file in files if suffix(file) in READERS], [file for file in files if suffix(file) not in READERS]


def is_pubmed(path: Path) -> bool:
    """Return whether a file's name says that it is PubMed XML."""
    return READERS.get(suffix(path)) is read_pubmed


def _in_order(files: Iterable[Path]) -> list[Path]:
    """Return files as they are given; PubMed files, which revise each other, after the others by their names."""
    given = list(files)
    pubmed = sorted(filter(is_pubmed, given), key=lambda path: (path.name, path))
    return [*(path for path in given if not is_pubmed(path)), *pubmed]


def _newest(files: Sequence[Path]) -> dict[str, tuple[int, int]]:
    """Return in which file, and there in which record, each PubMed article is newest, by its id."""
    newest: dict[str, tuple[Version, int, int]] = {}
    for place, path in enumerate(files):
        with suppress(Exception):  # told when the file is read for its documents, which end at the same record
            for number, document in enumerate(read_pubmed(path) if is_pubmed(path) else ()):
                version = Version.of(document.metadata.get("pmid_version"), document.metadata.get("revised"))
                if document.id not in newest or not version.is_older(newest[document.id][0]):
                    newest[document.id] = version, place, number
    return {name: (place, number) for name, (_, place, number) in newest.items()}


def _placed(name: str, path: Path, root: Path) -> str:
    """Return the id of a document within a folder."""
    if name == path.name:
        return path.relative_to(root).as_posix()
    if name == path.stem and suffix(path) == ".txt":
        return path.relative_to(root).with_suffix("").as_posix()
    return name


def read_file(path: Path, deletions: list[Document] | None = None) -> Iterator[Document]:
    """Yield the documents of one file of a kind in ``READERS``.

    Args:
        path: The file.
        deletions: Takes what a PubMed update file deletes, as ``read_pubmed`` yields it; None passes it over.
    """
    reader = READERS[suffix(path)]
    if reader is not read_pubmed or deletions is None:
        found = reader(path)
        yield from [found] if isinstance(found, Document) else found
        return
    for document in read_pubmed(path, deletions=True):
        if document.kind == "deletion":
            deletions.append(document)
        else:
            yield document


def read_files(
    files: Iterable[Path], failures: list[FileFailure], root: Path | None = None,
    deletions: list[Document] | None = None, *, every_state: bool = False, used: dict[str, Path] | None = None,
    progress: bool = False,
) -> Iterator[Document]:  # fmt: skip
    """Yield the documents of many files; a file that fails, for whatever reason, is listed and the rest goes on.

    PubMed files are read after the others, in the order of their names, as PubMed numbers them: an article that they
    hold more than once comes once, in its newest state. To know which that is they are read twice.

    Args:
        files: The files, each of a kind in ``READERS``.
        failures: Where failures are added.
        root: The folder that the files are in. A document whose id is only its file's name then has the path from here
            as id (``ct/contrast.pdf``; without suffix for text), so that files of one name in two folders stay apart.
            Markdown can name its id, so it keeps its own.
        deletions: See ``read_file``.
        every_state: Yield PubMed articles in every state, for ``HybridIndex.update`` and deletions between them.
        used: Ids that must not come again, each with the file that used it; those of these files are added.
        progress: Whether to show a progress bar over the files.

    Yields:
        Documents with unique ids, but for ``every_state``; one whose id was used before is a failure of its file.

    Raises:
        CorpusError: If a file is of no kind that can be read.
    """
    from rich.progress import track

    used = {} if used is None else used
    ordered = _in_order(files)
    if wrong := [path for path in ordered if suffix(path) not in READERS]:
        raise CorpusError(f"is of no kind that can be read; expected one of {', '.join(READERS)}", file=wrong[0])
    newest = {} if every_state else _newest(ordered)
    for place, path in enumerate(track(ordered, "Reading", disable=not progress)):
        count, articles = 0, is_pubmed(path)
        try:
            for number, document in enumerate(read_file(path, deletions)):
                if articles and newest.get(document.id, (place, number)) != (place, number):
                    continue
                one = replace(document, id=_placed(document.id, path, root)) if root is not None else document
                _refuse_used(one.id, path, used)
                yield one
                used[one.id] = path
                count += 1
        except (CorpusError, MissingExtraError, OSError) as error:
            failures.append(FileFailure(path, str(error), count))
        except Exception as error:  # a fault of a reader must not cost the other files; it is listed like any other
            reason = f"file {path}: cannot be read ({type(error).__name__}: {error}); save it again or take it out"
            failures.append(FileFailure(path, reason, count))


def _refuse_used(name: str, path: Path, used: Mapping[str, Path]) -> None:
    """Refuse an id that was used before; PubMed files may hold an article again."""
    before = used.get(name)
    if before is None or (is_pubmed(path) and is_pubmed(before)):
        return
    raise CorpusError(
        f"the id {name!r} is used by {before} already; ids must be unique: rename one, or give files that revise each"
        " other one after the other to `radrag index add --update`",
        file=path,
        field="id",
    )


def read_folder(path: str | Path, progress: bool = False) -> FolderCorpus:
    """Read a folder of mixed files, and the folders in it, as one corpus.

    Markdown, text, HTML, Word and PDF files are guidelines, one document each; ``.jsonl``, ``.csv`` and PubMed ``.xml``
    (also ``.gz``) hold many records. A file that cannot be read, for whatever reason, does not stop the others. Of an
    article that PubMed files hold more than once, in versions or in later files, the newest state counts.

    Args:
        path: The folder.
        progress: Whether to show a progress bar over the files.

    Returns:
        The documents, the failures and the files ignored. A document that names no id of its own has its path from the
        folder as id, such as ``ct/contrast.pdf``; Markdown keeps its file's stem.

    Raises:
        CorpusError: If there is no such folder.
    """
    root = Path(path)
    if not root.is_dir():
        raise CorpusError("there is no such folder; check the path", file=root)
    files, ignored = folder_files(root)
    failures: list[FileFailure] = []
    documents = tuple(read_files(files, failures, root, progress=progress))
    return FolderCorpus(documents, tuple(failures), tuple(ignored))
