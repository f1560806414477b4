"""Names of what belongs to a class that people are allergic to, and where a text speaks of it."""

from __future__ import annotations

import re
from bisect import bisect

from radrag.indexes.tokens import tokenize

_BETA = r"beta-?\s?lactams?(?! (?:inhibitor|ase))"
# ASA is aspirin, but neither the score of anaesthetists nor 5-ASA, mesalamine.
_ASA = r"(?<!5-)(?<!5 )(?-i:ASA)(?! (?:class|grade|score|physical|status|[1-6I]))"
_XRAY, _MR = "iodinated", "gadolinium"
# What a class is called, and its members by ending or by name; an allergy by either is one to the class.
# Cross-reactions beyond a class are left out.
_CLASSES = tuple(
    (name, re.compile(rf"\b(?:{called}|{members})\b", re.IGNORECASE), rf"\b(?:{members})\b")
    for name, called, members in (
        (
            "penicillins",
            _BETA,
            rf"\w+cillin|penicillins|(?-i:PCN)(?! (?:tube|drain|cathet|placement|insertion))|pen[- ]?vk|co-?amoxiclav|"
            rf"amox(?:-?clav)?|augmentin|amoxil|unasyn|tazocin|zosyn|timentin|pip-?tazo|bicillin|{_BETA}",
        ),
        (
            "cephalosporins",
            _BETA,
            r"cef\w+|ceph(?:alexin|azolin|radine|alothin|apirin|alosporins?)|keflex|ancef|kefzol|rocephin|zinacef|"
            rf"zinnat|maxipime|fortaz|omnicef|suprax|{_BETA}",
        ),
        ("carbapenems", _BETA, rf"\w+penems?|merrem|invanz|primaxin|{_BETA}"),
        (
            "sulfonamides",
            r"sulfas?|sulpha|sulfa drugs?",
            r"(?:trimethoprim-)?sul(?:f|ph)amethoxazole|co-?trimoxazole|cotrim|bactrim|septr(?:in|a)|"
            r"TMP\s?[-/]\s?SMX|(?-i:SMX)\s?[-/]\s?(?-i:TMP)|sul(?:f|ph)adiazine|sul(?:f|ph)asalazine|"
            r"sul(?:f|ph)isoxazole|sul(?:f|ph)a(?:cetamide|doxine)|sul(?:f|ph)a (?:drugs?|antibiotics?)|"
            r"sul(?:f|ph)onamides?",
        ),
        (
            _XRAY,
            r"iodine|iodinated|contrast (?:dye|media|medium|agents?)|(?:iv|x-?ray|radio-?|ct)\s?-?contrast|contrast|"
            r"(?:iv|x-?ray) dye",
            r"io(?:hexol|pamidol|dixanol|promide|versol|meprol|bitridol|xaglate|xitalamate|thalamate|xilan|pentol)|"
            r"diatrizoate|amidotrizoate|omnipaque|isovue|iopamiro|niopam|visipaque|ultravist|optiray|oxilan|iomeron|"
            r"imeron|xenetix|hexabrix|conray|gastrografin|gastroview|iodinated(?: contrast)?|radio-?contrast|"
            r"(?:ct|computed tomography) (?:\w+ )?(?:angio|uro|veno)gra(?:phy|ms?)|cta|ctpa",
        ),
        (
            _MR,
            r"mri?\s?-?contrast|contrast|contrast (?:media|medium|agents?)",
            r"gadolinium(?:-based)?(?: contrast)?|gado\w+|gadavist|gbcas?|dotarem|clariscan|elucirem|vueway|magnevist|"
            r"omniscan|optimark|prohance|multihance|primovist|eovist|ablavar",
        ),
        (
            "NSAIDs",
            r"pain killers",
            rf"aspirin|acetylsalicylic acid|{_ASA}|ecotrin|ibuprofen|advil|motrin|nurofen|dexibuprofen|naproxen|aleve|"
            r"naprosyn|diclofenac|voltaren|voltarol|ketorolac|toradol|ketoprofen|indometh?acin|meloxicam|piroxicam|"
            r"flurbiprofen|mefenamic acid|etodolac|nabumetone|sulindac|(?:cele|etori|pare|vald?e|rofe)coxib|celebrex|"
            r"nsaids?|non-?steroidal(?: anti-?inflammator(?:y drugs?|ies))?",
        ),
        ("macrolides", "-", r"(?:azi|clari|ery|roxi)thromycin|macrolides?|zithromax|z-?pak|biaxin|klacid"),
        ("quinolones", "-", r"\w+floxacin|(?:fluoro)?quinolones?|cipro|levaquin|avelox"),
        ("tetracyclines", "-", r"\w+cyclines?|vibramycin"),
        (
            "aminoglycosides",
            "-",
            r"gentamicin|tobramycin|amikacin|streptomycin|neomycin|aminoglycosides?",
        ),
        ("heparins", "-", r"(?:un)?fractionated heparin|heparins?|\w+parin|lmwh|lovenox|fragmin"),
        (
            "opioids",
            "-",
            r"(?:dia)?morphine|codeine|hydromorphone|oxycodone|hydrocodone|opioids?|opiates?|percocet|vicodin|"
            r"oxycontin|dilaudid",
        ),
        (
            "local anaesthetics",
            "-",
            r"(?:ligno|lido|bupiva|levobupiva|ropiva|mepiva|prilo|artica)caine|xylocaine|marcaine|"
            r"local an(?:a)?esthetics?",
        ),
    )
)
# Only what stands right before or behind a name takes it back: a warning too many harms less than one too few.
_WITHOUT = (
    r"(?:without|instead of|rather than|avoid(?:ing|s|ed)?|free of|non|alternatives? to|"
    r"(?:do|should|must) not (?:be )?(?:give|given|use|used))[\s-]+(?:(?:any|the|iv|intravenous|oral|using|giving)\s+)?"
)
_ALLERGY = r"[\s-]+(?:allerg\w+|hypersensitiv\w+|intoleran\w+|anaphyla\w+)"
_BOTH = re.compile(
    r"\b(?:with(?:\s+and|\s+or|/| and/or)\s*without|without and with|w\s?/\s?(?:wo|w/o)|pre-? and post-?)\b",
    re.IGNORECASE,
)
# What "contrast" is where nothing is injected.
_NO_AGENT = re.compile(
    r"\b(?:in|by) (?:(?:marked|sharp|stark|striking|direct) )?contrast(?=\s*[,.;]|\s+(?:to|with)\b|\s*$)|"
    r"\bcontrast(?:s|ed|ing)\b|\b(?:soft[- ])?tissue contrast\b|\b(?:image|spatial|phase|high|low)[- ]contrast\b|"
    r"\bcontrast[- ](?:resolution|to[- ]noise|ratio|sensitivity)\b|\b(?:ultrasound|barium|air|negative) contrast\b|"
    r"\bcontrast bath\w*",
    re.IGNORECASE,
)
_MODALITY = re.compile(
    r"\b(?:(?P<mr>mri?|mra|mrcp|mr \w+graphy|magnetic resonance\w*|gado\w+|gbcas?)|"
    r"(?P<xray>p?e?t?/?ct|cta|ctpa|computed tomogra\w+|(?<!mr )angiogra\w+|urogra\w+|x-?rays?|radiogra\w+|"
    r"fluoroscop\w+|iod\w+)|(?P<other>ultraso\w+|ceus|microbubbles?|barium|echocardiogra\w+))\b",
    re.IGNORECASE,
)
_AGENT = re.compile(
    r"(?:\b(?:iv|i\.v\.|intravenous|oral|intra-?arterial)\s+)?\bcontrast(?:-| )?(?:enhance[d\w]*)?"
    r"(?: (?:media|medium|agents?|material|dye))?"
    r"(?:\s+(?=(?:mri?|ct|computed|magnetic|ultraso))(?P<of>\w+(?: (?:tomography|resonance))?))?",
    re.IGNORECASE,
)


def spoken_of(said: str, allergy: str) -> str:
    """Return what a text speaks of that an allergy is to: its own name, or a member of its class; "" for nothing.

    A name that stands behind ``without`` or ``instead of``, or before ``allergy`` or ``-free``, does not count.
    Contrast that is not named is that of the examination named nearest, or of both kinds if none is named.

    Args:
        said: The text.
        allergy: A substance, or a class such as ``"penicillin"`` or ``"iodinated contrast"``.
    """
    classes = _classes(allergy)
    members = [member for _, member in classes]
    own = r"[^\w.;]+".join(map(re.escape, re.findall(r"\w+", allergy)))
    if not own:
        return ""
    kinds = {name for name, _ in classes} & {_XRAY, _MR}
    names = "|".join([rf"\b{own}\b", *members, *([r"\bcontrast\b"] if kinds else [])])
    taken = re.compile(
        rf"\b{_WITHOUT}(?:{names})|(?:{names})(?:{_ALLERGY}|[\s-]free\b)|"
        rf"\b(?:allerg\w+|hypersensitiv\w+) to (?:{names})",
        re.IGNORECASE,
    )
    left = taken.sub(" ", _NO_AGENT.sub(" ", _BOTH.sub("with", said)))
    if not classes:
        terms = set(tokenize(allergy))
        return allergy if terms and terms <= set(tokenize(left)) else ""
    if own.lower() != "contrast" and re.search(rf"\b{own}\b", left, re.IGNORECASE):
        return allergy
    found = re.search("|".join(members), left, re.IGNORECASE)
    return found[0] if found else _agent(left, kinds)


def _classes(allergy: str) -> list[tuple[str, str]]:
    """Return the classes that an allergy is to, with the pattern of their members."""
    found = [(name, members) for name, named, members in _CLASSES if named.search(allergy)]
    of = {"mr": _MR, "xray": _XRAY}
    told = {of.get(match.lastgroup or "", "") for match in _MODALITY.finditer(allergy)}
    if not told:
        return found
    return [one for one in found if one[0] not in (_XRAY, _MR) or one[0] in told]


def _agent(text: str, kinds: set[str]) -> str:
    """Return where a text speaks of contrast of one of these kinds without naming it; "" for nowhere."""
    if not kinds:
        return ""
    seen = [(match.start(), match.lastgroup) for match in _MODALITY.finditer(text)]
    of = {"mr": _MR, "xray": _XRAY}
    for match in _AGENT.finditer(text):
        place = match.start("of") if match["of"] else match.start()
        at = bisect([start for start, _ in seen], place)
        nearest = (seen[at - 1] if at else seen[0])[1] if seen else None
        if nearest is None or of.get(nearest) in kinds:
            return " ".join(match[0].split())
    return ""
