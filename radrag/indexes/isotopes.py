"""Isotopes as they are written: ``F-18``, ``Tc-99m``, ``Tc99m``, ``131-I``, ``iodine-131``."""

from __future__ import annotations

import re

_BRACKETED = re.compile(r"\[?[\[(](\d{1,3}m?)[\])]?([A-Z][a-z]?)(?![a-z])[\])]?-?(.*)")
_JOINED = re.compile(r"([A-Za-z]{1,2})(\d{1,3}[mM]?)")
# Mass numbers of the isotopes used in medicine, by symbol, and the elements whose names are written with them.
_ISOTOPES = {
    "ac": "225", "at": "211", "c": "11 13 14", "co": "57 60", "cr": "51", "cs": "137", "cu": "64", "f": "18",
    "ga": "67 68", "h": "3", "ho": "166", "i": "123 124 125 131", "in": "111", "ir": "192", "kr": "81m", "lu": "177",
    "n": "13", "o": "15", "p": "32", "pb": "212", "ra": "223", "rb": "82", "re": "186 188", "sm": "153", "sr": "89 90",
    "tb": "161", "tc": "99m", "tl": "201", "xe": "133", "y": "90", "zr": "89",
}  # fmt: skip
_OTHERWISE = frozenset("chnop")  # H3 is a histone, P32 a protein, c-14 a carbon
_ELEMENTS = {
    "actinium": "ac", "carbon": "c", "cobalt": "co", "copper": "cu", "fluorine": "f", "gallium": "ga", "indium": "in",
    "iodine": "i", "lutetium": "lu", "radium": "ra", "rhenium": "re", "rubidium": "rb", "samarium": "sm",
    "strontium": "sr", "technetium": "tc", "thallium": "tl", "xenon": "xe", "yttrium": "y", "zirconium": "zr",
}  # fmt: skip


def unbracketed(surface: str) -> list[str]:
    """Take away the brackets of isotopes and of raised or lowered signs; cut at any others (``reported(12)``)."""
    if "(" not in surface and "[" not in surface:
        return [surface]
    isotope = _BRACKETED.fullmatch(surface)
    if isotope and isotope[1] in _ISOTOPES.get(isotope[2].lower(), "").split():
        return unbracketed("-".join(filter(None, (isotope[1] + isotope[2], isotope[3]))))
    letters = re.findall(r"[^\W\d_]+", surface.partition("(")[0])
    if surface[0] not in "[(" and letters and (len(letters[-1]) <= 2 or not letters[-1][1:].islower()):
        return [re.sub(r"[()+]", "", surface)]
    return [piece for piece in re.split(r"[\[\]()+]+", surface) if piece]


def isotope_first(parts: list[str]) -> list[str]:
    """Join mass number and element at the head of a compound: ``Tc-99m``, ``Tc99m``, ``131-I``, ``iodine-131``."""
    joined = _JOINED.fullmatch(parts[0]) if parts else None
    if joined and joined[1].lower() not in _OTHERWISE and (found := _isotope(joined[2], joined[1])):
        return [found, *parts[1:]]
    for mass, element in (parts[:2], parts[1::-1]) if len(parts) > 1 else ():
        if found := _isotope(mass, element):
            return [found, *parts[2:]]
    return parts


def _isotope(mass: str, element: str) -> str | None:
    lower = element.lower()
    symbol = _ELEMENTS.get(lower, lower if element[0].isupper() or lower not in _OTHERWISE else "")
    return mass.lower() + symbol.capitalize() if mass.lower() in _ISOTOPES.get(symbol, "").split() else None
