"""Values that users give: NumPy numbers and members of enums as what they stand for, whole numbers as such."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """Return a NumPy number, or a member of an enum of texts or of numbers, as its value; all else as it is.

    Their own text may be another: ``"np.float64(0.5)"``, ``"Modality.CT"``.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    return int(value) if isinstance(value, int) else float(value) if isinstance(value, float) else value


def whole_number(name: str, value: Any) -> int:
    """Return a whole number, also one of NumPy's, as an int.

    Raises:
        TypeError: If it is anything else, such as 2.0.
    """
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {value!r}") from None


def json_value(value: Any) -> Any:
    """Return a NumPy number as JSON has it, for ``json.dumps(default=json_value)``.

    Raises:
        TypeError: If it is anything else.
    """
    if isinstance(value, np.bool_ | np.integer | np.floating):
        return plain(value)
    raise TypeError(f"{type(value).__name__} is no type of JSON")
