"""Places smaller than a state, hospitals and practices, addresses; employers and schools.

A country or a state alone stays; with a town it goes too. A postcode goes whole, also its first three digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain

from radrag.corpora.deidentify.lexicon import (
    Word,
    eponymous,
    is_clinical,
    is_common,
    is_free,
    is_name,
    listed,
    phrases,
    words_of,
)
from radrag.corpora.deidentify.place_patterns import (
    ABODE,
    AT,
    BEFORE,
    BOX,
    COUNTY,
    CUED,
    CUED_LOWER,
    DOCTORS_OFFICE,
    EMPLOYER,
    FACILITY,
    FIRMLY,
    JOIN,
    LOWER_FACILITY,
    LOWER_NAMED,
    NAMED_STREET,
    ON_STREET,
    POSTCODES,
    PREFIXED,
    SAINT,
    SCHOOL,
    SITE,
    STATE,
    STREET,
    STRONG,
    ZIP,
)
from radrag.types.identifiers import Identifier, IdentifierKind

_K = IdentifierKind


def find_places(text: str) -> Iterator[Identifier]:
    """Yield places, facilities, addresses, employers and schools."""
    words = list(words_of(text))
    yield from _gazetteer(text, words)
    yield from _facilities(text)
    yield from _addresses(text)
    yield from _cued(text)
    yield from _sites(text)
    yield from _occupations(text)


def _make(text: str, start: int, end: int, kind: IdentifierKind, score: float, rule: str) -> Identifier:
    return Identifier(start, end, text[start:end], kind, score, f"places:{rule}")


def _gazetteer(text: str, words: Sequence[Word]) -> Iterator[Identifier]:
    at = 0
    while at < len(words):
        found = _listed(text, words, at)
        if found is None:
            at += 1
            continue
        length, kind_score, rule = found
        start, end = words[at].start, words[at + length - 1].end
        yield _make(text, start, _with_state(text, end), _K.LOCATION, kind_score, rule)
        at += length


def _listed(text: str, words: Sequence[Word], at: int) -> tuple[int, float, str] | None:
    first = words[at]
    for length in range(min(5, len(words) - at), 0, -1):
        last = words[at + length - 1]
        low = " ".join(text[first.start : last.end].lower().replace("’", "'").split())
        if low in phrases("facilities") and _is_lower_facility(text, first, low):
            return length, 0.7, "facility"
        if low in phrases("facilities") and first.capital and not eponymous(text, last.end):
            if length > 1 or BEFORE.search(text[max(0, first.start - 12) : first.start]):
                return length, 0.85, "facility"
        if low in phrases("places") and _is_place(text, first, last, low):
            return length, 0.8, "town"
    return None


def _is_lower_facility(text: str, first: Word, low: str) -> bool:
    at = AT.search(text[max(0, first.start - 12) : first.start])
    return not first.capital and at is not None and (" " in low or "-" in low or is_free(low))


def _is_place(text: str, first: Word, last: Word, low: str) -> bool:
    if eponymous(text, last.end) or (is_clinical(low) and re.match(r"\s\d{1,2}\b", text[last.end : last.end + 4])):
        return False
    before = text[max(0, first.start - 12) : first.start]
    cued = BEFORE.search(before) is not None
    state = _with_state(text, last.end) > last.end
    if not first.capital:
        return cued and is_free(low) and not is_name(low) and before.rstrip().lower().endswith(("in", "from", "near"))
    if is_common(low) and " " not in low:
        cued = FIRMLY.search(before) is not None
    sure = " " in low or (is_free(low) and not is_name(low))
    return sure or state or cued


def _with_state(text: str, end: int) -> int:
    for words in (2, 1):
        match = STATE.match(text, end)
        if match is not None:
            state = match["state"] if words == 2 else match["state"].split()[0]
            known = state.lower() in phrases("states") and (len(state) > 2 or state.isupper())
            if known:
                return match.end() if words == 2 or " " not in match["state"] else match.start("state") + len(state)
    return end


def _facilities(text: str) -> Iterator[Identifier]:
    for match in FACILITY.finditer(text):
        start = _body_start(text, match)
        if start is not None:
            yield _make(text, start, _with_state(text, match.end()), _K.LOCATION, 0.8, "facility noun")
    for pattern, score in ((SAINT, 0.85), (LOWER_FACILITY, 0.8), (DOCTORS_OFFICE, 0.96), (COUNTY, 0.8)):
        for match in pattern.finditer(text):
            if not eponymous(text, match.end()):
                yield _make(text, match.start(), match.end(), _K.LOCATION, score, "facility")


def _body_start(text: str, match: re.Match[str]) -> int | None:
    """Where the facility's name begins once words that only happen to precede it are left out."""
    if match["body"].rstrip().endswith(","):  # "47 Y/O MALE, ED BED 8"
        return None
    parts = [part for part in words_of(match["body"]) if part.capital]
    strong = STRONG.search(match["noun"] + match["more"] + match["tail"]) is not None
    while parts and not _begins_facility(parts[0].low, strong=strong):
        parts.pop(0)
    known = [part for part in parts if _is_known(part.low)]
    named = [part for part in parts if part.low not in listed("facility_not") and not _ordinary(part.low)]
    if match["noun"].islower() and not (known or match["noun"] == "hospital"):
        named = [part for part in named if is_name(part.low.removesuffix("'s"))]
    proper = [part for part in parts if part.low in listed("facility_words") or (strong and is_name(part.low))]
    titled = match["noun"][0].isupper() and parts and re.match(r"(?i)hospital|med", match["noun"]) is not None
    here = AT.search(text[: match.start("body") + parts[0].start][-12:]) if parts else None
    if parts and match["noun"][0].isupper() and here and strong:
        return match.start("body") + parts[0].start
    if not (titled or known or named or len(proper) > 1 or (proper and (strong or here))):
        return None
    if named and not known and not strong and all(is_clinical(part.low) for part in named):
        return None
    return match.start("body") + parts[0].start if parts else None


def _is_known(low: str) -> bool:
    return low in phrases("places") or low in phrases("facilities") or low in ("la", "sf", "ny", "dc", "philly")


def _begins_facility(low: str, *, strong: bool) -> bool:
    if low in listed("facility_words") or _is_known(low):
        return low not in ("x", "xx", "xxx", "xxxx")
    return low not in listed("facility_not") and low not in listed("facility_before") and (not is_common(low) or strong)


def _ordinary(low: str) -> bool:
    return is_common(low) or low in listed("facility_words")


def _addresses(text: str) -> Iterator[Identifier]:
    for match in ABODE.finditer(text):
        yield _make(text, match.start("place"), match.end("place"), _K.LOCATION, 0.85, "street")
    for match in STREET.finditer(text):
        yield _make(text, match.start(), match.end(), _K.LOCATION, 0.9, "street")
    for pattern in (BOX, POSTCODES):
        for match in pattern.finditer(text):
            yield _make(text, match.start(), match.end(), _K.LOCATION, 0.8, "address")
    for match in NAMED_STREET.finditer(text):
        start, end = match.span("street") if match["street"] else match.span()
        yield _make(text, start, end, _K.LOCATION, 0.75, "street")
    for match in ON_STREET.finditer(text):
        if not is_common(text[match.start() : match.end()].split()[0].lower()):
            end = match.start() + len(match[0].rstrip(", "))
            yield _make(text, match.start(), end, _K.LOCATION, 0.7, "street")
    for match in ZIP.finditer(text):
        yield _make(text, match.start("zip"), match.end("zip"), _K.LOCATION, 0.9, "postcode")


def _cued(text: str) -> Iterator[Identifier]:
    for score, pattern in CUED:
        for match in pattern.finditer(text):
            start, end = match.span("place")
            end = _trimmed(text, start, end)
            if end > start:
                yield _make(text, start, _with_state(text, end), _K.LOCATION, score, "cue")
    for match in CUED_LOWER.finditer(text):
        low = match["place"]
        if is_free(low) and not is_name(low) and low not in phrases("states"):
            yield _make(text, match.start("place"), match.end("place"), _K.LOCATION, 0.6, "cue")


def _sites(text: str) -> Iterator[Identifier]:
    for match in chain(PREFIXED.finditer(text), SITE.finditer(text)):
        place = match.lastgroup == "place"
        start, end = match.span("place") if place else match.span()
        first = text[start:end].split()[0].lower()
        if not place or is_free(first) or first in listed("facility_words"):
            yield _make(text, start, end, _K.LOCATION, 0.7, "facility")
    for match in LOWER_NAMED.finditer(text):
        first = match["first"]
        if first in ("mercy", "saint", "st") or _is_known(first) or (is_name(first) and is_free(first)):
            yield _make(text, match.start("place"), match.end("place"), _K.LOCATION, 0.65, "facility")


def _occupations(text: str) -> Iterator[Identifier]:
    for match in EMPLOYER.finditer(text):
        first = match["place"].split()[0].lower()
        if not is_clinical(first) and (is_free(first) or " " in match["place"] or is_name(first.removesuffix("'s"))):
            yield _make(text, match.start("place"), match.end("place"), _K.OTHER, 0.7, "employer")
    for match in SCHOOL.finditer(text):
        if any(not is_common(part.low) for part in words_of(match[0])):
            yield _make(text, match.start(), match.end(), _K.OTHER, 0.7, "school")


def _trimmed(text: str, start: int, end: int) -> int:
    """End of the part of a capitalised run that can be a place; ``start`` if none can."""
    last = start
    for word in words_of(text[start:end]):
        if not word.capital:
            continue
        low = word.low
        blocked = (
            is_common(low)
            or is_clinical(low)
            or low in phrases("states")
            or low in listed("eponym_nouns")
            or word.shouted
        )
        if blocked and last == start and low in listed("facility_words") and not is_clinical(low):
            continue
        if blocked and (last == start or not (is_name(low) or low in listed("facility_words"))):
            break
        last = start + word.end
    return start if last == start or eponymous(text, last) else last


def joined(text: str, left: Identifier, right: Identifier) -> bool:
    """Whether two are one: "Mercy Clinic, Boston", "Mercy Clinic in Boston", "Drs. Ash and Elm"."""
    if left.kind is right.kind is _K.LOCATION:
        return JOIN.fullmatch(text, left.end, right.start) is not None
    doctors = left.kind is right.kind is _K.NAME and left.text[:3].lower() == "drs"
    return doctors and text[left.end : right.start] in (" and ", " & ", ", ", ", and ", "/")
