"""Which articles of PubMed are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from radrag.types import Document

_METADATA = {
    "mesh": ("mesh",),
    "publication_types": ("publication_types",),
    "journals": ("journal", "journal_abbreviation"),
    "languages": ("language",),
}


@dataclass(frozen=True, slots=True)
class Selection:
    """Which articles are kept: those that meet every condition set. Names are compared without regard to case.

    Attributes:
        mesh: One of these MeSH descriptors, as they are; narrower terms do not count.
        publication_types: One of these publication types.
        journals: One of these journals, by full title or ISO abbreviation.
        languages: One of these languages, such as ``"eng"``.
        years: First and last year; None leaves that end open. An article without a year is not kept.
        has_abstract: Only articles with an abstract.
    """

    mesh: tuple[str, ...] = ()
    publication_types: tuple[str, ...] = ()
    journals: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    years: tuple[int | None, int | None] = (None, None)
    has_abstract: bool = False

    def __post_init__(self) -> None:
        low, high = self.years
        if low is not None and high is not None and low > high:
            raise ValueError(f"years must begin before they end, got {low} to {high}")
        for name in _METADATA:
            if any(not value.strip() for value in getattr(self, name)):
                raise ValueError(f"{name} must not hold a blank name, got {getattr(self, name)!r}")

    def matches(self, document: Document) -> bool:
        """Return whether an article is kept."""
        metadata = document.metadata
        if self.has_abstract and not metadata.get("has_abstract"):
            return False
        if not self._in_years(metadata.get("year")):
            return False
        return all(_shares(getattr(self, name), metadata, keys) for name, keys in _METADATA.items())

    def selects_as(self, other: Self) -> bool:
        """Return whether another selects the same: neither the order of names nor their case counts."""
        names = all(_folded(getattr(self, name)) == _folded(getattr(other, name)) for name in _METADATA)
        return names and (self.years, self.has_abstract) == (other.years, other.has_abstract)

    def _in_years(self, year: int | None) -> bool:
        low, high = self.years
        if low is None and high is None:
            return True
        return year is not None and (low is None or low <= year) and (high is None or year <= high)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, what is not set left out."""
        return {name: value for name, value in asdict(self).items() if value not in ((), (None, None), False)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return what ``to_json`` gave."""
        values: dict[str, Any] = {name: tuple(item) if isinstance(item, list) else item for name, item in value.items()}
        return cls(**values)


def _shares(wanted: tuple[str, ...], metadata: Mapping[str, Any], keys: tuple[str, ...]) -> bool:
    """Return whether any of the names wanted is among a document's; no names wanted are always met."""
    if not wanted:
        return True
    values = (metadata.get(key) or () for key in keys)
    have = {name.casefold() for value in values for name in ([value] if isinstance(value, str) else value)}
    return not have.isdisjoint(_folded(wanted))


def _folded(names: tuple[str, ...]) -> set[str]:
    return {name.strip().casefold() for name in names}
