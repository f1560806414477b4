"""Records from plain JSON values: what ``to_dict`` wrote becomes the same record again, or an error that says where."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def from_plain(kind: type[T], value: Any, place: str = "", derived: frozenset[str] = frozenset()) -> T:
    """Make a record of plain values.

    Args:
        kind: A dataclass whose fields are text, numbers, booleans, tuples, mappings, ``Any`` or such dataclasses.
        value: A mapping as ``to_dict`` returns it, also after JSON.
        place: Where the value stands, for errors.
        derived: Keys that are computed from the others and are passed over.

    Raises:
        ValueError: If a key is unknown or missing, or a value is not of its field's type; the message says where.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{place or kind.__name__}: expected an object, got {value!r:.80}")
    hints = _hints(kind)  # type: ignore[arg-type]
    if unknown := [str(key) for key in value if key not in hints and key not in derived]:
        raise ValueError(f"{place or kind.__name__}: unknown {', '.join(unknown)}; expected {', '.join(hints)}")
    made = {name: _read(hints[name], value[name], f"{place}{name}") for name in hints if name in value}
    needed = [
        one.name
        for one in fields(kind)  # type: ignore[arg-type]
        if one.default is MISSING and one.default_factory is MISSING and one.name not in made
    ]
    if needed:
        raise ValueError(f"{place or kind.__name__}: {', '.join(needed)} missing")
    return kind(**made)


@cache
def _hints(kind: type) -> dict[str, Any]:
    known = get_type_hints(kind)
    return {one.name: known[one.name] for one in fields(kind)}


def _read(hint: Any, value: Any, place: str) -> Any:
    """Return a value as its type hint has it."""
    origin = get_origin(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return _read_union(get_args(hint), value, place)
    if origin is tuple:
        return _read_tuple(get_args(hint), value, place)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise ValueError(f"{place}: expected an object, got {value!r:.80}")
        inner = get_args(hint)[1]
        return {key: _read(inner, one, f"{place}.{key}") for key, one in value.items()}
    if is_dataclass(hint):
        return from_plain(hint, value, f"{place}.")  # type: ignore[arg-type]
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if issubclass(hint, str) and hint is not str and isinstance(value, str):
        return hint(value)  # an enumeration of texts; an unknown one raises ValueError
    if not isinstance(value, hint) or (hint is not bool and isinstance(value, bool)):
        raise ValueError(f"{place}: expected {hint.__name__}, got {value!r:.80}")
    return value


def _read_union(hints: tuple[Any, ...], value: Any, place: str) -> Any:
    if value is None and types.NoneType in hints:
        return None
    problems = []
    for hint in hints:
        if hint is not types.NoneType:
            try:
                return _read(hint, value, place)
            except ValueError as error:
                problems.append(str(error))
    raise ValueError(" or ".join(problems))


def _read_tuple(hints: tuple[Any, ...], value: Any, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{place}: expected a list, got {value!r:.80}")
    if hints[-1] is not Ellipsis and len(hints) != len(value):
        raise ValueError(f"{place}: expected {len(hints)} members, got {len(value)}")
    kinds = [hints[0]] * len(value) if hints[-1] is Ellipsis else list(hints)
    return tuple(_read(hint, one, f"{place}[{n}]") for n, (hint, one) in enumerate(zip(kinds, value, strict=True)))
