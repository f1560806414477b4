"""Patterns of what stands before, inside and after a name."""

from __future__ import annotations

import re

_TITLES = (
    r"dr|drs|mr|mrs|ms|miss|mx|prof|professor|doctor|nurse|officer|ofc|det|detective|sgt|sergeant|lt|capt|captain"
    r"|rev|reverend|fr|father"
    r"|sister|brother|pastor|rabbi|imam|coach|midwife|judge|sir|dame|np|crna|señora?|sra?|mme|herr|frau"
)
_LABELS = (
    r"(?:patient|pt|client|member|subscriber|resident|caller|insured|guarantor|guardian|mother|father|baby(?: girl|"
    r" boy)?|beneficiary)(?:['’]s)?\s*name"
    r"|patientname|referringphysicianname|operatorsname|(?:first|last|full|maiden|preferred|legal)\s+name|name"
    r"|patient|pt|client|caller|attending"
    r"|surgeon|assistant|anesthesi(?:a|ologist)|radiologist|pathologist|sonographer|technologist|tech|interpreter"
    r"|prescriber|provider|physician|resident"
    r"|fellow|referring(?:\s+(?:provider|physician|md|doctor))?|ordering(?:\s+(?:provider|physician|md))?|submitting"
    r"|ordered|requesting|pcp|primary care|neurosurg"
    r"|endo|case manager|supervisor|member|subscriber|contact|emergency contact|emergency|next of kin|nok|spouse|poa"
    r"|hcp|re|ref|attn|to|from|cc|dear|author|signed"
    r"|dictated|transcribed|read|hx|patient of|family of|baby girl|baby boy|twin [ab]|accepting|hcpoa"
)
_BY = (
    r"(?:seen|signed|dictated|transcribed|read|reviewed|treated|evaluated|examined|managed|followed|referred|ref"
    r"|performed|interpreted|ordered|diagnosed|dx['’]?d"
    r"|called|phoned|excised|placed|given|drawn|verified|witnessed|supervised|attended|biopsy|egd|report(?:ed)?"
    r"|requested|accompanied|wle|operated|inserted|procedure)"
    r"\s+(?:in\s+\w+\s+)?by"
)
_TO = (
    r"discussed with|d/w|spoke(?:n)? (?:with|w/|to)|spoke w|called to|phoned to|communicated to|conveyed to|reported"
    r" to|routed to|report given to|given to"
    r"|faxed to|referred to|reviewed with|seen w/|seen with|lumpectomy with|surgery with|ralp w/|or w/|consult"
    r" (?:requested by|for)|appointment with|appt with"
    r"|read back by|follow up with|f/u with|f/u w/|under the care of|under|care of|c/o dr|asked for|call from"
    r"|callback from|fragments to|drawing|assisted by"
)
_NAMED = (
    r"named|known as|called|name is|my name is|this is|goes by|prefers|id['’]d as|identified as|i am|i['’]m|its"
    r"|it['’]s|aka|a\.k\.a\.|patient is|pt is|poa is|dpoa"
    r"|patients? like|cases? like|similar to|notes for|details for|cases? of|thx|thanks|regards,?|sincerely,?|kind"
    r" regards,?|love,?|old patient of|on behalf of|initial(?:ed|s)"
)
_RELATIONS = (
    r"wife|husband|son|daughter|mother|father|mom|mum|dad|brother|sister|partner|spouse|aunt|uncle|niece|nephew"
    r"|grandson|granddaughter|grandmother|grandfather"
    r"|sis|bro|gma|gpa|grandma|grandpa|mommy|daddy|stepdad|stepmom|bf|gf|ex|boss|landlord|employer|cousin"
    r"|fianc[eé]e?|girlfriend|boyfriend|friend|neighbou?r|roommate|coworker|caregiver|guardian|twin|stepson"
    r"|stepdaughter|stepmother|stepfather|child|baby"
)
_PERSON = (
    r"(?:(?:male|female|man|woman|lady|gentleman|boy|girl|patient|pt|m|f|yo|y/o|y\.o\.|widow|widower|child|infant)\b)"
)
CUES = [
    (3, "title", re.compile(rf"\b(?:{_TITLES})\b(?:\.\s*|\s+)", re.IGNORECASE)),
    (
        3,
        "label",
        re.compile(rf"(?:(?<=\W)|^)(?:{_LABELS})\s*(?:\([^)\n]{{0,20}}\)\s*)?:\s*", re.IGNORECASE | re.MULTILINE),
    ),
    (
        2,
        "label",
        re.compile(
            r"\b(?:patient name|pt name|patient|pt|dear|client|family of|pcp|re|old patient of|baby girl|baby boy"
            r"|twin [ab])\s+",
            re.IGNORECASE,
        ),
    ),
    (
        2,
        "role",
        re.compile(
            r"\b(?:tech|technologist|prescriber|surgeon|attending|sonographer|interpreter|supervisor|radiologist"
            r"|chaplain|aide|hygienist|rn|lpn|cna|(?-i:MA|PA)|emt|pharmd|per)\s+(?=(?-i:[A-Z]))",
            re.IGNORECASE,
        ),
    ),
    (2, "by", re.compile(rf"\b(?:{_BY}|{_TO})\s+", re.IGNORECASE)),
    (2, "named", re.compile(rf"\b(?:{_NAMED})\s+", re.IGNORECASE)),
    (2, "relation", re.compile(rf"\b(?:{_RELATIONS})\b(?:,?\s+|:\s*|\s*\()", re.IGNORECASE)),
    (
        2,
        "apposition",
        re.compile(
            rf"\b\d{{1,3}}[ -]?(?:{_PERSON}|years?[ -]old)[^,.;:()\n]{{0,80}},\s+|{_PERSON},?\s+", re.IGNORECASE
        ),
    ),
]
CREDENTIAL = re.compile(
    r",?\s+(?:M\.?D\.?|D\.?O\.?|R\.?N\.?|N\.?P\.?|PA(?:-C)?|Ph\.?D\.?|DDS|DMD|DPT|PT|OT|LCSW|MSW|RDCS|RDMS|RT|CRNA"
    r"|CNM|CNP|FNP|ARNP|LPN|CNA|PharmD|MBBS|MBChB"
    r"|FACR|FRCR|FRCP|FACS|DVM|OD|DPM|EMT|RRT|SLP|RD|BSN|MSN|APRN|LMFT|PsyD|Jr|Sr|MPH)\b\.?"
)
CALENDAR = frozenset("april may june august summer autumn dawn".split())
PARTICLES = frozenset(
    "de la del della di da do dos das van von der den ten ter al el bin ben ibn st mc mac le du o y e".split()
)
GAP = re.compile(r"\.?[ \t]+[\"“]?|[\"”][ \t]+|\.|\^+|,[ \t]?|-")
INITIALS = re.compile(r"(?<![\w.])(?:[A-Z]\.[ ]?){2,3}(?![\w(])")
GAELIC = re.compile(r"(?:O['’]|Mc|Mac|Fitz)[A-Z][a-z]{2}")
AND = re.compile(r"\s*(?:and|&|,|/)\s*")
DOSE = re.compile(r"\s*[/(]?\s*\d[\d.,]*\s*(?:mg|mcg|g|mL|units?|%|IU|BID|TID|q\d|daily|qhs)?\b(?!:|[A-Z]\b)")
