"""The reader against sentences whose meaning was written down by hand, and against the shipped reports."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radrag.corpora import load_reports
from radrag.labelling.findings import FindingReader, Lexicon, read_lexicon
from radrag.labelling.findings.words import Spelling
from radrag.metrics import f1
from radrag.types import Label, Status

READER = FindingReader("chest")
WIDE = FindingReader("chest", wide=True)
WORDS = [
    "no",
    "effusion",
    "possible",
    "pneumonia",
    "edema",
    "versus",
    "but",
    "cleared",
    "XXXX",
    ",",
    ";",
    ".",
    "oedema",
]
SAID = [
    ("There is a small left pleural effusion.", "effusion", Status.PRESENT, None),
    ("No pleural effusion, pneumothorax, or focal consolidation.", "pneumothorax", Status.ABSENT, "No"),
    ("No pleural effusion, pneumothorax, or focal consolidation.", "consolidation", Status.ABSENT, "No"),
    ("No pneumothorax but a small effusion.", "effusion", Status.PRESENT, None),
    ("No pneumothorax, heart size is enlarged.", "cardiomegaly", Status.PRESENT, None),
    ("No edema, small left effusion.", "effusion", Status.PRESENT, None),
    ("Heart size is not enlarged.", "cardiomegaly", Status.ABSENT, None),
    ("No change in the right pleural effusion.", "effusion", Status.PRESENT, None),
    ("No significant interval change in pulmonary edema.", "edema", Status.PRESENT, None),
    ("Not only pneumonia but also an effusion is seen.", "pneumonia", Status.PRESENT, None),
    ("No increase in the left pneumothorax.", "pneumothorax", Status.PRESENT, None),
    ("Pneumonia cannot be excluded.", "pneumonia", Status.UNCERTAIN, "cannot be excluded"),
    ("A central mass is not excluded.", "mass", Status.UNCERTAIN, "not excluded"),
    ("Opacity which may represent atelectasis.", "atelectasis", Status.UNCERTAIN, "may represent"),
    ("Atelectasis or consolidation at the left base.", "consolidation", Status.UNCERTAIN, "or"),
    ("Findings consistent with pulmonary edema.", "edema", Status.PRESENT, None),
    ("The pneumothorax has resolved.", "pneumothorax", Status.ABSENT, "has resolved"),
    ("Edema resolved, effusion persists.", "effusion", Status.PRESENT, None),
    ("Resolving pneumonia.", "pneumonia", Status.PRESENT, None),
    ("Consolidation is no longer seen.", "consolidation", Status.ABSENT, "is no longer seen"),
    ("History of pneumonia.", "pneumonia", Status.HISTORICAL, "History of"),
    ("The prior film showed a pneumothorax.", "pneumothorax", Status.HISTORICAL, None),
    ("Rule out pneumonia.", "pneumonia", Status.NOT_MENTIONED, None),
    ("Subcutaneous emphysema in the neck.", "emphysema", Status.NOT_MENTIONED, None),
    ("Small pericardial effusion.", "effusion", Status.NOT_MENTIONED, None),
    ("Wedge collapse of T12.", "atelectasis", Status.NOT_MENTIONED, None),
    ("The lungs are clear of focal consolidation, pneumothorax, or pleural effusion.", "effusion", Status.ABSENT, None),
    ("Lungs are clear.", "consolidation", Status.ABSENT, None),
    ("Right lung is clear.", "consolidation", Status.NOT_MENTIONED, None),
    ("No PTX.", "pneumothorax", Status.ABSENT, "No"),
    ("Small left pnuemothorax.", "pneumothorax", Status.PRESENT, None),
    ("Pulmonary oedema and XXXX XXXX.", "edema", Status.PRESENT, None),
    ("There is no XXXX pneumothorax.", "pneumothorax", Status.ABSENT, "no"),
    ("Question small pleural effusions.", "effusion", Status.UNCERTAIN, "Question"),
    ("NO PNEUMOTHORAX. CARDIOMEGALY.", "cardiomegaly", Status.PRESENT, None),
]


@pytest.mark.parametrize(("sentence", "finding", "status", "cue"), SAID)
def test_sentence_is_read_as_a_person_reads_it(sentence: str, finding: str, status: Status, cue: str | None) -> None:
    label = READER.read(f"FINDINGS: {sentence}")[finding]
    assert label.status is status
    if cue is not None:
        assert [span.text for span in label.cues] == [cue]


def test_evidence_and_cue_are_slices_of_the_report() -> None:
    text = "INDICATION: Pneumonia?\nFINDINGS: No haemothorax, oedema or pneumothorax.\nIMPRESSION: Clear."
    label = READER.read(text)["pneumothorax"]
    start = text.index("No haemo")
    assert (label.spans[0].start, label.spans[0].text) == (start, "No haemothorax, oedema or pneumothorax")
    assert (label.cues[0].start, label.cues[0].text, label.section) == (start, "No", "findings")
    assert READER.read(text)["pneumonia"].status is Status.NOT_MENTIONED


def test_impression_outranks_findings() -> None:
    text = "FINDINGS: The line raises the question of a pneumothorax.\nIMPRESSION: Skin fold; there is no pneumothorax."
    label = READER.read(text)["pneumothorax"]
    assert (label.status, label.section) == (Status.ABSENT, "impression")


def test_comparison_is_historical_and_negations_in_it_say_nothing() -> None:
    text = "COMPARISON: CT with effusion, no edema.\nFINDINGS: Lungs are clear."
    result = READER.read(text)
    assert result["effusion"].status is Status.HISTORICAL
    assert result["edema"].status is Status.NOT_MENTIONED


def test_wide_terms_are_shown_and_count_when_asked() -> None:
    text = "FINDINGS: Calcified granuloma. Apical scarring."
    named, wide = READER.read(text), WIDE.read(text)
    assert named["nodule"].status is Status.NOT_MENTIONED
    assert [span.text for span in named["nodule"].related] == ["granuloma"]
    assert wide.present == ("nodule", "fibrosis")


def test_positive_leans_and_possible_does_not() -> None:
    result = READER.read("Atelectasis versus pneumonia. Possible effusion. Edema may be present.")
    assert result.positive == ("atelectasis", "pneumonia")
    assert result.present == ()


def test_sections_given_apart_read_like_the_whole() -> None:
    parts = {"indication": "Effusion?", "findings": "Heart is enlarged.", "impression": "No effusion."}
    apart = READER.read(parts)
    whole = READER.read("INDICATION: Effusion?\nFINDINGS: Heart is enlarged.\nIMPRESSION: No effusion.\n")
    assert apart.findings == whole.findings


def test_shipped_reports_are_read_as_labelled() -> None:
    for wide, least in ((False, 0.9), (True, 0.95)):
        readers = {name: FindingReader(name, wide=wide) for name in ("chest", "head", "abdomen", "spine")}
        true, said, overlaps = [], [], []
        for report in load_reports():
            for gold, label in zip(
                report.findings, readers[report.finding_set].read(report.text).findings, strict=True
            ):
                assert gold.finding == label.finding
                true.append(str(gold.status))
                said.append(str(label.status))
                if gold.spans:
                    found = [(a, b) for a in gold.spans for b in label.spans if a.start < b.end and b.start < a.end]
                    overlaps.append(bool(found))
        assert f1(true, said, average="macro") >= least
        assert sum(overlaps) / len(overlaps) >= 0.9


def test_own_finding_set_is_read_by_names_and_synonyms() -> None:
    labels = [Label("stent", "Coronary stent"), Label("tumour", "Tumour", synonyms=("neoplastic process",))]
    result = FindingReader(labels).read("Coronary artery stents. No tumor; neoplastic processes are not seen.")
    assert [label.status for label in result.findings] == [Status.PRESENT, Status.ABSENT]


def test_own_lexicon_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text("[stent]\nterms = ['stent ~ patent']\nunless = ['biliary stent']\n")
    lexicon = read_lexicon(path)
    reader = FindingReader([Label("stent", "Stent graft")], lexicon)
    assert reader.read("The stent is widely patent.")["stent"].status is Status.PRESENT
    assert reader.read("A biliary stent is patent.")["stent"].status is Status.NOT_MENTIONED
    assert reader.manifest["lexicon"] == lexicon.fingerprint != Lexicon().fingerprint


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[a]\nterms = ['(']\n", "no regular expression"),
        ("[a]\nword = ['x']\n", "must be a table"),
        ("[a]\nterms = 'x'\n", "must be a list"),
        ("a = ", "not TOML"),
        ("synonyms = 1\n", "true or false"),
        ("base = 'nothing'\n", "name of a shipped lexicon"),
    ],
)
def test_a_bad_lexicon_says_what_is_wrong(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=problem):
        read_lexicon(path)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="expected one of chest"):
        FindingReader("knee")
    with pytest.raises(ValueError, match="blank"):
        READER.read("  ")
    with pytest.raises(ValueError, match="which the set lacks"):
        FindingReader([Label("a", "A")], Lexicon({"b": Lexicon}))  # type: ignore[dict-item]


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=25))
def test_offsets_always_slice_the_report(words: list[str]) -> None:
    text = "IMPRESSION: " + " ".join(words)
    result = READER.read(text)
    for label in result.findings:
        assert bool(label.spans) == (label.status is not Status.NOT_MENTIONED)
        for span in (*label.spans, *label.cues, *label.related):
            assert text[span.start : span.end] == span.text
        for cue in label.cues:
            assert any(span.start <= cue.start and cue.end <= span.end for span in label.spans)


def test_slips_are_put_right_and_other_words_left_alone() -> None:
    spelling = Spelling(["pneumothorax", "inflamed", "hemothorax"])
    reading = spelling.read("A pnuemothorax, oedema and pneumothoraxx; inflated hemithorax.")
    assert reading.text == "A pneumothorax, edema and pneumothorax; inflated hemithorax."
    assert reading.original(reading.text.index("; infl")) == len("A pnuemothorax, oedema and pneumothoraxx")


@given(st.text(alphabet="abehmorstu edp", max_size=60))
def test_edges_of_words_lead_back_to_the_original(text: str) -> None:
    reading = Spelling(["pneumothorax", "hemothorax"]).read(text)
    assert len(reading.text.split()) == len(text.split())
    assert reading.original(len(reading.text)) == len(text)
