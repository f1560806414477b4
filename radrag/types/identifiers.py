"""The kinds of identifiers that are looked for, and the record of one that was found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class IdentifierKind(StrEnum):
    """The 18 identifiers of the HIPAA safe harbor, 45 CFR 164.514(b)(2)(i); its third is two kinds here.

    Hospitals, practices and pharmacies are locations; employers, schools and every other number are ``OTHER``.
    """

    NAME = "name"
    LOCATION = "location"
    DATE = "date"
    AGE = "age"
    PHONE = "phone"
    FAX = "fax"
    EMAIL = "email"
    SSN = "ssn"
    MRN = "mrn"
    HEALTH_PLAN = "health-plan"
    ACCOUNT = "account"
    LICENCE = "licence"
    VEHICLE = "vehicle"
    DEVICE = "device"
    URL = "url"
    IP = "ip"
    BIOMETRIC = "biometric"
    PHOTO = "photo"
    OTHER = "other"

    @property
    def tag(self) -> str:
        """What stands for it in masked text, such as ``[HEALTH PLAN]``."""
        return "[AGE OVER 89]" if self is IdentifierKind.AGE else f"[{self.value.upper().replace('-', ' ')}]"

    @property
    def paragraph(self) -> str:
        """The letter of the paragraph of the rule, ``"A"`` to ``"R"``; dates and ages over 89 share ``"C"``."""
        return _PARAGRAPHS[self]


_PARAGRAPHS = dict(zip(IdentifierKind, "ABCCDEFGHIJKLMNOPQR", strict=True))


@dataclass(frozen=True, slots=True)
class Identifier:
    """A stretch of text that identifies somebody.

    Attributes:
        start: Offset of its first character.
        end: Offset after its last one.
        text: ``original[start:end]``.
        kind: What it is.
        score: How sure the recogniser is, 0 to 1: fixed for each rule, not a calibrated probability.
        recogniser: The rule that found it, such as ``"names:title"``.
    """

    start: int
    end: int
    text: str
    kind: IdentifierKind
    score: float
    recogniser: str
