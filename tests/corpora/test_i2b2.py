"""Files in the format of the 2012 i2b2 challenge, made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from radrag.corpora.i2b2 import Event, TemporalLink, TimeExpression, read_i2b2_2012, read_i2b2_2012_folder
from radrag.errors import CorpusError
from radrag.types import Span

TEXT = "\nAdmission Date :\n2020-03-01\nShe had a CT scan of\nthe chest & no effusion < 1 cm .\n"


def tag(name: str, first: int, words: str, **others: str) -> str:
    start = TEXT.index(words)
    values = {"start": str(start + first), "end": str(start + len(words) + first), "text": words.replace("\n", " ")}
    values |= others
    marks = {"&": "&amp;", "<": "&lt;"}
    shown = " ".join(f'{key}="{"".join(marks.get(c, c) for c in value)}"' for key, value in values.items())
    return f"<{name} {shown} />"


def annotated(first: int, extra: str = "", head: str = '<?xml version="1.0" encoding="UTF-8" ?>') -> str:
    tags = [
        tag("EVENT", first, "CT scan of\nthe chest", id="E1", modality="FACTUAL", polarity="POS", type="TEST"),
        tag("EVENT", first, "effusion", id="E2", modality="FACTUAL", polarity="NEG", type="PROBLEM"),
        tag("TIMEX3", first, "2020-03-01", id="T0", type="DATE", val="2020-03-01", mod="NA"),
        '<TLINK id="TL1" fromID="E1" fromText="CT" toID="T0" toText="2020-03-01" type="OVERLAP" />',
        tag("SECTIME", first, "2020-03-01", id="S0", type="ADMISSION", dvalue="2020-03-01"),
        extra,
    ]
    body = "\n".join(tags)
    return (
        f"{head}\n<ClinicalNarrativeTemporalAnnotation>\n<TEXT><![CDATA[{TEXT}]]></TEXT>\n<TAGS>\n{body}\n</TAGS>\n"
        "</ClinicalNarrativeTemporalAnnotation>"
    )


@pytest.mark.parametrize("first", [0, 1])
def test_offsets_are_those_of_the_text(tmp_path: Path, first: int) -> None:
    (tmp_path / "12.xml").write_text(annotated(first), "utf-8")
    note = read_i2b2_2012(tmp_path / "12.xml")
    assert note.document.id == "i2b2-2012:12"
    assert note.document.text == TEXT
    start = TEXT.index("CT scan")
    assert note.events == (
        Event("E1", Span(start, start + 20, "CT scan of\nthe chest"), "TEST", "POS", "FACTUAL"),
        Event("E2", Span(TEXT.index("effusion"), TEXT.index(" < 1"), "effusion"), "PROBLEM", "NEG", "FACTUAL"),
    )
    assert note.times == (TimeExpression("T0", Span(18, 28, "2020-03-01"), "DATE", "2020-03-01", "NA"),)
    assert note.links == (TemporalLink("TL1", "E1", "T0", "OVERLAP"),)
    assert note.broken == ()
    assert note.document.metadata == {"source": "i2b2 2012", "group": "12", "admission": "2020-03-01"}


def test_tags_that_do_not_fit_are_told(tmp_path: Path) -> None:
    extra = (
        '<EVENT id="E8" start="3" end="6" text="xyz" type="TEST" /><EVENT id="E9" text="CT" type="TEST" />'
        '<EVENT id="E10" start="3" end="9999" text="xyz" type="TEST" />'
        '<TLINK id="TL2" fromID="E8" toID="T0" type="BEFORE" />'
    )
    (tmp_path / "12.xml").write_text(annotated(1, extra), "utf-8")
    note = read_i2b2_2012(tmp_path / "12.xml")
    assert [one.partition(":")[0] for one in note.broken] == ["E8", "E9", "E10", "TL2"]
    assert [one.id for one in note.events] == ["E1", "E2"]
    assert len(note.links) == 1


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no \.xml files"):
        list(read_i2b2_2012_folder(tmp_path))
    for name in ("2.xml", "1.xml"):
        (tmp_path / name).write_text(annotated(1), "utf-8")
    assert [note.document.id for note in read_i2b2_2012_folder(tmp_path)] == ["i2b2-2012:1", "i2b2-2012:2"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (annotated(1)[:-20], "not valid XML"),
        ("<other/>", "expected <ClinicalNarrative"),
        ("<ClinicalNarrativeTemporalAnnotation><TEXT> </TEXT></ClinicalNarrativeTemporalAnnotation>", "has no TEXT"),
        (annotated(1, head='<!DOCTYPE x [<!ENTITY a "b">]>'), "declares entities"),
        (annotated(1, head='<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>'), "declares entities"),
        ("", "empty"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "1.xml").write_text(content, "utf-8")
    with pytest.raises(CorpusError, match=message):
        read_i2b2_2012(tmp_path / "1.xml")
