"""Numbers of a text with their units, so that 12 months is one year, 0.5 g is 500 mg, and 3 mg is not 3 g."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_WORDS = {word: value for value, word in enumerate(_ONES)} | {word: 10 * n for n, word in enumerate(_TENS, start=2)}
_PARTS = {"half": 2, "halves": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "tenth": 10}
_WORD = rf"(?:{'|'.join(sorted(_WORDS, key=len, reverse=True))})"
_SPELT = rf"\b{_WORD}(?:-{_WORD})?(?: hundred(?: and {_WORD}(?:-{_WORD})?)?| thousand)?\b"
_DIGITS = r"(?<![\w.,·])(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:[.·]\d+)?|[.·]\d+)(?![.,·]?\d)"
_NUMBER = re.compile(rf"(?P<digits>{_DIGITS})|(?P<word>{_SPELT})", re.IGNORECASE)
_FRACTION = re.compile(
    rf"\b(?P<many>a|an|{_WORD})[ -](?P<part>half|quarter|third|fourth|fifth|sixth|tenth)s?\b"
    r"|\b(?P<half>half) (?=of\b|the\b|as\b)|\b(?P<quarter>quarter) of\b",
    re.IGNORECASE,
)
_OUT_OF = re.compile(rf"(?P<n>{_WORD}|\d+) (?:in|out of) (?:every )?(?P<of>{_WORD}|\d+)\b", re.IGNORECASE)
_RATIO = re.compile(r"(?<![\w./])(?P<n>\d+) ?/ ?(?P<of>\d+)(?![\w./])")
# Unit to dimension and how many of its base it holds.
_SIMPLE = {
    "kg": ("mass", 1e3), "g": ("mass", 1.0), "mg": ("mass", 1e-3), "mcg": ("mass", 1e-6), "ug": ("mass", 1e-6),
    "μg": ("mass", 1e-6), "ng": ("mass", 1e-9), "pg": ("mass", 1e-12), "gram": ("mass", 1.0),
    "l": ("volume", 1.0), "dl": ("volume", 0.1), "ml": ("volume", 1e-3), "cc": ("volume", 1e-3), "μl": ("volume", 1e-6),
    "litre": ("volume", 1.0), "liter": ("volume", 1.0), "m": ("length", 1.0), "cm": ("length", 1e-2),
    "mm": ("length", 1e-3), "μm": ("length", 1e-6), "nm": ("length", 1e-9), "km": ("length", 1e3),
    "s": ("time", 1.0), "sec": ("time", 1.0), "second": ("time", 1.0), "ms": ("time", 1e-3), "min": ("time", 60.0),
    "minute": ("time", 60.0), "h": ("time", 3600.0), "hr": ("time", 3600.0), "hour": ("time", 3600.0),
    "day": ("time", 86400.0), "week": ("time", 604800.0), "wk": ("time", 604800.0), "month": ("time", 2629800.0),
    "year": ("time", 31557600.0), "yr": ("time", 31557600.0), "gy": ("gray", 1.0), "mgy": ("gray", 1e-3),
    "cgy": ("gray", 1e-2), "sv": ("sievert", 1.0), "msv": ("sievert", 1e-3), "μsv": ("sievert", 1e-6),
    "mmol": ("amount", 1e-3), "mol": ("amount", 1.0), "μmol": ("amount", 1e-6), "nmol": ("amount", 1e-9),
    "iu": ("units", 1.0), "mmhg": ("pressure", 1.0), "kpa": ("pressure", 7.50062), "hz": ("frequency", 1.0),
    "khz": ("frequency", 1e3), "mhz": ("frequency", 1e6), "t": ("tesla", 1.0), "mbq": ("activity", 1.0),
    "gbq": ("activity", 1e3), "mci": ("activity", 37.0), "kv": ("voltage", 1.0), "kvp": ("voltage", 1.0),
    "°c": ("celsius", 1.0), "°f": ("fahrenheit", 1.0),
}  # fmt: skip
_LONG = "second|minute|hour|day|week|month|year|gram|litre|liter|yr|wk|hr|sec"
_NAMES = "|".join(sorted((re.escape(name) for name in _SIMPLE), key=len, reverse=True))
_ONE_UNIT = rf"(?:(?:{_LONG})s?|{_NAMES})(?![A-Za-z])"
_UNIT = re.compile(
    rf"[ -]?(?:(?P<percent>%|per ?cent\b)"
    rf"|(?P<unit>{_ONE_UNIT})(?P<per>(?:/|[ .]per[ .]|[.·]?(?=[a-z]+-1))(?:{_ONE_UNIT}))?)",
    re.IGNORECASE,
)
_SPREAD = re.compile(r"\s*(?:-|–|to|and|or|/|±|\+/-|\+/−|v|vs\.?|versus|against)\s*", re.IGNORECASE)
_BOUND = re.compile(
    r"(?:(?P<low><|≤|less than|below|under|fewer than|at most|up to|younger than|no more than)"
    r"|(?P<high>>|≥|more than|over|above|at least|older than|greater than|exceeding|no less than))\s*$",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    r"(?:about|around|roughly|some|nearly|almost|approximately|approx\.?|~|close to)\s*$", re.IGNORECASE
)
_MINUS = re.compile(r"(?:^|(?<!\d)\s|[(\[=<>≤≥,;:])[-−]$")  # before a number; "5 - 10" and "5-10" are ranges
_TOLERANCE = 0.08  # of a number said to be approximate, relative


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number as a text states it.

    Attributes:
        value: In the base unit of its dimension where the unit is known (g, l, m, s, ...), per cent as the number said.
        unit: Dimension such as ``"mass"`` or ``"mass/volume"``, ``"%"``, or "" for a bare number.
        start: Offset in the text.
        end: Offset after the digits or words.
        text: The number as written, with its unit.
        bound: ``"<"`` for an upper bound, ``">"`` for a lower one, "" for neither.
        rounding: How far off the number may be: half its last decimal place, in the base unit.
        stated: Whether it is a digit, not a word such as "two".
        loose: It says that it is approximate, or is a fraction in words.
    """

    value: float
    unit: str
    start: int
    end: int
    text: str
    bound: str = ""
    rounding: float = 0.0
    stated: bool = True
    loose: bool = False

    @property
    def plain(self) -> float:
        """The number as written, without its unit."""
        number = _NUMBER.search(self.text)
        return self.value if number is None else math.copysign(_number(number)[0], self.value)


def quantities(text: str) -> tuple[Quantity, ...]:
    """Find the numbers of a text, in order; "one" is left out, since it seldom counts."""
    found: list[Quantity] = []
    taken: list[tuple[int, int]] = []
    for made in (*_shares(text), *_ratios(text)):
        found.append(made)
        if made.end > made.start and not made.stated:
            taken.append((made.start, made.end))
    plain = [
        quantity
        for match in _NUMBER.finditer(text)
        if not any(low <= match.start() < high for low, high in taken) and (quantity := _plain(text, match)) is not None
    ]
    found += _with_shared_units(text, plain)
    return tuple(sorted(found, key=lambda one: (one.start, one.end)))


def matches(claim: Quantity, source: Quantity) -> bool:
    """Whether a source's number says what a claim's does, given units, rounding and what is called approximate."""
    if claim.bound and source.bound and claim.bound != source.bound:
        return False
    value = source.value
    if claim.unit != source.unit:
        scale = {("%", ""): 100.0, ("", "%"): 0.01}.get((claim.unit, source.unit))
        if scale is not None and min(claim.value, source.value) <= 1 and _near(claim, value * scale, scale):
            return True
        # A bare number may be the same in the unit of the other, but "type 2" is not 2%.
        return "%" not in (claim.unit, source.unit) and not (claim.unit and source.unit) and claim.plain == source.plain
    return _near(claim, value, 1.0)


def unit_conflict(claim: Quantity, sources: Sequence[Quantity]) -> bool:
    """Whether the same digits stand in the sources, but with another unit."""
    return any(
        claim.unit and one.unit and claim.plain == one.plain and not matches(claim, one) for one in sources
    ) and not any(matches(claim, one) for one in sources)


def bound_conflict(claim: Quantity, sources: Sequence[Quantity]) -> bool:
    """Whether the sources bound the same number from the other side: p < 0.05 against p > 0.05."""
    same = [one for one in sources if matches(replace(claim, bound=""), replace(one, bound=""))]
    return bool(claim.bound and same) and all(one.bound and one.bound != claim.bound for one in same)


def _near(claim: Quantity, value: float, scale: float) -> bool:
    allowed = claim.rounding * 1.001 * (1.0 if claim.stated else 0.0)
    if claim.loose:
        allowed = max(allowed, _TOLERANCE * abs(claim.value))
    return math.isclose(claim.value, value, rel_tol=1e-6, abs_tol=1e-12) or (
        abs(claim.value - value) <= allowed and scale > 0
    )


def _shares(text: str) -> list[Quantity]:
    """Find fractions in words: "a quarter", "four fifths", "nine in ten", "half of"."""
    found = []
    for match in _FRACTION.finditer(text):
        if match["half"] or match["quarter"]:
            share = 50.0 if match["half"] else 25.0
        else:
            many = 1 if match["many"].lower() in ("a", "an") else _WORDS[match["many"].lower()]
            share = 100.0 * many / _PARTS[match["part"].lower()]
        if re.match(r"\s*(?:a |an )?(?:year|hour|day|month|minute)", text[match.end() :]):
            continue
        found.append(Quantity(share, "%", *match.span(), match[0], stated=False, loose=True))
    for match in _OUT_OF.finditer(text):
        n, of = (_WORDS.get(match[part].lower()) or _int(match[part]) for part in ("n", "of"))
        if 0 < n < of and of in (2, 3, 4, 5, 6, 8, 10, 20, 100):
            found.append(Quantity(100.0 * n / of, "%", *match.span(), match[0], stated=False, loose=True))
    return found


def _ratios(text: str) -> list[Quantity]:
    """Return the share that a count such as 14/52 comes to; the counts themselves are found as numbers."""
    found = []
    for match in _RATIO.finditer(text):
        n, of = int(match["n"]), int(match["of"])
        if 0 <= n <= of and of > 1:
            found.append(Quantity(100.0 * n / of, "%", match.start(), match.start(), match[0]))
    return found


def _int(word: str) -> int:
    return int(word) if word.isdigit() else 0


def _number(match: re.Match[str]) -> tuple[float, float]:
    """Return value and half of the last decimal place."""
    if match["digits"]:
        digits = match["digits"].replace(",", "").replace("·", ".")
        return float(digits), 0.5 * 10.0 ** -len(digits.partition(".")[2])
    total = 0
    for word in re.split(r"[ -]", match["word"].lower()):
        if word in ("hundred", "thousand"):
            total *= 100 if word == "hundred" else 1000
        else:
            total += _WORDS.get(word, 0)
    return float(total), 0.0


def _plain(text: str, match: re.Match[str]) -> Quantity | None:
    value, half_place = _number(match)
    if match["word"] and value <= 1:
        return None
    start, end = match.span()
    if start and text[start - 1] == "-" and start > 1 and text[start - 2].isalpha():  # IL-6, COVID-19
        return None
    if _MINUS.search(text, 0, start):
        start, value = start - 1, -value
    before = text[max(0, start - 24) : start]
    bound = _BOUND.search(before)
    unit, factor, upto = _unit_at(text, end)
    return Quantity(
        value * factor, unit, start, end, text[start:upto],
        "" if bound is None else ("<" if bound["low"] else ">"),
        half_place * factor, bool(match["digits"]), bool(_ABOUT.search(before)),
    )  # fmt: skip


def _unit_at(text: str, end: int) -> tuple[str, float, int]:
    match = _UNIT.match(text, end)
    if match is None:
        return "", 1.0, end
    if match["percent"]:
        return "%", 1.0, match.end()
    dimension, factor = _simple(match["unit"])
    if match["per"]:
        below, divisor = _simple(re.sub(r"^[^A-Za-zμ]*(?:per[ .])?", "", match["per"]))
        return f"{dimension}/{below}", factor / divisor, match.end()
    return dimension, factor, match.end()


def _simple(name: str) -> tuple[str, float]:
    low = name.lower().replace("µ", "μ")
    return _SIMPLE.get(low) or _SIMPLE.get(low.rstrip("s"), ("", 1.0))


def _with_shared_units(text: str, found: list[Quantity]) -> list[Quantity]:
    """Give the first number of a range or a pair the unit of the second: "3 to 4 mm"."""
    made = list(found)
    for n in range(len(made) - 2, -1, -1):
        one, after = made[n], made[n + 1]
        between = text[one.end : after.start]
        if not one.unit and after.unit and one.stated and _SPREAD.fullmatch(between):
            ratio = after.value / after.plain if after.plain else 1.0
            made[n] = replace(one, value=one.value * ratio, unit=after.unit, rounding=one.rounding * ratio)
    return made
