"""One form for the spellings of a word: case, accents, British and American, singular and plural, Porter 2 stems."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Any

GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta", "θ": "theta",
    "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "ο": "omicron", "π": "pi", "ρ": "rho",
    "σ": "sigma", "ς": "sigma", "τ": "tau", "υ": "upsilon", "φ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega",
}  # fmt: skip
_GREEK_TABLE = str.maketrans({**GREEK, **{letter.upper(): name for letter, name in GREEK.items() if letter != "ς"}})
_LETTER_TABLE = str.maketrans(
    {"æ": "ae", "Æ": "ae", "œ": "oe", "Œ": "oe", "ø": "o", "Ø": "o", "ł": "l", "Ł": "l", "đ": "d", "Đ": "d", "ı": "i"}
)
_PLURAL_ACRONYM = re.compile(r"(?:[A-Za-z][a-z]{0,2})?[A-Z]{2}[A-Z0-9]*s|[A-Z][A-Z0-9]+s")
# British to American, then Latin plurals. What a rule makes of a word need not be a word: both sides meet there.
_SPELLING = [
    (re.compile(rule), form)
    for rule, form in (
        (r"[ao]e(?=[a-z])(?!s$)", "e"),  # but not toes and echoes
        (r"(tum|col|behavi|lab|od|vap|hum|fav|neighb|harb|hon|flav|vig|rum|endeav)our", r"\1or"),
        (r"(?<=[a-z]{3})is(?=(?:e[sd]?|ing|ations?)$)", "iz"),
        (r"ly[sz](?:e[sd]?|is|ing)$", "lys"),
        (r"(cent|lit|fib|met|tit|calib|theat|uv|goit)re(?=[sd]?$)", r"\1er"),
        (r"sulph", "sulf"),
        (r"(?<=[a-z]{3})ogue(?=s?$)", "og"),
        (r"^programme", "program"),
        (r"^grey$", "gray"),
        (r"^aluminium", "aluminum"),
        (r"leuc(?=o?(?:cyt|pen|plak|dystroph|encephal))", "leuk"),
        (
            r"(gno|the|sta|steno|fibro|necro|lero|rrho|rombo|stomo|kypho|tuberculo|cri|psycho|neuro|myco|mito|zoono|"
            r"dermato|phy|arthro|scolio|lordo|ankylo)ses$",
            r"\1sis",
        ),
        (r"(bacteri|mitochondri|epitheli|endotheli|diverticul|^atri)a$", r"\1um"),
        (
            r"(embol|thromb|bronch|^fung|^foc|^loc|calcul|stimul|nucle|bacill|cocc|vill|menisc|^uter|^ram|"
            r"humer|sulc|gyr|alveol|glomerul|hippocamp|acin|^toph|^hil)i$",
            r"\1us",
        ),
        (r"thoraces$", "thorax"),
        (r"omata$", "oma"),
        (r"itides$", "itis"),
        (r"organisms$", "organism"),
    )
]
_RESPELLED = re.compile("|".join(f"(?:{rule.pattern})" for rule, _ in _SPELLING))
_IRREGULAR = {
    "apices": "apex", "appendices": "appendix", "biases": "bias", "calices": "calyx", "calyces": "calyx",
    "cervices": "cervix", "children": "child", "cortices": "cortex", "criteria": "criterion", "feet": "foot",
    "foramina": "foramen", "ganglia": "ganglion", "gases": "gas", "haem": "heme", "indices": "index",
    "lumina": "lumen", "matrices": "matrix", "mcg": "ug", "men": "man", "mice": "mouse", "ova": "ovum",
    "pelves": "pelvis", "phalanges": "phalanx", "radii": "radius", "septa": "septum", "sera": "serum",
    "teeth": "tooth", "testes": "testis", "varices": "varix", "vertices": "vertex", "women": "woman",
}  # fmt: skip
_SPARED_STEMS = frozenset(
    """als apoe aps ards bias cas cns covid dens fus gas gcs ibs iris kras lens mass mds mers mods news pbs pcos pelvis
    plus pns pus ras ros sars sids sirs sos""".split()
)
_WHOLE = ("itis", "organism")  # Porter 2 makes hepatitis one with hepatic and an organism one with an organ
# It also makes these one with severe, positive, experience, embolism, colon, fibril, lactate, actin, enter, humor,
# concept, carbon, miner, vertebral, medical, affected, subject and transit. The whole word, so that no compound is cut.
_APART = re.compile(
    r"((?:embol|colon)iz)(?:e[ds]?|ing|ations?|ers?)|(mineral)(?:s|iz(?:e[ds]?|ing|ations?))?"
    r"|(fibrillat)(?:e[ds]?|ing|ions?)|(ureter)(?:s|al|ic)?|(urethr)(?:as?|ae|al)|(luteiniz)(?:e[ds]?|ing|ation)|(lactati)(?:on|onal|ng)|(experiment|position)(?:s|al|ally|ed|ing|ation|ers?)?"
    r"|(extremit)(?:y|ies)|(several|actinic|enteral|enteric|humoral|carbonic|affective|subjective|medication|conception|carbonate|"
    r"vertebrate|transition)(?:s|d|ly|al)?"
)


def stem(word: str) -> str:
    """Return the index term of a word, an acronym, or a compound written as one.

    Porter 2 after the rules above; acronyms, short names in mixed case (``ApoE``) and anything with a digit are only
    put into lower case, an acronym without the s of its plural (``mRNAs``).
    """
    if _PLURAL_ACRONYM.fullmatch(word):
        word = word[:-1]
    lower = plain(word)
    if not lower.isalpha() or (len(word) <= 6 and not word[1:].islower() and word != lower) or lower in _SPARED_STEMS:
        return lower
    lower = _IRREGULAR.get(lower, lower)
    if lower in _SPARED_STEMS:
        return lower
    if len(lower) > 3 and _RESPELLED.search(lower):
        for rule, form in _SPELLING:
            lower = rule.sub(form, lower)
    if lower.endswith(_WHOLE):
        return lower
    apart = _APART.fullmatch(lower)
    if apart and apart.lastindex:
        return apart[apart.lastindex]
    return str(_stemmer().stemWord(lower))


def plain(word: str) -> str:
    """Return a word in lower case with Greek letters by name and Latin letters without marks."""
    if not word.isascii():
        apart = unicodedata.normalize("NFKD", word.translate(_GREEK_TABLE).translate(_LETTER_TABLE))
        word = "".join(char for char in apart if not unicodedata.combining(char))
    return word.casefold()


@cache
def _stemmer() -> Any:
    import Stemmer

    return Stemmer.Stemmer("english", 0)
