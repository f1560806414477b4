"""Microsoft Presidio as another engine, where a user has installed it with a spaCy model of their own."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import cache
from typing import Any

from radrag.errors import MissingExtraError
from radrag.types.identifiers import Identifier, IdentifierKind

_K = IdentifierKind
_KINDS = {
    "PERSON": _K.NAME,
    "LOCATION": _K.LOCATION,
    "DATE_TIME": _K.DATE,
    "PHONE_NUMBER": _K.PHONE,
    "EMAIL_ADDRESS": _K.EMAIL,
    "US_SSN": _K.SSN,
    "MEDICAL_LICENSE": _K.LICENCE,
    "US_DRIVER_LICENSE": _K.LICENCE,
    "US_PASSPORT": _K.OTHER,
    "US_BANK_NUMBER": _K.ACCOUNT,
    "US_ITIN": _K.OTHER,
    "IBAN_CODE": _K.ACCOUNT,
    "CREDIT_CARD": _K.ACCOUNT,
    "IP_ADDRESS": _K.IP,
    "URL": _K.URL,
    "UK_NHS": _K.MRN,
}


@cache
def _engine() -> Any:
    try:
        analyzer = importlib.import_module("presidio_analyzer")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "presidio_analyzer is not installed, and this engine needs it. Install it with: pip install"
            " presidio-analyzer, "
            "and a spaCy model; or leave engine='rules'",
            name="presidio_analyzer",
        ) from error
    return analyzer.AnalyzerEngine()


def find_with_presidio(text: str) -> Iterator[Identifier]:
    """Yield what Presidio finds of the kinds known here; its dates also take in ages and durations.

    Raises:
        MissingExtraError: If Presidio is not installed.
    """
    for result in _engine().analyze(text=text, language="en", entities=list(_KINDS)):
        found = text[result.start : result.end]
        yield Identifier(result.start, result.end, found, _KINDS[result.entity_type], result.score, "presidio")
