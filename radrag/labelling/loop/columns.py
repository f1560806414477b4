"""How the values of a column part the notes into slices."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from radrag.types import LabelledNote

_MOST_VALUES, _MOST_NUMBERS, _BINS = 20, 12, 4


def word_counts(notes: Sequence[LabelledNote]) -> list[int]:
    """Return the number of words of each note."""
    return [len(note.text.split()) for note in notes]


def slice_names(values: Sequence[object]) -> list[str | None]:
    """Return the name of the slice of each value, None for None and "".

    Numbers of more than 12 different values are parted at their quartiles. Beyond the 20 most frequent values the rest
    is one slice.
    """
    numbers = [_number(value) for value in values]
    known = [number for number in numbers if number is not None]
    filled = sum(not _missing(value) for value in values)
    if known and len(known) == filled and len(set(known)) > _MOST_NUMBERS:
        return _binned(numbers, known)
    names = [None if _missing(value) else str(value).strip() for value in values]
    often = [name for name, _ in sorted(Counter(filter(None, names)).items(), key=lambda pair: (-pair[1], pair[0]))]
    if len(often) <= _MOST_VALUES:
        return names
    kept = set(often[:_MOST_VALUES])
    other = f"(other, {len(often) - _MOST_VALUES} values)"
    return [name if name is None or name in kept else other for name in names]


def _binned(numbers: Sequence[float | None], known: Sequence[float]) -> list[str | None]:
    edges = np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1], method="inverted_cdf"))
    place = {number: int(np.searchsorted(edges, number)) for number in known}
    ranges = {}
    for bin_ in set(place.values()):
        inside = [number for number in known if place[number] == bin_]
        ranges[bin_] = f"{min(inside):g} to {max(inside):g}" if min(inside) < max(inside) else f"{min(inside):g}"
    return [None if number is None else ranges[place[number]] for number in numbers]


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _missing(value: object) -> bool:
    return value is None or value != value or (isinstance(value, str) and not value.strip())
