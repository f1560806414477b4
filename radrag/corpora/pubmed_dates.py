"""The date of a PubMed record, as exactly as it is stated: every form of PubDate, ArticleDate and the history dates.

Forms as in https://www.nlm.nih.gov/bsd/licensee/elements_descriptions.html (PubDate, MedlineDate).
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterable
from xml.etree.ElementTree import Element

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_YEAR = re.compile(r"(?<!\d)(?:1[5-9]|20|21)\d\d(?!\d)")
_MONTH = re.compile(rf"\b({'|'.join(_MONTHS)})[a-z]*\.?(?:\s+(\d{{1,2}})(?!\d))?", re.IGNORECASE)


def _text(date: Element, tag: str) -> str:
    return " ".join("".join(child.itertext()) for child in date.iterfind(tag)).strip()


def _number(text: str, most: int) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and 1 <= int(text) <= most else None


def _month(text: str) -> int | None:
    name = text[:3].lower()
    return _MONTHS.index(name) + 1 if name in _MONTHS else _number(text, 12)


def _iso(year: str, month: int | None, day: int | None) -> str:
    if month is None:
        return year
    if day is None or day > monthrange(int(year), month)[1]:
        return f"{year}-{month:02d}"
    return f"{year}-{month:02d}-{day:02d}"


def _in_words(text: str) -> str:
    """Return where a MedlineDate begins: "1998 Dec-1999 Jan" is 1998-12, "Spring 2000" is 2000."""
    year, month = _YEAR.search(text), _MONTH.search(text)
    if year is None:
        return ""
    later = _YEAR.search(text, year.end())
    if month is None or (later is not None and month.start() > later.start()):
        return year[0]
    return _iso(year[0], _month(month[1]), _number(month[2] or "", 31))


def stated_date(dates: Iterable[Element | None]) -> str:
    """Return the first date that states a year, as much of YYYY-MM-DD as it states; "" if none does.

    Args:
        dates: Elements with ``Year``, ``Month`` and ``Day``, or with ``MedlineDate``, the preferred first.
    """
    for date in dates:
        if date is None:
            continue
        year = _YEAR.search(_text(date, "Year"))
        if year:
            return _iso(year[0], _month(_text(date, "Month")), _number(_text(date, "Day"), 31))
        if found := _in_words(_text(date, "MedlineDate")):
            return found
    return ""
