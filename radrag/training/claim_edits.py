"""Claims made from true sentences: edits that make them false, and rewordings that leave them true.

The word tables here are kept apart from those of ``radrag.grounding`` on purpose: a verifier must not be judged by the
very list it looks words up in.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from radrag.corpora import split_sentences

FALSE_KINDS = ("number", "negation", "direction", "population", "drug", "roles", "certainty", "source")
TRUE_KINDS = ("paraphrase", "quote")

_NUMBER = re.compile(r"(?<![\w.,/^-])\d+(?:\.\d+)?(?![\w/^-]|[.,]\d)")
_UNITS = {
    "mg": "g", "g": "mg", "ml": "l", "mm": "cm", "cm": "mm", "days": "weeks", "weeks": "months", "h": "min",
    "hours": "days", "years": "months", "months": "years", "minutes": "hours", "mGy": "Gy", "mSv": "Sv",
}  # fmt: skip
_UNIT = re.compile(rf"(?<=\d)( ?)({'|'.join(sorted(_UNITS, key=len, reverse=True))})\b")
_OPPOSITE = {
    "increased": "decreased", "decreased": "increased", "increase": "decrease", "decrease": "increase",
    "higher": "lower", "lower": "higher", "greater": "smaller", "smaller": "larger", "larger": "smaller",
    "longer": "shorter", "shorter": "longer", "more": "fewer", "fewer": "more", "better": "worse", "worse": "better",
    "rose": "fell", "fell": "rose", "improved": "worsened", "worsened": "improved", "reduced": "raised",
    "reduction": "rise", "rise": "drop", "superior": "inferior", "inferior": "superior", "less": "more",
    "positive": "negative", "before": "after", "after": "before", "faster": "slower", "earlier": "later",
    "above": "below", "below": "above",
}  # fmt: skip
_PEOPLE = {
    "children": "adults", "adults": "children", "women": "men", "men": "women", "males": "females", "females": "males",
    "infants": "adolescents", "neonates": "adults", "girls": "boys", "boys": "girls", "elderly": "young",
    "pregnant": "lactating", "outpatients": "inpatients", "inpatients": "outpatients", "type 2": "type 1",
    "type 1": "type 2", "mothers": "fathers", "rats": "patients", "older": "younger", "diabetes": "asthma",
    "patients": "healthy volunteers", "acute": "chronic", "chronic": "acute", "breast": "prostate",
}  # fmt: skip
DRUGS = (
    "aspirin", "metformin", "warfarin", "prednisolone", "amoxicillin", "simvastatin", "omeprazole", "ibuprofen",
    "insulin", "morphine", "propranolol", "clopidogrel", "lisinopril", "gentamicin", "fluconazole", "methotrexate",
)  # fmt: skip
_SURER = {
    "may": "will", "might": "will", "could": "will", "suggest that": "prove that", "suggests that": "proves that",
    "suggested that": "proved that", "appears to": "is proven to", "appear to": "are proven to",
    "appeared to": "was proven to", "seems to": "is known to", "seem to": "are known to", "possibly": "certainly",
    "probably": "certainly", "potentially": "certainly", "likely to": "certain to", "is associated with": "causes",
    "are associated with": "cause", "was associated with": "caused", "were associated with": "caused",
    "was correlated with": "was caused by", "is linked to": "causes", "was linked to": "caused",
    "tended to": "were shown to", "unclear whether": "clear that", "not known whether": "known that",
}  # fmt: skip
_DRUG = re.compile(
    r"\b(?!incid|resid|patient)[a-z]{3,}(?:cillin|mycin|statin|azole|olol|pril|sartan|caine|azepam|azolam|oxetine|profen|"
    r"coxib|platin|taxel|mab|nib|vir|phylline|sone|solone|sonide|terol|tidine|prazole|oxacin|gliptin|gliflozin|formin|"
    r"parin|xaban|dipine|setron|dronate|ketamine|fentanil|propofol|cysteine|rubicin)\b|\b(?:aspirin|insulin|morphine|"
    r"warfarin|placebo|ketamine|heparin|iron|zinc|vitamin [A-K]\d*|magnesium|oxygen|saline|paracetamol|acetaminophen|"
    r"gadolinium|ultrasound|MRI|CT|radiography|acupuncture|exercise|midazolam|tamoxifen|methotrexate)\b"
)
_SYNONYMS = {
    "showed": "demonstrated", "found": "observed", "significantly": "to a significant degree", "patients": "people",
    "received": "were given", "compared with": "relative to", "in order to": "to", "approximately": "about",
    "however": "yet", "demonstrated": "showed", "similar": "comparable", "although": "even though",
    "greater": "larger", "occurred": "took place", "whereas": "while", "investigated": "studied",
    "assessed": "evaluated", "evaluated": "assessed", "determine": "establish", "included": "enrolled",
    "associated with": "linked to", "prior to": "before", "following": "after", "mortality": "death",
    "performed": "carried out", "frequently": "often", "frequent": "common", "participants": "subjects",
    "subjects": "participants", "fewer": "a smaller number of", "remained": "stayed", "use": "usage",
    "identified": "detected", "outcome": "result", "important": "relevant", "children": "paediatric patients",
    "rate": "frequency", "obtained": "acquired", "may": "might", "during": "in the course of", "large": "sizeable",
    "decreased": "declined", "increased": "went up", "differ": "vary", "increase": "rise", "trial": "study",
    "randomised": "randomly allocated", "randomized": "randomly allocated", "improved": "got better",
}  # fmt: skip
_EXPAND = {
    "CT": "computed tomography", "MRI": "magnetic resonance imaging", "COPD": "chronic obstructive pulmonary disease",
    "ICU": "intensive care unit", "BMI": "body mass index", "HIV": "human immunodeficiency virus",
    "CI": "confidence interval", "OR": "odds ratio", "HR": "hazard ratio", "vs": "versus",
}  # fmt: skip
_IN_FRONT = re.compile(r"^((?:In|After|During|Among|At|Between|Within|By) [^,.;]{6,60}), ([a-z].+)\.$")
_PASSIVE = re.compile(r"^(.+?) (was|were) (associated|correlated|compared) with ([^,.;]+)\.$")
_TAIL = re.compile(r"(?:,? \([^()]*\)|; [^;.]+|, (?:which|who|although|whereas|while) [^,.;]+)(?=[ .,]|$)")
_NOT = re.compile(r"\b(did|does|do|was|were|is|are|has|had|could|can|will|would|may|should) not\b")
_BE = re.compile(r"\b(was|were|is|are|has been|have been|can|could|may|will|would)\b(?! not\b| no\b)")
_NO = re.compile(r"\bNo (?=[a-z])|\bno (?=[a-z])")


@dataclass(frozen=True, slots=True)
class EditedClaim:
    """A claim whose truth is known because of how it was made.

    Attributes:
        document_id: The document that it is to be checked against.
        text: The claim.
        kind: One of ``FALSE_KINDS`` and ``TRUE_KINDS``.
        true: Whether the document states it.
        source: The sentence it was made of.
    """

    document_id: str
    text: str
    kind: str
    true: bool
    source: str


def edited_claims(
    documents: Sequence[tuple[str, str]], *, seed: int, per_document: int = 2, kinds: Sequence[str] | None = None
) -> Iterator[EditedClaim]:
    """Make claims of true sentences; which edits a document gets is drawn.

    Half of the false claims are reworded before they are edited, so that not every true claim can be told by being
    word for word.

    Args:
        documents: Names and texts.
        seed: Of every draw.
        per_document: False claims and true claims of each document, as far as its sentences allow.
        kinds: Which to make; all by default.
    """
    draw = random.Random(seed)
    wanted_false = [kind for kind in FALSE_KINDS if kinds is None or kind in kinds]
    wanted_true = [kind for kind in TRUE_KINDS if kinds is None or kind in kinds]
    for place, (name, text) in enumerate(documents):
        sentences = usable_sentences(text)
        if not sentences:
            continue
        for wanted, true in ((wanted_false, False), (wanted_true, True)):
            order = draw.sample(wanted, len(wanted))
            made = (_made(kind, name, text, sentences, documents, place, draw) for kind in order)
            kept = [claim for claim in made if claim is not None][:per_document]
            assert all(claim.true == true for claim in kept)
            yield from kept


def usable_sentences(text: str) -> list[str]:
    """Return the sentences of a text that state something: 8 to 60 words, no question, no heading."""
    parts = (" ".join(text[start:end].split()) for start, end in split_sentences(text))
    return [part for part in parts if 8 <= len(part.split()) <= 60 and part[-1] == "." and part[0].isupper()]


def _made(
    kind: str, name: str, text: str, sentences: Sequence[str], documents: Sequence[tuple[str, str]], place: int,
    draw: random.Random,
) -> EditedClaim | None:  # fmt: skip
    if kind == "source":
        others = [one for offset in (1, 2, 3, 5, 8) if (one := documents[(place + offset) % len(documents)])[0] != name]
        return EditedClaim(draw.choice(others)[0], draw.choice(sentences), kind, False, "") if others else None
    edit = _EDITS[kind]
    for sentence in draw.sample(sentences, len(sentences)):
        first = paraphrase(sentence, draw) if kind in FALSE_KINDS and draw.random() < 0.5 else None
        made = edit(first or sentence, draw)
        if made is not None and made not in text:
            return EditedClaim(name, made, kind, kind in TRUE_KINDS, sentence)
        if made is not None and kind == "quote":
            return EditedClaim(name, made, kind, True, sentence)
    return None


def change_number(sentence: str, draw: random.Random) -> str | None:
    """Change one number, or its unit."""
    units = list(_UNIT.finditer(sentence))
    if units and draw.random() < 0.25:
        match = draw.choice(units)
        return _replaced(sentence, match, match[1] + _UNITS[match[2]])
    numbers = list(_NUMBER.finditer(sentence))
    if not numbers:
        return None
    match = draw.choice(numbers)
    value, places = float(match[0]), len(match[0].partition(".")[2])
    ways = [value * 10, value / 10 if places else value + 10, value + draw.randint(1, 9) * 10**-places, value * 2]
    new = f"{draw.choice(ways):.{places}f}"
    return None if float(new) == value else _replaced(sentence, match, new)


def flip_negation(sentence: str, draw: random.Random) -> str | None:
    """Take away a negation, or put one in the main clause."""
    negated = _NOT.search(sentence)
    if negated:
        return _replaced(sentence, negated, negated[1])
    none = _NO.search(sentence)
    if none:
        return _replaced(sentence, none, "A " if none[0][0] == "N" else "a ")
    verbs = list(_BE.finditer(sentence))
    if not verbs:
        return None
    verb = verbs[0]
    head = verb[0].split()
    return _replaced(sentence, verb, " ".join([head[0], "not", *head[1:]]))


def flip_direction(sentence: str, draw: random.Random) -> str | None:
    """Turn one word into its opposite."""
    return _swapped(sentence, _OPPOSITE, draw)


def make_surer(sentence: str, draw: random.Random) -> str | None:
    """Turn a hedge into certainty, or an association into a cause."""
    return _swapped(sentence, _SURER, draw)


def swap_population(sentence: str, draw: random.Random) -> str | None:
    """Name other people, or another disease or organ."""
    return _swapped(sentence, _PEOPLE, draw)


def swap_drug(sentence: str, draw: random.Random) -> str | None:
    """Name another drug or test throughout the sentence."""
    found = sorted({match[0] for match in _DRUG.finditer(sentence)})
    if not found:
        return None
    old = draw.choice(found)
    new = draw.choice([drug for drug in DRUGS if drug not in sentence.lower()])
    return re.sub(rf"\b{re.escape(old)}\b", new, sentence)


def swap_roles(sentence: str, draw: random.Random) -> str | None:
    """Let two interventions of one sentence change places."""
    found = sorted({match[0] for match in _DRUG.finditer(sentence)})
    if len(found) < 2 or not re.search(r"\bthan\b|\bversus\b|\bvs\b|\bagainst\b|\d", sentence):
        return None
    if not re.search(r"\d.*\d|\bthan\b|favou?red", sentence) or re.search(r"\b(?:both|neither|similar)\b", sentence):
        return None
    one, two = draw.sample(found, 2)
    parts = re.split(rf"\b({re.escape(one)}|{re.escape(two)})\b", sentence)
    return "".join(two if part == one else one if part == two else part for part in parts)


def paraphrase(sentence: str, draw: random.Random) -> str | None:
    """Reword by rules: synonyms, abbreviations written out, the order changed, the passive turned, a clause dropped."""
    text = sentence
    ways: list[Callable[[str], str]] = [_synonyms, _expanded, _moved, _turned, _shorter]
    for way in draw.sample(ways, len(ways)):
        text = way(text)
    return text if text != sentence else None


def quote(sentence: str, draw: random.Random) -> str | None:
    """Leave it as it is."""
    del draw
    return sentence


def _synonyms(text: str) -> str:
    for word, other in _SYNONYMS.items():
        text = re.sub(rf"(?<!-)\b{word}\b(?!-)", f"\0{other}\0", text, count=1) if "\0" + word not in text else text
    return text.replace("\0", "")


def _expanded(text: str) -> str:
    for word, other in _EXPAND.items():
        text = re.sub(rf"(?<![-\w]){word}(?![-\w/])\.?(?=\s)", other, text, count=1)
    return text


def _moved(text: str) -> str:
    match = _IN_FRONT.match(text)
    if match is None:
        return text
    return f"{match[2][0].upper()}{match[2][1:]} {match[1][0].lower()}{match[1][1:]}."


def _turned(text: str) -> str:
    match = _PASSIVE.match(text)
    if match is None or re.search(r"\bthan\b|\bnot\b|[,;]", text):
        return text
    subject = match[1][0].lower() + match[1][1:] if not match[1][:2].isupper() else match[1]
    return f"{match[4][0].upper()}{match[4][1:]} {match[2]} {match[3]} with {subject}."


def _shorter(text: str) -> str:
    match = _TAIL.search(text)
    if match is None:
        return text
    left = " ".join((text[: match.start()] + text[match.end() :]).split()).replace(" .", ".")
    return left if left.endswith(".") and len(left.split()) >= 8 else text


def _swapped(sentence: str, table: dict[str, str], draw: random.Random) -> str | None:
    found = list(re.finditer(rf"(?<!-)\b(?:{'|'.join(table)})\b(?!-)", sentence))
    if not found:
        return None
    match = draw.choice(found)
    return _replaced(sentence, match, table[match[0]])


def _replaced(sentence: str, match: re.Match[str], new: str) -> str:
    return sentence[: match.start()] + new + sentence[match.end() :]


_EDITS: dict[str, Callable[[str, random.Random], str | None]] = {
    "number": change_number,
    "negation": flip_negation,
    "direction": flip_direction,
    "population": swap_population,
    "drug": swap_drug,
    "roles": swap_roles,
    "certainty": make_surer,
    "paraphrase": paraphrase,
    "quote": quote,
}
