"""Names of what belongs to a class that people are allergic to, and where a text speaks of it."""

from __future__ import annotations

import re

from radrag.indexes.tokens import tokenize

# What the class is called, and its members by ending or by name. Cross-reactions beyond a class are left out.
_CLASSES = tuple(
    (re.compile(rf"\b(?:{called})\b", re.IGNORECASE), re.compile(rf"\b(?:{members})\b", re.IGNORECASE))
    for called, members in (
        (
            r"penicillins?|beta-?\s?lactams?|amoxicillin|ampicillin",
            r"\w+cillin|co-?amoxiclav|augmentin|unasyn|tazocin|zosyn",
        ),
        (r"cephalosporins?|beta-?\s?lactams?", r"cef\w+|ceph(?:alexin|azolin|radine|alothin|alosporins?)"),
        (r"carbapenems?|beta-?\s?lactams?", r"\w+penem"),
        (
            r"sulfas?|sulpha|sulfa drugs?|sulfonamides?|sulphonamides?|sulfamethoxazole",
            r"sul(?:f|ph)amethoxazole|co-?trimoxazole|bactrim|septrin|sul(?:f|ph)adiazine|sul(?:f|ph)asalazine|"
            r"sul(?:f|ph)isoxazole|sul(?:f|ph)onamides?",
        ),
        (
            r"iodinated|iodine|contrast (?:dye|media|medium|agents?)|(?:iv|x-?ray|radio-?|ct)\s?-?contrast|contrast",
            r"io(?:hexol|pamidol|dixanol|promide|versol|meprol|bitridol|xaglate|xitalamate|thalamate|xilan|pentol)|"
            r"diatrizoate|amidotrizoate|omnipaque|isovue|visipaque|ultravist|optiray|iodinated(?: contrast)?|"
            r"radio-?contrast|contrast-enhanced (?:ct|computed tomography)|"
            r"(?:ct|computed tomography)(?: scan)? with (?:iv |intravenous )?contrast|"
            r"(?:ct|computed tomography) (?:\w+ )?(?:angio|uro|veno)gra(?:phy|ms?)|cta|ctpa",
        ),
        (
            r"gadolinium(?:-based)?|gado\w+|mri?\s?-?contrast",
            r"gado\w+|gadavist|dotarem|magnevist|omniscan|prohance|multihance|primovist|eovist|"
            r"contrast-enhanced (?:mri?|magnetic resonance\w*)|mri?(?: scan)? with (?:iv |intravenous )?contrast",
        ),
        (
            r"nsaids?|non-?steroidal\w*|aspirin|acetylsalicylic acid|ibuprofen|naproxen|diclofenac",
            r"aspirin|acetylsalicylic acid|ibuprofen|dexibuprofen|naproxen|diclofenac|ketorolac|ketoprofen|"
            r"indometh?acin|meloxicam|piroxicam|flurbiprofen|mefenamic acid|etodolac|nsaids?|"
            r"non-?steroidal anti-?inflammatory drugs?",
        ),
        (r"macrolides?|erythromycin|azithromycin|clarithromycin", r"(?:azi|clari|ery|roxi)thromycin|macrolides?"),
        (r"(?:fluoro)?quinolones?|\w+floxacin", r"\w+floxacin|(?:fluoro)?quinolones?"),
        (r"tetracyclines?|doxycycline|minocycline", r"\w+cycline"),
        (r"aminoglycosides?|gentamicin", r"gentamicin|tobramycin|amikacin|streptomycin|neomycin|aminoglycosides?"),
        (r"heparins?|enoxaparin", r"(?:un)?fractionated heparin|heparin|\w+parin|lmwh"),
        (r"opioids?|opiates?|morphine|codeine", r"(?:dia)?morphine|codeine|hydromorphone|oxycodone|hydrocodone"),
        (r"local an(?:a)?esthetics?|lidocaine|lignocaine", r"(?:ligno|lido|bupiva|ropiva|mepiva|prilo|artica)caine"),
    )
)
# Only what stands right before or behind a name takes it back: a warning too many harms less than one too few.
_WITHOUT = (
    r"(?:without|instead of|rather than|avoid(?:ing|s|ed)?|free of|non|alternatives? to|"
    r"(?:do|should|must) not (?:be )?(?:give|given|use|used))[\s-]+(?:(?:any|the|iv|intravenous|oral|using|giving)\s+)?"
)
_ALLERGY = r"[\s-]+(?:allerg\w+|hypersensitiv\w+|intoleran\w+|anaphyla\w+)"


def spoken_of(said: str, allergy: str) -> str:
    """Return what a text speaks of that an allergy is to: its own name, or a member of its class; "" for nothing.

    A name that stands behind ``without`` or ``instead of``, or before ``allergy``, does not count.

    Args:
        said: The text.
        allergy: A substance, or a class such as ``"penicillin"`` or ``"iodinated contrast"``.
    """
    members = [member.pattern for called, member in _CLASSES if called.search(allergy)]
    own = r"\W+".join(map(re.escape, re.findall(r"\w+", allergy)))
    if not own:
        return ""
    names = "|".join([rf"\b{own}\b", *members])
    taken = re.compile(
        rf"\b{_WITHOUT}(?:{names})|(?:{names}){_ALLERGY}|\b(?:allerg\w+|hypersensitiv\w+) to (?:{names})", re.IGNORECASE
    )
    left = taken.sub(" ", said)
    terms = set(tokenize(allergy))
    if terms and terms <= set(tokenize(left)):
        return allergy
    found = re.search("|".join(members), left, re.IGNORECASE) if members else None
    return found[0] if found else ""
