"""Flags, notices, and Retraction Watch's CSV; rows are made up in the form that Crossref distributes."""

from __future__ import annotations

import csv
import gzip
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from radrag.corpora.retractions import notices_of, own_flags, read_retraction_watch
from radrag.errors import CorpusError
from radrag.types import Document, Notice

COLUMNS = (
    "Record ID,Title,Subject,Institution,Journal,Publisher,Country,Author,URLS,ArticleType,RetractionDate,"
    "RetractionDOI,RetractionPubMedID,OriginalPaperDate,OriginalPaperDOI,OriginalPaperPubMedID,RetractionNature,Reason,"
    "Paywalled,Notes"
).split(",")


def row(**values: str) -> dict[str, str]:
    base = {
        "Record ID": "1",
        "Title": "A title, with a comma\nand a line",
        "RetractionDate": "8/9/2016 0:00",
        "RetractionDOI": "unavailable",
        "RetractionPubMedID": "0",
        "OriginalPaperDOI": "10.1000/ABC",
        "OriginalPaperPubMedID": "0",
        "RetractionNature": "Retraction",
    }
    return {**dict.fromkeys(COLUMNS, ""), **base, **values}


def write(path: Path, *rows: dict[str, str], encoding: str = "utf-8") -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize(
    ("metadata", "flags"),
    [
        ({}, ()),
        ({"retracted": False}, ()),
        ({"retracted": True}, ("retracted",)),
        ({"retracted": "False"}, ()),
        ({"retracted": " no"}, ()),
        ({"retracted": "0"}, ()),
        ({"retracted": None}, ()),
        ({"retracted": "Yes"}, ("retracted",)),
        ({"retracted": 1}, ("retracted",)),
        ({"retracted": "2020-01-05"}, ("retracted",)),  # what cannot be told must not be shown
        ({"publication_types": ["Journal Article", "Retracted Publication"]}, ("retracted",)),
        ({"publication_types": ["Retraction of Publication"]}, ("retraction notice",)),
        ({"publication_types": ["Retraction Notice"]}, ("retraction notice",)),
        ({"publication_types": ["Expression of Concern", "Letter"]}, ("notice of concern",)),
        ({"publication_types": ["Published Erratum"], "erratum_for": ["9"]}, ()),
        ({"partial_retraction_of": ["9"]}, ("retraction notice",)),
        ({"retracted_and_republished_from": ["9"], "expression_of_concern_for": ["8"]}, ()),
        (
            {"retraction_of": ["9"], "partial_retraction_in": ["8"], "retracted": True},
            ("retracted", "retraction notice", "partially retracted"),
        ),
        ({"publication_types": ["Corrected and Republished Article"]}, ()),
        ({"publication_types": "Not a Retracted Publication"}, ()),
        ({"retraction_in": ["9"]}, ("retracted",)),
        ({"retracted_and_republished_in": ["9"]}, ("retracted",)),
        ({"partial_retraction_in": ["9"]}, ("partially retracted",)),
        ({"update_in": ["9"], "erratum_in": ["J. 2020"]}, ("corrected", "updated")),
        (
            {"corrected_and_republished_in": ["9"], "expression_of_concern_in": ["8"], "retraction_in": ["7"]},
            ("retracted", "expression of concern", "corrected and republished"),
        ),
        ({"erratum_for": ["8"], "update_of": ["7"], "republished_in": ["6"]}, ()),
    ],
)
def test_own_flags(metadata: dict[str, Any], flags: tuple[str, ...]) -> None:
    assert own_flags(metadata) == flags


def test_notices_of_a_document() -> None:
    metadata = {
        "date": "2020-03",
        "year": 2020,
        "retraction_of": ["9", "J. 2020;1:2", "9"],
        "partial_retraction_of": ["8"],
        "retracted_and_republished_from": ["7"],
        "expression_of_concern_for": ["6"],
        "erratum_for": ["5", "4"],
        "corrected_and_republished_from": ["3"],
        "update_of": ["2", "1"],
        "retraction_in": ["100"],
        "erratum_in": ["101"],
    }
    found = notices_of(Document("PMID:1", "Text.", metadata=metadata))
    assert {(notice.target, notice.kind) for notice in found} == {
        ("PMID:9", "retracted"),
        ("PMID:8", "partially retracted"),
        ("PMID:7", "retracted"),
        ("PMID:6", "expression of concern"),
        ("PMID:5", "corrected"),
        ("PMID:4", "corrected"),
        ("PMID:3", "corrected and republished"),
        ("PMID:2", "updated"),
    }
    assert len(found) == 8
    assert {(notice.source, notice.date) for notice in found} == {("PMID:1", "2020-03")}
    assert notices_of(Document("a", "Text.", metadata={"year": 2020, "update_of": "12"})) == (
        Notice("PMID:12", "updated", "a", "2020"),
    )
    assert notices_of(Document("a", "Text.", metadata={"update_of": 12, "erratum_for": None})) == ()


def test_a_retraction_watch_file(tmp_path: Path) -> None:
    path = write(
        tmp_path / "rw.csv",
        row(OriginalPaperPubMedID="27500000", RetractionDOI="10.1000/R", RetractionPubMedID="27600000"),
        row(OriginalPaperDOI="unavailable", OriginalPaperPubMedID="12.0", RetractionPubMedID="13"),
        row(OriginalPaperDOI="", RetractionNature="Correction"),
        row(RetractionNature="Expression of concern", RetractionDate="2015-01-31"),
        row(RetractionNature="Correction", RetractionDate="", OriginalPaperDOI="https://doi.org/10.1000/xyz"),
    )
    assert list(read_retraction_watch(path)) == [
        Notice("PMID:27500000", "retracted", "doi:10.1000/r", "2016-08-09"),
        Notice("doi:10.1000/abc", "retracted", "doi:10.1000/r", "2016-08-09"),
        Notice("PMID:12", "retracted", "PMID:13", "2016-08-09"),
        Notice("doi:10.1000/abc", "expression of concern", "Retraction Watch record 1", "2015-01-31"),
        Notice("doi:10.1000/xyz", "corrected", "Retraction Watch record 1", ""),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path / "rw.csv", row(Author="Müller\x85", Notes="é"), row(Title="ü"), encoding=encoding)
    assert [notice.target for notice in read_retraction_watch(path)] == ["doi:10.1000/abc"]
    zipped = tmp_path / "rw.csv.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    assert list(read_retraction_watch(zipped)) == list(read_retraction_watch(path))


RETRACTED, CONCERN = row(), row(RetractionNature="Expression of concern")
REINSTATED = row(RetractionNature="Reinstatement", RetractionDate="9/1/2016 0:00")
AGAIN = row(RetractionDate="1/2/2017 0:00")


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_reinstatement_lifts_earlier_retractions_only(tmp_path: Path, order: tuple[int, ...]) -> None:
    def read(*rows: dict[str, str]) -> set[tuple[str, str]]:
        path = write(tmp_path / "rw.csv", *(rows[place] for place in order))
        return {(notice.kind, notice.date) for notice in read_retraction_watch(path)}

    assert read(RETRACTED, REINSTATED, CONCERN) == {("expression of concern", "2016-08-09")}
    assert read(RETRACTED, REINSTATED, AGAIN) == {("retracted", "2017-01-02")}
    unknown = row(RetractionNature="Reinstatement", RetractionDate="")
    assert ("retracted", "2016-08-09") in read(RETRACTED, unknown, CONCERN)
    assert ("retracted", "") in read(row(RetractionDate=""), REINSTATED, CONCERN)
    other = row(RetractionNature="Reinstatement", OriginalPaperDOI="10.1000/other")
    assert ("retracted", "2016-08-09") in read(RETRACTED, other, CONCERN)


def test_a_reinstatement_by_either_identifier_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "rw.csv", row(OriginalPaperPubMedID="5"), REINSTATED)
    assert list(read_retraction_watch(path)) == []
    path = write(tmp_path / "rw.csv", row(OriginalPaperPubMedID="5"), {**REINSTATED, "OriginalPaperDOI": "10.1000/b"})
    assert [notice.target for notice in read_retraction_watch(path)] == ["PMID:5", "doi:10.1000/abc"]


NO_DOI = {"OriginalPaperDOI": "unavailable"}


@pytest.mark.parametrize(
    ("values", "field", "message"),
    [
        ({"RetractionNature": "Withdrawal"}, "RetractionNature", "got 'Withdrawal'"),
        ({"RetractionDate": "20.3.2020"}, "RetractionDate", "month/day/year"),
        ({"RetractionDate": "20/3/2020"}, "RetractionDate", "month must be"),
        ({**NO_DOI, "OriginalPaperPubMedID": "PMC12"}, "OriginalPaperPubMedID", "got 'PMC12'"),
        ({**NO_DOI, "OriginalPaperPubMedID": "12,345,678"}, "OriginalPaperPubMedID", "got '12,345,678'"),
        ({**NO_DOI, "OriginalPaperPubMedID": "7;12 345 678"}, "OriginalPaperPubMedID", "got '7;12 345 678'"),
        ({**NO_DOI, "OriginalPaperPubMedID": "123456789"}, "OriginalPaperPubMedID", "at most 8 digits"),
        ({"OriginalPaperDOI": "10.1000/a and its erratum"}, "OriginalPaperDOI", "got '10.1000/a and its erratum'"),
        ({"OriginalPaperDOI": "https://example.org/10.1000/a"}, "OriginalPaperDOI", "a link to one"),
        ({"OriginalPaperDOI": "doi:"}, "OriginalPaperDOI", "or 'unavailable'"),
    ],
)
def test_rows_that_cannot_be_read_are_named(tmp_path: Path, values: dict[str, str], field: str, message: str) -> None:
    path = write(tmp_path / "rw.csv", row(), row(**{"Record ID": "77", **values}))
    with pytest.raises(CorpusError, match=message) as caught:
        list(read_retraction_watch(path))
    assert caught.value.field == field
    assert caught.value.record == "4 (Record ID 77)"
    assert "--skip-damaged" in str(caught.value)
    damaged: list[CorpusError] = []
    assert [notice.target for notice in read_retraction_watch(path, damaged)] == ["doi:10.1000/abc"]
    assert [str(error) for error in damaged] == [str(caught.value)]


def test_all_rows_that_cannot_be_read_are_named_at_once(tmp_path: Path) -> None:
    wrong = {"OriginalPaperDOI": "see below"}
    path = write(tmp_path / "rw.csv", *(row(**{"Record ID": str(n)}, **(wrong if n % 2 else {})) for n in range(5)))
    named = r"2 rows cannot be read, 4 \(Record ID 1\), 8 \(Record ID 3\); of the first: .* got 'see below'"
    with pytest.raises(CorpusError, match=named):
        list(read_retraction_watch(path))
    path = write(tmp_path / "rw.csv", *[row(**wrong)] * 22)
    with pytest.raises(CorpusError, match=r"22 rows cannot be read, .* and 2 more; of the first"):
        list(read_retraction_watch(path))


@pytest.mark.parametrize(
    ("values", "targets", "source", "field"),
    [
        (
            {"OriginalPaperPubMedID": "5", "OriginalPaperDOI": "10.1107/S1600536807 042201"},
            ["PMID:5"],
            "Retraction Watch record 1",
            "OriginalPaperDOI",
        ),
        ({"OriginalPaperPubMedID": "PMC5"}, ["doi:10.1000/abc"], "Retraction Watch record 1", "OriginalPaperPubMedID"),
        (
            {"OriginalPaperPubMedID": "12,345,678"},
            ["doi:10.1000/abc"],
            "Retraction Watch record 1",
            "OriginalPaperPubMedID",
        ),
        ({"RetractionPubMedID": "x"}, ["doi:10.1000/abc"], "Retraction Watch record 1", "RetractionPubMedID"),
        (
            {"RetractionPubMedID": "9", "RetractionDOI": "see the journal"},
            ["doi:10.1000/abc"],
            "PMID:9",
            "RetractionDOI",
        ),
    ],
)
def test_a_row_is_taken_by_the_names_that_can_be_read(
    tmp_path: Path, values: dict[str, str], targets: list[str], source: str, field: str
) -> None:
    path, unread = write(tmp_path / "rw.csv", row(**values)), []
    found = list(read_retraction_watch(path, unread=unread))
    assert [notice.target for notice in found] == targets
    assert {notice.source for notice in found} == {source}
    assert [error.field for error in unread] == [field]
    assert "the row was taken without this name" in str(unread[0])
    assert list(read_retraction_watch(path)) == found


def test_what_cannot_be_read_does_not_make_two_articles_one(tmp_path: Path) -> None:
    """One DOI cannot be read: the other may be of either article, so its reinstatement lifts nothing of PMID 5."""
    two = row(OriginalPaperPubMedID="5; PMC6", OriginalPaperDOI="10.1000/abc")
    path = write(tmp_path / "rw.csv", two, REINSTATED)
    assert [notice.target for notice in read_retraction_watch(path)] == ["PMID:5"]


HEADER = "Record ID,Title,RetractionDate,RetractionDOI,RetractionPubMedID,OriginalPaperDOI,OriginalPaperPubMedID,"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ('1,"Tea ,1/2/2023,,1,,5,Retraction\n2,Milk,1/2/2023,,1,,6,Retraction\n3,"W",1/2/2023,,1,,7,Retraction\n', "2"),
        ('1,"Tea ,1/2/2023,,1,,5,Retraction\n2,Milk,1/2/2023,,1,,6,Retraction\n', "2"),
        ('1,Tea,1/2/2023,,1,,5,Retraction\n2,"Mi"lk,1/2/2023,,1,,6,Retraction\n', "3"),
        ("1,Tea,1/2/2023,,1,,5,Retraction\n2,Tea, green,1/2/2023,,1,,6,Retraction\n", "3: has 9 columns, expected 8"),
        ("1,Tea,1/2/2023,,1,,5,Retraction\n2,Tea,1/2/2023,,1\n", "3: has 5 columns, expected 8"),
    ],
)
def test_a_stray_quote_or_a_wrong_number_of_cells_is_refused(tmp_path: Path, rows: str, message: str) -> None:
    """Rows that a quote swallows would lose their retractions, so not even ``damaged`` lets them pass."""
    path = tmp_path / "rw.csv"
    path.write_text(f"{HEADER}RetractionNature\n{rows}", encoding="utf-8")
    with pytest.raises(CorpusError, match=f"record {message}"):
        list(read_retraction_watch(path, damaged=[]))


def test_another_csv_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\n1,a\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"columns Record ID, .*Retraction Watch"):
        list(read_retraction_watch(tmp_path / "a.csv"))


@pytest.mark.parametrize(
    ("pubmed", "doi", "targets"),
    [
        ("12;0; 13", "", ["PMID:12", "PMID:13"]),
        ("PMID: 12", "", ["PMID:12"]),
        ("0", "10.1000/a;10.1000/B ; https://doi.org/10.1000/c", ["doi:10.1000/a", "doi:10.1000/b", "doi:10.1000/c"]),
        ("0", "http://dx.doi.org/10.1000/a", ["doi:10.1000/a"]),
        ("0", "DOI: 10.1000/a;", ["doi:10.1000/a"]),
        ("0", "DOI 10.1000/a; doi:  10.1000/b", ["doi:10.1000/a", "doi:10.1000/b"]),
        ("0", "https://www.doi.org/10.1000/A", ["doi:10.1000/a"]),
        ("0", "https://doi.org/10.1000%2FA%28b%29", ["doi:10.1000/a(b)"]),
        ("0", "10.1000/A and 10.1000/B & https://doi.org/10.1000%2Fc", [f"doi:10.1000/{one}" for one in "abc"]),
        ("Unavailable", "10.1000/a", ["doi:10.1000/a"]),
        (
            "0",
            "10.1002/(SICI)1097-0258(19980815/30)17:15/16<1661::AID-SIM968>3.0.CO;2-2",
            ["doi:10.1002/(sici)1097-0258(19980815/30)17:15/16<1661::aid-sim968>3.0.co;2-2"],
        ),
        ("12345678,12345679", "", ["PMID:12345678", "PMID:12345679"]),
        ("123, 456", "", ["PMID:123", "PMID:456"]),
        ("12345678\u200b", "10.1000/a.", ["PMID:12345678", "doi:10.1000/a"]),
        ("0", "10.1000/a\u200b", ["doi:10.1000/a"]),
        ("0", "\ufeff10.10\u00ad00/a ., 10.1000/b.;", ["doi:10.1000/a", "doi:10.1000/b"]),
        ("0", "https://doi.org/10.1000/a%E2%80%8B", ["doi:10.1000/a"]),
        ("0", "Unavailable", []),
        ("", "", []),
    ],
)
def test_several_articles_and_other_ways_to_write_a_name(
    tmp_path: Path, pubmed: str, doi: str, targets: list[str]
) -> None:
    path = write(tmp_path / "rw.csv", row(OriginalPaperPubMedID=pubmed, OriginalPaperDOI=doi))
    assert [notice.target for notice in read_retraction_watch(path)] == targets


def test_a_reinstatement_of_one_of_several_lifts_that_one_only(tmp_path: Path) -> None:
    several = row(OriginalPaperPubMedID="5;6", OriginalPaperDOI="")
    back = {**REINSTATED, "OriginalPaperPubMedID": "6", "OriginalPaperDOI": ""}
    path = write(tmp_path / "rw.csv", several, back)
    assert [notice.target for notice in read_retraction_watch(path)] == ["PMID:5"]


@pytest.mark.parametrize("said", ["Retracted Publication", "retracted publication", " RETRACTED PUBLICATION "])
def test_types_are_read_in_any_case(said: str) -> None:
    assert own_flags({"publication_types": ["Journal Article", said]}) == ("retracted",)
