"""The same figures on parts of the data: by sex, age, site, modality, question type, year."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from radrag.evaluation.figures import Groups, Scores, share_with_width
from radrag.evaluation.records import SliceRow
from radrag.evaluation.scores import Measure
from radrag.metrics import Estimate, holm, paired_bootstrap
from radrag.metrics.slices import UNKNOWN, Slice, age_slices, by_slice
from radrag.types import LabelledNote, Question

Slices = Mapping[str, Sequence[Hashable]]
OF_NOTES = ("site", "sex", "age", "modality", "body_region", "population", "language", "voice", "year")
OF_DOCUMENTS = ("modality", "body_region", "population", "year")
YEARS = 5


def slices_of(items: Sequence[Any], index: Any = None) -> dict[str, list[Hashable]]:
    """Return what the items can be parted by: those of the known attributes that have at least two values.

    Notes: their metadata, and of the guideline of their label its modality, region and population. Questions: their
    type, and of the document that answers them modality, region, population and year of publication, in spans of 5.

    Args:
        items: Questions or labelled notes.
        index: Where their documents are; None to go without.
    """
    found: dict[str, list[Hashable]] = {}
    if all(isinstance(item, LabelledNote) for item in items):
        found |= {name: [note.metadata.get(name) for note in items] for name in OF_NOTES}
        documents = [_metadata(index, note.label) for note in items]
    else:
        found["question type"] = [question.type for question in items]
        documents = [_metadata(index, _first(question)) for question in items]
    for name in OF_DOCUMENTS:
        values = [document.get(name) for document in documents]
        if not any(value is not None for value in found.get(name, [])):
            found[name] = values
    made = {name: _binned(name, values) for name, values in found.items()}
    renamed = {"year": "publication year", "body_region": "body region"}
    return {
        renamed.get(name, name): values
        for name, values in made.items()
        if len({value for value in values if value is not None}) > 1
    }


def slice_rows(
    slices: Slices, measures: Sequence[Measure], ours: Scores, theirs: Scores, groups: Groups, seed: int
) -> tuple[SliceRow, ...]:
    """Return every figure on every part, with all tests corrected together by Holm's method.

    The two parts of an attribute with two are one test.
    """
    rows: list[SliceRow] = []
    for measure in measures:
        chosen = [
            i for i, pair in enumerate(zip(ours[measure.name], theirs[measure.name], strict=True)) if None not in pair
        ]
        if len(chosen) < 2:
            continue
        parts: dict[str, list[Hashable]] = {name: [_name(values[i]) for i in chosen] for name, values in slices.items()}
        units = None if groups is None else [groups[i] for i in chosen]
        left, right = (np.asarray([side[measure.name][i] for i in chosen], dtype=float) for side in (ours, theirs))
        made = [by_slice(parts, side, groups=units, seed=seed) for side in (left, right)]
        for one, other in zip(*made, strict=True):
            member = [value == one.name for value in parts[one.attribute]]
            difference = _difference(left, right, units, member, seed)
            rows.append(_row(measure, one, other, difference))
    return _corrected(rows)


def _corrected(rows: Sequence[SliceRow]) -> tuple[SliceRow, ...]:
    sizes: dict[tuple[str, str], int] = {}
    for row in rows:
        sizes[row.metric, row.attribute] = sizes.get((row.metric, row.attribute), 0) + 1
    keys = [(row.metric, row.attribute, "" if sizes[row.metric, row.attribute] == 2 else row.name) for row in rows]
    tests = {key: row.p_value for key, row in zip(keys, rows, strict=True) if row.p_value is not None}
    adjusted = dict(zip(tests, holm(list(tests.values())).tolist() if tests else [], strict=True))
    return tuple(
        row if row.p_value is None else replace(row, adjusted=adjusted[key])
        for key, row in zip(keys, rows, strict=True)
    )


def _row(measure: Measure, one: Slice, other: Slice, difference: Estimate | None) -> SliceRow:
    rest = None if math.isnan(one.rest) else one.rest
    return SliceRow(
        measure.name, one.attribute, one.name, one.estimate.n, _bounded(one.estimate, share=measure.share),
        _bounded(other.estimate, share=measure.share), difference, rest, one.p_value, None, one.small,
    )  # fmt: skip


def _difference(
    left: Any, right: Any, units: Sequence[Hashable] | None, member: Sequence[bool], seed: int
) -> Estimate | None:
    mask = np.asarray(member)
    some = None if units is None else [unit for unit, kept in zip(units, member, strict=True) if kept]
    if (int(mask.sum()) if some is None else len(set(some))) < 2:
        return None
    return paired_bootstrap(left[mask], right[mask], groups=some, seed=seed)


def _bounded(estimate: Estimate, *, share: bool) -> Estimate | None:
    if not (math.isfinite(estimate.low) and math.isfinite(estimate.high)):
        return None
    return share_with_width(estimate) if share else estimate


def _name(value: Hashable) -> str:
    missing = value is None or value != value or (isinstance(value, str) and not value.strip())
    return UNKNOWN if missing else str(value)


def _first(question: Question) -> str:
    return question.gold[0].document_id if question.gold else ""


def _metadata(index: Any, document_id: str) -> Mapping[str, Any]:
    """Return what is known of a document; nothing if there is no index or it lacks the document."""
    if index is None or not document_id:
        return {}
    try:
        found: Mapping[str, Any] = index.document(document_id).metadata
    except KeyError:
        return {}
    return found


def _binned(name: str, values: Sequence[Any]) -> list[Hashable]:
    if name == "age":
        return list(age_slices([_number(value) for value in values]))
    if name == "year":
        return [
            f"{value - value % YEARS}-{value - value % YEARS + YEARS - 1}" if isinstance(value, int) else None
            for value in values
        ]
    return [", ".join(map(str, value)) if isinstance(value, list | tuple) else value for value in values]


def _number(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None
