import pytest

from radrag.corpora import load_evidence
from radrag.grounding import ground
from radrag.grounding.evidence_level import Design, evidence_level
from radrag.grounding.sample_size import as_number, sample_size
from radrag.types import Document, Draft, DraftClaim, Hit, Passage

# Enrolled totals of 60 shipped digests, counted by hand; None where the digest states none.
BY_HAND: dict[str, int | None] = {
    "29069260": 60, "26366285": 96, "11279304": 13, "18358928": 364, "24516491": 88, "28442930": 120,
    "27729796": 128, "29417084": 60, "28243598": 46, "28642008": 547, "18759980": 44, "28880931": 52,
    "26658907": None, "25393877": 22, "29416452": 50, "24391767": 93, "27896241": 186, "25582305": 40,
    "15693962": None, "22490643": 99, "12090760": None, "22080588": 659, "29416463": 90, "22619083": 2053,
    "22839577": 232, "28885566": 44, "12464714": 439, "23918559": 244, "25929311": 2496, "26603604": 17,
    "29264999": 100, "23573189": 189, "2980315": 20, "29142561": 71, "28761899": 92, "28278194": 20,
    "17491223": 40, "22291741": 1052, "24037003": 40, "23601254": 217, "22249480": 42, "9579567": 602,
    "25624534": 60, "15770205": 100, "28515522": 90, "11185967": 248, "29153463": 5861, "28130918": 305,
    "25793110": 12, "28878156": None, "28480650": 180, "16420663": 86, "12571256": 129, "26330717": 60,
    "11891467": None, "12644816": 20, "27279849": 133, "26273185": 10, "29201961": 100, "11079278": 22,
}  # fmt: skip


def test_sample_sizes_of_sixty_digests_counted_by_hand() -> None:
    digests = {document.id.removeprefix("PMID:"): document for document in load_evidence()}
    found = {name: sample_size(digests[name].text) for name in BY_HAND}
    assert {name: None if one is None else one.n for name, one in found.items()} == BY_HAND


@pytest.mark.parametrize(
    ("text", "n"),
    [
        ("We enrolled 1,052 patients at 67 centres.", 1052),
        ("Five hundred and eighty-three women were followed for 9 years.", 583),
        ("Two groups of 30 adults were compared.", 60),
        ("Patients were randomised to drug (n = 40) or placebo (n = 42).", 82),
        ("In all, 116 patients were compared with 128 treated before.", 244),
        ("The dose was 20 mg in 3 trials at 4 centres over 12 weeks.", None),
        ("Nothing is counted here.", None),
        ("", None),
    ],
)
def test_sample_size(text: str, n: int | None) -> None:
    found = sample_size(text)
    assert (None if found is None else found.n) == n
    if found is not None:
        assert 0 <= found.start < found.end <= len(text)


@pytest.mark.parametrize(
    ("words", "n"),
    [("1,052", 1052), ("12", 12), ("ninety-nine", 99), ("one hundred and twenty", 120), ("two thousand and five", 2005),
     ("many", None)],
)  # fmt: skip
def test_number_words(words: str, n: int | None) -> None:
    assert as_number(words) == n


@pytest.mark.parametrize(
    ("types", "design", "rank"),
    [
        (["Journal Article", "Randomized Controlled Trial"], Design.TRIAL, 2),
        (["Review", "Meta-Analysis"], Design.REVIEW, 1),
        (["Case Reports"], Design.CASE_REPORT, 7),
        (["Practice Guideline", "Review"], Design.GUIDELINE, None),
        ("Observational Study", Design.COHORT, 3),
    ],
)
def test_publication_types_decide(types: list[str], design: Design, rank: int | None) -> None:
    level = evidence_level(Document("d", "A randomised trial.", metadata={"publication_types": types}))
    assert (level.design, level.rank, level.basis, level.probability) == (design, rank, "stated", 1.0)


@pytest.mark.parametrize(
    ("text", "design"),
    [
        ("Patients were randomised, double-blind, to drug or placebo.", Design.TRIAL),
        ("A systematic review and meta-analysis of nine trials in patients.", Design.REVIEW),
        ("This case-control study compared women with matched controls.", Design.CASE_CONTROL),
        ("A retrospective cohort of patients was not randomised.", Design.COHORT),
        ("A 51 year old man arrived in coma.", Design.CASE_REPORT),
        ("Mice were randomised to saline or drug.", Design.LABORATORY),
        ("Nothing tells.", Design.UNKNOWN),
    ],
)
def test_designs_told_by_the_text_are_inferred(text: str, design: Design) -> None:
    level = evidence_level(Document("d", text))
    assert level.design is design
    assert level.basis == ("unknown" if design is Design.UNKNOWN else "inferred")
    assert level.probability < 1.0
    assert level.animal is (design is Design.LABORATORY)


def test_stronger_designs_weigh_more_and_animals_nothing() -> None:
    def weigh(name: str, text: str = "") -> float:
        return evidence_level(Document("d", text, metadata={"design": name})).weight

    ladder = ["systematic review", "randomised trial", "cohort", "case-control", "cross-sectional", "case series"]
    weights = [weigh(name) for name in ladder]
    assert weights == sorted(weights, reverse=True)
    assert weights[0] == weigh("guideline") == 1.0
    assert weigh("randomised trial", "Rats and mice.") == 0.0
    assert evidence_level(Document("d", "x", kind="guideline")).design is Design.GUIDELINE
    assert str(evidence_level(Document("d", "Patients were randomised."))) == "randomised trial, inferred"


@pytest.mark.parametrize(
    ("kind", "level", "size"),
    [("abstract", "randomised trial, inferred", 120), ("digest", "randomised trial, inferred", 120), ("text", "", None),
     ("guideline", "guideline", None)],
)  # fmt: skip
def test_a_citation_shows_kind_and_size_of_its_study(kind: str, level: str, size: int | None) -> None:
    text = "The drug healed ulcers. In all 120 patients were randomised to drug or placebo."
    source = Document("d", text, kind=kind)
    hit = Hit(Passage("d", 0, 23, text[:23], id=1), 1.0)
    grounded = ground(Draft((DraftClaim("The drug healed ulcers.", (1,)),)), [hit], lambda _: source)
    (citation,) = grounded.claims[0].citations
    assert (citation.level, citation.sample_size) == (level, size)
