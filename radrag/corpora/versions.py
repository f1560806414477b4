"""Which of two records of an article is the older: by PMID version, and within one by the date of revision."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

_DATE = re.compile(r"\d{4}-\d\d-\d\d")


class Version(NamedTuple):
    """The version of a record of PubMed.

    Attributes:
        number: Its ``pmid_version``, 0 if it has none.
        revised: The day of its last revision, ``"YYYY-MM-DD"``; ``""`` if it was never revised.
    """

    number: int = 0
    revised: str = ""

    @classmethod
    def of(cls, number: Any, revised: Any) -> Self:
        """Return the version that metadata state as ``pmid_version`` and ``revised``.

        What is no record of PubMed has none, whatever its ``revised`` means.
        """
        number = number if isinstance(number, int) else 0
        dated = number > 0 and isinstance(revised, str) and _DATE.fullmatch(revised)
        return cls(number, revised if dated else "")

    def is_older(self, other: Version) -> bool:
        """Return whether this record is older: its number is lower or, of equal ones, its date; no date is lowest."""
        return self < other


def deletes_up_to(metadata: Mapping[str, Any]) -> float:
    """Return the highest version that a deletion deletes: without one, the article goes whatever its version."""
    return float(metadata.get("pmid_version", math.inf))
