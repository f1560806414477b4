"""Where a reader can open what is cited."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from radrag.types.documents import Citation

_PMID = re.compile(r"PMID:([0-9]{1,8})")
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def pmid_of(document_id: str) -> str:
    """Return the digits of ``PMID:29355075``, or "" for another id."""
    match = _PMID.fullmatch(document_id)
    return match[1] if match else ""


def link_of(citation: Citation) -> str:
    """Return the address of a document if it is safe to open, else its page in PubMed, else ""."""
    if is_web_address(citation.url):
        return citation.url
    pmid = pmid_of(citation.document_id)
    return f"https://pubmed.ncbi.nlm.nih.gov/{pmid}/" if pmid else ""


def is_web_address(url: str) -> bool:
    """Whether it begins with http or https, names a host and holds no white space or control characters."""
    if _UNSAFE.search(url):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False
