"""Records to plain JSON values and back, by their type hints."""

from __future__ import annotations

import json
import math
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """Return dataclasses, tuples, mappings and NumPy numbers as JSON values.

    Raises:
        ValueError: If a number is not finite: JSON has none such, and a report must not pass one on.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(one) for one in value]
    if hasattr(value, "item") and not isinstance(value, str):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"a report holds finite numbers only, got {value}; count what is undefined apart")
    return json.loads(json.dumps(value, default=str))


def from_plain(kind: type[T], value: Any) -> T:
    """Build a record of ``kind`` from what ``to_plain`` made of one.

    Raises:
        ValueError: If the value does not fit; it says where.
    """
    made: T = _build(kind, value, kind.__name__)
    return made


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _build(kind: Any, value: Any, where: str) -> Any:
    if is_dataclass(kind):
        return _record(kind, value, where)
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return None if value is None else _build(next(p for p in parts if p is not type(None)), value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{where} must be a list, got {type(value).__name__}")
        inner = parts[:1] * len(value) if parts[-1] is Ellipsis else parts
        if len(inner) != len(value):
            raise ValueError(f"{where} must hold {len(inner)} values, got {len(value)}")
        return tuple(_build(p, v, f"{where}[{i}]") for i, (p, v) in enumerate(zip(inner, value, strict=True)))
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise ValueError(f"{where} must be an object, got {type(value).__name__}")
        return {key: _build(parts[1], one, f"{where}.{key}") for key, one in value.items()}
    return _scalar(kind, value, where)


def _record(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} must be an object, got {type(value).__name__}")
    hints = _hints(kind)
    if unknown := sorted(value.keys() - hints.keys()):
        raise ValueError(f"{where} has no field {unknown[0]!r}; the file was made by another version")
    try:
        return kind(**{name: _build(hints[name], one, f"{where}.{name}") for name, one in value.items()})
    except TypeError as error:
        raise ValueError(f"{where} lacks a field: {error}; the file was made by another version") from error


def _scalar(kind: Any, value: Any, where: str) -> Any:
    if kind is Any:
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{where} must be {kind.__name__}, got {value!r}")
    return value
