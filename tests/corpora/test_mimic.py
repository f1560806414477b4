"""MIMIC-III's NOTEEVENTS.csv; the file is made by hand in its format, with nothing of its contents."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest

from radrag.corpora.mimic import NoteEvents
from radrag.errors import CorpusError

HEADER = (
    '"ROW_ID","SUBJECT_ID","HADM_ID","CHARTDATE","CHARTTIME","STORETIME",'
    '"CATEGORY","DESCRIPTION","CGID","ISERROR","TEXT"'
)
ROWS = [
    '174,22532,167853,"2151-08-04",,,"Discharge summary","Report",,,"Admission Date:  [**2151-7-16**]\n\n'
    'He said ""well"", and left."',
    '175,22532,167853,"2151-08-05 00:00:00",,,"Radiology","CT HEAD W/O CONTRAST",,,"No bleed.\r\nImpression: normal."',
    '176,9,,"2151-08-05","2151-08-05 10:00:00","2151-08-05 10:01:00","Nursing/other","Report",17,1,"wrong patient"',
    '177,9,,"2151-08-06","2151-08-05 10:00:00",,"Physician ","Physician Attending Note",17,,"  "',
    '178,10,,,,,"Radiology","CHEST (PORTABLE AP)",,,"Clear."',
]


def write(path: Path, *rows: str, header: str = HEADER) -> Path:
    data = "\n".join([header, *rows, ""]).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["NOTEEVENTS.csv", "NOTEEVENTS.csv.gz"])
def test_notes_in_order(tmp_path: Path, name: str) -> None:
    events = NoteEvents(write(tmp_path / name, *ROWS))
    one, two, three = events
    assert one.id == "MIMIC-III:174"
    assert one.text == 'Admission Date:  [**2151-7-16**]\n\nHe said "well", and left.'
    assert one.kind == "note"
    assert one.metadata == {
        "source": "MIMIC-III",
        "group": "22532",
        "admission": "167853",
        "category": "Discharge summary",
        "description": "Report",
        "date": "2151-08-04",
    }
    assert two.text == "No bleed.\r\nImpression: normal."
    assert two.metadata["date"] == "2151-08-05"
    assert (two.metadata["modality"], three.metadata["modality"]) == ("CT", "XR")
    assert "admission" not in three.metadata
    assert (events.notes, events.errors, events.blank, events.other_category) == (3, 1, 1, 0)
    assert len(list(events)) == 3
    assert events.notes == 3


def test_categories(tmp_path: Path) -> None:
    events = NoteEvents(write(tmp_path / "n.csv", *ROWS), ["radiology", "Physician"])
    assert [one.id for one in events] == ["MIMIC-III:175", "MIMIC-III:178"]
    assert (events.notes, events.errors, events.blank, events.other_category) == (2, 0, 1, 2)
    with pytest.raises(ValueError, match="got the text"):
        NoteEvents(tmp_path / "n.csv", "Radiology")


def test_long_notes_and_the_limit_of_others(tmp_path: Path) -> None:
    limit = csv.field_size_limit()
    path = write(tmp_path / "n.csv", f'1,2,,,,,"Radiology","MR",,,"{"x" * (limit + 1)}"')
    (document,) = NoteEvents(path)
    assert len(document.text) == limit + 1
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        (ROWS, HEADER.replace('"ISERROR",', ""), "expected the columns ROW_ID"),
        ([ROWS[0], ROWS[0]], HEADER, "174 was used already"),
        (["1,2,3"], HEADER, "has 3 columns, expected 11"),
        (['x,2,,,,,"R","D",,,"t"'], HEADER, "expected a whole number, got 'x'"),
        (['1,2,,,,,"R","D",,,"never closed'], HEADER, "not valid CSV"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, rows: list[str], header: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        list(NoteEvents(write(tmp_path / "n.csv", *rows, header=header)))
