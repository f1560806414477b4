from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radrag.indexes.hybrid import HybridIndex
from radrag.indexes.tokens import fingerprint, token_spans, tokenize
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
    ("hepatitis A", "hepat a"),
    ("I think type I", "think type i"),
    ("CT OF THE CHEST IS NORMAL", "ct chest normal"),
    ("", ""),
]


@pytest.mark.parametrize(("text", "terms"), RULES)
def test_rule(text: str, terms: str) -> None:
    assert tokenize(text) == terms.split()


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


ALPHABET = st.sampled_from(
    [*"aAIilLsSéßİıμµαΣς²½ﬁ0123.,-‑/'’+ \n\u0301", "vitamin", "IL-6", "non-", "Crohn's", "0.5mg"]
)


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


def test_fingerprint_is_the_one_of_format_1() -> None:
    assert fingerprint() == "1f8ca901676928be"  # a change makes every index out there unreadable
