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
    sources: list[str], failures: list[FileFailure], ignored: list[Path], deletions: list[Document]
) -> Iterator[Document]:
    """Yield the documents of files and folders, each read by the kind its name says.

    Files of a folder that fail, those of no kind that can be read, and what PubMed deletes are added to the lists.
    """
    from radrag.corpora import load_evidence, load_protocols, read_files
    from radrag.corpora.folders import folder_files, read_file

    for source in sources:
        if source == "shipped":
            yield from load_protocols()
            yield from load_evidence()
        elif Path(source).is_dir():
            files, others = folder_files(Path(source))
            ignored += others
            yield from read_files(files, failures, Path(source), deletions)
        else:
            yield from read_file(Path(source), deletions)


def updated(
    opened: HybridIndex, documents: Iterator[Document], deletions: list[Document], progress: bool
) -> dict[str, int]:
    """Update an index and apply deletions, which are listed as documents are read, in the order of both."""
    from radrag.indexes.versions import deletes_up_to

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
        gone = [one.id for one in deletions if one.id in held and held[one.id].number <= deletes_up_to(one.metadata)]
        report["deleted"] += opened.delete(gone)["deleted"]
        deletions.clear()
        if not after:
            return dict(report)


def left_out(deletions: list[Document]) -> dict[str, int]:
    """Return how many deletions of PubMed were not applied, under the name they are reported by."""
    return {"deletions_left_out": len({one.id for one in deletions})}
