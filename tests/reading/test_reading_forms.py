"""Answer forms: hand-written messy replies, and every recorded output of the development data."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radrag.reading.forms import Failure, Form, Parsed, parse, recognise

YES_NO = {"A": "yes", "B": "no"}
DRUGS = {"A": "alteplase", "B": "tenecteplase", "C": "neither of them", "D": "vitamin D"}
DATA = Path(os.environ.get("RADRAG_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
RECORDED = DATA / "recorded_llm_outputs_bioasq_7b_9b.jsonl.gz"
F = Failure


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Yes.", "yes"),
        ("yes", "yes"),
        ("**No.** It fails [1].", "no"),
        ("Maybe: data are mixed.", "maybe"),
        ("No\nBecause it fails.", "no"),
        ('"Yes," the trial says.', "yes"),
        ("The answer is no.", "no"),
        ("Studies differ. Therefore, the answer is: Maybe.", "maybe"),
        ("If it worked, the answer would be yes. It does not, so the answer is no.", "no"),
        ('{"answer": "Yes"}', "yes"),
        ('{"reason": "it works", "verdict": "No."}', "no"),
        ('```json\n{"answer": "maybe"}\n```', "maybe"),
        ("", F.EMPTY),
        (" \n", F.EMPTY),
        ('{"answer": ""}', F.EMPTY),
        ("No significant difference was found.", F.NONE),
        ("Maybe half of them benefit.", F.NONE),
        ("Yes and no.", F.NONE),
        ("Yes or no, it depends.", F.NONE),
        ("Nothing speaks for it.", F.NONE),
        ("It works.", F.NONE),
        ("Yes. No.", F.SEVERAL),
        ("The answer is yes. On reflection, the answer is no.", F.SEVERAL),
        ("Yes. But on balance the evidence fails; the final answer is no.", F.CONTRADICTION),
        ('{"reason": "So the answer is no.", "answer": "yes"}', F.CONTRADICTION),
        ('{"answer": "yes", "verdict": "no"}', F.SEVERAL),
        ('{"answer": "yes", "answer": "no"}', F.BROKEN),
        ("The answer is yes, if pregnant.", F.CONDITIONAL),
        ("Yes, if the patient is pregnant; otherwise no.", F.CONDITIONAL),
        ("Yes - but only in adults.", F.CONDITIONAL),
        ("Yes, but\nonly in adults.", F.CONDITIONAL),
        ("No [1], unless the dose is high.", F.CONDITIONAL),
        ("Yes. The answer is yes, except in children.", F.CONDITIONAL),
        ('{"answer": "Yes, if pregnant", "reason": "so the answer is yes"}', F.CONDITIONAL),
        ('{"reason": "Overall, the answer is yes, provided that it is given early.", "answer": "yes"}', F.CONDITIONAL),
        ("Yes, even if the patient is pregnant.", "yes"),
        ("Yes, in otherwise healthy adults, and not only in them.", "yes"),
        ("Yes. Only adults were studied.", "yes"),
        ("**Yes.** If it fails, repeat it.", "yes"),
        ("Yes\nOnly adults were studied.", "yes"),
        ("Some say: the answer is yes.", F.NONE),
        ("According to the trial, the answer is yes.", F.NONE),
        ("Some say: the answer is yes. They err. The answer is no.", "no"),
        ("\u200b", F.EMPTY),
        ("Unknown.", F.DECLINED),
        ('{"answer": "yes"', F.BROKEN),
        ('Sure! {"answer": "yes"}', F.BROKEN),
        ('{"answer": true}', F.NONE),
        ('{"answer": ["yes"]}', F.NONE),
        ('{"reply": "yes"}', F.NONE),
        ('["yes"]', F.NONE),
        ('{"answer": null}', F.DECLINED),
        ("Not enough evidence.", F.DECLINED),
        ("I cannot answer this question.", F.DECLINED),
        ("Unable to answer without specific data", F.DECLINED),
        ("Request timed out: HTTPSConnectionPool(host='example.org', port=443)", F.ERROR),
        ("Error: 429 too many requests", F.ERROR),
    ],
)
def test_yes_no(text: str, value: str) -> None:
    check("yesno", text, value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A", "A"),
        ("(b)", "B"),
        ("B.", "B"),
        ("**B**", "B"),
        ("B. tenecteplase", "B"),
        ("B) Tenecteplase.", "B"),
        ("Option C: neither of them", "C"),
        ("tenecteplase", "B"),
        ("Vitamin D", "D"),
        ("B. tenecteplase\nIt is easier to give.", "B"),
        ("Both were tried. The answer is B. tenecteplase", "B"),
        ("So the correct option is (C).", "C"),
        ('{"step_by_step_thinking": "1. ... Therefore, the answer is A. alteplase.", "answer_choice": "A"}', "A"),
        ('{"step_by_step_thinking": "If it is new, the answer is B, otherwise A.", "answer_choice": "A"}', "A"),
        ("A study compares the two.", F.NOT_AN_OPTION),
        ("E", F.NOT_AN_OPTION),
        ("D. alteplase", F.CONTRADICTION),
        ("A and B", F.SEVERAL),
        ("A, B", F.SEVERAL),
        ("The answer is A. Wait. The answer is B.", F.SEVERAL),
        ('{"thinking": "Thus, the answer is B.", "answer_choice": "A"}', F.CONTRADICTION),
        ('{"step_by_step_thinking": "the "fast track" drug", "answer_choice": "A"}', F.BROKEN),
        ('The drug works.", "answer_choice": "B"}', F.BROKEN),
        ('{"step_by_step_thinking": "x", "answer_choice": "Unknown"}', F.DECLINED),
        ('{"step_by_step_thinking": "x", "answer_choice": "Information not available"}', F.DECLINED),
        ("Neither drug was studied in enough people to tell which of them would be the better one here.", F.NONE),
    ],
)
def test_choice(text: str, value: str) -> None:
    check("choice", text, value, DRUGS)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("BRCA1", "BRCA1"),
        ("The answer is BRCA1.", "BRCA1"),
        ("Answer: 1,25-dihydroxyvitamin D", "1,25-dihydroxyvitamin D"),
        ('{"answer": "0.5 mg"}', "0.5 mg"),
        ('["chromosome 4"]', "chromosome 4"),
        ("not known", F.DECLINED),
        *((text, F.DECLINED) for text in ("None", "none.", "Unknown", "unknown, so far", "N/A", "NA", "None of these")),
        ('["None"]', F.DECLINED),
        ("Unknown protein 2", "Unknown protein 2"),
        ("Na+", "Na+"),
        ("Null mutation", "Null mutation"),
        ("- aspirin", "aspirin"),
        ("1. aspirin", "aspirin"),
        ("1. Amoxicillin", "Amoxicillin"),
        ("(2) Amoxicillin.", "Amoxicillin"),
        ("Answer: 1. Amoxicillin", "Amoxicillin"),
        ("- The answer is aspirin.", "aspirin"),
        ("-5 mV", "-5 mV"),
        ("e. coli", "e. coli"),
        ("Aspirin; heparin", F.SEVERAL),
        ("aspirin or heparin", F.SEVERAL),
        ('["aspirin or heparin"]', F.SEVERAL),
        ("Aspirin OR heparin", F.SEVERAL),
        ("two or more", "two or more"),
        ("an OR of 2.5", "an OR of 2.5"),
        ("t(9;22)(q34;q11)", "t(9;22)(q34;q11)"),
        ("warfarin (Coumadin or Jantoven)", "warfarin (Coumadin or Jantoven)"),
        ("...", F.EMPTY),
        ("\u200b", F.EMPTY),
        ("\u200b\ufeff.", F.EMPTY),
        ("It was found in 1994. It is a gene.", F.NOT_SHORT),
        ("a b c d e f g h i j k l m", F.NOT_SHORT),
        ("- BRCA1\n- BRCA2", F.SEVERAL),
        ('["BRCA1", "BRCA2"]', F.SEVERAL),
        ("BRCA1\nIt repairs DNA.", F.NOT_SHORT),
    ],
)
def test_factoid(text: str, value: str) -> None:
    check("factoid", text, value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("- HPRD\n- STRING", ("HPRD", "STRING")),
        ("The databases are:\n1. HPRD\n2. 1,2-dioxygenase base", ("HPRD", "1,2-dioxygenase base")),
        ("HPRD; STRING; MIPS.", ("HPRD", "STRING", "MIPS")),
        ("HPRD\nSTRING", ("HPRD", "STRING")),
        ("HPRD", ("HPRD",)),
        ('{"answers": ["HPRD", "STRING"]}', ("HPRD", "STRING")),
        ("HPRD, STRING and MIPS", F.UNDIVIDED),
        ("- HPRD\nand then some", F.UNDIVIDED),
        ("HPRD; ;", F.UNDIVIDED),
        ('["HPRD", 3]', F.NONE),
        ("[]", F.EMPTY),
        ("None given", F.DECLINED),
        *((text, F.DECLINED) for text in ("None", "none", "- None", '["none"]', "- Unknown")),
        ('["none", "HPRD"]', F.CONTRADICTION),
        ("Unknown protein 2; STRING", ("Unknown protein 2", "STRING")),
        ("...", F.EMPTY),
        ("\u200b", F.EMPTY),
        ("HPRD\n...\nMIPS", F.UNDIVIDED),
    ],
)
def test_list(text: str, value: str | tuple[str, ...]) -> None:
    check("list", text, value)


@pytest.mark.parametrize("form", ["text", "summary"])
def test_texts_are_kept_as_they_are(form: str) -> None:
    check(form, "  It works.\n\nWell. ", "It works.\n\nWell.")
    check(form, '{"summary": "It works."}', "It works.")
    check(form, "[1] says that it works.", "[1] says that it works.")
    check(form, "", F.EMPTY)
    check(form, "\u200b", F.EMPTY)
    check(form, "None", "None")
    check(form, "Not enough evidence.", F.DECLINED)
    check(form, "Not enough evidence supports it, so it is rarely used.", F.DECLINED)


def check(form: str, text: str, value: object, options: dict[str, str] | None = None) -> None:
    found = parse(form, text, options)
    if isinstance(value, Failure):
        assert (found.value, found.failure) == (None, value), found
    else:
        assert (found.value, found.failure) == (value, ""), found


def test_failures_say_what_was_found() -> None:
    assert parse("yesno", "It works.").detail == "It works."
    assert "line 1" in parse("yesno", "{").detail
    assert parse("choice", "D. alteplase", DRUGS).detail.endswith("D. alteplase")


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="poem"):
        parse("poem", "x")
    with pytest.raises(ValueError, match="options"):
        parse("choice", "A")


@given(
    st.sampled_from(list(Form)),
    st.text(max_size=60) | st.sampled_from(["{", "[1", "yes", "- a", "``` ```", "A.", "{}"]),
)
def test_every_text_is_read_or_fails_with_a_reason(form: Form, text: str) -> None:
    found = parse(form, text, YES_NO)
    assert (found.value is None) == bool(found.failure)
    if found.value is not None and form is Form.YES_NO:
        assert found.value in text.lower()
    if found.value is not None and form is Form.CHOICE:
        assert found.value in YES_NO


@pytest.mark.parametrize(
    ("question", "form"),
    [
        ("Is CT safe?", "yesno"),
        ("Tocilizumab is an anti-TNF antibody, yes or no?", "yesno"),
        ("Which gene is mutated in Huntington disease?", "factoid"),
        ("What enzyme is inhibited by aspirin?", "factoid"),
        ("How many patients were enrolled?", "factoid"),
        ("List the main databases.", "list"),
        ("Which are the symptoms of Cushing syndrome?", "list"),
        ("Describe the genomiser.", "summary"),
        ("What is the mechanism of action of aspirin?", "summary"),
        ("How does aspirin work?", "summary"),
        ("What is genomiser?", "summary"),
        ("chest pain after surgery", "text"),
        ("", "text"),
    ],
)
def test_form_is_recognised(question: str, form: str) -> None:
    assert recognise(question) == form
    assert recognise(question, DRUGS) == "choice"


@pytest.mark.skipif(not RECORDED.is_file(), reason="needs the development data")
def test_every_recorded_output_is_accounted_for() -> None:
    with gzip.open(RECORDED, "rt", encoding="utf-8") as lines:
        outputs = [json.loads(line) for line in lines]
    found: list[Parsed] = [parse("choice", one["output"], one["options"]) for one in outputs]
    assert len(found) == 1636
    for ours, one in zip(found, outputs, strict=True):
        assert ours.failure != F.CONDITIONAL
        if ours.value != one["benchmark_parse"]:
            assert ours.value is None
            assert ours.failure
    assert sum(one.value is None for one in found) == 9
