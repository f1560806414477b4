"""What an answer cites, as BibTeX."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from radrag.types.links import link_of, pmid_of
from radrag.types.printing import quality

if TYPE_CHECKING:
    from radrag.types.answers import Answer
    from radrag.types.documents import Citation

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip
_PLAIN_KEY = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_IN_URL = {"{": "%7B", "}": "%7D", "\\": "%5C", " ": "%20", '"': "%22", "<": "%3C", ">": "%3E", "^": "%5E", "`": "%60"}


def to_bibtex(answer: Answer) -> str:
    """Return one entry for each document cited, in the order of their numbers; "" if nothing is cited.

    A key depends on the document's id alone, so it stays the same from answer to answer.
    """
    known = {hit.passage.document_id: hit.passage.metadata for hit in answer.evidence}
    cited = {one.document_id: one for one in reversed(answer.citations)}
    ordered = sorted(cited.values(), key=lambda one: (one.key, one.document_id))
    return "\n".join(_entry(one, known.get(one.document_id, {})) for one in ordered)


def bibtex_key(document_id: str) -> str:
    """Return the key of a document: ``PMID29355075``, the id itself, or a readable form of it with a hash."""
    pmid = pmid_of(document_id)
    if pmid:
        return f"PMID{pmid}"
    if _PLAIN_KEY.fullmatch(document_id) and not re.fullmatch(r"PMID\d+", document_id):
        return document_id
    ascii_only = unicodedata.normalize("NFKD", document_id).encode("ascii", "ignore").decode()
    readable = re.sub(r"[^A-Za-z0-9]+", "-", ascii_only).strip("-")[:40]
    return f"{readable or 'source'}-{hashlib.sha256(document_id.encode()).hexdigest()[:8]}"


def latex_escaped(text: str) -> str:
    """Return text in which no character means anything to TeX; white space becomes single spaces."""
    return "".join(_SPECIAL.get(character, character) for character in " ".join(_visible(text).split()))


def _visible(text: str) -> str:
    """Leave out control and format characters and lone surrogates, which no bibliography can hold."""
    return "".join(one for one in text if one.isspace() or unicodedata.category(one) not in ("Cc", "Cf", "Cs"))


def _entry(citation: Citation, metadata: Mapping[str, Any]) -> str:
    authors = metadata.get("authors")
    named = authors if isinstance(authors, list | tuple) else ()
    journal = str(metadata.get("journal") or "")
    link = link_of(citation)
    notes = [
        *(flag.upper() for flag in citation.flags),
        *filter(None, [quality(citation)]),
        f"cited from {citation.document_id}",
    ]
    fields = {
        "author": " and ".join(f"{{{latex_escaped(str(one))}}}" for one in named),
        # A second pair of braces keeps the capitals of the title as they are.
        "title": f"{{{latex_escaped(citation.title.rstrip('.') or citation.document_id)}}}",
        "journal": latex_escaped(journal),
        "year": str(citation.year or ""),
        "doi": latex_escaped(str(metadata.get("doi") or "")),
        "pmid": pmid_of(citation.document_id),
        "url": "".join(_IN_URL.get(one, one) for one in link),
        "note": latex_escaped("; ".join(notes)),
    }
    kind = "article" if journal else "misc"
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@{kind}{{{bibtex_key(citation.document_id)},", *lines, "}\n"])
