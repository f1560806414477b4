"""Which side a document takes: its clauses that report an effect, weighed against those that report none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from radrag.indexes.tokens import tokenize
from radrag.reading.sentence_model import Rarity
from radrag.reading.sentences import Sentence

TAKES_A_SIDE = 0.2
_CONCLUDES, _AIM_SAY, _LIMIT_SAY = 2.2, 0.1, 0.15  # say of a sentence, against 1 of one that reports
_ALWAYS, _NEAR = 0.15, 0.6  # say of a clause without a word of the question; of the cosine with it
_PRIOR = 0.25  # keeps one weak clause from deciding
_ALPHA = 0.05
_AIM = re.compile(
    r"\b(?:whether|aim\w*|objective|purpose|hypothes\w+|asked (?:if|what|which|how)|tested if|to (?:assess|evaluate|"
    r"investigate|determine|compare|examine|study|test|explore)\b|is suspected)",
    re.IGNORECASE,
)
_LIMIT = re.compile(
    r"\b(?:abstract|(?:not|un|never) ?blind\w*|blinding|confidence intervals? (?:is|are|accompan|appear)|"
    r"no (?:confidence )?intervals?|intervals? (?:is|are|were|accompan\w+)|(?:small|short|low|modest) (?:sample|study|"
    r"trial|groups?|power|follow)|sample (?:was|is|size)|(?:was|were|groups|study|trial|sample|arms) (?:\w+ )?(?:small|"
    r"short|retrospective|open)|limit(?:s|ation\w*)\b|cannot (?:rule|tell|show|settle|establish|prove|say)|"
    r"may (?:not hold|be underpowered|have missed|exaggerate)|generali[sz]\w*|not (?:randomi[sz]ed|stated|described|"
    r"mentioned)|underpowered|power was|bias|confound\w*|applies? (?:only )?to|allocation|(?:further|more|larger) "
    r"(?:stud|trial|research)\w*|by chance)",
    re.IGNORECASE,
)
_CONCLUDE = re.compile(
    r"\b(?:conclu\w+|thus|therefore|hence|in summary|the authors? (?:infer|call|see|saw|judge|held|hold|prefer|report|"
    r"state|find|advise|regard|consider|think|suggest|recommend|argue|put)\w*|suggest\w*|support\w*|put forward|judged|"
    r"(?:our|these) (?:results|findings|data)|should|recommend\w*|shown)",
    re.IGNORECASE,
)
_CLAUSE = re.compile(
    r"(?:;(?![^()]*\))|,(?=\s(?:but|yet|and|whereas|while|although|though|with|which|nor|so)\b)|\b(?:but|whereas|although|though|while|"
    r"yet|however|despite)\b)\s*",
    re.IGNORECASE,
)
_DENIABLE = (
    r"(?:differ\w*|effect\w*|efficac\w+|significan\w*|chang\w+|alter\w*|improv\w+|reduc\w+|restor\w*|better|superior\w*|"
    r"benefi\w*|advantage|associat\w+|relat\w+|correlat\w+|link\w*|lower\w*|faster|shorten\w*|speed\w*|prevent\w*|"
    r"protect\w*|increas\w+|gain|more|fewer|support\w*|recommend\w*|shown|signs? of|influenc\w+|affect\w*|predict\w*|"
    r"add\w*|need\w*|necessary|justif\w+|useful|help\w*|case for|role|evidence|decreas\w+|impact|place for|raise|"
    r"depend)"
)
_NULL = re.compile(
    rf"\b(?:no|not|neither|nor|fail\w*|never|none|unable|little|hardly)\b[^.;]{{0,45}}?\b{_DENIABLE}|"
    rf"\bwithout\b[^.,;]{{0,20}}?\b{_DENIABLE}|"
    r"\b(?:alike|similar(?:ly)?|comparable|(?:was|were|much|about|remained|stayed) the same|(?<!in )equal(?:ly)?|"
    r"unchanged|unaffected|ineffective|did not|does not|do not|was not|were not|had no|has no|low yield|insufficient|"
    r"inconclusive|fared like|non-?significant\w*|unrelated)\b",
    re.IGNORECASE,
)
_EFFECT = re.compile(
    r"\b(?:significant(?:ly)?|lower\w*|higher|fewer|less|more (?:often|frequent\w*|patients|common\w*)|reduc\w+|"
    r"improv\w+|increas\w+|better|superior|shorter\w*|shorten\w*|faster|longer|prolong\w*|benefi\w+|fell|rose|cut|"
    r"decreas\w+|effective\w*|efficac\w+|safe\w*|associated|correlat\w+|predict\w+|sooner|earlier|help\w*|favou?r\w*|"
    r"protect\w+|prevent\w*|saved|greater|feasible|useful|reliable|accurate|relieve\w*|success\w*|advantage\w*|larger|"
    r"linked|alternative)\b",
    re.IGNORECASE,
)
_AGAINST = re.compile(
    r"\b(?:inferior|worse\w*|harm\w*|deleterious|detrimental|contraindicat\w*|should not|avoid\w*|stopped early|unsafe|"
    r"dangerous|not (?:be )?recommended|disappoint\w*|futil\w*|poorly tolerated|no place|more (?:deaths|complications|"
    r"adverse)|negative (?:trial|result|outcome)s?|(?:trial|result|outcome|study)s? (?:was|were) (?:\w+ )?negative)\b",
    re.IGNORECASE,
)
_P_VALUE = re.compile(
    r"\bp(?:[- ]values?)?\s*(?P<sign><|>|=|≤|≥|less than|greater than|of)\s*(?P<n>0?[.·]\d+)", re.IGNORECASE
)
_RATIO = re.compile(
    r"\b(?:odds|risk|hazard|rate|ratio|OR|RR|HR|IRR)\b[^()\[\]]{0,60}?\b95\s*%\s*(?:CI|confidence intervals?)\W{0,3}"
    r"(?P<low>\d+[.·]?\d*)\s*(?:-|–|to|,)\s*(?P<high>\d+[.·]?\d*)",
    re.IGNORECASE,
)


def stance(question: str, sentences: Sequence[Sentence], rarity: Rarity) -> float:
    """Say whether a document reports an effect or none, in the clauses that are near a question.

    Each clause that says something counts by the rarity of the question's words in it and the cosine of its sentence;
    conclusions count more, aims and limits hardly. It does not know whether the effect is the one that was asked about
    where a document reports several, nor whether it is wanted. Figures: ``tests/benchmarks/qa_evidence.py``.

    Args:
        question: A yes/no question.
        sentences: All sentences of the document that were found, with their cosine with the question.
        rarity: How rare terms are.

    Returns:
        Above ``TAKES_A_SIDE`` for an effect, below its negative for none or for harm, else it leaves the question open;
        between -1.5 and 1.5.
    """
    weight = rarity.weights(tokenize(question))
    said, total = 0.0, _PRIOR
    for one in sentences:
        share = _say(one)
        for clause in _clauses(one.text):
            side = _polarity(clause)
            if side:
                covered = sum(weight[term] for term in sorted(set(tokenize(clause)) & weight.keys()))
                near = share * (_ALWAYS + covered + _NEAR * max(0.0, one.cosine))
                said, total = said + near * side, total + near
    return said / total


def _say(sentence: Sentence) -> float:
    concludes = sentence.concludes or _CONCLUDE.search(sentence.text) is not None
    share = _CONCLUDES if concludes else (_AIM_SAY if _AIM.search(sentence.text) else 1.0)
    return share * (_LIMIT_SAY if _LIMIT.search(sentence.text) else 1.0)


def _clauses(text: str) -> Iterator[str]:
    return (part for part in _CLAUSE.split(text) if len(part.split()) > 2)


def _polarity(clause: str) -> float:
    """Return what a clause reports: above 0 an effect, below 0 none or harm, 0 nothing; at most 1.5 either way."""
    null = _NULL.search(clause) is not None
    told = _EFFECT.search(_NULL.sub(" ", clause)) is not None
    words = -1.0 if null or _AGAINST.search(clause) else float(told)
    figures = [*map(_of_p, _P_VALUE.finditer(clause)), *map(_of_ratio, _RATIO.finditer(clause))]
    if not figures:
        return words
    mean = sum(figures) / len(figures)
    if words * mean < 0:  # "the lower rate was not significant (p = .2)": words that deny outweigh a figure
        return words if null else mean
    return max(-1.5, min(1.5, words + mean))


def _of_p(found: re.Match[str]) -> int:
    sign, n = found["sign"].lower(), float(found["n"].replace("·", "."))
    if sign in ("<", "≤", "less than"):
        return int(n <= _ALPHA)
    if sign in (">", "≥", "greater than"):
        return -int(n >= _ALPHA)
    return 1 if n < _ALPHA else -1


def _of_ratio(found: re.Match[str]) -> int:
    """Return 1 for an interval of a ratio that leaves 1 out, -1 for one that holds it."""
    low, high = (float(found[side].replace("·", ".")) for side in ("low", "high"))
    return 0 if low > high else (-1 if low <= 1 <= high else 1)
