from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radrag.corpora import split_sentences

# Each case is the list of its sentences, split by hand.
CASES = {
    "title and name": ["Seen by Dr. Smith and Prof. J. K. Jones.", "No change."],
    "question number": ["Is there a PE?", "No.", "The left lung is clear."],
    "number after No.": ["Compared with exam No. 5 of 2019.", "Stable."],
    "decimals and units": ["D-dimer was 0.5 mg/L.", "eGFR fell by 3.2 mL/min/1.73 m2 vs. 1.1.", "P was .04."],
    "citation in text": ["As shown by Smith et al. (2003) and Wu et al. [4], yield is low."],
    "et al before a starter": ["This was shown by Smith et al.", "We agree."],
    "figure": ["See Fig. 2 and Figs. S1 to S3, p. 3.", "Then stop."],
    "genus": ["Cultures grew E. coli and S. Aureus.", "Antibiotics were given."],
    "letter that names": ["They took vitamin C.", "Patients improved.", "He had hepatitis B.", "Treatment began."],
    "multiple sclerosis is no title": ["Known relapsing MS.", "Smith saw no new lesions."],
    "latin": ["Give contrast, e.g. Iohexol, i.e. A low-osmolar agent, ca. 80 mL, approx. 2 mL/s, cf. St. George."],
    "dosing": ["Prednisone 50 mg p.o. q8h was given b.i.d.", "Continue."],
    "country": [
        "Made by Acme Inc. Boston for A.B. Smith in the U.S. Food sector.",
        "In the U.S.",
        "The cost was high.",
    ],
    "quote and bracket after the stop": ["He said “no pain.”", "(It was mild.)", "[Translated.]", "End."],
    "reference after the stop": ["Yield was low.[3,4]", "It rose later."],
    "small-letter names": ["It was wild type.", "p53 was lost.", "mRNA rose.", "α-Synuclein did not."],
    "numbered inline": ["IMPRESSION: 1. No PE.", "2. Nodule of 4 mm."],
    "question marks before words": ["?PE ?DVT in a 44M."],
    "ellipsis": ["Wait...", "Then he coughed."],
    "exclamation inside": ["The Yahoo! group met.", "Done."],
    "no capitals": ["hx of dvt.", "now sob.", "pt. has cp for approx. 2 hrs. and fever."],
    "tokenised": ["Values were 0 . 5 and 3 ( n = 4 . )", "Next one ( a ) .", "Wu et al . ( 2003 ) agree ."],
    "month": ["Seen on Jan. 5 and in Dec. 2019.", "Stable since Dec.", "Next scan is due."],
}

BLOCKS = {
    "# CT\n## Safety\nCheck eGFR\nfirst. Then scan.": ["# CT", "## Safety", "Check eGFR\nfirst.", "Then scan."],
    "One line\n\nanother": ["One line", "another"],
    "One line\r\n \t\r\nanother": ["One line", "another"],
    "List:\n- item one\n  goes on\n* item two. More.\n• three": [
        "List:",
        "- item one\n  goes on",
        "* item two.",
        "More.",
        "• three",
    ],
    "1. No PE\n2. Nodule. Follow up.\n10) Last": ["1. No PE", "2. Nodule.", "Follow up.", "10) Last"],
    "FINDINGS:\nLungs clear\nIMPRESSION: Normal": ["FINDINGS:\nLungs clear", "IMPRESSION: Normal"],
    "| a | b |\n|---|---|\n| 1. | 2 |": ["| a | b |", "|---|---|", "| 1. | 2 |"],
    "One.\n---\nTwo.": ["One.", "---", "Two."],
    "#hash is no heading\nhere": ["#hash is no heading\nhere"],
}


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in split_sentences(text)]


@pytest.mark.parametrize("expected", CASES.values(), ids=CASES.keys())
def test_clinical_sentences(expected: list[str]) -> None:
    assert sentences(" ".join(expected)) == expected


@pytest.mark.parametrize("expected", CASES.values(), ids=CASES.keys())
def test_a_line_break_between_sentences_changes_nothing(expected: list[str]) -> None:
    assert sentences("\n".join(expected)) == expected


def test_a_missing_space_after_a_stop() -> None:
    assert sentences("There is an effusion.Heart size is normal.") == ["There is an effusion.", "Heart size is normal."]


@pytest.mark.parametrize(("text", "expected"), BLOCKS.items())
def test_lines_that_end_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


PIECES = st.one_of(
    st.sampled_from([".", "!", "?", " ", "\n", "\n\n", "\t", "(", ")", "]", "”", "\u2003", "\r\n", "\x85", "\x1c"]),
    st.sampled_from(["Dr.", "e.g.", "et al.", "word", "Word", "A", "0.5", "é", "β", "[1]", "IMPRESSION:"]),
    st.sampled_from(["# ", "- ", "1. ", "```", "| a |", "---"]),
)
TEXTS = st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=60).map("".join))


@given(TEXTS)
def test_sentences_cover_all_but_white_space_in_order(text: str) -> None:
    spans = split_sentences(text)
    assert "".join("".join(text[a:b].split()) for a, b in spans) == "".join(text.split())
    assert all(0 <= a < b <= len(text) and text[a:b] == text[a:b].strip() for a, b in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


@given(TEXTS, TEXTS)
def test_a_blank_line_separates_texts(first: str, second: str) -> None:
    joined = f"{first}\n\n{second} Capitalised"
    assert not any(a < len(first) and b > len(first) + 2 for a, b in split_sentences(joined))


@pytest.mark.parametrize("unit", [".", "? ", ".)", "1. ", "- \n", " ", "#", "a\n", "A b c. ", ".[1", "(", "| \n", "`"])
def test_time_grows_with_the_length_only(unit: str) -> None:
    """A hundred times the text takes nowhere near ten thousand times as long."""
    small, large = (unit * (size // len(unit)) for size in (10_000, 1_000_000))
    start = time.perf_counter()
    split_sentences(small)
    middle = time.perf_counter()
    split_sentences(large)
    assert time.perf_counter() - middle < 1000 * (middle - start) + 1
