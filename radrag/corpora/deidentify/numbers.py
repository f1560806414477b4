"""Numbers and addresses of machines: telephone, records, plans, accounts, licences, devices, web, and the rest.

A number is known by the word before it, by its shape, or, where it is long, by being there at all.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from radrag.types.identifiers import Identifier, IdentifierKind

_K = IdentifierKind
_VALUE = (
    r"(?P<value>#?[ ]?(?-i:(?!ID |NO |IS |NUM )[A-Z]{2,5}[ ])?(?=[\w/-]{0,24}\d)[A-Za-z0-9](?:\w"
    r"|[-/](?=\w)){1,29}(?:[ ]\d{2,6}(?![\w%]|[/.:-]\d|[ ]?(?:m[gl]|y)))"
    r"{0,3})"
)
_LINK = (
    r"(?:[ \t]*(?:numbers?|num\b|nos?\b\.?|nr\b\.?|id\b|code\b|is\b|was\b|reads\b|last four|last 4|ending|[:#=]"
    r"|['’]s\b)){0,5}[ \t]*"
)
_LABELS: list[tuple[IdentifierKind, float, str]] = [
    (_K.SSN, 0.97, r"ssn|ss#|social security|soc(?:ial)? sec"),
    (
        _K.MRN,
        0.97,
        r"mrn?|m\.?r\.?n\.?|med(?:ical)?\.?\s+rec(?:ord)?s?|emr|ehr|hosp(?:ital)?(?=\s*(?:#|no|num))|unit(?=\s*(?:#"
        r"|no))"
        r"|patient\s*id(?:entifier)?|mrnumber|pt\.?\s*id|chart|nhs|chi(?=\s*(?:no|num|#))|empi|(?:patient"
        r"|pt)\.?\s*(?=#|no\b|num|code)|urn",
    ),
    (
        _K.HEALTH_PLAN,
        0.95,
        r"(?:health\s*plan|health insurance|insurance|insurer|ins|plan|policy|member(?:ship)?|subscriber|beneficiary"
        r"|group|payer"
        r"|medicare|medicaid|medi-cal|tricare|mbi|hicn|rxbin|rxgrp|coverage|prior auth(?:orization)?"
        r"|auth(?:orization)?)"
        r"(?:\s+(?:health|plan|policy|member|subscriber|beneficiary|card|group|includes|number|id)){0,3}",
    ),
    (
        _K.ACCOUNT,
        0.93,
        r"acct|account|claim|invoice|billing|guarantor|card(?:\s+ending)?|routing|iban|tin|tax\s*id|ein"
        r"|bank\s+acc(?:oun)?t",
    ),
    (
        _K.VEHICLE,
        0.94,
        r"vin|(?:licen[cs]e\s+)?plates?|license tag|vehicle|(?<=, )licen[cs]e(?=\s+\d[A-Z])",
    ),
    (
        _K.LICENCE,
        0.92,
        r"npi|dea|cdl|driver'?s?\s+licen[cs]e|(?-i:DL)|licen[cs]e|lic|badge|certificate|cert|registration|reg\b\.?"
        r"|clia|gmc|nmc|imc"
        r"|upin|board",
    ),
    (
        _K.DEVICE,
        0.92,
        r"serial|deviceserialnumber|s/n|sn|lot|udi|device|scope|imei|mac(?:\s+address)?|implant\s+id|pump|transmitter",
    ),
    (
        _K.BIOMETRIC,
        0.9,
        r"(?:fingerprint|afis|iris|retina(?:l)?|voiceprint|palm|face|facial|biometric|dna)(?:\s+(?:print|scan|match"
        r"|profile|enrolled|for|kiosk|template|id)){0,4}",
    ),
    (
        _K.OTHER,
        0.9,
        r"accession|accessionnumber|acc|case|req(?:uisition)?|order|specimen|sample|stud(?:y|ies)\s*(?:id|uid"
        r"|instance\s*uid)|uid|encounter|csn"
        r"|visit|incident|ref(?:erence)?|confirmation|rx|prescription|script|band|employee|student|passport|inmate"
        r"|tribal|donor"
        r"|ticket|run|screen|interpreter|record|file|user(?:name|\s+id)?|login|skype|mychart|handle|tracking|barcode"
        r"|urn|doc(?:ument)?|identifier|id|tag|token|unos|fin|har",
    ),
]
_LABELLED = [
    (kind, score, re.compile(rf"(?<![A-Za-z/])(?:{label})\b{_LINK}{_VALUE}", re.IGNORECASE))
    for kind, score, label in _LABELS
]
_WEAK = frozenset(
    "case order acc visit req ref sample run screen band study file doc tag lot group plan card pump board lic reg"
    " cert chart rx"
    " coverage face dna claim vehicle record script incident iris retina retinal palm device scope implant"
    " interpreter unit ins"
    " id sn tin acct account policy member medicare medicaid auth specimen encounter ticket document donor student"
    " employee".split()
)
_YEARS = re.compile(r"(?:19|20)\d\d(?:-(?:19|20)?\d\d)?")
_UNITS = re.compile(
    r"\s?(?:mg|mcg|ug|µg|g|kg|m[lL]|L|dL|mm|cm|m|%|units?|IU|mEq|mmol|Hz|kV|mA|mGy|mCi|MBq|Gy|HU|ng|pg|bpm|mmHg"
    r"|days?|hours?|hrs?"
    r"|weeks?|wks?|months?|years?|yrs?|yo|minutes?|mins?|sec|ms|x|times|of|patients?|cases|views?|phases?|tabs?"
    r"|copies)\b",
)
_AREA = r"(?:\(\d{3}\)[ .-]?|\d{3}[ ./-])"
_EXT = r"(?:,?[ ]?(?:x|ext\.?|extension)[ ]?\d{1,6})?"
_PHONES = [
    (0.94, re.compile(rf"(?<![\w.-])(?:\+?1[ .-]?)?{_AREA}\d{{3}}[ .-]?\d{{4}}(?![\w-]){_EXT}", re.IGNORECASE)),
    (0.94, re.compile(r"(?<![\w.])\+\d{1,3}(?:[ .-]?\(?\d{1,4}\)?){2,6}(?!\w)")),
    (0.9, re.compile(r"(?<![\w.-])0\d{2,4}[ -]\d{3,4}[ -]?\d{3,4}(?![\w-])")),
    (0.9, re.compile(r"(?<!\w)(?:ext\.?|extension|pager|beeper)[ ]?[:#]?[ ]?(?P<value>\d{3,6})(?!\w)", re.IGNORECASE)),
    (0.85, re.compile(r"(?<![\w])x\d{4,6}(?!\w)")),
    (
        0.92,
        re.compile(
            r"\b(?:phone|ph|tel|telephone|cell|mobile|call(?:back)?|contact|pager|reach(?:ed)?|fax|number|home|work"
            r"|dial|at|#)"
            r"(?:[ ]?(?:number|no\.?|is|at|her|him|them|me|on"
            r"|[:#])){0,4}[ ]?(?P<value>\(?\d{3}\)?[ .-]?\d{3}[ .-]?\d{4}|\d{3}[.-]\d{4})(?![\w-])",
            re.IGNORECASE,
        ),
    ),
]
_SSN = re.compile(r"(?<![\w-])(?:\d{3}|[*xX]{3})[- ](?:\d{2}|[*xX]{2})[- ]\d{4}(?![\w-])")
_EMAIL = re.compile(r"[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}")
_URL = re.compile(
    r"(?<![\w@.-])(?:(?:https?|ftp)://[^\s<>\"']{1,300}|www\.[^\s<>\"']{1,300}"
    r"|(?:[a-z0-9-]{1,40}\.){1,4}(?:com|org|net|edu|gov|io|info|health|example|co\.uk|ac\.uk|nhs\.uk|de|fr|ca"
    r"|au)\b(?:/[^\s<>\"']{0,200})?)",
    re.IGNORECASE,
)
_PHOTO = re.compile(
    r"(?:https?://)?[\w./:%?=&~+-]{1,200}\.(?:jpe?g|png|gif|tiff?|bmp|heic|webp|mp4|mov|avi|dcm|mp3|wav|m4a)(?![\w])",
    re.IGNORECASE,
)
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])")
_SPOKEN = r"(?:double |triple )?(?:zero|oh|one|two|three|four|five|six|seven|eight|nine|\d)"
_SHAPES = [
    (
        _K.VEHICLE,
        0.9,
        "vin",
        re.compile(r"(?<!\w)(?=[A-Z0-9]{0,16}\d)(?=[A-Z0-9]{0,16}[A-Z])[A-HJ-NPR-Z0-9]{17}(?!\w)"),
    ),
    (_K.DEVICE, 0.9, "mac", re.compile(r"(?<![\w:])[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}(?![\w:])")),
    (_K.DEVICE, 0.93, "udi", re.compile(r"\(01\)\d{14}(?:\(\d{2}\)[\w-]{1,20}){0,4}")),
    (_K.DEVICE, 0.9, "serial", re.compile(r"(?<=S/N )[\w.-]{5,30}(?<![.-])|(?<=serial )\d[\w.-]{5,30}(?<![.-])")),
    (_K.OTHER, 0.7, "handle", re.compile(r"(?<![\w.@])@[A-Za-z]\w{2,30}(?!\w)")),
    (_K.OTHER, 0.75, "spoken", re.compile(rf"\b{_SPOKEN}(?:[ ,-]{{1,2}}{_SPOKEN}){{4,19}}\b", re.IGNORECASE)),
    (_K.OTHER, 0.9, "uid", re.compile(r"(?<![\w.])\d{1,20}(?:\.\d{1,39}){5,20}(?![\w.])")),
    (_K.HEALTH_PLAN, 0.85, "mbi", re.compile(r"(?<!\w)[1-9][A-Z][A-Z0-9]\d-?[A-Z][A-Z0-9]\d-?[A-Z]{2}\d{2}(?!\w)")),
    (_K.OTHER, 0.7, "long number", re.compile(r"(?<![\w.,/-])\d{8,20}(?![\w.,/-]?\d|\w)")),
    (_K.OTHER, 0.7, "letters and digits", re.compile(r"(?<![\w.-])[A-Z]{1,6}-?\d{5,15}[A-Z]{0,4}(?!\w)")),
    (_K.OTHER, 0.65, "digits and letters", re.compile(r"(?<![\w.-])\d{4,12}-?[A-Z]{2,5}(?!\w)")),
    (_K.OTHER, 0.65, "numbered", re.compile(r"(?<![\w])#[ ]?\d[\d-]{3,14}\d(?!\w)")),
    (
        _K.OTHER,
        0.6,
        "spaced",
        re.compile(
            r"(?<![\w.-])(?!MRN?|NPI|DEA|SSN|ID|NO|ACCT|ACC|DOB|VIN|SN|REG|LIC|CHI|FAX|TEL|PH|CELL|IMC|GMC|NHS|TIN"
            r"|PIN|REF|CSN|RX)[A-Z]{2,5} \d{6,12}(?![\w.,/-]?\d|\w)"
        ),
    ),
    (_K.OTHER, 0.6, "hyphened", re.compile(r"(?<![\w.,/+-])[A-Z]{1,6}-\d{2,6}-\d{3,10}(?![\w-])")),
]
_PUBLIC = re.compile(
    r"(?:PMID|PMC|NCT|ISRCTN|doi|CPT|ICD(?:-\d+)?|LOINC|SNOMED|RxNorm|EudraCT|ChiCTR|CRD|HCPCS|NDC)[ :#-]*$",
    re.IGNORECASE,
)
_PUBLIC_SHAPE = re.compile(r"(?:NCT|ISRCTN|PMC|PMID|CRD|ACTRN|EUCTR|SNOMED|CPT|NDC)[- ]?\d+$", re.IGNORECASE)
_TRAIL = ".,;:!?)]}>'\"’”"


def find_numbers(text: str) -> Iterator[Identifier]:
    """Yield every number and machine address that identifies somebody."""
    yield from _labelled(text)
    yield from _phones(text)
    yield from _web(text)
    yield from _shapes(text)


def _make(text: str, start: int, end: int, kind: IdentifierKind, score: float, rule: str) -> Identifier:
    return Identifier(start, end, text[start:end], kind, score, f"numbers:{rule}")


def _labelled(text: str) -> Iterator[Identifier]:
    for kind, score, pattern in _LABELLED:
        for match in pattern.finditer(text):
            start, end = match.span("value")
            while start < end and text[start] == " ":
                start += 1
            if _believable(text, match, start, end):
                start -= text[start - 1] == "#"
                yield _make(text, start, end, kind, score, "labelled")


def _believable(text: str, match: re.Match[str], start: int, end: int) -> bool:
    value, before = text[start:end], text[match.start() : start]
    digits = sum(character.isdigit() for character in value)
    label = re.match(r"[A-Za-z-]+", before)
    if _UNITS.match(text, end) and not value[-1].isalpha():
        return False
    if re.match(r"[.,]\d", text[end : end + 2]) or (_YEARS.fullmatch(value) and "#" not in before):
        return False
    weak = label is not None and label[0].lower() in _WEAK
    marked = bool(re.search(r"[#:=]|\b(?:no|number|num|id|code|ending|is)\b", before, re.IGNORECASE)) or value[0] == "#"
    if weak and not marked:
        return digits >= 4 or (digits >= 2 and bool(re.search(r"[A-Z]", value)) and len(value) >= 5)
    return digits >= (3 if weak and len(value) < 5 else 2)


def _phones(text: str) -> Iterator[Identifier]:
    for score, pattern in _PHONES:
        for match in pattern.finditer(text):
            start, end = match.span("value") if "value" in pattern.groupindex else match.span()
            fax = re.search(r"\bfax|\bf[:.]\s*$", text[max(0, match.start() - 16) : start], re.IGNORECASE)
            yield _make(text, start, end, _K.FAX if fax else _K.PHONE, score, "phone")
    for match in _SSN.finditer(text):
        yield _make(text, match.start(), match.end(), _K.SSN, 0.9, "ssn")


def _web(text: str) -> Iterator[Identifier]:
    for kind, pattern, score in ((_K.EMAIL, _EMAIL, 0.98), (_K.PHOTO, _PHOTO, 0.985), (_K.URL, _URL, 0.97)):
        for match in pattern.finditer(text):
            end = match.start() + len(match[0].rstrip(_TRAIL))
            yield _make(text, match.start(), end, kind, score, str(kind))
    for pattern in (_IPV4, _IPV6):
        for match in pattern.finditer(text):
            if _is_address(match[0]):
                yield _make(text, match.start(), match.end(), _K.IP, 0.93, "ip")


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return value.count(":") == 7 or "." in value or (len(value) >= 6 and any(c.isdigit() for c in value))


def _shapes(text: str) -> Iterator[Identifier]:
    for kind, score, rule, pattern in _SHAPES:
        for match in pattern.finditer(text):
            public = _PUBLIC.search(text[max(0, match.start() - 16) : match.start()]) or _PUBLIC_SHAPE.match(match[0])
            if not public and not _UNITS.match(text, match.end()):
                yield _make(text, match.start(), match.end(), kind, score, rule)
