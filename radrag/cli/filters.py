"""Filters by name, such as ``--mesh``: found as the index spells them, or refused with what is spelled nearest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NoReturn

from radrag.cli.app import fail

if TYPE_CHECKING:
    from radrag.indexes.hybrid import HybridIndex

_FIELDS = {"type": "publication_types"}  # of options that are not called as the field they ask
_SHOWN = 3


class Names:
    """The names that options were given.

    Args:
        given: What each option was given: a name, several, any of which will do, or None.
    """

    def __init__(self, **given: str | Sequence[str] | None) -> None:
        self._given = {
            option: [value] if isinstance(value, str) else list(value)
            for option, value in given.items()
            if value is not None and value != []
        }
        for option, names in self._given.items():
            if any(not name.strip() for name in names):
                fail(f"--{option} is empty; give what to look for, or leave the option out to search everything")

    def where(self, index: HybridIndex) -> dict[str, Any]:
        """Return the filter, in every spelling that the index has; end the command where it has none."""
        found: dict[str, Any] = {}
        for option, names in self._given.items():
            field = _FIELDS.get(option, option)
            stored: dict[str, list[str]] = {}
            for value in index.values(field):
                stored.setdefault(_folded(value), []).append(value)
            found[field] = [
                value for name in names for value in stored.get(_folded(name)) or _refuse(option, name, stored)
            ]
        return found


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()


def _refuse(option: str, name: str, stored: Mapping[str, Sequence[str]]) -> NoReturn:
    said = f"--{option} {name!r}: nothing in this index"
    if not stored:
        fail(f"{said} states any; leave the option out")
    near = [repr(stored[one][0]) for one in get_close_matches(_folded(name), stored, _SHOWN)]
    if near:
        fail(f"{said} has that; nearest is {' or '.join(near)}")
    some = ", ".join(repr(values[0]) for values in list(stored.values())[:_SHOWN])
    fail(f"{said} has that, nor anything spelled nearly so; it has names like {some}")
