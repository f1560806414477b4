"""Patterns of addresses, facilities, employers and what stands before a place."""

from __future__ import annotations

import re

_CAP = r"[A-Z][\w'’&]{0,30}"  # without the hyphen, which is a separator: two ways to read it take exponential time
_NOUNS = (
    r"hospital|hosp|clinic|medical (?:center|centre|group|associates)|med\.? (?:center|ctr)|medical|health ?care"
    r"|health ?center"
    r"|health (?:center|centre|system|clinic|department)|health(?! (?:plan|insurance))|(?-i:Med)|cent(?:er|re)|ctr"
    r"|infirmary|institute|general|memorial|regional|imaging"
    r"|radiology|orthop(?:a)?edics|cardiology|oncology|pharmacy|drug(?:s|store)?|diagnostics|laborator(?:y|ies)"
    r"|labs?|hospice|rehab(?:ilitation)?"
    r"|nursing home|care home|assisted living|senior living|manor|convent|monastery|shelter|food bank|correctional"
    r" facility|prison|jail"
    r"|penitentiary|office|branch|facility|campus|location|practice|medicine|associates|partners|specialists"
    r"|physicians|surgery|icu|ed|er"
    r"|va|presbyterian|methodist|baptist|children['’]?s|memorial|surgical|dental|birth center|urgent care|county"
    r"|borough|township|motel|hotel|inn"
)
FACILITY = re.compile(
    rf"(?<![\w'’-])(?P<body>(?:(?:St\.|Mt\.|Ft\.|Univ\.|{_CAP})(?:['’]s)?,?(?:\s|-)(?:(?:of|and|&|the|de"
    rf"|la)\s){{0,2}}){{1,6}}?)"
    rf"(?P<noun>(?i:{_NOUNS}))\b\.?(?P<more>(?:\s(?:(?i:{_NOUNS}))\b\.?){{0,3}})"
    rf"(?P<tail>(?:\s(?:of|at|for)\s(?:the\s)?{_CAP}(?:\s{_CAP})?|\s(?-i:West|East|North|South|Main)\b|,?\s(?-i:PLLC"
    rf"|LLC|Inc|PC)\b\.?)?)"
)
LOWER_FACILITY = re.compile(
    r"\b(?:county|city|university|community|veterans|general|va|memorial|children['’]?s)\s(?:general\s"
    r"|memorial\s)?(?:hospital|med(?:ical)? center)\b",
    re.IGNORECASE,
)
SAINT = re.compile(
    r"\b(?:St\.?|Saint|Our Lady of|Santa|San)\s[A-Z][\w-]{2,20}(?:\s[A-Z][\w-]{2,20})?['’]s\b(?:\s(?i:hospital"
    r"|clinic|medical cent(?:er|re)|health|office))?"
)
COUNTY = re.compile(
    r"\b(?!The|This|Our|Each|Any|Another)[A-Z][a-z]{2,20}\s(?:County|Parish|Township)\b(?:\s(?:EMS|Jail|Sheriff"
    r"|Memorial|General)\b){0,2}"
)
DOCTORS_OFFICE = re.compile(
    r"\b(?:Dr|Dr\.|Doctor)\s[A-Z][\w'’-]{1,30}?(?:['’]s)\s(?i:office|clinic|practice|surgery|group)\b"
)
STRONG = re.compile(
    r"hospital|hosp|clinic|cent(?:er|re)|ctr|infirmary|\w+ (?:\w+ )*associates|county|imaging|pharmacy|orthop"
    r"|assisted|senior living|convent|surgery|hospice|p?llc|inc",
    re.IGNORECASE,
)
_STREET_NOUN = (
    r"(?:st|street|ave|avenue|rd|road|blvd|boulevard|ln|lane|dr|drive|ct|court|pl|place|way|ter|terrace|cir|circle"
    r"|pkwy|parkway"
    r"|hwy|highway|sq|square|trl|trail|loop|pike|row|close|crescent|mews|gardens|alley|plaza)\b\.?"
)
_UNIT = r"(?:,?\s(?:apt|apartment|unit|suite|ste|room|rm|floor|fl|bldg|lot|no\.?|#)\.?\s?#?[\w-]{1,6}\b)?"
STREET = re.compile(
    rf"(?<![\w.-])\d{{1,6}}[A-Za-z]?(?:-\d{{1,4}})?\s(?:[NSEW]{{1,2}}\.?\s)?(?:(?:(?:[A-Z]|St|Mt|Ft)\."
    rf"|[A-Z][\w'’-]{{0,25}}|\d{{1,3}}(?:st|nd|rd|th))\s){{1,4}}?(?!CT\b|DR\b|PL\b)(?i:{_STREET_NOUN}){_UNIT}"
)
NAMED_STREET = re.compile(
    rf"\b(?:corner of\s(?:\w+\sand\s\w+)|(?:on|off|near)\s(?P<street>(?:[A-Z]\w{{1,20}}\s){{1,3}}(?:near|and|&"
    rf"|at)\s(?:\w{{1,12}}\s){{0,2}}(?i:{_STREET_NOUN}))"
    rf"|(?:Route|Highway|Hwy|Rte|Interstate|County Road)\s\d{{1,4}}\b|(?<=on )[Ii]-\d{{1,3}}\b|(?<=near"
    rf" )[Ii]-\d{{1,3}}\b|(?<=off )[Ii]-\d{{1,3}}\b|\d{{1,3}}(?:st|nd|rd|th)\s(?:St|Street|Ave|Avenue)\b\.?)"
)
ON_STREET = re.compile(
    r"(?:[A-Z]\w{1,20}\s){1,3}(?:Rd|Road|Street|Avenue|Ave|Blvd|Lane|Hwy|Highway|Drive)\b\.?(?:,\s|\s)?"
)
BOX = re.compile(r"\bP\.?\s?O\.?\s?Box\s\d{1,8}\b", re.IGNORECASE)
ZIP = re.compile(
    r"(?:(?:\b(?-i:A[LKZR]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]"
    r"|UT|V[AT]|W[AIVY])"
    r",?\s+)|\bzip(?:\s?code)?[:\s]{1,3}|\bpost(?:al)?\s?code[:\s]{1,3})(?P<zip>\d{5}(?:-\d{4})?)(?![\w-])",
    re.IGNORECASE,
)
POSTCODES = re.compile(
    r"(?<![\w-])(?:(?:[A-Z]{1,2}\d[A-Z\d]?\s\d[ABD-HJLNP-UW-Z]{2})|[ABCEGHJ-NPRSTVXY]\d[A-Z]\s\d[A-Z]\d)(?![\w-])"
)
_LIVES = (
    r"\b(?:lives?|living|lived|resid(?:es|ed|ing)|resident|moved(?: here| back| away)?|relocated|born|raised|native"
    r"|originally|travel(?:s|ed|led|ing)?"
    r"|stay(?:s|ed|ing)|winters?|flight|flew|home|hometown|transferred|comes?|came|immigrated|emigrated|drives?"
    r"|based|now staying"
    r"|in custody|incarcerated|address(?: is)?)\s(?:\w+\s){0,2}?(?:in|at|from|to|of|near|on)\s(?:the\s|a\s|nearby\s)?"
)
_SEEN = r"\b(?:at|from|to|in|near|outside)\s(?:the\s|our\s|an?\s)?"
_RUN = (
    r"(?P<place>(?-i:[A-Z])[^\W\d_][\w'’-]{1,25}(?:[ -](?:(?:of|the|de|la|del|and|&|at"
    r"|in)\s){0,2}(?-i:[A-Z])[^\W\d_][\w'’-]{0,25}){0,4})"
)
CUED = [(0.75, re.compile(_LIVES + _RUN, re.IGNORECASE)), (0.55, re.compile(_SEEN + _RUN, re.IGNORECASE))]
ABODE = re.compile(
    rf"(?i:{_LIVES})(?P<place>\d{{1,6}}[A-Za-z]?\s[A-Z][\w'’-]{{1,25}}(?:\s(?:(?:de|la|le|du|des"
    rf"|del)\s){{0,2}}[A-Z][\w'’-]{{1,25}}){{0,3}})"
)
LOWER_NAMED = re.compile(
    r"\b(?:at|from|to|in)\s(?:the\s|our\s)?(?P<place>(?P<first>[a-z]{2,20})\s(?:[a-z]{2,20}\s){0,2}?(?:hospital"
    r"|clinic|medical center|med center|general|health|memorial))\b"
)
CUED_LOWER = re.compile(rf"(?i:{_LIVES})(?P<place>[a-z]{{4,20}})\b")
_SMALL_NOUN = (
    r"(?:\s(?:warehouse|plant|factory|bakery|store|school|assembly plant|mill|farm|office|restaurant|shop"
    r"|elementary|preschool)){0,2}"
)
EMPLOYER = re.compile(
    r"\b(?i:(?:work(?:s|ed|ing)?|employed|volunteers?|coworker|colleague|job|shift)(?:\s\w+){0,2}?\s(?:at|for|with"
    r"|by)|attend(?:s|ed|ing)|employee of|student at|attn hr,"
    r"|preschool at|school(?: at|:)|retired from|employer:?|drives? (?:a )?(?:truck|bus|cab) for|driver for|guard"
    r" (?:at|for)|teaches at|enrolled at|via"
    r"|spoke w/ \w+ at|home health:|manager \w+ \w+ at)\s+(?:the\s|a\s)?"
    r"(?P<place>[A-Z][^\W\d_][\w'’-]{0,25}(?:\s(?:of|the|at|and|&|on)\s[A-Z\d][\w'’-]{1,25}|\s[A-Z][\w'’-]{1,25}){0,5}"
    + _SMALL_NOUN
    + ")"
)
SCHOOL = re.compile(
    r"(?<![\w'’-])(?:[A-Z][\w'’-]{1,25}\s){1,4}(?:High School|HS|Elementary(?: School)?|Middle School|Primary(?:"
    r" School)?|Preschool|Academy|College|University"
    r"|Kindergarten|Day ?care)\b(?! (?:of|Hospital|Med|Clinic|Health))"
)
JOIN = re.compile(
    r"(?:\s#\d{1,6})?(?:,?\s(?:in\s|near\s|(?:room|rm|unit|apt|suite|bed|floor)\s?#?\w{1,5},?\s|[A-Z]\w{1,20}\s(?:&"
    r"|and)\s[A-Z]\w{1,20},\s)?|,|\s?/\s?)",
    re.IGNORECASE,
)
PREFIXED = re.compile(
    r"\b(?:University|Univ\.?|College)\sof\s(?:the\s)?[A-Z]\w{2,20}(?:\s(?:at\s)?[A-Z][a-z]{2,20}){0,2}|\b(?:Motel"
    r"|Hotel|Hospital|Clínica|Clinica|Hôpital|Casa|Villa|Convent|Fort|Camp)\s[A-Z][a-z]\w{1,20}|\bChildren['’]s of"
    r" [A-Z]\w{2,20}"
)
SITE = re.compile(
    r"\b(?:LOC|Loc|LOCATION|Location|Facility|FACILITY|Institution(?:Name)?|Site|SITE|From"
    r"|FROM):\s{1,3}(?P<place>[A-Z][\w'’&-]{1,25}(?:\s[A-Z][\w'’&-]{1,25}(?!:)){0,4})"
)
FIRMLY = re.compile(r"\b(?:in|from|near|lives|leaving|at|of)\s+$", re.IGNORECASE)
BEFORE = re.compile(
    r"(?:\b(?:in|from|near|at|to|of|our|the|at our|via|lives|visiting|left|leaving)|[,(/@-])\s*$", re.IGNORECASE
)
STATE = re.compile(
    r"(?:,\s?|\s)(?P<state>[A-Z][A-Za-z.]{1,9}(?:\s[A-Z][a-z]{3,11})?)(?:,?\s\d{5}(?:-\d{4})?)?(?![\w-])"
)
AT = re.compile(r"\b(?:at|to|from)\s(?:the\s|our\s)?$", re.IGNORECASE)
