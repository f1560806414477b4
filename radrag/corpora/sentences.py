"""Where sentences begin and end in clinical and biomedical text: rules of our own, no model, linear time."""

from __future__ import annotations

import re
from collections.abc import Iterator

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
# A line that stands alone: Markdown heading, horizontal rule, code fence, table row.
HEADING = re.compile(r"\s{0,3}#{1,6}(?:\s|$)")
_ALONE = re.compile(r"\s{0,3}#{1,6}(?:\s|$)|\s{0,3}(?:-{3,}|\*{3,}|_{3,})\s*$|\s*(?:```|~~~|\|)")
# A line that begins something new: a list item, or a report heading such as "IMPRESSION:".
_BEGINS = re.compile(r"\s*(?:[-*+•▪◦‣]\s|\d{1,3}[.)]\s|[A-Z][A-Z0-9 /&-]{2,40}:)")

_STOP = re.compile(
    r"(?P<stop>[.!?…]++)"
    r"(?P<close>(?:\s?[)\]}]|[\"'”’»*_`]|\[[\d,–\- ]{1,20}\])*+)"
    r"(?P<space>\s*+)"
)
_NEXT = re.compile(r"(?:[\"'“‘«(\[{*_`]\s?)*+(?P<word>\S{0,30})")
_GLUED = re.compile(r"[A-Z][a-z]*\s")
_MIXED = re.compile(r"(?![qx]\d)[a-z]{1,4}-?[A-Z0-9]")
_MARKER = re.compile(r"[(\[]?(?:\d{1,3}|[A-Za-z]|[ivxIVX]{1,4})")
_CAPITALISED = re.compile(r"\b[A-Z][a-z]{2}")
_DOTTED = re.compile(r"(?:[A-Za-z]{1,2}\.\s?)+[A-Za-z]{1,2}")
_WINDOW = 48
_OPENERS = "\"'“‘«([{*_`/"
_CANNOT_START = frozenset(",;:.)]}%/&=")

# Written with this case, these never end a sentence ("MS." and "CA." do; "Ms." and "ca." do not).
_NEVER_LAST = frozenset(
    "Dr Drs Mr Mrs Ms Prof Rev St Mt vs Vs v.s e.g E.g eg i.e I.e ie cf Cf ca approx Approx viz Fig Figs fig "
    "figs Eq Eqs incl esp resp aka a.k.a".split()
)
# These belong to the number after them, and end a sentence before anything else.
_BEFORE_NUMBER = frozenset(
    "No Nos no nos Nr nr Exp p pp P PP vol Vol Ref Refs ref refs Sec sec Sect Chap chap Ch ch Art art ver Ver "
    "Suppl suppl Tab tab App app Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec".split()
)
# These end a sentence only if the next word is one that sentences begin with.
_SELDOM_LAST = frozenset("al Inc Ltd Corp Co Jr Sr Bros Dept dept Univ univ Ph.D".split())
# Only met before a lower-case word, in notes written without capitals.
_NOTE_ABBREVIATIONS = frozenset(
    "pt pts hx dx tx rx sx fx yr yrs wk wks mo mos hr hrs temp abd bilat prev poss prob susp hosp adm diff lt "
    "rt ant lat sup inf no nos dr vs approx ca cf etc incl esp resp al sp spp st".split()
)
_STARTERS = frozenset(
    "a after all although among an and as at because before both but conclusion conclusions despite during "
    "each finally findings for from furthermore given he her here his how however if in it its moreover most "
    "no none not of on only other our overall patients results several she since some such that the their "
    "then there therefore these they this those thus to two under until we what when where whereas whether "
    "which while with".split()
)
# A single letter after one of these is its name, not an initial: "vitamin C. Patients ...".
_NAMED_BY_LETTER = frozenset(
    "antigen appendix arm case category class cohort factor figure grade group hepatitis influenza level "
    "model panel part patient phase protein score serotype stage step strain table type vitamin".split()
)


def _blocks(text: str) -> Iterator[tuple[int, int, bool]]:
    """Yield the stretches that no sentence crosses, and whether each is a line that stands alone, one sentence."""
    start = end = 0
    for line in _LINE.finditer(text):
        blank = not line[0].strip()
        alone = not blank and _ALONE.match(line[0]) is not None
        if blank or alone or _BEGINS.match(line[0]):
            if end > start:
                yield start, end, False
            start = line.start()
        if blank or alone:
            if alone:
                yield *line.span(), True
            start = line.end()
        end = line.end()
    if end > start:
        yield start, end, False


def _can_start(word: str, lowercase: bool) -> bool:
    if not word:
        return False
    first = word[0]
    if first.islower():
        greek = "\u0370" <= first <= "\u03ff"
        return lowercase or greek or _MIXED.match(word) is not None
    return first not in _CANNOT_START


def _is_starter(word: str) -> bool:
    return word.rstrip(",:;.").lower() in _STARTERS


def _letter_goes_on(before: str, word: str) -> bool:
    """Whether a single letter with a stop is an initial or a genus: "J. Smith", "E. coli"."""
    return before.lower() not in _NAMED_BY_LETTER and not _is_starter(word)


def _goes_on(before: str, last: str, word: str, spaced: bool) -> bool:
    """Whether the stop after ``last`` belongs to it, so that the sentence goes on with ``word``."""
    if last in _NEVER_LAST:
        return True
    if last in _BEFORE_NUMBER and word[0].isdigit():
        return True
    if word[0].islower() and last.lower() in _NOTE_ABBREVIATIONS:
        return True
    if last.isdigit():
        decimal = spaced and word[0].isdigit() and len(last) <= 3
        return decimal or (len(last) <= 2 and before.endswith((":", ";")))
    if len(last) == 1 and last.isalpha():
        return _letter_goes_on(before, word)
    if last in _SELDOM_LAST:
        return not _is_starter(word)
    if _DOTTED.fullmatch(last):  # "U.S. Food" goes on, "20 mg b.i.d. Continue" does not
        return word[0].islower() or (last.isupper() and not _is_starter(word))
    return False


def _ends(text: str, start: int, stop: re.Match[str], lowercase: bool) -> bool:
    """Whether the sentence that began at ``start`` ends at this stop."""
    at = stop.start()
    window = text[max(start, at - _WINDOW) : at]
    if not any(map(str.isalnum, window)) or (at - start <= 5 and _MARKER.fullmatch(text, start, at)):
        return False
    words = window.split()
    last = words[-1].lstrip(_OPENERS)
    before = words[-2] if len(words) > 1 else ""
    if not stop["space"]:
        follows = not stop["close"] and stop["stop"] == "." and _GLUED.match(text, stop.end()) is not None
        return follows and len(last) > 3 and last.isalpha() and last.islower()
    following = _NEXT.match(text, stop.end())
    word = following["word"] if following else ""
    if not _can_start(word, lowercase):
        return False
    return stop["stop"] != "." or not _goes_on(before, last, word, spaced=window[-1].isspace())


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Find the sentences of a text.

    A sentence ends at a stop that is not part of an abbreviation, a number, an initial or a list marker; at a blank
    line; and before a list item or a report heading such as ``IMPRESSION:``. Markdown headings, table rows, rules and
    code fences stand alone. A single line break inside a paragraph ends nothing. A sentence may begin with a lower-case
    word only if it looks like a name (``p53``, ``mRNA``) or if the whole text has no capitalised word.

    Args:
        text: Any text, tokenised ("word . Next") or not.

    Returns:
        Half-open offsets in order, without white space at either end. They never overlap, and every character that is
        not white space is in one of them.
    """
    lowercase = _CAPITALISED.search(text) is None
    found: list[tuple[int, int]] = []
    for block_start, block_end, alone in _blocks(text):
        start, end = _trimmed(text, block_start, block_end)
        for stop in () if alone else _STOP.finditer(text, start, end):
            if stop.end() < end and _ends(text, start, stop, lowercase):
                found.append((start, stop.end("close")))
                start = stop.end()
        if end > start:
            found.append((start, end))
    return found
