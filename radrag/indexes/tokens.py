"""The biomedical tokenizer behind lexical search: names, numbers and compounds keep their meaning."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

VERSION = 1

_PART = r"(?:\d+(?:[.,]\d+)+|[^\W_]+)"
_SURFACE = re.compile(rf"{_PART}(?:[-‐‑–/'’]{_PART})*\+*")
_PARTS = re.compile(_PART)
_NUMBER_UNIT = re.compile(
    r"(\d+(?:\.\d+)?)(mg|kg|g|ug|mcg|ng|pg|ml|dl|l|mm|cm|m|mmol|mol|mci|mbq|gbq|msv|mgy|gy|h|hr|hrs|min|s|sec|ms|t|kv|kvp|"
    r"mas|iu|wk|wks|yo|y|yr|yrs|d|x)"
)
# A character with the marks that combine with it; a run that begins with ASCII. Only normalising them is compared.
_CLUSTER = re.compile(r"[\s\S][\u0300-\u036f]*")
_ASCII_RUN = re.compile(r"[\x00-\x7f][^\x00-\x7f]*|[^\x00-\x7f]+")
_POSSESSIVE = re.compile(r"['’][sS]$")
_PLURAL_ACRONYM = re.compile(r"[A-Z][A-Z0-9]+s")
_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta", "θ": "theta",
    "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "ο": "omicron", "π": "pi", "ρ": "rho",
    "σ": "sigma", "ς": "sigma", "τ": "tau", "υ": "upsilon", "φ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega",
}  # fmt: skip
_GREEK_TABLE = str.maketrans({**_GREEK, **{letter.upper(): name for letter, name in _GREEK.items() if letter != "ς"}})
_MICRO = re.compile(r"μ(?=(?:g|l|m|mol|M|L)\b)")
_SPARED_STEMS = frozenset({"covid", "news", "pus", "plus", "mass", "pelvis", "iris", "lens", "dens", "bias", "gas"})
STOPWORDS = frozenset(
    """a about after all also although am an and any are as at be because been before being between both but by can
    could did do does doing done during each either else for from further had has have having he her here hers him his
    how i if in into is it its itself just may me might more most must my nor of off on once only or other our ours out
    over own per same shall she should so some such than that the their theirs them then there therefore these they
    this those through thus to too under until up upon us use used using very via was we were what when where whether
    which while who whom whose why will with within would you your""".split()
)


def tokenize(text: str) -> list[str]:
    """Split a text into index terms.

    Case, accents of letters with a plain form in NFKC, and Greek letters are unified (``β`` is ``beta``). A hyphenated
    compound gives its joined form and its parts (``IL-6``: ``il6 il 6``); ``non-`` binds (``non-contrast`` is
    ``noncontrast`` only); a slash gives the parts. A charge is kept beside the bare form (``Ca2+``: ``ca2+ ca2``).
    Numbers keep their decimals and are split from units (``0.5mg``: ``0.5 mg``). Words are stemmed (Porter 2), but
    acronyms and anything with a digit are not. Function words are dropped unless written in capitals.

    Args:
        text: Any text.

    Returns:
        Terms in order, repeated as often as they occur.
    """
    text = _MICRO.sub("u", unicodedata.normalize("NFKC", text))
    if text.isupper() and text.count(" ") >= 3:
        text = text.lower()  # a shouted report: capitals say nothing about acronyms
    terms: list[str] = []
    for match in _surfaces(text):
        terms.extend(_terms(match[0]))
    return terms


def passage_terms(text: str) -> list[str]:
    """Return the index terms of a passage: those of ``tokenize``."""
    return tokenize(text)


def query_terms(text: str) -> list[str]:
    """Return the search terms of a question: those of ``tokenize``."""
    return tokenize(text)


def token_spans(text: str) -> list[tuple[str, int, int]]:
    """Split a text into the terms of ``tokenize``, each with where it stands.

    Args:
        text: Any text.

    Returns:
        Term, offset of the first character and offset after the last, in order; the terms of a compound share the
        offsets of the whole compound. A character that normalisation splits (``½``) belongs to a span whole.
    """
    plain = text.isascii() or unicodedata.is_normalized("NFKC", text)
    prepared = _MICRO.sub("u", text if plain else unicodedata.normalize("NFKC", text))
    starts, ends = (range(len(text)), range(1, len(text) + 1)) if plain else _origins(text)
    if prepared.isupper() and prepared.count(" ") >= 3:
        lowered = [place for place, char in enumerate(prepared) for _ in char.lower()]
        starts, ends = [starts[place] for place in lowered], [ends[place] for place in lowered]
        prepared = prepared.lower()
    found: list[tuple[str, int, int]] = []
    for match in _surfaces(prepared):
        first, last = match.span()
        found.extend((term, starts[first], ends[last - 1]) for term in _terms(match[0]))
    return found


def _origins(text: str) -> tuple[Sequence[int], Sequence[int]]:
    """Return for each character of the NFKC form the start and the end of the characters that it comes from."""
    whole = unicodedata.normalize("NFKC", text)
    for pieces in (_CLUSTER.findall(text), _ASCII_RUN.findall(text)):
        forms = [unicodedata.normalize("NFKC", piece) for piece in pieces]
        if "".join(forms) == whole:
            break  # normalising piece by piece changes nothing; ASCII never joins what stands before it
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    for piece, form in zip(pieces, forms, strict=True):
        starts.extend([at] * len(form))
        at += len(piece)
        ends.extend([at] * len(form))
    return starts, ends


@cache
def fingerprint() -> str:
    """Name this tokenizer's behaviour: changes whenever the same text may give other terms."""
    probe = "IL-6 β-blockers 0.5mg Ca2+ non-contrast COVID-19 AIDS aids vitamin A studies MRIs and/or Crohn's"
    return hashlib.sha256(f"{VERSION} {' '.join(tokenize(probe))}".encode()).hexdigest()[:16]


def _surfaces(text: str) -> list[re.Match[str]]:
    """Return words and compounds; a capital A or I only after a word of its phrase (``hepatitis A``, ``type I``)."""
    found = []
    previous_end = 0
    for match in _SURFACE.finditer(text):
        if match[0] not in ("A", "I") or (previous_end and text[previous_end : match.start()] in (" ", "-")):
            found.append(match)
        previous_end = match.end()
    return found


@lru_cache(maxsize=1 << 18)
def _terms(surface: str) -> tuple[str, ...]:
    bare = _POSSESSIVE.sub("", surface.rstrip("+"))
    parts = _PARTS.findall(bare)
    terms = _part_terms(parts[0]) if len(parts) == 1 else _compound_terms(bare, parts)
    if surface.endswith("+") and terms:
        terms = (terms[0] + "+", *terms)
    return terms


def _compound_terms(surface: str, parts: list[str]) -> tuple[str, ...]:
    if parts[0].lower() == "non":
        return (_stem("".join(parts)),)
    singles = tuple(term for part in parts for term in _part_terms(part))
    if any(mark in surface for mark in "'’/") or all(part[0].isdigit() and part[-1].isdigit() for part in parts):
        return singles
    return (_stem("".join(parts)), *singles)


def _part_terms(part: str) -> tuple[str, ...]:
    if part[0].isdigit():
        number = part.replace(",", "").lower()
        split = _NUMBER_UNIT.fullmatch(number)
        return split.groups() if split else (_plain(number),)
    if part.lower() in STOPWORDS and not (part.isupper() and part not in ("A", "I")) and part not in ("A", "I"):
        return ()
    return (_stem(part),)


def _stem(word: str) -> str:
    if _PLURAL_ACRONYM.fullmatch(word):
        word = word[:-1]
    lower = _plain(word)
    if any(ch.isdigit() for ch in lower) or (word.isupper() and len(word) <= 6) or lower in _SPARED_STEMS:
        return lower
    return str(_stemmer().stemWord(lower))


def _plain(word: str) -> str:
    return word.translate(_GREEK_TABLE).casefold()


@cache
def _stemmer() -> Any:
    import Stemmer

    return Stemmer.Stemmer("english", 0)
