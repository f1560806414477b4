"""The names of an article, PMIDs and DOIs, however they are written: those that notices of retraction go by."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

_PMID = re.compile(r"(?:pmid\s*:?\s*)?0*([1-9]\d{0,7})(?:\.0+)?", re.ASCII | re.IGNORECASE)
_BARE_PMID = re.compile(r"[1-9]\d{0,7}", re.ASCII)
_DOI_PREFIX = r"(?:(?:https?://)?(?:[a-z\d-]+\.)*doi\.org/|doi(?::|\s)\s*)"
_DOI_PREFIXES = re.compile(rf"{_DOI_PREFIX}+", re.IGNORECASE)
_DOI = re.compile(r"10\.\d[\d.]*/\S+")
# A DOI may hold semicolons and commas itself; what separates two is followed by another DOI.
_BETWEEN_DOIS = re.compile(rf"[;,|&\s]+(?:and\s+)?(?={_DOI_PREFIX}*10\.\d[\d.]*(?:/|%2F))", re.IGNORECASE)


def visible(text: str) -> str:
    """Return a text without the characters that print nothing, such as the zero-width space; white space stays."""
    if text.isprintable():
        return text
    return "".join(c for c in text if c.isspace() or unicodedata.category(c) not in ("Cf", "Cc"))


def bare_doi(text: str) -> str:
    """Return a DOI as all are compared: in lower case, without characters that print nothing or a full stop at its end.

    A link, or what begins with ``doi:``, is read as the DOI in it.
    """
    text = visible(text).strip()
    found = _DOI_PREFIXES.match(text)
    doi = visible(unquote(text[found.end() :])) if found else text
    return doi.strip().rstrip(".").rstrip().lower()


def is_doi(text: str) -> bool:
    """Return whether what ``bare_doi`` returned is a DOI."""
    return _DOI.fullmatch(text) is not None


def split_dois(text: str) -> list[str]:
    """Cut a field that may hold several DOIs, separated by ``;``, ``,``, ``|``, ``&``, ``and`` or white space."""
    parts = _BETWEEN_DOIS.split(re.sub(r"(?i)\bdoi(?::|\s)\s*", "doi:", visible(text)))
    return [part.strip().strip(" ;,|.") for part in parts]


def known_as(name: str, metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return all names by which a notice may mean a document, its id first.

    Args:
        name: Its id. One like ``"PMID:111"``, ``"pmid:111"`` or ``"PMID111"`` is a PMID; so is one of nothing but one
            to eight digits, unless the metadata give a PMID. A DOI, or a link to one, is a DOI.
        metadata: Its metadata, of which ``pmid``, a number or text, and ``doi``, or lists of them, are read, whether
            these names are in capitals or not.

    Returns:
        The id, ``"PMID:..."`` and ``"doi:..."`` in lower case, each once.
    """
    own = visible(name).strip()
    pmids = [_pmid(value) for value in _values(metadata, "pmid")]
    if own[:4].lower() == "pmid" or (_BARE_PMID.fullmatch(own) and not any(pmids)):
        pmids.append(_pmid(own))
    dois = [bare_doi(one) for value in _values(metadata, "doi") for one in split_dois(str(value))]
    dois.append(bare_doi(own))
    names = [name, *(f"PMID:{pmid}" for pmid in pmids if pmid), *(f"doi:{doi}" for doi in dois if is_doi(doi))]
    return tuple(dict.fromkeys(names))


def _pmid(value: object) -> str:
    """Return the digits of a PMID, a number or text; "" if it is none."""
    found = _PMID.fullmatch(visible(str(value)).strip())
    return found[1] if found else ""


def _values(metadata: Mapping[str, Any], field: str) -> list[object]:
    """Return what the metadata say in a field, however its name is capitalised; of lists each value."""
    found = [value for key, value in metadata.items() if str(key).lower() == field and value is not None]
    return [one for value in found for one in (value if isinstance(value, list | tuple) else [value])]
