"""Metadata filters, translated to SQL so that a passage outside the filter is never scored."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from radrag.corpora.values import plain

# Among the flags, JSON: what they say counts, whatever the metadata say.
IS_RETRACTED = "(instr(documents.flags, '\"retracted\"') > 0)"
COLUMNS = {
    "document_id": "documents.name",
    "kind": "documents.kind",
    "title": "documents.title",
    "retracted": IS_RETRACTED,
}
FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Range:
    """A closed range of numbers or texts; None leaves a side open."""

    low: Any = None
    high: Any = None


@dataclass(frozen=True, slots=True)
class Member:
    """A value that must be a member of a list; where a document has text alone in the field, the search is refused."""

    value: Any


Where = Mapping[str, Any]


def compile_where(where: Where) -> tuple[str, list[Any]]:
    """Translate a filter to a condition on the table ``documents``.

    Args:
        where: Field to what it must be: a value; a list, tuple or set of values, any of which will do; a ``Range``; or
            a ``Member``. Fields are ``document_id``, ``kind``, ``title`` and the keys of ``metadata``; a metadata list
            matches if one of its members does. A document without the field does not match. Several fields must all
            match. ``retracted`` is true or false: whether ``"retracted"`` is among a document's flags.

    Returns:
        SQL condition and its parameters.

    Raises:
        ValueError: If a field name or a value cannot be used.
    """
    conditions, parameters = [], []
    for field, wanted in where.items():
        if not isinstance(field, str) or not FIELD.fullmatch(field):
            raise ValueError(f"filter field {field!r} must be a plain name such as 'kind' or 'year'")
        test, values = _test(field, wanted)
        if field in COLUMNS:
            if any(isinstance(value, str) == (field == "retracted") for value in values_of(wanted)):
                held = "true or false" if field == "retracted" else "text"
                raise ValueError(f"filter field {field!r} holds {held}, got {wanted!r}")
            conditions.append(test.format(COLUMNS[field]))
            parameters.extend(values)
        else:
            # json_each also walks the members of an object and gives nested lists as text: neither is a value.
            members = "SELECT 1 FROM json_each(documents.metadata, ?) WHERE type NOT IN ('array', 'object') AND "
            members += test.format("value")
            conditions.append(f"json_type(documents.metadata, ?) <> 'object' AND EXISTS ({members})")
            parameters.extend([f"$.{field}", f"$.{field}", *values])
    return " AND ".join(conditions) or "1", parameters


def values_of(wanted: Any) -> list[Any]:
    """Return the values that a filter names for a field: one, those of a list, or the sides of a ``Range``."""
    if isinstance(wanted, Range):
        return [plain(side) for side in (wanted.low, wanted.high) if side is not None]
    if isinstance(wanted, Member):
        return [plain(wanted.value)]
    members = wanted if isinstance(wanted, list | tuple | set | frozenset) else [wanted]
    return [plain(value) for value in members]


def _test(field: str, wanted: Any) -> tuple[str, list[Any]]:
    if isinstance(wanted, Range):
        sides = [("{0} >= ?", wanted.low), ("{0} <= ?", wanted.high)]
        given = [(test, _scalar(field, side)) for test, side in sides if side is not None]
        if not given:
            raise ValueError(f"filter field {field!r}: a Range needs at least one side")
        if len({isinstance(side, str) for _, side in given}) > 1:
            raise ValueError(
                f"filter field {field!r}: both sides of a Range must be numbers, or both text, got {wanted}"
            )
        if len(given) == 2 and given[0][1] > given[1][1]:
            raise ValueError(
                f"filter field {field!r}: a Range begins with its lower side, got {wanted.low!r} to {wanted.high!r}; "
                "swap the two"
            )
        kinds = "('text')" if isinstance(given[0][1], str) else "('integer', 'real')"
        return " AND ".join([f"typeof({{0}}) IN {kinds}", *(test for test, _ in given)]), [side for _, side in given]
    if isinstance(wanted, list | tuple | set | frozenset):
        values = [_scalar(field, value) for value in wanted]
        # One parameter, for SQLite takes no more than some thousands; no stored value is nan or infinite.
        listed = [value for value in values if isinstance(value, str) or math.isfinite(value)]
        return "{0} IN (SELECT value FROM json_each(?))", [json.dumps(listed)]
    return "{0} = ?", [_scalar(field, wanted.value if isinstance(wanted, Member) else wanted)]


def _scalar(field: str, value: Any) -> Any:
    value = plain(value)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(f"filter field {field!r}: {value} does not fit 64 bits")
    if isinstance(value, str):
        refuse_surrogates(f"filter field {field!r}: {value!r:.80}", value)
        if "\x00" in value:
            raise ValueError(f"filter field {field!r}: {value!r:.80} holds a NUL, at which SQLite stops; remove it")
    if isinstance(value, str | int | float):
        return value
    raise ValueError(
        f"filter field {field!r}: {value!r} is a {type(value).__name__}; expected text, number, bool, list or Range"
    )


def refuse_surrogates(name: str, text: str) -> None:
    """Refuse text that is no UTF-8, as no document's can be, by what the caller calls it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{name} holds half of a surrogate pair at {error.start}; give it as UTF-8, or read its source "
            "with errors='replace'"
        ) from error
