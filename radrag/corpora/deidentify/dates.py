"""Dates finer than a year, and ages over 89.

A year alone, a weekday alone, a season, a clock time and "three days ago" stay. A holiday's name is a date.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from radrag.types.identifiers import Identifier, IdentifierKind

_MONTH = (
    r"(?:jan(?:uary)?|febr?(?:uary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_WEEKDAY = r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?\b\.?,?\s+)?"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?"
_YEAR = r"(?:(?:19|20)\d\d|['’]\d\d)(?!\d)"
_TIME = r"(?:[ T]\d{1,2}:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:?\d\d)?)?"
_ORDINALS = (
    r"(?:twenty[ -]|thirty[ -])?(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth"
    r"|thirteenth|fourteenth|fifteenth|sixteenth|seventeenth|eighteenth|nineteenth|twentieth|thirtieth)"
)
_SPOKEN_YEAR = r"(?:\s+(?:nineteen|twenty|two thousand)(?:[ -](?:and|hundred|oh|[a-z]{3,7}(?:teen|ty)?)){1,3})?"
_FULL_MONTH = r"(?:january|february|march|april|may|june|july|august|september|october|november|december)"


def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(r"(?<![\w/.-])" + pattern, re.IGNORECASE)


_WRITTEN = [
    _compile(
        rf"{_WEEKDAY}{_MONTH}\s*-?\s*{_DAY}(?:\s?[-–]\s?{_DAY}(?!\d))?(?!\d|[./:]\d|\s*(?:mg|mcg|mL|units?"
        rf"|%))(?:,?\s+(?:of\s+)?{_YEAR})?{_TIME}"
    ),
    _compile(rf"{_WEEKDAY}{_DAY}(?:\s+of)?[\s-]{{1,2}}{_MONTH}(?:[\s,-]{{1,2}}(?:{_YEAR}|\d\d(?!\d)))?{_TIME}"),
    re.compile(rf"(?<![\w/.]){_MONTH}[\s,/-]{{1,2}}(?:of\s+)?{_YEAR}", re.IGNORECASE),
    _compile(rf"(?:19|20)\d\d\s{_MONTH}\s{_DAY}(?!\d)"),
    _compile(r"\d{1,2}(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)(?:\d{2}|\d{4})(?!\w)"),
    _compile(r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\d{1,2},?\s?(?:19|20)\d\d(?!\d)"),
    _compile(rf"{_FULL_MONTH}\s+(?:the\s+)?{_ORDINALS}{_SPOKEN_YEAR}\b"),
    _compile(rf"{_ORDINALS}\s+of\s+{_FULL_MONTH}{_SPOKEN_YEAR}\b"),
]
_YEAR_FIRST = re.compile(rf"(?<![\w.-])((?:19|20)\d\d)([-/.])(\d{{1,2}})\2(\d{{1,2}})(?!\d){_TIME}")
_YEAR_LAST = re.compile(
    rf"(?<![\w.])(?<!\d[-/])(\d{{1,2}})([-/.])(\d{{1,2}})\2((?:19|20)?\d\d)(?![\d%]|[-/.]\d){_TIME}"
)
_RANGE = re.compile(r"(?<![\w./-])\d{1,2}/\d{1,2}(?:/\d{2,4})?\s?[-–]\s?\d{1,2}/\d{1,2}/(?:19|20)?\d\d(?![\w/-])")
_COMPACT = re.compile(r"(?<![\w.-])((?:19|20)\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?:\d{4}|\d{6})?(?![\w.-])")
_MONTH_YEAR = re.compile(r"(?<![\w./-])(0?[1-9]|1[0-2])[/-]((?:19|20)\d\d)(?![\w/-])")
_DAY_CUE = (
    r"(?:on|since|from|until|till?|thru|through|dated?|by|(?<!score )(?<!out )(?<!grade )(?<!ratio )(?<!total )of"
    r"|due|next|f/u|rtc|appt|appointment|labs|visit|seen|filled"
    r"|admit|dose|onset|injury|born|transfer(?:red)?|surg|op|admitted|discharged|d/c|d/c'd|started|stopped|removed"
    r"|placed|surgery|exam|biopsy|yesterday|today|tomorrow|wed"
    r"|mon|tues?|thu|thurs?|fri|sat|sun|monday|tuesday|wednesday|thursday|friday|saturday|sunday|before|after"
    r"|between|test|echo|ct|mri|xr|cxr|us|scan|lmp|edd|dob|back|expires?|exp|recheck|return|f/up|week)"
)
_DAY_MONTH = re.compile(
    rf"(?:(?<![\w']){_DAY_CUE}[,:)]?\s+\(?(?:(?:mon|tues?|wed|thu|thurs?|fri|sat|sun)(?:day)?\s+)?"
    rf"|^[ \t]*(?:[-*•]\s*)?)"
    r"((?:0?[1-9]|1[0-2])[/-](?:0?[1-9]|[12]\d|3[01]))(?![\w/%.-]*\d|-\w|/\w|\s*\(\d|\s*(?:strength|power|pain"
    r"|murmur|cores|nodes"
    r"|SEM|score|mg|mcg|mL|tabs?|tablets?|cm|mm|hours?|hrs?|days?|weeks?|wks?|months?|years?|positive|motor|bilat|in"
    r" all))",
    re.IGNORECASE | re.MULTILINE,
)
_DAY_AT = re.compile(r"(?<![\w/.-])(?:0?[1-9]|1[0-2])/(?:0?[1-9]|[12]\d|3[01])(?=\s(?:at|@)\s?\d{1,2}:?\d{2}\b)")
_BORN = re.compile(r"\b(?:dob|d\.o\.b\.?|birth ?date|date of birth)\W{1,4}(?P<month>\d{6}|\d{8})(?!\d)", re.IGNORECASE)
_DAY_AND_WEEKDAY = re.compile(
    r"\b(?:mon|tues?|wed|thu|thurs?|fri|sat|sun)(?:day)?\.?\s+\d{1,2}[/-]\d{1,2}\b(?!/)", re.IGNORECASE
)
_LONE_MONTH = re.compile(
    rf"(?:\b(?:in|since|until|till|by|during|before|after|from|through|last|next|this|of|and|or|early|late|mid)[ -])"
    rf"(?:(?:early|late|mid)[ -])?(?P<month>{_FULL_MONTH}|jan|feb|apr|jun|jul|aug|sept?|oct|nov|dec)\b(?!\s*(?:be\b"
    rf"|have\b|not\b))",
    re.IGNORECASE,
)
_HOLIDAY = re.compile(
    r"\b(?:christmas(?:\s+(?:eve|day))?(?!\s+(?:disease|factor|tree))|new\s+year['’]?s?(?:\s+(?:eve|day))|thanksgiving"
    r"|halloween|hallowe['’]en|easter(?:\s+(?:sunday|monday))?|good friday|independence day|(?:the\s+)?fourth of july"
    r"|labou?r day|memorial day|veterans day|presidents['’]? day|columbus day|valentine['’]?s day|mother['’]?s day"
    r"|father['’]?s day|boxing day|ramadan|eid al[- ](?:fitr|adha)|diwali|hanukkah|passover|yom kippur|rosh hashanah"
    r"|juneteenth|mardi gras|cinco de mayo|mlk day|groundhog day)\b",
    re.IGNORECASE,
)
_OLD = r"(?:9\d|1[01]\d)"
_OLD_SPOKEN = r"(?:ninety|(?:a |one )?hundred)(?:[ -](?:and[ -])?(?:one|two|three|four|five|six|seven|eight|nine|ten))?"
_AGES = [
    re.compile(rf"(?<![\w.-])({_OLD}[\s-]*(?:years?|yrs?|y)(?:[\s-]*(?:old|o|/o)\b|/o\b|\.o\.))", re.IGNORECASE),
    re.compile(rf"(?<![\w.-])({_OLD}[\s-]*y/?o)\b", re.IGNORECASE),
    re.compile(
        rf"\b(?:aged?|age is|age\s*[:=]|at age|age of|turned|turning)\s*({_OLD})\b(?!\s*(?:%|mg|mm|cm|days?|weeks?"
        rf"|months?))",
        re.IGNORECASE,
    ),
    re.compile(rf"(?<![\w.-])({_OLD})\s?(?:[MF]\b|(?:male|female|man|woman)\b)"),
    re.compile(rf"\b0?({_OLD})Y\b"),
    re.compile(rf"\b({_OLD_SPOKEN}[\s-]years?[\s-]old)\b", re.IGNORECASE),
    re.compile(rf"\b(?:died|passed(?: away)?|deceased|lived) (?:at|to(?: be)?) ({_OLD})\b(?!\s*(?:%|mg|mm|cm|days?))"),
]


def find_dates(text: str) -> Iterator[Identifier]:
    """Yield every date finer than a year, and every age over 89."""
    for found in (_written(text), _numeric(text), _loose(text)):
        for start, end, score, rule in found:
            yield Identifier(start, end, text[start:end], IdentifierKind.DATE, score, f"dates:{rule}")
    for pattern in _AGES:
        for match in pattern.finditer(text):
            start, end = match.span(1)
            yield Identifier(start, end, text[start:end], IdentifierKind.AGE, 0.95, "dates:age")


_Found = Iterator[tuple[int, int, float, str]]


def _written(text: str) -> _Found:
    for pattern in _WRITTEN:
        for match in pattern.finditer(text):
            yield match.start(), match.end(), 0.95, "written"
    for match in _HOLIDAY.finditer(text):
        yield match.start(), match.end(), 0.85, "holiday"


def _numeric(text: str) -> _Found:
    for match in _YEAR_FIRST.finditer(text):
        if int(match[3]) <= 12 and 1 <= int(match[4]) <= 31:
            yield match.start(), match.end(), 0.95, "numeric"
    for match in _YEAR_LAST.finditer(text):
        if _is_date(match):
            yield match.start(), match.end(), 0.95, "numeric"
    for match in _RANGE.finditer(text):
        yield match.start(), match.end(), 0.9, "range"
    for match in _COMPACT.finditer(text):
        yield match.start(), match.end(), 0.8, "compact"
    for match in _MONTH_YEAR.finditer(text):
        yield match.start(), match.end(), 0.9, "month and year"


def _is_date(match: re.Match[str]) -> bool:
    first, mark, second, year = int(match[1]), match[2], int(match[3]), match[4]
    if mark == "." and len(year) == 2 and not (len(match[1]) == len(match[3]) == 2):
        return False
    return 1 <= min(first, second) <= 12 and 1 <= max(first, second) <= 31


def _loose(text: str) -> _Found:
    for match in _DAY_MONTH.finditer(text):
        if "-" in match[1] and re.match(
            r"(?:of|by|exp|before|after|between|back|due|week|to)\b", match[0], re.IGNORECASE
        ):
            continue
        yield match.start(1), match.end(1), 0.6, "month and day"
    for match in _DAY_AND_WEEKDAY.finditer(text):
        yield match.start(), match.end(), 0.8, "weekday and day"
    for match in _DAY_AT.finditer(text):
        yield match.start(), match.end(), 0.8, "day and time"
    for match in _BORN.finditer(text):
        yield match.start("month"), match.end("month"), 0.96, "birth"
    for match in _LONE_MONTH.finditer(text):
        start, end = match.span("month")
        if match["month"].lower() not in ("may", "march") or match["month"][0].isupper():
            yield start, end, 0.7, "month"
        elif match["month"] == "march":
            yield start, end, 0.5, "month"
