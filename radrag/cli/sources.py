"""What ``radrag index build`` and ``add`` read: files, folders and what ships, with what PubMed deletes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from radrag.cli.app import fail

if TYPE_CHECKING:
    from radrag.corpora import FileFailure
    from radrag.indexes.hybrid import HybridIndex
    from radrag.types import Document


def check(sources: list[str]) -> None:
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


def read(
    sources: list[str], failures: list[FileFailure], ignored: list[Path], deletions: list[Document],
    every_state: bool = False,
) -> Iterator[Document]:  # fmt: skip
    """Yield the documents of what ships, of files and of folders, each file read by the kind its name says.

    PubMed files come last, all together in the order of their names. Files that fail, those of no kind that can be
    read, and what PubMed deletes are added to the lists.

    Args:
        sources: Files, folders and "shipped".
        failures: Takes the files that fail.
        ignored: Takes the files of folders that are of no kind that can be read.
        deletions: Takes what PubMed deletes.
        every_state: Yield documents that revise each other in the order read, for an update: PubMed articles in every
            state, and ids that come in several sources; otherwise an id must not come again.
    """
    from radrag.corpora import load_evidence, load_protocols, read_files
    from radrag.corpora.folders import folder_files, is_pubmed

    used: dict[str, Path] = {}
    if "shipped" in sources:
        for document in (*load_protocols(), *load_evidence()):
            used[document.id] = Path("shipped")
            yield document
    pubmed: list[Path] = []
    for path in (Path(source) for source in sources if source != "shipped"):
        files, others = folder_files(path) if path.is_dir() else ([path], [])
        ignored += others
        pubmed += filter(is_pubmed, files)
        rest = [file for file in files if not is_pubmed(file)]
        own = {} if every_state else used
        yield from read_files(rest, failures, path if path.is_dir() else None, used=own)
        used |= own
    yield from read_files(pubmed, failures, deletions=deletions, every_state=every_state, used=used)


def updated(
    opened: HybridIndex, documents: Iterator[Document], deletions: list[Document], progress: bool
) -> dict[str, int]:
    """Update an index and apply deletions, which are listed as documents are read, in the order of both."""
    from radrag.corpora.versions import Version, deletes_up_to

    report: Counter[str] = Counter(deleted=0)
    after: list[Document] = []

    def up_to_deletions() -> Iterator[Document]:
        while after:
            yield after.pop()
        for document in documents:
            if deletions:
                after.append(document)
                return
            yield document

    while True:
        report.update(opened.update(up_to_deletions(), progress=progress))
        held = opened.versions([one.id for one in deletions])
        gone = [one.id for one in deletions if held.get(one.id, Version()).number <= deletes_up_to(one.metadata)]
        report["deleted"] += opened.delete(gone, keep_notices=False)["deleted"]
        deletions.clear()
        if not after:
            return dict(report)


def left_out(deletions: list[Document]) -> dict[str, int]:
    """Return how many deletions of PubMed were not applied, under the name they are reported by."""
    return {"deletions_left_out": len({one.id for one in deletions})}
