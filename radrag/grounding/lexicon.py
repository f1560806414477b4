"""Words that decide what a claim says: opposites, directions, groups of people, hedges, and plain synonyms."""

from __future__ import annotations

import re
from functools import cache, lru_cache

from radrag.indexes.tokens import tokenize

NEGATION = re.compile(
    r"\b(?:no|not|never|neither|none|nobody|without|cannot|fail(?:s|ed)?|lack(?:s|ed|ing)?|absen(?:t|ce)|unable|"
    r"unlikely|nothing|free of|rather than|instead of|no longer|unless|except\w*|exclu(?:d\w*|sion criteria)|hardly|"
    r"barely|scarcely|little|few|false|refut\w*|despite|withh[eo]ld\w*|refrain\w*|contrary|myth|"
    r"contraindications?(?=:))\b|n['’]t\b",
    re.IGNORECASE,
)
# "No difference", "did not differ", "similar" and "not significant" say the same: that nothing was shown to differ.
NULL = re.compile(
    r"\b(?:(?:did|does|do|could|was|were|is|are|has|have) ?(?:n['’]t|not|no longer) (?:\w+ ){0,2}?"
    r"(?:differ\w*|var(?:y|ied)|significant\w*|alter\w*|chang\w+|affect\w*|influenc\w+|correlat\w+|associat\w+)"
    r"|(?:no|nor|without|neither|lack of|absence of)(?: \w+){0,3}? (?:differen\w+|chang\w+|effects?|associations?|"
    r"correlations?|relations?\w*|advantages?|benefits?|influence|impact|improvements?|reductions?|evidence|"
    r"interactions?|more|better|less|worse)"
    r"|similar\w*|comparab\w+|alike|equal\w*|equivalen\w+|the same|unchanged|unaffected|non-?\s?significan\w*|"
    r"insignifican\w*|non-?inferior\w*|indistinguishable|identical)\b"
    r"|\bp(?: value)? ?(?:=|>|of|was) ?[0o]?[.·](?:0[6-9]|[1-9])\d*",
    re.IGNORECASE,
)
HEDGE = re.compile(
    r"\b(?:may|might|could|can|possib\w+|perhaps|suggest\w*|appear\w*|seem\w*|potential\w*|likely|probabl\w+|presum\w+|"
    r"tend\w*|trend\w*|hypothes\w+|unclear|uncertain\w*|not proven|cannot|limited|preliminary|think|unknown)\b",
    re.IGNORECASE,
)
CERTAIN = re.compile(
    r"\b(?:prov(?:e[ns]?|ed|ing)|proof|certain(?:ly)?|definit\w+|always|guarantee\w*|establish\w*|confirm\w*|"
    r"cure[sd]?|eliminat\w+|completely|entirely|must|shown? to|show(?:ed|s) that|demonstrat\w+ that)\b",
    re.IGNORECASE,
)
CAUSAL = re.compile(
    r"\b(?:caus(?:e[sd]?|ing|al)|le(?:d|ads?|ading) to|result(?:s|ed|ing)? (?:in|from)|due to|because of|owing to|"
    r"bring(?:s|ing)? about|brought about|responsible for|trigger\w*|induc\w+)\b",
    re.IGNORECASE,
)
ASSOCIATED = re.compile(
    r"\b(?:associat\w+|correlat\w+|link(?:s|ed)?|relat(?:ed|ionship|ion)s?|predict\w*)\b", re.IGNORECASE
)
# What a sentence only asks, supposes or plans, and words of a claim that say so too.
OPEN = re.compile(
    r"\b(?:whether|unclear|unknown|unproven|hypothes[ie]\w+|we (?:aimed|sought)|aims?|objectives?|purpose|"
    r"to (?:determine|investigate|evaluate|assess|examine|test|explore|establish|find out|clarify|ascertain)|"
    r"myth|fallacy|misconception|expected|believ\w+|belief|notion|claim(?:s|ed)? (?:that|of)|were told|assum\w+|"
    r"would have)\b|\?\s*$",
    re.IGNORECASE,
)
STILL_OPEN = re.compile(
    OPEN.pattern
    + r"|\b(?:investigat|evaluat|assess|examin|test|compar|stud(?:y|ie)|explor|determin|question|aim|sought|"
    r"uncertain|open|ask|plan)\w*",
    re.IGNORECASE,
)
ABSOLUTE = re.compile(
    r"\b(?:all|every(?:one|body)?|each|always|only|alone|entirely|throughout|solely|exclusively|confined|none|nobody|never|both)\b",
    re.IGNORECASE,
)
SIGNIFICANT = re.compile(r"(?<!not )(?<!no )(?<!non)(?<!non-)\b(?:statistically )?significant(?:ly)?\b", re.IGNORECASE)

_UP = """increase rise rose risen raise raised elevate elevated higher greater more larger longer above gain gained grew
    grow enhance enhanced upward accelerate accelerated prolong prolonged exceed exceeded heighten surge older commoner
    oftener prone likelier bigger extend extended lengthen frequent up expand most highest largest longest"""
_DOWN = """decrease fall fell fallen lower lowered reduce reduced reduction drop dropped decline declined fewer less
    smaller shorter below diminish diminished downward cut lessen shorten shortened shrink shrank curtail drops dip
    younger least lowest smallest shortest rarer scarcer slow down minimise minimize"""
_GOOD = """improve improved improvement better superior favour favor favoured favored benefit beneficial protect
    protective outperform outperformed best effective safer safe prevent prevents prevented profit successful recover"""
_BAD = """worse worsen worsened inferior deteriorate deteriorated harm harmful worst poorer ineffective aggravate
    exacerbated impair impaired endanger unsafe detrimental degrade damage toxic"""
_PAIRS = """before after|acute chronic|positive negative|early late|earlier later|faster slower|inpatient outpatient|
    left right|upper lower|proximal distal|benign malignant|pregnant lactating|old young|older younger|elderly young|
    first last|first second|both either|
    maximum minimum|oral intravenous|with without|presence absence|present absent|open closed|light deep|
    mild severe|short long|high low|anterior posterior|lateral medial|more fewer|systolic diastolic|hyper hypo|
    prospective retrospective|sensitivity specificity|unilateral bilateral|internal external|superior inferior|
    strong weak|common rare|large small|all none|always never|type-1 type-2|subjective objective|accept reject|
    treated untreated|contraindicated indicated|
    contraindicated recommended|contraindicated safe|excluded included|encouraged discouraged|withheld given|
    withheld offered|prevented caused|prevented induced|true false|mandatory optional|required optional|
    recommended optional|needed optional|necessary optional|stopped started|stopped continued|daily weekly|
    daily monthly|weekly monthly|preoperative postoperative|stable unstable|necessary unnecessary|survival death|
    survival mortality|permitted prohibited|allowed prohibited|avoided started|avoided used|avoided given|
    well poorly|good poor|few most|few many|precedes follows|absolute relative|double halve|treatment control|
    resected irradiated|discouraged performed|discouraged recommended|forbidden allowed|rejected supported|
    refuted supported|refuted confirmed|low raised|low elevated|lost gained|inhibits induces|activates inhibits|
    overestimated underestimated|arterial venous|invasive noninvasive|primary secondary"""
_SYNONYMS = """show demonstrate reveal find indicate observe see note display|study trial investigation research|
    patient subject participant people person individual volunteer case|child paediatric pediatric kid childhood|
    woman female women girl|man male men boy|die death mortality dead fatal|alive survive survival survivor|
    kidney renal nephropathy|heart cardiac|liver hepatic|lung pulmonary|brain cerebral|breast mammary|
    frequent common often|rare uncommon infrequent seldom|receive give take get treat assign administer have|
    get improve better|compare relative versus against than|similar comparable alike equal same differ difference|
    associate link relate correlate connect tie|include enrol enroll recruit comprise|
    perform carry conduct undertake do|
    occur happen develop arise appear experience|sham placebo dummy|effect impact influence affect|
    method technique approach|begin start onset initiate|stop end halt cease discontinue terminate|
    increase rise grow raise gain|decrease decline fall drop reduce lower cut diminish lessen|large big great sizeable|
    small little minor|important relevant|use usage employ utilise utilize apply|assess evaluate examine measure test
    investigate study|outcome result finding endpoint|rate frequency incidence proportion share|obtain acquire get|
    detect identify pick find recognise recognize|stay remain|vary differ|safe safety harmless|adverse side complication
    harm toxicity|severe serious grave major|judge consider regard deem classify class label think|allocate assign
    randomise randomize random|day daily|year yearly annual|month monthly|week weekly|surgery operation surgical|
    intubate intubation|reintubate intubate|infarction attack|stroke cerebrovascular|cancer tumour tumor malignancy
    carcinoma|image imaging scan|drug medication agent|half 50|need require|nearly almost about approximately around|
    visit consultation appointment|respond response responder|side unilateral|ulcer wound sore|heal close closed|
    whereas while although though|prior before previous|follow after|group arm|score rate point|pain ache|
    genuine real true|long-standing chronic persistent|drain drainage|haemoglobin hemoglobin|ill illness sick|
    add addition additional extra|favour prefer|compute computed|plan intend|illuminate explain|toddler child|
    determine establish ascertain|confine limit restrict|predict predictor predictive|independent independently alone|
    transfer convey|discharge release|poor bad badly|well good excellent|able can|precise accurate exact"""
# Before a word that is the other's opposite: "unstable", "contraindicated"; and pairs in the place of one another.
_NEGATING = ("un", "non", "in", "im", "ir", "il", "dis", "a", "contra", "anti")
_FACING = (("pre", "post"), ("ante", "post"), ("hypo", "hyper"), ("over", "under"), ("intra", "extra"),
           ("macro", "micro"), ("supra", "infra"), ("mono", "bi"), ("uni", "bi"), ("endo", "exo"), ("pro", "anti"),
           ("immunocompetent", "immunocompromised"), ("in", "ex"), ("up", "down"), ("homo", "hetero"),
           ("super", "sub"))  # fmt: skip


@lru_cache(maxsize=1 << 15)
def prefixed(word: str) -> frozenset[str]:
    """Return what a word would be with a negating prefix more, with one less, or with the opposite prefix."""
    found = {prefix + word for prefix in _NEGATING if len(word) > 3}
    found |= {word[len(prefix) :] for prefix in _NEGATING if word.startswith(prefix) and len(word) - len(prefix) > 3}
    for pair in _FACING:
        for one, other in (pair, pair[::-1]):
            if word.startswith(one):
                found.add(other + word[len(one) :])
    return frozenset(found)


_GROUPS = {
    "age": "child children paediatric pediatric infant neonate newborn adolescent toddler girl boy childhood | adult "
    "| elderly geriatric",
    "sex": "woman women female mother girl | man men male father boy",
    "reproduction": "pregnant pregnancy gestation gestational | lactating breastfeeding postpartum | postmenopausal",
    "species": "rat rats mouse mice dog dogs beagle rabbit pig swine animal | patient volunteer human person people",
    "health": "patient patients | volunteer healthy-volunteer",
    "setting": "outpatient ambulatory | inpatient hospitalised hospitalized",
}


@lru_cache(maxsize=1 << 15)
def stem_of(word: str) -> str:
    """Return the index term of a word, function words too."""
    terms = tokenize(word)
    return terms[0] if terms else word.lower()


@cache
def signs() -> dict[str, tuple[str, int]]:
    """Return for each stem of a direction word its axis, ``"amount"`` or ``"worth"``, and +1 or -1."""
    table = {}
    for axis, words, sign in (("amount", _UP, 1), ("amount", _DOWN, -1), ("worth", _GOOD, 1), ("worth", _BAD, -1)):
        table.update({word: (axis, sign) for one in words.split() for word in (one, stem_of(one))})
    return table


@cache
def opposites() -> dict[str, frozenset[str]]:
    """Return for each stem the stems of its opposites."""
    table: dict[str, set[str]] = {}
    for pair in _PAIRS.split("|"):
        one, two = (word.replace("type-", "type ") for word in pair.split())
        table.setdefault(stem_of(one), set()).add(stem_of(two))
        table.setdefault(stem_of(two), set()).add(stem_of(one))
    return {word: frozenset(others) for word, others in table.items()}


@cache
def synonyms() -> dict[str, frozenset[str]]:
    """Return for each stem the stems that may stand for it."""
    table: dict[str, set[str]] = {}
    for line in _SYNONYMS.split("|"):
        stems = {stem_of(word) for word in line.split()}
        for stem in stems:
            table.setdefault(stem, set()).update(stems)
    return {word: frozenset(others) for word, others in table.items()}


@cache
def groups() -> dict[str, tuple[tuple[str, int], ...]]:
    """Return for each stem that names people its axes, with the number of the group on each."""
    table: dict[str, list[tuple[str, int]]] = {}
    for axis, line in _GROUPS.items():
        for number, words in enumerate(line.split("|")):
            for word in words.split():
                table.setdefault(stem_of(word), []).append((axis, number))
    return {word: tuple(dict.fromkeys(found)) for word, found in table.items()}
