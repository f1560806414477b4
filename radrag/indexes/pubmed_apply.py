"""The records of a PubMed file applied to an index: revisions, deletions, and notices about other articles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from radrag.corpora.pubmed import read_pubmed
from radrag.corpora.pubmed_selection import Selection
from radrag.corpora.retractions import notices_of
from radrag.corpora.versions import Version, deletes_up_to
from radrag.errors import CorpusError
from radrag.indexes.store import document_version
from radrag.types import Document, Notice

_OUTSIDE, _VERSIONS = "pubmed notices", "pubmed versions"
_FIRST = Version(1)


class Noted(Protocol):
    """What remembers what was applied."""

    def get_note(self, key: str, /) -> Any:
        """Return a JSON value kept under a key, or None."""


class SyncedIndex(Noted, Protocol):
    """What a sync needs of an index; ``HybridIndex`` offers it."""

    def update(self, documents: Iterable[Document], /) -> dict[str, int]:
        """Add documents, in the place of those with the same id."""

    def delete(self, ids: Iterable[str], /, *, keep_notices: bool) -> dict[str, int]:
        """Delete documents, and what they published about others unless it is kept."""

    def versions(self, names: Sequence[str], /) -> dict[str, Version]:
        """Return the version of those documents that are stored, by id."""

    def set_notices_of(self, notices: Mapping[str, Iterable[Notice]], /) -> Any:
        """Put notices in the place of those of the same origins, at once."""

    def set_note(self, key: str, value: Any, /) -> None:
        """Keep a JSON value under a key."""


class Applier:
    """Applies the records of files to an index.

    Args:
        index: The index.
        selection: Which articles are kept.
        skip_damaged: Leave out records that are damaged.

    Attributes:
        damaged: The error of each record left out.
        counts: What was done, by the names in ``SyncReport``.
    """

    def __init__(self, index: SyncedIndex, selection: Selection, skip_damaged: bool = False) -> None:
        self.damaged: list[CorpusError] = []
        self._taken = self.damaged if skip_damaged else None
        self._index, self._selection = index, selection
        self._outside: set[int] = set(index.get_note(_OUTSIDE) or ())
        self._versions: dict[str, int] = index.get_note(_VERSIONS) or {}
        names = ("added", "updated", "skipped", "empty", "passages", "deleted", "unselected", "dropped", "notices")
        self.counts = dict.fromkeys(names, 0)

    def apply(self, *paths: Path) -> None:
        """Apply a file, or files that follow one another as if they were one.

        Of several files only what decides counts: each article goes from what the index holds straight to what it is
        after the last of them. Applied again after an interruption, nothing changes twice.
        """
        changes = _Changes(self._selection, frozenset(self._outside), self._versions)
        documents = _read(paths, self._taken)
        if len(paths) > 1:
            deciding = _Deciding(_read(paths, None if self._taken is None else []), self._versions)
            self._begin_anew(deciding.anew, deciding.deleted)
            changes.forget(deciding.anew)
            documents = deciding.only(documents)
        self._count(self._index.update(changes.kept(documents)))
        changes.take_back(self._index.versions([*changes.dropped, *changes.deleted]))
        if len(paths) > 1:
            self._count({"skipped": deciding.passed})
        spoken = {number: said for number, said in changes.notices.items() if said}
        silent = changes.notices.keys() - spoken.keys()
        # A notice moves with its record from inside the index to outside; it must not be missing in between. What is
        # known to speak is noted first: an interruption must leave no notice that nobody remembers.
        self._remember(_OUTSIDE, sorted(self._outside | spoken.keys()), self._outside >= spoken.keys())
        self._outside |= spoken.keys()
        self._say(spoken)
        self._count({"notices": sum(map(len, spoken.values()))})
        dropped = self._index.delete(changes.dropped, keep_notices=False)
        deleted = self._index.delete(changes.deleted, keep_notices=False)
        self._count({"dropped": dropped["deleted"], "deleted": deleted["deleted"]})
        self._count({"unselected": changes.unselected, "skipped": changes.outdated})
        self._say(dict.fromkeys(silent, ()))
        self._remember(_OUTSIDE, sorted(self._outside - silent), not self._outside & silent)
        self._outside -= silent
        self._remember(_VERSIONS, changes.versions, changes.versions == self._versions)
        self._versions = changes.versions

    def _begin_anew(self, versions: Mapping[str, Version], deleted: Mapping[str, float]) -> None:
        """Delete what an index would keep as newer, though PubMed deleted it and began anew."""
        stored = self._index.versions(list(versions))
        newer = [name for name, held in stored.items() if versions[name].is_older(held)]
        newer = [name for name in newer if stored[name].number <= deleted[name]]
        if newer:
            self._count(self._index.delete(newer, keep_notices=False))

    def _say(self, notices: Mapping[int, Iterable[Notice]]) -> None:
        if notices:
            self._index.set_notices_of({f"outside:PMID:{number}": said for number, said in notices.items()})

    def _remember(self, key: str, value: Any, known: bool) -> None:
        if not known:
            self._index.set_note(key, value)

    def _count(self, counts: dict[str, int]) -> None:
        for name in self.counts.keys() & counts.keys():
            self.counts[name] += counts[name]


def _read(paths: Iterable[Path], damaged: list[CorpusError] | None) -> Iterator[Document]:
    for path in paths:
        yield from read_pubmed(path, deletions=True, damaged=damaged)


class _Deciding:
    """Which records and deletions of several files decide what becomes of their articles: the last of each.

    A record that is older than one before decides nothing, unless the article was deleted in between; nor does the
    deletion of a lower version.

    Args:
        documents: Records and deletions, in order.
        versions: Highest version of each article that has had several, by its id.

    Attributes:
        anew: Version of each article that comes again after a deletion, by its id; of none if it is deleted again.
        deleted: Highest version that was deleted of each article, by its id.
        passed: How many records ``only`` left out.
    """

    def __init__(self, documents: Iterable[Document], versions: Mapping[str, int]) -> None:
        self.anew: dict[str, Version] = {}
        self.deleted: dict[str, float] = {}
        self.passed = 0
        self._last: dict[str, int] = {}
        known = {name: Version(number) for name, number in versions.items()}
        for place, document in enumerate(documents):
            name = document.id
            before = known.get(name, _FIRST)
            if document.kind == "deletion":
                if deletes_up_to(document.metadata) < before.number:
                    continue
                if name in self.deleted:
                    self.anew[name] = Version()
                self.deleted[name] = max(deletes_up_to(document.metadata), self.deleted.get(name, 0))
                known.pop(name, None)
            else:
                version = document_version(document)
                if version.is_older(before):
                    continue
                known[name] = version
                if name in self.deleted:
                    self.anew[name] = version
            self._last[name] = place

    def only(self, documents: Iterable[Document]) -> Iterator[Document]:
        """Yield what decides, of the same documents once more."""
        for place, document in enumerate(documents):
            if self._last.get(document.id) == place:
                yield document
            elif document.kind != "deletion":
                self.passed += 1


class _Changes:
    """What the records of one file change; the last record of an article counts, unless it is older.

    Deletions are applied after the file's records, since the DTD puts them there; one of a lower version than the
    article has changes nothing. When a record that is not kept was revised is known only within its file.

    Attributes:
        dropped: Version of each article that is not kept, by its id; it is deleted if a record before was kept.
        deleted: Highest version that PubMed withdrew of each article, by its id.
        notices: What each record that is not kept says of others, by its PMID; nothing for those that said something
            before and no longer do. The index itself reads the records that it keeps.
        unselected: How many records are not kept.
        outdated: How many records are older than one that came before, and how many deletions.
    """

    def __init__(self, selection: Selection, outside: frozenset[int], versions: Mapping[str, int]) -> None:
        self._selection, self._known = selection, outside
        self._newest = {name: Version(number) for name, number in versions.items()}
        self.dropped: dict[str, Version] = {}
        self.deleted: dict[str, float] = {}
        self.notices: dict[int, tuple[Notice, ...]] = {}
        self.unselected = self.outdated = 0

    def kept(self, documents: Iterable[Document]) -> Iterator[Document]:
        """Yield the documents to store, and take note of the others."""
        for document in documents:
            if document.kind == "deletion":
                self._delete(document)
            elif self._is_current(document):
                self.deleted.pop(document.id, None)
                yield from self._sorted(document)

    def forget(self, names: Iterable[str]) -> None:
        """Forget which versions articles had."""
        for name in names:
            self._newest.pop(name, None)

    @property
    def versions(self) -> dict[str, int]:
        """Highest version of each article that has had several, by its id."""
        return {name: version.number for name, version in self._newest.items() if version.number > 1}

    def take_back(self, stored: Mapping[str, Version]) -> None:
        """Undo what older records and deletions change of articles that the index holds in a newer version.

        Such a version came in otherwise, as by a search of PubMed, and the record was taken for the newest.

        Args:
            stored: Version of each article that the index holds, by its id.
        """
        for name, number in list(self.deleted.items()):
            if name in stored and number < stored[name].number:
                del self.deleted[name]
                self._newest[name] = stored[name]
                self.outdated += 1
        for name, version in list(self.dropped.items()):
            if name not in stored or not version.is_older(stored[name]):
                continue
            del self.dropped[name]
            self._newest[name] = stored[name]
            self.unselected, self.outdated = self.unselected - 1, self.outdated + 1
            number = int(name.removeprefix("PMID:"))
            self.notices.pop(number, None)
            if number in self._known:  # the version that is held speaks for itself
                self.notices[number] = ()

    def _is_current(self, document: Document) -> bool:
        version = document_version(document)
        if version.is_older(self._newest.get(document.id, _FIRST)):
            self.outdated += 1
            return False
        self._newest[document.id] = version
        return True

    def _delete(self, document: Document) -> None:
        name, number = document.id, deletes_up_to(document.metadata)
        if number < self._newest.get(name, _FIRST).number:
            self.outdated += 1
            return
        self._newest.pop(name, None)
        self.dropped.pop(name, None)
        self.deleted[name] = max(number, self.deleted.get(name, 0))
        self._say(document, ())

    def _sorted(self, document: Document) -> Iterator[Document]:
        if self._selection.matches(document):
            self.dropped.pop(document.id, None)
            self._say(document, ())
            yield document
        else:
            self.unselected += 1
            self.dropped[document.id] = document_version(document)
            self._say(document, notices_of(document))

    def _say(self, document: Document, notices: tuple[Notice, ...]) -> None:
        number = int(document.metadata["pmid"])
        if notices or number in self._known or number in self.notices:
            self.notices[number] = notices
