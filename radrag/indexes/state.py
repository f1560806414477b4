"""One state of an index as a reader sees it: its segments, what lives in them, and which rows a filter admits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from radrag.errors import IndexCorruptError
from radrag.indexes.bm25 import Statistics
from radrag.indexes.database import Database
from radrag.indexes.facets import NUMBER, TEXT, facet_mask, facet_values, refuse_type, refuse_types, split_where
from radrag.indexes.filters import COLUMNS, Member, Where
from radrag.indexes.forking import Lock
from radrag.indexes.ledger import Ledger, SegmentEntry
from radrag.indexes.searcher import Masks, Searcher, SearchSettings
from radrag.indexes.segments import Segment, read_segment, retry_missing
from radrag.indexes.store import Store
from radrag.protocols import Encoder

T = TypeVar("T")
_MAX_MASKS = 16
_SEGMENTS = "segments"


class State:
    """What was visible at one revision. Its maker holds a snapshot; so does whoever searches it.

    Args:
        path: Folder of the index.
        database: Its database.
        encoder: Encoder of queries.
        before: An earlier state, whose open segments are used again.
    """

    def __init__(self, path: Path, database: Database, encoder: Encoder, before: State | None) -> None:
        self._db, self._store, ledger = database, Store(database), Ledger(database)
        self.revision, self.settings = database.get("revision"), database.get("settings")
        settings = self.settings
        self._facets = tuple(settings["facets"])
        opened = before.segments if before else []
        self.segments: list[tuple[SegmentEntry, Segment]] = [
            next((one for one in opened if one[0] == entry), None) or (entry, _read(path, entry, settings["dim"]))
            for entry in ledger.segments()
        ]
        self._list = [segment for _, segment in self.segments]
        self._live: Masks = self._without(ledger.dead(), [None] * len(self._list))
        self._shown: Masks = self._without(self._store.passages_left_out(), self._live)
        rows, terms = ledger.counted()
        found = sum(s.rows if m is None else int(m.sum()) for s, m in zip(self._list, self._live, strict=True))
        if found != rows:
            raise IndexCorruptError(f"{path}: segments hold {found} passages, expected {rows}; rebuild the index")
        statistics = Statistics(rows, terms, _remembered(ledger.dead_terms) if any_dead(self._live) else _none_dead)
        how = SearchSettings(**settings["search"])
        self.searcher = Searcher(self._list, self._live, statistics, encoder, how, self._shown)
        self._masks: dict[str, Masks] = {}
        self._lock = Lock()

    def masks(self, where: Where, include_retracted: bool) -> Masks:
        """Return for each segment which rows a filter admits, None for all; the last few filters are remembered."""
        base = self._live if include_retracted else self._shown
        if not where:
            return base
        key = f"{include_retracted} {sorted(where.items(), key=repr)!r}"
        found = self._masks.get(key)
        if found is None:
            found = self._admitted(where, base)
            with self._lock:
                while len(self._masks) >= _MAX_MASKS:
                    del self._masks[next(iter(self._masks))]
                self._masks[key] = found
        return found

    def values(self, field: str) -> list[str]:
        """Return the texts that a facet has in any segment, sorted.

        Raises:
            ValueError: If it is no facet.
        """
        if field not in self._facets:
            raise ValueError(f"field must be a facet, one of {', '.join(self._facets)}, got {field!r}")
        return sorted({value for segment in self._list for value in facet_values(segment.facets, field)})

    def _admitted(self, where: Where, base: Masks) -> Masks:
        quick, slow = split_where(where, self._facets)
        self._refuse_text_alone(where)
        numbers = self._store.matching(slow) if slow else None
        if numbers is not None and not numbers.size:
            self._refuse_unknown(slow)
        admitted: list[NDArray[np.bool_]] = []
        for segment, shown in zip(self._list, base, strict=True):
            mask = facet_mask(segment.facets, quick)
            if numbers is not None:
                mask &= np.isin(segment.owners, numbers)
            if shown is not None:
                mask &= shown
            admitted.append(mask)
        if quick and not any(mask.any() for mask in admitted):
            refuse_types([(one.facets, shown) for one, shown in zip(self._list, self._live, strict=True)], quick)
        return admitted

    def _refuse_text_alone(self, where: Where) -> None:
        """Refuse to look for a ``Member`` where a document has text in no list: one asks for a part of it, maybe."""
        for field in (field for field, wanted in where.items() if isinstance(wanted, Member)):
            statement = "SELECT name FROM documents WHERE ? OR json_type(metadata, ?) = 'text' LIMIT 1"
            if (found := self._db.one(statement, (field in COLUMNS, f"$.{field}"))) is not None:
                raise ValueError(
                    f"filter field {field!r}: 'contains' finds members of lists, but document {found[0]!r} has text in "
                    "no list there, of which parts cannot be found; say '==' and the whole text"
                )

    def _refuse_unknown(self, where: Where) -> None:
        """Refuse a filter on a field that no document has, or has only with values of another type.

        A mistyped name, or a year in quotes, would look like an empty library.
        """
        asked = {field: wanted for field, wanted in where.items() if field not in COLUMNS}
        if not self._list or not asked:
            return
        stored = self._db.all(
            "SELECT DISTINCT entry.key, CASE entry.type WHEN 'array' THEN member.type ELSE entry.type END"
            " FROM documents, json_each(documents.metadata) AS entry"
            " LEFT JOIN json_each(CASE entry.type WHEN 'array' THEN entry.value ELSE '[]' END) AS member"
        )
        known = {*COLUMNS, *self._facets, *(key for key, _ in stored)}
        for field in sorted(asked.keys() - known):
            raise ValueError(f"no document has the filter field {field!r}; expected one of {', '.join(sorted(known))}")
        types = {"text": TEXT, **dict.fromkeys(("integer", "real", "true", "false"), NUMBER)}
        for field, wanted in asked.items():
            refuse_type(field, wanted, {types[kind] for key, kind in stored if key == field and kind in types})

    def _without(self, passages: NDArray[np.int64], masks: Masks) -> Masks:
        """Return masks that also leave out some passages, ids ascending."""
        result = list(masks)
        for place, segment in enumerate(self._list):
            low, high = np.searchsorted(passages, [segment.ids[0], segment.ids[-1] + 1])
            if low == high:
                continue
            before = result[place]
            mask = np.ones(segment.rows, dtype=np.bool_) if before is None else before.copy()
            rows = np.searchsorted(segment.ids, passages[low:high])
            if not np.array_equal(segment.ids[rows], passages[low:high]):
                raise IndexCorruptError("a segment lacks passages that the store names; rebuild the index")
            mask[rows] = False
            result[place] = mask
        return result


class States:
    """Gives whoever reads an index its last whole state, and reads it anew when a writer has made another.

    Args:
        path: Folder of the index.
        database: Its database.
        encoder: Encoder of queries.
    """

    def __init__(self, path: Path, database: Database, encoder: Encoder) -> None:
        self._path, self._db, self._encoder = path, database, encoder
        self._last: State | None = None
        self._lock = Lock()

    def read(self, use: Callable[[State], T]) -> T:
        """Let a function see the last whole state, with the store held at it."""

        def once() -> T:
            with self._db.snapshot():
                return use(self._current())

        return retry_missing(self._path / _SEGMENTS, once)

    def _current(self) -> State:
        state, revision = self._last, self._db.get("revision")
        if state is None or state.revision != revision:
            with self._lock:
                state = State(self._path, self._db, self._encoder, self._last)
                self._last = state
        return state


def _read(path: Path, entry: SegmentEntry, dim: int) -> Segment:
    return read_segment(path / _SEGMENTS / entry.folder, entry, dim)


def any_dead(live: Masks) -> bool:
    """Return whether some row does not live."""
    return any(mask is not None for mask in live)


def _none_dead(terms: Sequence[str]) -> Mapping[str, int]:
    return {}


def _remembered(look_up: Callable[[Sequence[str]], Mapping[str, int]]) -> Callable[[Sequence[str]], Mapping[str, int]]:
    """Ask once for each term: within one state the answer stays the same."""
    known: dict[str, int] = {}

    def dead(terms: Sequence[str]) -> Mapping[str, int]:
        asked = [term for term in terms if term not in known]
        if asked:
            found = look_up(asked)
            known.update({term: found.get(term, 0) for term in asked})
        return {term: known[term] for term in terms}

    return dead
