"""Notices as a user gives them, in the form in which they meet the documents that they concern; or refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from radrag.corpora.article_names import bare_doi, is_doi, known_as, visible
from radrag.corpora.retractions import Flag
from radrag.corpora.values import plain
from radrag.indexes.filters import refuse_surrogates
from radrag.types import Notice

_KINDS = {flag.value: flag.value for flag in Flag}
_TARGETS = "target must be an id, such as 'PMID:29355075', without white space around it, or a DOI such as '10.1000/x'"
_LIKE_A_DOI = re.compile(r"doi:|(?:https?://)?(?:[a-z\d-]+\.)*doi\.org\b", re.IGNORECASE)


def read_notices(origin: str, notices: Iterable[Notice]) -> Iterator[Notice]:
    """Yield notices with their kinds in lower case, and DOIs and PMIDs of targets in the one form that is compared.

    A target of digits alone, which may be an id or a PMID, is yielded as both.

    Args:
        origin: Where they are from, for messages.
        notices: What was published.

    Raises:
        TypeError: If one is no notice, or a part of it no text.
        ValueError: If a kind is not known, or a target can be neither an id nor a DOI.
    """
    for place, notice in enumerate(notices):
        name = f"notices[{place}] of {origin!r}"
        if not isinstance(notice, Notice):
            raise TypeError(f"{name} must be a Notice, got {type(notice).__name__}")
        said = {field: getattr(notice, field) for field in ("target", "kind", "source", "date")}
        for field, value in said.items():
            if not isinstance(value, str):
                raise TypeError(f"{name}: {field} must be text, got {value!r}")
            refuse_surrogates(f"{name}: {field} {value!r:.80}", value)
        kind = _KINDS.get(plain(notice.kind).lower())
        if kind is None:
            known = ", ".join(map(repr, _KINDS))
            raise ValueError(f"{name}: kind must be one of {known}, in capitals or not, got {notice.kind!r}")
        for target in _targets(name, plain(notice.target)):
            yield replace(notice, target=target, kind=kind)


def _targets(name: str, target: str) -> tuple[str, ...]:
    own, names = visible(target).strip(), known_as(target, {})
    if len(names) > 1:
        return names if own.isdigit() else names[-1:]
    if not own or own != target or (_LIKE_A_DOI.match(target) and not is_doi(bare_doi(target))):
        raise ValueError(f"{name}: {_TARGETS}, got {target!r}")
    return (target,)
