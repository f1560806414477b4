"""Words of evidence that speak for yes, for no, or for neither, and how a question asks."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping

from radrag.indexes.tokens import tokenize

_UP = (
    r"\b(?:increas\w+|higher|elevat\w+|enhanc\w+|promot\w+|upregulat\w+|up-regulat\w+|activat\w+|greater|rais\w+|"
    r"stimulat\w+|induc\w+)\b"
)
_DOWN = (
    r"\b(?:decreas\w+|lower\w*|reduc\w+|inhibit\w*|suppress\w*|downregulat\w+|down-regulat\w+|impair\w+|attenuat\w+|"
    r"loss|block\w*|prevent\w*|antagoni\w+)\b"
)
EVIDENCE: dict[str, str] = {
    "null": r"\bno(?:t any| significant| statistically| clinically| clear| overall| evidence (?:of|that|for)|"
    r" substantial| apparent| additional| relevant| such| major| independent| direct)* ?(?:statistically |significant |"
    r"clinically |relevant |meaningful )*(?:difference|effect|change|association|correlation|relation|influence|"
    r"impact|benefit|advantage|increase|improvement|reduction|decrease|efficacy|evidence|role|support|significan|link)\w*|"
    r"\b(?:nonsignificant|non-significant|insignificant|ineffective|inefficac\w*|unrelated|unaffected|unchanged|"
    r"futil\w*)\b",
    "verb denied": r"\b(?:did|does|do|was|were|is|are|has|have|had|could|can|would|should|will|may|might)"
    r"(?: ?not|n't)\b|\bcannot\b|\b(?:neither|nor)\b",
    "failed": r"\b(?:fail(?:ed|s|ure)? (?:to|of)|lack(?:s|ed|ing)? (?:of )?|absence of|unable to|unlikely|no longer|"
    r"without|discontinued|terminated|withdrawn|halted|did not meet|not meet|negative (?:results?|trials?|stud)|"
    r"disappoint\w*|insufficient|limited (?:value|evidence|benefit|use)|little (?:evidence|effect|benefit))",
    "negation": r"\b(?:no|not|never|without|neither|nor|none|cannot|absence|lack\w*)\b|n't\b",
    "advised against": r"\b(?:not (?:be )?(?:recommended|needed|necessary|required|indicated|justified|advis\w+|"
    r"appropriate|support\w*)|contraindicat\w+|avoid\w*|should not|need not|unnecessary|inferior|harmful|worse\w*)\b",
    "significant": r"\bsignificant(?:ly)?\b|\bp\s*[<=]\s*0?[.·]0",
    "works": r"\b(?:effective\w*|efficac\w+|improv\w+|benefi\w+|superior\w*|successful\w*|promising|approved|approval|"
    r"potent|protect\w*)\b",
    "relates": r"\b(?:associat\w+|correlat\w+|predict\w+|independent(?:ly)?|risk factors?|linked|relat\w+|involv\w+|"
    r"caus\w+|mediat\w+|regulat\w+|role|contribut\w+|induc\w+|plays?)\b",
    "up": _UP,
    "down": _DOWN,
    "advised": r"\b(?:recommended|indicated|should be|safe(?:ly)?|feasible|useful|valuable|reliable|accurate|can be|"
    r"appropriate|of choice|preferred|well tolerated)\b",
    "hedge": r"\b(?:may|might|could|possibl[ey]|perhaps|suggest\w*|appear\w*|seem\w*|potential(?:ly)?)\b",
    "unclear": r"\b(?:unclear|uncertain|inconclusive|conflicting|mixed|controvers\w*|further (?:stud\w+|research|"
    r"investigation\w*|trials?)|more (?:stud\w+|research)|remains? to|limited evidence|depends?|inconsistent|unknown|"
    r"not known|debate\w*)\b",
    "contrast": r"\b(?:however|although|but|while|whereas|despite|rather than|instead|only|in contrast|except)\b",
    "states": r"\b(?:demonstrat\w+|show[sn]?|showed|found|identified|confirm\w*|reveal\w*|known|well[- ]established|"
    r"is an?|are)\b",
}
QUESTION: dict[str, str] = {
    "asks to compare": r"\b(?:differ\w*|compar\w+|better|superior|worse|more|less|than|versus|vs|equivalent|same)\b",
    "asks for relation": r"\b(?:associat\w+|relat\w+|correlat\w+|predict\w*|risk|factor|influence|affect|impact|role|"
    r"cause\w*|link\w*|involved?|implicated)\b",
    "asks if it works": r"\b(?:effective\w*|efficac\w+|improv\w+|prevent\w*|help|benefi\w+|useful|value|"
    r"used (?:for|to|in)|treat\w*|cure)\b",
    "asks if safe": r"\b(?:safe\w*|feasib\w+|accura\w+|reliab\w+|valid|possible|appropriate|acceptable)\b",
    "asks if needed": r"\b(?:necessar\w+|need\w*|should|require\w*|routine\w*|justif\w+|indicat\w+|warrant\w*|"
    r"mandatory|must|recommended)\b",
    "asks for all": r"\b(?:no|not|never|without|only|still|really|ever|always|all|every|exclusively|most|majority)\b|"
    r"n't\b",
    "can": r"^(?:can|could|may|might)\b",
    "is there": r"^(?:is|are) there\b",
    "does": r"^(?:do|does|did)\b",
    "has": r"^(?:has|have|had|was|were)\b",
    "or": r"\bor\b",
    "asks up": _UP,
    "asks down": _DOWN,
}
_OPPOSITES = (
    "increase decrease|increase reduce|higher lower|upregulate downregulate|activate inhibit|activate repress|"
    "activator inhibitor|activation inhibition|induce inhibit|induce suppress|promote inhibit|promote suppress|"
    "enhance impair|enhance reduce|agonist antagonist|gain loss|dominant recessive|viral bacterial|virus bacteria|"
    "longer shorter|long short|favorable poor|favourable poor|better worse|sensitive resistant|sensitivity resistance|"
    "typical atypical|benign malignant|acute chronic|segmented nonsegmented|obligate facultative|oncogene suppressor|"
    "superior inferior|safe toxic|effective ineffective|male female|men women|positive negative|early late|common rare|"
    "frequent rare|high low|more less|majority minority|necessary unnecessary|hypomethylated hypermethylated|"
    "intracellular extracellular|aerobic anaerobic|reversible irreversible|protective harmful|protect harm|"
    "protect risk|benefit harm|prevent cause|prevent promote|stimulate inhibit|methylated unmethylated|"
    "coding noncoding|familial sporadic|congenital acquired|maternal paternal|small large|methylation demethylation|"
    "upstream downstream|left right|single double|proximal distal|central peripheral|adult child|primary secondary"
)
_EVIDENCE = {name: re.compile(cue, re.IGNORECASE) for name, cue in EVIDENCE.items()}
_QUESTION = {name: re.compile(cue, re.IGNORECASE) for name, cue in QUESTION.items()}
_WORD = re.compile(r"\w+(?:'t)?")
_NEGATION = re.compile(
    r"no|not|never|without|neither|nor|none|cannot|lack\w*|absence|fail\w*|unlikely|\w*n't|non", re.IGNORECASE
)
_REACH = 6  # words behind a negation that it is taken to cover
SENTENCE_FEATURES = (
    *EVIDENCE,
    "question's words denied",
    "denied",
    "denied, works",
    "denied, question's words denied",
    "same direction",
    "same direction, not denied",
    "same direction, denied",
    "opposite word",
    "concludes",
    "concludes, denied",
    "covered, not denied",
    "asks if it works, denied",
    "asks if it works, works, not denied",
)


def _opposites() -> dict[str, frozenset[str]]:
    table: dict[str, set[str]] = defaultdict(set)
    for pair in _OPPOSITES.split("|"):
        one, other = (tuple(tokenize(word)) for word in pair.split())
        if len(one) == len(other) == 1:
            table[one[0]].add(other[0])
            table[other[0]].add(one[0])
    return {word: frozenset(others) for word, others in table.items()}


_OPPOSITE = _opposites()


def question_cues(question: str) -> dict[str, float]:
    """Return 1.0 or 0.0 for each cue of ``QUESTION``."""
    return {name: float(bool(cue.search(question))) for name, cue in _QUESTION.items()}


def sentence_cues(
    asked: Mapping[str, float],
    wanted: frozenset[str],
    text: str,
    terms: frozenset[str],
    known: frozenset[str],
    concludes: bool,
    covered: float,
) -> list[float]:
    """Describe what a sentence says to a question.

    Args:
        asked: ``question_cues`` of the question.
        wanted: The question's terms.
        text: The sentence.
        terms: Its own terms.
        known: Those, and the terms of abbreviations that it stands for.
        concludes: Whether it states a conclusion.
        covered: Share of the question that it holds.

    Returns:
        One value for each of ``SENTENCE_FEATURES``.
    """
    cues = {name: float(bool(cue.search(text))) for name, cue in _EVIDENCE.items()}
    near = denied_share(text, wanted & terms)
    denied = max(cues["null"], cues["verb denied"], cues["failed"])
    direction = (asked["asks up"] - asked["asks down"]) * (cues["up"] - cues["down"])
    return [
        *cues.values(),
        near,
        denied,
        denied * cues["works"],
        denied * near,
        direction,
        direction * (1 - denied),
        direction * denied,
        float(says_opposite(wanted, known)),
        float(concludes),
        float(concludes) * denied,
        covered * (1 - denied),
        asked["asks if it works"] * denied,
        (1 - denied) * cues["works"] * asked["asks if it works"],
    ]


def denied_share(text: str, terms: frozenset[str]) -> float:
    """Return the share of the words of some terms that stand up to six words behind a negation."""
    found = denied = 0
    last = -_REACH - 1
    for place, match in enumerate(_WORD.finditer(text)):
        if _NEGATION.fullmatch(match[0]):
            last = place
        term = tokenize(match[0])
        if term and term[0] in terms:
            found += 1
            denied += place - last <= _REACH
    return denied / found if found else 0.0


def says_opposite(wanted: frozenset[str], known: frozenset[str]) -> bool:
    """Whether a sentence has the opposite of a word of the question that it lacks: bacterial where viral is asked."""
    return any(other in known and other not in wanted for term in wanted - known for other in _OPPOSITE.get(term, ()))
