"""The biomedical tokenizer behind lexical search: names, numbers and compounds keep their meaning."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import TypeVar

from radrag.indexes.function_words import ASKING, STOPWORDS
from radrag.indexes.isotopes import isotope_first, unbracketed
from radrag.indexes.spelling import GREEK, plain, stem

T = TypeVar("T")
VERSION = 4

_GREEK_NAME = "alpha|beta|gamma|delta|epsilon|zeta|theta|kappa|lambda|sigma|omega"
_GREEK_LETTER = f"[{''.join(GREEK)}]"
# A thousands group after a plain space only if it begins with 0: "10 000" is one number, "12 345" may be two.
_PART = r"(?:\d{1,3}(?: 0\d\d(?!\d))+|\d+(?:[.,]\d+)+|[^\W_]+(?:(?<=\d)\.\d+)?)"
_INITIALS = r"(?:[A-Za-z]\.){1,3}[A-Za-z](?!\w)\.?"  # i.v., b.i.d.
_PARTS = re.compile(rf"\.\d+|{_PART}")
_SURFACE = re.compile(
    rf"(?:\[?[\[(]\d{{1,3}}m?[\])]?(?:[A-Z][a-z]?)?[\])]?-?(?=[A-Za-z]))?"  # a mass number: [18F]FDG, (99m)Tc-MDP
    rf"(?:(?<![\w.])(?:\.\d+|{_INITIALS})|{_PART})"
    rf"(?:[-‐–−/'’*](?:{_INITIALS}|{_PART})"
    rf"|\((?:\d\d?[a-z]?\+?|\+)\)(?:{_PART})?"  # what PubMed prints for a raised or lowered sign: H(2)O(2), CD4(+)
    rf"|(?:(?<=[A-Z0-9])|(?<=feron)) (?:{_GREEK_NAME}|{_GREEK_LETTER})\d?(?![a-z])(?: B\b)?|(?<=kappa) B\b)*\+*"
)
# What may matter together: a word with what follows it after one space, if that alone would be misread.
_CHUNK = re.compile(
    rf"\S+(?: (?:(?:{_GREEK_NAME}|{_GREEK_LETTER})\d?(?![a-z])(?: B\b)?|[AI]\b|(?<=kappa )B\b|0\d\d\b)\S*)*"
)
_AROUND = '.,;:!?()"%='
_KEPT = 1 << 19  # entries
_LONE = ("A", "I")
_NUMBER_UNIT = re.compile(
    r"(\d+(?:\.\d+)?)(mg|kg|g|ug|mcg|ng|pg|ml|dl|l|mm|cm|m|mmol|mol|mci|mbq|gbq|msv|mgy|gy|h|hr|hrs|min|s|sec|ms|t|kv|kvp|"
    r"mas|iu|wk|wks|yo|y|yr|yrs|d|x)"
)
_TIMES = re.compile(r"(\d*)x(\d.*)")  # 12x8mm, and what stands behind 3.5 in 3.5x2.1
_COUNTED = re.compile(
    r"(?:mg|kg|g|ug|mcg|ng|ml|dl|mm|cm|h|hr|min|wk|yr|years?|months?|weeks?|days?|hours?|minutes?|seconds?|fold|points?|"
    r"items?|steps?|ways?|stages?|levels?|arms?|doses?)",
    re.IGNORECASE,
)
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_NUMBERED = re.compile(r"(.*[^\W\d_][-‐–−]?)(\d+)")
_INSIDE_GREEK = re.compile(rf"(?<=[A-Z0-9])(?:{_GREEK_NAME})(?=[A-Z0-9]|$)|^(?:{_GREEK_NAME})(?=[A-Z0-9])")
_NFKB = re.compile(r"n-?f-?k-?b", re.IGNORECASE)
_SHARP_S = re.compile(r"(?<![^\W\d_A-Z])ß(?![a-z])")
_DOTTED = re.compile(rf"(?<!\w){_INITIALS}")
_CONTRACTION = re.compile(r"(?:n['’]t|['’](?:s|re|ve|ll))$", re.IGNORECASE)
_MICRO = re.compile(r"μ(?=(?:g|l|m|mol|M|L)\b)")
# Characters that print nothing, trade marks (NFKC makes letters of them), and thin or fixed spaces between thousands.
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff\u2120\u2122]|(?<=\\d)[\u00a0\u2009\u202f](?=\\d{3}(?!\\d))")
_RAISED = re.compile("(?<=\\d)(?=[¹²³⁰⁴-⁹¼-¾⅐-⅞])")  # 10⁹ is not 109, and 2½ not 21/2
# A character with the marks that combine with it; a run that begins with ASCII. Only normalising them is compared.
_CLUSTER = re.compile(r"[\s\S][\u0300-\u036f]*")
_ASCII_RUN = re.compile(r"[\x00-\x7f][^\x00-\x7f]*|[^\x00-\x7f]+")
# To be matched from the start, each first class skipped up to its first member: a search would take quadratic time.
_NAME = re.compile(r"[^A-Z]*[A-Z].*[A-Z0-9]|[^A-Za-z]*[A-Za-z].*\d|\D*\d.*[A-Za-z]")


def tokenize(text: str) -> list[str]:
    """Split a text into index terms.

    - Case, accents (``Sjögren``), ligatures, Greek letters (``β`` is ``beta``), invisible hyphens, British and American
      spelling, and common Latin plurals are unified. Words are stemmed (Porter 2); acronyms, anything with a digit,
      and what Porter 2 makes one with something else (``-itis``, ``several``, ``embolization``) are not.
    - A compound gives its joined form and its parts (``IL-6``: ``il6 il 6``), one of three parts or more also the
      neighbours joined if either is a name or number. ``TNF-α``, ``TNFα``, ``TNFalpha`` and ``TNF alpha`` are the same
      compound. ``non-`` binds to the next part. Both sides of a slash are read alone (``BRCA1/2``: ``brca1 brca2``).
    - A charge is kept beside the bare form (``Ca2+``, ``Ca(2+)``: ``ca2+ ca2``). Isotopes are one term (``F-18``,
      ``F18``, ``(18)F``: ``18f``), and so are initials (``i.v.``: ``iv``).
    - Numbers keep their decimals, lose thousands marks, and are split from units and powers (``0.5mg``: ``0.5 mg``).
    - Function words are dropped unless written in capitals; ``A`` and ``I`` only stand after a word of their phrase.

    Args:
        text: Any text.

    Returns:
        Terms in order, repeated as often as they occur.
    """
    terms = _BY_CHUNK
    return [term for chunk in _CHUNK.findall(_prepare(text)) for term in terms[chunk]]


def passage_terms(text: str) -> list[str]:
    """Return the terms to index a passage under: those of ``tokenize``, nothing more.

    Adding the long form at each later use of an abbreviation that the passage defines was measured and left out:
    nDCG@10 of BM25 rose on PubMedQA's development questions (.938 to .944) and fell on BioASQ 7b-8b (.805 to .796);
    once a passage, .943 and .801. The short form at each later use of the long form changed nothing (pool of 34,078
    documents). Documents cut into passages of three sentences, the long form once in each that has only the short one:
    .933 to .937 (difference -.001 to .009, n 500) and .8247 to .8243 (-.001 to .000, n 1,000).
    """
    return tokenize(text)


def query_terms(text: str) -> list[str]:
    """Return the terms to search a question by, each as often as it weighs.

    What only asks (``List``, ``Describe the mechanism of action of``) is dropped unless nothing else is left. A term
    stands there twice; one of a name (with a digit or a capital beyond the first letter, or capitalised inside the
    question) three times; a part of a compound once, for its joined form says more. So scores are about twice those of
    ``tokenize``, in another order.

    Args:
        text: A question, or words to search for.
    """
    return _weighed(ASKING.sub(" ", text)) or _weighed(text)


def _weighed(text: str) -> list[str]:
    terms: list[str] = []
    chunks = iter(_CHUNK.findall(_prepare(text)))
    for chunk in chunks:
        surfaces = [surface for surface, _, _ in _surfaces(chunk)]
        for place, surface in enumerate(surfaces):  # a capital says nothing at the head of a question
            terms.extend(_weights(surface, bool(_NAME.match(surface) or (place and surface[0].isupper()))))
        if surfaces:
            break
    weighed = _WEIGHED_BY_CHUNK
    for chunk in chunks:
        terms.extend(weighed[chunk])
    return terms


def _weights(surface: str, named: bool) -> Iterator[str]:
    for rank, term in enumerate(_BY_SURFACE[surface]):
        yield from [term] * (1 if rank else 3 if named else 2)


def token_spans(text: str) -> list[tuple[str, int, int]]:
    """Split a text into the terms of ``tokenize``, each with where it stands.

    Args:
        text: Any text.

    Returns:
        Term, offset of the first character and offset after the last, in order; the terms of a compound share the
        offsets of the whole compound. A character that normalisation splits (``½``) belongs to a span whole.
    """
    prepared = _normalise(text)
    plain = text.isascii() or prepared == text
    starts, ends = (range(len(text)), range(1, len(text) + 1)) if plain else _origins(text)
    shouted = _shouted(prepared)
    if plain and not shouted:
        return [
            (term, chunk.start() + start, chunk.start() + end)
            for chunk in _CHUNK.finditer(prepared)
            for term, start, end in _SPANS_BY_CHUNK[chunk[0]]
        ]
    if shouted:
        lowered = [place for place, char in enumerate(prepared) for _ in char.lower()]
        starts, ends = [starts[place] for place in lowered], [ends[place] for place in lowered]
        prepared = prepared.lower()
    return [
        (term, starts[first], ends[last - 1])
        for surface, first, last in _surfaces(prepared)
        for term in _BY_SURFACE[surface]
    ]


@cache
def fingerprint() -> str:
    """Name this tokenizer's behaviour: changes whenever the same text may give other terms."""
    probe = "IL-6 β-blockers 0.5mg Ca2+ non-contrast COVID-19 AIDS aids vitamin A studies MRIs and/or Crohn's"
    probe += " TNFα (18)F-FDG H(2)O(2) Sjögren oedema bacteria hepatitis 10 000 IL-6/8 anti-PD-1 NFkB"
    probe += " Tc99m i.v. toes gases"
    return hashlib.sha256(f"{VERSION} {' '.join(tokenize(probe))}".encode()).hexdigest()[:16]


def _prepare(text: str) -> str:
    text = _normalise(text)
    return text.lower() if _shouted(text) else text


def _normalise(text: str) -> str:
    if text.isascii():
        return text
    return _MICRO.sub("u", unicodedata.normalize("NFKC", _RAISED.sub("^", _INVISIBLE.sub("", text))))


def _shouted(text: str) -> bool:
    """Tell whether all is in capitals, so that they say nothing about acronyms."""
    return text.isupper() and text.count(" ") >= 3


def _origins(text: str) -> tuple[Sequence[int], Sequence[int]]:
    """Return for each character of the normal form the start and the end of the characters that it comes from."""
    dropped = {place for match in _INVISIBLE.finditer(text) for place in range(*match.span())}
    places = [place for place in range(len(text)) if place not in dropped]
    text = "".join(text[place] for place in places)
    raised = {match.start() for match in _RAISED.finditer(text)}
    if raised:
        places = [place for at, place in enumerate(places) for _ in range(1 + (at in raised))]
        text = _RAISED.sub("^", text)
    whole = unicodedata.normalize("NFKC", text)
    for pieces in (_CLUSTER.findall(text), _ASCII_RUN.findall(text)):
        forms = [unicodedata.normalize("NFKC", piece) for piece in pieces]
        if "".join(forms) == whole:
            break  # normalising piece by piece changes nothing; ASCII never joins what stands before it
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    for piece, form in zip(pieces, forms, strict=True):
        starts.extend([places[at]] * len(form))
        at += len(piece)
        ends.extend([places[at - 1] + 1] * len(form))
    return starts, ends


def _surfaces(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield words and compounds with their offsets; a capital A or I only after a word (``hepatitis A``)."""
    for chunk in _CHUNK.finditer(text):
        offset = chunk.start()
        previous_end = 0
        for match in _SURFACE.finditer(chunk[0]):
            start, end = match.span()
            if match[0] not in _LONE or (previous_end and chunk[0][previous_end:start] in (" ", "-")):
                yield match[0], offset + start, offset + end
            previous_end = end


class _Kept(dict[str, tuple[T, ...]]):
    """What a function makes of each text met, made when first asked for: far faster than a call for each."""

    def __init__(self, make: Callable[[str], tuple[T, ...]]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, text: str) -> tuple[T, ...]:
        if len(self) >= _KEPT:
            self.clear()
        self[text] = made = self._make(text)
        return made


def _surface_terms(surface: str) -> tuple[str, ...]:
    if surface[1:].islower() and surface.isalpha() and surface.isascii():
        return _part_terms(surface)  # nothing to take apart: most surfaces by far
    surface = _DOTTED.sub(_undotted, surface)
    charged = surface.endswith(("+", "+)"))
    terms = tuple(
        term for piece in unbracketed(surface.rstrip("+")) for side in _sides(piece) for term in _compound_terms(side)
    )
    return (terms[0] + "+", *terms) if charged and terms else terms


def _undotted(initials: re.Match[str]) -> str:
    letters = initials[0].replace(".", "")
    return "USA" if letters == "US" else letters  # US is ultrasound


def _sides(piece: str) -> Iterator[str]:
    """Yield what a slash separates, with the name repeated before a bare number (``BRCA1/2``)."""
    piece = _SHARP_S.sub("β", _CONTRACTION.sub("", piece))
    before = ""
    for side in piece.split("/"):
        numbered = _NUMBERED.fullmatch(before) if side.isdigit() else None
        if numbered and len(side) <= max(2, len(numbered[2])):
            side = numbered[1] + side
        yield side
        before = side


def _compound_terms(surface: str) -> tuple[str, ...]:
    if _NFKB.fullmatch(surface):
        surface = "NF-kappa-B"
    parts = isotope_first([name for part in _PARTS.findall(surface) for name in _greek_apart(part.replace(" ", ""))])
    if len(parts) > 1 and parts[0].lower() == "non":
        parts[:2] = ["".join(parts[:2])]
    singles = tuple(term for part in parts for term in _part_terms(part))
    if (
        len(parts) < 2
        or "'" in surface
        or "’" in surface
        or all(part[0].isdigit() and part[-1].isdigit() for part in parts)
    ):
        return singles
    if parts[0].replace(".", "").isdigit() and _COUNTED.fullmatch(parts[1]):
        return singles
    whole = "".join(parts)
    pairs = list(pairwise(parts)) if len(parts) > 2 else []
    named = [left + right for left, right in pairs if left in GREEK.values() or not (left + right).islower()]
    return (*(stem(joined.replace(",", "")) for joined in (whole, *named)), *singles)


def _greek_apart(part: str) -> list[str]:
    if not part.isascii():
        part = re.sub(f"({_GREEK_LETTER})", lambda found: f" {GREEK[found[1].lower()]} ", part, flags=re.IGNORECASE)
    return _INSIDE_GREEK.sub(lambda found: f" {found[0]} ", part).split()


def _part_terms(part: str) -> tuple[str, ...]:
    if part[0].isdigit() or part[0] == "." or _TIMES.fullmatch(part):
        return _number_terms(part.lower())
    if part.lower() in STOPWORDS and (part in _LONE) == part.isupper() and part not in _LONE:
        return ()
    return (stem(part),)


def _number_terms(number: str) -> tuple[str, ...]:
    if number[0] == ".":
        return ("0" + number,)
    if number == "99m":  # technetium 99m; nothing else has it
        return ("99mtc",)
    if _THOUSANDS.fullmatch(number):
        number = number.replace(",", "")
    elif number.startswith("0,"):
        number = number.replace(",", ".", 1)
    if "," in number:
        return tuple(term for piece in number.split(",") for term in _number_terms(piece))
    if times := _TIMES.fullmatch(number):
        return (*filter(None, (times[1], "x")), *_number_terms(times[2]))
    split = _NUMBER_UNIT.fullmatch(number)
    return (split[1], stem(split[2])) if split else (plain(number),)


def _chunk_terms(chunk: str) -> tuple[str, ...]:
    word = chunk.strip(_AROUND)
    if word.isalpha():
        return () if word in _LONE else _BY_SURFACE[word]
    return tuple(term for surface, _, _ in _surfaces(chunk) for term in _BY_SURFACE[surface])


def _chunk_weights(chunk: str) -> tuple[str, ...]:
    """Return the weighed terms of a chunk after the head of a question."""
    return tuple(
        term
        for surface, _, _ in _surfaces(chunk)
        for term in _weights(surface, bool(_NAME.match(surface) or surface[0].isupper()))
    )


def _chunk_spans(chunk: str) -> tuple[tuple[str, int, int], ...]:
    """Return the terms of a chunk with their offsets in it."""
    return tuple((term, start, end) for surface, start, end in _surfaces(chunk) for term in _BY_SURFACE[surface])


_BY_SURFACE = _Kept(_surface_terms)
_BY_CHUNK = _Kept(_chunk_terms)
_WEIGHED_BY_CHUNK = _Kept(_chunk_weights)
_SPANS_BY_CHUNK = _Kept(_chunk_spans)
