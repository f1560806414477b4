from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radrag.corpora import load_notes, load_protocols
from radrag.indexes import spelling, tokens
from radrag.indexes.hybrid import HybridIndex
from radrag.indexes.tokens import fingerprint, passage_terms, query_terms, token_spans, tokenize
from radrag.types import Document

RULES = [
    ("IL-6", "il6 il 6"),
    ("IL‑6", "il6 il 6"),
    ("vitamin D", "vitamin d"),
    ("T2-weighted", "t2weighted t2 weight"),
    ("β-blocker", "betablock beta blocker"),
    ("beta-blocker", "betablock beta blocker"),
    ("18F-FDG", "18ffdg 18f fdg"),
    ("HbA1c", "hba1c"),
    ("0.5 mg", "0.5 mg"),
    ("0.5mg", "0.5 mg"),
    ("1,000 mg", "1000 mg"),
    ("5 μg", "5 ug"),
    ("5 µg", "5 ug"),
    ("COVID-19", "covid19 covid 19"),
    ("non-contrast", "noncontrast"),
    ("noncontrast", "noncontrast"),
    ("L-spine", "lspine l spine"),
    ("Ca2+", "ca2+ ca2"),
    ("p53", "p53"),
    ("AIDS", "aids"),
    ("aids", "aid"),
    ("Crohn's", "crohn"),
    ("Crohn’s", "crohn"),
    ("MRIs", "mri"),
    ("PET/CT", "pet ct"),
    ("US", "us"),
    ("us", ""),
    ("A mass", "mass"),
    ("NM BONE SCAN TC99M MDP", "nm bone scan 99mtc mdp"),
    ("technetium 99m MDP", "technetium 99mtc mdp"),
    ("p.o./i.v.-given, e.g. at 5 a.m.", "po ivgiven iv given 5"),
    ("Healed.A scar of L.monocytogenes", "heal scar l monocytogen"),
    ("hepatitis A", "hepatitis a"),
    ("I think type I", "think type i"),
    ("CT OF THE CHEST IS NORMAL", "ct chest normal"),
    ("HER-2/neu", "her2 her 2 neu"),
    ("PD-1/PD-L1", "pd1 pd 1 pdl1 pd l1"),
    ("BRCA1/2", "brca1 brca2"),
    ("grade 3/4", "grade 3 4"),
    ("anti-PD-1", "antipd1 antipd pd1 anti pd 1"),
    ("non-small-cell", "nonsmallcel nonsmal cell"),
    ("CD4+/CD8+", "cd4+ cd4 cd8+ cd8"),
    ("5-FU", "5fu 5 fu"),
    ("65-year-old", "65 year old"),
    ("10-mg", "10 mg"),
    ("2–3 days", "2 3 day"),
    ("1,25-dihydroxyvitamin", "125dihydroxyvitamin 1 25 dihydroxyvitamin"),
    ("10 000", "10000"),
    ("1\u2009000", "1000"),
    ("12 345", "12 345"),
    ("0,5 mg", "0.5 mg"),
    ("p<.05", "p 0.05"),
    ("37.5°C", "37.5 c"),
    ("10^9/L", "10 9 l"),
    ("22q11.2", "22q11.2"),
    ("disease.5", "diseas 5"),
    ("reported(12)", "report 12"),
    ("fluo\u00adrescence", "fluoresc"),
    ("Kymriah™ (tisagenlecleucel)", "kymriah tisagenlecleucel"),
    ("Soluvia℠", "soluvia"),
    ("IL\u200e-6", "il6 il 6"),
    ("10⁹/L", "10 9 l"),
    ("10¹²", "10 12"),
    ("2½ mg", "2 1 2 mg"),
    ("position-tracking", "positiontrack position track"),
    ("mineralocorticoid", "mineralocorticoid"),
    ("severalfold", "severalfold"),
    ("doesn't", ""),
    ("mRNAs", "mrna"),
    ("CT OF VITAMIN A AND LIVER", "ct vitamin liver"),
    ("", ""),
]


@pytest.mark.parametrize(("text", "terms"), RULES)
def test_rule(text: str, terms: str) -> None:
    assert tokenize(text) == terms.split()


SAME = [
    "TNF-alpha TNF-α TNFα TNFalpha|TNF alpha|TNF α|TNF−α",
    "IL-1β IL-1beta|IL-1 beta|IL-1 β",
    "NF-κB NF-kappaB NFκB NFkB NF-kB|NF-kappa B",
    "18F-FDG [18F]FDG [18F]-FDG (18)F-FDG [(18)F]FDG",
    "F-18 F18 f-18 18F (18)F fluorine-18",
    "Tc-99m Tc99m TC99M tc-99m 99mTc (99m)Tc technetium-99m",
    "I-131 I131 131I iodine-131",
    "Tc-99m-MDP Tc99m-MDP 99mTc-MDP",
    "Ga-68 Ga68 68Ga",
    "IV i.v. I.V. i.v",
    "BID b.i.d. B.I.D.",
    "gas gases",
    "toe toes",
    "echo echoes",
    "bias biases",
    "ureter ureters ureteral ureteric",
    "urethra urethral",
    "extremity extremities",
    "uterus uteri",
    "meniscus menisci",
    "pneumothorax pneumothoraces",
    "foramen foramina",
    "varix varices",
    "pelvis pelves",
    "hilus hili",
    "epiphysis epiphyses",
    "5mcg 5ug 5µg|5 mcg|5 μg",
    "12x8mm|12 x 8 mm|12x8 mm",
    "3.5x2.1cm|3.5 x 2.1 cm",
    "U.S. U.S.A. USA",
    "H2O2 H₂O₂ H(2)O(2)",
    "Ca2+ Ca²⁺ Ca(2+)",
    "CD4+ CD4(+)",
    "HbA1c HbA(1c)",
    "kg/m2 kg/m² kg/m(2)",
    "HLA-B*27 HLA-B-27",
    "Crohn's Crohn’s Crohn Crohns",
    "Sjögren Sjogren Sjögren's",
    "œsophagus oesophagus esophagus",
    "oedema edema",
    "haemorrhages hemorrhage",
    "tumour tumors",
    "anaemia anemia",
    "foetal fetal",
    "paediatric pediatric",
    "centre center centres",
    "randomised randomized",
    "analysed analyzed analysis analyses",
    "sulphate sulfate",
    "metastasis metastases",
    "bacterium bacteria",
    "emboli embolus",
    "vertebra vertebrae",
    "hepatitis hepatitides",
    "crisis crises",
    "psychosis psychoses",
    "diverticulum diverticula",
    "ganglion ganglia",
    "septum septa",
    "goitre goiter",
    "aluminium aluminum",
    "leucocytes leukocyte",
    "leucoencephalopathy leukoencephalopathy",
    "haem heme",
    "embolisation embolization embolized",
    "lactation lactating",
    "experiment experiments experimental",
    "mineral minerals mineralisation",
    "fibrillation fibrillating",
    "Yescarta Yescarta™ Yescarta®",
    "10^9/L 10⁹/L 10(9)/L",
    "APOE ApoE apoe",
    "TGF-ß TGF-β",
]
APART = ["hepatitis hepatic", "organism organ", "HER2 HER3", "0.5 5", "IBS ib", "toes doses", "noise nose"]
APART += [
    "H3 3H",
    "P32 32P",
    "CO2 57Co",
    "U.S. US",
    "gases gastric",
    "luteinizing lutein",
    "extremity extreme",
    "ureter urethra",
]
APART += ["several severe", "position positive", "embolization embolism", "colonization colon", "lactation lactate"]
APART += ["fibrillation fibrils", "medication medical", "experiment experience", "enteral enteric", "enteric enter"]
APART += ["humoral humor", "conception concept", "carbonate carbon", "carbonic carbon", "mineral miners"]
APART += ["actinic actin", "vertebrate vertebral", "affective affected", "subjective subjects", "transition transit"]
APART += ["mineralocorticoid mineral", "leucine leukine", "10⁹ 109", "2½ 21"]
APART += ["hyperkalemia hypokalemia", "dysphagia dysphasia", "ileum ilium", "prednisone prednisolone", "SGLT1 SGLT2"]


@pytest.mark.parametrize("line", SAME)
def test_spellings_of_one_thing_meet(line: str) -> None:
    first, *spaced = line.split("|")
    forms = [*first.split(), *spaced]
    assert len({tuple(tokenize(form)) for form in forms}) == 1, {form: tokenize(form) for form in forms}
    assert tokenize(forms[0])


@pytest.mark.parametrize("line", APART)
def test_different_things_stay_apart(line: str) -> None:
    left, right = line.split()
    assert not set(tokenize(left)) & set(tokenize(right))


@pytest.mark.parametrize(
    "surface", ["IL-6", "TNFα", "anti-PD-1", "BRCA1/2", "[18F]FDG", "10 000", "vitamin A", "Tc99m", "i.v"]
)
def test_punctuation_around_changes_nothing(surface: str) -> None:
    assert tokenize(f"({surface}), or") == tokenize(f"see {surface}.")[1:] == tokenize(surface)


def test_passages_are_indexed_under_their_own_terms_only() -> None:
    text = "Pulmonary embolism (PE) is common. PE kills."
    assert passage_terms(text) == tokenize(text)


@pytest.mark.parametrize(
    ("question", "terms"),
    [
        ("List symptoms of gout.", "symptom symptom gout gout"),
        ("Describe the mechanism of action of aspirin", "aspirin aspirin"),
        ("Is IL-6 raised?", "il6 il6 il6 il 6 rais rais"),
        ("Is it Crohn disease?", "crohn crohn crohn diseas diseas"),
        ("Which p53 mutations", "p53 p53 p53 mutat mutat"),
        ("Gout symptoms", "gout gout symptom symptom"),
        ("describe", "describ describ"),
        ("", ""),
    ],
)
def test_a_question_is_weighed(question: str, terms: str) -> None:
    assert query_terms(question) == terms.split()


@given(st.lists(st.sampled_from(["IL-6", "gout", "CT", "of", "the", "Ca2+", "β"]), max_size=8).map(" ".join))
def test_a_question_that_only_names_has_the_terms_of_tokenize(text: str) -> None:
    assert list(dict.fromkeys(query_terms(text))) == list(dict.fromkeys(tokenize(text)))


def test_a_full_memory_of_terms_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_KEPT", 3)
    text = "One two-way beta (gamma) delta; epsilon four five six."
    assert tokenize(text) == [term for term, _, _ in token_spans(text)]
    assert len(tokens._BY_CHUNK) <= 3


# query, the passage that answers it, a passage that only looks alike
SEARCHES = [
    ("IL-6", "Serum IL-6 was raised.", "Serum IL-8 was raised."),
    ("vitamin D", "Give vitamin D daily.", "Give vitamin K daily."),
    ("T2", "Bright on T2 images.", "Bright on T1 images."),
    ("beta-blocker", "Took a β-blocker today.", "Took a calcium blocker today."),
    ("β-blocker", "Took a beta-blocker today.", "Took a calcium blocker today."),
    ("18F-FDG", "Imaging with 18F-FDG tracer.", "Imaging with 18F-PSMA tracer."),
    ("FDG", "Imaging with 18F-FDG tracer.", "Imaging with 18F-PSMA tracer."),
    ("HbA1c", "The HbA1c was high.", "The HbA was high."),
    ("0.5 mg", "Dose of 0.5mg given.", "Dose of 5 mg given."),
    ("5 mg", "Dose of 5mg given.", "Dose of 0.5 mg given."),
    ("COVID-19", "Had COVID-19 before.", "Had covid before at 20."),
    ("non-contrast", "A noncontrast head study.", "A contrast head study."),
    ("contrast", "A contrast head study.", "A non-contrast head study."),
    ("L-spine", "Pain of the L-spine now.", "Pain of the T-spine now."),
    ("Ca2+", "Measured Ca2+ inflow.", "Measured Ca2 inflow."),
    ("p53", "Mutated p53 found.", "Mutated p63 found."),
    ("AIDS", "Lives with AIDS here.", "Lives with hearing aids here."),
    ("aids", "Lives with hearing aids here.", "Lives with AIDS now here."),
    ("Crohn", "Known Crohn's disease.", "Known coeliac disease."),
    ("Crohn's", "Known Crohn disease.", "Known coeliac disease."),
    ("hepatitis A", "Vaccine for hepatitis A exists.", "Vaccine for hepatitis B exists."),
]


@pytest.mark.parametrize(("query", "right", "wrong"), SEARCHES)
def test_search_tells_them_apart(tmp_path: Path, toy: Any, query: str, right: str, wrong: str) -> None:
    with HybridIndex.create(tmp_path / "index", encoder=toy()) as index:
        index.add([Document("a-wrong", wrong), Document("b-right", right), Document("c", "An unrelated remark.")])
        hits = index.search(query, mode="lexical")
    assert hits[0].passage.document_id == "b-right"
    assert len(hits) == 1 or hits[0].score > hits[1].score


MARKS = [*"aAIilLsSéßİıμµαΣς²½⁹™ﬁ0123.,-‑/'’+ \n\u0301()[]*\u00ad\u2009"]
WORDS = "vitamin|IL-6|non-|Crohn's|0.5mg|[18F]FDG|(2+)| alpha| 000| A|H(2)O| B|don't|kappa".split("|")
ALPHABET = st.sampled_from([*MARKS, *WORDS])


@given(st.lists(ALPHABET, max_size=30).map("".join))
def test_spans_have_the_terms_of_tokenize_and_lie_in_order(text: str) -> None:
    found = token_spans(text)
    assert [term for term, _, _ in found] == tokenize(text)
    assert all(0 <= start < end <= len(text) for _, start, end in found)
    assert [start for _, start, _ in found] == sorted(start for _, start, _ in found)


def test_spans_slice_the_source() -> None:
    text = "Gave 5mg; a β-blocker, Crohn’s and vitamin A."
    surfaces = dict.fromkeys(text[start:end] for _, start, end in token_spans(text))
    assert list(surfaces) == ["Gave", "5mg", "β-blocker", "Crohn’s", "vitamin", "A"]


def test_spans_count_what_normalising_drops() -> None:
    text = "1\u2009000 fluo\u00adrescent Sjo\u0308gren ½ Soluvia™, 2½ of 10⁹"
    surfaces = [text[start:end] for _, start, end in token_spans(text)]
    assert surfaces == ["1\u2009000", "fluo\u00adrescent", "Sjo\u0308gren", "½", "½", "Soluvia", *"2½½", "10", "⁹"]


def looped(text: str) -> list[str]:
    """The weighed terms by one loop over the words, the way they are meant; quadratic in a long word."""
    terms: list[str] = []
    for place, (surface, _, _) in enumerate(tokens._surfaces(tokens._prepare(text))):
        named = re.search(r"[A-Z].*[A-Z0-9]|[A-Za-z].*\d|\d.*[A-Za-z]", surface) or (place and surface[0].isupper())
        for rank, term in enumerate(tokens._surface_terms(surface)):
            terms.extend([term] * (1 if rank else 3 if named else 2))
    return terms


@given(st.lists(ALPHABET | st.sampled_from([*"BÀπ٣ _:?"]), max_size=30).map("".join))
def test_remembered_chunks_weigh_as_one_loop_does(text: str) -> None:
    assert tokens._weighed(text) == looped(text)


@given(st.lists(st.sampled_from(["A", "b", "s", "1", "ab", "S"]), max_size=8).map("".join))
def test_plural_acronyms_are_the_same(word: str) -> None:
    meant = r"(?:[A-Za-z][a-z]{0,2})?[A-Z]{2,}[A-Z0-9]*s|[A-Z][A-Z0-9]+s"
    assert bool(spelling._PLURAL_ACRONYM.fullmatch(word)) == bool(re.fullmatch(meant, word))


def test_shipped_corpora_have_the_weights_of_the_loop() -> None:
    texts = [document.text for document in load_protocols()] + [note.text for note in load_notes()[:300]]
    assert len(texts) > 300
    for text in texts:
        assert tokens._weighed(text) == looped(text)
        assert [term for term, _, _ in token_spans(text)] == tokenize(text)


@pytest.mark.parametrize("unit", ["A", "a", "1", "a-", "1.", "a.", "ﬁ"])
def test_a_very_long_word_is_read_in_one_go(unit: str) -> None:
    """Where the time grows with the square of a length, this takes minutes."""
    for read in (tokenize, query_terms, token_spans):
        assert read(unit * 100_000)


def test_fingerprint_is_the_one_of_version_4() -> None:
    assert fingerprint() == "be0534d061b23bf7"  # a change makes every index out there unreadable
